//! The load that one task of a stage puts on its function, and the duration of stages of such tasks: one model for
//! the forecast, for the cut of a stage into tasks (`forecast::cut`) and, task by task in virtual time, for the
//! simulation of docs/scale.md.

use stagger_schedule::reduce_level;

use super::cloud_rates::{CloudRates, FunctionRates};
use super::rates;

/// Returns the whole vCPUs that a task gets of a function of `megabytes`: it runs on one thread, so it has no use for
/// more than one.
pub fn vcpus(megabytes: f64) -> f64 {
    (megabytes / rates::VCPU_MB).min(1.0)
}

/// Reading from storage.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ReadLoad {
    /// Bytes.
    pub bytes: f64,
    /// Requests.
    pub gets: f64,
    /// Requests that wait for each other; the others go side by side.
    pub waits: f64,
}

impl ReadLoad {
    fn seconds(self, rates: &CloudRates) -> f64 {
        self.bytes / rates.storage.bandwidth + self.waits * rates.storage.latency
    }
}

/// The load that a task puts on its function.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TaskLoad {
    /// The number of shards, or of sums, that it goes through: while one is computed the next is read.
    pub parts: usize,
    /// The first read: the stage's input, the panel's plan, the manifest.
    pub opening: ReadLoad,
    /// The read of a part.
    pub part: ReadLoad,
    /// Nanoseconds of the measured machine that decode a part.
    pub decode: f64,
    /// Nanoseconds of the measured machine that compute with a part.
    pub compute: f64,
    /// Bytes written.
    pub written: f64,
    /// Objects written.
    pub puts: f64,
}

impl TaskLoad {
    /// Returns the same load over `parts` parts.
    #[must_use]
    pub fn with_parts(self, parts: usize) -> Self {
        Self { parts, ..self }
    }

    /// Returns the read requests to storage.
    pub fn gets(&self) -> f64 {
        self.opening.gets + self.parts as f64 * self.part.gets
    }

    /// Returns the bytes read.
    pub fn bytes_read(&self) -> f64 {
        self.opening.bytes + self.parts as f64 * self.part.bytes
    }

    /// Returns the seconds before the first part is asked for.
    pub fn opening_seconds(&self, rates: &CloudRates) -> f64 {
        self.opening.seconds(rates)
    }

    /// Returns the seconds until a part is there, of decoding it, and of computing with it.
    pub fn part_seconds(&self, rates: &CloudRates, vcpus: f64) -> [f64; 3] {
        let core = rates.functions.nanosecond / vcpus.max(1e-3);
        [self.part.seconds(rates), self.decode * core, self.compute * core]
    }

    /// Returns the seconds of writing: one object after the other.
    pub fn writing_seconds(&self, rates: &CloudRates) -> f64 {
        self.written / rates.storage.bandwidth
            + if self.puts > 0.0 { rates.storage.write * self.waves_of_writes() } else { 0.0 }
    }

    /// Returns the number of writes that wait for each other: all, as objects are written one after the other.
    fn waves_of_writes(&self) -> f64 {
        self.puts
    }

    /// Returns the seconds of the whole task on one function. Decoding takes the core from the part before, waiting
    /// does not.
    pub fn seconds(&self, rates: &CloudRates, vcpus: f64) -> f64 {
        let [read, decode, compute] = self.part_seconds(rates, vcpus);
        let between = self.parts.saturating_sub(1) as f64 * (decode + read.max(compute));
        let first = if self.parts > 0 { read + decode + compute } else { 0.0 };
        self.opening_seconds(rates) + first + between + self.writing_seconds(rates)
    }
}

/// A stage of equal tasks.
#[derive(Clone, Debug, PartialEq)]
pub struct StageLoad {
    /// The name of the stage.
    pub stage: String,
    /// The number of tasks.
    pub tasks: usize,
    /// The shards that a pass goes through; `None` for a step of a preparation, whose results are not added.
    pub shards: Option<usize>,
    /// The load of a task.
    pub each: TaskLoad,
    /// The reads of the controller besides sums.
    pub controller: ReadLoad,
    /// Objects that the controller writes or removes before and after, one after the other.
    pub controller_writes: f64,
    /// An upper bound on a function's memory, bytes.
    pub memory: u64,
    /// The shard, mapper or partition of the largest task.
    pub largest: usize,
}

/// The functions that stages run on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FunctionFleet {
    /// Functions that run at a time.
    pub concurrency: usize,
    /// The memory of each, in Lambda's megabytes.
    pub megabytes: f64,
}

impl StageLoad {
    /// Returns the bytes of a task's sums; zero in a preparation.
    pub fn sum_bytes(&self) -> f64 {
        if self.shards.is_some() { self.each.written } else { 0.0 }
    }

    /// Returns the number of reduce tasks that the schedule adds, and the number of sums that each adds; `None` if it
    /// adds none.
    pub fn reduction(&self) -> Option<(usize, usize)> {
        self.shards?;
        let level = reduce_level(self.tasks, self.sum_bytes() as u64, 0)?;
        Some((self.tasks.div_ceil(1 << level), 1 << level))
    }

    /// Returns the load of a reduce task, whose sums are read one after the other.
    pub fn reduce_load(&self, children: usize) -> TaskLoad {
        let sum = self.sum_bytes();
        TaskLoad {
            parts: children,
            opening: ReadLoad { bytes: 0.0, gets: 1.0, waits: 1.0 },
            part: ReadLoad { bytes: sum, gets: 1.0, waits: 1.0 },
            decode: sum * rates::COPY,
            compute: sum * rates::COPY,
            written: sum,
            puts: 1.0,
        }
    }

    /// Returns the number of sums that the controller reads.
    pub fn controller_objects(&self) -> f64 {
        match (self.shards, self.reduction()) {
            (None, _) => 0.0,
            (_, Some((tasks, _))) => tasks as f64,
            _ => self.tasks as f64,
        }
    }

    /// Returns wall-clock seconds: of starting tasks, of doing them in rounds, never faster than storage answers; of
    /// reduce tasks; of the controller.
    pub fn seconds(&self, rates: &CloudRates, functions: &FunctionFleet) -> f64 {
        let vcpus = vcpus(functions.megabytes);
        let round = |tasks: usize, load: &TaskLoad| {
            let at_once = tasks.min(functions.concurrency).max(1);
            let own = rates.functions.invoke + load.seconds(rates, vcpus);
            let FunctionRates { at_once: first, ramp, .. } = rates.functions;
            let begin = (at_once as f64 / rates.controller.invocations).max((at_once as f64 - first) / ramp);
            let rounds = tasks.div_ceil(at_once) as f64;
            let span = (tasks as f64 / rates.controller.invocations).max(begin + (rounds - 1.0) * own) + own;
            let requests = (load.gets() / rates.storage.gets).max(load.puts / rates.storage.puts);
            // Stragglers of the last round delay the stage.
            let one = 1.0 - libm::pow(1.0 - rates.attempts.stragglers, at_once as f64);
            span.max(tasks as f64 * requests + rates.functions.invoke) + one * rates::STRAGGLER_DELAY * own
        };
        let reduce =
            self.reduction().map_or(0.0, |(tasks, children)| round(tasks, &self.reduce_load(children)));
        round(self.tasks, &self.each) + reduce + self.controller_seconds(rates)
    }

    /// Returns the seconds of the controller between stages, its reads of sums included.
    pub fn controller_seconds(&self, rates: &CloudRates) -> f64 {
        let objects = self.controller_objects();
        let sums = match objects > 0.0 {
            true => {
                let waiting = objects / rates::CONTROLLER_READS * rates.storage.latency;
                rates.storage.latency + waiting.max(objects * self.sum_bytes() / rates.controller.bandwidth)
            }
            false => 0.0,
        };
        sums + self.controller.bytes / rates.controller.bandwidth
            + self.controller.waits * rates.storage.latency
            + self.controller_writes * rates.storage.write
            + rates.controller.solve
    }

    /// Returns the seconds that functions are billed for, repeated attempts aside.
    pub fn billed_seconds(&self, rates: &CloudRates, functions: &FunctionFleet) -> f64 {
        let vcpus = vcpus(functions.megabytes);
        let reduce = self
            .reduction()
            .map_or(0.0, |(tasks, children)| tasks as f64 * self.reduce_load(children).seconds(rates, vcpus));
        // Functions wait for storage where it can't follow.
        let at_once = self.tasks.min(functions.concurrency) as f64;
        let starved = self.tasks as f64 * self.each.gets() / rates.storage.gets
            - at_once / rates.controller.invocations;
        (self.tasks as f64 * self.each.seconds(rates, vcpus)).max(at_once * starved) + reduce
    }

    /// Returns the number of invocations.
    pub fn invocations(&self) -> f64 {
        (self.tasks + self.reduction().map_or(0, |(tasks, _)| tasks)) as f64
    }

    /// Returns the reads by functions and by the controller.
    pub fn gets(&self) -> f64 {
        let reduce = self
            .reduction()
            .map_or(0.0, |(tasks, children)| tasks as f64 * self.reduce_load(children).gets());
        self.tasks as f64 * self.each.gets() + reduce + self.controller_objects() + self.controller.gets
    }

    /// Returns the writes by functions, and those of the controller between two stages.
    pub fn puts(&self) -> f64 {
        let reduce = self.reduction().map_or(0, |(tasks, _)| tasks) as f64;
        self.tasks as f64 * self.each.puts + reduce + rates::CONTROLLER_WRITES
    }

    /// Returns the bytes read by functions.
    pub fn bytes_read(&self) -> f64 {
        let reduce = self
            .reduction()
            .map_or(0.0, |(tasks, children)| tasks as f64 * self.reduce_load(children).bytes_read());
        self.tasks as f64 * self.each.bytes_read() + reduce
    }

    /// Returns the bytes written by functions.
    pub fn bytes_written(&self) -> f64 {
        let reduce = self.reduction().map_or(0, |(tasks, _)| tasks) as f64;
        self.tasks as f64 * self.each.written + reduce * self.sum_bytes()
    }
}
