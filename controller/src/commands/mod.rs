//! The subcommands.

mod agg;
pub(crate) mod demo;
mod describe;
mod doctor;
mod janitor;
mod output;
mod panel;
mod plan;
mod plot;
mod prepare;
mod report;
mod robustness;
mod run;
mod runs;
mod simulate;
mod table;
mod watch;
mod workers;

use stagger_model::failure::Failure;

use crate::cli::{Action, Cli};

/// Carries out a command.
///
/// # Errors
/// Those of the command.
pub(crate) fn act(cli: Cli) -> Result<(), Failure> {
    match cli.action {
        Action::Run(args) => run::run(*args),
        Action::Prepare(args) => prepare::prepare(&args),
        Action::Plan(args) => plan::plan(*args),
        Action::Resume(args) => workers::resume(*args),
        Action::Watch(args) => watch::watch(&args),
        Action::Janitor(args) => janitor::janitor(&args),
        Action::Cancel(args) => runs::cancel(&args),
        Action::List(args) => runs::list(&args),
        Action::Agg(args) => agg::agg(&args),
        Action::Sensitivity(args) => robustness::sensitivity_command(&args),
        Action::Pretrends(args) => robustness::pretrends_command(&args),
        Action::Table(args) => table::table(&args),
        Action::Plot(args) => plot::plot(&args),
        Action::Report(args) => report::report(&args),
        Action::Describe(args) => describe::describe(&args),
        Action::Panel(args) => panel::panel(&args),
        Action::Doctor(args) => doctor::doctor(args),
        Action::Demo(args) => demo::demo(&args),
        Action::Simulate(args) => simulate::simulate(&args),
    }
}
