//! Runs on workers: where they are kept, what they run on, and the commands for them.

use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use stagger_coordinator::{PoolRequest, RunRequest as Known};
use stagger_forecast::Prefer;
use stagger_model::failure::Failure;
use stagger_storage::open::is_on_s3;

use super::pool::{pool, refuse_pool_options};
use super::run_args::{ContainerArgs, OutputArgs, RunningArgs, WindowArgs};
use super::spec::non_empty;
use super::values::{boolean, name, number, positive, threads};
use crate::stamp::{Placeholders, civil_date, fill_placeholders};

/// Functions at a time by default: as many as AWS gives an account at first (PLATFORM §2.1).
pub(crate) const DEFAULT_CONCURRENCY: usize = 1000;
/// The bucket that `infra/` made.
const BUCKET: &str = "STAGGER_BUCKET";
/// Its functions.
const FUNCTION: &str = "STAGGER_FUNCTION";

/// The backend that tasks run on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Backend {
    /// Threads of this machine, with a journal.
    Threads,
    /// Functions of AWS Lambda, the smallest first.
    Lambda(Vec<String>),
    /// Containers behind a queue.
    Queue(PoolRequest),
    /// Functions, and containers for what is heavy.
    Both(Vec<String>, PoolRequest),
}

impl Backend {
    /// Returns true if the workers are not on this machine, and so reach none of its files.
    pub(crate) fn is_remote(&self) -> bool {
        !matches!(self, Self::Threads)
    }

    /// Returns the names of the functions; none without Lambda.
    pub(crate) fn functions(&self) -> &[String] {
        match self {
            Self::Lambda(names) | Self::Both(names, _) => names,
            Self::Threads | Self::Queue(_) => &[],
        }
    }

    /// Returns the containers; none without a queue.
    pub(crate) fn pool(&self) -> Option<&PoolRequest> {
        match self {
            Self::Queue(pool) | Self::Both(_, pool) => Some(pool),
            Self::Threads | Self::Lambda(_) => None,
        }
    }

    /// Returns the backend of a run from the functions and containers in its request.
    pub(crate) fn of_request(functions: Vec<String>, pool: Option<PoolRequest>) -> Self {
        match (functions.is_empty(), pool) {
            (true, None) => Self::Threads,
            (true, Some(pool)) => Self::Queue(pool),
            (false, None) => Self::Lambda(functions),
            (false, Some(pool)) => Self::Both(functions, pool),
        }
    }
}

/// A run on workers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WorkersRequest {
    /// The backend.
    pub(crate) on: Backend,
    /// Address of all runs.
    pub(crate) runs: String,
    /// Name of this one.
    pub(crate) name: String,
    /// The address below which stores of input files are made.
    pub(crate) stores: String,
    /// The most tasks at a time.
    pub(crate) concurrency: usize,
    /// The aim of the cut into tasks.
    pub(crate) prefer: Prefer,
    /// The dollars that the run never passes.
    pub(crate) max_cost: Option<f64>,
}

impl WorkersRequest {
    /// The run on workers that the arguments ask for; none for a run of this process alone.
    pub(crate) fn of(args: &RunningArgs, containers: &ContainerArgs) -> Result<Option<Self>, Failure> {
        let backend = non_empty(&args.backend);
        let on = match backend.as_deref() {
            Some("lambda") => Backend::Lambda(function_names(args.function.clone())?),
            Some("queue") => Backend::Queue(pool(containers, false)?),
            Some("both") => Backend::Both(function_names(args.function.clone())?, pool(containers, true)?),
            None | Some("threads") if non_empty(&args.run_dir).is_some() => Backend::Threads,
            None | Some("threads") => {
                return alone(args).and_then(|()| refuse_pool_options(containers)).map(|()| None);
            }
            Some(other) => {
                return Err(Failure::input(format!(
                    "backend must be \"threads\", \"lambda\", \"queue\" or \"both\"; received \"{other}\""
                )));
            }
        };
        if on.pool().is_none() {
            refuse_pool_options(containers)?;
        }
        let runs = runs_address(non_empty(&args.run_dir))?;
        if on.is_remote() && !is_on_s3(&runs) {
            return Err(Failure::input(format!(
                "run_dir must be on S3 for workers to reach it; received \"{runs}\""
            ))
            .hint("--run-dir s3://BUCKET/runs, or STAGGER_BUCKET=BUCKET"));
        }
        let stores = whole(stores(non_empty(&args.store_dir), &runs));
        if on.is_remote() && !is_on_s3(&stores) {
            return Err(Failure::input(format!(
                "store_dir must be on S3 for workers to reach it; received \"{stores}\""
            ))
            .hint("--store-dir s3://BUCKET/panels, or leave it out"));
        }
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let at_once = match on {
            Backend::Threads => args.threads.unwrap_or_else(cores),
            _ => DEFAULT_CONCURRENCY,
        };
        Ok(Some(Self {
            stores,
            on,
            runs,
            name: run_name(non_empty(&args.run_name))?,
            concurrency: args.concurrency.unwrap_or(at_once),
            prefer: prefer(non_empty(&args.prefer).as_deref())?,
            max_cost: args.max_cost.map(dollars).transpose()?,
        }))
    }
}

impl WorkersRequest {
    /// A run that is taken up, with what it was started with.
    pub(crate) fn resumed(runs: &str, name: &str, on: Backend, known: &Known) -> Self {
        Self {
            stores: known.stores.clone(),
            on,
            runs: runs.to_owned(),
            name: name.to_owned(),
            concurrency: known.limits.concurrency.unwrap_or(DEFAULT_CONCURRENCY),
            prefer: known.limits.prefer,
            max_cost: known.limits.max_cost,
        }
    }
}

/// Refuses what only runs on workers have.
fn alone(args: &RunningArgs) -> Result<(), Failure> {
    let only = [
        ("run_name", args.run_name.is_some()),
        ("max_cost", args.max_cost.is_some()),
        ("function", args.function.is_some()),
    ];
    match only.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((name, _)) => Err(Failure::input(format!("{name} is for runs on workers, and this is none"))
            .hint("--backend lambda runs on AWS; --run-dir DIR keeps a journal of a run on threads")),
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// Names of the functions.
pub(crate) fn function_names(given: Option<Vec<String>>) -> Result<Vec<String>, Failure> {
    let named = given.or_else(|| {
        let names = environment(FUNCTION)?;
        Some(names.split(',').map(str::to_owned).collect::<Vec<_>>())
    });
    let named = named.map(|names| {
        names.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
    });
    named.filter(|names: &Vec<String>| !names.is_empty()).ok_or_else(|| {
        Failure::input("no function is named to run on").hint(
            "--function NAME[,NAME …], the smallest first, or STAGGER_FUNCTION; `infra/deploy` makes them and prints both",
        )
    })
}

/// Address of all runs.
pub(crate) fn runs_address(given: Option<String>) -> Result<String, Failure> {
    let address = given.or_else(|| environment(BUCKET).map(|bucket| format!("s3://{bucket}/runs")));
    address.map(|address| whole(address.trim_end_matches('/').to_owned())).ok_or_else(|| {
        Failure::input("no place for runs is named")
            .hint("--run-dir s3://BUCKET/runs (or a folder), or STAGGER_BUCKET=BUCKET")
    })
}

/// A folder as it is found from any other one: a run is resumed from wherever.
fn whole(address: String) -> String {
    match address.contains("://") {
        true => address,
        false => std::path::absolute(&address).map_or(address, |path| path.display().to_string()),
    }
}

/// Returns the address below which stores are made: in the bucket that functions may read, or beside the runs.
fn stores(given: Option<String>, runs: &str) -> String {
    given.unwrap_or_else(|| match runs.strip_prefix("s3://").and_then(|rest| rest.split_once('/')) {
        Some((bucket, _)) => format!("s3://{bucket}/panels"),
        None => format!("{runs}/panels"),
    })
}

/// Returns the aim of the cut into tasks: little time or little cost.
pub(crate) fn prefer(given: Option<&str>) -> Result<Prefer, Failure> {
    match given {
        None | Some("time") => Ok(Prefer::Time),
        Some("cost") => Ok(Prefer::Cost),
        Some(other) => {
            Err(Failure::input(format!("prefer must be \"time\" or \"cost\"; received \"{other}\"")))
        }
    }
}

fn dollars(amount: f64) -> Result<f64, Failure> {
    if amount >= 0.0 && amount.is_finite() {
        return Ok(amount);
    }
    Err(Failure::input(format!("max_cost must be an amount of dollars; received {amount}")))
}

/// The name of a run: part of an address, so letters, digits and a few signs.
fn run_name(given: Option<String>) -> Result<String, Failure> {
    let Some(name) = given else { return Ok(new_run_name()) };
    let name = fill_placeholders("run_name", &name, &Placeholders::now())?;
    let plain = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
    if name.chars().all(plain)
        && !name.starts_with(['.', '-'])
        && name.len() <= 100
        && !RESERVED.contains(&name.as_str())
    {
        return Ok(name);
    }
    Err(Failure::input(format!(
        "run_name must be at most 100 letters, digits, -, _ and ., not begin with - or ., and not be names or panels; received \"{name}\""
    )))
}

/// Names that lie beside the runs and are no names of runs.
const RESERVED: [&str; 2] = ["names", "panels"];

/// `20261121-103012-kqzt`: sorts by time, and two of a second differ.
pub(crate) fn new_run_name() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut letters = RandomState::new().hash_one(seconds);
    let mut suffix = String::new();
    for _ in 0..4 {
        suffix.push(char::from(b'a' + (letters % 26) as u8));
        letters /= 26;
    }
    let (year, month, day) = civil_date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}-{suffix}")
}

/// Arguments of `stagger resume`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ResumeArgs {
    /// Name of the run
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// Folder or s3:// prefix of journals [default: s3://$STAGGER_BUCKET/runs]
    #[arg(long, value_name = "DIR", help_heading = "Running")]
    pub(crate) run_dir: Option<String>,
    /// Lambda functions, separated by commas, the smallest first [default: those of the run]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = name, help_heading = "Running")]
    pub(crate) function: Option<Vec<String>>,
    /// Tasks at a time on Lambda [default: 1000]
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true, help_heading = "Running")]
    pub(crate) concurrency: Option<usize>,
    /// Threads [default: all cores]
    #[arg(long, value_name = "N", value_parser = threads, allow_negative_numbers = true, help_heading = "Running")]
    pub(crate) threads: Option<usize>,
    /// Dollars that the run never passes, what it has cost already included
    #[arg(long, value_name = "DOLLARS", value_parser = number, allow_negative_numbers = true, help_heading = "Running")]
    pub(crate) max_cost: Option<f64>,
    /// Take the run even if another controller seems to hold it
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean, help_heading = "Running")]
    pub(crate) take_over: Option<bool>,
    /// Show progress on a terminal [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean, help_heading = "Running")]
    pub(crate) progress_bar: Option<bool>,
    #[command(flatten)]
    pub(crate) window: WindowArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Arguments of `stagger cancel`.
#[derive(Args, Clone, Debug)]
pub(crate) struct CancelArgs {
    /// Name of the run
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// Folder or s3:// prefix of journals [default: s3://$STAGGER_BUCKET/runs]
    #[arg(long, value_name = "DIR")]
    pub(crate) run_dir: Option<String>,
    /// Do not wait for the tasks under way; they end by themselves
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub(crate) abandon: Option<bool>,
}

/// Arguments of `stagger list`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ListArgs {
    /// Folder or s3:// prefix of journals [default: s3://$STAGGER_BUCKET/runs]
    #[arg(long, value_name = "DIR")]
    pub(crate) run_dir: Option<String>,
    /// Print one line of JSON
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub(crate) json: Option<bool>,
}

/// Arguments of `stagger janitor`.
#[derive(Args, Clone, Debug)]
pub(crate) struct JanitorArgs {
    /// Folder or s3:// prefix of journals [default: s3://$STAGGER_BUCKET/runs]
    #[arg(long, value_name = "DIR")]
    pub(crate) run_dir: Option<String>,
    /// Seconds without a sign of life after which a controller is gone [default: 900]
    #[arg(long, value_name = "SECONDS", value_parser = number, allow_negative_numbers = true)]
    pub(crate) silent: Option<f64>,
    /// Job queues of AWS Batch in which containers of such runs are ended, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = name)]
    pub(crate) batch_queue: Option<Vec<String>>,
    /// Tell this SNS topic of each
    #[arg(long, value_name = "ARN")]
    pub(crate) notify: Option<String>,
    /// Print one line of JSON
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub(crate) json: Option<bool>,
}

impl ResumeArgs {
    /// Checks the cap on dollars, and returns it.
    pub(crate) fn cap(&self) -> Result<Option<f64>, Failure> {
        self.max_cost.map(dollars).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_time_and_can_be_part_of_an_address() {
        let name = new_run_name();
        assert_eq!(name.len(), 20, "{name}");
        assert_eq!(run_name(Some(name.clone())).unwrap(), name);
        for wrong in ["a/b", "", "ä", ".hidden", "names"] {
            let refused = run_name(Some(wrong.to_owned()));
            assert!(refused.is_err() || wrong.is_empty(), "{wrong}");
        }
    }

    #[test]
    fn stores_lie_in_the_bucket_of_the_runs() {
        assert_eq!(stores(None, "s3://b/team/runs"), "s3://b/panels");
        assert_eq!(stores(None, "/data/runs"), "/data/runs/panels");
        assert_eq!(stores(Some("s3://c/x".into()), "s3://b/runs"), "s3://c/x");
    }
}
