//! `stagger plan`.

use stagger_forecast::forecast;
use stagger_model::failure::Failure;
use stagger_model::spec::RunSpec;
use stagger_report::forecast::forecast_report;
use stagger_report::stdout::{print, print_json};

use crate::cli::plan_args::{PlanArgs, PlanRequest};
use crate::interrupt;

/// Forecasts and prints.
pub(crate) fn plan(args: PlanArgs) -> Result<(), Failure> {
    let request = PlanRequest::new(args)?;
    interrupt::install();
    let specs: Vec<(Option<&str>, &RunSpec)> =
        request.specs.iter().map(|one| (one.name.as_deref(), &one.spec)).collect();
    let found = forecast(&request.inputs, &specs, &request.options)?;
    if request.json { print_json(&found) } else { print(&forecast_report(&found)) }
}
