//! `stagger simulate`: synthetic staggered panels with known effects.
//!
//! `model` is the process that is drawn from, `layout` the order of the rows, `write` the threads and the files,
//! `truth` the true ATT(g,t) written beside them. A row is a function of the seed, its unit and its period, so all
//! layouts and numbers of files hold the same rows to the bit, and a panel of any size is made in constant memory.
//!
//! Three options make other data of the same process: eligibility for triple differences, cross sections, and panels
//! with missing rows. Without them not a byte differs from a panel written before they existed.
//!
//! # Errors
//!
//! Arguments are checked before anything is written. Files get their final names when all of them are complete; after
//! an error nothing is left.

mod args;
mod columns;
mod error;
mod layout;
mod model;
mod output;
mod random;
#[cfg(test)]
mod tests;
mod truth;
mod write;

use std::io;

pub use args::{Compression, IdType, Layout, SimulateArgs};
pub use columns::MARK;
pub use error::SimulateError;
pub use output::truth_path;
pub use write::PanelSize;

/// Writes the panel and its truth.
///
/// # Errors
/// Arguments that contradict each other, and files that can't be written.
pub fn simulate(args: &SimulateArgs) -> Result<PanelSize, SimulateError> {
    args.check()?;
    let order = layout::RowOrder::new(args);
    let row_groups =
        order.row_groups(args.files, args.row_group_rows()).map_err(|most| SimulateError::Argument {
            option: "--row-group-rows",
            given: args.row_group_rows().to_string(),
            allowed: format!("so large that a file has at most {} row groups, not {most}", i16::MAX),
            hint: "raise --row-group-rows or --files",
        })?;
    let model = model::Model::new(args);
    let output = output::Output::create(args)?;
    let written = write::write(args, &model, &order, &row_groups, &output)?;
    let truth = truth::Truth::new(args, &model, &written.tally);
    let mut truth =
        serde_json::to_vec(&truth).map_err(io::Error::from).map_err(SimulateError::write(&args.out))?;
    truth.push(b'\n');
    output.commit(&truth)?;
    Ok(written)
}
