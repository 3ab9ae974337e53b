//! Arguments of `stagger prepare`: the columns of `run`, and where the store goes.

use clap::Args;
use stagger_model::failure::Failure;
use stagger_model::spec::RunSpec;
use stagger_storage::open::is_on_s3;

use super::csv_args::CsvArgs;
use super::named::NamedArgs;
use super::record_args::RecordArgs;
use super::run_args::{ContainerArgs, DataArgs, RunArgs, RunningArgs};
use super::run_file::resolve_specs;
use super::spec::specification;
use super::values::{boolean, name, number, positive, size, threads};
use super::workers::WorkersRequest;

/// Arguments of `stagger prepare`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct PrepareArgs {
    /// Parquet, CSV, JSON, Arrow, Avro, Stata, R, Excel (also .gz, .zst), Delta tables: files, folders or globs, local or s3://; @LIST of them, or - for standard input; or one run file (.toml). With --verify a store
    #[arg(value_name = "INPUT")]
    pub(crate) data: Vec<String>,
    #[command(flatten)]
    pub(crate) columns: DataArgs,
    #[command(flatten)]
    pub(crate) csv: CsvArgs,
    #[command(flatten)]
    pub(crate) records: RecordArgs,
    /// Columns to cluster on, separated by commas
    #[arg(long, alias = "cluster", value_name = "COLUMNS", value_delimiter = ',', value_parser = name, help_heading = "Data")]
    pub(crate) clustervars: Option<Vec<String>>,
    /// Further covariates to keep, separated by commas
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', value_parser = name, help_heading = "Data")]
    pub(crate) keep: Option<Vec<String>>,
    /// Where the store goes: a folder or s3:// prefix
    #[arg(long, short = 'o', value_name = "STORE", help_heading = "Output")]
    pub(crate) out: Option<String>,
    /// Check every byte of the store INPUT against its manifest
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean, help_heading = "Output")]
    pub(crate) verify: Option<bool>,
    /// Print one line of JSON
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean, help_heading = "Output")]
    pub(crate) json: Option<bool>,
    /// No progress on stderr
    #[arg(long, short = 'q', value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean, help_heading = "Output")]
    pub(crate) quiet: Option<bool>,
    #[command(flatten)]
    pub(crate) running: PrepareRunningArgs,
}

/// The place and the limits of a preparation, and what is shown of it.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct PrepareRunningArgs {
    /// Threads [default: all cores]
    #[arg(long, value_name = "N", value_parser = threads, allow_negative_numbers = true, help_heading = "Running")]
    pub(crate) threads: Option<usize>,
    /// Most memory that the process may use, as 1GB or 512MiB [default: most of what is free]
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Running")]
    pub(crate) memory_limit: Option<u64>,
    /// Partitions of the shuffle [default: as memory asks]
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true, help_heading = "Running")]
    pub(crate) n_partitions: Option<usize>,
    /// Where tasks run: threads of this machine, or lambda [default: threads]
    #[arg(long, value_name = "BACKEND", help_heading = "Running")]
    pub(crate) backend: Option<String>,
    /// Lambda functions, separated by commas, the smallest first [default: $STAGGER_FUNCTION]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = name, help_heading = "Running")]
    pub(crate) function: Option<Vec<String>>,
    /// Tasks at a time on Lambda [default: 1000]
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true, help_heading = "Running")]
    pub(crate) concurrency: Option<usize>,
    /// Dollars that are never passed: the preparation stops before, and can be resumed
    #[arg(long, value_name = "DOLLARS", value_parser = number, allow_negative_numbers = true, help_heading = "Running")]
    pub(crate) max_cost: Option<f64>,
    /// Folder or s3:// prefix of journals [default: s3://$STAGGER_BUCKET/runs]
    #[arg(long, value_name = "DIR", help_heading = "Running")]
    pub(crate) run_dir: Option<String>,
    /// Name of the run [default: date, time and four letters]
    #[arg(long, value_name = "NAME", help_heading = "Running")]
    pub(crate) run_name: Option<String>,
    /// Show progress on a terminal [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean, help_heading = "Running")]
    pub(crate) progress_bar: Option<bool>,
    /// Log memory, tasks and rates every so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = number, allow_negative_numbers = true, help_heading = "Running")]
    pub(crate) monitor_interval: Option<f64>,
}

/// A checked request of `stagger prepare`: the inputs, and the columns that are kept of them.
#[derive(Debug)]
pub(crate) struct PrepareRequest {
    /// Files, folders or globs.
    pub(crate) inputs: Vec<String>,
    /// Specifications whose columns are kept.
    pub(crate) specs: Vec<(Option<String>, RunSpec)>,
    /// The address of the store.
    pub(crate) out: String,
    /// The workers that make it, if not the threads of this process.
    pub(crate) workers: Option<WorkersRequest>,
}

impl PrepareRequest {
    /// Checks the arguments, and returns the request.
    pub(crate) fn new(args: &PrepareArgs) -> Result<Self, Failure> {
        let mut flags = RunArgs {
            data: args.data.clone(),
            columns: args.columns.clone(),
            csv: args.csv.clone(),
            records: args.records.clone(),
            ..RunArgs::default()
        };
        flags.inference.clustervars.clone_from(&args.clustervars);
        let named = resolve_specs(flags)?;
        let Some(inputs) = named.first().map(|n| n.args.data.clone()).filter(|data| !data.is_empty()) else {
            return Err(Failure::input("no input is given").hint(
                "stagger prepare panel.parquet --yname Y --tname T --idname ID --gname G --out STORE",
            ));
        };
        let Some(out) = args.out.clone() else {
            return Err(Failure::input("argument \"out\" is missing")
                .hint("name the store: --out FOLDER or --out s3://BUCKET/PREFIX"));
        };
        let mut specs = Vec::new();
        for named in named {
            for outcome in outcomes(&named) {
                let mut own = named.args.clone();
                own.columns.yname = outcome;
                specs.push((named.name.clone(), specification(&own)?));
            }
        }
        let keep = args.keep.as_deref().unwrap_or_default();
        if let (Some((_, first)), false) = (specs.first().cloned(), keep.is_empty()) {
            let quoted: Vec<String> = keep.iter().map(|column| format!("`{column}`")).collect();
            specs.push((None, RunSpec { xformla: Some(format!("~ {}", quoted.join(" + "))), ..first }));
        }
        let running = RunningArgs {
            backend: args.running.backend.clone(),
            function: args.running.function.clone(),
            concurrency: args.running.concurrency,
            max_cost: args.running.max_cost,
            run_dir: args.running.run_dir.clone(),
            run_name: args.running.run_name.clone(),
            ..RunningArgs::default()
        };
        let workers = WorkersRequest::of(&running, &ContainerArgs::default())?;
        if workers.as_ref().is_some_and(|workers| workers.on.is_remote() && !is_on_s3(&out)) {
            return Err(Failure::input(format!("workers can't write to \"{out}\""))
                .hint("--out s3://BUCKET/PREFIX, below `panels/` of the bucket that `infra/` made"));
        }
        Ok(Self { inputs, specs, out, workers })
    }
}

/// The outcomes that a specification names, separated by commas.
fn outcomes(named: &NamedArgs) -> Vec<Option<String>> {
    match &named.args.columns.yname {
        None => vec![None],
        Some(names) => names.split(',').map(|name| Some(name.trim().to_owned())).collect(),
    }
}
