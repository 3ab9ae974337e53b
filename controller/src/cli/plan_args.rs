//! Arguments of `stagger plan`: those of `run`, and what a function on Lambda is given.

use std::path::Path;

use clap::Args;
use stagger_engine::forecast::{Backend, ForecastOptions, LAMBDA_MB, Prices};

use super::request::{RunRequest, Specification};
use super::run_args::RunArgs;
use super::run_file::resolve;
use super::spec::given;
use super::values::{size, whole};
use crate::failure::Failure;

/// Least and most memory of a function, in Lambda's megabytes.
const FUNCTION_MB: std::ops::RangeInclusive<u64> = 128..=10_240;

/// Arguments of `stagger plan`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// Memory of a function on Lambda, 128MB to 10240MB [default: 1769MB, which is one vCPU]
    #[arg(long, value_name = "SIZE", value_parser = function_memory, help_heading = "Plan")]
    pub(crate) worker_memory: Option<u64>,
    /// Prices in place of the built-in list of us-east-1
    #[arg(long, value_name = "FILE", help_heading = "Plan")]
    pub(crate) prices: Option<String>,
}

/// What is planned, and how it is told.
#[derive(Debug)]
pub(crate) struct PlanRequest {
    /// Files, folders or globs, or a store.
    pub(crate) inputs: Vec<String>,
    /// One at least.
    pub(crate) specs: Vec<Specification>,
    pub(crate) options: ForecastOptions,
    pub(crate) json: bool,
}

impl PlanRequest {
    /// Checks the arguments.
    pub(crate) fn new(args: PlanArgs) -> Result<Self, Failure> {
        let prices = match &args.prices {
            Some(file) => Prices::read(Path::new(file))?,
            None => Prices::built_in()?,
        };
        let mut named = resolve(args.run)?;
        let asked = named.first_mut().and_then(|named| given(&named.args.running.backend));
        named.iter_mut().for_each(|named| named.args.running.backend = None);
        let concurrency = named.first().and_then(|named| named.args.running.concurrency);
        let prefer = super::workers::prefer(
            named.first().and_then(|named| given(&named.args.running.prefer)).as_deref(),
        )?;
        let run = RunRequest::new(named)?;
        let mut options = ForecastOptions::new(prices);
        if let Some(backend) = asked {
            options.backends = vec![backend_of(&backend)?];
        }
        options.threads = run.options.threads;
        options.memory_limit = run.options.memory_limit;
        options.n_partitions = run.options.n_partitions;
        options.max_cohorts = run.options.max_cohorts;
        options.remote_stores = run.options.stores.as_ref().is_some_and(|folder| folder.starts_with("s3://"));
        options.worker_memory = args.worker_memory.unwrap_or(options.worker_memory);
        options.concurrency = concurrency.unwrap_or(options.concurrency);
        options.prefer = prefer;
        Ok(Self { inputs: run.inputs, specs: run.specs, options, json: run.json })
    }
}

fn backend_of(name: &str) -> Result<Backend, Failure> {
    match name {
        "threads" => Ok(Backend::Threads),
        "lambda" => Ok(Backend::Lambda),
        other => {
            Err(Failure::input(format!("backend must be \"threads\" or \"lambda\"; received \"{other}\""))
                .hint("without --backend both are planned"))
        }
    }
}

/// Memory of a function. Lambda counts in megabytes of 2^20 bytes and calls them MB: so does a size that ends in MB here, and a plain
/// number.
fn function_memory(text: &str) -> Result<u64, String> {
    let wrong = || "expected 128MB to 10240MB".to_owned();
    let lower = text.trim().to_ascii_lowercase();
    let megabytes = match lower.strip_suffix("mb").unwrap_or(&lower) {
        digits if digits.bytes().all(|b| b.is_ascii_digit() || b == b' ') => {
            whole(digits).map_err(|_| wrong())?
        }
        _ => size(&lower.replace("gb", "gib")).map_err(|_| wrong())? / LAMBDA_MB,
    };
    if FUNCTION_MB.contains(&megabytes) { Ok(megabytes * LAMBDA_MB) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_functions() {
        for (text, megabytes) in
            [("1769", 1769), ("1769MB", 1769), ("3008 mb", 3008), ("2GB", 2048), ("1gib", 1024)]
        {
            assert_eq!(function_memory(text), Ok(megabytes * LAMBDA_MB), "{text}");
        }
        for wrong in ["", "64MB", "20GB", "much", "-1"] {
            assert!(function_memory(wrong).is_err(), "{wrong}");
        }
    }
}
