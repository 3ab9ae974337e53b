//! The forecast of a run on AWS Lambda: the tasks that `forecast::cut` cuts a stage into, one function each, from a
//! store on S3. Nothing is kept between tasks, although warm environments keep decoded shards: that is luck, and not
//! forecast.

use stagger_estimation::estimate::influence_passes::cut_column_passes;
use stagger_estimation::estimate::steps::MAX_CLUSTER_BYTES;
use stagger_estimation::plan::Plan;
use stagger_estimation::stage::StageInput;
use stagger_panel::prepare::ShuffleWorkers;
use stagger_panel::stored::StoredShards;
use stagger_panel::strata::NeededColumns;
use stagger_storage::Policy;

use super::cloud_rates::CloudRates;
use super::known::InputFiles;
use super::memory::{MemoryModel, largest_shard};
use super::passes::{PlannedPass, Scenario};
use super::preparation::{PreparationBackend, PreparationStage, forecast_preparation};
use super::rates::{CONTROLLER_WRITES, DECODE, FUNCTION, GB_SECOND, SHUFFLE};
use super::reads::{ReadAmounts, StoreReads};
use super::rows::{ScenarioStages, StageAmounts, Traffic, largest_over_limit};
use super::size::PassMemory;
use super::tasks::{FunctionFleet, ReadLoad, StageLoad, TaskLoad, vcpus};
use super::threads::{format_megabytes, task_name};
use super::{
    Backend, BackendForecast, ForecastInput, LAMBDA_MB, Prefer, ShuffleFacts, ThreePoint, size, work,
};
use crate::cut::{TaskSizing, choose_task_count};

/// Bytes of a plan and of a stage's input: an assumption, small beside a shard.
const PLAN: f64 = 20e3;
/// Bytes of a shard's entry in the manifest. Measured: 146.
const ENTRY: f64 = 150.0;

/// Forecasts the run on functions.
pub(super) fn forecast_lambda(planned: &ForecastInput<'_>) -> BackendForecast {
    let options = planned.options;
    let manifest = planned.known.manifest();
    let mut shuffle = None;
    let loads = stage_loads(planned, &mut shuffle);
    let run = Run { functions: functions_of(planned) };
    let ends = [(0, &loads.low), (1, &loads.likely), (2, &loads.high)];
    let scenarios = ScenarioStages(ends.map(|(end, loads)| run.rows(loads, end)));
    let (stages, total) = scenarios.stages(&options.prices, true);
    let peak_memory = stages.iter().map(|stage| stage.memory).max().unwrap_or(0);
    let refused = largest_over_limit(&stages, options.worker_memory).map(|stage| {
        format!(
            "stage {} may take {} of memory for the task of {}, but a function has {} ({} MB of Lambda)",
            stage.stage,
            format_megabytes(stage.memory),
            task_name(&stage.stage, stage.largest),
            format_megabytes(options.worker_memory),
            options.worker_memory / LAMBDA_MB
        )
    });
    BackendForecast {
        backend: Backend::Lambda,
        workers: stages.iter().map(|stage| stage.tasks).max().unwrap_or(0).min(options.concurrency),
        worker_memory: options.worker_memory,
        stages,
        peak_memory,
        total,
        storage_month: manifest.total_bytes() as f64 / 1e9 * options.prices.storage_gb_month,
        shuffle,
        max_cells: planned.options.max_cohorts,
        refused,
        containers: options.containers.map(|containers| {
            let loads = [&loads.low[..], &loads.likely[..], &loads.high[..]];
            super::containers::forecast_containers(&containers, &functions_of(planned), loads, manifest.units)
        }),
    }
}

/// Returns every stage's tasks in the three scenarios.
pub(super) fn stage_loads(
    planned: &ForecastInput<'_>,
    shuffle: &mut Option<ShuffleFacts>,
) -> ThreePoint<Vec<StageLoad>> {
    let manifest = planned.known.manifest();
    let stages = Stages { planned, memory: MemoryModel::new(manifest, &planned.shards) };
    let [low, likely, high] = planned.scenarios().map(|scenario| stages.all(&scenario, shuffle));
    ThreePoint { low, likely, high }
}

fn functions_of(planned: &ForecastInput<'_>) -> FunctionFleet {
    let options = planned.options;
    FunctionFleet {
        concurrency: options.concurrency,
        megabytes: options.worker_memory as f64 / LAMBDA_MB as f64,
    }
}

/// The functions that the rows of a forecast are computed for.
struct Run {
    functions: FunctionFleet,
}

impl Run {
    fn rows(&self, loads: &[StageLoad], end: usize) -> Vec<StageAmounts> {
        let rates = CloudRates::of(end);
        let gigabytes = self.functions.megabytes / 1024.0;
        // Environments that an earlier stage has started.
        let mut warm = 0;
        let mut out = Vec::with_capacity(loads.len());
        for load in loads {
            let at_once = load.tasks.min(self.functions.concurrency);
            let new = at_once.saturating_sub(warm);
            warm = warm.max(at_once);
            let billed = load.billed_seconds(&rates, &self.functions) * rates.attempts.per_task
                + new as f64 * rates.functions.cold_billed;
            out.push(StageAmounts {
                stage: load.stage.clone(),
                tasks: load.tasks,
                passes: 1.0,
                memory: load.memory,
                largest: load.largest,
                traffic: Traffic {
                    bytes_read: load.bytes_read(),
                    bytes_written: load.bytes_written(),
                    gets: load.gets(),
                    puts: load.puts(),
                    lists: 0.0,
                },
                invocations: load.invocations() * rates.attempts.per_task,
                gb_seconds: billed * gigabytes,
                seconds: load.seconds(&rates, &self.functions)
                    + if new > 0 { rates.functions.cold } else { 0.0 },
            });
        }
        if let Some(first) = out.first_mut() {
            // The manifest and the inputs are looked for; the run's own file and the end of its journal are written.
            let Traffic { gets, puts, lists, .. } = &mut first.traffic;
            (*gets, *puts, *lists) = (*gets + 2.0, *puts + 3.0, *lists + 2.0);
        }
        out
    }
}

struct Stages<'a> {
    planned: &'a ForecastInput<'a>,
    memory: MemoryModel,
}

impl Stages<'_> {
    fn all(&self, scenario: &Scenario, shuffle: &mut Option<ShuffleFacts>) -> Vec<StageLoad> {
        let mut out = match &self.planned.known.files {
            Some(files) => self.prepared(files, shuffle),
            None => Vec::new(),
        };
        let manifest = self.planned.known.manifest();
        let reads = StoreReads::new(manifest, &self.planned.shards, Policy::remote(), 0);
        let mut passes = self.planned.counting.passes(manifest.shards.len());
        passes.extend(self.planned.passes(scenario, self.planned.options.max_cohorts));
        out.extend(passes.iter().map(|pass| self.pass(pass, reads.shard(pass.needs))));
        out
    }

    fn pass(&self, pass: &PlannedPass, read: ReadAmounts) -> StageLoad {
        let options = self.planned.options;
        let manifest = self.planned.known.manifest();
        let compute = pass.work / pass.shards.max(1) as f64;
        let one = shard_load(manifest.shards.len(), read, compute, pass.size.partial);
        let cut = TaskSizing {
            concurrency: options.concurrency,
            prefer: options.prefer,
            wanted: options.n_partitions,
        };
        let tasks = choose_task_count(pass.shards, &one, cut);
        let each = pass.shards.div_ceil(tasks);
        StageLoad {
            memory: self.memory.function_bytes(pass, each as u64),
            largest: largest_shard(manifest),
            ..stage_load(&pass.stage, pass.shards, tasks, one)
        }
    }

    fn prepared(&self, files: &InputFiles, shuffle: &mut Option<ShuffleFacts>) -> Vec<StageLoad> {
        let options = self.planned.options;
        // As `coordinator::planning` has it.
        let how = PreparationBackend {
            threads: 1,
            memory: options.worker_memory,
            remote: true,
            workers: Some(shuffle_workers(options.concurrency, options.worker_memory, options.prefer)),
        };
        let preparation = forecast_preparation(self.planned.known, files, how, &options.prices);
        *shuffle = preparation.shuffle;
        preparation.steps.into_iter().map(step_load).collect()
    }
}

/// Returns the functions that shuffle rows, with their likely rates; `memory` is the bytes of each.
pub fn shuffle_workers(concurrency: usize, memory: u64, prefer: Prefer) -> ShuffleWorkers {
    let rates = CloudRates::of(1);
    let megabytes = memory as f64 / LAMBDA_MB as f64;
    let core = rates.functions.nanosecond / vcpus(megabytes).max(1e-3);
    ShuffleWorkers {
        at_once: concurrency.max(1),
        bandwidth: rates.storage.bandwidth,
        reads: rates.storage.gets,
        latency: rates.storage.latency,
        row: SHUFFLE.map(|nanoseconds| nanoseconds * core),
        barrier: rates.functions.invoke + CONTROLLER_WRITES * rates.storage.write,
        second_price: megabytes / 1024.0 * GB_SECOND,
        cheap: prefer == Prefer::Cost,
    }
}

fn step_load(step: PreparationStage) -> StageLoad {
    let tasks = step.tasks.max(1) as f64;
    let PreparationStage { input, traffic, .. } = &step;
    let bytes = (input.bytes + traffic.bytes_read) / tasks;
    StageLoad {
        stage: step.stage.to_owned(),
        tasks: step.tasks,
        shards: None,
        each: TaskLoad {
            parts: 1,
            opening: ReadLoad { bytes: PLAN, gets: 1.0, waits: 1.0 },
            part: ReadLoad { bytes, gets: (input.gets + traffic.gets) / tasks, waits: step.waits },
            decode: 0.0,
            compute: step.work / tasks,
            written: traffic.bytes_written / tasks,
            // Each task writes a report as an object of the run.
            puts: traffic.puts / tasks + 1.0,
        },
        controller: step.controller,
        controller_writes: CONTROLLER_WRITES + step.controller_writes,
        memory: FUNCTION + step.memory,
        largest: 0,
    }
}

/// Returns the stage of a pass in `tasks` tasks, each over a subtree of its shards; `one` is the load of one shard.
pub fn stage_load(stage: &str, shards: usize, tasks: usize, one: TaskLoad) -> StageLoad {
    StageLoad {
        stage: stage.to_owned(),
        tasks,
        shards: Some(shards),
        each: one.with_parts(shards.div_ceil(tasks.max(1))),
        controller: ReadLoad::default(),
        controller_writes: CONTROLLER_WRITES,
        memory: 0,
        largest: 0,
    }
}

/// Returns the load of a task over one shard: `compute` nanoseconds and `sum` bytes written.
fn shard_load(shards: usize, read: ReadAmounts, compute: f64, sum: u64) -> TaskLoad {
    TaskLoad {
        parts: 1,
        // The stage's input, the plan, the manifest.
        opening: ReadLoad { bytes: 2.0 * PLAN + ENTRY * shards as f64, gets: 3.0, waits: 3.0 },
        part: ReadLoad { bytes: read.bytes, gets: read.gets, waits: read.waits },
        decode: read.values * DECODE,
        compute,
        written: sum as f64,
        puts: 1.0,
    }
}

/// Returns the load of one shard of a pass, on a function that keeps nothing.
pub fn shard_load_of_pass<'a>(
    shards: &StoredShards,
    shares: impl IntoIterator<Item = (&'a Plan, &'a StageInput)>,
) -> TaskLoad {
    let reads = StoreReads::new(shards.manifest(), shards, Policy::remote(), 0);
    let count = shards.manifest().shards.len();
    let (mut needs, mut nanoseconds, mut sum) = (NeededColumns::default(), 0.0, 0);
    for (plan, input) in shares {
        needs = needs.or(input.needs());
        nanoseconds += work::pass_work(plan, input) / count.max(1) as f64;
        sum += size::pass_memory(plan, input).partial;
    }
    shard_load(count, reads.shard(needs), nanoseconds, sum)
}

/// Returns an upper bound on the memory of a function's task over `own` shards, bytes. Clusters are bounded by the
/// slices that a run cuts them into.
pub fn task_memory<'a>(
    shards: &StoredShards,
    shares: impl IntoIterator<Item = (&'a Plan, &'a StageInput)>,
    own: usize,
) -> u64 {
    let mut all = PassMemory::default();
    for (plan, input) in shares {
        all = all.join(size::pass_memory(plan, input));
    }
    let clusters = if all.cluster > 0 { MAX_CLUSTER_BYTES } else { 0 };
    let pass = PlannedPass {
        stage: "".into(),
        shards: own,
        sample: false,
        needs: NeededColumns::ALL,
        work: 0.0,
        size: PassMemory { cluster: 0, ..all },
    };
    MemoryModel::new(shards.manifest(), shards).function_bytes(&pass, own as u64) + clusters
}

/// Returns the most cells of an `Influence` pass with which a task on one shard fits in `memory` bytes; `None` where
/// all do, where fewer would not help, or where features are summed.
pub fn max_cells_in_memory(plan: &Plan, shards: &StoredShards, memory: u64) -> Option<usize> {
    if plan.features.is_some() {
        return None;
    }
    let fits = |cells: usize| {
        let passes = cut_column_passes(plan, Some(cells));
        let widest = passes.into_iter().map(|(columns, _)| columns).max_by_key(Vec::len).unwrap_or_default();
        let input = StageInput::Influence {
            corrections: Vec::new(),
            betas: Vec::new(),
            columns: widest,
            draws: if plan.inference.cluster_variables > 0 { 0 } else { plan.inference.draws },
            clusters: None,
        };
        task_memory(shards, [(plan, &input)], 1) <= memory
    };
    let all = plan.targets.cells.len().max(1);
    let cuts = std::iter::successors(Some(all), |&cells| (cells > 1).then_some(cells.div_ceil(2)));
    cuts.into_iter().find(|&cells| fits(cells)).filter(|&cells| cells < all)
}
