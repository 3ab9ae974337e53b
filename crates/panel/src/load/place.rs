//! Second pass over the rows: writes every value to its final place, in whichever order the rows come.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::ArrayRef;
use stagger_model::error::{Result, StaggerError};
use stagger_model::parallel;
use stagger_records::{KeyColumn, KeyKind, Source, hash_integer, split_runs, with_key_column, with_texts};

use super::keys::{ChunkKeys, NO_UNIT, ScannedKeys};
use super::order::UnitOrder;
use super::prefetch::prefetch;
use super::runs::Runs;
use crate::columns::Columns;
use crate::gaps::Gaps;
use crate::slot::{MISSING, UNSET, cluster_key, encode};
use crate::slots::{FieldRole, SlotField, SlotLayout, SlotMemory};

/// Rows of all units, shard by shard, and the texts that coded covariates stand for.
pub(super) struct PlacedRows {
    pub(super) slots: SlotLayout,
    pub(super) memory: SlotMemory,
    pub(super) interned: Vec<String>,
    /// Rows without a value, by column.
    pub(super) gaps: Gaps,
}

#[derive(Default)]
struct Interner {
    codes: HashMap<String, u32>,
}

/// Reads all values. If a field turns out to vary in time, the pass starts again with one slot for each period of that
/// field.
pub(super) fn place_values(
    source: &Source,
    columns: &Columns,
    keys: &ScannedKeys,
    order: &UnitOrder,
    threads: usize,
) -> Result<PlacedRows> {
    let interner = Mutex::new(Interner::default());
    let mut by_period: Vec<bool> = Vec::new();
    loop {
        let slots = SlotLayout::new(columns, order.row_periods, &|field| by_period.get(field) == Some(&true));
        let mut memory = SlotMemory::new(order.shards.iter().map(|shard| shard.rows), slots.stride);
        let shards = memory.shards();
        let pass = Pass { source, columns, keys, order, slots: &slots, shards: &shards, interner: &interner };
        let gaps = pass.run(threads)?;
        if !slots.any_field_varies() {
            let interner = std::mem::take(&mut *interner.lock().unwrap_or_else(|e| e.into_inner()));
            let mut texts: Vec<(u32, String)> = interner.codes.into_iter().map(|(t, c)| (c, t)).collect();
            texts.sort_unstable();
            let interned = texts.into_iter().map(|(_, text)| text).collect();
            if set_outcomes(&slots, &shards, order.row_periods, threads)? != keys.rows {
                return Err(pass.duplicate(columns));
            }
            return Ok(PlacedRows { slots, memory, interned, gaps });
        }
        for field in slots.fields.iter().filter(|f| f.varies.load(Ordering::Relaxed)) {
            pass.two_clusters(columns, field)?;
        }
        by_period = slots.fields.iter().map(|f| f.by_period || f.varies.load(Ordering::Relaxed)).collect();
    }
}

/// Counts the outcome slots that were written: fewer than the rows means that two rows share a unit and a period.
fn set_outcomes(slots: &SlotLayout, shards: &[&[AtomicU64]], periods: usize, threads: usize) -> Result<u64> {
    let set = |row: &[AtomicU64]| {
        row[..periods].iter().filter(|s| s.load(Ordering::Relaxed) != UNSET).count() as u64
    };
    let counts = parallel::map(threads, shards.len(), |shard| {
        Ok(shards[shard].chunks(slots.stride).map(set).sum::<u64>())
    })?;
    Ok(counts.iter().sum())
}

/// The second pass.
pub(super) struct Pass<'a> {
    pub(super) source: &'a Source,
    columns: &'a Columns,
    pub(super) keys: &'a ScannedKeys,
    pub(super) order: &'a UnitOrder,
    slots: &'a SlotLayout,
    shards: &'a [&'a [AtomicU64]],
    interner: &'a Mutex<Interner>,
}

/// Memory that a thread reuses between batches.
#[derive(Default)]
pub(super) struct Scratch<'a> {
    numbers: Vec<f64>,
    integers: Vec<i64>,
    fields: Vec<FieldValues>,
    located: Vec<LocatedRun<'a>>,
    known_texts: HashMap<String, u32>,
    buffer: Vec<u8>,
    gaps: Gaps,
}

/// Values of a field in a batch, as slots hold them.
#[derive(Default)]
struct FieldValues {
    /// One for each row, or for each run of rows with the same value.
    encoded: Vec<u64>,
    /// The row after the last of each run; empty with a value for each row.
    ends: Vec<i32>,
    /// The run that is being written.
    at: usize,
}

impl<'a> Pass<'a> {
    /// Reads all rows; returns those without a value, by column.
    fn run(&self, threads: usize) -> Result<Gaps> {
        let names: Vec<String> = self.slots.fields.iter().map(|f| f.name.clone()).collect();
        let once = self.slots.fields.iter().filter(|f| !f.by_period && !self.slots.by_period(&f.name));
        let once: Vec<String> = once.map(|f| f.name.clone()).collect();
        let threads_read =
            parallel::for_each(threads, self.source.chunks().len(), Scratch::default, |scratch, index| {
                if self.slots.any_field_varies() {
                    return Ok(());
                }
                let chunk = &self.source.chunks()[index];
                let keys = &self.keys.chunks[index];
                let first_period = keys.periods.consecutive(&self.order.period_of[keys.table]);
                let mut runs = Runs::new(keys);
                self.source.read_runs(chunk, &names, &once, |row, arrays| {
                    let batch = Batch { keys, first_row: row, first_period };
                    let read = names.iter().map(String::as_str).zip(arrays);
                    scratch.gaps.count_batch(read, chunk.file, chunk.first_row + row as u64)?;
                    self.place_batch(arrays, &batch, &mut runs, scratch)
                })
            })?;
        let mut gaps = Gaps::default();
        threads_read.iter().for_each(|own| gaps.merge(&own.gaps));
        Ok(gaps)
    }

    /// Writes the values of a batch to their slots. Some units at a time get the values of all fields, while their slots are
    /// in the cache.
    fn place_batch(
        &self,
        arrays: &[ArrayRef],
        batch: &Batch<'_>,
        runs: &mut Runs<'_>,
        scratch: &mut Scratch<'a>,
    ) -> Result<()> {
        let mut fields = std::mem::take(&mut scratch.fields);
        let mut located = std::mem::take(&mut scratch.located);
        self.locate(batch, arrays.first().map_or(0, |a| a.len()), runs, &mut located);
        fields.resize_with(arrays.len(), FieldValues::default);
        for ((field, array), values) in self.slots.fields.iter().zip(arrays).zip(&mut fields) {
            let (array, ends) = split_runs(array).unwrap_or((array, &[]));
            values.encoded.clear();
            values.ends.clear();
            values.ends.extend_from_slice(ends);
            values.at = 0;
            self.encode_field(field, array, scratch, &mut values.encoded)?;
        }
        let mut blocks = located.chunks(TOGETHER).peekable();
        while let Some(block) = blocks.next() {
            blocks.peek().into_iter().copied().flatten().for_each(|run| self.prefetch_slots(batch, run));
            for (field, values) in self.slots.fields.iter().zip(&mut fields) {
                match (field.by_period, values.ends.is_empty()) {
                    (true, _) => self.scatter_by_period(field, batch, block, &values.encoded),
                    (false, true) => self.scatter_constant(field, block, &values.encoded),
                    (false, false) => self.scatter_runs(field, block, values),
                }
            }
        }
        (scratch.fields, scratch.located) = (fields, located);
        Ok(())
    }

    /// Asks for the slots of a run that will be written soon.
    fn prefetch_slots(&self, batch: &Batch<'_>, run: &LocatedRun<'_>) {
        let (first, last) =
            (self.period(batch, run, run.rows.start), self.period(batch, run, run.rows.end - 1));
        for field in self.slots.fields.iter() {
            // Outcomes come first; what has a single slot mostly stands side by side, at the end.
            let offset = field.offset;
            if field.by_period {
                prefetch(&run.slots[offset + first]);
                prefetch(&run.slots[offset + last]);
            } else if offset.is_multiple_of(LINE) || offset + 1 == self.slots.stride {
                prefetch(&run.slots[offset]);
            }
        }
    }

    fn encode_field(
        &self,
        field: &SlotField,
        array: &ArrayRef,
        scratch: &mut Scratch<'_>,
        out: &mut Vec<u64>,
    ) -> Result<()> {
        match field.kind {
            FieldRole::Covariate { text: true } => self.encode_texts(array, scratch, out),
            FieldRole::Cluster { dimension } => {
                let kind = self.columns.kind(&field.name);
                encode_clusters(field, (dimension, kind), array, scratch, out)
            }
            _ => self.columns.numbers(array, &field.name, &mut scratch.numbers, |values| {
                out.extend(values.iter().map(|&value| encode(value)));
                Ok(())
            }),
        }
    }

    /// Finds the slots of each run of a batch of `rows` rows, and moves the cursor behind the batch.
    fn locate(&self, batch: &Batch<'_>, rows: usize, runs: &mut Runs<'_>, out: &mut Vec<LocatedRun<'a>>) {
        out.clear();
        let positions = &self.order.positions[batch.keys.table];
        let stride = self.slots.stride;
        let mut row = 0;
        while row < rows {
            let run = runs.current();
            if let Some(later) = runs.unit_ahead(AHEAD).and_then(|unit| positions.get(unit as usize)) {
                prefetch(later);
            }
            let end = (run.end - batch.first_row).min(rows);
            if run.unit != NO_UNIT {
                let position = u64::from(positions[run.unit as usize].load(Ordering::Relaxed));
                let shard = self.shards[(position >> self.order.row_bits) as usize];
                let slot = (position & ((1 << self.order.row_bits) - 1)) as usize * stride;
                let slots = &shard[slot..slot + stride];
                out.push(LocatedRun { slots, rows: row as u32..end as u32, start: run.start });
            }
            row = end;
            if row < rows {
                runs.next();
            }
        }
        runs.advance(rows);
    }

    fn scatter_by_period(
        &self,
        field: &SlotField,
        batch: &Batch<'_>,
        runs: &[LocatedRun<'_>],
        values: &[u64],
    ) {
        for run in runs {
            let slots = &run.slots[field.offset..];
            let own = &values[run.rows.start as usize..run.rows.end as usize];
            if batch.first_period.is_some() {
                let first = self.period(batch, run, run.rows.start);
                for (slot, &value) in slots[first..].iter().zip(own) {
                    slot.store(value, Ordering::Relaxed);
                }
            } else {
                for (row, &value) in run.rows.clone().zip(own) {
                    slots[self.period(batch, run, row)].store(value, Ordering::Relaxed);
                }
            }
        }
    }

    fn scatter_constant(&self, field: &SlotField, runs: &[LocatedRun<'_>], values: &[u64]) {
        let mut constant = true;
        for run in runs {
            let own = &values[run.rows.start as usize..run.rows.end as usize];
            let first = own[0];
            let differs = own.iter().fold(0, |differs, value| differs | (value ^ first));
            constant &= differs == 0
                && first != MISSING
                && settle(&run.slots[field.offset], first, own.len() == self.order.row_periods);
        }
        if !constant {
            field.varies.store(true, Ordering::Relaxed);
        }
    }

    /// Does the same as [`Pass::scatter_constant`] with values that are each those of all rows up to their end.
    fn scatter_runs(&self, field: &SlotField, runs: &[LocatedRun<'_>], values: &mut FieldValues) {
        let FieldValues { encoded, ends, at } = values;
        let behind = |at: usize, row: u32| ends.get(at).is_some_and(|end| *end as u32 <= row);
        let mut constant = true;
        for run in runs {
            while behind(*at, run.rows.start) {
                *at += 1;
            }
            let first = encoded[*at];
            while behind(*at, run.rows.end - 1) {
                *at += 1;
                constant &= encoded[*at] == first;
            }
            constant &= first != MISSING
                && settle(&run.slots[field.offset], first, run.rows.len() == self.order.row_periods);
        }
        if !constant {
            field.varies.store(true, Ordering::Relaxed);
        }
    }

    /// Index of the period of a row of a batch.
    #[inline]
    fn period(&self, batch: &Batch<'_>, run: &LocatedRun<'_>, row: u32) -> usize {
        let row = batch.first_row + row as usize;
        match batch.first_period {
            Some(first) => first as usize + row - run.start,
            None => {
                let code = batch.keys.periods.at(row, run.start);
                self.order.period_of[batch.keys.table][code as usize] as usize
            }
        }
    }

    fn encode_texts(&self, array: &ArrayRef, scratch: &mut Scratch<'_>, out: &mut Vec<u64>) -> Result<()> {
        with_texts(array, |texts| {
            for text in texts {
                let Some(text) = text else {
                    out.push(MISSING);
                    continue;
                };
                let code = match scratch.known_texts.get(text) {
                    Some(&code) => code,
                    None => {
                        let mut interner = self.interner.lock().unwrap_or_else(|e| e.into_inner());
                        let fresh = interner.codes.len() as u32;
                        let code = *interner.codes.entry(text.to_owned()).or_insert(fresh);
                        if interner.codes.len() > 100_000 {
                            return Err(StaggerError::input(
                                "a text covariate has more than 100000 different values",
                            )
                            .with_hint("a factor() in --xformla must have few levels"));
                        }
                        scratch.known_texts.insert(text.to_owned(), code);
                        code
                    }
                };
                out.push(encode(f64::from(code)));
            }
            Ok(())
        })
    }
}

/// Writes a value to a slot that all rows of a unit share; returns `false` if it holds another value. `alone` says that
/// no other row has this unit, so that no other thread writes the slot.
#[inline]
fn settle(slot: &AtomicU64, value: u64, alone: bool) -> bool {
    let known = slot.load(Ordering::Relaxed);
    if known != UNSET {
        return known == value;
    }
    if alone {
        slot.store(value, Ordering::Relaxed);
        return true;
    }
    match slot.compare_exchange(UNSET, value, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => true,
        Err(other) => other == value,
    }
}

/// Appends the keys of a cluster variable as slots hold them.
pub(super) fn encode_clusters(
    field: &SlotField,
    (dimension, kind): (usize, KeyKind),
    array: &ArrayRef,
    scratch: &mut Scratch<'_>,
    out: &mut Vec<u64>,
) -> Result<()> {
    let key = |hash: u128| cluster_key(hash as u64, dimension);
    let buffer = &mut scratch.buffer;
    with_key_column(array, &field.name, kind, &mut scratch.integers, |ids| {
        match &ids {
            KeyColumn::Integers { ids, nulls: None, .. } => {
                let mut last: Option<(i64, u64)> = None;
                out.extend(ids.iter().map(|&id| match last {
                    Some((known, slot)) if known == id => slot,
                    _ => last.insert((id, key(hash_integer(id)))).1,
                }));
            }
            _ => out.extend((0..ids.len()).map(|row| match ids.is_missing(row) {
                true => MISSING,
                false => key(ids.hash(row, buffer)),
            })),
        }
        Ok(())
    })
}

/// Number of runs between the one whose unit is asked for and the one that is located.
const AHEAD: usize = 16;
/// Number of runs whose slots are written together; those of twice as many fit the first cache of a core.
const TOGETHER: usize = 64;
/// Slots in a cache line.
const LINE: usize = 8;

/// A run of rows of one unit in a batch, with the unit's slots.
struct LocatedRun<'a> {
    slots: &'a [AtomicU64],
    /// Rows in the batch.
    rows: Range<u32>,
    /// First row of the run in the chunk.
    start: usize,
}

/// Position of a batch of rows.
struct Batch<'a> {
    keys: &'a ChunkKeys,
    /// Number of its first row in the chunk.
    first_row: usize,
    /// First period, if all runs of the chunk have the same consecutive periods.
    first_period: Option<u16>,
}
