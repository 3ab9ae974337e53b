//! `stagger describe`: what an input looks like before anything is fitted.

use stagger_model::failure::Failure;
use stagger_panel::describe::{DescribeColumns, describe as look};
use stagger_report::description::description_report;
use stagger_report::stdout::{print, print_json};

use crate::cli::DescribeArgs;

/// Describes the panel.
pub(crate) fn describe(args: &DescribeArgs) -> Result<(), Failure> {
    let columns = DescribeColumns {
        tname: args.tname.clone(),
        idname: args.idname.clone(),
        gname: args.gname.clone(),
        yname: args.yname.clone(),
        weightsname: args.weightsname.clone(),
        csv: args.csv.options()?,
    };
    let description = look(&args.inputs, &columns)?;
    if args.json.unwrap_or(false) {
        print_json(&description)
    } else {
        print(&description_report(&description))
    }
}
