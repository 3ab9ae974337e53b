//! From the sums of all passes to the saved result: covariance, standard errors, bands, pre-test, aggregations.

use std::collections::BTreeMap;

use faer::Mat;
use stagger_estimator::cells::Cell;
use stagger_estimator::factor::{Entered, Factor, symmetric_of};
use stagger_estimator::inference::{
    CellInference, Covariance, Extended, InferenceOptions, gaussian_draws, infer_cells, tested_cells,
    two_way, wald_pretest,
};
use stagger_estimator::symmetric::Symmetric;
use stagger_model::error::Result;
use stagger_model::few_units;
use stagger_model::parallel::{available_cores, map};
use stagger_model::progress::StageProgress;
use stagger_model::result::{
    AttGt, Diagnostics, ExtendedResult, MAX_VCOV_CELLS, Num, RunResult, SavedResult, WaldTest,
};
use stagger_model::spec::RunSpec;
use stagger_panel::panel::Panel;

use super::feature_passes::FeatureTotals;
use super::influence_passes::InfluenceTotals;
use super::reasons::{self, ReasonInputs, Tested};
use super::steps::{EstimationOutput, FinalSums};
use super::sums::ExtendedSums;
use crate::aggregate::{aggregate_extended, aggregate_options};
use crate::plan::Plan;

/// Covariance and draws of the extended columns Ψ, with what they are based on.
struct Moments {
    covariance: Covariance,
    /// ΨᵀΨ/n over units, where this is R's V although the draws are by cluster (FORMULAS §4).
    over_units: Option<Covariance>,
    draws: Option<Mat<f64>>,
    draw_units: u64,
    clusters: Option<u64>,
    shares: Vec<f64>,
    warnings: Vec<String>,
}

/// Computes standard errors, bands, tests and aggregations from the sums of all passes.
pub fn estimate(
    panel: &Panel,
    spec: &RunSpec,
    finished: EstimationOutput,
    progress: &mut StageProgress<'_>,
) -> Result<(SavedResult, Option<Mat<f64>>)> {
    progress.stage("aggregate", 1, |_| Ok(infer(panel, spec, finished)))
}

fn infer(panel: &Panel, spec: &RunSpec, finished: EstimationOutput) -> (SavedResult, Option<Mat<f64>>) {
    let EstimationOutput { plan, estimates, diagnostics, sums, fits } = finished;
    let plan = &plan;
    let Moments { covariance, over_units, draws, draw_units, clusters, shares, warnings } = match sums {
        FinalSums::Columns(sums) => column_moments(plan, sums),
        FinalSums::Features(mut sums) => feature_moments(plan, &mut sums),
    };
    let extended = Extended { n: plan.sample.n, covariance, draws, n_draw_units: draw_units };
    let options = inference_options(plan, spec);
    let facts = ReasonInputs { plan, estimates: &estimates, fits: fits.as_ref(), spec };
    let mut cells = CellResults::new(&facts, &extended, over_units.as_ref(), &options, warnings);
    let rescaled = std::mem::take(&mut cells.inference.rescaled);
    let mut saved = SavedResult {
        result: cells.into_result(plan, spec, diagnostics),
        extended: extended_result(panel, plan, spec, shares, clusters),
    };
    saved.extended.spec.cband = options.cband;
    saved.result.warnings.extend(few_units::warn_of_cells(&saved, &rescaled));
    aggregate_extended(&mut saved, &extended, &aggregate_options(spec));
    relabel(panel, &mut saved.result);
    saved.extended.covariance = extended.covariance;
    (saved, extended.draws)
}

/// Returns the settings of inference; bands are simultaneous only where the sample allows them.
fn inference_options(plan: &Plan, spec: &RunSpec) -> InferenceOptions {
    InferenceOptions {
        alp: spec.alp,
        bstrap: spec.bstrap,
        cband: spec.cband && (plan.inference.allows_band || plan.targets.triple),
        scale: spec.scale,
    }
}

/// Estimates of the cells with their inference, reasons and warnings.
struct CellResults {
    /// ATT(g,t) by cell; NaN where it can't be estimated.
    att: Vec<f64>,
    inference: CellInference,
    reasons: Reasons,
    /// Covariance of the cells, cells × cells; empty if there are too many.
    vcov: Vec<Vec<Num>>,
    wald: Option<WaldTest>,
    wald_reason: Option<String>,
    warnings: Vec<String>,
}

impl CellResults {
    /// Computes the results of the cells from the covariance of the extended columns. `over_units` takes its place in
    /// the covariance of the cells and the pre-test, where it is given; `covariance_warnings` are
    /// those that came with it.
    fn new(
        facts: &ReasonInputs<'_>,
        extended: &Extended,
        over_units: Option<&Covariance>,
        options: &InferenceOptions,
        covariance_warnings: Vec<String>,
    ) -> Self {
        let plan = facts.plan;
        let att = facts.estimates.att(plan);
        // With clusters the standard error is that of the cluster sums (FORMULAS §7.3).
        let centred: &[bool] =
            if plan.inference.cluster_variables == 0 { &plan.targets.centred } else { &[] };
        let inference = infer_cells(extended, &att, plan.targets.groups.len(), centred, options);
        let reasons = Reasons::new(facts, extended, &inference);
        let mut warnings = plan.warnings.clone();
        warnings.extend(reasons::warnings(plan, &reasons.reason, &reasons.se_reason));
        warnings.extend(covariance_warnings);
        warnings.extend(inference.warnings.iter().cloned());
        let first = 1 + plan.targets.groups.len();
        let covariance = over_units.unwrap_or(&extended.covariance);
        let (wald, wald_reason) = pre_test(facts, &att, &inference, covariance, &mut warnings);
        let vcov = if att.len() <= MAX_VCOV_CELLS { rows(covariance, first, &att) } else { Vec::new() };
        Self { att, inference, reasons, vcov, wald, wald_reason, warnings }
    }

    /// Returns the result of the run, without aggregations yet.
    fn into_result(self, plan: &Plan, spec: &RunSpec, diagnostics: Option<Diagnostics>) -> RunResult {
        let Self { att, inference, reasons, vcov, wald, wald_reason, warnings } = self;
        RunResult {
            estimator: if plan.targets.triple { "ddd" } else { "att_gt" }.to_owned(),
            time_unit: plan.sample.calendar.as_ref().map(|calendar| calendar.unit),
            n: plan.sample.n,
            alp: spec.alp,
            crit: Num(inference.crit),
            cband: inference.uniform,
            att_gt: att_gt(plan, &att, &inference.se, inference.crit, reasons),
            vcov,
            wald,
            wald_reason,
            aggte: BTreeMap::new(),
            not_aggregated: BTreeMap::new(),
            dropped: plan.sample.dropped.clone(),
            warnings,
            diagnostics,
        }
    }
}

/// Returns the pre-test, and the reason why there is none or why it rests on little.
fn pre_test(
    facts: &ReasonInputs<'_>,
    att: &[f64],
    inference: &CellInference,
    covariance: &Covariance,
    warnings: &mut Vec<String>,
) -> (Option<WaldTest>, Option<String>) {
    let (plan, spec) = (facts.plan, facts.spec);
    // The anticipation window is not a pre-treatment period (FORMULAS §4).
    let before = |c: &Cell| plan.sample.period_labels[c.time] + spec.anticipation < c.group;
    let pre: Vec<bool> = plan.targets.cells.iter().map(before).collect();
    let tested = tested_cells(att, &inference.se_analytic, &pre);
    let wanted = !plan.targets.triple && (plan.inference.cluster_variables == 0 || !spec.bstrap);
    let first = 1 + plan.targets.groups.len();
    let columns: Vec<usize> = tested.iter().map(|&cell| first + cell).collect();
    let rank = covariance.rank_bound(&columns);
    // Without full rank there is nothing to solve, and the matrix of thousands of cells need not be made.
    let matrix = (wanted && rank == tested.len() as u64).then(|| covariance_of(covariance, &columns));
    let theta: Vec<f64> = tested.iter().map(|&cell| att[cell]).collect();
    let wald = matrix.as_ref().and_then(|v| wald_pretest(&theta, v, plan.sample.n));
    let found = Tested { cells: &tested, rank, matrix: matrix.as_ref() };
    let reason = wald.is_none().then(|| facts.pretest_reason(&pre, &found));
    let told = reason.as_ref().filter(|_| facts.is_worth_a_warning());
    warnings.extend(told.map(|reason| format!("no pre-test: {reason}")));
    let (single, rests) = reasons::single_units(plan, &inference.se, wald.is_some());
    warnings.extend(single);
    let wald = wald.map(|w| WaldTest { stat: Num(w.stat), df: w.df as u64, p: Num(w.p) });
    (wald, reason.or(rests))
}

/// Cells whose covariance with all before them a thread computes at a time.
const COLUMNS_AT_A_TIME: usize = 16;

/// Returns V between some extended columns, computed on all cores.
fn covariance_of(covariance: &Covariance, columns: &[usize]) -> Mat<f64> {
    let Covariance::Factored(factor) = covariance else { return covariance.matrix(columns) };
    let entered = Entered::new(factor, columns);
    let of = |part: usize| {
        let first = part * COLUMNS_AT_A_TIME;
        Ok(entered.columns(factor, first..(first + COLUMNS_AT_A_TIME).min(columns.len())))
    };
    let parts = map(available_cores(), columns.len().div_ceil(COLUMNS_AT_A_TIME), of).unwrap_or_default();
    symmetric_of(columns.len(), &parts)
}

/// Returns what later aggregations need, without the covariance, which the aggregations of this run still use.
fn extended_result(
    panel: &Panel,
    plan: &Plan,
    spec: &RunSpec,
    shares: Vec<f64>,
    clusters: Option<u64>,
) -> ExtendedResult {
    ExtendedResult {
        spec: spec.clone(),
        periods: plan.sample.period_labels.iter().copied().map(Num).collect(),
        calendar: plan.sample.calendar.clone(),
        groups: plan.targets.groups.iter().copied().map(Num).collect(),
        shares,
        clusters,
        reference: plan.targets.cells.iter().map(|c| c.reference).collect(),
        covariance: Covariance::default(),
        cohort_units: cohort_units(panel, plan),
    }
}

/// Writes the periods and cohorts in texts as the data have them.
fn relabel(panel: &Panel, result: &mut RunResult) {
    if panel.calendar.is_none() {
        return;
    }
    result.warnings.iter_mut().for_each(|text| *text = panel.label_periods(text));
    let reasons = result.att_gt.reason.iter_mut().chain(&mut result.att_gt.se_reason);
    reasons.flatten().for_each(|text| *text = panel.label_periods(text));
}

/// Reasons by cell for a missing estimate and for a missing standard error.
struct Reasons {
    reason: Vec<Option<String>>,
    se_reason: Vec<Option<String>>,
}

impl Reasons {
    fn new(facts: &ReasonInputs<'_>, extended: &Extended, inference: &CellInference) -> Self {
        let (plan, first) = (facts.plan, 1 + facts.plan.targets.groups.len());
        let mut space = extended.covariance.space();
        let mut variance =
            |cell: usize| extended.covariance.quadratic(&[(first + cell, 1.0)], &mut space).max(0.0);
        let errors: Vec<f64> =
            (0..plan.targets.cells.len()).map(|cell| (variance(cell) / extended.n as f64).sqrt()).collect();
        Self { reason: facts.estimate_reasons(), se_reason: facts.error_reasons(inference, &errors) }
    }
}

/// Computes covariance and draws of the extended columns from sums of features. Those of few columns become a matrix, which
/// is saved as it is, so that what a run and its saved result aggregate are the same bits.
fn feature_moments(plan: &Plan, sums: &mut FeatureTotals) -> Moments {
    let n = plan.sample.n as f64;
    let clusters = sums.clusters();
    let factor = clusters.map_or(1.0, |clusters| factor(plan, clusters));
    let covariance = sums.over_clusters(plan, n / factor);
    let draws = sums.draws(plan, &covariance, factor.sqrt());
    let over_units = (clusters.is_some() && plan.inference.draws > 0).then(|| sums.over_units(plan, n));
    let compact = |factor: Factor| match factor.size() > MAX_VCOV_CELLS {
        true => Covariance::Factored(Box::new(factor)),
        false => Covariance::Dense(Covariance::Factored(Box::new(factor)).to_symmetric()),
    };
    Moments {
        covariance: compact(covariance),
        over_units: over_units.map(compact),
        draws,
        draw_units: clusters.unwrap_or(plan.sample.n),
        clusters,
        shares: sums.shares(plan),
        warnings: Vec::new(),
    }
}

/// Computes covariance and draws of the extended columns from their sums.
fn column_moments(plan: &Plan, sums: InfluenceTotals) -> Moments {
    let n = plan.sample.n as f64;
    let InfluenceTotals { units, mut ways, clusters } = sums;
    // Products with the column of ones; those of the share columns are n p_g (FORMULAS §6).
    let totals: Vec<f64> = units.cross.row(0).collect();
    let plain = Moments {
        covariance: Covariance::default(),
        over_units: None,
        draws: None,
        draw_units: plan.sample.n,
        clusters: clusters.first().copied(),
        shares: totals[1..=plan.targets.groups.len()].iter().map(|sum| sum / n).collect(),
        warnings: Vec::new(),
    };
    match (ways.len(), ways.pop()) {
        (1, Some(one)) => {
            let factor = factor(plan, clusters[0]);
            let draws = draws(plan, &one, &totals).map(|draws| scaled(draws, factor.sqrt()));
            // R clusters V only without bootstrap (FORMULAS §4).
            let over_units = (plan.inference.draws > 0).then(|| Covariance::Dense(units.cross.divided(n)));
            let covariance = Covariance::Dense(one.cross.divided(n / factor));
            Moments { covariance, over_units, draws, draw_units: clusters[0], ..plain }
        }
        (3, Some(both)) => two_ways(plan, [&ways[0], &ways[1], &both], &clusters, plain),
        _ => {
            let draws = draws(plan, &units, &totals);
            Moments { covariance: Covariance::Dense(units.cross.divided(n)), draws, ..plain }
        }
    }
}

/// Covariance with two-way clusters, from the sums by one variable, by the other and by both. Eigenvalues mix all
/// columns, so that shares enter relative to the mean weight: otherwise the repair would depend on the scale of the
/// weights.
fn two_ways(plan: &Plan, ways: [&ExtendedSums; 3], clusters: &[u64], plain: Moments) -> Moments {
    let unit = mean_weight(plan, &plain.shares);
    let scale = |column: usize| if (1..=plan.targets.groups.len()).contains(&column) { unit } else { 1.0 };
    let own = |way: usize| {
        let divisor = plan.sample.n as f64 / factor(plan, clusters[way]);
        let sums = &ways[way].cross;
        Mat::from_fn(sums.size(), sums.size(), |i, j| sums.get(i, j) / divisor / (scale(i) * scale(j)))
    };
    let (a, b, ab) = (own(0), own(1), own(2));
    let both = two_way(&a, &b, &ab);
    let warning = (both.clipped > 0).then(|| {
        format!(
            "the two-way clustered covariance had {} negative eigenvalues (smallest {:.3e}), set to 0",
            both.clipped, both.smallest
        )
    });
    let draws = (plan.inference.draws > 0).then(|| {
        let draws =
            gaussian_draws(&both.covariance, plan.sample.n, plan.inference.draws, plan.inference.seed);
        Mat::from_fn(draws.nrows(), draws.ncols(), |b, column| draws[(b, column)] * scale(column))
    });
    let found = &both.covariance;
    let matrix = Symmetric::from_fn(found.nrows(), |i, j| found[(i, j)] * (scale(i) * scale(j)));
    let covariance = Covariance::Dense(matrix);
    Moments { covariance, draws, warnings: warning.into_iter().collect(), ..plain }
}

/// Mean weight of the units in the estimated groups; 1 without weights.
fn mean_weight(plan: &Plan, shares: &[f64]) -> f64 {
    if !plan.weights.weighted {
        return 1.0;
    }
    let estimated = plan
        .sample
        .strata
        .iter()
        .zip(&plan.sample.units)
        .filter(|(s, _)| plan.targets.groups.contains(&s.cohort));
    let units: u64 = estimated.map(|(_, units)| *units).sum();
    let mean = shares.iter().sum::<f64>() * plan.sample.n as f64 / units as f64;
    if mean.is_finite() && mean > 0.0 { mean } else { 1.0 }
}

/// G/(G − 1) where it is asked for, else 1 (FORMULAS §5, few clusters).
fn factor(plan: &Plan, clusters: u64) -> f64 {
    let clusters = clusters as f64;
    if plan.inference.cluster_factor && clusters > 1.0 { clusters / (clusters - 1.0) } else { 1.0 }
}

/// Multiplies the draws by a factor.
fn scaled(mut matrix: Mat<f64>, factor: f64) -> Mat<f64> {
    if factor != 1.0 {
        matrix.col_iter_mut().for_each(|column| column.iter_mut().for_each(|value| *value *= factor));
    }
    matrix
}

/// Σ v Ψ of every draw, draws × columns, from the sums over the units whose multiplier bit is 1.
fn draws(plan: &Plan, sums: &ExtendedSums, totals: &[f64]) -> Option<Mat<f64>> {
    let (two, columns) = (plan.inference.multiplier, sums.cross.size());
    (sums.draws > 0).then(|| {
        Mat::from_fn(sums.draws, columns, |draw, column| {
            two.low * totals[column] + (two.high - two.low) * sums.bit_sums[draw * columns + column]
        })
    })
}

fn att_gt(plan: &Plan, att: &[f64], se: &[f64], crit: f64, reasons: Reasons) -> AttGt {
    let band = |sign: f64| att.iter().zip(se).map(|(a, s)| Num(a + sign * crit * s)).collect();
    let labels = |of: &dyn Fn(&Cell) -> f64| match &plan.sample.calendar {
        Some(calendar) => plan.targets.cells.iter().map(|cell| calendar.label(of(cell))).collect(),
        None => Vec::new(),
    };
    AttGt {
        group_label: labels(&|cell| cell.group),
        time_label: labels(&|cell| plan.sample.period_labels[cell.time]),
        group: plan.targets.cells.iter().map(|c| Num(c.group)).collect(),
        time: plan.targets.cells.iter().map(|c| Num(plan.sample.period_labels[c.time])).collect(),
        post: plan.targets.cells.iter().map(|c| c.post).collect(),
        att: att.iter().copied().map(Num).collect(),
        se: se.iter().copied().map(Num).collect(),
        lci: band(-1.0),
        uci: band(1.0),
        reason: reasons.reason,
        se_reason: reasons.se_reason,
    }
}

fn rows(covariance: &Covariance, first: usize, att: &[f64]) -> Vec<Vec<Num>> {
    let columns: Vec<usize> = (first..first + att.len()).collect();
    let v = covariance.matrix(&columns);
    let entry = |i: usize, j: usize| {
        if att[i].is_nan() || att[j].is_nan() { Num::NA } else { Num(v[(i, j)]) }
    };
    (0..att.len()).map(|i| (0..att.len()).map(|j| entry(i, j)).collect()).collect()
}

/// Used units by cohort in the data.
fn cohort_units(panel: &Panel, plan: &Plan) -> Vec<(Num, u64)> {
    let mut out: Vec<(Num, u64)> = Vec::new();
    for (stratum, &units) in panel.strata.iter().zip(&plan.sample.units).filter(|(_, units)| **units > 0) {
        match out.last_mut() {
            Some((cohort, total)) if cohort.0 == stratum.cohort => *total += units,
            _ => out.push((Num(stratum.cohort), units)),
        }
    }
    out
}
