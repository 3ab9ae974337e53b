//! `stagger plan`.

use stagger_engine::forecast::forecast;
use stagger_engine::spec::RunSpec;

use crate::cli::plan_args::{PlanArgs, PlanRequest};
use crate::failure::Failure;
use crate::interrupt;
use crate::report::forecast::forecast_report;
use crate::report::stdout::{print, print_json};

/// Forecasts and prints.
pub(crate) fn plan(args: PlanArgs) -> Result<(), Failure> {
    let request = PlanRequest::new(args)?;
    interrupt::install();
    let specs: Vec<(Option<&str>, &RunSpec)> =
        request.specs.iter().map(|one| (one.name.as_deref(), &one.spec)).collect();
    let found = forecast(&request.inputs, &specs, &request.options)?;
    if request.json { print_json(&found) } else { print(&forecast_report(&found)) }
}
