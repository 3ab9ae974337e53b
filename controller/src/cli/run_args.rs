//! Arguments of `stagger run`: flags of the command line, and equally keys of a run file.
//!
//! Every argument is optional here, so that flags can be laid over a run file; `spec.rs` then decides what is missing.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use stagger_report::overwrite::OverwriteRules;

use super::csv_args::CsvArgs;
use super::record_args::RecordArgs;
use super::values::{
    boolean, name, number, positive, size, threads, toml_boolean, toml_number, toml_paths, toml_positive,
    toml_size, toml_text, toml_texts, toml_threads, toml_whole, whole,
};
use crate::listen::{DashboardChoice, DisplayOptions};

/// Gives a group of arguments its keys, a reader for each from a run file, and the laying of one group over another.
macro_rules! keys {
    ($group:ty { $($field:ident: $reader:path),* $(,)? }) => {
        impl $group {
            /// R's names of these arguments.
            pub(crate) const KEYS: &[&str] = &[$(stringify!($field)),*];

            /// Sets the argument from a run file's value; `None` where the key belongs to another group.
            pub(crate) fn set(&mut self, key: &str, value: &toml::Value) -> Option<Result<(), String>> {
                match key {
                    $(stringify!($field) => Some($reader(value).map(|value| self.$field = Some(value))),)*
                    _ => None,
                }
            }

            /// These arguments, and those of `under` where none is given here.
            pub(crate) fn over(self, under: Self) -> Self {
                Self { $($field: self.$field.or(under.$field)),* }
            }
        }
    };
}

/// The columns of the data.
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Data")]
pub(crate) struct DataArgs {
    /// Outcome
    #[arg(long, value_name = "COLUMN")]
    pub(crate) yname: Option<String>,
    /// Period
    #[arg(long, value_name = "COLUMN")]
    pub(crate) tname: Option<String>,
    /// Unit; not needed with --panel false
    #[arg(long, value_name = "COLUMN")]
    pub(crate) idname: Option<String>,
    /// First treated period; 0, missing or infinite means never treated
    #[arg(long, value_name = "COLUMN")]
    pub(crate) gname: Option<String>,
    /// What rows without a cohort are: never (treated), or drop as in R [default: never]
    #[arg(long, value_name = "WHAT")]
    pub(crate) missing_cohort: Option<String>,
    /// Eligibility, 1 or 0: triple differences, with the defaults of R's triplediff
    #[arg(long, value_name = "COLUMN")]
    pub(crate) pname: Option<String>,
    /// Covariates as an R formula: "~ x1 + log(x2) + factor(region)" [default: ~1]
    #[arg(long, value_name = "FORMULA")]
    pub(crate) xformla: Option<String>,
    /// Unit in which event times count: year, quarter, month, week or day [default: of the dates]
    #[arg(long, value_name = "UNIT")]
    pub(crate) tunit: Option<String>,
    /// Sampling weights
    #[arg(long, value_name = "COLUMN")]
    pub(crate) weightsname: Option<String>,
    /// Units are followed over time; false for repeated cross sections [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub(crate) panel: Option<bool>,
    /// Keep units that miss periods [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub(crate) allow_unbalanced_panel: Option<bool>,
}

keys!(DataArgs {
    yname: toml_text,
    tname: toml_text,
    idname: toml_text,
    gname: toml_text,
    missing_cohort: toml_text,
    pname: toml_text,
    xformla: toml_text,
    tunit: toml_text,
    weightsname: toml_text,
    panel: toml_boolean,
    allow_unbalanced_panel: toml_boolean,
});

/// What is estimated.
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Estimator")]
pub(crate) struct EstimatorArgs {
    /// dr (doubly robust), reg (regression) or ipw (weighting) [default: dr]
    #[arg(long, value_name = "METHOD")]
    pub(crate) est_method: Option<String>,
    /// nevertreated or notyettreated [default: nevertreated]
    #[arg(long, value_name = "GROUP")]
    pub(crate) control_group: Option<String>,
    /// Periods before treatment in which units may react; not with pname [default: 0]
    #[arg(long, value_name = "PERIODS", allow_negative_numbers = true, value_parser = number)]
    pub(crate) anticipation: Option<f64>,
    /// varying or universal [default: varying; universal with pname]
    #[arg(long, value_name = "BASE")]
    pub(crate) base_period: Option<String>,
    /// Period of weights: base_period, first_period or varying [default: cell's earlier]
    #[arg(long, value_name = "PERIOD")]
    pub(crate) fix_weights: Option<String>,
    /// Overlap, balance, effective sample sizes and condition numbers [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub(crate) diagnostics: Option<bool>,
}

keys!(EstimatorArgs {
    est_method: toml_text,
    control_group: toml_text,
    anticipation: toml_number,
    base_period: toml_text,
    fix_weights: toml_text,
    diagnostics: toml_boolean,
});

/// Standard errors and bands.
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Inference")]
pub(crate) struct InferenceArgs {
    /// Standard errors from the multiplier bootstrap [default: true; false with pname]
    #[arg(long, alias = "boot", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub(crate) bstrap: Option<bool>,
    /// Bootstrap draws [default: 1000]
    #[arg(long, alias = "nboot", value_name = "DRAWS", value_parser = whole, allow_negative_numbers = true)]
    pub(crate) biters: Option<u64>,
    /// Simultaneous bands; pointwise without bootstrap [default: true; false with pname]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub(crate) cband: Option<bool>,
    /// Significance level [default: 0.05]
    #[arg(long, alias = "alpha", value_name = "LEVEL", value_parser = number, allow_negative_numbers = true)]
    pub(crate) alp: Option<f64>,
    /// Columns to cluster on, separated by commas
    #[arg(long, alias = "cluster", value_name = "COLUMNS", value_delimiter = ',', value_parser = name)]
    pub(crate) clustervars: Option<Vec<String>>,
    /// Seed of the bootstrap [default: 20210101]
    #[arg(long, alias = "random-state", value_name = "NUMBER", value_parser = whole, allow_negative_numbers = true)]
    pub(crate) seed: Option<u64>,
    /// rademacher as in R, or mammen [default: rademacher]
    #[arg(long, value_name = "WEIGHTS")]
    pub(crate) multiplier: Option<String>,
    /// What draws are scaled by: auto (quartiles, or the deviation where few units carry an estimate) or iqr as in R [default: auto]
    #[arg(long, value_name = "SCALE")]
    pub(crate) scale: Option<String>,
    /// Clustered variances times G/(G - 1), G clusters, as in Stata [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub(crate) cluster_factor: Option<bool>,
    /// multiplier; R's weighted is not supported [default: multiplier]
    #[arg(long, value_name = "TYPE")]
    pub(crate) boot_type: Option<String>,
}

keys!(InferenceArgs {
    bstrap: toml_boolean,
    biters: toml_whole,
    cband: toml_boolean,
    alp: toml_number,
    clustervars: toml_texts,
    seed: toml_whole,
    multiplier: toml_text,
    scale: toml_text,
    cluster_factor: toml_boolean,
    boot_type: toml_text,
});

/// Which cells an aggregation uses.
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Aggregation")]
pub(crate) struct WindowArgs {
    /// Smallest event time, of dynamic [default: -Inf]
    #[arg(long, value_name = "E", allow_hyphen_values = true, value_parser = number)]
    pub(crate) min_e: Option<f64>,
    /// Largest event time, of dynamic, simple and group [default: Inf]
    #[arg(long, value_name = "E", allow_hyphen_values = true, value_parser = number)]
    pub(crate) max_e: Option<f64>,
    /// Hold the groups of dynamic fixed up to this event time
    #[arg(long, value_name = "E", allow_hyphen_values = true, value_parser = number)]
    pub(crate) balance_e: Option<f64>,
    /// Aggregate without the cells that could not be estimated; else there is no aggregation over them [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub(crate) na_rm: Option<bool>,
}

keys!(WindowArgs { min_e: toml_number, max_e: toml_number, balance_e: toml_number, na_rm: toml_boolean });

/// Where the result goes.
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// Save the result in this folder, or below s3://BUCKET/PREFIX with its report; {date}, {time} and {run} are filled in
    #[arg(long, short = 'o', value_name = "DIR")]
    pub(crate) out: Option<String>,
    /// Tell this SNS topic how the run ended and what it cost
    #[arg(long, value_name = "ARN")]
    pub(crate) notify: Option<String>,
    /// Print the result as one line of JSON
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub(crate) json: Option<bool>,
    /// No progress and no warnings on stderr
    #[arg(long, short = 'q', value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub(crate) quiet: Option<bool>,
    /// Use no feature of the terminal: lines of text only
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub(crate) plain: Option<bool>,
    /// Show the dashboard [default: for runs on workers, on a terminal]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub(crate) tui: Option<bool>,
    /// Show no dashboard
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub(crate) no_tui: Option<bool>,
    /// Draw the dashboard with ASCII characters only
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub(crate) ascii: Option<bool>,
    /// Write every event as a line of JSON to this file as it happens; - is stderr
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    pub(crate) events: Option<String>,
    /// Let --events replace a file that holds something else
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub(crate) force: Option<bool>,
}

impl OutputArgs {
    /// Returns the choice of what is shown of a run.
    pub(crate) fn display_options(
        &self,
        progress_bar: Option<bool>,
        monitor: Option<Duration>,
        inputs: &[String],
    ) -> DisplayOptions {
        let quiet = self.quiet.unwrap_or(false);
        let plain = self.plain.unwrap_or(false);
        let tui = match (self.tui, self.no_tui) {
            (_, Some(true)) | (Some(false), _) => DashboardChoice::Never,
            (Some(true), _) => DashboardChoice::Always,
            _ => DashboardChoice::Auto,
        };
        DisplayOptions {
            quiet,
            plain,
            line: progress_bar.unwrap_or(true) && !plain && !quiet,
            tui,
            ascii: self.ascii.unwrap_or(false),
            monitor,
            events: self.events.clone().map(PathBuf::from),
            overwrite: OverwriteRules::new("--events", self.force.unwrap_or(false), inputs),
        }
    }
}

keys!(OutputArgs {
    out: toml_text,
    notify: toml_text,
    json: toml_boolean,
    quiet: toml_boolean,
    plain: toml_boolean,
    tui: toml_boolean,
    no_tui: toml_boolean,
    ascii: toml_boolean,
    events: toml_text,
    force: toml_boolean,
});

/// How and where the work is done; none of it changes the result.
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Running")]
pub(crate) struct RunningArgs {
    /// Threads [default: all cores]
    #[arg(long, value_name = "N", value_parser = threads, allow_negative_numbers = true)]
    pub(crate) threads: Option<usize>,
    /// Tasks per stage
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true)]
    pub(crate) n_partitions: Option<usize>,
    /// Cells per task
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true)]
    pub(crate) max_cohorts: Option<usize>,
    /// Most memory that the process may use, as 8GB or 512MiB; input beyond it is prepared first [default: most of what is free]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) memory_limit: Option<u64>,
    /// Folder or s3:// prefix for prepared stores of such input [default: ~/.cache/stagger/panels]
    #[arg(long, value_name = "DIR")]
    pub(crate) store_dir: Option<String>,
    /// Where tasks run: threads of this machine, lambda, queue (containers), or both of the latter [default: threads]
    #[arg(long, value_name = "BACKEND", alias = "workers")]
    pub(crate) backend: Option<String>,
    /// Lambda functions, separated by commas, the smallest first [default: $STAGGER_FUNCTION]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = name)]
    pub(crate) function: Option<Vec<String>>,
    /// Tasks at a time on Lambda [default: 1000]
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true)]
    pub(crate) concurrency: Option<usize>,
    /// What to save on Lambda: time or cost [default: time]
    #[arg(long, value_name = "WHAT")]
    pub(crate) prefer: Option<String>,
    /// Dollars that the run never passes: it stops before, and can be resumed
    #[arg(long, value_name = "DOLLARS", value_parser = number, allow_negative_numbers = true)]
    pub(crate) max_cost: Option<f64>,
    /// Folder or s3:// prefix of journals: with it a run on threads can be resumed too [default: s3://$STAGGER_BUCKET/runs]
    #[arg(long, value_name = "DIR")]
    pub(crate) run_dir: Option<String>,
    /// Name of the run [default: date, time and four letters]
    #[arg(long, value_name = "NAME")]
    pub(crate) run_name: Option<String>,
}

/// The containers that tasks run on, with `--backend queue` or `both`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Running")]
pub(crate) struct ContainerArgs {
    /// What containers compute on: cpu or cuda [default: cpu; cuda with --backend both]
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<String>,
    /// URL of the containers' queue [default: $STAGGER_QUEUE]
    #[arg(long, value_name = "URL")]
    pub(crate) queue: Option<String>,
    /// With --backend both: tasks for containers, auto (those they should do sooner) or off [default: auto]
    #[arg(long, value_name = "RULE")]
    pub(crate) gpu: Option<String>,
    /// With --backend both: larger tasks than this are for containers, as 2000000rows, 2GB or 30s
    #[arg(long, value_name = "SIZE")]
    pub(crate) gpu_above: Option<String>,
    /// All results have the bits of one kind of worker: a processor's, or a GPU's with --backend queue --device cuda
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub(crate) strict_bits: Option<bool>,
    /// Seconds that a task waits while no container takes any; then it is for Lambda [default: 300]
    #[arg(long, value_name = "SECONDS", value_parser = number, allow_negative_numbers = true)]
    pub(crate) queue_patience: Option<f64>,
    /// Dollars an hour of one container [default: by the price list with --batch, else 0]
    #[arg(long, value_name = "DOLLARS", value_parser = number, allow_negative_numbers = true)]
    pub(crate) queue_price: Option<f64>,
    /// Containers that AWS Batch starts for the run and ends with it: job queue, job definition, how many [default: 1]
    #[arg(long, value_name = "QUEUE:DEFINITION[:N]")]
    pub(crate) batch: Option<String>,
}

/// The choice of what is shown while a run is under way.
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Running")]
pub(crate) struct ProgressArgs {
    /// Show progress on a terminal [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub(crate) progress_bar: Option<bool>,
    /// Log memory, tasks and rates every so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = number, allow_negative_numbers = true)]
    pub(crate) monitor_interval: Option<f64>,
    /// Show at the end what the time went to, by phase: reading, decoding, pivoting, each pass, aggregation, output
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub(crate) timings: Option<bool>,
}

keys!(RunningArgs {
    threads: toml_threads,
    n_partitions: toml_positive,
    max_cohorts: toml_positive,
    memory_limit: toml_size,
    store_dir: toml_text,
    backend: toml_text,
    function: toml_texts,
    concurrency: toml_positive,
    prefer: toml_text,
    max_cost: toml_number,
    run_dir: toml_text,
    run_name: toml_text,
});

keys!(ContainerArgs {
    device: toml_text,
    queue: toml_text,
    gpu: toml_text,
    gpu_above: toml_text,
    strict_bits: toml_boolean,
    queue_patience: toml_number,
    queue_price: toml_number,
    batch: toml_text,
});

keys!(ProgressArgs { progress_bar: toml_boolean, monitor_interval: toml_number, timings: toml_boolean });

/// Arguments of `stagger run`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub(crate) struct RunArgs {
    /// Parquet, CSV, JSON, Arrow, Avro, Stata, R, Excel (also .gz, .zst), Delta tables: files, folders or globs, local or s3://; @LIST of them, or - for standard input; a prepared store; or one run file (.toml)
    #[arg(value_name = "INPUT")]
    pub(crate) data: Vec<String>,
    #[command(flatten)]
    pub(crate) columns: DataArgs,
    #[command(flatten)]
    pub(crate) csv: CsvArgs,
    #[command(flatten)]
    pub(crate) records: RecordArgs,
    #[command(flatten)]
    pub(crate) estimator: EstimatorArgs,
    #[command(flatten)]
    pub(crate) inference: InferenceArgs,
    #[command(flatten)]
    pub(crate) window: WindowArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) running: RunningArgs,
    #[command(flatten)]
    pub(crate) containers: ContainerArgs,
    #[command(flatten)]
    pub(crate) progress: ProgressArgs,
    /// Only this `[[spec]]` table of the run file; repeat it for more
    #[arg(long = "spec", value_name = "NAME", help_heading = "Run file")]
    pub(crate) chosen: Vec<String>,
}

impl RunArgs {
    /// Every key that a run file may hold, beside `[[spec]]`.
    pub(crate) fn keys() -> impl Iterator<Item = &'static str> {
        ["data"].into_iter().chain(Self::specification_keys()).chain(Self::running_keys())
    }

    /// The keys that hold for the whole run.
    fn running_keys() -> impl Iterator<Item = &'static str> {
        [OutputArgs::KEYS, RunningArgs::KEYS, ContainerArgs::KEYS, ProgressArgs::KEYS]
            .into_iter()
            .flatten()
            .copied()
    }

    /// The keys in which specifications of one run may differ.
    pub(crate) fn specification_keys() -> impl Iterator<Item = &'static str> {
        [
            DataArgs::KEYS,
            CsvArgs::KEYS,
            RecordArgs::KEYS,
            EstimatorArgs::KEYS,
            InferenceArgs::KEYS,
            WindowArgs::KEYS,
        ]
        .into_iter()
        .flatten()
        .copied()
    }

    /// Sets the argument `key` (R's name) from a run file's value; `None` where there is no such argument.
    pub(crate) fn set(&mut self, key: &str, value: &toml::Value) -> Option<Result<(), String>> {
        if key == "data" {
            return Some(toml_paths(value).map(|paths| self.data = paths));
        }
        self.columns
            .set(key, value)
            .or_else(|| self.csv.set(key, value))
            .or_else(|| self.records.set(key, value))
            .or_else(|| self.estimator.set(key, value))
            .or_else(|| self.inference.set(key, value))
            .or_else(|| self.window.set(key, value))
            .or_else(|| self.output.set(key, value))
            .or_else(|| self.running.set(key, value))
            .or_else(|| self.containers.set(key, value))
            .or_else(|| self.progress.set(key, value))
    }

    /// These arguments, and those of `under` where none is given here.
    pub(crate) fn over(self, under: Self) -> Self {
        Self {
            data: if self.data.is_empty() { under.data } else { self.data },
            columns: self.columns.over(under.columns),
            csv: self.csv.over(under.csv),
            records: self.records.over(under.records),
            estimator: self.estimator.over(under.estimator),
            inference: self.inference.over(under.inference),
            window: self.window.over(under.window),
            output: self.output.over(under.output),
            running: self.running.over(under.running),
            containers: self.containers.over(under.containers),
            progress: self.progress.over(under.progress),
            chosen: if self.chosen.is_empty() { under.chosen } else { self.chosen },
        }
    }
}
