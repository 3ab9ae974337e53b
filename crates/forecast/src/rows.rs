//! Stages of three scenarios, combined into the stages of a forecast.

use super::prices::Prices;
use super::{Amounts, StageForecast, ThreePoint};

/// A pass, or several of one stage, in one scenario.
#[derive(Clone, Debug, Default)]
pub(crate) struct StageAmounts {
    /// The name of the stage.
    pub stage: String,
    /// Tasks of a pass.
    pub tasks: usize,
    /// The number of passes.
    pub passes: f64,
    /// An upper bound on the memory of the process, or of the function, that runs its largest task, bytes.
    pub memory: u64,
    /// The shard, mapper or partition of that task.
    pub largest: usize,
    /// Reads and writes.
    pub traffic: Traffic,
    /// Invocations of functions.
    pub invocations: f64,
    /// Billed gigabyte-seconds.
    pub gb_seconds: f64,
    /// Wall-clock seconds.
    pub seconds: f64,
}

/// Bytes and requests between workers and storage.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Traffic {
    /// Bytes read.
    pub bytes_read: f64,
    /// Bytes written.
    pub bytes_written: f64,
    /// Requests that read an object or its head.
    pub gets: f64,
    /// Requests that write an object.
    pub puts: f64,
    /// Requests that list keys.
    pub lists: f64,
}

impl Traffic {
    fn add(&mut self, other: &Self) {
        self.bytes_read += other.bytes_read;
        self.bytes_written += other.bytes_written;
        self.gets += other.gets;
        self.puts += other.puts;
        self.lists += other.lists;
    }

    /// Returns the price of the requests by a list.
    fn dollars(&self, prices: &Prices) -> f64 {
        self.gets * prices.get + self.puts * prices.put + self.lists * prices.list
    }
}

impl StageAmounts {
    /// Adds another pass of the stage: amounts add, memory is that of the larger task.
    fn add(&mut self, other: &Self) {
        if other.memory > self.memory {
            (self.memory, self.largest) = (other.memory, other.largest);
        }
        self.tasks = self.tasks.max(other.tasks);
        self.passes += other.passes;
        self.traffic.add(&other.traffic);
        self.invocations += other.invocations;
        self.gb_seconds += other.gb_seconds;
        self.seconds += other.seconds;
    }

    /// Returns the price by a list; requests cost nothing in a folder.
    fn dollars(&self, prices: &Prices, remote: bool) -> f64 {
        let requests = if remote { self.traffic.dollars(prices) } else { 0.0 };
        self.gb_seconds * prices.gb_second + self.invocations * prices.invocation + requests
    }
}

/// The rows of the low, the likely and the high scenario.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScenarioStages(pub [Vec<StageAmounts>; 3]);

impl ScenarioStages {
    /// Returns the stages in the order in which they first appear, and the amounts of all of them together.
    pub(crate) fn stages(&self, prices: &Prices, remote: bool) -> (Vec<StageForecast>, Amounts) {
        let mut names: Vec<&str> = Vec::new();
        for row in self.0.iter().flatten() {
            if !names.contains(&row.stage.as_str()) {
                names.push(&row.stage);
            }
        }
        let total = |name: Option<&str>| {
            self.0.each_ref().map(|rows| {
                let mut sum = StageAmounts::default();
                rows.iter().filter(|row| name.is_none_or(|name| row.stage == name)).for_each(|r| sum.add(r));
                sum
            })
        };
        let stage = |name: &&str| {
            let ends = total(Some(name));
            let worst = ends.iter().max_by_key(|row| row.memory);
            StageForecast {
                stage: (*name).to_owned(),
                tasks: ends[1].tasks.max(ends[2].tasks),
                passes: counts(&ends, |row| row.passes),
                memory: worst.map_or(0, |row| row.memory),
                largest: worst.map_or(0, |row| row.largest),
                amounts: amounts(&ends, prices, remote),
            }
        };
        let stages = names.iter().map(stage).collect();
        (stages, amounts(&total(None), prices, remote))
    }
}

fn amounts(ends: &[StageAmounts; 3], prices: &Prices, remote: bool) -> Amounts {
    Amounts {
        bytes_read: counts(ends, |row| row.traffic.bytes_read),
        bytes_written: counts(ends, |row| row.traffic.bytes_written),
        gets: counts(ends, |row| row.traffic.gets),
        puts: counts(ends, |row| row.traffic.puts),
        invocations: counts(ends, |row| row.invocations),
        gb_seconds: values(ends, |row| row.gb_seconds),
        seconds: values(ends, |row| row.seconds),
        dollars: values(ends, |row| row.dollars(prices, remote)),
    }
}

fn values(ends: &[StageAmounts; 3], of: impl Fn(&StageAmounts) -> f64) -> ThreePoint<f64> {
    ThreePoint { low: of(&ends[0]), likely: of(&ends[1]), high: of(&ends[2]) }
}

fn counts(ends: &[StageAmounts; 3], of: impl Fn(&StageAmounts) -> f64) -> ThreePoint<u64> {
    let whole = |row: &StageAmounts| libm::round(of(row)) as u64;
    ThreePoint { low: whole(&ends[0]), likely: whole(&ends[1]), high: whole(&ends[2]) }
}

/// Returns the stage whose bound exceeds a limit by most; `None` if no stage does.
pub(crate) fn largest_over_limit(stages: &[StageForecast], limit: u64) -> Option<&StageForecast> {
    stages.iter().filter(|stage| stage.memory > limit).max_by_key(|stage| stage.memory)
}
