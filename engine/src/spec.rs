//! What to estimate: one specification, under R `did`'s argument names.

pub use crate::input::{CsvOptions, Encoding};
use serde::{Deserialize, Serialize};

pub use crate::calendar::TimeUnit;
pub use stagger_estimator::options::{
    BasePeriod, ControlGroup, DrawScale, EstMethod, FixWeights, Multiplier,
};

/// One specification. Field names are R `did`'s arguments; defaults are R's, but for `scale` (the standard deviation of the
/// draws where few units carry an estimate) and `seed` (fixed).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunSpec {
    /// Outcome column.
    pub yname: String,
    /// Period column.
    pub tname: String,
    /// Unit column.
    pub idname: String,
    /// Column of the first treated period; 0, missing or infinite means never treated.
    pub gname: String,
    /// Column of eligibility (1 eligible, 0 not): triple differences, as R `triplediff`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pname: Option<String>,
    /// R formula of the covariates, `None` for `~1`.
    pub xformla: Option<String>,
    /// Column of sampling weights.
    pub weightsname: Option<String>,
    /// Cluster columns; the unit column may be among them and adds nothing.
    pub clustervars: Vec<String>,
    /// Two-by-two estimator.
    pub est_method: EstMethod,
    /// Comparison units.
    pub control_group: ControlGroup,
    /// Periods before treatment in which units may already react; a whole number ≥ 0.
    pub anticipation: f64,
    /// Base period of pre-treatment cells.
    pub base_period: BasePeriod,
    /// Period that weights are taken from; `None` = the cell's earlier period.
    pub fix_weights: Option<FixWeights>,
    /// Unit in which event times count where periods are dates; the one that the dates have if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunit: Option<TimeUnit>,
    /// Units are followed over time.
    pub panel: bool,
    /// Keep units that miss periods.
    pub allow_unbalanced_panel: bool,
    /// Standard errors from the multiplier bootstrap.
    pub bstrap: bool,
    /// Bootstrap draws.
    pub biters: usize,
    /// Simultaneous confidence bands (needs `bstrap`).
    pub cband: bool,
    /// Significance level.
    pub alp: f64,
    /// Seed of the multipliers.
    pub seed: u64,
    /// Distribution of the multipliers.
    pub multiplier: Multiplier,
    /// Smallest event time of the `dynamic` aggregation; no limit if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_e: Option<f64>,
    /// Largest event time of the `simple`, `group` and `dynamic` aggregations; no limit if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_e: Option<f64>,
    /// Event time up to which the `dynamic` aggregation holds the groups fixed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance_e: Option<f64>,
    /// Aggregations leave out cells that could not be estimated; without it there is none over such cells.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub na_rm: bool,
    /// What a row without a cohort is.
    #[serde(skip_serializing_if = "MissingCohort::is_default")]
    pub missing_cohort: MissingCohort,
    /// Scale of the draws.
    pub scale: DrawScale,
    /// Clustered variances times G/(G − 1), G clusters.
    pub cluster_factor: bool,
    /// Compute overlap, balance, effective sample sizes and condition numbers too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub diagnostics: bool,
    /// How CSV files are written, where that is not to be found by looking.
    #[serde(skip_serializing_if = "CsvOptions::is_default")]
    pub csv: CsvOptions,
}

/// What a row is whose cohort is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MissingCohort {
    /// One of a unit that is never treated.
    #[default]
    Never,
    /// One that is dropped, as R does.
    Drop,
}

impl MissingCohort {
    /// Whether it is the default, which specifications need not tell.
    pub fn is_default(&self) -> bool {
        *self == Self::Never
    }
}

/// Seed used when none is given; printed with every bootstrap result.
pub const DEFAULT_SEED: u64 = 20_210_101;

impl Default for RunSpec {
    fn default() -> Self {
        Self {
            yname: String::new(),
            tname: String::new(),
            idname: String::new(),
            gname: String::new(),
            pname: None,
            xformla: None,
            weightsname: None,
            clustervars: Vec::new(),
            est_method: EstMethod::Dr,
            control_group: ControlGroup::NeverTreated,
            anticipation: 0.0,
            base_period: BasePeriod::Varying,
            fix_weights: None,
            tunit: None,
            panel: true,
            allow_unbalanced_panel: false,
            bstrap: true,
            biters: 1000,
            cband: true,
            alp: 0.05,
            seed: DEFAULT_SEED,
            multiplier: Multiplier::Rademacher,
            min_e: None,
            max_e: None,
            balance_e: None,
            na_rm: false,
            missing_cohort: MissingCohort::Never,
            scale: DrawScale::Auto,
            cluster_factor: false,
            diagnostics: false,
            csv: CsvOptions::default(),
        }
    }
}
