//! Runs on AWS Lambda at scale, simulated: the run's own state machine ([`stagger_schedule::Run`]) is driven through virtual
//! time, against models of Lambda, S3 and the controller. What tasks ask for is the forecast's ([`stage_loads`]), from measured rates.
//! Nothing here is a measurement of AWS.
//!
//! - [`mod@scenarios`]: the panels. [`model`]: S3, environments, the controller's line. [`simulation`]: the events.
//! - [`report`]: docs/scale.md. [`controller`]: what the controller itself takes, measured.
//! - [`recording`]: the faulty run that `stagger demo` plays.

pub mod controller;
pub mod model;
pub mod recording;
pub mod report;
pub mod scenarios;
pub mod simulation;

use stagger_forecast::{ForecastOptions, Prices, StageLoad, ThreePoint, forecast_panel, stage_loads};

pub use scenarios::{Scenario, scenarios};
pub use simulation::{Outcome, StageOutcome, simulate};

/// The forecast's totals and the tasks that the simulation goes through.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Tasks by stage, in the three ends.
    pub loads: ThreePoint<Vec<StageLoad>>,
    /// Seconds that `stagger plan` prints.
    pub seconds: ThreePoint<f64>,
    /// Dollars that it prints.
    pub dollars: ThreePoint<f64>,
}

/// What `stagger plan` would say of a scenario.
///
/// # Panics
/// A scenario that can't be planned: a mistake in this package.
pub fn planned(scenario: &Scenario) -> Planned {
    let options = options(scenario);
    let spec = scenarios::spec();
    let specs = [(None, &spec)];
    let loads = stage_loads(&scenario.known, &specs, &options).expect("a workload");
    let forecast = forecast_panel(&scenario.known, &specs, &options).expect("a forecast");
    let total = forecast.backends[0].total;
    Planned { loads, seconds: total.seconds, dollars: total.dollars }
}

/// Functions of one vCPU.
///
/// # Panics
/// Without the built-in prices.
pub fn options(scenario: &Scenario) -> ForecastOptions {
    ForecastOptions {
        backends: vec![stagger_forecast::Backend::Lambda],
        concurrency: scenario.concurrency,
        ..ForecastOptions::new(Prices::built_in().expect("the built-in prices"))
    }
}
