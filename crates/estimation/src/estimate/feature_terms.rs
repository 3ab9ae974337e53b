//! The extended columns as combinations of features: what the corrections of the comparisons multiply.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use stagger_estimator::comparison::ComparisonSide;
use stagger_estimator::factor::{Feature, Term};
use stagger_estimator::moments::{Arm, Correction};
use stagger_estimator::sample::CohortRole;

use crate::plan::Plan;
use crate::plan::features::PlannedFeatures;

/// Combinations of features.
#[derive(Debug, Default)]
pub(super) struct Terms {
    /// Distinct sets of groups.
    pub(super) sets: Vec<Vec<Range<u32>>>,
    /// By extended column.
    pub(super) columns: Vec<Vec<Term>>,
}

/// Some strata: one of them, or the controls of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Strata {
    All,
    Cohort(u64),
    One(usize),
    Set(usize),
}

impl Terms {
    /// Writes out all extended columns. `corrections` are those of the comparisons times their factors in the cells.
    pub(super) fn new(plan: &Plan, corrections: &[Option<Correction>]) -> Self {
        let Some(planned) = &plan.features else { return Self::default() };
        let ids = planned.features.iter().copied().zip(0..).collect();
        let mut builder = Builder { plan, planned, ids, known: HashMap::new(), out: Self::default() };
        let fixed = 1 + plan.targets.groups.len();
        builder.out.columns = vec![Vec::new(); plan.extended_column_count()];
        builder.add(0, (Strata::All, None), &[(Feature::Unit, 1.0)]);
        for (group, cohort) in plan.targets.groups.iter().enumerate() {
            builder.add(1 + group, (Strata::Cohort(cohort.to_bits()), None), &[(Feature::Share, 1.0)]);
        }
        for (comparison, correction) in plan.comparisons.comparisons.iter().zip(corrections) {
            let Some(correction) = correction else { continue };
            let column = fixed + plan.comparisons.estimates[comparison.estimate];
            for (side, [treated, controls]) in comparison.sides.iter().zip(&correction.arms) {
                let own = arm_features(plan, side, &treated_arm(plan, treated));
                builder.add(column, (Strata::One(comparison.treated), Some(side.frame)), &own);
                let others = arm_features(plan, side, &control_arm(plan, controls));
                builder.add(column, (Strata::Set(comparison.controls), Some(side.frame)), &others);
            }
        }
        builder.out
    }
}

struct Builder<'a> {
    plan: &'a Plan,
    planned: &'a PlannedFeatures,
    ids: HashMap<Feature, u32>,
    /// Indices of the sets so far.
    known: HashMap<(Strata, Option<usize>), u32>,
    out: Terms,
}

impl Builder<'_> {
    /// Adds a combination of features of some strata to a column; equal sets of strata become one term.
    fn add(&mut self, column: usize, place: (Strata, Option<usize>), features: &[(Feature, f64)]) {
        let set = self.set(place);
        let mut own: BTreeMap<u32, f64> = BTreeMap::new();
        let terms = &mut self.out.columns[column];
        let at = terms.iter().position(|term| term.set == set).unwrap_or_else(|| {
            terms.push(Term { set, coefficients: Vec::new() });
            terms.len() - 1
        });
        own.extend(terms[at].coefficients.iter().copied());
        for (feature, coefficient) in features {
            if let Some(id) = self.ids.get(&self.plan.canonical_feature(*feature)) {
                *own.entry(*id).or_insert(0.0) += coefficient;
            }
        }
        terms[at].coefficients = own.into_iter().collect();
    }

    fn set(&mut self, place: (Strata, Option<usize>)) -> u32 {
        if let Some(&known) = self.known.get(&place) {
            return known;
        }
        let (plan, (strata, frame)) = (self.plan, place);
        let roles = &plan.sample.mask.roles;
        let cohort = |wanted: u64| {
            (0..roles.len())
                .filter(|&s| {
                    roles[s] == CohortRole::Estimated && plan.sample.strata[s].cohort.to_bits() == wanted
                })
                .collect()
        };
        let strata: Vec<usize> = match strata {
            Strata::All => (0..roles.len()).filter(|&s| roles[s] != CohortRole::Dropped).collect(),
            Strata::Cohort(wanted) => cohort(wanted),
            Strata::One(stratum) => vec![stratum],
            Strata::Set(set) => plan.comparisons.sets[set].clone(),
        };
        let period = frame.and_then(|frame| plan.comparisons.frames[frame].rows);
        let index = self.out.sets.len() as u32;
        self.out.sets.push(self.planned.ranges(&strata, period));
        self.known.insert(place, index);
        index
    }
}

/// An arm without a propensity score: w {(x'a)(Y_time − Y_base) + x'Cx}, with x over the design columns, ones included.
struct PlainArm {
    a: Vec<f64>,
    c: Vec<f64>,
}

/// w {e (gain + x'u) + x'v + shift} with e = Y_time − Y_base − x'β.
fn treated_arm(plan: &Plan, arm: &Arm) -> PlainArm {
    let (count, ones) = (plan.design_column_count(), plan.ones_column());
    let mut out = PlainArm { a: vec![0.0; count], c: vec![0.0; count * count] };
    out.a[ones] = arm.gain;
    out.a.iter_mut().zip(&arm.u).for_each(|(a, u)| *a += u);
    out.subtract_fitted(&arm.beta, count);
    arm.v.iter().enumerate().for_each(|(j, v)| out.c[ones * count + j] += v);
    out.c[ones * count + ones] += arm.shift;
    out
}

/// −w e x'u.
fn control_arm(plan: &Plan, arm: &Arm) -> PlainArm {
    let count = plan.design_column_count();
    let mut out = PlainArm { a: vec![0.0; count], c: vec![0.0; count * count] };
    out.a.iter_mut().zip(&arm.u).for_each(|(a, u)| *a -= u);
    out.subtract_fitted(&arm.beta, count);
    out
}

impl PlainArm {
    /// Subtracts (x'a)(x'β).
    fn subtract_fitted(&mut self, beta: &[f64], count: usize) {
        for (i, a) in self.a.iter().enumerate().filter(|(_, a)| **a != 0.0) {
            for (j, beta) in beta.iter().enumerate() {
                self.c[i * count + j] -= a * beta;
            }
        }
    }
}

/// The coefficients of an arm.
fn arm_features(plan: &Plan, side: &ComparisonSide, arm: &PlainArm) -> Vec<(Feature, f64)> {
    let count = plan.design_column_count();
    let mut out = Vec::new();
    for (design, &a) in arm.a.iter().enumerate().filter(|(_, a)| **a != 0.0) {
        for (column, sign) in [(side.time, 1.0), (side.base, -1.0)] {
            // Column 0 holds zeros.
            if column > 0 {
                out.push((Feature::Outcome { frame: side.frame, design, column }, sign * a));
            }
        }
    }
    for (at, &c) in arm.c.iter().enumerate().filter(|(_, c)| **c != 0.0) {
        out.push((Feature::product(side.frame, at / count, at % count), c));
    }
    out
}
