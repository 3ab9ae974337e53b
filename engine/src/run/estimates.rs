//! From influence sums to the saved result: covariance, standard errors, bands, pre-test, aggregations.

use std::collections::BTreeMap;

use faer::Mat;
use stagger_estimator::inference::{
    Extended, InferenceOptions, gaussian_draws, infer_cells, two_way, wald_pretest,
};
use stagger_estimator::influence::{InfluencePartial, clusters_to_sums};
use stagger_estimator::multipliers::{Bits, Domain};

use super::Progress;
use super::fit::{Fitted, failures};
use super::stages::Threads;
use crate::aggregate::{AggregateOptions, InferenceOverrides, aggregate_saved};
use crate::error::{EngineError, Result};
use crate::panel::Panel;
use crate::partial::{InfluenceSums, Partial};
use crate::plan::Plan;
use crate::result::{AttGt, ExtendedResult, Num, RunResult, SavedResult, WaldTest};
use crate::spec::RunSpec;
use crate::task::{ClusterSlice, StageInput, keys_by_way};

/// Bytes that cluster sums may take in one pass.
const CLUSTER_BYTES: u64 = 256 << 20;
/// Cells named in a warning.
const NAMED_CELLS: usize = 6;

/// Extended covariance with draws, and what it took.
struct Covariance {
    matrix: Mat<f64>,
    /// ΨᵀΨ/n over units, where that is R's V although draws are by cluster.
    over_units: Option<Mat<f64>>,
    draws: Option<Mat<f64>>,
    draw_units: u64,
    clusters: Option<u64>,
    shares: Vec<f64>,
    warnings: Vec<String>,
}

/// Computes covariance and draws, then everything that follows from them.
pub(super) fn estimate(
    panel: &Panel,
    spec: &RunSpec,
    fitted: Fitted,
    invoker: &Threads<'_>,
    progress: &mut Progress<'_>,
    max_cells: Option<usize>,
) -> Result<(SavedResult, Option<Mat<f64>>)> {
    let covariance = covariance(&fitted, invoker, progress, max_cells)?;
    let plan = &fitted.plan;
    let mut warnings = plan.warnings.clone();
    for (reason, cells) in failures(&fitted) {
        warnings.push(not_estimated(plan, reason, &cells));
    }
    warnings.extend(covariance.warnings);
    let att = att(&fitted);
    let shares = covariance.shares.clone();
    let extended = Extended {
        n: plan.n,
        covariance: covariance.matrix,
        draws: covariance.draws,
        n_draw_units: covariance.draw_units,
    };
    let options =
        InferenceOptions { alp: spec.alp, bstrap: spec.bstrap, cband: spec.cband && plan.allows_band };
    let inference = infer_cells(&extended, &att, plan.groups.len(), &options);
    warnings.extend(inference.warnings);
    let vcov = match covariance.over_units {
        Some(over_units) => Extended { covariance: over_units, draws: None, ..extended.clone() }
            .cell_covariance(plan.groups.len()),
        None => extended.cell_covariance(plan.groups.len()),
    };
    let pre: Vec<bool> = plan.cells.iter().map(|c| !c.post).collect();
    let wald = (plan.cluster_variables == 0 || !spec.bstrap)
        .then(|| wald_pretest(&att, &inference.se_analytic, &pre, &vcov, plan.n))
        .flatten();
    let mut saved = SavedResult {
        result: RunResult {
            estimator: "att_gt".to_owned(),
            n: plan.n,
            alp: spec.alp,
            crit: Num(inference.crit),
            att_gt: att_gt(plan, &att, &inference.se, inference.crit),
            vcov: rows(&vcov, &att),
            wald: wald.map(|w| WaldTest { stat: Num(w.stat), df: w.df as u64, p: Num(w.p) }),
            aggte: BTreeMap::new(),
            dropped: plan.dropped.clone(),
            warnings,
        },
        extended: ExtendedResult {
            spec: RunSpec { cband: options.cband, ..spec.clone() },
            periods: plan.period_labels.iter().copied().map(Num).collect(),
            groups: plan.groups.iter().copied().map(Num).collect(),
            shares,
            clusters: covariance.clusters,
            reference: plan.cells.iter().map(|c| c.reference).collect(),
            covariance: (0..extended.covariance.nrows())
                .map(|i| (0..extended.covariance.ncols()).map(|j| extended.covariance[(i, j)]).collect())
                .collect(),
            cohort_units: cohort_units(panel, plan),
        },
    };
    let draws = extended.draws;
    progress.stage("aggregate", 1, |_| {
        add_aggregates(&mut saved, draws.as_ref());
        Ok(())
    })?;
    Ok((saved, draws))
}

fn add_aggregates(saved: &mut SavedResult, draws: Option<&Mat<f64>>) {
    for kind in ["simple", "dynamic", "group", "calendar"] {
        let plain = AggregateOptions::default();
        let overrides = InferenceOverrides::default();
        let found = aggregate_saved(saved, draws, kind, &plain, &overrides).or_else(|first| {
            // R stops at missing cells; the run goes on without them and says so.
            let lenient = AggregateOptions { na_rm: true, ..plain };
            let out = aggregate_saved(saved, draws, kind, &lenient, &overrides);
            if out.is_ok() {
                saved
                    .result
                    .warnings
                    .push(format!("{kind} aggregation leaves out cells that could not be estimated"));
            }
            out.map_err(|_| first)
        });
        match found {
            Ok(aggte) => {
                saved.result.aggte.insert(kind.to_owned(), aggte);
            }
            Err(error) => saved.result.warnings.push(format!("no {kind} aggregation: {error}")),
        }
    }
}

/// Extended columns of the passes: all at once, or with at most `max_cells` cells a set every pair of sets, since cells
/// share controls and the blocks between sets are not zero. Draws belong to the passes of one set.
fn column_passes(plan: &Plan, max_cells: Option<usize>) -> Vec<(Vec<usize>, bool)> {
    let fixed = 1 + plan.groups.len();
    let all: Vec<usize> = (fixed..plan.extended_columns()).collect();
    let sets: Vec<&[usize]> = all.chunks(max_cells.unwrap_or(all.len()).max(1)).collect();
    let mut passes = Vec::new();
    for (i, a) in sets.iter().enumerate() {
        passes.push(((0..fixed).chain(a.iter().copied()).collect(), true));
        for b in &sets[i + 1..] {
            passes.push(((0..fixed).chain(a.iter().copied()).chain(b.iter().copied()).collect(), false));
        }
    }
    passes
}

/// Puts the sums of some columns in their place among all.
fn place(all: &mut InfluencePartial, part: &InfluencePartial, columns: &[usize]) {
    for (i, &row) in columns.iter().enumerate() {
        for (j, &column) in columns.iter().enumerate() {
            all.cross[row * all.columns + column] = part.cross[i * part.columns + j];
        }
    }
    for draw in 0..part.draws {
        for (j, &column) in columns.iter().enumerate() {
            all.bit_sums[draw * all.columns + column] = part.bit_sums[draw * part.columns + j];
        }
    }
}

/// Sums over units and, with clusters, by every way of clustering, over all extended columns.
struct Sums {
    units: InfluencePartial,
    ways: Vec<InfluencePartial>,
    clusters: u64,
}

fn all_sums(
    fitted: &Fitted,
    invoker: &Threads<'_>,
    progress: &mut Progress<'_>,
    max_cells: Option<usize>,
) -> Result<Sums> {
    let plan = &fitted.plan;
    let width = plan.extended_columns();
    let ways = match plan.cluster_variables {
        0 => 0,
        1 => 1,
        _ => 3,
    };
    // Two-way draws are Gaussian, from the covariance.
    let unit_draws = if ways == 0 { plan.draws } else { 0 };
    let cluster_draws = if ways == 1 { plan.draws } else { 0 };
    let slices = if ways == 0 { 1 } else { cluster_slices(plan, invoker) };
    let bits = Bits::new(plan.seed, Domain::Cluster, plan.multiplier);
    let mut out = Sums {
        units: InfluencePartial::new(width, unit_draws),
        ways: vec![InfluencePartial::new(width, cluster_draws); ways],
        clusters: 0,
    };
    for (pass, (columns, own_draws)) in column_passes(plan, max_cells).into_iter().enumerate() {
        let draws = |wanted: usize| if own_draws { wanted } else { 0 };
        let mut parts = vec![InfluencePartial::new(columns.len(), draws(cluster_draws)); ways];
        for index in 0..slices {
            let slice = (ways > 0).then_some(ClusterSlice { index, count: slices });
            let sums = influence(fitted, &columns, draws(unit_draws), slice, invoker, progress)?;
            place(&mut out.units, &sums.units, &columns);
            for (part, clusters) in parts.iter_mut().zip(&sums.clusters) {
                part.merge(&clusters_to_sums(clusters, width, draws(cluster_draws), &bits));
            }
            if pass == 0 {
                out.clusters += sums.clusters.first().map_or(0, |c| c.keys.len() as u64);
            }
        }
        for (way, part) in out.ways.iter_mut().zip(&parts) {
            place(way, part, &columns);
        }
    }
    Ok(out)
}

fn covariance(
    fitted: &Fitted,
    invoker: &Threads<'_>,
    progress: &mut Progress<'_>,
    max_cells: Option<usize>,
) -> Result<Covariance> {
    let plan = &fitted.plan;
    let n = plan.n as f64;
    let Sums { units, ways, clusters } = all_sums(fitted, invoker, progress, max_cells)?;
    let totals = &units.cross[..units.columns];
    let plain = Covariance {
        matrix: Mat::new(),
        over_units: None,
        draws: None,
        draw_units: plan.n,
        clusters: (!ways.is_empty()).then_some(clusters),
        shares: shares(plan, &units),
        warnings: Vec::new(),
    };
    Ok(match ways.as_slice() {
        [one] => Covariance {
            matrix: matrix(one, n),
            // R clusters V only without bootstrap (FORMULAS §4).
            over_units: (plan.draws > 0).then(|| matrix(&units, n)),
            draws: draws(plan, one, totals),
            draw_units: clusters,
            ..plain
        },
        [a, b, ab] => {
            let both = two_way(&matrix(a, n), &matrix(b, n), &matrix(ab, n));
            let warning = (both.clipped > 0).then(|| {
                format!(
                    "the two-way clustered covariance had {} negative eigenvalues (smallest {:.3e}), set to 0",
                    both.clipped, both.smallest
                )
            });
            let draws =
                (plan.draws > 0).then(|| gaussian_draws(&both.covariance, plan.n, plan.draws, plan.seed));
            Covariance { matrix: both.covariance, draws, warnings: warning.into_iter().collect(), ..plain }
        }
        _ => Covariance { matrix: matrix(&units, n), draws: draws(plan, &units, totals), ..plain },
    })
}

fn influence(
    fitted: &Fitted,
    columns: &[usize],
    draws: usize,
    clusters: Option<ClusterSlice>,
    invoker: &Threads<'_>,
    progress: &mut Progress<'_>,
) -> Result<InfluenceSums> {
    let input = StageInput::Influence {
        corrections: fitted.corrections.iter().map(|c| c.as_ref().ok().cloned()).collect(),
        betas: fitted.betas.clone(),
        columns: columns.to_vec(),
        draws,
        clusters,
    };
    match invoker.stage(&fitted.plan, &input, progress)? {
        Partial::Influence(sums) => Ok(sums),
        _ => Err(EngineError::failed("the influence stage returned another stage's partial")),
    }
}

/// Passes that the cluster sums need to stay within their memory, from an upper bound of the number of clusters.
fn cluster_slices(plan: &Plan, invoker: &Threads<'_>) -> u64 {
    let mut distinct = std::collections::HashSet::new();
    let mut most = 0u64;
    for shard in invoker.shards {
        for keys in keys_by_way(shard) {
            // Beyond this the units themselves are the bound.
            if distinct.len() < 4_000_000 {
                distinct.extend(keys);
            }
        }
        most = most.max(distinct.len() as u64);
    }
    // Root, the sum under way and each thread's shard hold clusters at one time.
    let held = most * plan.extended_columns() as u64 * 8 * 3;
    held.div_ceil(CLUSTER_BYTES).max(1)
}

fn matrix(sums: &InfluencePartial, n: f64) -> Mat<f64> {
    Mat::from_fn(sums.columns, sums.columns, |i, j| sums.cross[i * sums.columns + j] / n)
}

/// Σ v Ψ of every draw from the sums over units whose bit is 1.
fn draws(plan: &Plan, sums: &InfluencePartial, totals: &[f64]) -> Option<Mat<f64>> {
    let two = plan.multiplier;
    (sums.draws > 0).then(|| {
        Mat::from_fn(sums.draws, sums.columns, |draw, column| {
            two.low * totals[column] + (two.high - two.low) * sums.bit_sums[draw * sums.columns + column]
        })
    })
}

fn att(fitted: &Fitted) -> Vec<f64> {
    let mut att: Vec<f64> =
        fitted.plan.cells.iter().map(|c| if c.reference { 0.0 } else { f64::NAN }).collect();
    for (comparison, result) in fitted.plan.comparisons.comparisons.iter().zip(&fitted.corrections) {
        if let Ok(correction) = result {
            att[comparison.cell] = correction.att;
        }
    }
    att
}

/// p_g: mean over units of w 1{G = g}, from the products of the share columns with the ones column.
fn shares(plan: &Plan, units: &InfluencePartial) -> Vec<f64> {
    units.cross[1..=plan.groups.len()].iter().map(|sum| sum / plan.n as f64).collect()
}

fn att_gt(plan: &Plan, att: &[f64], se: &[f64], crit: f64) -> AttGt {
    let band = |sign: f64| att.iter().zip(se).map(|(a, s)| Num(a + sign * crit * s)).collect();
    AttGt {
        group: plan.cells.iter().map(|c| Num(c.group)).collect(),
        time: plan.cells.iter().map(|c| Num(plan.period_labels[c.time])).collect(),
        post: plan.cells.iter().map(|c| c.post).collect(),
        att: att.iter().copied().map(Num).collect(),
        se: se.iter().copied().map(Num).collect(),
        lci: band(-1.0),
        uci: band(1.0),
    }
}

fn rows(matrix: &Mat<f64>, att: &[f64]) -> Vec<Vec<Num>> {
    let entry = |i: usize, j: usize| {
        if att[i].is_nan() || att[j].is_nan() { Num::NA } else { Num(matrix[(i, j)]) }
    };
    (0..att.len()).map(|i| (0..att.len()).map(|j| entry(i, j)).collect()).collect()
}

fn cohort_units(panel: &Panel, plan: &Plan) -> Vec<(Num, u64)> {
    panel
        .cohorts
        .iter()
        .zip(&plan.units)
        .filter(|(_, units)| **units > 0)
        .map(|(c, u)| (Num(*c), *u))
        .collect()
}

fn not_estimated(plan: &Plan, reason: &str, cells: &[usize]) -> String {
    let named: Vec<String> = cells
        .iter()
        .take(NAMED_CELLS)
        .map(|&c| format!("({}, {})", plan.cells[c].group, plan.period_labels[plan.cells[c].time]))
        .collect();
    let rest = if cells.len() > NAMED_CELLS {
        format!(" and {} more", cells.len() - NAMED_CELLS)
    } else {
        String::new()
    };
    let word = if cells.len() == 1 { "cell" } else { "cells" };
    format!("{} {word} not estimated: {reason}: (group, time) {}{rest}", cells.len(), named.join(", "))
}
