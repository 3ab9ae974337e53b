//! Preparation of repeated cross sections: shards are ranges of row numbers, read from the files directly; nothing is
//! scattered (DESIGN §4).

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stagger_model::error::Result;
use stagger_records::Source;

use super::fields::SlotEncoder;
use super::gather::{FieldReport, ShardReport};
use crate::columns::Columns;
use crate::gaps::Gaps;
use crate::load::seen::{SeenPeriods, SeenStrata, key_columns, name_file, with_keys};
use crate::panel_store::KeyColumns;
use crate::panel_store::fields::StoreField;
use crate::panel_store::write::{FieldValues, SegmentDescription, ShardData, ShardIds, write_shard};
use crate::slot::{MISSING, decode, encode};
use crate::strata::Stratum;

/// Strata, periods, texts and counts of some rows.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct ScanResult {
    /// Strata, in the order of appearance.
    pub strata: Vec<Stratum>,
    /// Periods, in the order of appearance.
    pub periods: Vec<f64>,
    /// Texts of factors, in the order of appearance.
    pub texts: Vec<String>,
    /// Number of rows without period or eligibility.
    pub keyless_rows: u64,
    /// Number of rows whose missing cohort was read as never treated.
    pub cohortless_rows: u64,
}

/// Input that all tasks share.
pub struct CrossSectionContext<'a> {
    /// The input files.
    pub source: &'a Source,
    /// Columns that the specifications read.
    pub columns: &'a Columns,
    /// Columns that form the panel.
    pub keys: &'a KeyColumns,
    /// Variables of the store.
    pub fields: &'a [StoreField],
}

/// Strata, periods and texts of all rows, and the cut into shards.
pub struct CrossSectionShards<'a> {
    /// Strata, by cohort and eligibility.
    pub strata: &'a [Stratum],
    /// Periods, ascending.
    pub periods: &'a [f64],
    /// Texts, ascending.
    pub texts: &'a [String],
    /// Number of rows in a shard.
    pub per_shard: u64,
}

/// A batch of rows: number of the first row over all files; period, cohort and eligibility of each row; columns of the
/// variables.
struct Batch<'a> {
    first: u64,
    times: &'a [f64],
    groups: &'a [f64],
    eligible: &'a [f64],
    fields: &'a [arrow_array::ArrayRef],
}

impl CrossSectionContext<'_> {
    /// Finds the strata, periods and texts of a chunk.
    ///
    /// # Errors
    /// A chunk that can't be read, and values that do not fit the role of their column.
    pub fn scan_chunk(&self, chunk: usize) -> Result<ScanResult> {
        let (mut strata, mut periods) = (SeenStrata::default(), SeenPeriods::default());
        let mut out = ScanResult::default();
        let text: Vec<&StoreField> = self.fields.iter().filter(|f| f.kind.is_text()).collect();
        let (mut encoder, mut slots) = (SlotEncoder::default(), Vec::new());
        let first = self.first_row(chunk);
        self.read(first..first + self.source.chunks()[chunk].rows as u64, &text, &mut |batch| {
            for row in 0..batch.times.len() {
                if !batch.has_keys(row) {
                    out.keyless_rows += 1;
                    continue;
                }
                strata.cohortless_rows += u64::from(batch.groups[row].is_nan());
                strata.code(batch.groups[row], batch.eligible[row])?;
                periods.code(batch.times[row])?;
            }
            for (field, array) in text.iter().zip(batch.fields) {
                slots.clear();
                encoder.encode(self.columns, field, array, &mut slots)?;
            }
            Ok(())
        })?;
        out.cohortless_rows = strata.cohortless_rows;
        out.strata = strata.list;
        out.periods = periods.list;
        out.texts = encoder.into_texts();
        Ok(out)
    }

    fn first_row(&self, chunk: usize) -> u64 {
        self.source.chunks()[..chunk].iter().map(|c| c.rows as u64).sum()
    }

    /// Reads rows by their number over all files.
    fn read(
        &self,
        rows: Range<u64>,
        fields: &[&StoreField],
        each: &mut dyn FnMut(&Batch<'_>) -> Result<()>,
    ) -> Result<Gaps> {
        let mut gaps = Gaps::default();
        let keys = key_columns(self.columns);
        let mut names = keys.clone();
        names.extend(fields.iter().map(|f| f.name.clone()));
        let mut scratch: [Vec<f64>; 3] = Default::default();
        let mut base = 0;
        for chunk in self.source.chunks() {
            let own = base..base + chunk.rows as u64;
            base = own.end;
            let wanted = rows.start.max(own.start)..rows.end.min(own.end);
            if wanted.is_empty() {
                continue;
            }
            let local = (wanted.start - own.start) as usize..(wanted.end - own.start) as usize;
            self.source.read_rows(chunk, local, &names, |row, arrays| {
                let (keys_of, rest) = arrays.split_at(keys.len());
                let first_row = chunk.first_row + row as u64;
                gaps.count_batch(names.iter().map(String::as_str).zip(arrays), chunk.file, first_row)?;
                with_keys(self.columns, keys_of, &keys, first_row, &mut scratch, |times, groups, eligible| {
                    each(&Batch { first: own.start + row as u64, times, groups, eligible, fields: rest })
                })
                .map_err(|e| name_file(e, &self.source.path_of(chunk)))
            })?;
        }
        Ok(gaps)
    }

    /// Builds consecutive shards and calls `each(shard, file)` for them in order; returns their reports.
    ///
    /// # Errors
    /// Chunks that can't be read, and values that do not fit the role of their column.
    pub fn build_shards(
        &self,
        all: &CrossSectionShards<'_>,
        shards: Range<usize>,
        mut each: impl FnMut(usize, Bytes) -> Result<()>,
    ) -> Result<Vec<ShardReport>> {
        let end = (shards.end as u64 * all.per_shard).min(self.source.rows());
        let mut builder = Builder::new(self, all, shards.start);
        let mut encoder = SlotEncoder::default();
        let mut texts: Vec<f64> = Vec::new();
        let mut slots: Vec<Vec<u64>> = vec![Vec::new(); self.fields.len()];
        let mut reports = Vec::with_capacity(shards.len());
        let fields: Vec<&StoreField> = self.fields.iter().collect();
        let start = (shards.start as u64 * all.per_shard).min(end);
        let gaps = self.read(start..end, &fields, &mut |batch| {
            for ((field, array), out) in fields.iter().zip(batch.fields).zip(&mut slots) {
                out.clear();
                encoder.encode(self.columns, field, array, out)?;
                if field.kind.is_text() {
                    translate(&encoder, all.texts, &mut texts, out);
                }
            }
            for row in 0..batch.times.len() {
                while batch.first + row as u64 >= (builder.shard as u64 + 1) * all.per_shard {
                    reports.push(builder.finish(&mut each)?);
                }
                builder.add(batch, row, &slots);
            }
            Ok(())
        })?;
        while builder.shard < shards.end {
            reports.push(builder.finish(&mut each)?);
        }
        // Missing values are counted over the rows of the task; the first of its shards reports them.
        if let Some(first) = reports.first_mut() {
            first.gaps = gaps;
        }
        Ok(reports)
    }
}

/// Translates a task's codes of texts to those of all texts.
fn translate(encoder: &SlotEncoder, all: &[String], known: &mut Vec<f64>, slots: &mut [u64]) {
    encoder.translate_texts(all, known);
    for slot in slots.iter_mut().filter(|slot| **slot != MISSING) {
        *slot = encode(known[decode(*slot) as usize]);
    }
}

impl Batch<'_> {
    fn has_keys(&self, row: usize) -> bool {
        self.times[row].is_finite() && !self.eligible[row].is_nan()
    }
}

/// Rows of one shard, by stratum and period.
struct Builder<'a> {
    rows: &'a CrossSectionContext<'a>,
    all: &'a CrossSectionShards<'a>,
    shard: usize,
    /// Rows by indices of stratum and period.
    kinds: BTreeMap<(usize, usize), Kind>,
}

/// Rows of one stratum and period: their numbers, and the values of every variable.
struct Kind {
    numbers: Vec<i64>,
    values: Vec<Vec<u64>>,
}

impl<'a> Builder<'a> {
    fn new(rows: &'a CrossSectionContext<'a>, all: &'a CrossSectionShards<'a>, shard: usize) -> Self {
        Self { rows, all, shard, kinds: BTreeMap::new() }
    }

    fn add(&mut self, batch: &Batch<'_>, row: usize, slots: &[Vec<u64>]) {
        if !batch.has_keys(row) {
            return;
        }
        let stratum = SeenStrata::stratum_of(batch.groups[row], batch.eligible[row]);
        let stratum = self.all.strata.iter().position(|s| *s == stratum).unwrap_or_default();
        let period = self.all.periods.partition_point(|&known| known < batch.times[row]);
        let kind = self
            .kinds
            .entry((stratum, period))
            .or_insert_with(|| Kind { numbers: Vec::new(), values: vec![Vec::new(); slots.len()] });
        kind.numbers.push((batch.first + row as u64) as i64);
        kind.values.iter_mut().zip(slots).for_each(|(own, slots)| own.push(slots[row]));
    }

    /// Writes the shard and starts the next one.
    fn finish(&mut self, each: &mut impl FnMut(usize, Bytes) -> Result<()>) -> Result<ShardReport> {
        let kinds = std::mem::take(&mut self.kinds);
        let (strata, periods) = (self.all.strata.len(), self.all.periods.len());
        let mut segments = Vec::with_capacity(kinds.len());
        let mut numbers = Vec::new();
        let mut values: Vec<Vec<u64>> = vec![Vec::new(); self.rows.fields.len()];
        let (mut rows, mut units) = (vec![0; strata * periods], vec![0; strata]);
        for ((stratum, period), kind) in kinds {
            let count = kind.numbers.len();
            segments.push(SegmentDescription { stratum, period: Some(period), units: count });
            rows[stratum * periods + period] = count as u64;
            units[stratum] += count as u64;
            numbers.extend(kind.numbers);
            values.iter_mut().zip(kind.values).for_each(|(all, slots)| all.extend(slots));
        }
        let missing: Vec<bool> = values.iter().map(|slots| slots.contains(&MISSING)).collect();
        let data = ShardData {
            columns: self.rows.keys,
            fields: self.rows.fields,
            periods: self.all.periods,
            strata: self.all.strata,
            segments,
            ids: ShardIds::Rows(numbers),
            values: values.into_iter().map(FieldValues::Constant).collect(),
            present: None,
            texts: self.all.texts,
        };
        let file = write_shard(&data)?;
        each(self.shard, file.bytes)?;
        self.shard += 1;
        let field = |(&missing, &bytes): (&bool, &u64)| FieldReport { varies: false, missing, bytes };
        Ok(ShardReport {
            entry: file.entry,
            units,
            rows,
            fields: missing.iter().zip(&file.field_bytes).map(field).collect(),
            id_bytes: file.id_bytes,
            unbalanced: false,
            gaps: Gaps::default(),
        })
    }
}
