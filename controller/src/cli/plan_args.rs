//! Arguments of `stagger plan`: those of `run`, and what a function on Lambda is given.

use std::path::Path;

use clap::Args;
use stagger_forecast::{Backend, ContainerOptions, ForecastOptions, LAMBDA_MB, Prices};
use stagger_model::failure::Failure;
use stagger_storage::open::is_on_s3;

use super::pool::{pool, pool_facts, refuse_pool_options};
use super::request::{RunRequest, Specification};
use super::run_args::{ContainerArgs, RunArgs};
use super::run_file::resolve_specs;
use super::spec::non_empty;
use super::values::{size, whole};

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

/// A checked request of `stagger plan`.
#[derive(Debug)]
pub(crate) struct PlanRequest {
    /// Files, folders or globs, or a store.
    pub(crate) inputs: Vec<String>,
    /// The specifications, at least one.
    pub(crate) specs: Vec<Specification>,
    /// The options of the forecast.
    pub(crate) options: ForecastOptions,
    /// The forecast is printed as JSON.
    pub(crate) json: bool,
}

impl PlanRequest {
    /// Checks the arguments, and returns the request.
    pub(crate) fn new(args: PlanArgs) -> Result<Self, Failure> {
        let prices = match &args.prices {
            Some(file) => Prices::read(Path::new(file))?,
            None => Prices::built_in()?,
        };
        let mut named = resolve_specs(args.run)?;
        let asked = named.first_mut().and_then(|named| non_empty(&named.args.running.backend));
        let containers = named.first().map(|named| containers(&named.args)).transpose()?.flatten();
        named.iter_mut().for_each(|named| alone(&mut named.args));
        let concurrency = named.first().and_then(|named| named.args.running.concurrency);
        let prefer = super::workers::prefer(
            named.first().and_then(|named| non_empty(&named.args.running.prefer)).as_deref(),
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
        options.remote_stores = run.options.stores.as_ref().is_some_and(|folder| is_on_s3(folder));
        options.worker_memory = args.worker_memory.unwrap_or(options.worker_memory);
        options.concurrency = concurrency.unwrap_or(options.concurrency);
        options.prefer = prefer;
        options.containers = containers;
        Ok(Self { inputs: run.inputs, specs: run.specs, options, json: run.json })
    }
}

fn backend_of(name: &str) -> Result<Backend, Failure> {
    match name {
        "threads" => Ok(Backend::Threads),
        "lambda" | "both" => Ok(Backend::Lambda),
        "queue" => Err(Failure::input(
            "backend \"queue\" is not planned by itself: nothing is known of its machines",
        )
        .hint("--backend both --gpu-above 0rows plans what containers would take over from Lambda")),
        other => Err(Failure::input(format!(
            "backend must be \"threads\", \"lambda\" or \"both\"; received \"{other}\""
        ))
        .hint("without --backend threads and Lambda are planned")),
    }
}

/// The containers of `--backend both`. A plan sends nothing, so it needs no queue.
fn containers(args: &RunArgs) -> Result<Option<ContainerOptions>, Failure> {
    let RunArgs { running, containers, .. } = args;
    if non_empty(&running.backend).as_deref() != Some("both") {
        return refuse_pool_options(containers).map(|()| None);
    }
    let queue = Some(non_empty(&containers.queue).unwrap_or_else(|| "https://none".to_owned()));
    let pool = pool(&ContainerArgs { queue, ..containers.clone() }, true)?;
    let facts = pool_facts(pool.kind, pool.batch.as_ref());
    Ok(Some(ContainerOptions { heavy: pool.heavy, facts, hourly: pool.hourly }))
}

/// Leaves out what says where a run runs.
fn alone(args: &mut RunArgs) {
    args.running.backend = None;
    args.containers = ContainerArgs::default();
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
