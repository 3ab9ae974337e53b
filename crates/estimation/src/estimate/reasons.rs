//! Reasons of missing estimates, missing standard errors and missing pre-tests, in words.

use std::collections::BTreeMap;

use faer::Mat;
use stagger_estimator::comparison::{Comparison, RowModel};
use stagger_estimator::inference::{CellInference, NEGLIGIBLE};
use stagger_estimator::label::label;
use stagger_model::cell_names::name_cells;
use stagger_model::spec::RunSpec;

use super::fit::{Estimates, GramFits, set_sums, stratum_sums};
use crate::plan::Plan;

/// Reason of the missing standard error in the base period of a universal base.
const REFERENCE: &str = "base period: zero by definition";
/// Start of the part of a reason that differs from cell to cell.
const PLACE: &str = " (periods ";
/// Largest difference, relative to the largest, that counts as rounding.
const SAME: f64 = 1e-12;
/// Largest number of cells among which a dependent one is looked for: the search takes their cube of operations.
const MOST_SOLVED: usize = 500;
/// Largest distance of a correlation from 1 that counts as rounding.
const REPEATS: f64 = 1e-10;

/// Results that the reasons are derived from.
#[derive(Clone, Copy)]
pub(super) struct ReasonInputs<'a> {
    pub(super) plan: &'a Plan,
    pub(super) estimates: &'a Estimates,
    pub(super) fits: Option<&'a GramFits>,
    pub(super) spec: &'a RunSpec,
}

/// The cells of the pre-test.
#[derive(Clone, Copy)]
pub(super) struct Tested<'a> {
    /// Their indices.
    pub(super) cells: &'a [usize],
    /// An upper bound on the rank of their covariance.
    pub(super) rank: u64,
    /// Their covariance; `None` where it was not computed.
    pub(super) matrix: Option<&'a Mat<f64>>,
}

/// Returns groups and periods of all cells.
pub(super) fn cell_labels(plan: &Plan) -> (Vec<f64>, Vec<f64>) {
    plan.targets.cells.iter().map(|c| (c.group, plan.sample.period_labels[c.time])).unzip()
}

impl ReasonInputs<'_> {
    /// Returns by cell the reason of a missing estimate; `None` where there is an estimate.
    pub(super) fn estimate_reasons(&self) -> Vec<Option<String>> {
        let failures = &self.estimates.failures;
        (0..self.plan.targets.cells.len())
            .map(|cell| failures.get(&cell).map(|reason| reason.to_string()))
            .collect()
    }

    /// Returns by cell the reason of a missing standard error; `None` where there is one.
    pub(super) fn error_reasons(&self, inference: &CellInference, raw_errors: &[f64]) -> Vec<Option<String>> {
        let plan = self.plan;
        let of = |cell: usize| {
            if !inference.se[cell].is_nan() {
                return None;
            }
            Some(match self.estimates.failures.get(&cell) {
                Some(reason) => reason.to_string(),
                None if plan.targets.cells[cell].reference => REFERENCE.to_owned(),
                None if !inference.se_analytic[cell].is_nan() => {
                    "the bootstrap draws of the cell do not vary".to_owned()
                }
                None => match self.equal(cell).filter(|_| raw_errors[cell] <= 1e-3 * NEGLIGIBLE) {
                    Some(why) => format!("the influence function is 0: {why}"),
                    None => format!(
                        "the standard error, {:.1e}, counts as 0 (up to {NEGLIGIBLE:.2e}, as in R)",
                        raw_errors[cell]
                    ),
                },
            })
        };
        (0..plan.targets.cells.len()).map(of).collect()
    }

    /// Explains why all influence values of a cell are zero.
    fn equal(&self, cell: usize) -> Option<String> {
        let (plan, fits) = (self.plan, self.fits?);
        let own = |c: &&Comparison| plan.comparisons.estimates[c.estimate] == cell;
        let comparisons: Vec<&Comparison> = plan.comparisons.comparisons.iter().filter(own).collect();
        let y = &self.spec.yname;
        if plan.model != RowModel::Differences {
            return Some(format!("`{y}` does not vary within the groups and periods compared"));
        }
        let periods = &plan.targets.cells[cell];
        let (a, b) = (periods.time.min(periods.base), periods.time.max(periods.base));
        let (a, b) = (label(plan.sample.period_labels[a]), label(plan.sample.period_labels[b]));
        let changes: Vec<[Change; 2]> =
            comparisons.iter().map(|c| changes(plan, fits, c)).collect::<Option<_>>()?;
        if changes.iter().flatten().all(|change| change.none) {
            return Some(format!("`{y}` is the same in periods {a} and {b} for every unit compared"));
        }
        let [[treated, controls]] = changes.as_slice() else {
            return Some(format!(
                "all differences of `{y}` between periods {a} and {b} are equal within each group"
            ));
        };
        Some(match plan.regressor_count() {
            1 => format!(
                "all differences of `{y}` are equal among the treated and among the controls{PLACE}{a} and {b}: {} and {})",
                label(treated.mean),
                label(controls.mean)
            ),
            _ => format!("the covariates predict every difference of `{y}`{PLACE}{a} and {b})"),
        })
    }

    /// Tells if a pre-test is missing because of the data, not by R's rules.
    pub(super) fn is_worth_a_warning(&self) -> bool {
        let plan = self.plan;
        let by_rule = plan.targets.triple || (plan.inference.cluster_variables > 0 && self.spec.bstrap);
        !by_rule && plan.targets.cells.iter().any(|cell| !cell.post && !cell.reference)
    }

    /// Returns the reason why there is no pre-test, from the cells before treatment and their covariance.
    pub(super) fn pretest_reason(&self, pre: &[bool], found: &Tested<'_>) -> String {
        let plan = self.plan;
        if plan.targets.triple {
            return "not given, as in R's triplediff".to_owned();
        }
        if plan.inference.cluster_variables > 0 && self.spec.bstrap {
            return "not given, as in R, with clusters and bootstrap; --bstrap false gives it".to_owned();
        }
        let before: Vec<usize> =
            (0..plan.targets.cells.len()).filter(|&k| pre[k] && !plan.targets.cells[k].reference).collect();
        let tested = found.cells;
        match (before.len(), tested.len()) {
            (0, _) => "there is no cell before treatment".to_owned(),
            (1, 0) => "the one cell before treatment has no standard error".to_owned(),
            (count, 0) => format!("none of the {count} cells before treatment has a standard error"),
            (_, count) if count as u64 > plan.sample.n => {
                format!(
                    "its {count} cells are more than the {} units, so that their covariance is singular",
                    plan.sample.n
                )
            }
            (_, count) if found.rank < count as u64 => format!(
                "its {count} cells are more than the rank of their covariance, which is at most {}: cohorts have fewer units \
                 than cells before treatment",
                found.rank
            ),
            (_, count) => {
                let (group, time) = cell_labels(plan);
                let cells = if count == 1 { "one cell" } else { "cells" };
                let named = |k: usize| name_cells(&group, &time, &[k]);
                let repeats = found.matrix.map(|v| repeats(v, tested, &named)).unwrap_or_default();
                let why = if repeats.is_empty() {
                    String::new()
                } else {
                    format!(", as {}", repeats.join(" and "))
                };
                let count = if count == 1 { String::new() } else { format!("{count} ") };
                format!("the covariance of its {count}{cells} is singular{why}")
            }
        }
    }
}

/// Change of an outcome in one arm of a comparison.
struct Change {
    mean: f64,
    /// True if the outcome changes for no unit, provided that the covariates predict its changes.
    none: bool,
}

fn changes(plan: &Plan, fits: &GramFits, comparison: &Comparison) -> Option<[Change; 2]> {
    let [side] = comparison.sides.as_slice() else { return None };
    let arms = [
        stratum_sums(plan, &fits.gram, comparison.treated, side.frame)?,
        set_sums(plan, &fits.gram, comparison.controls, side.frame)?,
    ];
    Some(arms.map(|sums| {
        let (columns, ones) = (sums.shape.columns, plan.ones_column());
        let largest = sums.outcomes.iter().fold(0.0, |most: f64, sum| most.max(sum.abs()));
        let zero = |j: usize| sums.outcome(j, side.time, side.base).abs() <= SAME * largest;
        Change {
            mean: sums.outcome(ones, side.time, side.base) / sums.weighted[ones * columns + ones],
            none: (0..columns).all(zero),
        }
    }))
}

/// Returns the warnings on missing estimates and missing standard errors, each with all its cells.
pub(super) fn warnings(
    plan: &Plan,
    reasons: &[Option<String>],
    se_reasons: &[Option<String>],
) -> Vec<String> {
    let (group, time) = cell_labels(plan);
    let counted = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let grouped = |all: &[Option<String>], skip: &dyn Fn(usize) -> bool| -> BTreeMap<String, Vec<usize>> {
        let mut out: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (cell, reason) in all.iter().enumerate().filter(|(cell, _)| !skip(*cell)) {
            if let Some(reason) = reason {
                let reason = reason.split(PLACE).next().unwrap_or(reason);
                out.entry(reason.to_owned()).or_default().push(cell);
            }
        }
        out
    };
    let mut out = Vec::new();
    for (reason, cells) in grouped(reasons, &|_| false) {
        let named = name_cells(&group, &time, &cells);
        out.push(format!("{} not estimated: {reason}: (group, time) {named}", counted(cells.len(), "cell")));
    }
    let told = |cell: usize| reasons[cell].is_some() || plan.targets.cells[cell].reference;
    for (reason, cells) in grouped(se_reasons, &told) {
        let named = name_cells(&group, &time, &cells);
        out.push(format!(
            "no standard error of {}: {reason}: (group, time) {named}",
            counted(cells.len(), "cell")
        ));
    }
    out
}

/// Names the cells whose influence function is a multiple of another's, or a combination of those before. `v` is the
/// covariance of the tested cells; of very many none is named.
fn repeats(v: &Mat<f64>, tested: &[usize], named: &dyn Fn(usize) -> String) -> Vec<String> {
    let correlation = |i: usize, j: usize| v[(i, j)] / (v[(i, i)] * v[(j, j)]).sqrt();
    let mut out = Vec::new();
    if tested.len() > MOST_SOLVED {
        return out;
    }
    for k in 0..tested.len() {
        let same = (0..k).find(|&i| 1.0 - correlation(i, k).abs() <= REPEATS);
        out.extend(same.map(|i| format!("{} repeats {}", named(tested[k]), named(tested[i]))));
    }
    if out.is_empty() {
        let dependent = dependent(v).map(|k| tested[k]);
        out.extend(dependent.map(|k| format!("{} is a combination of the cells before it", named(k))));
    }
    out
}

/// Returns the first cell without variance beyond that of the cells before it.
fn dependent(v: &Mat<f64>) -> Option<usize> {
    let n = v.nrows();
    let scale = |i: usize| v[(i, i)].sqrt();
    let mut rest = Mat::from_fn(n, n, |i, j| v[(i, j)] / (scale(i) * scale(j)));
    for j in 0..n {
        let left = rest[(j, j)];
        if left.is_nan() || left <= REPEATS {
            return Some(j);
        }
        for a in j + 1..n {
            let factor = rest[(a, j)] / left;
            for b in j + 1..n {
                rest[(a, b)] -= factor * rest[(j, b)];
            }
        }
    }
    None
}

/// Returns a warning for each cohort of one unit, with all its cells: their standard errors contain none of the unit's
/// variance. The second value explains that the pre-test rests on such cells, where it does.
pub(super) fn single_units(plan: &Plan, se: &[f64], tested: bool) -> (Vec<String>, Option<String>) {
    let (group, time) = cell_labels(plan);
    let (mut out, mut under) = (Vec::new(), Vec::new());
    for &cohort in &plan.targets.groups {
        let units: u64 = (0..plan.sample.strata.len())
            .filter(|&s| plan.sample.strata[s].cohort == cohort)
            .map(|s| plan.sample.units[s])
            .sum();
        let cells: Vec<usize> = (0..plan.targets.cells.len())
            .filter(|&k| plan.targets.cells[k].group == cohort && se[k].is_finite())
            .collect();
        if units != 1 || cells.is_empty() {
            continue;
        }
        let rests = tested && cells.iter().any(|&k| !plan.targets.cells[k].post);
        let pretest = if rests { "; the pre-test rests on them too" } else { "" };
        under.extend(rests.then(|| label(cohort)));
        out.push(format!(
            "cohort {} has one unit: the standard errors of its cells hold no variance of it and are too small{pretest}: (group, time) {}",
            label(cohort),
            name_cells(&group, &time, &cells)
        ));
    }
    let noun = if under.len() == 1 { "cohort" } else { "cohorts" };
    let note =
        format!("it rests on cells of one unit, whose variance is not known ({noun} {})", under.join(", "));
    (out, (!under.is_empty()).then_some(note))
}
