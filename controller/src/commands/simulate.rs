//! `stagger simulate`.

use crate::failure::Failure;
use crate::report::overwrite::{Kind, MARK, Overwrite};
use crate::simulate::{self, SimulateArgs, SimulateError, truth_path};

/// What a file of true effects holds, and no other.
const TRUTH: &str = "\"arguments\":{\"units\":";

/// Writes a synthetic panel.
pub(crate) fn simulate(args: &SimulateArgs) -> Result<(), Failure> {
    let overwrite = Overwrite { option: "--out", force: args.force, inputs: Vec::new() };
    if args.files == 1 && !args.out.is_dir() {
        overwrite.check(&args.out, Kind::Marked(MARK))?;
    }
    overwrite.check(&truth_path(&args.out), Kind::Marked(TRUTH))?;
    simulate::run(args).map_err(failure)
}

fn failure(error: SimulateError) -> Failure {
    let message = error.to_string();
    let failure = if error.is_input() { Failure::input(message) } else { Failure::failed(message) };
    failure.maybe_hint(error.hint())
}
