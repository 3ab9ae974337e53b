//! Partials as plain values, and the sum of absolute terms of each value: the scale of differences between kernels.

use stagger_estimator::lanes::exp;
use stagger_estimator::linear::dot;
use stagger_panel::shard::Shard;

use super::super::expanded::{self, ExpandedFrame, Expansion};
use crate::partial::Partial;
use crate::plan::Plan;
use crate::stage::StageInput;

/// Returns all values of a partial. Triangles are completed, since a kernel may leave the lower ones undefined.
pub(super) fn values(plan: &Plan, partial: &Partial) -> Vec<f64> {
    match partial {
        Partial::Gram(gram) => (0..plan.sums.gram_keys.len())
            .map(|key| gram.key(key))
            .flat_map(|sums| [sums.weighted, sums.unweighted, sums.outcomes].concat())
            .collect(),
        Partial::Propensity(logits) => (0..plan.comparisons.logits.len())
            .map(|logit| logits.logit(logit))
            .flat_map(|sums| {
                let rest = [sums.deviance, sums.least_treated, sums.greatest_treated, sums.greatest_control];
                [sums.gradient, sums.hessian, rest.to_vec()].concat()
            })
            .collect(),
        Partial::Moments(moments) => (0..plan.comparisons.slots.len())
            .map(|slot| moments.slot(slot))
            .flat_map(|sums| [sums.hessian, sums.odds, sums.outcomes, vec![sums.trimmed, sums.low]].concat())
            .collect(),
        Partial::Influence(sums) => [sums.units.cross.clone(), sums.units.bit_sums.clone()].concat(),
        Partial::Omega(sums) => sums.sums.clone(),
        Partial::Overlap(sums) => [sums.sums.clone(), sums.extremes.clone()].concat(),
        Partial::Features(_) | Partial::Survey(_) => Vec::new(),
    }
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
    // Values that are not sums of terms, like extremes and counts, are their own scale.
    out.iter_mut().zip(&own).filter(|(scale, _)| **scale == 0.0).for_each(|(scale, own)| *scale = own.abs());
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
        let betas = match input {
            StageInput::Propensity { betas } | StageInput::Moments { betas } => betas.as_slice(),
            _ => &[],
        };
        let logits =
            if betas.is_empty() { Vec::new() } else { expanded::logits_by_stratum(self.plan, betas) };
        for frame in &self.expansion.frames {
            for row in (0..frame.rows).map(|row| self.row(frame, row)).filter(|row| row.used > 0.0) {
                if *input == StageInput::Gram {
                    self.gram(frame, &row, out);
                }
                for (_, part) in
                    logits.get(frame.stratum).into_iter().flatten().filter(|p| p.0 == frame.frame)
                {
                    let Some(beta) = &betas[part.logit] else { continue };
                    if matches!(input, StageInput::Propensity { .. }) {
                        let weighted = self.plan.comparisons.logits[part.logit].weighted;
                        row.logit(beta, part.logit, if weighted { row.weight } else { row.used }, out);
                    } else {
                        let slot = self.plan.comparisons.first_slot(part.logit) + part.side;
                        row.moments(beta, slot, part.treated, out);
                    }
                }
            }
        }
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
    fn logit(&self, beta: &[f64], logit: usize, weight: f64, out: &mut [f64]) {
        let k = beta.len();
        let x = &self.x[..k];
        let at = logit * (k + k * k + 4);
        let eta = dot(x, beta);
        let p = 1.0 / (1.0 + exp(-eta));
        add_products(x, &[1.0], weight, &mut out[at..]);
        add_products(x, x, weight * p * (1.0 - p), &mut out[at + k..]);
        out[at + k + k * k] += weight * (1.0 + eta.abs());
    }

    fn moments(&self, beta: &[f64], slot: usize, treated: bool, out: &mut [f64]) {
        let (k, n, periods) = (beta.len(), self.x.len(), self.y.len());
        let at = slot * (k * k + n * n + n * periods + 2);
        let p = 1.0 / (1.0 + exp(-dot(&self.x[..k], beta)));
        add_products(&self.x[..k], &self.x[..k], self.weight * p * (1.0 - p), &mut out[at..]);
        if !treated {
            let odds = self.weight * p / (1.0 - p);
            add_products(&self.x, &self.x, odds, &mut out[at + k * k..]);
            add_products(&self.x, &self.y, odds, &mut out[at + k * k + n * n..]);
        }
    }
}

fn add_products(a: &[f64], b: &[f64], weight: f64, out: &mut [f64]) {
    for (a, row) in a.iter().zip(out.chunks_mut(b.len())) {
        row.iter_mut().zip(b).for_each(|(out, b)| *out += (weight * a * b).abs());
    }
}
