//! `stagger describe`: what an input looks like before anything is fitted.

use crate::cli::DescribeArgs;
use crate::failure::Failure;

/// Looks and prints.
pub(crate) fn describe(args: &DescribeArgs) -> Result<(), Failure> {
    // Wired when the engine's `describe` is there.
    Err(Failure::failed(format!("describe {} is not built yet", args.inputs.join(" "))))
}
