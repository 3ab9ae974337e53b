//! The forecast of a run on the threads of one process.

use stagger_model::parallel::available_cores;
use stagger_panel::stored::shard_cache_bytes;
use stagger_storage::Policy;

use super::known::InputFiles;
use super::memory::{MemoryModel, direct_read_bytes, largest_shard, preparation_bytes as prepared_memory};
use super::passes::{PlannedPass, Scenario};
use super::preparation::{PreparationBackend, forecast_preparation};
use super::rates::{COLUMN, CPU_SPREAD, DECODE, KEY_ROW, ORDER_ROW, PLACE};
use super::reads::{ReadAmounts, StoreReads};
use super::rows::{ScenarioStages, StageAmounts, Traffic, largest_over_limit};
use super::{Backend, BackendForecast, ForecastInput, ShuffleFacts, passes, size, work};

/// Forecasts the run on the threads of this machine.
pub(super) fn forecast_threads(planned: &ForecastInput<'_>) -> BackendForecast {
    let options = planned.options;
    let threads = options.threads.unwrap_or_else(available_cores).max(1);
    let process = Process {
        planned,
        threads,
        limit: planned.memory_limit(),
        memory: MemoryModel::new(planned.known.manifest(), &planned.shards),
        remote: planned.known.store.storage().is_remote() || options.remote_stores,
        max_cells: options.max_cohorts,
    };
    let process = Process { max_cells: process.fitting_cells(), ..process };
    let mut shuffle = None;
    let scenarios = ScenarioStages(planned.scenarios().map(|scenario| process.rows(&scenario, &mut shuffle)));
    let (stages, total) = scenarios.stages(&options.prices, process.remote);
    let peak_memory = stages.iter().map(|stage| stage.memory).max().unwrap_or(0);
    let refused = options.memory_limit.and_then(|limit| {
        let stage = largest_over_limit(&stages, limit)?;
        Some(format!(
            "stage {} may take {} of memory (task of {}, threads: {}), but the limit is {}",
            stage.stage,
            format_megabytes(stage.memory),
            task_name(&stage.stage, stage.largest),
            threads,
            format_megabytes(limit)
        ))
    });
    let stored = process.remote && !process.is_direct();
    let month = planned.known.manifest().total_bytes() as f64 / 1e9 * options.prices.storage_gb_month;
    BackendForecast {
        backend: Backend::Threads,
        workers: threads,
        worker_memory: process.limit,
        stages,
        peak_memory,
        total,
        storage_month: if stored { month } else { 0.0 },
        shuffle,
        max_cells: process.max_cells,
        refused,
        containers: None,
    }
}

/// Returns bytes as a person reads them.
pub(super) fn format_megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}

/// Returns the name of the largest task of a stage.
pub(super) fn task_name(stage: &str, largest: usize) -> String {
    match stage {
        "scatter" => format!("mapper {largest}"),
        "gather" => format!("partition {largest}"),
        "scan" | "rows" | "combine" => format!("part {largest}"),
        "aggregate" => "all cells".to_owned(),
        _ => format!("shard {largest}"),
    }
}

/// The most sets of cells that a pass is cut into: every pair of them is a pass.
const MOST_SETS: usize = 64;

/// The process that runs everything.
struct Process<'a> {
    planned: &'a ForecastInput<'a>,
    threads: usize,
    limit: u64,
    memory: MemoryModel,
    remote: bool,
    /// The most cells of an `Influence` pass; all if absent.
    max_cells: Option<usize>,
}

impl Process<'_> {
    /// Returns the most cells of an `Influence` pass: the user's number, or as many as keep the pass within the
    /// limit; `None` for all.
    fn fitting_cells(&self) -> Option<usize> {
        let plans = &self.planned.plans;
        let cells = plans.iter().map(|plan| plan.targets.cells.len()).max().unwrap_or(0);
        let held = self.held();
        let [.., worst] = self.planned.scenarios();
        let shards = self.planned.known.manifest().shards.len();
        let result = plans.iter().map(size::aggregation_memory).max().unwrap_or(0);
        let fits = |max_cells: Option<usize>| {
            let widest = plans
                .iter()
                .filter_map(|plan| passes::widest_influence_pass(plan, shards, max_cells, &worst));
            let bytes = widest.map(|pass| self.memory.process_bytes(&pass, self.threads as u64, held));
            bytes.max().unwrap_or(0) <= self.limit
        };
        // If the result itself does not fit, cutting the passes is of no use.
        if self.max_cells.is_some() || self.memory.result_bytes(result, held) > self.limit || fits(None) {
            return self.max_cells;
        }
        let most = MOST_SETS.min(cells.max(1));
        let mut cuts = std::iter::successors(Some(2), |sets| Some(2 * sets)).take_while(|&s| s < most);
        let found = cuts.find(|&sets| fits(Some(cells.div_ceil(sets)))).unwrap_or(most);
        Some(cells.div_ceil(found))
    }

    /// Returns the bytes of the shards that stay in memory.
    fn held(&self) -> u64 {
        let (panel, room) = (self.memory.panel(), shard_cache_bytes(self.limit));
        let shards = self.planned.known.manifest().shards.len() as u64;
        match self.is_direct() || panel <= room {
            true => panel,
            false => panel * (shards * room / panel.max(1)) / shards.max(1),
        }
    }

    /// Returns whether the files are read without preparing them (`estimation::local::data`).
    fn is_direct(&self) -> bool {
        let needs = self.planned.known.files.as_ref().and_then(|files| files.direct);
        needs.is_some_and(|bytes| bytes <= self.limit)
    }

    fn rows(&self, scenario: &Scenario, shuffle: &mut Option<ShuffleFacts>) -> Vec<StageAmounts> {
        match &self.planned.known.files {
            Some(files) if self.is_direct() => self.direct(files, scenario),
            Some(files) => {
                let mut rows = self.prepared(files, scenario, shuffle);
                rows.extend(self.stored(scenario));
                rows
            }
            None => self.stored(scenario),
        }
    }

    /// Returns the wall-clock seconds of `work` nanoseconds of one core, cut into `tasks` tasks.
    fn seconds(&self, work: f64, tasks: usize, scenario: &Scenario) -> f64 {
        let threads = self.threads.min(tasks.max(1)) as f64;
        work * 1e-9 * CPU_SPREAD[scenario.spread] / threads
    }

    /// Returns the stages on files that fit in memory: two reads, then passes over the panel in memory.
    fn direct(&self, files: &InputFiles, scenario: &Scenario) -> Vec<StageAmounts> {
        let manifest = self.planned.known.manifest();
        let (rows, units) = (files.rows() as f64, manifest.units as f64);
        let fields = manifest.fields.len() as f64;
        let values: f64 =
            manifest.fields.iter().map(|f| super::reads::column_count(manifest, f) as f64).sum();
        let chunks = files.chunks.len();
        let memory = direct_read_bytes(manifest, files, self.threads as u64);
        let shards = manifest.shards.len();
        let row = |stage: &str, tasks: usize, bytes: u64, work: f64| StageAmounts {
            stage: stage.to_owned(),
            tasks,
            passes: 1.0,
            memory,
            traffic: Traffic { bytes_read: bytes as f64, ..Traffic::default() },
            seconds: self.seconds(work, tasks, scenario),
            ..StageAmounts::default()
        };
        let mut out = match manifest.cross_sections {
            true => vec![row("rows", chunks, files.key_bytes, rows * (KEY_ROW + ORDER_ROW))],
            false => vec![
                row("units", chunks, files.key_bytes, rows * KEY_ROW),
                row("order", 1, 0, rows * ORDER_ROW),
            ],
        };
        out.push(row("values", chunks, files.bytes, rows * (PLACE[0] + PLACE[1] * fields)));
        out.push(row("columns", 1, 0, units * values * COLUMN));
        let tasks = self.tasks(shards);
        for pass in self.planned.passes(scenario, self.max_cells) {
            let memory = self.memory.process_bytes(&pass, self.threads as u64, self.memory.panel());
            out.push(StageAmounts { memory, ..self.pass(&pass, tasks, scenario) });
        }
        out.push(self.aggregate(self.memory.panel(), scenario));
        out
    }

    /// Returns the stage of standard errors, pre-test and aggregations from the sums of all passes, one specification
    /// after the other.
    fn aggregate(&self, held: u64, scenario: &Scenario) -> StageAmounts {
        let plans = &self.planned.plans;
        let largest = plans.iter().map(size::aggregation_memory).max().unwrap_or(0);
        StageAmounts {
            stage: "aggregate".to_owned(),
            tasks: 1,
            passes: 1.0,
            memory: self.memory.result_bytes(largest, held),
            seconds: self.seconds(plans.iter().map(work::aggregation_work).sum(), 1, scenario),
            ..StageAmounts::default()
        }
    }

    fn tasks(&self, shards: usize) -> usize {
        self.planned.options.n_partitions.unwrap_or(shards).clamp(1, shards.max(1))
    }

    fn pass(&self, pass: &PlannedPass, tasks: usize, scenario: &Scenario) -> StageAmounts {
        let tasks = tasks.min(pass.shards);
        StageAmounts {
            stage: pass.stage.clone().into_owned(),
            tasks,
            passes: 1.0,
            largest: largest_shard(self.planned.known.manifest()),
            seconds: self.seconds(pass.work, tasks, scenario),
            ..StageAmounts::default()
        }
    }

    fn prepared(
        &self,
        files: &InputFiles,
        scenario: &Scenario,
        shuffle: &mut Option<ShuffleFacts>,
    ) -> Vec<StageAmounts> {
        let options = self.planned.options;
        let how = PreparationBackend {
            threads: self.threads,
            memory: self.limit,
            remote: self.remote,
            workers: None,
        };
        let preparation = forecast_preparation(self.planned.known, files, how, &options.prices);
        *shuffle = preparation.shuffle;
        let row = |step: super::preparation::PreparationStage| StageAmounts {
            stage: step.stage.to_owned(),
            tasks: step.tasks,
            passes: 1.0,
            memory: prepared_memory(step.memory, self.threads.min(step.tasks) as u64),
            traffic: Traffic { bytes_read: step.input.bytes + step.traffic.bytes_read, ..step.traffic },
            seconds: self.seconds(step.work, step.tasks, scenario),
            ..StageAmounts::default()
        };
        preparation.steps.into_iter().map(row).collect()
    }

    /// Returns the stages of passes over a store, all of it in memory or its first shards.
    fn stored(&self, scenario: &Scenario) -> Vec<StageAmounts> {
        let manifest = self.planned.known.manifest();
        let policy = if self.remote { Policy::remote() } else { Policy::local() };
        let room = shard_cache_bytes(self.limit);
        let (panel, shards) = (self.memory.panel(), manifest.shards.len());
        let in_memory = panel <= room;
        let kept = if in_memory { 0 } else { (shards as u64 * room / panel.max(1)) as usize };
        let held = if in_memory { panel } else { panel * kept as u64 / shards.max(1) as u64 };
        let mut reads = StoreReads::new(manifest, &self.planned.shards, policy, kept);
        let mut out = Vec::new();
        let threads = self.threads as u64;
        let mut counting = self.planned.counting.passes(shards);
        if in_memory {
            let all = PlannedPass { stage: "shards".into(), ..self.blank(shards) };
            out.push(self.reading(&all, reads.all_shards(), held, scenario));
            counting.clear();
        }
        for pass in &counting {
            let read = reads.pass(pass, pass.stage == "clusters");
            out.push(self.reading(pass, read, held, scenario));
        }
        for pass in self.planned.passes(scenario, self.max_cells) {
            let read = if in_memory { ReadAmounts::default() } else { reads.pass(&pass, true) };
            let mut row = self.reading(&pass, read, held, scenario);
            row.memory = self.memory.process_bytes(&pass, threads, held);
            out.push(row);
        }
        out.push(self.aggregate(held, scenario));
        if let Some(first) = out.first_mut() {
            // The manifest, read once to find the store and once to open it.
            first.traffic.gets += 2.0;
        }
        out
    }

    fn blank(&self, shards: usize) -> PlannedPass {
        PlannedPass {
            stage: "".into(),
            shards,
            sample: false,
            needs: stagger_panel::strata::NeededColumns::ALL,
            work: 0.0,
            size: super::size::PassMemory::default(),
        }
    }

    fn reading(&self, pass: &PlannedPass, read: ReadAmounts, held: u64, scenario: &Scenario) -> StageAmounts {
        let tasks = self.tasks(pass.shards);
        StageAmounts {
            memory: self.memory.process_bytes(pass, self.threads as u64, held),
            traffic: Traffic { bytes_read: read.bytes, gets: read.gets, ..Traffic::default() },
            seconds: self.seconds(pass.work + read.values * DECODE, tasks, scenario),
            ..self.pass(pass, tasks, scenario)
        }
    }
}
