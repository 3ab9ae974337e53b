//! The stages of an estimation and their inputs: what a pass needs besides the plan.

use serde::{Deserialize, Serialize};
use stagger_estimator::moments::Correction;
use stagger_panel::strata::NeededColumns;
use stagger_panel::survey::Survey;

/// Input of a stage besides the plan: the solutions of the stages before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum StageInput {
    /// Cross products of all pairs of stratum and frame.
    Gram,
    /// The same, with rows of a sample on which the logits are started.
    Starts {
        /// Rows that each pair of stratum and frame gives of a shard, at most.
        rows: usize,
    },
    /// The cross products with the moments and draws of the features, where a plan has them: all sums of the estimation.
    Features {
        /// Number of draws over units; 0 with clusters, whose draws come from the cluster sums.
        draws: usize,
        /// Slice of clusters to sum by; `None` without clusters. Slices after the first hold cluster sums alone.
        clusters: Option<ClusterSlice>,
    },
    /// One round of the logits that are still active.
    Propensity {
        /// Coefficients by logit; `None` where the logit is not active.
        betas: Vec<Option<Vec<f64>>>,
        /// True for third derivatives, which make a better step.
        curved: bool,
    },
    /// The round of the logits that is expected to be the last one, together with the moments and with their derivatives along the
    /// coefficients: the moments at the end of the round's step follow from them.
    Closing {
        /// Coefficients by logit; `None` where the logit is not active.
        betas: Vec<Option<Vec<f64>>>,
        /// Coefficients by logit at which moments are summed; `None` for guard logits and those that failed.
        weighing: Vec<Option<Vec<f64>>>,
    },
    /// Odds-weighted cross products at the final coefficients.
    Moments {
        /// Coefficients by logit; `None` for guard logits and those that failed.
        betas: Vec<Option<Vec<f64>>>,
    },
    /// Distribution of the scores at the final coefficients.
    Overlap {
        /// Coefficients by logit; `None` for guard logits and those without scores to show.
        betas: Vec<Option<Vec<f64>>>,
    },
    /// Covariances of the estimates of a cell by control cohort (triple differences with not-yet-treated controls).
    Omega {
        /// Corrections by comparison, multiplied by its sign; `None` where the cell can't be estimated.
        corrections: Vec<Option<Correction>>,
        /// Coefficients by logit.
        betas: Vec<Option<Vec<f64>>>,
    },
    /// Counts that planning needs, before there is a plan.
    Survey(Survey),
    /// Sums over influence values.
    Influence {
        /// Corrections by comparison, multiplied by its sign and by its estimate's weight; `None` where the cell can't
        /// be estimated.
        corrections: Vec<Option<Correction>>,
        /// Coefficients by logit.
        betas: Vec<Option<Vec<f64>>>,
        /// The extended columns to sum over, ascending: all of them, or a pair of cell sets where memory is short.
        columns: Vec<usize>,
        /// Number of draws over units; 0 with clusters, whose draws come from the cluster sums.
        draws: usize,
        /// Slice of clusters to sum by; `None` without clusters.
        clusters: Option<ClusterSlice>,
    },
}

impl StageInput {
    /// Returns the columns of a shard that the stage reads.
    pub fn needs(&self) -> NeededColumns {
        match self {
            StageInput::Gram
            | StageInput::Starts { .. }
            | StageInput::Closing { .. }
            | StageInput::Moments { .. } => NeededColumns { outcomes: true, ..NeededColumns::default() },
            StageInput::Propensity { .. } | StageInput::Overlap { .. } => NeededColumns::default(),
            StageInput::Survey(survey) => survey.needs(),
            StageInput::Omega { .. } => {
                NeededColumns { outcomes: true, clusters: true, ..NeededColumns::default() }
            }
            StageInput::Features { draws, clusters } | StageInput::Influence { draws, clusters, .. } => {
                NeededColumns { outcomes: true, keys: *draws > 0, clusters: clusters.is_some() }
            }
        }
    }

    /// Returns the name of the stage.
    pub fn stage(&self) -> &'static str {
        match self {
            StageInput::Gram | StageInput::Starts { .. } => "gram",
            StageInput::Features { .. } => "features",
            StageInput::Propensity { .. } => "propensity",
            StageInput::Closing { .. } => "closing",
            StageInput::Moments { .. } => "moments",
            StageInput::Overlap { .. } => "overlap",
            StageInput::Omega { .. } => "omega",
            StageInput::Survey(Survey::Census) => "census",
            StageInput::Survey(Survey::Units { .. }) => "units",
            StageInput::Survey(Survey::Levels { .. }) => "levels",
            StageInput::Survey(Survey::Clusters) => "clusters",
            StageInput::Influence { .. } => "influence",
        }
    }
}

/// The clusters whose keys have the remainder `index` when divided by `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSlice {
    /// Index of the slice.
    pub index: u64,
    /// Number of slices.
    pub count: u64,
}
