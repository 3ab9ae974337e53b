//! Partials as plain values, and the sum of absolute terms of each value: the scale of differences between kernels.

use stagger_estimator::lanes::exp;
use stagger_estimator::linear::dot;
use stagger_estimator::moments::MomentsPartial;
use stagger_estimator::outcome::GramPartial;
use stagger_estimator::propensity::PropensityPartial;
use stagger_panel::shard::Shard;

use super::super::expanded::{self, ExpandedFrame, Expansion};
use crate::partial::Partial;
use crate::passes::LogitPart;
use crate::plan::Plan;
use crate::stage::StageInput;

/// Returns all values of a partial. Triangles are completed, since a kernel may leave the lower ones undefined.
pub(super) fn values(plan: &Plan, partial: &Partial) -> Vec<f64> {
    match partial {
        Partial::Gram(gram) => gram_values(plan, gram),
        Partial::Starts(starts) => {
            let rows = starts.rows.keys.iter().flatten().map(|value| f64::from(*value));
            gram_values(plan, &starts.gram).into_iter().chain(rows).collect()
        }
        Partial::Propensity(logits) => logit_values(plan, logits),
        Partial::Moments(moments) => moment_values(plan, moments),
        Partial::Closing(sums) => {
            [logit_values(plan, &sums.logits), moment_values(plan, &sums.moments)].concat()
        }
        Partial::Influence(sums) => [sums.units.cross.clone(), sums.units.bit_sums.clone()].concat(),
        Partial::Omega(sums) => sums.sums.clone(),
        Partial::Overlap(sums) => [sums.sums.clone(), sums.extremes.clone()].concat(),
        Partial::Features(_) | Partial::Survey(_) => Vec::new(),
    }
}

fn gram_values(plan: &Plan, gram: &GramPartial) -> Vec<f64> {
    (0..plan.sums.gram_keys.len())
        .map(|key| gram.key(key))
        .flat_map(|sums| [sums.weighted, sums.unweighted, sums.outcomes].concat())
        .collect()
}

/// The directions of the coefficients.
fn directions(count: usize) -> impl Iterator<Item = Vec<f64>> {
    (0..count).map(move |own| (0..count).map(|at| f64::from(at == own)).collect())
}

/// Values of one logit after the other: first those of every round, then derivatives of the Hessian.
fn logit_values(plan: &Plan, logits: &PropensityPartial) -> Vec<f64> {
    let of = |logit: usize| {
        let sums = logits.logit(logit);
        let slopes = directions(sums.gradient.len()).filter_map(|along| sums.hessian_change(&along));
        let slopes: Vec<f64> = slopes.flatten().collect();
        let rest = [sums.deviance, sums.least_treated, sums.greatest_treated, sums.greatest_control];
        [sums.gradient, sums.hessian, rest.to_vec(), slopes].concat()
    };
    (0..plan.comparisons.logits.len()).flat_map(of).collect()
}

/// Values of one slot after the other: first those at the coefficients, then derivatives along each of them.
fn moment_values(plan: &Plan, moments: &MomentsPartial) -> Vec<f64> {
    let of = |slot: usize| {
        let sums = moments.slot(slot);
        let counts = vec![sums.trimmed, sums.low];
        let mut out = [sums.hessian, sums.odds, sums.outcomes, counts].concat();
        if moments.shape.sloped {
            let changes = directions(moments.shape.regressors).map(|along| moments.changes(slot, &along));
            out.extend(changes.flatten().flatten());
            out.extend(&moments.extremes[slot * 3..slot * 3 + 3]);
        }
        out
    };
    (0..plan.comparisons.slots.len()).flat_map(of).collect()
}

/// Returns the scale of every value of `whole`, a partial with the sums over `shards`.
pub(super) fn scales(plan: &Plan, input: &StageInput, shards: &[&Shard], whole: &Partial) -> Vec<f64> {
    let own = values(plan, whole);
    if let (StageInput::Influence { .. }, Partial::Influence(sums)) = (input, whole) {
        return influence_scales(sums.units.columns, &sums.units.cross, own.len());
    }
    let mut out = vec![0.0; own.len()];
    for shard in shards {
        Absolute::new(plan, shard).add(input, &mut out);
    }
    // Values that are not sums of terms, like extremes and counts, are their own scale; distances of an index, which are small, that
    // of the index.
    let least = if matches!(whole, Partial::Closing(_)) { 10.0 } else { 0.0 };
    let unscaled = out.iter_mut().zip(&own).filter(|(scale, _)| **scale == 0.0);
    unscaled.for_each(|(scale, own)| *scale = own.abs().max(least));
    out
}

/// Bounds the scale by the Cauchy–Schwarz inequality: the diagonal of the products has no cancellation, and its first
/// entry is the number of units.
fn influence_scales(columns: usize, cross: &[f64], values: usize) -> Vec<f64> {
    let size = |column: usize| cross[column * columns + column].sqrt();
    let units = cross.first().copied().unwrap_or(0.0).sqrt();
    (0..values)
        .map(|at| {
            let row = if at < columns * columns { size(at / columns) } else { units };
            row * size(at % columns)
        })
        .collect()
}

/// The expanded columns of a shard, and sums of absolute terms over them, row by row.
struct Absolute<'a> {
    plan: &'a Plan,
    expansion: Expansion,
    design: Vec<f64>,
    outcomes: Vec<f64>,
}

impl<'a> Absolute<'a> {
    fn new(plan: &'a Plan, shard: &Shard) -> Self {
        let expansion = Expansion::new(plan, shard);
        let all = expansion.segments.len();
        let mut design = vec![0.0; expansion.design_values];
        let mut outcomes = vec![0.0; expansion.outcome_values];
        expansion.fill_design(plan, shard, 0..all, &mut |at, v| design[at..at + v.len()].copy_from_slice(v));
        expansion
            .fill_outcomes(plan, shard, 0..all, &mut |at, v| outcomes[at..at + v.len()].copy_from_slice(v));
        Self { plan, expansion, design, outcomes }
    }

    fn row(&self, frame: &ExpandedFrame, row: usize) -> Row {
        let columns = |values: &[f64], at: usize, count: usize| -> Vec<f64> {
            (0..count).map(|column| values[at + column * frame.rows + row]).collect()
        };
        let outcomes = columns(&self.outcomes, frame.outcomes_at, self.plan.outcome_column_count() - 1);
        Row {
            x: columns(&self.design, frame.design_at, self.plan.design_column_count()),
            y: [vec![0.0], outcomes].concat(),
            weight: self.design[frame.weights_at + row],
            used: self.design[frame.used_at + row],
        }
    }

    fn add(&self, input: &StageInput, out: &mut [f64]) {
        match input {
            StageInput::Gram | StageInput::Starts { .. } => {
                for frame in &self.expansion.frames {
                    self.used_rows(frame).for_each(|row| self.gram(frame, &row, out));
                }
            }
            StageInput::Propensity { betas, curved } => self.logits(betas, *curved, out),
            StageInput::Moments { betas } => self.moments(betas, false, out),
            StageInput::Closing { betas, weighing } => {
                let (k, logits) = (self.plan.regressor_count(), self.plan.comparisons.logits.len());
                let (first, rest) = out.split_at_mut(logits * logit_len(k, true));
                self.logits(betas, true, first);
                self.moments(weighing, true, rest);
            }
            _ => {}
        }
    }

    fn used_rows(&self, frame: &ExpandedFrame) -> impl Iterator<Item = Row> {
        (0..frame.rows).map(|row| self.row(frame, row)).filter(|row| row.used > 0.0)
    }

    /// Calls `each` for every used row of a logit.
    fn visit(&self, betas: &[Option<Vec<f64>>], mut each: impl FnMut(&LogitPart, &[f64], &Row)) {
        let logits = expanded::logits_by_stratum(self.plan, betas);
        for frame in &self.expansion.frames {
            let parts: Vec<&LogitPart> = logits[frame.stratum]
                .iter()
                .filter_map(|(own, part)| (*own == frame.frame).then_some(part))
                .collect();
            for row in self.used_rows(frame) {
                for part in &parts {
                    if let Some(beta) = &betas[part.logit] {
                        each(part, beta, &row);
                    }
                }
            }
        }
    }

    fn logits(&self, betas: &[Option<Vec<f64>>], curved: bool, out: &mut [f64]) {
        self.visit(betas, |part, beta, row| {
            let weighted = self.plan.comparisons.logits[part.logit].weighted;
            let weight = if weighted { row.weight } else { row.used };
            row.logit(beta, weight, curved, &mut out[part.logit * logit_len(beta.len(), curved)..]);
        });
    }

    fn moments(&self, betas: &[Option<Vec<f64>>], sloped: bool, out: &mut [f64]) {
        self.visit(betas, |part, beta, row| {
            let slot = self.plan.comparisons.first_slot(part.logit) + part.side;
            let len = row.moments_len(beta.len(), sloped);
            row.moments(beta, part.treated, sloped, &mut out[slot * len..]);
        });
    }

    fn gram(&self, frame: &ExpandedFrame, row: &Row, out: &mut [f64]) {
        let Some(key) = self.plan.gram_key(frame.stratum, frame.frame) else { return };
        let (n, periods) = (row.x.len(), row.y.len());
        let at = key * (2 * n * n + n * periods);
        add_products(&row.x, &row.x, row.weight, &mut out[at..]);
        add_products(&row.x, &row.x, row.used, &mut out[at + n * n..]);
        add_products(&row.x, &row.y, row.weight, &mut out[at + 2 * n * n..]);
    }
}

struct Row {
    x: Vec<f64>,
    y: Vec<f64>,
    weight: f64,
    used: f64,
}

impl Row {
    fn logit(&self, beta: &[f64], weight: f64, curved: bool, out: &mut [f64]) {
        let k = beta.len();
        let x = &self.x[..k];
        let eta = dot(x, beta);
        let p = 1.0 / (1.0 + exp(-eta));
        let variance = weight * p * (1.0 - p);
        add_products(x, &[1.0], weight, out);
        add_products(x, x, variance, &mut out[k..]);
        out[k + k * k] += weight * (1.0 + eta.abs());
        for (a, own) in x.iter().enumerate().filter(|_| curved) {
            add_products(x, x, variance * own, &mut out[logit_len(k, false) + a * k * k..]);
        }
    }

    /// Number of values of a slot.
    fn moments_len(&self, k: usize, sloped: bool) -> usize {
        let (n, periods) = (self.x.len(), self.y.len());
        let own = k * k + n * n + n * periods;
        own + 2 + if sloped { k * own + 3 } else { 0 }
    }

    fn moments(&self, beta: &[f64], treated: bool, sloped: bool, out: &mut [f64]) {
        let k = beta.len();
        let p = 1.0 / (1.0 + exp(-dot(&self.x[..k], beta)));
        let odds = if treated { 0.0 } else { self.weight * p / (1.0 - p) };
        let variance = self.weight * p * (1.0 - p);
        self.products(k, variance, odds, out);
        let (first, each) = (self.moments_len(k, false), self.moments_len(k, false) - 2);
        for (a, own) in self.x[..k].iter().enumerate().filter(|_| sloped) {
            self.products(k, variance * own, odds * own, &mut out[first + a * each..]);
        }
    }

    fn products(&self, k: usize, variance: f64, odds: f64, out: &mut [f64]) {
        let n = self.x.len();
        add_products(&self.x[..k], &self.x[..k], variance, out);
        add_products(&self.x, &self.x, odds, &mut out[k * k..]);
        add_products(&self.x, &self.y, odds, &mut out[k * k + n * n..]);
    }
}

/// Number of values of a logit with `k` regressors.
fn logit_len(k: usize, curved: bool) -> usize {
    k + k * k + 4 + if curved { k * k * k } else { 0 }
}

fn add_products(a: &[f64], b: &[f64], weight: f64, out: &mut [f64]) {
    for (a, row) in a.iter().zip(out.chunks_mut(b.len())) {
        row.iter_mut().zip(b).for_each(|(out, b)| *out += (weight * a * b).abs());
    }
}
