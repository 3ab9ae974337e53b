//! Rows become columns: atoms of the formula evaluated, missing values marked, constants kept once, rows counted.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use stagger_estimator::columns::AlignedVec;
use stagger_estimator::formula::{Atom, Expr, Formula};

use super::Columns;
use super::order::Order;
use super::place::Placed;
use super::slots::{Buffer, Field, FieldKind, MISSING, Slots, UNSET, decode};
use crate::error::{EngineError, Result};
use crate::panel::{Census, Panel};
use crate::parallel;
use crate::shard::{PeriodBits, Segment, Shard, ShardColumn};

/// Rows transposed at a time; their slots stay in the first cache.
const TILE: usize = 64;

/// Slots of one shard as columns; NaN where missing.
struct RawShard {
    /// One column a slot.
    columns: Vec<AlignedVec>,
    /// Per slot: whether some unit has no value.
    gaps: Vec<bool>,
    /// Units × periods that have a row; `None` if all have.
    absent: Option<PeriodBits>,
    /// Per field: whether two values of a unit differ.
    varies: Vec<bool>,
}

/// Builds the panel from the placed rows.
pub(super) fn finish(
    columns: &Columns,
    formula: &Formula,
    order: Order,
    placed: Placed,
    threads: usize,
) -> Result<Panel> {
    let Placed { slots, buffers, interned } = placed;
    let periods = order.periods.len();
    let buffers: Vec<Mutex<Buffer>> = buffers.into_iter().map(Mutex::new).collect();
    let raw = parallel::map(threads, buffers.len(), |shard| {
        let buffer = std::mem::take(&mut *buffers[shard].lock().unwrap_or_else(|e| e.into_inner()));
        Ok(Mutex::new(Some(transpose(
            &buffer,
            &slots,
            &order.shards[shard].segments,
            order.shards[shard].rows,
            periods,
        ))))
    })?;
    // Clusters that vary were refused before.
    let varies: Vec<bool> = (0..slots.fields.len())
        .map(|f| {
            raw.iter()
                .any(|r| r.lock().unwrap_or_else(|e| e.into_inner()).as_ref().is_some_and(|r| r.varies[f]))
        })
        .collect();
    let atoms = atom_plans(columns, formula, &slots)?;
    let shards = parallel::map(threads, raw.len(), |shard| {
        let taken = raw[shard].lock().unwrap_or_else(|e| e.into_inner()).take();
        let Some(raw) = taken else { return Err(EngineError::failed("a shard was taken twice")) };
        let order = &order.shards[shard];
        let builder =
            Builder { slots: &slots, varies: &varies, periods, segments: &order.segments, rows: order.rows };
        Ok(builder.build(raw, &atoms, order.keys.clone()))
    })?;
    let mut census = Census::new(order.cohorts.len(), periods);
    let mut done = Vec::with_capacity(shards.len());
    for (shard, counts) in shards {
        census.merge(&counts);
        done.push(shard);
    }
    let first = done.first();
    Ok(Panel {
        atoms_vary: first.is_some_and(|s| s.atoms.iter().any(ShardColumn::varies)),
        weights_vary: first.is_some_and(|s| s.weights.as_ref().is_some_and(ShardColumn::varies)),
        text_atoms: atoms.iter().map(|a| a.text).collect(),
        shards: done,
        periods: order.periods,
        cohorts: order.cohorts,
        units: order.units,
        input_rows: 0,
        keyless_rows: order.keyless_rows,
        cohortless_rows: order.cohortless_rows,
        census,
        interned: Arc::new(interned),
        files: Vec::new(),
    })
}

fn transpose(buffer: &Buffer, slots: &Slots, segments: &[Segment], rows: usize, periods: usize) -> RawShard {
    let padding = rows - segments.iter().map(|s| s.units).sum::<usize>();
    let mut columns: Vec<AlignedVec> = (0..slots.stride).map(|_| AlignedVec::zeros(rows)).collect();
    let mut empty = vec![0usize; slots.stride];
    for tile in (0..rows).step_by(TILE) {
        let end = (tile + TILE).min(rows);
        for (slot, column) in columns.iter_mut().enumerate() {
            let mut none = 0;
            for (row, value) in (tile..end).zip(&mut column[tile..end]) {
                let held = buffer[row * slots.stride + slot].load(Ordering::Relaxed);
                none += usize::from(held == UNSET || held == MISSING);
                *value = decode(held);
            }
            empty[slot] += none;
        }
    }
    let gaps: Vec<bool> = empty.iter().map(|&none| none > padding).collect();
    let absent = gaps[..periods].contains(&true).then(|| {
        let mut bits = PeriodBits::new(rows, periods);
        for row in 0..rows {
            for period in 0..periods {
                if buffer[row * slots.stride + period].load(Ordering::Relaxed) == UNSET {
                    bits.set(row, period);
                }
            }
        }
        bits
    });
    let varies = slots
        .fields
        .iter()
        .map(|field| field.by_period && field_varies(field, &columns, rows, periods))
        .collect();
    RawShard { columns, gaps, absent, varies }
}

/// Whether some unit has two different values (missing ones aside).
fn field_varies(field: &Field, columns: &[AlignedVec], rows: usize, periods: usize) -> bool {
    if field.kind == FieldKind::Outcome {
        return true;
    }
    let columns = &columns[field.offset..field.offset + periods];
    (0..rows).any(|row| {
        let mut values = columns.iter().map(|c| c[row]).filter(|v| !v.is_nan());
        values.next().is_some_and(|first| values.any(|v| v.to_bits() != first.to_bits()))
    })
}

/// How an atom of the formula comes from the fields.
struct AtomPlan {
    /// Fields it reads.
    fields: Vec<usize>,
    /// Value from those fields' values; `None` for the field itself.
    expression: Option<(Expr, Vec<String>)>,
    text: bool,
}

fn atom_plans(columns: &Columns, formula: &Formula, slots: &Slots) -> Result<Vec<AtomPlan>> {
    let field_of = |name: &str| {
        let is_covariate = |f: &Field| matches!(f.kind, FieldKind::Covariate { .. }) && f.name == name;
        slots
            .fields
            .iter()
            .position(is_covariate)
            .ok_or_else(|| EngineError::failed(format!("no column `{name}`")))
    };
    let is_text = |name: &str| columns.covariates.iter().any(|c| c.name == name && c.text);
    formula
        .atoms()
        .iter()
        .map(|atom| match atom {
            Atom::Factor(name) => {
                Ok(AtomPlan { fields: vec![field_of(name)?], expression: None, text: is_text(name) })
            }
            Atom::Numeric(expression) => {
                if let Some(name) = expression.is_plain_column() {
                    return Ok(AtomPlan {
                        fields: vec![field_of(name)?],
                        expression: None,
                        text: is_text(name),
                    });
                }
                let names: Vec<String> = expression.columns().into_iter().map(str::to_owned).collect();
                if let Some(name) = names.iter().find(|n| is_text(n)) {
                    return Err(EngineError::input(format!("xformla computes with `{name}`, which is text"))
                        .with_hint(format!("use `{name}` alone or factor({name})")));
                }
                let fields = names.iter().map(|n| field_of(n)).collect::<Result<_>>()?;
                Ok(AtomPlan { fields, expression: Some((expression.clone(), names)), text: false })
            }
        })
        .collect()
}

struct Builder<'a> {
    slots: &'a Slots,
    varies: &'a [bool],
    periods: usize,
    segments: &'a [Segment],
    rows: usize,
}

impl Builder<'_> {
    fn build(&self, raw: RawShard, atoms: &[AtomPlan], keys: Vec<u64>) -> (Shard, Census) {
        let mut incomplete = self.incomplete_of_fields(&raw);
        let mut fields: Vec<Option<ShardColumn>> = Vec::new();
        let mut clusters = Vec::new();
        let mut columns: Vec<Option<AlignedVec>> = raw.columns.into_iter().map(Some).collect();
        for (index, field) in self.slots.fields.iter().enumerate() {
            let column = self.collect(index, field, &mut columns);
            match (field.kind, column) {
                (FieldKind::Cluster { .. }, ShardColumn::Constant(values)) => {
                    clusters.push(values.iter().map(|v| cluster_key(*v)).collect());
                    fields.push(None);
                }
                (_, column) => fields.push(Some(column)),
            }
        }
        let mut atoms: Vec<ShardColumn> =
            atoms.iter().map(|plan| self.atom(plan, &fields, &mut incomplete)).collect();
        let weight = self.slots.fields.iter().position(|f| f.kind == FieldKind::Weight);
        let mut weights = weight.and_then(|index| fields[index].take());
        let Some(ShardColumn::ByPeriod(mut outcomes)) = fields[0].take() else { unreachable_outcome() };
        drop(fields);
        outcomes.iter_mut().for_each(zero_missing);
        for column in atoms.iter_mut().chain(&mut weights) {
            match column {
                ShardColumn::Constant(values) => zero_missing(values),
                ShardColumn::ByPeriod(periods) => periods.iter_mut().for_each(zero_missing),
            }
        }
        let census = self.count(raw.absent.as_ref(), incomplete.as_ref(), weights.as_ref());
        let shard = Shard {
            segments: self.segments.to_vec(),
            rows: self.rows,
            keys,
            outcomes,
            atoms,
            weights,
            clusters,
            incomplete,
        };
        (shard, census)
    }

    /// Marks units × periods of which some field is missing.
    fn incomplete_of_fields(&self, raw: &RawShard) -> Option<PeriodBits> {
        if !raw.gaps.contains(&true) {
            return None;
        }
        let mut bits = PeriodBits::new(self.rows, self.periods);
        for field in &self.slots.fields {
            for period in 0..self.periods {
                let slot = field.offset + if field.by_period { period } else { 0 };
                if raw.gaps[slot] {
                    mark_nan(&raw.columns[slot], period, self.segments, &mut bits);
                }
            }
        }
        Some(bits)
    }

    /// A field's columns; one column where it turned out constant in all shards.
    fn collect(&self, index: usize, field: &Field, columns: &mut [Option<AlignedVec>]) -> ShardColumn {
        let mut take = |slot: usize| columns[slot].take().unwrap_or_default();
        if !field.by_period {
            return ShardColumn::Constant(take(field.offset));
        }
        let mut periods: Vec<AlignedVec> = (0..self.periods).map(|p| take(field.offset + p)).collect();
        if self.varies[index] || field.kind == FieldKind::Outcome {
            return ShardColumn::ByPeriod(periods);
        }
        let mut merged = periods.remove(0);
        for later in &periods {
            for (value, other) in merged.iter_mut().zip(later.iter()) {
                if value.is_nan() {
                    *value = *other;
                }
            }
        }
        ShardColumn::Constant(merged)
    }

    fn atom(
        &self,
        plan: &AtomPlan,
        fields: &[Option<ShardColumn>],
        incomplete: &mut Option<PeriodBits>,
    ) -> ShardColumn {
        let sources: Vec<&ShardColumn> = plan.fields.iter().filter_map(|&f| fields[f].as_ref()).collect();
        let Some((expression, names)) = &plan.expression else {
            return sources
                .first()
                .map_or_else(|| ShardColumn::Constant(AlignedVec::default()), |c| (*c).clone());
        };
        let mut mark = |values: &AlignedVec, periods: std::ops::Range<usize>| {
            if has_gap(values, self.segments) {
                let bits = incomplete.get_or_insert_with(|| PeriodBits::new(self.rows, self.periods));
                for period in periods {
                    mark_nan(values, period, self.segments, bits);
                }
            }
        };
        let evaluate = |period: usize| {
            let mut out = AlignedVec::zeros(self.rows);
            for (row, value) in out.iter_mut().enumerate() {
                let of = |name: &str| {
                    names.iter().position(|n| n == name).map_or(f64::NAN, |i| sources[i].at(period)[row])
                };
                let result = expression.eval(&of);
                *value = if result.is_finite() { result } else { f64::NAN };
            }
            out
        };
        if sources.iter().any(|s| s.varies()) {
            let periods: Vec<AlignedVec> = (0..self.periods).map(evaluate).collect();
            periods.iter().enumerate().for_each(|(period, values)| mark(values, period..period + 1));
            ShardColumn::ByPeriod(periods)
        } else {
            let values = evaluate(0);
            mark(&values, 0..self.periods);
            ShardColumn::Constant(values)
        }
    }

    fn count(
        &self,
        absent: Option<&PeriodBits>,
        incomplete: Option<&PeriodBits>,
        weights: Option<&ShardColumn>,
    ) -> Census {
        let cohorts = self.segments.iter().map(|s| s.stratum + 1).max().unwrap_or(0);
        let mut census = Census::new(cohorts, self.periods);
        if absent.is_none() && incomplete.is_none() && weights.is_none() {
            for segment in self.segments {
                let cells = segment.stratum * self.periods..(segment.stratum + 1) * self.periods;
                census.present[cells.clone()].fill(segment.units as u64);
                census.complete[cells].fill(segment.units as u64);
                census.units[segment.stratum] = segment.units as u64;
            }
            return census;
        }
        for segment in self.segments {
            for row in segment.start..segment.start + segment.units {
                let mut any = false;
                for period in 0..self.periods {
                    let cell = segment.stratum * self.periods + period;
                    census.present[cell] += u64::from(!absent.is_some_and(|b| b.get(row, period)));
                    if incomplete.is_some_and(|b| b.get(row, period)) {
                        continue;
                    }
                    any = true;
                    census.complete[cell] += 1;
                    if let Some(weights) = weights {
                        let weight = weights.at(period)[row];
                        census.weight += weight;
                        census.least_weight = census.least_weight.min(weight);
                    }
                }
                census.units[segment.stratum] += u64::from(any);
            }
        }
        census
    }
}

/// A slot holds a cluster key where others hold the bits of a number.
fn cluster_key(value: f64) -> u64 {
    super::slots::held(value)
}

fn unreachable_outcome() -> ! {
    // The outcome is field 0 and always has a slot a period.
    unreachable!("the outcome is laid out by period")
}

fn zero_missing(values: &mut AlignedVec) {
    for value in values.iter_mut() {
        if value.is_nan() {
            *value = 0.0;
        }
    }
}

fn has_gap(values: &[f64], segments: &[Segment]) -> bool {
    segments.iter().any(|s| values[s.start..s.start + s.units].iter().any(|v| v.is_nan()))
}

fn mark_nan(values: &[f64], period: usize, segments: &[Segment], bits: &mut PeriodBits) {
    for segment in segments {
        let own = &values[segment.start..segment.start + segment.units];
        for (unit, _) in own.iter().enumerate().filter(|(_, v)| v.is_nan()) {
            bits.set(segment.start + unit, period);
        }
    }
}
