//! `stagger simulate`.

use crate::failure::Failure;
use crate::simulate::{self, SimulateArgs, SimulateError};

/// Writes a synthetic panel.
pub(crate) fn simulate(args: &SimulateArgs) -> Result<(), Failure> {
    simulate::run(args).map_err(failure)
}

fn failure(error: SimulateError) -> Failure {
    let message = error.to_string();
    let failure = if error.is_input() { Failure::input(message) } else { Failure::failed(message) };
    failure.maybe_hint(error.hint())
}
