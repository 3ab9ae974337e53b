//! Scatter tasks: a mapper reads its rows once and sorts them into partitions by the hash of the unit (DESIGN §4).
//!
//! Where footers show that a unit's rows are together, a mapper puts them side by side first: wide records are fewer,
//! and hold once what is constant in time.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::ops::Range;

use arrow_array::ArrayRef;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stagger_model::error::{Result, StaggerError};
use stagger_records::{Chunk, KeyColumn, Source, show_bytes, with_key_column};

use super::assemble::{AssembledRows, RowLayout};
use super::block::{self, BlockWriter, MapperHeader, RecordIds};
use super::conflict::RowConflict;
use super::fields::SlotEncoder;
use super::gather::PrepareTaskError;
use crate::columns::Columns;
use crate::gaps::Gaps;
use crate::load::keys::KeyHasher;
use crate::load::seen::{SeenPeriods, SeenStrata, key_columns, name_file, varying_stratum_error, with_keys};
use crate::panel_store::fields::StoreField;

/// Consecutive rows of one chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRows {
    /// Index of the chunk.
    pub chunk: usize,
    /// Range of its rows.
    pub rows: Range<usize>,
}

/// Rows that one mapper reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScatterTask {
    /// The rows, as pieces of chunks.
    pub pieces: Vec<ChunkRows>,
}

/// Input that all mappers share.
pub(super) struct ScatterContext<'a> {
    /// The input files.
    pub source: &'a Source,
    /// Columns that the specifications read.
    pub columns: &'a Columns,
    /// Variables of the store.
    pub fields: &'a [StoreField],
    /// Number of partitions, a power of two.
    pub partitions: usize,
    /// True if a unit's rows are put side by side before they are scattered.
    pub pivot: bool,
    /// True if identifiers of units are texts.
    pub text_ids: bool,
}

/// Partition of rows without unit, period or eligibility.
const NOWHERE: u16 = u16::MAX;

/// Returns the partition of a hash: its leading bits.
#[inline]
pub(super) fn partition_of(hash: u128, partitions: usize) -> usize {
    if partitions == 1 { 0 } else { (hash >> (128 - partitions.trailing_zeros())) as usize }
}

impl ScatterContext<'_> {
    /// Runs one mapper; returns its object.
    ///
    /// # Errors
    /// Rows that contradict each other, chunks that can't be read, and values that do not fit the role of their column.
    pub(super) fn run_mapper(&self, task: &ScatterTask) -> std::result::Result<Bytes, PrepareTaskError> {
        let rows = task.pieces.iter().map(|p| p.rows.len()).sum();
        if self.pivot {
            let mut out = Pivot::new(self);
            out.met.gaps = self.read(task, &mut |batch| out.add(batch))?;
            return out.finish();
        }
        let mut out = Long::new(self, rows);
        out.met.gaps = self.read(task, &mut |batch| out.add(batch))?;
        Ok(out.finish()?)
    }

    /// Reads the rows; returns those without a value, by column.
    fn read(&self, task: &ScatterTask, each: &mut dyn FnMut(&Batch<'_>) -> Result<()>) -> Result<Gaps> {
        let keys = key_columns(self.columns);
        let mut names = keys.clone();
        names.push(self.columns.id.clone());
        names.extend(self.fields.iter().map(|f| f.name.clone()));
        let (mut scratch, mut integers): ([Vec<f64>; 3], Vec<i64>) = Default::default();
        let kind = self.columns.kind(&self.columns.id);
        let mut gaps = Gaps::default();
        for piece in &task.pieces {
            let chunk: &Chunk = &self.source.chunks()[piece.chunk];
            self.source.read_rows(chunk, piece.rows.clone(), &names, |row, arrays| {
                let first_row = chunk.first_row + row as u64;
                gaps.count_batch(names.iter().map(String::as_str).zip(arrays), chunk.file, first_row)?;
                let (own, rest) = arrays.split_at(keys.len());
                with_keys(self.columns, own, &keys, first_row, &mut scratch, |times, groups, eligible| {
                    with_key_column(&rest[0], &self.columns.id, kind, &mut integers, |ids| {
                        each(&Batch { times, groups, eligible, ids, fields: &rest[1..] })
                    })
                })
                .map_err(|e| name_file(e, &self.source.path_of(chunk)))
            })?;
        }
        Ok(gaps)
    }
}

/// A batch of rows: period, cohort, eligibility and unit of each row; columns of the variables.
struct Batch<'a> {
    times: &'a [f64],
    groups: &'a [f64],
    eligible: &'a [f64],
    ids: KeyColumn<'a>,
    fields: &'a [ArrayRef],
}

impl Batch<'_> {
    fn has_keys(&self, row: usize) -> bool {
        !self.ids.is_missing(row) && self.times[row].is_finite() && !self.eligible[row].is_nan()
    }
}

/// Strata, periods and counts of a mapper's rows.
#[derive(Default)]
struct SeenKeys {
    strata: SeenStrata,
    periods: SeenPeriods,
    last: Option<(u64, u64, u16)>,
    rows: u64,
    keyless_rows: u64,
    gaps: Gaps,
}

impl SeenKeys {
    /// Returns the codes of a row's stratum and period.
    fn codes(&mut self, batch: &Batch<'_>, row: usize) -> Result<(u16, u16)> {
        let (group, eligible) = (batch.groups[row], batch.eligible[row]);
        self.rows += 1;
        self.strata.cohortless_rows += u64::from(group.is_nan());
        let key = (group.to_bits(), eligible.to_bits());
        let stratum = match self.last {
            Some((g, e, code)) if (g, e) == key => code,
            _ => self.strata.code(group, eligible)?,
        };
        self.last = Some((key.0, key.1, stratum));
        Ok((stratum, self.periods.code(batch.times[row])?))
    }

    fn header(self, texts: Vec<String>, text_ids: bool, wide: Option<Vec<bool>>) -> MapperHeader {
        let cohort = |cohort: f64| cohort.is_finite().then_some(cohort);
        MapperHeader {
            strata: self.strata.list.iter().map(|s| (cohort(s.cohort), s.eligible)).collect(),
            periods: self.periods.list,
            texts,
            text_ids,
            wide,
            rows: self.rows,
            keyless_rows: self.keyless_rows,
            cohortless_rows: self.strata.cohortless_rows,
            gaps: self.gaps,
            ..MapperHeader::default()
        }
    }
}

/// Long records: every row goes to its partition unchanged.
struct Long<'a> {
    of: &'a ScatterContext<'a>,
    met: SeenKeys,
    encoder: SlotEncoder,
    blocks: Vec<BlockWriter>,
    partitions: Vec<u16>,
    /// Rows of the batch by partition, and the position of each partition's first row.
    order: Vec<u32>,
    starts: Vec<u32>,
    slots: Vec<u64>,
    codes: Vec<(u16, u16)>,
    buffer: Vec<u8>,
}

impl<'a> Long<'a> {
    fn new(of: &'a ScatterContext<'a>, rows: usize) -> Self {
        // Hashes spread evenly; some extra room spares most blocks from growing.
        let room = rows / of.partitions + rows / of.partitions / 16 + 64;
        Self {
            of,
            met: SeenKeys::default(),
            encoder: SlotEncoder::default(),
            blocks: (0..of.partitions)
                .map(|_| BlockWriter::new(of.text_ids, of.fields.len(), room))
                .collect(),
            partitions: Vec::new(),
            order: Vec::new(),
            starts: Vec::new(),
            slots: Vec::new(),
            codes: Vec::new(),
            buffer: Vec::new(),
        }
    }

    fn add(&mut self, batch: &Batch<'_>) -> Result<()> {
        self.keys(batch)?;
        self.sort();
        self.copy_ids(&batch.ids);
        for (partition, block) in self.blocks.iter_mut().enumerate() {
            let rows = &self.order[self.starts[partition] as usize..self.starts[partition + 1] as usize];
            block.strata.extend(rows.iter().map(|&row| self.codes[row as usize].0));
            block.periods.extend(rows.iter().map(|&row| self.codes[row as usize].1));
        }
        for (index, (field, array)) in self.of.fields.iter().zip(batch.fields).enumerate() {
            self.slots.clear();
            self.encoder.encode(self.of.columns, field, array, &mut self.slots)?;
            for (partition, block) in self.blocks.iter_mut().enumerate() {
                let rows = &self.order[self.starts[partition] as usize..self.starts[partition + 1] as usize];
                block.values[index].extend(rows.iter().map(|&row| self.slots[row as usize]));
            }
        }
        Ok(())
    }

    /// Finds partition, stratum and period of every row.
    fn keys(&mut self, batch: &Batch<'_>) -> Result<()> {
        self.partitions.clear();
        self.codes.clear();
        for row in 0..batch.times.len() {
            if !batch.has_keys(row) {
                self.met.keyless_rows += 1;
                self.partitions.push(NOWHERE);
                self.codes.push((0, 0));
                continue;
            }
            self.codes.push(self.met.codes(batch, row)?);
            let hash = batch.ids.hash(row, &mut self.buffer);
            self.partitions.push(partition_of(hash, self.of.partitions) as u16);
        }
        Ok(())
    }

    /// Sorts the rows of the batch by partition; their order within a partition stays.
    fn sort(&mut self) {
        let count = self.of.partitions;
        self.starts.clear();
        self.starts.resize(count + 1, 0);
        for &partition in self.partitions.iter().filter(|&&p| p != NOWHERE) {
            self.starts[usize::from(partition) + 1] += 1;
        }
        for partition in 0..count {
            self.starts[partition + 1] += self.starts[partition];
        }
        let mut next = self.starts.clone();
        self.order.clear();
        self.order.resize(self.starts[count] as usize, 0);
        for (row, &partition) in self.partitions.iter().enumerate().filter(|&(_, &p)| p != NOWHERE) {
            let at = &mut next[usize::from(partition)];
            self.order[*at as usize] = row as u32;
            *at += 1;
        }
    }

    fn copy_ids(&mut self, ids: &KeyColumn<'_>) {
        for (partition, block) in self.blocks.iter_mut().enumerate() {
            let rows = &self.order[self.starts[partition] as usize..self.starts[partition + 1] as usize];
            match ids {
                KeyColumn::Integers { ids, .. } => {
                    push_integers(&mut block.ids, rows.iter().map(|&r| ids[r as usize]))
                }
                KeyColumn::Texts { ids, .. } => {
                    rows.iter().for_each(|&r| push_text(&mut block.ids, ids[r as usize].unwrap_or_default()));
                }
            }
        }
    }

    fn finish(self) -> Result<Bytes> {
        let header = self.met.header(self.encoder.into_texts(), self.of.text_ids, None);
        block::encode_mapper_object(header, self.blocks)
    }
}

fn push_integers(out: &mut RecordIds, ids: impl Iterator<Item = i64>) {
    if let RecordIds::Integers(own) = out {
        own.extend(ids);
    }
}

fn push_text(out: &mut RecordIds, id: &[u8]) {
    if let RecordIds::Texts { lengths, bytes } = out {
        lengths.push(id.len() as u32);
        bytes.extend_from_slice(id);
    }
}

/// Wide records: rows are collected until all are read, then put side by side by unit.
struct Pivot<'a> {
    of: &'a ScatterContext<'a>,
    met: SeenKeys,
    encoder: SlotEncoder,
    units: HashMap<u128, u32, BuildHasherDefault<KeyHasher>>,
    ids: RecordIds,
    hashes: Vec<u128>,
    strata: Vec<u16>,
    last: Option<u128>,
    /// Unit and period of every row.
    rows: Vec<(u32, u16)>,
    values: Vec<Vec<u64>>,
    scratch: Scratch,
}

/// Memory that is used again for every batch.
#[derive(Default)]
struct Scratch {
    /// Rows of the batch that have their keys.
    kept: Vec<u32>,
    slots: Vec<u64>,
    buffer: Vec<u8>,
}

impl<'a> Pivot<'a> {
    fn new(of: &'a ScatterContext<'a>) -> Self {
        let ids = BlockWriter::new(of.text_ids, 0, 0).ids;
        Self {
            of,
            met: SeenKeys::default(),
            encoder: SlotEncoder::default(),
            units: HashMap::default(),
            ids,
            hashes: Vec::new(),
            strata: Vec::new(),
            last: None,
            rows: Vec::new(),
            values: vec![Vec::new(); of.fields.len()],
            scratch: Scratch::default(),
        }
    }

    fn add(&mut self, batch: &Batch<'_>) -> Result<()> {
        self.scratch.kept.clear();
        for row in 0..batch.times.len() {
            if !batch.has_keys(row) {
                self.met.keyless_rows += 1;
                continue;
            }
            let (stratum, period) = self.met.codes(batch, row)?;
            let unit = self.unit(batch, row, stratum)?;
            self.rows.push((unit, period));
            self.scratch.kept.push(row as u32);
        }
        for (index, (field, array)) in self.of.fields.iter().zip(batch.fields).enumerate() {
            self.scratch.slots.clear();
            self.encoder.encode(self.of.columns, field, array, &mut self.scratch.slots)?;
            self.values[index].extend(self.scratch.kept.iter().map(|&row| self.scratch.slots[row as usize]));
        }
        Ok(())
    }

    fn unit(&mut self, batch: &Batch<'_>, row: usize, stratum: u16) -> Result<u32> {
        let hash = batch.ids.hash(row, &mut self.scratch.buffer);
        let newest = self.hashes.len() as u32;
        // Rows of a unit mostly follow each other.
        let unit = match self.last {
            Some(last) if last == hash => self.rows.last().map_or(newest, |&(unit, _)| unit),
            _ => *self.units.entry(hash).or_insert(newest),
        };
        self.last = Some(hash);
        if unit == newest {
            self.hashes.push(hash);
            self.strata.push(stratum);
            match &batch.ids {
                KeyColumn::Integers { ids, .. } => push_integers(&mut self.ids, std::iter::once(ids[row])),
                KeyColumn::Texts { ids, .. } => push_text(&mut self.ids, ids[row].unwrap_or_default()),
            }
            return Ok(unit);
        }
        let known = self.strata[unit as usize];
        if known == stratum {
            return Ok(unit);
        }
        let name = batch.ids.show(row);
        let label = |code: u16| self.met.strata.list[usize::from(code)];
        Err(varying_stratum_error(
            &format!("unit {name}"),
            label(known),
            label(stratum),
            self.of.columns.scale.calendar(),
        ))
    }

    fn finish(mut self) -> std::result::Result<Bytes, PrepareTaskError> {
        let units = self.hashes.len();
        let mut by_period: Vec<bool> = self.of.fields.iter().map(|f| f.outcome).collect();
        let assembly = loop {
            let mut assembly =
                AssembledRows::new(RowLayout::new(self.met.periods.list.len(), &by_period), units);
            for (field, values) in self.values.iter().enumerate() {
                let records =
                    self.rows.iter().zip(values).map(|(&(u, p), &v)| (u as usize, usize::from(p), v));
                assembly
                    .place_field(field, records)
                    .map_err(|twice| self.duplicate(twice.unit, twice.period))?;
            }
            if !assembly.differs.contains(&true) {
                break assembly;
            }
            by_period.iter_mut().zip(&assembly.differs).for_each(|(own, &differs)| *own |= differs);
        };
        self.values = Vec::new();
        Ok(self.emit(assembly)?)
    }

    fn emit(self, assembly: AssembledRows) -> Result<Bytes> {
        let mut blocks: Vec<BlockWriter> = (0..self.of.partitions)
            .map(|_| BlockWriter::new(self.of.text_ids, assembly.shape.stride, 0))
            .collect();
        let mut start = 0;
        for (unit, &hash) in self.hashes.iter().enumerate() {
            let block = &mut blocks[partition_of(hash, self.of.partitions)];
            match (&self.ids, &mut block.ids) {
                (RecordIds::Integers(ids), RecordIds::Integers(own)) => own.push(ids[unit]),
                (RecordIds::Texts { lengths, bytes }, RecordIds::Texts { lengths: own, bytes: all }) => {
                    let end = start + lengths[unit] as usize;
                    own.push(lengths[unit]);
                    all.extend_from_slice(&bytes[start..end]);
                    start = end;
                }
                _ => return Err(StaggerError::failed("identifiers of two types in one block")),
            }
            block.strata.push(self.strata[unit]);
            block.values.iter_mut().zip(assembly.row(unit)).for_each(|(column, &slot)| column.push(slot));
        }
        let wide = Some(assembly.shape.by_period.clone());
        block::encode_mapper_object(
            self.met.header(self.encoder.into_texts(), self.of.text_ids, wide),
            blocks,
        )
    }

    fn duplicate(&self, unit: usize, period: usize) -> PrepareTaskError {
        let id = match &self.ids {
            RecordIds::Integers(ids) => self.of.columns.kind(&self.of.columns.id).show_integer(ids[unit]),
            RecordIds::Texts { lengths, bytes } => {
                let start: usize = lengths[..unit].iter().map(|&l| l as usize).sum();
                show_bytes(&bytes[start..start + lengths[unit] as usize])
            }
        };
        PrepareTaskError::Conflict(RowConflict::DuplicateRow { id, period: self.met.periods.list[period] })
    }
}
