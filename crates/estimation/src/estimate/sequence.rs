//! The sequence of passes: which pass comes next for estimations that share them, and the passes that a plan will make as
//! far as that is known before a run. Threads, workers and forecasts all follow it.

use stagger_model::error::StaggerError;
use stagger_model::events::RunEvent;
use stagger_panel::panel::Panel;

use super::fit::needs_standardization;
use super::influence_passes::cut_column_passes;
use super::shared_sums::shared_sums;
use super::starts::start_rows;
use super::steps::{Estimation, MAX_CLUSTER_BYTES, SAMPLE_DIVISOR, STANDARDIZATION_SHARDS};
use crate::partial::Partial;
use crate::plan::Plan;
use crate::stage::{ClusterSlice, StageInput};

pub use super::starts::{closes_early, sampled_rows};

/// A pass that is to be made now.
#[derive(Clone, Debug)]
pub struct NextPass {
    /// The estimations that take part, by index.
    pub wanted: Vec<usize>,
    /// Those of them whose sums differ: these are computed.
    pub distinct: Vec<usize>,
    /// For each one that takes part, the position of its sums among the distinct ones.
    sums_of: Vec<usize>,
    /// The number of shards that are read.
    pub shards: usize,
    /// The distance between two of them: 1 for all shards, more for a sample.
    pub stride: usize,
    /// True if a sample is asked for; on few shards it may be all of them.
    pub sample: bool,
}

impl NextPass {
    /// Returns the pass to make next: samples first, all of the same size together; then the passes over all shards,
    /// together. `None` once no estimation wants one. `shards` is the number of shards of the panel.
    fn find(estimations: &[Estimation], panels: &[Panel], shards: usize) -> Option<Self> {
        let sample = |e: &Estimation| e.next_pass().map(|request| request.sample);
        let first = estimations.iter().filter_map(sample).min_by_key(|sample| (sample.is_none(), *sample))?;
        let wanted: Vec<usize> =
            (0..estimations.len()).filter(|&i| sample(&estimations[i]) == Some(first)).collect();
        let count = first.map_or(shards, |n| n.next_power_of_two().min(shards));
        let (distinct, sums_of) = shared_sums(estimations, panels, &wanted);
        let (stride, sample) = (shards / count, first.is_some());
        Some(Self { wanted, distinct, sums_of, shards: count, stride, sample })
    }

    /// Returns the name of the stage: that of each specification's own, where they differ.
    pub fn stage(&self, estimations: &[Estimation]) -> String {
        let inputs = self.distinct.iter().filter_map(|&i| Some(estimations[i].next_pass()?.input.stage()));
        let mut names: Vec<&str> = inputs.collect();
        names.dedup();
        names.join(" + ")
    }
}

/// Makes passes over shards: on the threads of this process, or on workers.
pub trait PassRunner {
    /// The reason why a pass was not made.
    type Error: From<StaggerError>;

    /// Makes a pass; returns the sums of each of its distinct estimations, in their order.
    ///
    /// # Errors
    /// A shard that can't be read, a task that can't be done.
    fn run(
        &mut self,
        pass: &NextPass,
        estimations: &[Estimation],
    ) -> std::result::Result<Vec<Partial>, Self::Error>;

    /// Takes note of the estimations after a pass, and of the events that tell of it.
    ///
    /// # Errors
    /// Storage that fails.
    fn passed(
        &mut self,
        estimations: &[Estimation],
        events: Vec<RunEvent>,
    ) -> std::result::Result<(), Self::Error>;
}

/// Makes passes until no estimation wants one; returns the number of passes over all shards.
///
/// # Errors
/// Those of the runner, and sums of another stage.
pub fn run_passes<R: PassRunner>(
    runner: &mut R,
    estimations: &mut [Estimation],
    panels: &[Panel],
    shards: usize,
) -> std::result::Result<usize, R::Error> {
    let mut passes = 0;
    while let Some(pass) = NextPass::find(estimations, panels, shards) {
        passes += usize::from(!pass.sample);
        let sums = runner.run(&pass, estimations)?;
        let mut events = Vec::new();
        for (&index, partial) in pass.wanted.iter().zip(hand_out(sums, &pass.sums_of)?) {
            estimations[index].accept_sums(partial)?;
            events.extend(estimations[index].events_since_pass(index));
        }
        runner.passed(estimations, events)?;
    }
    Ok(passes)
}

/// Returns the sums of every estimation of a pass; copies them only where several share them.
fn hand_out(sums: Vec<Partial>, sums_of: &[usize]) -> Result<Vec<Partial>, StaggerError> {
    let mut left: Vec<Option<Partial>> = sums.into_iter().map(Some).collect();
    let mut out = Vec::with_capacity(sums_of.len());
    for (at, &place) in sums_of.iter().enumerate() {
        let again = sums_of[at + 1..].contains(&place);
        let own = left.get_mut(place).and_then(|sums| if again { sums.clone() } else { sums.take() });
        out.push(own.ok_or_else(|| StaggerError::failed("a pass brought no sums"))?);
    }
    Ok(out)
}

/// Amounts that decide the sequence and are not known before a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknowns {
    /// Rounds of the logits over all shards, without the one that brings the moments.
    pub rounds: usize,
    /// Rounds of the logits on some of the shards, where they have no sample of rows.
    pub sample_rounds: usize,
    /// The number of distinct clusters.
    pub clusters: u64,
}

/// A pass of one specification that is expected.
#[derive(Clone, Debug)]
pub struct ExpectedPass {
    /// The name of the stage; of samples, their purpose.
    pub stage: &'static str,
    /// The stage with its input; solutions that only the run finds are empty.
    pub input: StageInput,
    /// The number of shards of a sample; `None` for all shards.
    pub sample: Option<usize>,
}

/// Returns the passes that an [`Estimation`] of the plan will ask for, in order. `shards` is the number of shards,
/// `max_cells` the largest number of cells in an `Influence` pass.
pub fn expected_passes(
    plan: &Plan,
    shards: usize,
    max_cells: Option<usize>,
    unknowns: &Unknowns,
) -> Vec<ExpectedPass> {
    let mut out = Vec::new();
    let full = |input: StageInput| ExpectedPass { stage: input.stage(), input, sample: None };
    if needs_standardization(plan) {
        let sample = Some(STANDARDIZATION_SHARDS.min(shards));
        out.push(ExpectedPass { stage: "scale", input: StageInput::Gram, sample });
    }
    let features = feature_passes(plan, unknowns.clusters);
    let gram = start_rows(plan, shards).map_or(StageInput::Gram, |rows| StageInput::Starts { rows });
    out.push(full(features.first().cloned().unwrap_or(gram)));
    let betas = || vec![None; plan.comparisons.logits.len()];
    if !plan.comparisons.logits.is_empty() {
        if start_rows(plan, shards).is_none() && shards / SAMPLE_DIVISOR > 0 {
            let input = StageInput::Propensity { betas: betas(), curved: false };
            let sample = Some(shards / SAMPLE_DIVISOR);
            let round = ExpectedPass { stage: "sample", input, sample };
            out.extend(std::iter::repeat_n(round, unknowns.sample_rounds));
        }
        out.extend(logit_passes(plan, shards, unknowns).into_iter().map(full));
        if plan.diagnostics {
            out.push(full(StageInput::Overlap { betas: betas() }));
        }
    }
    if !plan.combined_estimates().is_empty() {
        out.push(full(StageInput::Omega { corrections: Vec::new(), betas: betas() }));
    }
    out.extend(influence_passes(plan, max_cells, unknowns.clusters).into_iter().map(full));
    out.extend(features.into_iter().skip(1).map(full));
    out
}

/// Returns the inputs of the passes that fit the logits and sum what they weigh.
fn logit_passes(plan: &Plan, shards: usize, unknowns: &Unknowns) -> Vec<StageInput> {
    let betas = || vec![None; plan.comparisons.logits.len()];
    let early = closes_early(plan, shards);
    let round = |curved: bool| StageInput::Propensity { betas: betas(), curved };
    let mut out: Vec<StageInput> = (0..unknowns.rounds).map(|at| round(early && at == 0)).collect();
    out.push(match early {
        true => StageInput::Closing { betas: betas(), weighing: betas() },
        false => StageInput::Moments { betas: betas() },
    });
    out
}

/// Returns the inputs of the `Features` passes, one for each slice of the clusters; none for a plan without features.
pub fn feature_passes(plan: &Plan, clusters: u64) -> Vec<StageInput> {
    if plan.features.is_none() {
        return Vec::new();
    }
    let clustered = plan.inference.cluster_variables > 0;
    let count = feature_slices(plan, clusters);
    let draws = if clustered { 0 } else { plan.inference.draws };
    let input = |index: u64| StageInput::Features {
        draws,
        clusters: clustered.then_some(ClusterSlice { index, count }),
    };
    (0..count).map(input).collect()
}

/// Returns the number of slices in which the features of `clusters` clusters are summed; 1 without clusters.
pub(super) fn feature_slices(plan: &Plan, clusters: u64) -> u64 {
    let Some(planned) = plan.features.as_ref().filter(|_| plan.inference.cluster_variables > 0) else {
        return 1;
    };
    let widest = planned.group_layouts().map(|layout| layout.len() as u64).max().unwrap_or(0);
    // A cluster has a row in every group that it has units of.
    let rows = clusters.saturating_mul(planned.groups.len() as u64).min(plan.sample.n);
    slices(rows.saturating_mul(widest))
}

/// Returns the number of slices of cluster sums of so many values.
fn slices(values: u64) -> u64 {
    // Clusters are in memory three times: in the root, in the current sum and in each thread's shard.
    values.saturating_mul(8 * 3).div_ceil(MAX_CLUSTER_BYTES).max(1)
}

/// Returns the inputs of the `Influence` passes: sets of columns, each in slices of the clusters; none for a plan with features.
pub fn influence_passes(plan: &Plan, max_cells: Option<usize>, clusters: u64) -> Vec<StageInput> {
    if plan.features.is_some() {
        return Vec::new();
    }
    let clustered = plan.inference.cluster_variables > 0;
    let slices = cluster_slices(plan, clusters);
    let draws = if clustered { 0 } else { plan.inference.draws };
    let of = |(columns, own): (Vec<usize>, bool)| {
        (0..slices).map(move |index| StageInput::Influence {
            corrections: Vec::new(),
            betas: Vec::new(),
            columns: columns.clone(),
            draws: if own { draws } else { 0 },
            clusters: clustered.then_some(ClusterSlice { index, count: slices }),
        })
    };
    cut_column_passes(plan, max_cells).into_iter().flat_map(of).collect()
}

/// Returns the number of slices that `clusters` clusters are summed in, so that a pass keeps its memory; 1 without
/// clusters.
pub(super) fn cluster_slices(plan: &Plan, clusters: u64) -> u64 {
    if plan.inference.cluster_variables == 0 {
        return 1;
    }
    slices(clusters.saturating_mul(plan.extended_column_count() as u64))
}
