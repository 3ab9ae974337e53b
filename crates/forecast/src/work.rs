//! Nanoseconds of one core that the sums of a stage take: operations counted by stratum, times the rates of
//! `rates.rs`.

use stagger_estimation::plan::Plan;
use stagger_estimation::stage::StageInput;
use stagger_estimator::influence::Role;
use stagger_panel::strata::RowKind;

use super::rates::{CLUSTER, COVARIANCE, DRAW, INFLUENCE, PRE_TEST, PRODUCT, QUANTILE, ROW, SCORE};

/// Returns the work of a stage over all shards, nanoseconds.
pub(crate) fn pass_work(plan: &Plan, input: &StageInput) -> f64 {
    match input {
        StageInput::Gram | StageInput::Starts { .. } => gram(plan),
        StageInput::Features { draws, clusters } => features(plan, *draws as f64, clusters.is_some()),
        StageInput::Propensity { curved, .. } => score_rows(plan) + if *curved { curves(plan) } else { 0.0 },
        StageInput::Closing { .. } => {
            2.0 * (score_rows(plan) + curves(plan)) + odds(plan) + odds_slopes(plan)
        }
        StageInput::Moments { .. } => score_rows(plan) + odds(plan),
        StageInput::Overlap { .. } => {
            let (treated, controls) = logit_rows(plan);
            (treated + controls) * (2.0 * SCORE + ROW * plan.design_column_count() as f64)
        }
        StageInput::Omega { .. } => parts(plan, &|_| true),
        StageInput::Survey(_) => 0.0,
        StageInput::Influence { columns, draws, clusters, .. } => {
            influence(plan, columns, *draws as f64, clusters.is_some())
        }
    }
}

/// Returns the work of standard errors, pre-test and aggregations, nanoseconds.
pub(crate) fn aggregation_work(plan: &Plan) -> f64 {
    let width = plan.extended_column_count() as f64;
    let pre = plan.targets.cells.iter().filter(|cell| !cell.post).count() as f64;
    let tested = if plan.targets.triple { 0.0 } else { pre };
    // Of features the covariance is never multiplied out: a column has a few of them in every group.
    let products = plan.features.as_ref().map_or(width, |planned| planned.groups.len() as f64);
    COVARIANCE * width * products + PRE_TEST * tested.powi(3) + QUANTILE * plan.inference.draws as f64 * width
}

/// Returns the share of a stratum's units whose rows enter a frame: in cross sections those of one period.
fn share(plan: &Plan, frame: usize) -> f64 {
    match (plan.sample.rows, plan.comparisons.frames[frame].rows) {
        (RowKind::Observation, Some(_)) => 1.0 / plan.sample.periods.len().max(1) as f64,
        _ => 1.0,
    }
}

fn units(plan: &Plan, stratum: usize) -> f64 {
    plan.sample.units[stratum] as f64
}

fn gram(plan: &Plan) -> f64 {
    let (c, t) = (plan.design_column_count() as f64, plan.outcome_column_count() as f64);
    let weighted = if plan.weights.weighted { 2.0 } else { 1.0 };
    let each = ROW * c + PRODUCT * (weighted * c * c / 2.0 + c * t);
    let keys = plan.sums.gram_keys.iter();
    keys.map(|&(stratum, frame)| units(plan, stratum) * share(plan, frame)).sum::<f64>() * each
}

/// Returns the work of the cross products with the moments and draws of the features.
fn features(plan: &Plan, draws: f64, clustered: bool) -> f64 {
    let Some(planned) = &plan.features else { return gram(plan) };
    let blocks = (planned.groups.len() / plan.sample.units.len().max(1)).max(1) as f64;
    let of = |(group, layout): (usize, &stagger_estimator::factor::FeatureLayout)| {
        let width = layout.len() as f64;
        let clusters = if clustered { CLUSTER * width } else { 0.0 };
        let each = ROW * width
            + PRODUCT * width * width / 2.0
            + DRAW * libm::ceil(width / 8.0) * 8.0 * draws
            + clusters;
        units(plan, planned.stratum(group)) / blocks * each
    };
    gram(plan) + planned.group_layouts().enumerate().map(of).sum::<f64>()
}

/// Returns treated rows and control rows that enter the logits, over all of them.
fn logit_rows(plan: &Plan) -> (f64, f64) {
    let mut out = (0.0, 0.0);
    for logit in &plan.comparisons.logits {
        let controls: f64 = plan.comparisons.sets[logit.controls].iter().map(|&s| units(plan, s)).sum();
        for &frame in &logit.frames {
            out.0 += share(plan, frame) * units(plan, logit.treated);
            out.1 += share(plan, frame) * controls;
        }
    }
    out
}

/// Returns the work of scores, gradient and Hessian of one round.
fn score_rows(plan: &Plan) -> f64 {
    let c = plan.design_column_count() as f64;
    let (treated, controls) = logit_rows(plan);
    (treated + controls) * (SCORE + ROW * c + PRODUCT * (c * c / 2.0 + c))
}

/// Returns the work of the odds-weighted products of the controls.
fn odds(plan: &Plan) -> f64 {
    let (c, t) = (plan.design_column_count() as f64, plan.outcome_column_count() as f64);
    logit_rows(plan).1 * PRODUCT * (c * c / 2.0 + c * t)
}

/// Returns the work of the derivatives of the Hessians.
fn curves(plan: &Plan) -> f64 {
    let (treated, controls) = logit_rows(plan);
    (treated + controls) * slopes(plan.regressor_count(), plan.regressor_count(), 0)
}

/// Returns the work of the derivatives of the odds-weighted products of the controls.
fn odds_slopes(plan: &Plan) -> f64 {
    let outcomes = plan.outcome_column_count();
    logit_rows(plan).1 * slopes(plan.regressor_count(), plan.design_column_count(), outcomes)
}

/// Returns the work of the derivatives of products of columns with each other and with outcomes, of one row: each leading column
/// multiplies those from it on.
fn slopes(coefficients: usize, columns: usize, outcomes: usize) -> f64 {
    let of = |lead: usize| {
        let width = (columns - lead) as f64;
        0.2 * ROW * width + PRODUCT * width * (width / 2.0 + outcomes as f64)
    };
    (0..coefficients).map(of).sum()
}

/// Returns the work of the influence values of the sides that strata enter, for some of the extended columns.
fn parts(plan: &Plan, wanted: &dyn Fn(usize) -> bool) -> f64 {
    let c = plan.design_column_count() as f64;
    let of = |(stratum, parts): (usize, &Vec<stagger_estimator::influence::Membership>)| {
        let mut scored: Vec<(usize, Option<usize>)> = Vec::new();
        let mut work = 0.0;
        for part in parts.iter().filter(|part| wanted(part.column)) {
            let comparison = &plan.comparisons.comparisons[part.comparison];
            let frame = comparison.sides[part.side].frame;
            let share = share(plan, frame);
            work += share * INFLUENCE * (c + 1.0);
            if !scored.contains(&(frame, comparison.logit)) {
                scored.push((frame, comparison.logit));
                work += share * if comparison.logit.is_some() { SCORE + ROW * c } else { ROW * c };
            }
        }
        work * units(plan, stratum)
    };
    plan.sums.stratum_parts.iter().enumerate().map(of).sum()
}

fn influence(plan: &Plan, columns: &[usize], draws: f64, clustered: bool) -> f64 {
    let wanted = |column: usize| columns.binary_search(&column).is_ok();
    let of = |(stratum, own): (usize, &Vec<(usize, Role)>)| {
        let entered = own.iter().filter(|(column, _)| wanted(*column)).count() as f64;
        // A row of a cross section enters the cells of its own period: about two of them each.
        let periods = plan.sample.periods.len().max(2) as f64;
        let width =
            if plan.sample.rows == RowKind::Observation { 2.0 + entered * 2.0 / periods } else { entered };
        let padded = libm::ceil(width / 8.0) * 8.0;
        let clusters = if clustered { CLUSTER * width } else { 0.0 };
        let draws = if own.is_empty() { 0.0 } else { DRAW * padded * draws };
        units(plan, stratum) * (PRODUCT * width * width / 2.0 + draws + clusters)
    };
    parts(plan, &wanted) + plan.sums.stratum_columns.iter().enumerate().map(of).sum::<f64>()
}
