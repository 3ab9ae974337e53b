//! The forecast of a run before anything is spent: cells, comparisons, stages, tasks, a bound on the memory of each,
//! bytes, requests, seconds and dollars, on the threads of this machine and on AWS Lambda.
//!
//! Of the data only the manifest of a store is read, or the footers and the period and cohort columns of files. The
//! plan is the run's own ([`stagger_estimation::plan::Plan`]) over the panel's counts, so cells, warnings and refusals are those
//! of the run.
//!
//! - `known`, `scan`: the counts. `passes`: the passes that the run will make. `reads`, `size`, `work`, `memory`: the
//!   costs of a pass.
//! - `limit`: the check of a run's own plan against its memory limit.
//! - `threads`, `lambda`, `preparation`: the stages on the two backends. `containers`: the tasks that a pool beside
//!   Lambda takes over. `tasks`: the load of one task on Lambda, and the duration of stages. `cloud_rates`:
//!   rates of the cloud in one scenario. `rates`, `prices`: every constant and its source.
//!
//! Forecasts have three ends: low, likely, high. Quantities that are not known before a run, such as the rounds of
//! the logits and the number of clusters, differ between them, and so do the rates. Memory has one value: an upper
//! bound.

mod cloud_rates;
mod containers;
pub mod cut;
pub mod heavy;
mod known;
mod lambda;
mod limit;
mod memory;
mod passes;
mod prefer;
mod preparation;
mod prices;
mod rates;
mod reads;
mod rows;
mod scan;
mod size;
mod tasks;
#[cfg(test)]
mod tests;
mod threads;
mod work;

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use stagger_estimation::estimate::sequence::closes_early;
use stagger_estimation::plan::Plan;
use stagger_estimator::formula::Atom;
use stagger_model::error::{Result, StaggerError, name_specifications};
use stagger_model::parallel::available_cores;
use stagger_model::spec::RunSpec;
use stagger_model::spec_check::CheckedSpec;
use stagger_panel::open::counted;
use stagger_panel::panel::Panel;
use stagger_panel::prepare::default_memory;
use stagger_panel::stored::StoredShards;

pub use cloud_rates::{AttemptRates, CloudRates, ControllerRates, FunctionRates, StorageRates};
pub use containers::{ContainerOptions, ContainerStage, ContainersForecast};
pub use known::{InputFiles, PanelFacts};
pub use lambda::{max_cells_in_memory, shard_load_of_pass, shuffle_workers, stage_load, task_memory};
pub use limit::check_memory;
pub use prefer::Prefer;
pub use prices::Prices;
pub use tasks::{FunctionFleet, ReadLoad, StageLoad, TaskLoad, vcpus};

/// Bytes of Lambda's megabyte.
pub const LAMBDA_MB: u64 = 1 << 20;

/// The low, the likely and the high value of a quantity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ThreePoint<T> {
    /// The value if all goes well.
    pub low: T,
    /// The value to expect.
    pub likely: T,
    /// The value if it does not go well.
    pub high: T,
}

/// The place where tasks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Threads of this process.
    Threads,
    /// AWS Lambda.
    Lambda,
}

/// The options of a forecast.
#[derive(Clone, Debug)]
pub struct ForecastOptions {
    /// The backends to forecast. If there is one only, the run must fit its memory.
    pub backends: Vec<Backend>,
    /// The number of threads; all cores if absent.
    pub threads: Option<usize>,
    /// Bytes that the process may use. If absent most of the machine's, and no run is refused for its memory.
    pub memory_limit: Option<u64>,
    /// The number of tasks of a stage; chosen by the forecast if absent.
    pub n_partitions: Option<usize>,
    /// The most cells of an `Influence` task; all if absent.
    pub max_cohorts: Option<usize>,
    /// True if prepared stores of files are kept on S3.
    pub remote_stores: bool,
    /// Bytes of a function.
    pub worker_memory: u64,
    /// Functions that run at a time.
    pub concurrency: usize,
    /// The quantity that stages are cut for: time or cost.
    pub prefer: Prefer,
    /// Rounds of the logits over all shards, if they are known.
    pub rounds: Option<usize>,
    /// The list of prices.
    pub prices: Prices,
    /// Containers beside the functions, if there are any.
    pub containers: Option<ContainerOptions>,
}

impl ForecastOptions {
    /// Returns the options for both backends, with a function of 1,769 MB (one vCPU), 1,000 of them at a time.
    pub fn new(prices: Prices) -> Self {
        Self {
            backends: vec![Backend::Threads, Backend::Lambda],
            threads: None,
            memory_limit: None,
            n_partitions: None,
            max_cohorts: None,
            remote_stores: false,
            worker_memory: 1769 * LAMBDA_MB,
            concurrency: 1000,
            prefer: Prefer::default(),
            rounds: None,
            prices,
            containers: None,
        }
    }
}

/// A plan with its price. Its JSON is the output of `stagger plan --json`: keys never change, sizes are bytes, times
/// seconds, prices in the currency of the price list; every count and amount is a number.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Forecast {
    /// The input.
    pub input: InputFacts,
    /// The plan of each specification.
    pub specs: Vec<SpecFacts>,
    /// The forecast for each backend.
    pub backends: Vec<BackendForecast>,
    /// The prices that it was made with, and their date.
    pub prices: Prices,
    /// The assumptions of the forecast, as sentences.
    pub notes: Vec<String>,
}

/// The input, as far as it is known.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InputFacts {
    /// True for a prepared store, false for files.
    pub prepared: bool,
    /// The number of input files.
    pub files: usize,
    /// Rows of the input.
    pub rows: u64,
    /// Units, or rows of cross sections.
    pub units: u64,
    /// True if rows have no unit: repeated cross sections.
    pub cross_sections: bool,
    /// The number of periods.
    pub periods: usize,
    /// The number of strata: cohorts × eligibilities.
    pub strata: usize,
    /// Shards of the store.
    pub shards: usize,
    /// Bytes of the store.
    pub bytes: u64,
}

/// The plan of a specification.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SpecFacts {
    /// Its name, where there are several.
    pub name: Option<String>,
    /// Units used, or rows of cross sections.
    pub n: u64,
    /// The number of ATT(g,t)s.
    pub cells: usize,
    /// The number of two-by-two comparisons behind them.
    pub comparisons: usize,
    /// Columns of the design, the intercept included.
    pub regressors: usize,
    /// The number of propensity scores that are fitted.
    pub logits: usize,
    /// Bootstrap draws.
    pub draws: usize,
    /// The warnings that the run will give.
    pub warnings: Vec<String>,
}

/// The forecast of a run on one backend.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BackendForecast {
    /// The backend.
    pub backend: Backend,
    /// The number of threads, or of functions at a time.
    pub workers: usize,
    /// Bytes of the process, or of a function.
    pub worker_memory: u64,
    /// Stages in order.
    pub stages: Vec<StageForecast>,
    /// The largest memory bound of all stages, bytes.
    pub peak_memory: u64,
    /// Amounts of all stages together.
    pub total: Amounts,
    /// The price of storing the prepared panel for a month.
    pub storage_month: f64,
    /// The shuffle of rows to their shards, where they have to be shuffled.
    pub shuffle: Option<ShuffleFacts>,
    /// The most cells that an `Influence` pass may take so that it fits; all if absent.
    #[serde(skip)]
    pub max_cells: Option<usize>,
    /// The reason why the run can't be done on this backend, if it can't.
    pub refused: Option<String>,
    /// The tasks that containers beside the functions would take over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub containers: Option<ContainersForecast>,
}

/// A stage, all its passes together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageForecast {
    /// The name of the stage.
    pub stage: String,
    /// Tasks of a pass.
    pub tasks: usize,
    /// The number of passes.
    pub passes: ThreePoint<u64>,
    /// An upper bound on the memory of the process, or of the function, that runs its largest task, bytes.
    pub memory: u64,
    /// The shard, mapper or partition of that task.
    pub largest: usize,
    /// The amounts that it takes.
    #[serde(flatten)]
    pub amounts: Amounts,
}

/// Amounts of a stage, or of all stages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Amounts {
    /// Bytes read from files or the store.
    pub bytes_read: ThreePoint<u64>,
    /// Bytes written to the store.
    pub bytes_written: ThreePoint<u64>,
    /// Requests that read an object or its head.
    pub gets: ThreePoint<u64>,
    /// Requests that write an object.
    pub puts: ThreePoint<u64>,
    /// Invocations of the function.
    pub invocations: ThreePoint<u64>,
    /// Billed gigabyte-seconds.
    pub gb_seconds: ThreePoint<f64>,
    /// Wall-clock seconds.
    pub seconds: ThreePoint<f64>,
    /// The price, storage aside.
    pub dollars: ThreePoint<f64>,
}

/// The shuffle of a preparation, and the cost of the other number of stages.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShuffleFacts {
    /// The number of objects that rows are scattered to.
    pub mappers: usize,
    /// The number of partitions of the units' hashes.
    pub partitions: usize,
    /// True if the rows of each unit are joined before they are scattered.
    pub together: bool,
    /// The number of stages: 1, or 2 with a combining one between.
    pub stages: u8,
    /// The price of the requests of one stage.
    pub one_stage: f64,
    /// The price of the requests of two stages, at their best cut.
    pub two_stages: f64,
}

/// The plans and counts that the backends' forecasts are made from.
pub struct ForecastInput<'a> {
    /// The panel's counts.
    pub known: &'a PanelFacts,
    /// The options of the forecast.
    pub options: &'a ForecastOptions,
    /// The store's shards as the specifications see them; their values are never read.
    pub shards: Arc<StoredShards>,
    /// The plan of each specification.
    pub plans: Vec<Plan>,
    /// The passes that count before the first stage.
    pub counting: passes::CountingPasses,
}

/// Forecasts a run on files or a prepared store.
///
/// # Errors
/// As the run's own, as far as they can be told; a task that does not fit its worker's memory, by stage and shard.
pub fn forecast(
    inputs: &[String],
    specs: &[(Option<&str>, &RunSpec)],
    options: &ForecastOptions,
) -> Result<Forecast> {
    let threads = options.threads.unwrap_or_else(available_cores);
    let known = PanelFacts::from_inputs(inputs, specs, threads)?;
    forecast_panel(&known, specs, options)
}

/// Forecasts a run on a panel of which the counts are known.
///
/// # Errors
/// As [`forecast`].
pub fn forecast_panel(
    known: &PanelFacts,
    specs: &[(Option<&str>, &RunSpec)],
    options: &ForecastOptions,
) -> Result<Forecast> {
    with_forecast_input(known, specs, options, |planned, wanted, notes| {
        let mut backends = Vec::new();
        for backend in &options.backends {
            backends.push(match backend {
                Backend::Threads => threads::forecast_threads(planned),
                Backend::Lambda => lambda::forecast_lambda(planned),
            });
        }
        if let (Some(first), true) = (backends.first(), backends.iter().all(|b| b.refused.is_some())) {
            return Err(refusal_error(first));
        }
        Ok(Forecast {
            input: input_facts(known),
            specs: planned.plans.iter().zip(wanted).map(|(plan, wanted)| spec_facts(plan, wanted)).collect(),
            backends,
            prices: options.prices.clone(),
            notes,
        })
    })
}

/// Returns the tasks of every stage on Lambda in the three scenarios, which a simulation of the run goes through.
///
/// # Errors
/// As [`forecast`].
pub fn stage_loads(
    known: &PanelFacts,
    specs: &[(Option<&str>, &RunSpec)],
    options: &ForecastOptions,
) -> Result<ThreePoint<Vec<StageLoad>>> {
    with_forecast_input(known, specs, options, |planned, _, _| Ok(lambda::stage_loads(planned, &mut None)))
}

/// Plans the run, and passes plan, specifications and notes to `then`.
fn with_forecast_input<T>(
    known: &PanelFacts,
    specs: &[(Option<&str>, &RunSpec)],
    options: &ForecastOptions,
    then: impl FnOnce(&ForecastInput<'_>, &[CheckedSpec], Vec<String>) -> Result<T>,
) -> Result<T> {
    let wanted = CheckedSpec::complete_all(specs, |spec| known.store.complete_spec(spec))?;
    let mut notes = known.notes.clone();
    let planned = plan(known, &wanted, options, &mut notes)?;
    then(&planned, &wanted, notes)
}

fn refusal_error(backend: &BackendForecast) -> StaggerError {
    let hint = match backend.backend {
        Backend::Threads => {
            "give it more with --memory-limit, or take fewer --threads, --max-cohorts or --biters"
        }
        Backend::Lambda => {
            "give functions more with --worker-memory, or take fewer --max-cohorts or --biters"
        }
    };
    StaggerError::input(backend.refused.clone().unwrap_or_default()).with_hint(hint)
}

/// Returns the plans of all specifications over the counts.
fn plan<'a>(
    known: &'a PanelFacts,
    wanted: &[CheckedSpec],
    options: &'a ForecastOptions,
    notes: &mut Vec<String>,
) -> Result<ForecastInput<'a>> {
    let (shards, mut panels) = counted(known.store.clone(), wanted)?;
    let whole = (0..wanted.len()).all(|index| shards.has_no_gaps(index));
    if !whole && known.files.is_none() {
        notes.push("some rows lack values: units and rows are upper bounds".to_owned());
    }
    let mut plans = Vec::new();
    let mut factors = 0;
    for (panel, wanted) in panels.iter_mut().zip(wanted) {
        let levels = levels(known, panel, wanted, notes);
        factors += levels.len();
        let plan = Plan::from_counts(panel, &wanted.spec, &wanted.formula, &levels);
        plans.push(plan.map_err(|e| name_specifications(e, &[wanted.name()]))?);
    }
    let clustered = plans.iter().filter(|plan| plan.inference.cluster_variables > 0).count();
    if clustered > 0 {
        let few = rates::FEW_CLUSTERS;
        notes.push(format!("clusters are not counted yet: 1 to one a unit, likely at most {few}"));
    }
    if plans.iter().any(|plan| !plan.comparisons.logits.is_empty()) && options.rounds.is_none() {
        let started = plans.iter().any(|plan| closes_early(plan, known.manifest().shards.len()));
        let [low, likely, high] = if started { rates::STARTED_ROUNDS.map(|n| n + 1) } else { rates::ROUNDS };
        notes.push(format!("propensity scores take {low} to {high} rounds over the data, likely {likely}"));
    }
    let weights = (0..wanted.len()).any(|index| shards.has_weights(index));
    let counting = passes::CountingPasses { census: !whole || weights, units: !whole, factors, clustered };
    Ok(ForecastInput { known, options, shards, plans, counting })
}

/// Returns the number of levels of each factor of a formula: that of a store's texts, or a guess.
fn levels(
    known: &PanelFacts,
    panel: &Panel,
    wanted: &CheckedSpec,
    notes: &mut Vec<String>,
) -> HashMap<String, usize> {
    let texts = known.manifest().texts.len();
    let mut out = HashMap::new();
    for (index, atom) in wanted.formula.atoms().iter().enumerate() {
        let text = panel.columns.text_atoms[index];
        let name = match atom {
            Atom::Factor(name) => name.clone(),
            Atom::Numeric(expression) if text => expression.is_plain_column().unwrap_or_default().to_owned(),
            Atom::Numeric(_) => continue,
        };
        let count = if text && texts > 0 { texts } else { rates::LEVELS };
        let what = if text && texts > 0 { "at most" } else { "taken as" };
        notes.push(format!("levels of `{name}` are not counted yet: {what} {count}"));
        out.insert(name, count);
    }
    out
}

fn input_facts(known: &PanelFacts) -> InputFacts {
    let manifest = known.manifest();
    InputFacts {
        prepared: known.files.is_none(),
        files: known.files.as_ref().map_or(manifest.inputs.len(), |files| files.count),
        rows: manifest.input_rows,
        units: manifest.units,
        cross_sections: manifest.cross_sections,
        periods: manifest.periods.len(),
        strata: manifest.strata.len(),
        shards: manifest.shards.len(),
        bytes: manifest.total_bytes(),
    }
}

fn spec_facts(plan: &Plan, wanted: &CheckedSpec) -> SpecFacts {
    SpecFacts {
        name: wanted.name().map(str::to_owned),
        n: plan.sample.n,
        cells: plan.targets.cells.len(),
        comparisons: plan.comparisons.comparisons.len(),
        regressors: plan.regressor_count(),
        logits: plan.comparisons.logits.len(),
        draws: plan.inference.draws,
        warnings: plan.warnings.clone(),
    }
}

impl ForecastInput<'_> {
    /// Returns the passes of all specifications together in a scenario, over at most `max_cells` cells at a time.
    pub fn passes(&self, scenario: &passes::Scenario, max_cells: Option<usize>) -> Vec<passes::PlannedPass> {
        let shards = self.known.manifest().shards.len();
        let of = |plan| passes::plan_passes(plan, shards, max_cells, scenario);
        passes::join_passes(self.plans.iter().map(of).collect())
    }

    /// Returns the low, the likely and the high scenario.
    pub fn scenarios(&self) -> [passes::Scenario; 3] {
        passes::Scenario::three(self.known.manifest().units, self.options.rounds)
    }

    /// Returns the bytes that the process may use.
    pub fn memory_limit(&self) -> u64 {
        self.options.memory_limit.unwrap_or_else(default_memory)
    }
}
