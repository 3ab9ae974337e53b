//! The result of a run: the stable JSON object, and what `agg` needs to aggregate again without the data.
//!
//! It holds no times, paths or versions, so equal estimates are equal bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};
use stagger_estimator::symmetric::Symmetric;

use crate::calendar::{Calendar, TimeUnit};
use crate::spec::RunSpec;

/// A number that JSON shows as an integer where it is one, and as `null` where R has `NA`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Num(pub f64);

impl Num {
    /// R's `NA`.
    pub const NA: Num = Num(f64::NAN);

    /// Whether this is R's `NA`.
    pub fn is_na(self) -> bool {
        self.0.is_nan()
    }
}

impl From<f64> for Num {
    fn from(value: f64) -> Self {
        Num(value)
    }
}

impl Serialize for Num {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = self.0;
        if !value.is_finite() {
            serializer.serialize_none()
        } else if value == value.trunc() && value.abs() < 9e15 {
            serializer.serialize_i64(value as i64)
        } else {
            serializer.serialize_f64(value)
        }
    }
}

impl<'de> Deserialize<'de> for Num {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Num(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN)))
    }
}

/// ATT(g,t) in R's order: group ascending, then time ascending. All vectors have one entry a cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AttGt {
    /// First treated period of the cohort.
    pub group: Vec<Num>,
    /// Period.
    pub time: Vec<Num>,
    /// The cohort as it is written, where periods are dates; empty otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group_label: Vec<String>,
    /// The period as it is written, where periods are dates; empty otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub time_label: Vec<String>,
    /// Whether the cell is after treatment (`group <= time`).
    pub post: Vec<bool>,
    /// Estimate; `NA` where the cell can't be estimated.
    pub att: Vec<Num>,
    /// Standard error: bootstrap with `bstrap`, else analytic; clustered when clusters are given.
    pub se: Vec<Num>,
    /// Lower end of the band (`att − crit·se`).
    pub lci: Vec<Num>,
    /// Upper end of the band.
    pub uci: Vec<Num>,
    /// Why there is no estimate; `null` where there is one. Empty in results of older versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reason: Vec<Option<String>>,
    /// Why there is no standard error; `null` where there is one. Empty in results of older versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub se_reason: Vec<Option<String>>,
}

impl AttGt {
    /// Why a cell has no estimate, or no standard error.
    pub fn why(&self, cell: usize) -> Option<&str> {
        let reason = self.reason.get(cell).and_then(Option::as_deref);
        reason.or_else(|| self.se_reason.get(cell).and_then(Option::as_deref))
    }
}

/// Wald test that all pre-treatment ATT(g,t) are zero (FORMULAS §4).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WaldTest {
    /// χ² statistic.
    pub stat: Num,
    /// Degrees of freedom: the number of pre-treatment cells used.
    pub df: u64,
    /// p-value, unrounded.
    pub p: Num,
}

/// One aggregation with its arguments (FORMULAS §6). The vectors are empty for `simple`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Aggte {
    /// `simple`, `dynamic`, `group` or `calendar`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Smallest event time kept (dynamic), `None` for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_e: Option<Num>,
    /// Largest event time kept, `None` for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_e: Option<Num>,
    /// Event time up to which the set of groups is held fixed (dynamic).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance_e: Option<Num>,
    /// Whether cells that could not be estimated may be left out.
    pub na_rm: bool,
    /// The cells that were left out, if any were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LostCells>,
    /// Overall effect.
    pub overall_att: Num,
    /// Its standard error.
    pub overall_se: Num,
    /// Pointwise interval of the overall effect, lower end.
    pub overall_lci: Num,
    /// Upper end.
    pub overall_uci: Num,
    /// Why the overall effect, or its standard error, is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overall_reason: Option<String>,
    /// Event time, group or period of each estimate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub egt: Vec<Num>,
    /// Groups and periods as they are written, where they are dates; empty otherwise and for event times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub egt_label: Vec<String>,
    /// Estimates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub att_egt: Vec<Num>,
    /// Standard errors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub se_egt: Vec<Num>,
    /// Lower ends of the band.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lci_egt: Vec<Num>,
    /// Upper ends of the band.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uci_egt: Vec<Num>,
    /// Why an estimate, or its standard error, is missing; `null` where it is not, and empty where none is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reason_egt: Vec<Option<String>>,
    /// Critical value of the band over `egt`; the normal quantile where the band is pointwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crit: Option<Num>,
    /// The band holds for all of `egt` at once; `false` where it is pointwise, be it asked for or because it fell back.
    #[serde(default)]
    pub cband: bool,
    /// What is to be known of standard errors and bands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Cells of an aggregation that could not be estimated, and what goes with them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LostCells {
    /// Their groups.
    pub group: Vec<Num>,
    /// Their periods.
    pub time: Vec<Num>,
    /// Why each is lost.
    pub reason: Vec<Option<String>>,
    /// Of these, those after treatment.
    pub post_cells: u64,
    /// All cells after treatment that the aggregation is taken over.
    pub of_post_cells: u64,
    /// Units (rows in cross sections) of the groups that lose all of them.
    pub units: u64,
    /// Units of all groups that have some.
    pub of_units: u64,
    /// Share of the weight p_g of the cells after treatment.
    pub weight: Num,
}

/// An aggregation that is not given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NotAggregated {
    /// Why.
    pub reason: String,
    /// What can be done about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The cells that it lacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<LostCells>,
}

/// What cleaning removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Rows of the input that no estimate used.
    pub rows: u64,
    /// Units of the input that no estimate used.
    pub units: u64,
    /// Rows by reason.
    pub reasons: BTreeMap<String, u64>,
    /// Where values are missing, by column of the data or computed covariate. A row that lacks several is in each of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<MissingValues>,
}

/// Rows without a value in a column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingValues {
    /// Column, or covariate as the formula computes it.
    pub column: String,
    /// Rows.
    pub rows: u64,
    /// Those of them that hold an infinite value.
    pub infinite: u64,
    /// The first of the rows; `None` where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<RowPlace>,
}

/// A row of an input file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowPlace {
    /// Path or address of the file.
    pub file: String,
    /// Number of the row, from 1; the line of column names is none.
    pub row: u64,
}

/// Cells up to which the result object holds their covariance; the text of more is hundreds of megabytes.
pub const MOST_VCOV: usize = 500;

/// The types of aggregations, in the order in which they are shown.
pub const KINDS: [&str; 4] = ["simple", "dynamic", "group", "calendar"];

/// Aggregations by type, with `null` for those that are not given.
mod given {
    use super::{Aggte, BTreeMap, KINDS};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        aggte: &BTreeMap<String, Aggte>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut all: BTreeMap<&str, Option<&Aggte>> = KINDS.iter().map(|kind| (*kind, None)).collect();
        all.extend(aggte.iter().map(|(kind, aggte)| (kind.as_str(), Some(aggte))));
        serializer.collect_map(all)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<String, Aggte>, D::Error> {
        let all = BTreeMap::<String, Option<Aggte>>::deserialize(deserializer)?;
        Ok(all.into_iter().filter_map(|(kind, aggte)| Some((kind, aggte?))).collect())
    }
}

/// The result object of `--json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// `att_gt`.
    pub estimator: String,
    /// Unit of the periods, where they are dates: event times count its steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_unit: Option<TimeUnit>,
    /// Units used.
    pub n: u64,
    /// Significance level.
    pub alp: f64,
    /// Critical value of the ATT(g,t) bands; the normal quantile where they are pointwise.
    pub crit: Num,
    /// The bands hold for all cells at once; `false` where they are pointwise, be it asked for or because they fell back.
    #[serde(default)]
    pub cband: bool,
    /// Cells.
    pub att_gt: AttGt,
    /// V of FORMULAS §4 over the cells: n times the analytic covariance; empty for more than [`MOST_VCOV`] cells.
    pub vcov: Vec<Vec<Num>>,
    /// Pre-test, where R gives it.
    pub wald: Option<WaldTest>,
    /// Why there is no pre-test, or what is to be known of the one that there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wald_reason: Option<String>,
    /// The four aggregations, by type; `null` in JSON and absent here where one can't be had.
    #[serde(with = "given")]
    pub aggte: BTreeMap<String, Aggte>,
    /// The aggregations that are not given, by type.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub not_aggregated: BTreeMap<String, NotAggregated>,
    /// What cleaning removed.
    pub dropped: Dropped,
    /// Warnings, each once.
    pub warnings: Vec<String>,
    /// Overlap and balance, where they are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnostics: Option<Diagnostics>,
}

impl RunResult {
    /// Drops the aggregations and their warnings.
    pub(crate) fn clear_aggregations(&mut self) {
        let told = |warning: &String| KINDS.iter().any(|kind| warning.starts_with(&of_aggregation(kind)));
        self.warnings.retain(|warning| !told(warning));
        self.aggte.clear();
    }

    /// Takes an aggregation and its warnings.
    pub(crate) fn set_aggregation(&mut self, aggte: Aggte) {
        let prefix = of_aggregation(&aggte.kind);
        self.warnings.extend(aggte.warnings.iter().map(|warning| format!("{prefix}{warning}")));
        self.aggte.insert(aggte.kind.clone(), aggte);
    }
}

/// Begins a warning about an aggregation.
fn of_aggregation(kind: &str) -> String {
    format!("{kind} aggregation: ")
}

/// How comparable treated and controls are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Diagnostics {
    /// One a logit, and period of its rows in cross sections and unbalanced panels; none for `reg` or without covariates.
    pub overlap: Vec<Overlap>,
    /// One a comparison, and period of its rows.
    pub balance: Vec<Balance>,
}

/// Distribution of a propensity score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overlap {
    /// Treated cohort.
    pub group: Num,
    /// Whom it is compared with: cohorts, `never` for never treated; `ineligible` marks those of triple differences.
    pub controls: Vec<String>,
    /// Period and base period that the score pools, where rows have one each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooled: Option<[Num; 2]>,
    /// Period of the rows, one of the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Num>,
    /// Share of the controls with a score of 0.995 or more, which weigh nothing.
    pub trimmed: f64,
    /// Scores of the treated.
    pub treated: ScoreSummary,
    /// Scores of the controls.
    pub untreated: ScoreSummary,
}

/// Scores of one group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreSummary {
    /// Units, or rows in levels.
    pub n: u64,
    /// Minimum, the quantiles 1, 5, 25, 50, 75, 95 and 99 %, maximum.
    pub quantiles: Vec<Num>,
    /// Counts in 50 bins of equal width over 0 to 1.
    pub histogram: Vec<u64>,
}

/// Balance of the covariates in one comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Balance {
    /// Cohort of the cell.
    pub group: Num,
    /// Period of the cell.
    pub time: Num,
    /// Whom the treated are compared with, as in [`Overlap`].
    pub controls: Vec<String>,
    /// Period of the rows, where rows of two periods are pooled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Num>,
    /// Effective sample size (Σw)²/Σw² of the treated; `NA` where there is no propensity score.
    pub effective_treated: Num,
    /// The same of the controls, with their odds weights.
    pub effective_controls: Num,
    /// 1-norm condition number of the controls' XᵀX, unweighted.
    pub condition: Num,
    /// One a column of the design but the intercept.
    pub covariates: Vec<CovariateBalance>,
}

/// Standardised mean differences of one column: (mean of the treated − mean of the controls) over the root of the mean of
/// their variances, the latter before weighting in both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CovariateBalance {
    /// Column of the design.
    pub name: String,
    /// With sampling weights alone.
    pub before: Num,
    /// With the odds weights of the propensity score; `NA` for `reg`.
    pub after: Num,
}

/// Covariance of the extended columns Ψ = [ones, shares w·1{G=g}, cells]: what every aggregation is a linear map of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExtendedResult {
    /// Specification of the run.
    pub spec: RunSpec,
    /// Periods of the estimation sample, ascending.
    pub periods: Vec<Num>,
    /// What periods and groups mean, where they are dates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<Calendar>,
    /// Estimated groups, ascending.
    pub groups: Vec<Num>,
    /// p_g of FORMULAS §6, one a group.
    pub shares: Vec<f64>,
    /// Number of clusters of the first cluster variable; `None` without clusters.
    pub clusters: Option<u64>,
    /// Whether the cell is the universal base cell (ATT 0 by definition).
    pub reference: Vec<bool>,
    /// ΨᵀΨ/n (clustered: of cluster sums), (1 + groups + cells)². More than [`MOST_VCOV`] rows are not part of the
    /// object's text; they are saved beside it.
    #[serde(default, skip_serializing_if = "is_large")]
    pub covariance: Symmetric,
    /// Used units by raw cohort, for tables; infinity (`null`) for never treated.
    pub cohort_units: Vec<(Num, u64)>,
}

/// Whether a covariance is too large to be saved as text.
fn is_large(covariance: &Symmetric) -> bool {
    covariance.size() > MOST_VCOV
}

impl ExtendedResult {
    /// Whether the covariance is saved beside the object.
    pub fn covariance_is_apart(&self) -> bool {
        is_large(&self.covariance)
    }
}

/// `result.json`: the result object and its extension.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedResult {
    /// The object of `--json`.
    #[serde(flatten)]
    pub result: RunResult,
    /// What `agg` needs.
    pub extended: ExtendedResult,
}
