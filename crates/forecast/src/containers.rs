//! The tasks that containers beside the functions would take over, and their price: by the run's own rule
//! ([`HeavyRule`]), their start included.

use serde::Serialize;

use super::ThreePoint;
use super::cloud_rates::CloudRates;
use super::tasks::{FunctionFleet, StageLoad};
use crate::heavy::{HeavyRule, PoolAssumptions, StageTasks};

/// Containers that a run may use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ContainerOptions {
    /// The rule for the tasks that they get.
    pub heavy: HeavyRule,
    /// Their number, speed and start.
    pub facts: PoolAssumptions,
    /// Dollars per hour of one container.
    pub hourly: f64,
}

/// The containers' part of a forecast.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ContainersForecast {
    /// The number of containers.
    pub workers: usize,
    /// Dollars per hour of one container.
    pub hourly: f64,
    /// Seconds until the first takes a task; tasks wait, or are Lambda's, until then.
    pub start: f64,
    /// Stages of which some tasks are theirs.
    pub stages: Vec<ContainerStage>,
    /// Dollars from their start to the end of their last stage.
    pub dollars: ThreePoint<f64>,
}

/// A stage of which some tasks are for containers; all its passes together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ContainerStage {
    /// The name of the stage.
    pub stage: String,
    /// Tasks for containers in the likely case.
    pub tasks: usize,
    /// All tasks of the stage in the likely case.
    pub of: usize,
    /// Wall-clock seconds of the containers' tasks, waiting for the containers included.
    pub seconds: ThreePoint<f64>,
    /// Wall-clock seconds that Lambda would take for the whole stage.
    pub lambda_seconds: ThreePoint<f64>,
}

/// One course of a run: by stage in order its tasks for containers, all its tasks, and its seconds with containers
/// and on Lambda; then the second at which the containers are done.
#[derive(Default)]
struct RunCourse {
    stages: Vec<(String, usize, usize, f64, f64)>,
    last: f64,
}

/// Forecasts the containers' part from the stages of the three scenarios.
pub(super) fn forecast_containers(
    options: &ContainerOptions,
    functions: &FunctionFleet,
    loads: [&[StageLoad]; 3],
    units: u64,
) -> ContainersForecast {
    let courses = [0, 1, 2].map(|end| course(options, functions, loads[end], units, end));
    let seconds = |name: &str, which: fn(&(String, usize, usize, f64, f64)) -> f64| {
        let of = |course: &RunCourse| course.stages.iter().filter(|s| s.0 == name).map(which).sum::<f64>();
        ThreePoint { low: of(&courses[0]), likely: of(&courses[1]), high: of(&courses[2]) }
    };
    let mut names: Vec<&str> = courses.iter().flat_map(|c| &c.stages).map(|stage| stage.0.as_str()).collect();
    let mut seen = Vec::new();
    names.retain(|name| {
        !seen.contains(name) && {
            seen.push(*name);
            true
        }
    });
    let stages = names.into_iter().map(|name| {
        let likely = courses[1].stages.iter().filter(|stage| stage.0 == name);
        let (tasks, of) = likely.fold((0, 0), |sum, stage| (sum.0 + stage.1, sum.1 + stage.2));
        ContainerStage {
            stage: name.to_owned(),
            tasks,
            of,
            seconds: seconds(name, |stage| stage.3),
            lambda_seconds: seconds(name, |stage| stage.4),
        }
    });
    let dollars = |course: &RunCourse| course.last * options.hourly / 3600.0 * options.facts.workers as f64;
    ContainersForecast {
        workers: options.facts.workers,
        hourly: options.hourly,
        start: options.facts.start,
        stages: stages.collect(),
        dollars: ThreePoint {
            low: dollars(&courses[0]),
            likely: dollars(&courses[1]),
            high: dollars(&courses[2]),
        },
    }
}

fn course(
    options: &ContainerOptions,
    functions: &FunctionFleet,
    loads: &[StageLoad],
    units: u64,
    end: usize,
) -> RunCourse {
    let (rates, mut out, mut now) = (CloudRates::of(end), RunCourse::default(), 0.0);
    for load in loads {
        let lambda = load.seconds(&rates, functions);
        let Some(shards) = load.shards else {
            now += lambda;
            continue;
        };
        let one = load.each.with_parts(1);
        let cut = StageTasks {
            one: &one,
            shards,
            tasks: load.tasks,
            concurrency: functions.concurrency,
            elapsed: now,
        };
        let each = units / shards.max(1) as u64;
        let heavy = options.heavy.classify(cut, &|_| each).into_iter().filter(|heavy| *heavy).count();
        let took = if heavy > 0 {
            let own = StageTasks { tasks: heavy, shards: shards * heavy / load.tasks.max(1), ..cut };
            let took = own.pool_seconds(options.facts, &rates);
            out.stages.push((load.stage.clone(), heavy, load.tasks, took, lambda));
            took
        } else {
            lambda
        };
        now += took;
        if heavy > 0 {
            out.last = now;
        }
    }
    out
}
