//! Bytes of the sums of a stage, and of the work space in which a task computes them.

use stagger_estimation::estimate::sequence::sampled_rows;
use stagger_estimation::plan::Plan;
use stagger_estimation::stage::StageInput;
use stagger_estimator::propensity::PropensityPartial;
use stagger_estimator::subset_sums::BLOCK;

/// Bytes of a value.
const VALUE: u64 = 8;
/// Values that hold the scores of one group of a slot: head, bins of the index, bins of the score.
const OVERLAP: u64 = 4 + 1024 + 50;

/// The number of draws beyond which a bound no longer grows.
const MOST_DRAWS: u64 = 1 << 40;

/// Returns an upper bound on the bytes in which a controller turns the sums of all stages into the result: covariance
/// of the extended columns, the matrices that the pre-test solves with, and the draws as sums, as a matrix and by
/// estimate.
pub(crate) fn aggregation_memory(plan: &Plan) -> u64 {
    let width = plan.extended_column_count() as u64;
    let draws = (plan.inference.draws as u64).min(MOST_DRAWS);
    let pre = plan.targets.cells.iter().filter(|cell| !cell.post).count() as u64;
    let tested = if plan.targets.triple { 0 } else { pre };
    // The eigenvalues of two-way clusters take full matrices.
    let two_ways = if plan.inference.cluster_variables > 1 { 8 * width * width } else { 0 };
    sums(plan)
        .saturating_add(VALUE * (4 * tested * tested + two_ways))
        .saturating_add(3 * VALUE * draws.saturating_mul(width))
}

/// Returns the bytes of the sums of all `Influence` passes, of which one triangle is kept.
fn sums(plan: &Plan) -> u64 {
    let width = plan.extended_column_count() as u64;
    let ways = match plan.inference.cluster_variables {
        0 => 1,
        1 => 2,
        _ => 4,
    };
    let draws = (plan.inference.draws as u64).min(MOST_DRAWS);
    if plan.features.is_some() {
        // The moments, and their draws by feature once more.
        return (ways + 1) * VALUE * feature_values(plan, draws);
    }
    VALUE * (ways * width * (width + 1) / 2).saturating_add(draws.saturating_mul(width))
}

/// Memory of a stage beside the shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassMemory {
    /// Bytes of one partial.
    pub partial: u64,
    /// Bytes of a task's work space: the block, Ψ, running sums.
    pub space: u64,
    /// Bytes of the sums of the stage's passes, which the controller keeps.
    pub held: u64,
    /// Bytes of the sums of one cluster, in all ways of clustering; 0 without clusters.
    pub cluster: u64,
}

impl PassMemory {
    /// Returns the size of two specifications that share a pass: sums add, work space is used in turns.
    pub fn join(self, other: Self) -> Self {
        Self {
            partial: self.partial + other.partial,
            space: self.space.max(other.space),
            held: self.held + other.held,
            cluster: self.cluster + other.cluster,
        }
    }
}

/// Returns the size of a stage's partial and work space.
pub(crate) fn pass_memory(plan: &Plan, input: &StageInput) -> PassMemory {
    let c = plan.design_column_count() as u64;
    let (t, logits) = (plan.outcome_column_count() as u64, plan.comparisons.logits.len() as u64);
    let slots = plan.comparisons.slots.len() as u64;
    let block = BLOCK as u64 * VALUE * (2 * c + t + 4 + 8);
    let values = match input {
        StageInput::Gram => plan.sums.gram_keys.len() as u64 * plan.gram_shape().len() as u64,
        StageInput::Starts { rows } => return starts(plan, *rows, block),
        StageInput::Propensity { curved, .. } => logits * logit_values(plan, *curved),
        StageInput::Closing { .. } => {
            logits * logit_values(plan, true) + slots * (plan.moments_shape(true).len() as u64 + 3)
        }
        StageInput::Moments { .. } => slots * plan.moments_shape(false).len() as u64,
        StageInput::Overlap { .. } => slots * 2 * (OVERLAP + 2),
        // Levels and clusters are not known before they are counted.
        StageInput::Survey(_) => (plan.sample.strata.len() * (2 * plan.sample.periods.len() + 1)) as u64,
        StageInput::Omega { .. } => {
            plan.combined_estimates().iter().map(|cell| (cell.len() + cell.len() * cell.len()) as u64).sum()
        }
        StageInput::Features { draws, clusters: slice } => {
            return features(plan, (*draws as u64).min(MOST_DRAWS), slice.is_some(), block);
        }
        StageInput::Influence { columns, draws, clusters: slice, .. } => {
            // For more draws than fit anywhere the bound only has to be beyond every limit.
            return influence(plan, columns, (*draws as u64).min(MOST_DRAWS), slice.is_some(), block);
        }
    };
    PassMemory { partial: values * VALUE, space: block, ..PassMemory::default() }
}

/// The sums of a shard; its rows of the sample are few, and those of all shards are kept.
fn starts(plan: &Plan, rows: usize, space: u64) -> PassMemory {
    let gram = plan.sums.gram_keys.len() as u64 * plan.gram_shape().len() as u64;
    let keys = plan.start_keys().into_iter().filter(|wanted| *wanted).count();
    // A weight and the regressors in single precision.
    let row = 4 * (plan.regressor_count() as u64 + 1);
    let partial = VALUE * gram + (keys * rows) as u64 * row;
    PassMemory { partial, space, held: 2 * (keys * sampled_rows(keys)) as u64 * row, cluster: 0 }
}

/// Returns the number of values of a round for one logit, extremes included.
fn logit_values(plan: &Plan, curved: bool) -> u64 {
    PropensityPartial::len_of(plan.regressor_count(), curved) as u64 + 3
}

fn features(plan: &Plan, draws: u64, clustered: bool, block: u64) -> PassMemory {
    let gram = plan.sums.gram_keys.len() as u64 * plan.gram_shape().len() as u64;
    let widest = feature_widths(plan).max().unwrap_or(0);
    let padded = widest.next_multiple_of(8);
    let own = feature_values(plan, draws);
    PassMemory {
        partial: VALUE * (gram + own),
        held: VALUE * own,
        // A key, and a value per feature.
        cluster: if clustered { VALUE * (widest + 1) } else { 0 },
        space: block
            + VALUE * (BLOCK as u64 * 4 * padded + draws.next_multiple_of(64) * padded)
            + VALUE * widest * widest
            + draws.div_ceil(64) * BLOCK as u64 * VALUE
            + 8 * draws,
    }
}

/// Returns the number of features of each group.
fn feature_widths(plan: &Plan) -> impl Iterator<Item = u64> {
    plan.features.iter().flat_map(|planned| planned.group_layouts().map(|layout| layout.len() as u64))
}

/// Returns the number of values of the sums of all features: moments, pivots, totals, draws.
fn feature_values(plan: &Plan, draws: u64) -> u64 {
    let of = |width: u64| width * (width + 1) / 2 + (3 + draws).saturating_mul(width) + 8;
    feature_widths(plan).map(of).fold(0, u64::saturating_add)
}

fn influence(plan: &Plan, columns: &[usize], draws: u64, clustered: bool, block: u64) -> PassMemory {
    let width = columns.len() as u64;
    let entered = |stratum: &Vec<(usize, _)>| {
        stratum.iter().filter(|(column, _)| columns.binary_search(column).is_ok()).count() as u64
    };
    let widest = plan.sums.stratum_columns.iter().map(entered).max().unwrap_or(0);
    let ways = match plan.inference.cluster_variables {
        0 => 0,
        1 => 1,
        _ => 3,
    };
    let padded = widest.next_multiple_of(8);
    PassMemory {
        partial: VALUE * (width * width).saturating_add(draws.saturating_mul(width)),
        held: sums(plan),
        // A key, and a value per column.
        cluster: if clustered { ways * VALUE * (width + 1) } else { 0 },
        space: block + VALUE * (BLOCK as u64 * 2 * padded + draws.next_multiple_of(64) * padded)
            + VALUE * widest * widest
            // Bits of a block's units, and one byte per draw and group.
            + draws.div_ceil(64) * BLOCK as u64 * VALUE + 8 * draws,
    }
}
