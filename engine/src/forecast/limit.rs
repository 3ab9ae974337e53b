//! Whether a run keeps its memory limit, asked once its plan is known and before anything is computed.

use crate::error::Result;
use crate::load::Wanted;
use crate::plan::Plan;
use crate::prepare::default_memory;
use crate::run::{Input, RunOptions, cores};
use crate::spec::RunSpec;

use super::{Backend, ForecastOptions, Known, Prices, forecast_of, size};

/// The share of a limit up to which the sums of cells and draws are too small to matter, as a divisor.
const MATTERS: u64 = 16;

/// Refuses a run whose cells and draws take more memory than the limit, or than the machine has where no limit is given. The bound is
/// that of `stagger plan`, with the same figures.
///
/// # Errors
/// The stage, its bound and the limit.
pub(crate) fn check_memory(
    input: &Input<'_>,
    wanted: &[Wanted<'_>],
    plans: &[Plan],
    options: &RunOptions,
) -> Result<()> {
    let limit = options.memory_limit.unwrap_or_else(default_memory);
    let bytes: u64 = plans.iter().map(size::aggregate).fold(0, u64::saturating_add);
    if bytes < limit / MATTERS {
        return Ok(());
    }
    let specs: Vec<(Option<&str>, &RunSpec)> = wanted.iter().map(|w| (w.name, w.spec)).collect();
    let known = match input {
        Input::Files(inputs) => Known::of_inputs(inputs, &specs, options.threads.unwrap_or_else(cores))?,
        Input::Store(store) => Known::of_store(store.as_ref().clone()),
    };
    let forecast = ForecastOptions {
        backends: vec![Backend::Threads],
        threads: options.threads,
        memory_limit: Some(limit),
        n_partitions: options.n_partitions,
        max_cohorts: options.max_cohorts,
        remote_stores: options.stores.as_ref().is_some_and(|stores| stores.starts_with("s3:")),
        ..ForecastOptions::new(Prices::built_in()?)
    };
    forecast_of(&known, &specs, &forecast).map(|_| ())
}
