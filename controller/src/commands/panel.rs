//! `stagger panel`: the panel that steps make of records, before anything is estimated.

use std::path::Path;

use serde::Serialize;
use stagger_model::failure::Failure;
use stagger_panel::describe::{Description, FirstRows, describe as look, first_rows, write};
use stagger_records::PANEL_MARK;
use stagger_report::description::{description_report, first_rows_table};
use stagger_report::overwrite::{OverwriteRules, Replaceable};
use stagger_report::stdout::{print, print_json, print_line_to_stderr};

use super::describe::columns;
use crate::cli::PanelArgs;
use crate::cli::inputs::expand_lists;

/// The number of rows that are shown.
const SHOWN: usize = 6;

/// The output of `--json`.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    description: &'a Description,
    first_rows: &'a FirstRows,
}

/// Makes the panel, describes it and writes it.
pub(crate) fn panel(args: &PanelArgs) -> Result<(), Failure> {
    let columns = columns(&args.describe)?;
    let inputs = expand_lists(args.describe.inputs.clone())?;
    let overwrite = OverwriteRules::new("--out", args.force, &inputs);
    let out = args.out.as_deref().map(|out| overwrite.check(Path::new(out), Replaceable::Marked(PANEL_MARK)));
    let out = out.transpose()?;
    let description = look(&inputs, &columns)?;
    let first = first_rows(&inputs, &columns, SHOWN)?;
    if let Some(out) = &out {
        let bytes = write(&inputs, &columns, out)?;
        print_line_to_stderr(&format!("wrote {} rows, {bytes} bytes to {}", description.rows, out.display()));
    }
    if args.describe.json.unwrap_or(false) {
        return print_json(&Shown { description: &description, first_rows: &first });
    }
    print(&format!("{}{}", description_report(&description), first_rows_table(&first)))
}
