//! Shards of a store: the columns to read for given needs, and their conversion to the columns of the specifications.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array};
use stagger_estimator::columns::AlignedVec;
use stagger_estimator::lanes::LANES;
use stagger_model::error::Result;
use stagger_records::{KeyKind, hash_integer};

use super::StoredShards;
use crate::build::{Builder, BuiltShard, RawShard};
use crate::panel_store::keys;
use crate::panel_store::read::OpenShard;
use crate::panel_store::write::{column_name, id_column_name, presence_column_name};
use crate::shard::{PeriodBits, Segment};
use crate::slot::{cluster_key, decode};
use crate::slots::{FieldRole, SlotLayout};
use crate::strata::NeededColumns;

/// A value, or the contradiction that was found in a shard.
type Checked<T> = std::result::Result<T, String>;

impl StoredShards {
    /// Reads a shard; outcomes that are not needed become zeros.
    pub fn build(&self, index: usize, needs: NeededColumns) -> Result<Vec<BuiltShard>> {
        let manifest = &self.store.manifest;
        let periods = if manifest.cross_sections { 1 } else { manifest.periods.len() };
        let opened =
            self.store.open_shard(index, self.storage().is_remote() && self.reads_most_bytes(needs))?;
        let (segments, rows) = segments(&opened);
        let names = self.names(needs);
        let arrays = self.store.read_columns(&opened, &names.all)?;
        let slots = SlotLayout::new(&self.columns, periods, &|field| names.has_periods(field, &arrays));
        let absent = names.absent.clone().map(|at| absent_rows(&arrays[at], &segments, rows, periods));
        let wrong = |why: String| self.store.contradiction_error(&keys::shard(index), &why);
        let absent = absent.transpose().map_err(wrong)?.flatten();
        let mut raw = RawShard {
            columns: Vec::with_capacity(slots.stride),
            gaps: Vec::with_capacity(slots.stride),
            varies: Vec::new(),
            absent,
        };
        for (field, of) in slots.fields.iter().zip(&names.fields) {
            let own = if field.by_period && !manifest.cross_sections { &of.by_period } else { &of.constant };
            let Some(own) = own else {
                unread(&mut raw, rows, field.by_period.then_some(periods));
                continue;
            };
            for at in own.clone() {
                let name = &names.all[at];
                let wrong = |why: String| self.store.contradiction_error(&keys::shard(index), &why);
                let array = arrays[at].as_ref().ok_or_else(|| wrong(format!("it has no column `{name}`")))?;
                let column = self.column(field.kind, array, &segments, rows);
                let (values, gap) = column.map_err(|why| wrong(format!("column `{name}`: {why}")))?;
                raw.columns.push(values);
                raw.gaps.push(gap);
            }
        }
        let keys = match needs.keys {
            true => {
                let ids = arrays.first().and_then(Option::as_ref);
                unit_keys(ids, manifest.columns.ids, &segments, rows).map_err(wrong)?
            }
            // The keys are not used, but are sliced with the other columns.
            false => vec![0; rows],
        };
        let builder = Builder { slots: &slots, varies: &self.varies, periods, segments: &segments, rows };
        Ok(builder.build(raw, &self.uses, Arc::new(keys)))
    }

    /// Names of the columns to read.
    fn names(&self, needs: NeededColumns) -> Names {
        let manifest = &self.store.manifest;
        let mut names = Names { all: Vec::new(), fields: Vec::new(), absent: None };
        if needs.keys {
            names.all.push(id_column_name(&manifest.columns, manifest.cross_sections));
        }
        for (slot, &field) in self.fields.iter().enumerate() {
            let field = &manifest.fields[field];
            let wanted = self.wants(slot, needs);
            let mut add = |periods: &[Option<f64>]| {
                let start = names.all.len();
                let name =
                    |&period: &Option<f64>| column_name(&manifest.columns, &field.name, field.kind, period);
                names.all.extend(periods.iter().map(name));
                start..names.all.len()
            };
            let panel = !manifest.cross_sections;
            let constant = !field.outcome || !panel;
            let by_period = panel && (field.outcome || field.varies || field.missing);
            let periods: Vec<Option<f64>> = manifest.periods.iter().copied().map(Some).collect();
            let of = FieldColumns {
                constant: (wanted && constant).then(|| add(&[None])),
                by_period: (wanted && by_period).then(|| add(&periods)),
            };
            names.fields.push(of);
        }
        if manifest.unbalanced {
            let start = names.all.len();
            names.all.extend(manifest.periods.iter().map(|&period| presence_column_name(period)));
            names.absent = Some(start..names.all.len());
        }
        names
    }

    /// Reads a column with its padding, which is 0, and tells if some unit has no value.
    fn column(
        &self,
        kind: FieldRole,
        array: &ArrayRef,
        segments: &[Segment],
        rows: usize,
    ) -> Checked<(AlignedVec, bool)> {
        let mut out = AlignedVec::zeros(rows);
        let wrong = || format!("it has type {}", array.data_type());
        let mut unknown = false;
        match kind {
            FieldRole::Covariate { text: true } => {
                let texts = array.as_string_opt::<i32>().ok_or_else(wrong)?;
                spread(segments, &mut out, |row| match texts.is_valid(row) {
                    true => self.texts.get(texts.value(row)).map_or_else(
                        || {
                            unknown = true;
                            f64::NAN
                        },
                        |&code| f64::from(code),
                    ),
                    false => f64::NAN,
                });
                if unknown {
                    return Err("it has a text that the manifest does not name".to_owned());
                }
            }
            FieldRole::Cluster { dimension } => {
                let hashes = array.as_primitive_opt::<UInt64Type>().ok_or_else(wrong)?;
                spread(segments, &mut out, |row| match hashes.is_valid(row) {
                    true => decode(cluster_key(hashes.value(row), dimension)),
                    false => f64::NAN,
                });
            }
            _ => {
                let numbers = array.as_primitive_opt::<Float64Type>().ok_or_else(wrong)?;
                place_numbers(segments, numbers, &mut out);
            }
        }
        Ok((out, array.null_count() > 0))
    }
}

/// Copies the numbers of a file's column to the places of the segments; NaN where there is none.
fn place_numbers(segments: &[Segment], numbers: &Float64Array, out: &mut AlignedVec) {
    let mut at = 0;
    for segment in segments {
        let own = &numbers.values()[at..at + segment.units];
        out[segment.start..segment.start + segment.units].copy_from_slice(own);
        at += segment.units;
    }
    let Some(nulls) = numbers.nulls() else { return };
    let mut row = 0;
    for segment in segments {
        for unit in segment.start..segment.start + segment.units {
            if nulls.is_null(row) {
                out[unit] = f64::NAN;
            }
            row += 1;
        }
    }
}

/// Adds a field that is not read: zeros, missing where there is no row.
fn unread(raw: &mut RawShard, rows: usize, periods: Option<usize>) {
    for period in 0..periods.unwrap_or(1) {
        let mut zeros = AlignedVec::zeros(rows);
        let mut gap = false;
        if let Some(bits) = raw.absent.as_ref().filter(|_| periods.is_some()) {
            for row in (0..rows).filter(|&row| bits.get(row, period)) {
                zeros[row] = f64::NAN;
                gap = true;
            }
        }
        raw.columns.push(zeros);
        raw.gaps.push(gap);
    }
}

/// Writes `value(row)` for all units; padding stays as it is.
fn spread(segments: &[Segment], out: &mut AlignedVec, mut value: impl FnMut(usize) -> f64) {
    let mut row = 0;
    for segment in segments {
        for unit in segment.start..segment.start + segment.units {
            out[unit] = value(row);
            row += 1;
        }
    }
}

/// Positions of a field's columns among those read.
#[derive(Clone, Debug, Default)]
struct FieldColumns {
    constant: Option<Range<usize>>,
    by_period: Option<Range<usize>>,
}

/// Columns to read from every shard; a shard lacks those that it has in the other form.
struct Names {
    all: Vec<String>,
    fields: Vec<FieldColumns>,
    absent: Option<Range<usize>>,
}

impl Names {
    /// Tells if a shard has a field's values by period; in cross sections, if some row lacks it.
    fn has_periods(&self, field: usize, arrays: &[Option<ArrayRef>]) -> bool {
        let first = |range: &Option<Range<usize>>| arrays[range.as_ref()?.start].as_ref();
        let of = &self.fields[field];
        match (first(&of.by_period), first(&of.constant)) {
            (Some(_), _) => true,
            (None, Some(array)) => array.null_count() > 0,
            (None, None) => false,
        }
    }
}

fn segments(shard: &OpenShard) -> (Vec<Segment>, usize) {
    let mut rows = 0;
    let mut out = Vec::with_capacity(shard.note.segments.len());
    for note in &shard.note.segments {
        out.push(Segment { stratum: note.stratum, period: note.period, start: rows, units: note.units });
        rows = (rows + note.units).next_multiple_of(LANES);
    }
    (out, rows)
}

/// Units × periods without a row; `None` if all have one.
fn absent_rows(
    arrays: &[Option<ArrayRef>],
    segments: &[Segment],
    rows: usize,
    periods: usize,
) -> Checked<Option<PeriodBits>> {
    let mut bits: Option<PeriodBits> = None;
    for (period, array) in arrays.iter().enumerate() {
        let Some(array) = array else { continue };
        let present: &BooleanArray = array
            .as_boolean_opt()
            .ok_or_else(|| "what says which rows are there has no logicals".to_owned())?;
        let bits = bits.get_or_insert_with(|| PeriodBits::new(rows, periods));
        let mut row = 0;
        for segment in segments {
            for unit in segment.start..segment.start + segment.units {
                if !present.value(row) {
                    bits.set(unit, period);
                }
                row += 1;
            }
            // Padding has no row either, as in a panel that is read from its rows.
        }
    }
    if let Some(bits) = &mut bits {
        let mut last = 0;
        for end in segments.iter().map(|s| (s.start, s.start + s.units)).chain([(rows, rows)]) {
            for row in last..end.0 {
                (0..periods).for_each(|period| bits.set(row, period));
            }
            last = end.1;
        }
    }
    Ok(bits)
}

/// Multiplier keys of the units: the lower halves of their hashes.
fn unit_keys(ids: Option<&ArrayRef>, kind: KeyKind, segments: &[Segment], rows: usize) -> Checked<Vec<u64>> {
    let ids = ids.ok_or_else(|| "it has no identifiers".to_owned())?;
    let mut keys = vec![0; rows];
    let mut fill = |key: &mut dyn FnMut(usize) -> u64| {
        let mut row = 0;
        for segment in segments {
            for slot in &mut keys[segment.start..segment.start + segment.units] {
                *slot = key(row);
                row += 1;
            }
        }
    };
    let mut buffer = Vec::new();
    if let Some(integers) = ids.as_primitive_opt::<Int64Type>() {
        fill(&mut |row| hash_integer(integers.value(row)) as u64);
    } else if let Some(texts) = ids.as_string_opt::<i32>() {
        fill(&mut |row| kind.hash(texts.value(row).as_bytes(), &mut buffer) as u64);
    } else if let Some(bytes) = ids.as_binary_opt::<i32>() {
        fill(&mut |row| kind.hash(bytes.value(row), &mut buffer) as u64);
    } else {
        return Err(format!("its identifiers have type {}", ids.data_type()));
    }
    Ok(keys)
}
