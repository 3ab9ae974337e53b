//! The result of a run: the stable JSON object, and the data with which `agg` aggregates again without the panel.
//!
//! The object holds no times, paths or versions, so that equal estimates are equal bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};
use stagger_estimator::inference::Covariance;

use crate::calendar::{Calendar, TimeUnit};
use crate::spec::RunSpec;

/// A number that JSON shows as an integer if it is whole, and as `null` for R's `NA`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Num(pub f64);

impl Num {
    /// R's `NA`.
    pub const NA: Num = Num(f64::NAN);

    /// Returns `true` if this is R's `NA`.
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

/// ATT(g,t) in R's order: by group, then by time, both ascending. All vectors have one entry for each cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AttGt {
    /// The first treated period of the cohort.
    pub group: Vec<Num>,
    /// The period.
    pub time: Vec<Num>,
    /// The cohort's label if periods are dates; empty otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group_label: Vec<String>,
    /// The period's label if periods are dates; empty otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub time_label: Vec<String>,
    /// `true` if the cell is after treatment (`group <= time`).
    pub post: Vec<bool>,
    /// The estimate; `NA` if the cell can't be estimated.
    pub att: Vec<Num>,
    /// The standard error: from the bootstrap with `bstrap`, otherwise analytic; clustered if clusters are given.
    pub se: Vec<Num>,
    /// The lower end of the confidence band (`att − crit·se`).
    pub lci: Vec<Num>,
    /// The upper end of the confidence band.
    pub uci: Vec<Num>,
    /// The reason why there is no estimate; `null` if there is one. Empty in results of older versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reason: Vec<Option<String>>,
    /// The reason why there is no standard error; `null` if there is one. Empty in results of older versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub se_reason: Vec<Option<String>>,
}

impl AttGt {
    /// Returns the reason why a cell has no estimate, or else no standard error.
    pub fn missing_reason(&self, cell: usize) -> Option<&str> {
        let reason = self.reason.get(cell).and_then(Option::as_deref);
        reason.or_else(|| self.se_reason.get(cell).and_then(Option::as_deref))
    }
}

/// The Wald test that all pre-treatment ATT(g,t) are zero (FORMULAS §4).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WaldTest {
    /// The χ² statistic.
    pub stat: Num,
    /// The degrees of freedom: the number of pre-treatment cells used.
    pub df: u64,
    /// The p-value, unrounded.
    pub p: Num,
}

/// An aggregation with its arguments (FORMULAS §6). The vectors are empty for `simple`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Aggte {
    /// The type: `simple`, `dynamic`, `group` or `calendar`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The smallest event time kept (dynamic); `None` for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_e: Option<Num>,
    /// The largest event time kept; `None` for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_e: Option<Num>,
    /// The event time up to which the set of groups is held fixed (dynamic).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance_e: Option<Num>,
    /// The first and the last event time of the overall effect (dynamic); `None` for all from 0 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average: Option<[Num; 2]>,
    /// `true` if cells that could not be estimated may be left out.
    pub na_rm: bool,
    /// The cells that were left out, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOutCells>,
    /// The overall effect.
    pub overall_att: Num,
    /// The standard error of the overall effect.
    pub overall_se: Num,
    /// The lower end of the pointwise confidence interval of the overall effect.
    pub overall_lci: Num,
    /// The upper end of that interval.
    pub overall_uci: Num,
    /// The reason why the overall effect, or its standard error, is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overall_reason: Option<String>,
    /// The event time, group or period of each estimate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub egt: Vec<Num>,
    /// The labels of groups and periods if these are dates; empty otherwise and for event times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub egt_label: Vec<String>,
    /// The estimates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub att_egt: Vec<Num>,
    /// The standard errors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub se_egt: Vec<Num>,
    /// The lower ends of the confidence band.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lci_egt: Vec<Num>,
    /// The upper ends of the confidence band.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uci_egt: Vec<Num>,
    /// The reason why an estimate, or its standard error, is missing; `null` if neither is, and empty if none is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reason_egt: Vec<Option<String>>,
    /// The covariance of the estimates over `egt`, IF'IF/n² of FORMULAS §6, clustered as the standard errors are and never from draws;
    /// empty where it is not asked for. An estimate that is 0 by definition has a row of zeros.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vcov_egt: Vec<Vec<Num>>,
    /// The critical value of the band over `egt`; the normal quantile if the band is pointwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crit: Option<Num>,
    /// `true` if the band holds for all of `egt` simultaneously; `false` if it is pointwise, by request or by fallback.
    #[serde(default)]
    pub cband: bool,
    /// Warnings about standard errors and bands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The cells of an aggregation that could not be estimated, and the units and weight that they take along.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LeftOutCells {
    /// The groups of the cells.
    pub group: Vec<Num>,
    /// The periods of the cells.
    pub time: Vec<Num>,
    /// The reason of each cell.
    pub reason: Vec<Option<String>>,
    /// The number of these cells that are after treatment.
    pub post_cells: u64,
    /// The number of all cells after treatment that the aggregation covers.
    pub of_post_cells: u64,
    /// The number of units (rows in cross sections) of the groups that lose all their cells after treatment.
    pub units: u64,
    /// The number of units of all groups that have some.
    pub of_units: u64,
    /// The share of these cells in the weight p_g of the cells after treatment.
    pub weight: Num,
}

/// An aggregation that is not given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NotAggregated {
    /// The reason.
    pub reason: String,
    /// The remedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The cells that it lacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<LeftOutCells>,
}

/// The rows and units that cleaning removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// The number of rows of the input that no estimate used.
    pub rows: u64,
    /// The number of units of the input that no estimate used.
    pub units: u64,
    /// The number of rows by reason.
    pub reasons: BTreeMap<String, u64>,
    /// The missing values by column of the data or computed covariate. A row that lacks several values counts in each
    /// of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<MissingValues>,
}

/// The rows without a value in a column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingValues {
    /// The column, or the covariate as the formula computes it.
    pub column: String,
    /// The number of rows.
    pub rows: u64,
    /// The number of these rows that hold an infinite value.
    pub infinite: u64,
    /// The first of these rows; `None` if it is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<RowPlace>,
}

/// A row of an input file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowPlace {
    /// The path or address of the file.
    pub file: String,
    /// The number of the row, from 1; the line of column names does not count.
    pub row: u64,
}

/// The number of cells up to which the result object holds their covariance; the text of a larger one would have
/// hundreds of megabytes.
pub const MAX_VCOV_CELLS: usize = 500;

/// The types of aggregations, in the order in which they are shown.
pub const AGGREGATION_TYPES: [&str; 4] = ["simple", "dynamic", "group", "calendar"];

/// Serialization of aggregations by type, with `null` for those that are not given.
mod given {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{AGGREGATION_TYPES, Aggte, BTreeMap};

    pub(super) fn serialize<S: Serializer>(
        aggte: &BTreeMap<String, Aggte>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut all: BTreeMap<&str, Option<&Aggte>> =
            AGGREGATION_TYPES.iter().map(|kind| (*kind, None)).collect();
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
    /// The estimator: `att_gt`.
    pub estimator: String,
    /// The unit of the periods if they are dates; event times count in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_unit: Option<TimeUnit>,
    /// The number of units used.
    pub n: u64,
    /// The significance level.
    pub alp: f64,
    /// The critical value of the ATT(g,t) bands; the normal quantile if they are pointwise.
    pub crit: Num,
    /// `true` if the bands hold for all cells simultaneously; `false` if they are pointwise, by request or by fallback.
    #[serde(default)]
    pub cband: bool,
    /// The estimates of the cells.
    pub att_gt: AttGt,
    /// V of FORMULAS §4 over the cells: n times the analytic covariance; empty for more than [`MAX_VCOV_CELLS`] cells.
    pub vcov: Vec<Vec<Num>>,
    /// The pre-test, in the cases in which R gives it.
    pub wald: Option<WaldTest>,
    /// The reason why there is no pre-test, or a remark on the one that there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wald_reason: Option<String>,
    /// The four aggregations by type; one that can't be given is absent here and `null` in JSON.
    #[serde(with = "given")]
    pub aggte: BTreeMap<String, Aggte>,
    /// The aggregations that are not given, by type.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub not_aggregated: BTreeMap<String, NotAggregated>,
    /// The rows and units that cleaning removed.
    pub dropped: Dropped,
    /// The warnings, each once.
    pub warnings: Vec<String>,
    /// Overlap and balance, if they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnostics: Option<Diagnostics>,
}

impl RunResult {
    /// Removes the aggregations and their warnings.
    pub fn clear_aggregations(&mut self) {
        let told = |warning: &String| {
            AGGREGATION_TYPES.iter().any(|kind| warning.starts_with(&of_aggregation(kind)))
        };
        self.warnings.retain(|warning| !told(warning));
        self.aggte.clear();
    }

    /// Adds an aggregation and its warnings.
    pub fn set_aggregation(&mut self, aggte: Aggte) {
        let prefix = of_aggregation(&aggte.kind);
        self.warnings.extend(aggte.warnings.iter().map(|warning| format!("{prefix}{warning}")));
        self.aggte.insert(aggte.kind.clone(), aggte);
    }
}

/// Returns the prefix of a warning about an aggregation.
fn of_aggregation(kind: &str) -> String {
    format!("{kind} aggregation: ")
}

/// Diagnostics of the comparability of treated and controls.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Diagnostics {
    /// One entry for each logit, and for each period of its rows in cross sections and unbalanced panels; none for
    /// `reg` or without covariates.
    pub overlap: Vec<Overlap>,
    /// One entry for each comparison, and for each period of its rows.
    pub balance: Vec<Balance>,
}

/// The distribution of a propensity score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overlap {
    /// The treated cohort.
    pub group: Num,
    /// The comparison group: cohorts, or `never` for never treated; `ineligible` marks those of triple differences.
    pub controls: Vec<String>,
    /// The period and base period that the score pools, if each row belongs to one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooled: Option<[Num; 2]>,
    /// The period of the rows, one of the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Num>,
    /// The share of the controls with a score of 0.995 or more, whose weight is zero.
    pub trimmed: f64,
    /// The scores of the treated.
    pub treated: ScoreSummary,
    /// The scores of the controls.
    pub untreated: ScoreSummary,
}

/// The scores of one group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreSummary {
    /// The number of units, or of rows in levels.
    pub n: u64,
    /// The minimum, the quantiles at 1, 5, 25, 50, 75, 95 and 99 %, and the maximum.
    pub quantiles: Vec<Num>,
    /// The counts in 50 bins of equal width from 0 to 1.
    pub histogram: Vec<u64>,
}

/// The balance of the covariates in one comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Balance {
    /// The cohort of the cell.
    pub group: Num,
    /// The period of the cell.
    pub time: Num,
    /// The comparison group, as in [`Overlap`].
    pub controls: Vec<String>,
    /// The period of the rows, if rows of two periods are pooled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Num>,
    /// The effective sample size (Σw)²/Σw² of the treated; `NA` if there is no propensity score.
    pub effective_treated: Num,
    /// The effective sample size of the controls, with their odds weights.
    pub effective_controls: Num,
    /// The 1-norm condition number of the controls' XᵀX, unweighted.
    pub condition: Num,
    /// One entry for each column of the design except the intercept.
    pub covariates: Vec<CovariateBalance>,
}

/// The standardised mean difference of one column: (mean of the treated − mean of the controls) over the root of the
/// mean of their variances. The variances are those before weighting in both fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CovariateBalance {
    /// The column of the design.
    pub name: String,
    /// The difference with sampling weights only.
    pub before: Num,
    /// The difference with the odds weights of the propensity score; `NA` for `reg`.
    pub after: Num,
}

/// The covariance of the extended columns Ψ = [ones, shares w·1{G=g}, cells], of which every aggregation is a linear
/// map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExtendedResult {
    /// The specification of the run.
    pub spec: RunSpec,
    /// The periods of the estimation sample, ascending.
    pub periods: Vec<Num>,
    /// The calendar of periods and groups, if they are dates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<Calendar>,
    /// The estimated groups, ascending.
    pub groups: Vec<Num>,
    /// p_g of FORMULAS §6 for each group.
    pub shares: Vec<f64>,
    /// The number of clusters of the first cluster variable; `None` without clusters.
    pub clusters: Option<u64>,
    /// `true` for a cell that is the universal base cell (ATT 0 by definition).
    pub reference: Vec<bool>,
    /// ΨᵀΨ/n (clustered: of cluster sums), of size (1 + groups + cells)². With more than [`MAX_VCOV_CELLS`] rows it is not
    /// part of the object's text, but saved beside it, where it can be as a factor.
    #[serde(default, skip_serializing_if = "is_large")]
    pub covariance: Covariance,
    /// The number of used units by raw cohort, for tables; infinity (`null`) for never treated.
    pub cohort_units: Vec<(Num, u64)>,
}

/// Returns `true` if a covariance is too large to be saved as text.
fn is_large(covariance: &Covariance) -> bool {
    covariance.size() > MAX_VCOV_CELLS
}

impl ExtendedResult {
    /// Returns `true` if the covariance is saved beside the object.
    pub fn has_separate_covariance(&self) -> bool {
        is_large(&self.covariance)
    }
}

/// The content of `result.json`: the result object and its extension.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedResult {
    /// The object of `--json`.
    #[serde(flatten)]
    pub result: RunResult,
    /// The data that `agg` needs.
    pub extended: ExtendedResult,
}
