//! The arguments of `stagger simulate`, and their checks. The true effects record them, so their names and order are those of that file.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::error::SimulateError;

/// Rows of a row group where the person gives no number.
const ROW_GROUP_ROWS: u64 = 131_072;
/// Values of a row group at most where the person gives no number, so that memory stays small with many covariates.
const ROW_GROUP_VALUES: u64 = 16 << 20;

/// Write a synthetic staggered panel as Parquet, with its true effects beside it.
///
/// Columns: id, time, group (first treated period, 0 = never), y, x1 … xP, cluster, weight.
/// With --eligible-share also partition (1 = eligible, 0 = not), with --cross-sections no id.
/// Trends depend on the covariates, so give them to `stagger run`: --xformla "~ x1 + x2".
/// The true ATT(g,t) and their averages are written to PANEL.truth.json.
///
/// Example, 1 million units in 10 periods (10 million rows, 126 MB):
///   stagger simulate --units 1000000 --periods 10 --cohorts 8 --covariates 4 --out panel.parquet
#[derive(Args, Clone, Debug, Serialize)]
#[command(verbatim_doc_comment)]
pub struct SimulateArgs {
    /// Number of units; the panel has units × periods rows, fewer with --missing-share
    #[arg(long, value_name = "N")]
    pub units: u64,
    /// Number of periods, 2 at least
    #[arg(long, value_name = "T")]
    pub periods: u32,
    /// Number of treated cohorts, less than the number of periods
    #[arg(long, value_name = "K")]
    pub cohorts: u32,
    /// Number of covariates x1 … xP; 0 for none
    #[arg(long, value_name = "P")]
    pub covariates: u32,
    /// Share of units that are never treated, from 0 to below 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    pub never_share: f64,
    /// Seed; the same seed gives the same rows in every layout
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Number of files; above 1, --out is a folder of part-00000.parquet, part-00001.parquet, …
    #[arg(long, value_name = "F", default_value_t = 1)]
    pub files: u64,
    /// Order of the rows
    #[arg(long, value_enum, default_value_t = Layout::Sorted)]
    pub layout: Layout,
    /// For triple differences: share of eligible units, between 0 and 1, in a column `partition`
    ///
    /// Eligibility does not depend on the cohort. Only eligible units of treated cohorts have effects, and the true
    /// ATT(g,t) are theirs. Every cohort has a trend of its own, and so have the eligible, so that differences in
    /// differences are biased, those of the eligible alone too, and triple differences are not.
    #[arg(long, value_name = "SHARE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eligible_share: Option<f64>,
    /// Repeated cross sections: every row is another unit, in every period --units of the same population; no `id`
    #[arg(long)]
    #[serde(skip_serializing_if = "is_off")]
    pub cross_sections: bool,
    /// Unbalanced panel: every row is left out with this probability, from 0 to below 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    #[serde(skip_serializing_if = "is_zero")]
    pub missing_share: f64,
    /// Value of `time` in the first period, for example 2004
    #[arg(long, value_name = "TIME", default_value_t = 1, allow_negative_numbers = true)]
    pub first_period: i32,
    /// Number of clusters, which share a random level and trend [default: one for every 50 units]
    #[arg(long, value_name = "C")]
    pub clusters: Option<u32>,
    /// Let the covariates change from period to period
    #[arg(long)]
    pub time_varying_covariates: bool,
    /// Effect of treatment on the first cohort in its first period; it grows by as much every period
    #[arg(long, value_name = "SIZE", default_value_t = 1.0, allow_negative_numbers = true)]
    pub effect: f64,
    /// Standard deviation of the outcome's noise; 0 for none
    #[arg(long, value_name = "SD", default_value_t = 1.0)]
    pub noise: f64,
    /// Rows of a row group, rounded down to whole units in the sorted layout [default: 131072, fewer with very many covariates]
    #[arg(long, value_name = "R")]
    pub row_group_rows: Option<u64>,
    /// Compression of the files
    #[arg(long, value_enum, default_value_t = Compression::Zstd)]
    pub compression: Compression,
    /// Type of the id column: 1, 2, … or u0000000001, u0000000002, …
    #[arg(long, value_enum, default_value_t = IdType::Int)]
    pub id_type: IdType,
    /// Where to write, for example panel.parquet
    #[arg(long, value_name = "PATH")]
    #[serde(skip)]
    pub out: PathBuf,
    /// Replace a file that another program wrote
    #[arg(long)]
    #[serde(skip)]
    pub force: bool,
}

/// Order of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// By id, then time; files hold whole units
    Sorted,
    /// In no order
    Shuffled,
    /// By time, then id; files hold whole periods unless there are more files than periods
    ByPeriod,
}

/// Compression of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// Zstandard, level 1
    Zstd,
    /// Snappy
    Snappy,
    /// No compression
    None,
}

/// Type of the id column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdType {
    /// 64-bit integers from 1
    Int,
    /// Strings
    String,
}

/// Columns of a file are written at a time, each with a compressor of some 60 kB.
const MOST_COVARIATES: u32 = 1000;

impl SimulateArgs {
    /// The number of clusters, given or not.
    pub(super) fn clusters(&self) -> u32 {
        self.clusters.unwrap_or_else(|| (self.units / 50).clamp(1, i32::MAX as u64) as u32)
    }

    /// The rows of a row group, given or not.
    pub(super) fn row_group_rows(&self) -> u64 {
        self.row_group_rows.unwrap_or_else(|| default_row_group_rows(self.covariates))
    }

    /// Checks every argument but `--out`.
    pub(super) fn check(&self) -> Result<(), SimulateError> {
        self.check_size()?;
        self.check_model()?;
        self.check_design()
    }

    /// Checks sizes, and files.
    fn check_size(&self) -> Result<(), SimulateError> {
        let (units, periods) = (self.units, u64::from(self.periods));
        let many_rows = format!("at most {} for --periods {periods}", i64::MAX as u64 / periods.max(1));
        let covariates = self.covariates;
        check(
            covariates <= MOST_COVARIATES,
            "--covariates",
            covariates.to_string(),
            &format!("at most {MOST_COVARIATES}"),
            "every column of a file is compressed at a time, which takes memory",
        )?;
        let few_cohorts = format!("at most {} for --periods {periods}", periods.saturating_sub(1));
        check(units >= 1, "--units", units.to_string(), "at least 1", "for example --units 1000")?;
        check(
            periods >= 2,
            "--periods",
            periods.to_string(),
            "at least 2",
            "an effect is a change between two periods",
        )?;
        check(
            units <= i64::MAX as u64 / periods,
            "--units",
            units.to_string(),
            &many_rows,
            "ask for fewer rows",
        )?;
        let cohorts = self.cohorts;
        check(cohorts >= 1, "--cohorts", cohorts.to_string(), "at least 1", "for example --cohorts 1")?;
        let hint = "a cohort is first treated in the second period or later, and no two in the same";
        check(u64::from(cohorts) < periods, "--cohorts", cohorts.to_string(), &few_cohorts, hint)?;
        let few_files = format!("at most {units}, the number of units");
        let files = self.files;
        check(files >= 1, "--files", files.to_string(), "at least 1", "1 writes one file, more a folder")?;
        check(files <= units, "--files", files.to_string(), &few_files, "ask for fewer files")?;
        let rows = self.row_group_rows();
        check(rows >= 1, "--row-group-rows", rows.to_string(), "at least 1", "leave it out for 131072")
    }

    /// Checks shares, periods, clusters and the outcome's model.
    fn check_model(&self) -> Result<(), SimulateError> {
        let few_clusters = format!("between 1 and {}", self.units.min(i32::MAX as u64));
        let last_period = i64::from(self.first_period) + i64::from(self.periods);
        let periods = self.periods;
        let never = self.never_share;
        let hint = "0.1 leaves a tenth of the units never treated";
        check(
            (0.0..1.0).contains(&never),
            "--never-share",
            never.to_string(),
            "at least 0 and below 1",
            hint,
        )?;
        let hint = "group 0 means never treated, so treatment starts in period 1 or later";
        check(self.first_period >= 0, "--first-period", self.first_period.to_string(), "at least 0", hint)?;
        let hint = "periods are 32-bit integers";
        let latest =
            format!("at most {} for --periods {periods}", i64::from(i32::MAX) + 1 - i64::from(self.periods));
        let fits = last_period <= i64::from(i32::MAX) + 1;
        check(fits, "--first-period", self.first_period.to_string(), &latest, hint)?;
        if let Some(clusters) = self.clusters {
            let fits = clusters >= 1 && u64::from(clusters) <= self.units && clusters <= i32::MAX as u32;
            check(
                fits,
                "--clusters",
                clusters.to_string(),
                &few_clusters,
                "a cluster holds one unit or more",
            )?;
        }
        check(
            self.effect.is_finite(),
            "--effect",
            self.effect.to_string(),
            "a number",
            "for example --effect 1.0",
        )?;
        let noise = self.noise;
        let hint = "0 gives outcomes without noise";
        check(noise.is_finite() && noise >= 0.0, "--noise", noise.to_string(), "at least 0", hint)
    }

    /// Checks the options that make other data than a balanced panel, and that they do not contradict each other.
    fn check_design(&self) -> Result<(), SimulateError> {
        if let Some(share) = self.eligible_share {
            let between = share > 0.0 && share < 1.0;
            let hint = "triple differences compare eligible units with others, so there must be both";
            check(between, "--eligible-share", share.to_string(), "above 0 and below 1", hint)?;
        }
        let share = self.missing_share;
        let hint = "0.1 leaves out a tenth of the rows";
        check(
            (0.0..1.0).contains(&share),
            "--missing-share",
            share.to_string(),
            "at least 0 and below 1",
            hint,
        )?;
        if !self.cross_sections {
            return Ok(());
        }
        let hint = "every row is another unit there, so none can be missing; ask for fewer --units";
        check(share == 0.0, "--missing-share", share.to_string(), "0 with --cross-sections", hint)?;
        let hint = "there is no column id there; leave out --id-type";
        let int = self.id_type == IdType::Int;
        check(int, "--id-type", "string".to_owned(), "left out with --cross-sections", hint)
    }
}

/// Says what an argument must be where it is not.
fn check(
    holds: bool,
    option: &'static str,
    given: String,
    allowed: &str,
    hint: &'static str,
) -> Result<(), SimulateError> {
    let wrong = || SimulateError::Argument { option, given, allowed: allowed.to_owned(), hint };
    if holds { Ok(()) } else { Err(wrong()) }
}

/// Returns true if a flag was not given; serde hands over a reference.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_off(flag: &bool) -> bool {
    !*flag
}

/// Returns true if a share was not given; serde hands over a reference.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(share: &f64) -> bool {
    *share == 0.0
}

/// Returns the default rows of a row group of a panel with this many covariates.
fn default_row_group_rows(covariates: u32) -> u64 {
    (ROW_GROUP_VALUES / (u64::from(covariates) + 6)).clamp(1024, ROW_GROUP_ROWS)
}
