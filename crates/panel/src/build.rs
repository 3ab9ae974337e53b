//! Columns of a shard from its raw rows: masks of missing values, values that are constant in time, evaluated covariates.

use std::sync::Arc;

use stagger_estimator::columns::AlignedVec;

use crate::fields::{AtomSource, SpecFields};
use crate::shard::{PeriodBits, Segment, Shard, ShardColumn};
use crate::slots::{FieldRole, SlotField, SlotLayout};
use crate::strata::Census;
/// Slots of one shard as columns; NaN where missing.
pub struct RawShard {
    /// One column for each slot; padding is 0.
    pub columns: Vec<AlignedVec>,
    /// By slot: true if some unit has no value.
    pub gaps: Vec<bool>,
    /// Units × periods without a row; `None` if all have one.
    pub absent: Option<PeriodBits>,
    /// By field: true if two values of some unit differ.
    pub varies: Vec<bool>,
}

/// Builds the columns of one shard for every specification.
pub struct Builder<'a> {
    pub(super) slots: &'a SlotLayout,
    /// By field: true if it varies in some shard of the panel.
    pub(super) varies: &'a [bool],
    pub(super) periods: usize,
    pub(super) segments: &'a [Segment],
    pub(super) rows: usize,
}

/// A shard as one specification sees it.
pub struct BuiltShard {
    /// The shard.
    pub shard: Shard,
    /// Units × periods without a row; `None` if all have one.
    absent: Option<Arc<PeriodBits>>,
    /// Same as [`Census::computed`].
    computed: Vec<[u64; 2]>,
}

/// A specification's computed atoms, its mask of incomplete rows, and by atom the rows that lack the computed value
/// alone.
type Evaluated = (Vec<Option<ShardColumn>>, Option<PeriodBits>, Vec<[u64; 2]>);

impl Builder<'_> {
    /// Builds the shard from its raw rows, once per specification; `keys` are its units' multiplier keys.
    pub fn build(&self, raw: RawShard, uses: &[SpecFields], keys: Arc<Vec<u64>>) -> Vec<BuiltShard> {
        let gaps = self.gaps(&raw);
        let absent = raw.absent.map(Arc::new);
        let mut columns: Vec<Option<AlignedVec>> = raw.columns.into_iter().map(Some).collect();
        let fields: Vec<ShardColumn> = self
            .slots
            .fields
            .iter()
            .enumerate()
            .map(|(index, field)| self.collect(index, field, &mut columns, absent.as_deref()))
            .collect();
        let evaluated: Vec<Evaluated> =
            uses.iter().map(|used| self.evaluate(used, &fields, &gaps, absent.as_deref())).collect();
        let clusters: Vec<Option<Arc<Vec<u64>>>> = self
            .slots
            .fields
            .iter()
            .zip(&fields)
            .map(|(field, column)| cluster_keys(field, column))
            .collect();
        let zero = |(column, gap): (ShardColumn, &Option<PeriodBits>)| match gap.is_none() && absent.is_none()
        {
            true => column,
            false => zero_missing(column),
        };
        let fields: Vec<ShardColumn> = fields.into_iter().zip(&gaps).map(zero).collect();
        let shard = |(used, (atoms, incomplete, computed)): (&SpecFields, Evaluated)| BuiltShard {
            computed,
            shard: Shard {
                segments: self.segments.to_vec(),
                rows: self.rows,
                keys: Arc::clone(&keys),
                outcomes: match &fields[used.outcome] {
                    ShardColumn::ByPeriod(periods) => periods.clone(),
                    ShardColumn::Constant(values) => vec![Arc::clone(values)],
                },
                atoms: atoms
                    .into_iter()
                    .zip(&used.atoms)
                    .map(|(atom, plan)| match atom {
                        Some(atom) => zero_missing(atom),
                        None => plan.fields.first().map_or_else(empty, |&f| fields[f].clone()),
                    })
                    .collect(),
                weights: used.weight.map(|f| fields[f].clone()),
                clusters: used.clusters.iter().filter_map(|&f| clusters[f].clone()).collect(),
                incomplete,
            },
            absent: absent.clone(),
        };
        uses.iter().zip(evaluated).map(shard).collect()
    }

    /// By field: units × periods without a value.
    fn gaps(&self, raw: &RawShard) -> Vec<Option<PeriodBits>> {
        let of = |field: &SlotField| {
            let slot = |period: usize| field.offset + if field.by_period { period } else { 0 };
            if !(0..self.periods).any(|period| raw.gaps[slot(period)]) {
                return None;
            }
            let mut bits = PeriodBits::new(self.rows, self.periods);
            for period in (0..self.periods).filter(|&period| raw.gaps[slot(period)]) {
                mark_nan(&raw.columns[slot(period)], period, self.segments, &mut bits);
            }
            Some(bits)
        };
        self.slots.fields.iter().map(of).collect()
    }

    /// Returns the columns of a field; a single one if it is constant in all shards.
    fn collect(
        &self,
        index: usize,
        field: &SlotField,
        columns: &mut [Option<AlignedVec>],
        absent: Option<&PeriodBits>,
    ) -> ShardColumn {
        let mut take = |slot: usize| columns[slot].take().unwrap_or_default();
        if !field.by_period {
            let values = Arc::new(take(field.offset));
            return if self.varies[index] {
                self.spread(values, absent)
            } else {
                ShardColumn::Constant(values)
            };
        }
        let mut periods: Vec<AlignedVec> = (0..self.periods).map(|p| take(field.offset + p)).collect();
        if self.varies[index] || field.kind == FieldRole::Outcome {
            return ShardColumn::ByPeriod(periods.into_iter().map(Arc::new).collect());
        }
        let mut merged = periods.remove(0);
        for later in &periods {
            for (value, other) in merged.iter_mut().zip(later.iter()) {
                if value.is_nan() {
                    *value = *other;
                }
            }
        }
        ShardColumn::Constant(Arc::new(merged))
    }

    /// Repeats a field that is constant in this shard but varies in another: one column for each period, missing where
    /// there is no row.
    fn spread(&self, values: Arc<AlignedVec>, absent: Option<&PeriodBits>) -> ShardColumn {
        let of = |period: usize| match absent {
            None => Arc::clone(&values),
            Some(bits) => {
                let mut own = AlignedVec::clone(&values);
                (0..self.rows).filter(|&row| bits.get(row, period)).for_each(|row| own[row] = f64::NAN);
                Arc::new(own)
            }
        };
        ShardColumn::ByPeriod((0..self.periods).map(of).collect())
    }

    /// Evaluates the atoms that are expressions (`None`: the atom is a field as it is), and marks the incomplete rows.
    fn evaluate(
        &self,
        used: &SpecFields,
        fields: &[ShardColumn],
        gaps: &[Option<PeriodBits>],
        absent: Option<&PeriodBits>,
    ) -> Evaluated {
        let mut incomplete: Option<PeriodBits> = None;
        for gap in used.required_fields().into_iter().filter_map(|f| gaps[f].as_ref()) {
            match &mut incomplete {
                Some(bits) => bits.set_all(gap),
                None => incomplete = Some(gap.clone()),
            }
        }
        let atoms: Vec<Option<ShardColumn>> =
            used.atoms.iter().map(|plan| self.atom(plan, fields, &mut incomplete)).collect();
        let computed = used.atoms.iter().zip(&atoms).map(|(plan, atom)| match atom {
            Some(values) => self.lacks_alone(plan, fields, values, absent),
            None => [0; 2],
        });
        let computed = computed.collect();
        (atoms, incomplete, computed)
    }

    /// Counts the rows that have all values an atom is computed from but not the atom's, and those of them in which it
    /// is infinite.
    fn lacks_alone(
        &self,
        plan: &AtomSource,
        fields: &[ShardColumn],
        values: &ShardColumn,
        absent: Option<&PeriodBits>,
    ) -> [u64; 2] {
        let columns = match values {
            ShardColumn::Constant(values) => std::slice::from_ref(values),
            ShardColumn::ByPeriod(periods) => periods.as_slice(),
        };
        let (Some((expression, names)), true) =
            (&plan.expression, columns.iter().any(|column| has_gap(column, self.segments)))
        else {
            return [0; 2];
        };
        let mut out = [0; 2];
        for row in self.segments.iter().flat_map(|s| s.start..s.start + s.units) {
            for period in 0..self.periods {
                let here = |&field: &usize| fields[field].at(period)[row];
                let is_absent = absent.is_some_and(|bits| bits.get(row, period));
                if is_absent
                    || !values.at(period)[row].is_nan()
                    || plan.fields.iter().any(|f| here(f).is_nan())
                {
                    continue;
                }
                let of = |name: &str| {
                    names.iter().position(|n| n == name).map_or(f64::NAN, |i| here(&plan.fields[i]))
                };
                out[0] += 1;
                out[1] += u64::from(expression.eval(&of).is_infinite());
            }
        }
        out
    }

    fn atom(
        &self,
        plan: &AtomSource,
        fields: &[ShardColumn],
        incomplete: &mut Option<PeriodBits>,
    ) -> Option<ShardColumn> {
        let (expression, names) = plan.expression.as_ref()?;
        let sources: Vec<&ShardColumn> = plan.fields.iter().map(|&f| &fields[f]).collect();
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
            for row in self.segments.iter().flat_map(|s| s.start..s.start + s.units) {
                let of = |name: &str| {
                    names.iter().position(|n| n == name).map_or(f64::NAN, |i| sources[i].at(period)[row])
                };
                let result = expression.eval(&of);
                out[row] = if result.is_finite() { result } else { f64::NAN };
            }
            out
        };
        Some(if sources.iter().any(|s| s.varies()) {
            let periods: Vec<AlignedVec> = (0..self.periods).map(evaluate).collect();
            periods.iter().enumerate().for_each(|(period, values)| mark(values, period..period + 1));
            ShardColumn::ByPeriod(periods.into_iter().map(Arc::new).collect())
        } else {
            let values = evaluate(0);
            mark(&values, 0..self.periods);
            ShardColumn::Constant(Arc::new(values))
        })
    }
}

fn empty() -> ShardColumn {
    ShardColumn::Constant(Arc::default())
}

fn cluster_keys(field: &SlotField, column: &ShardColumn) -> Option<Arc<Vec<u64>>> {
    match (field.kind, column) {
        (FieldRole::Cluster { .. }, ShardColumn::Constant(values)) => {
            Some(Arc::new(values.iter().map(|v| cluster_key(*v)).collect()))
        }
        _ => None,
    }
}

impl BuiltShard {
    /// Counts the rows of the shard.
    pub fn count(&self, periods: usize) -> Census {
        count(self, periods)
    }
}

fn count(built: &BuiltShard, periods: usize) -> Census {
    let BuiltShard { shard, absent, computed } = built;
    let strata = shard.segments.iter().map(|s| s.stratum + 1).max().unwrap_or(0);
    let mut census = Census { computed: computed.clone(), ..Census::new(strata, periods) };
    let plain = absent.is_none() && shard.incomplete.is_none() && shard.weights.is_none();
    for segment in &shard.segments {
        let own = match segment.period {
            Some(period) => period..period + 1,
            None => 0..periods,
        };
        if plain {
            for period in own {
                census.present[segment.stratum * periods + period] += segment.units as u64;
                census.complete[segment.stratum * periods + period] += segment.units as u64;
            }
            census.units[segment.stratum] += segment.units as u64;
            continue;
        }
        for row in segment.start..segment.start + segment.units {
            let mut any = false;
            for period in own.clone() {
                let cell = segment.stratum * periods + period;
                census.present[cell] += u64::from(!absent.as_ref().is_some_and(|b| b.get(row, period)));
                if !shard.is_observed(segment, row, period) {
                    continue;
                }
                any = true;
                census.complete[cell] += 1;
                if let Some(weights) = &shard.weights {
                    let weight = weights.at(period)[row];
                    census.add_weight(weight);
                }
            }
            census.units[segment.stratum] += u64::from(any);
        }
    }
    census
}

/// Returns a cluster key: its slot holds the key where others hold the bits of a number.
fn cluster_key(value: f64) -> u64 {
    crate::slot::held(value)
}

/// Replaces missing values by 0; a column that others share is copied.
fn zero_missing(column: ShardColumn) -> ShardColumn {
    column.map(|mut values: Arc<AlignedVec>| {
        if values.iter().any(|v| v.is_nan()) {
            for value in Arc::make_mut(&mut values).iter_mut().filter(|v| v.is_nan()) {
                *value = 0.0;
            }
        }
        values
    })
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
