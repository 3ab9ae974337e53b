//! The forecast of a run on AWS Lambda: the same tasks, one function each, from a store on S3. Nothing is kept between tasks.

use super::known::Files;
use super::memory::{Memory, largest};
use super::passes::{Pass, Scenario};
use super::preparation::{Step, preparation};
use super::rates::{
    AGAIN, AT_ONCE, COLD, COLD_BILLED, CONTROLLER, CPU_SPREAD, DECODE, FUNCTION, INVOCATIONS, LATENCY,
    MOST_VCPUS, NETWORK, TASK, VCPU_FACTOR, VCPU_MB,
};
use super::reads::Reads;
use super::rows::{Row, Scenarios, over};
use super::threads::{megabytes, place};
use super::{Backend, BackendForecast, LAMBDA_MB, Planned, ShuffleFacts, work};
use crate::load::StoredShards;
use crate::panel::Needs;
use crate::plan::Plan;
use crate::store::Policy;
use crate::task::StageInput;

/// The run on functions.
pub(super) fn forecast(planned: &Planned<'_>) -> BackendForecast {
    let options = planned.options;
    let manifest = planned.known.manifest();
    let memory = Memory::new(manifest, &planned.shards);
    let functions = Functions { planned, memory };
    let mut shuffle = None;
    let scenarios = Scenarios(planned.scenarios().map(|scenario| functions.rows(&scenario, &mut shuffle)));
    let (stages, total) = scenarios.stages(&options.prices, true);
    let peak_memory = stages.iter().map(|stage| stage.memory).max().unwrap_or(0);
    let refused = over(&stages, options.worker_memory).map(|stage| {
        format!(
            "stage {} may take {} of memory for the task of {}, but a function has {} ({} MB of Lambda)",
            stage.stage,
            megabytes(stage.memory),
            place(&stage.stage, stage.largest),
            megabytes(options.worker_memory),
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
        storage_month: manifest.bytes() as f64 / 1e9 * options.prices.storage_gb_month,
        shuffle,
        refused,
    }
}

/// What one stage asks of its functions together.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    /// Bytes in and out.
    bytes: f64,
    /// Requests that wait for each other.
    waits: f64,
    /// Nanoseconds of one core of the measured machine.
    work: f64,
}

struct Functions<'a> {
    planned: &'a Planned<'a>,
    memory: Memory,
}

impl Functions<'_> {
    fn rows(&self, scenario: &Scenario, shuffle: &mut Option<ShuffleFacts>) -> Vec<Row> {
        let mut out = match &self.planned.known.files {
            Some(files) => self.prepared(files, scenario, shuffle),
            None => Vec::new(),
        };
        let manifest = self.planned.known.manifest();
        // Nothing is kept: a function may be another one next time.
        let mut reads = Reads::new(manifest, &self.planned.shards, Policy::remote(), 0);
        let mut passes = self.planned.counting.passes(manifest.shards.len());
        passes.extend(self.planned.passes(scenario));
        for pass in &passes {
            let read = reads.pass(pass, false);
            let load = Load { bytes: read.bytes, waits: read.gets, work: pass.work + read.values * DECODE };
            out.push(self.pass(pass, load, scenario));
        }
        if let Some(first) = out.first_mut() {
            first.seconds += COLD[scenario.spread];
            first.gb_seconds += first.invocations * COLD_BILLED * self.gigabytes();
            first.gets += 1.0;
        }
        out
    }

    fn gigabytes(&self) -> f64 {
        self.planned.options.worker_memory as f64 / (1024.0 * LAMBDA_MB as f64)
    }

    /// Seconds of a task's share of a load on one function. The likely rates also decide how many tasks there are.
    fn seconds(&self, load: Load, spread: usize) -> f64 {
        let megabytes = self.planned.options.worker_memory as f64 / LAMBDA_MB as f64;
        // A task runs on one thread: more than one vCPU is of no use to it.
        let vcpus = (megabytes / VCPU_MB).min(MOST_VCPUS).min(1.0);
        load.bytes / NETWORK[spread]
            + load.waits * LATENCY[spread]
            + load.work * 1e-9 * CPU_SPREAD[spread] * VCPU_FACTOR / vcpus
    }

    fn pass(&self, pass: &Pass, load: Load, scenario: &Scenario) -> Row {
        let options = self.planned.options;
        let most = pass.shards.min(options.concurrency).max(1);
        let wanted = libm::ceil(self.seconds(load, 1) / TASK) as usize;
        let tasks = options.n_partitions.unwrap_or(wanted).clamp(1, most);
        let partials = tasks as f64 * pass.size.partial as f64;
        let mut row = self.stage(&pass.stage, tasks, load, scenario);
        row.memory = self.memory.function(pass, pass.shards.div_ceil(tasks) as u64);
        row.largest = largest(self.planned.known.manifest());
        row.bytes_read = load.bytes;
        row.bytes_written = partials;
        // Each task writes its partial, which the controller reads.
        row.gets = load.waits + tasks as f64;
        row.puts = tasks as f64;
        row.seconds += partials / CONTROLLER[scenario.spread] + 2.0 * LATENCY[scenario.spread];
        row
    }

    /// Seconds, invocations and billed gigabyte-seconds of a stage.
    fn stage(&self, stage: &str, tasks: usize, load: Load, scenario: &Scenario) -> Row {
        let spread = scenario.spread;
        let count = tasks as f64;
        let at_once = tasks.min(self.planned.options.concurrency).max(1) as f64;
        let share = Load { bytes: load.bytes / count, waits: load.waits / count, work: load.work / count };
        let each = self.seconds(share, spread);
        let again = AGAIN[spread];
        let ramp = at_once / INVOCATIONS[spread] + 10.0 * libm::floor((at_once - 1.0) / AT_ONCE);
        Row {
            stage: stage.to_owned(),
            tasks,
            passes: 1.0,
            invocations: count * again,
            gb_seconds: count * again * each * self.gigabytes(),
            seconds: ramp + each * libm::ceil(count / at_once),
            ..Row::default()
        }
    }

    fn prepared(&self, files: &Files, scenario: &Scenario, shuffle: &mut Option<ShuffleFacts>) -> Vec<Row> {
        let options = self.planned.options;
        let room = options.worker_memory.saturating_sub(FUNCTION);
        let how = (1, room, true);
        let preparation = preparation(self.planned.known, files, how, &options.prices);
        *shuffle = preparation.shuffle;
        let row = |step: Step| {
            let waits = step.gets + step.puts + step.input_gets;
            let bytes = step.input_bytes + step.read + step.written;
            // Reads of one task run side by side, as many as a call of the store sends at a time.
            let load = Load { bytes, waits: waits / Policy::remote().width as f64, work: step.work };
            Row {
                memory: FUNCTION + step.memory,
                bytes_read: step.input_bytes + step.read,
                bytes_written: step.written,
                gets: step.gets + step.input_gets,
                puts: step.puts,
                lists: step.lists,
                ..self.stage(step.stage, step.tasks, load, scenario)
            }
        };
        preparation.steps.into_iter().map(row).collect()
    }
}

/// Seconds that one shard of a stage should take on a function of one vCPU that keeps nothing.
pub(crate) fn shard_seconds<'a>(
    shards: &StoredShards,
    shares: impl IntoIterator<Item = (&'a Plan, &'a StageInput)>,
) -> f64 {
    let reads = Reads::new(shards.manifest(), shards, Policy::remote(), 0);
    let count = shards.manifest().shards.len().max(1) as f64;
    let (mut needs, mut nanoseconds) = (Needs::default(), 0.0);
    for (plan, input) in shares {
        needs = needs.or(input.needs());
        nanoseconds += work::of(plan, input) / count;
    }
    let read = reads.shard(needs);
    let spread = 1;
    read.bytes / NETWORK[spread]
        + read.gets * LATENCY[spread]
        + (nanoseconds + read.values * DECODE) * 1e-9 * CPU_SPREAD[spread] * VCPU_FACTOR
}
