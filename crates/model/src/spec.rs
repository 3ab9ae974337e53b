//! The specification of an estimation, with the argument names of the R package `did`.

use serde::{Deserialize, Serialize};

use crate::csv_options::CsvOptions;
use crate::record_options::RecordOptions;

pub use crate::calendar::TimeUnit;
pub use stagger_estimator::options::{
    BasePeriod, ControlGroup, DrawScale, EstMethod, FixWeights, Multiplier,
};

/// A specification. Field names are the arguments of R `did`. Defaults are R's, except `scale` (standard errors use the
/// standard deviation of the draws where few units carry an estimate) and `seed` (fixed).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunSpec {
    /// The column of the outcome.
    pub yname: String,
    /// The column of the period.
    pub tname: String,
    /// The column of the unit.
    pub idname: String,
    /// The column of the first treated period; 0, missing or infinite means never treated.
    pub gname: String,
    /// The column of eligibility (1 eligible, 0 not): triple differences, as in R `triplediff`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pname: Option<String>,
    /// The R formula of the covariates; `None` for `~1`.
    pub xformla: Option<String>,
    /// The column of sampling weights.
    pub weightsname: Option<String>,
    /// The columns of clusters. The unit column may be among them and has no effect.
    pub clustervars: Vec<String>,
    /// The two-by-two estimator.
    pub est_method: EstMethod,
    /// The comparison group.
    pub control_group: ControlGroup,
    /// The number of periods before treatment in which units may already react; a whole number ≥ 0.
    pub anticipation: f64,
    /// The base period of pre-treatment cells.
    pub base_period: BasePeriod,
    /// The period that weights are taken from; `None` for the cell's earlier period.
    pub fix_weights: Option<FixWeights>,
    /// The unit of event times if periods are dates; `None` for the unit of the dates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunit: Option<TimeUnit>,
    /// `true` for a panel, in which units are followed over time; `false` for repeated cross sections.
    pub panel: bool,
    /// `true` keeps units that lack periods.
    pub allow_unbalanced_panel: bool,
    /// `true` for standard errors from the multiplier bootstrap, `false` for analytic ones.
    pub bstrap: bool,
    /// The number of bootstrap draws.
    pub biters: usize,
    /// `true` for simultaneous confidence bands, which need `bstrap`.
    pub cband: bool,
    /// The significance level.
    pub alp: f64,
    /// The seed of the multipliers.
    pub seed: u64,
    /// The distribution of the multipliers.
    pub multiplier: Multiplier,
    /// The smallest event time of the `dynamic` aggregation; `None` for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_e: Option<f64>,
    /// The largest event time of the `simple`, `group` and `dynamic` aggregations; `None` for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_e: Option<f64>,
    /// The event time up to which the `dynamic` aggregation holds the groups fixed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance_e: Option<f64>,
    /// `true` lets aggregations leave out cells that could not be estimated; otherwise there is no aggregation over
    /// such cells.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub na_rm: bool,
    /// The treatment of rows without a cohort.
    #[serde(skip_serializing_if = "MissingCohort::is_default")]
    pub missing_cohort: MissingCohort,
    /// The scale estimate of the draws, from which standard errors follow.
    pub scale: DrawScale,
    /// `true` multiplies clustered variances by G/(G − 1), with G clusters.
    pub cluster_factor: bool,
    /// `true` adds overlap, balance, effective sample sizes and condition numbers to the result.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub diagnostics: bool,
    /// The options of CSV files.
    #[serde(skip_serializing_if = "CsvOptions::is_default")]
    pub csv: CsvOptions,
    /// The options of records of every format.
    #[serde(skip_serializing_if = "RecordOptions::is_default")]
    pub records: RecordOptions,
}

/// The treatment of rows whose cohort is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MissingCohort {
    /// Their units are never treated.
    #[default]
    Never,
    /// The rows are dropped, as in R.
    Drop,
}

impl MissingCohort {
    /// Returns `true` for the default, which specifications leave out.
    pub fn is_default(&self) -> bool {
        *self == Self::Never
    }
}

/// The seed if none is given; every bootstrap result shows it.
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
            records: RecordOptions::default(),
        }
    }
}
