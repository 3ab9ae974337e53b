//! `stagger describe`: what an input looks like before anything is fitted.

use stagger_model::failure::Failure;
use stagger_panel::describe::{DescribeColumns, describe as look};
use stagger_report::description::description_report;
use stagger_report::stdout::{print, print_json};

use crate::cli::DescribeArgs;
use crate::cli::inputs::expand_lists;
use crate::cli::step_args::{COHORT, StepColumns};

/// Describes the panel.
pub(crate) fn describe(args: &DescribeArgs) -> Result<(), Failure> {
    let columns = columns(args)?;
    let inputs = expand_lists(args.inputs.clone())?;
    let description = look(&inputs, &columns)?;
    if args.json.unwrap_or(false) {
        print_json(&description)
    } else {
        print(&description_report(&description))
    }
}

/// Returns the columns that arguments name.
pub(super) fn columns(args: &DescribeArgs) -> Result<DescribeColumns, Failure> {
    let gname = args.gname.clone().or_else(|| args.records.steps.makes_cohort().then(|| COHORT.to_owned()));
    let steps = StepColumns { idname: args.idname.clone(), tname: args.tname.clone(), gname: gname.clone() };
    Ok(DescribeColumns {
        tname: args.tname.clone(),
        idname: args.idname.clone(),
        gname,
        yname: args.yname.clone(),
        weightsname: args.weightsname.clone(),
        csv: args.csv.options()?,
        records: args.records.options(&steps)?,
    })
}
