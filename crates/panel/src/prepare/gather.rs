//! Gather tasks: the records of consecutive partitions become shards, with units in the canonical order (DESIGN §3,
//! §4).

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stagger_model::error::{Result, StaggerError};
use stagger_model::parallel;
use stagger_records::{KeyKind, hash_integer, show_bytes};
use stagger_storage::Storage;

use super::assemble::{AssembledRows, DuplicateRow, RowLayout};
use super::block::{Block, MapperHeader, RecordId, damage_error};
use super::conflict::RowConflict;
use super::handout::ObjectReport;
use super::steps::{partitions_of, readers};
use crate::gaps::Gaps;
use crate::load::keys::KeyHasher;
use crate::load::seen::varying_stratum_error;
use crate::panel_store::fields::StoreField;
use crate::panel_store::write::{
    FieldValues, SegmentDescription, ShardData, ShardFile, ShardIds, write_shard,
};
use crate::panel_store::{FieldKind, KeyColumns, ShardEntry};
use crate::slot::{MISSING, UNSET, decode, encode};
use crate::strata::Stratum;

/// Translation of a mapper's codes to those of the whole panel.
pub struct CodeTranslation {
    /// By stratum code of the mapper: index of the stratum.
    pub strata: Vec<u16>,
    /// By period code of the mapper: index of the period.
    pub periods: Vec<u16>,
    /// By text code of the mapper: index of the text.
    pub texts: Vec<u32>,
}

/// An object of a mapper or a combiner, or its part with some partitions.
pub struct ScatterObject {
    /// The object and its blocks.
    pub object: ObjectReport,
    /// Translation of codes, by mapper in the object.
    pub codes: Vec<CodeTranslation>,
}

/// Records of a partition from one mapper, and the meaning of their codes.
struct Part<'a> {
    header: &'a MapperHeader,
    codes: &'a CodeTranslation,
    block: Block,
}

/// Input that all gather tasks share.
pub(super) struct GatherContext<'a> {
    /// Columns that form the panel.
    pub keys: &'a KeyColumns,
    /// Variables of the store.
    pub fields: &'a [StoreField],
    /// Strata, by cohort and eligibility.
    pub strata: &'a [Stratum],
    /// Periods, ascending.
    pub periods: &'a [f64],
    /// Texts by code, ascending.
    pub texts: &'a [String],
    /// Number of partitions, a power of two.
    pub partitions: usize,
    /// Number of shards, a power of two.
    pub shards: usize,
    /// Objects of the last stage before.
    pub scattered: &'a [ScatterObject],
}

/// Facts about one variable in one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldReport {
    /// True if some unit has two different values.
    pub varies: bool,
    /// True if some existing row has no value.
    pub missing: bool,
    /// Number of bytes of its columns.
    pub bytes: u64,
}

/// Report of a task about a shard that it has written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardReport {
    /// The shard's entry in the manifest.
    pub entry: ShardEntry,
    /// Number of units, by stratum.
    pub units: Vec<u64>,
    /// Number of rows, `strata × periods`, row-major.
    pub rows: Vec<u64>,
    /// Facts about each variable.
    pub fields: Vec<FieldReport>,
    /// Number of bytes of the identifiers.
    pub id_bytes: u64,
    /// True if some unit has no row in some period.
    pub unbalanced: bool,
    /// Rows of cross sections without a value, by column.
    #[serde(default, skip_serializing_if = "Gaps::is_empty")]
    pub gaps: Gaps,
}

/// Reason why a task has no result.
#[derive(Debug)]
pub enum PrepareTaskError {
    /// Rows that contradict each other.
    Conflict(RowConflict),
    /// Any other error.
    Other(StaggerError),
}

impl From<StaggerError> for PrepareTaskError {
    fn from(error: StaggerError) -> Self {
        Self::Other(error)
    }
}

/// Position of a record: its number in the block, the row of its unit, its period.
#[derive(Clone, Copy)]
struct Place {
    record: u32,
    unit: u32,
    period: u16,
}

/// A unit of a shard.
struct Unit<'a> {
    id: RecordId<'a>,
    hash: u128,
    stratum: u16,
}

impl GatherContext<'_> {
    /// Returns the number of tasks: one for each partition, or for each shard where there are fewer shards.
    pub(super) fn task_count(&self) -> usize {
        self.partitions.min(self.shards)
    }

    /// Returns the shards of a task.
    pub(super) fn shards_of(&self, task: usize) -> std::ops::Range<usize> {
        let each = self.shards / self.task_count();
        task * each..(task + 1) * each
    }

    /// Builds the shards of a task and calls `each(shard, file)` for them in order; returns their reports.
    ///
    /// # Errors
    /// Rows that contradict each other, and objects that can't be read.
    pub(super) fn build_shards(
        &self,
        storage: &Storage,
        task: usize,
        mut each: impl FnMut(usize, Bytes) -> Result<()>,
    ) -> std::result::Result<Vec<ShardReport>, PrepareTaskError> {
        let parts = self.parts(storage, task)?;
        let shards = self.shards_of(task);
        let sorted: Vec<Sorted> =
            parts.iter().map(|part| self.sort(&part.block, shards.start, shards.len())).collect();
        // A variable that varies in one shard mostly does in the next.
        let mut by_period: Vec<bool> = self.fields.iter().map(|f| f.outcome).collect();
        let mut reports = Vec::with_capacity(shards.len());
        for (local, shard) in shards.enumerate() {
            let built = self.shard(&parts, &sorted, local, &mut by_period)?;
            each(shard, built.0.bytes)?;
            reports.push(built.1);
        }
        Ok(reports)
    }

    fn parts(&self, storage: &Storage, task: usize) -> Result<Vec<Part<'_>>> {
        let wanted = partitions_of(self.partitions, self.shards, task);
        let overlap = |scattered: &ScatterObject| {
            let own = scattered.object.contents.partition_range();
            wanted.start.max(own.start)..wanted.end.min(own.end)
        };
        let with: Vec<(&ScatterObject, Range<usize>)> = self
            .scattered
            .iter()
            .map(|scattered| (scattered, overlap(scattered)))
            .filter(|(_, partitions)| !partitions.is_empty())
            .collect();
        let read = parallel::map(readers(storage), with.len(), |index| {
            let (scattered, partitions) = &with[index];
            let range = scattered.object.byte_range(partitions.clone());
            let mut bytes = storage.get_ranges(&scattered.object.key, None, std::slice::from_ref(&range))?;
            Ok(bytes.pop().unwrap_or_default())
        })?;
        let mut out = Vec::new();
        for ((scattered, partitions), bytes) in with.into_iter().zip(read) {
            let ObjectReport { key, contents, .. } = &scattered.object;
            let own = contents.partition_range();
            let mut at = 0;
            for partition in partitions {
                let local = partition - own.start;
                for (header, codes) in contents.members.iter().zip(&scattered.codes) {
                    let length = (header.offsets[local + 1] - header.offsets[local]) as usize;
                    let own = bytes.get(at..at + length).map(|own| bytes.slice_ref(own));
                    let own = own.ok_or_else(|| damage_error(key, "it is shorter than its blocks"))?;
                    let block = Block::decode(header, local, own, key)?;
                    at += length;
                    if block.len() > 0 {
                        out.push(Part { header, codes, block });
                    }
                }
            }
        }
        Ok(out)
    }

    /// Sorts the records of a block by shard.
    fn sort(&self, block: &Block, first: usize, shards: usize) -> Sorted {
        let mut buffer = Vec::new();
        let own: Vec<u16> = (0..block.len())
            .map(|record| {
                let hash = hash_of(self.keys.ids, block.id(record), &mut buffer);
                (super::scatter::partition_of(hash, self.shards) - first) as u16
            })
            .collect();
        let mut starts = vec![0u32; shards + 1];
        own.iter().for_each(|&shard| starts[usize::from(shard) + 1] += 1);
        (0..shards).for_each(|shard| starts[shard + 1] += starts[shard]);
        let (mut next, mut records) = (starts.clone(), vec![0; own.len()]);
        for (record, &shard) in own.iter().enumerate() {
            let at = &mut next[usize::from(shard)];
            records[*at as usize] = record as u32;
            *at += 1;
        }
        Sorted { starts, records }
    }

    fn shard(
        &self,
        parts: &[Part<'_>],
        sorted: &[Sorted],
        local: usize,
        by_period: &mut [bool],
    ) -> std::result::Result<(ShardFile, ShardReport), PrepareTaskError> {
        let (units, mut places) = self.units(parts, sorted, local)?;
        let mut order: Vec<u32> = (0..units.len() as u32).collect();
        order.sort_unstable_by_key(|&unit| (units[unit as usize].stratum, units[unit as usize].hash));
        let mut rank = vec![0u32; units.len()];
        order.iter().zip(0..).for_each(|(&unit, row)| rank[unit as usize] = row);
        places.iter_mut().flatten().for_each(|place| place.unit = rank[place.unit as usize]);
        let ordered: Vec<&Unit<'_>> = order.iter().map(|&unit| &units[unit as usize]).collect();
        let assembly = loop {
            let shape = RowLayout::new(self.periods.len(), by_period);
            let mut assembly = AssembledRows::new(shape, units.len());
            for field in 0..self.fields.len() {
                self.place(&mut assembly, field, parts, &places)
                    .map_err(|twice| self.duplicate(&ordered, twice))?;
            }
            if !assembly.differs.contains(&true) {
                break assembly;
            }
            by_period.iter_mut().zip(&assembly.differs).for_each(|(own, &differs)| *own |= differs);
        };
        self.write(&ordered, &assembly)
    }

    /// Returns the units of a shard in the order of appearance, and the positions of all its records by block.
    fn units<'b>(
        &self,
        parts: &'b [Part<'_>],
        sorted: &[Sorted],
        local: usize,
    ) -> Result<(Vec<Unit<'b>>, Vec<Vec<Place>>)> {
        let mut known: HashMap<u128, u32, BuildHasherDefault<KeyHasher>> = HashMap::default();
        let mut units: Vec<Unit<'b>> = Vec::new();
        let mut places = Vec::with_capacity(parts.len());
        let mut buffer = Vec::new();
        for (Part { header, codes, block }, sorted) in parts.iter().zip(sorted) {
            let records = sorted.of(local);
            let mut own = Vec::with_capacity(records.len());
            for &record in records {
                let id = block.id(record as usize);
                let key = match id {
                    RecordId::Integer(id) => id as u128,
                    RecordId::Text(_) => hash_of(self.keys.ids, id, &mut buffer),
                };
                let stratum = codes.strata[usize::from(block.stratum(record as usize))];
                let unit = *known.entry(key).or_insert_with(|| {
                    units.push(Unit { id, hash: hash_of(self.keys.ids, id, &mut buffer), stratum });
                    units.len() as u32 - 1
                });
                let first = units[unit as usize].stratum;
                if first != stratum {
                    let label = |code: u16| self.strata[usize::from(code)];
                    let name = format!("unit {}", text(self.keys.ids, id));
                    let calendar = self.keys.calendar.as_ref();
                    return Err(varying_stratum_error(&name, label(first), label(stratum), calendar));
                }
                let period = match header.wide {
                    Some(_) => 0,
                    None => codes.periods[usize::from(block.period(record as usize))],
                };
                own.push(Place { record, unit, period });
            }
            places.push(own);
        }
        Ok((units, places))
    }

    /// Writes one variable of all records.
    fn place(
        &self,
        assembly: &mut AssembledRows,
        field: usize,
        parts: &[Part<'_>],
        places: &[Vec<Place>],
    ) -> std::result::Result<(), DuplicateRow> {
        let text = self.fields[field].kind.is_text();
        for (Part { header, codes, block }, places) in parts.iter().zip(places) {
            let value = |slot: u64| match text && slot != MISSING && slot != UNSET {
                true => encode(f64::from(codes.texts[decode(slot) as usize])),
                false => slot,
            };
            let Some(wide) = &header.wide else {
                let column = block.values(field);
                let record =
                    |p: &Place| (p.unit as usize, usize::from(p.period), value(column.at(p.record as usize)));
                assembly.place_field(field, places.iter().map(record))?;
                continue;
            };
            let shape = RowLayout::new(codes.periods.len(), wide);
            for (local, &period) in codes.periods.iter().enumerate() {
                let (column, rows) =
                    (block.values(shape.slot(field, local)), block.values(shape.slot(0, local)));
                let there = places.iter().filter(|p| rows.at(p.record as usize) != UNSET);
                let record =
                    |p: &Place| (p.unit as usize, usize::from(period), value(column.at(p.record as usize)));
                assembly.place_field(field, there.map(record))?;
            }
        }
        Ok(())
    }

    fn duplicate(&self, units: &[&Unit<'_>], twice: DuplicateRow) -> PrepareTaskError {
        let (id, period) = (text(self.keys.ids, units[twice.unit].id), self.periods[twice.period]);
        PrepareTaskError::Conflict(RowConflict::DuplicateRow { id, period })
    }

    fn write(
        &self,
        units: &[&Unit<'_>],
        assembly: &AssembledRows,
    ) -> std::result::Result<(ShardFile, ShardReport), PrepareTaskError> {
        let segments = segments_of(units);
        let count = units.len();
        let shape = &assembly.shape;
        let mut fields = Vec::with_capacity(self.fields.len());
        let mut values = Vec::with_capacity(self.fields.len());
        for (index, field) in self.fields.iter().enumerate() {
            let column =
                |period| (0..count).map(|unit| assembly.row(unit)[shape.slot(index, period)]).collect();
            let varies = assembly.varies(index, count);
            if varies && field.kind == FieldKind::Cluster {
                return Err(self.two_clusters(units, assembly, index));
            }
            if field.outcome || !assembly.is_constant(index, count) {
                let columns: Vec<Vec<u64>> = (0..shape.periods).map(column).collect();
                let missing = columns.iter().flatten().any(|&slot| slot == MISSING);
                fields.push(FieldReport { varies, missing, bytes: 0 });
                values.push(FieldValues::ByPeriod(columns));
            } else {
                fields.push(FieldReport::default());
                values.push(FieldValues::Constant(self.constant(assembly, index, count)));
            }
        }
        let (rows, present) = self.rows(&segments, assembly);
        let data = ShardData {
            columns: self.keys,
            fields: self.fields,
            periods: self.periods,
            strata: self.strata,
            ids: self.ids(units),
            values,
            present,
            texts: self.texts,
            segments,
        };
        let file = write_shard(&data)?;
        fields.iter_mut().zip(&file.field_bytes).for_each(|(field, &bytes)| field.bytes = bytes);
        let mut by_stratum = vec![0; self.strata.len()];
        data.segments.iter().for_each(|s| by_stratum[s.stratum] = s.units as u64);
        let report = ShardReport {
            entry: file.entry.clone(),
            units: by_stratum,
            rows,
            fields,
            id_bytes: file.id_bytes,
            unbalanced: data.present.is_some(),
            gaps: Gaps::default(),
        };
        Ok((file, report))
    }

    fn ids(&self, units: &[&Unit<'_>]) -> ShardIds {
        if self.scattered.iter().flat_map(|s| &s.object.contents.members).any(|m| m.text_ids) {
            let bytes = |unit: &&Unit<'_>| match unit.id {
                RecordId::Integer(_) => None,
                RecordId::Text(bytes) => Some(bytes.to_vec()),
            };
            return ShardIds::Texts(units.iter().filter_map(bytes).collect());
        }
        let integer = |unit: &&Unit<'_>| match unit.id {
            RecordId::Integer(id) => Some(id),
            RecordId::Text(_) => None,
        };
        ShardIds::Integers(units.iter().filter_map(integer).collect())
    }

    /// The single value of each unit.
    fn constant(&self, assembly: &AssembledRows, field: usize, units: usize) -> Vec<u64> {
        let shape = &assembly.shape;
        let period = |unit| match shape.by_period[field] {
            false => 0,
            true => (0..shape.periods).find(|&p| assembly.has_row(unit, p)).unwrap_or_default(),
        };
        (0..units).map(|unit| assembly.row(unit)[shape.slot(field, period(unit))]).collect()
    }

    /// Counts the rows by stratum and period; where some unit lacks a row, returns also which units have one in each
    /// period.
    fn rows(
        &self,
        segments: &[SegmentDescription],
        assembly: &AssembledRows,
    ) -> (Vec<u64>, Option<Vec<Vec<bool>>>) {
        let periods = self.periods.len();
        let units: usize = segments.iter().map(|s| s.units).sum();
        let present: Vec<Vec<bool>> =
            (0..periods).map(|p| (0..units).map(|unit| assembly.has_row(unit, p)).collect()).collect();
        let mut rows = vec![0; self.strata.len() * periods];
        let mut start = 0;
        for segment in segments {
            for (period, own) in present.iter().enumerate() {
                let count = own[start..start + segment.units].iter().filter(|&&is| is).count();
                rows[segment.stratum * periods + period] = count as u64;
            }
            start += segment.units;
        }
        let all = present.iter().flatten().all(|&is| is);
        (rows, (!all).then_some(present))
    }

    fn two_clusters(&self, units: &[&Unit<'_>], assembly: &AssembledRows, field: usize) -> PrepareTaskError {
        let start = assembly.shape.offsets[field];
        let differs = |unit: &usize| {
            let row = &assembly.row(*unit)[start..start + assembly.shape.periods];
            let mut known = row.iter().filter(|&&v| v != UNSET && v != MISSING);
            known.next().is_some_and(|first| known.any(|value| value != first))
        };
        let unit = (0..units.len()).find(differs).unwrap_or_default();
        let column = self.fields[field].name.clone();
        PrepareTaskError::Conflict(RowConflict::TwoClusters {
            id: text(self.keys.ids, units[unit].id),
            column,
        })
    }
}

/// Records of a block, sorted by shard.
struct Sorted {
    starts: Vec<u32>,
    records: Vec<u32>,
}

impl Sorted {
    fn of(&self, shard: usize) -> &[u32] {
        &self.records[self.starts[shard] as usize..self.starts[shard + 1] as usize]
    }
}

fn hash_of(kind: KeyKind, id: RecordId<'_>, buffer: &mut Vec<u8>) -> u128 {
    match id {
        RecordId::Integer(id) => hash_integer(id),
        RecordId::Text(id) => kind.hash(id, buffer),
    }
}

fn text(kind: KeyKind, id: RecordId<'_>) -> String {
    match id {
        RecordId::Integer(id) => kind.show_integer(id),
        RecordId::Text(id) => show_bytes(id),
    }
}

/// Runs of units of one stratum.
fn segments_of(units: &[&Unit<'_>]) -> Vec<SegmentDescription> {
    let mut segments: Vec<SegmentDescription> = Vec::new();
    for unit in units {
        let stratum = usize::from(unit.stratum);
        match segments.last_mut() {
            Some(last) if last.stratum == stratum => last.units += 1,
            _ => segments.push(SegmentDescription { stratum, period: None, units: 1 }),
        }
    }
    segments
}
