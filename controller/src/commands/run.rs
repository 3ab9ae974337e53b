//! `stagger run`.

use std::io::{self, Write};

use stagger_engine::aggregate::{AggregateOptions, InferenceOverrides, aggregate_saved};
use stagger_engine::result::SavedResult;
use stagger_engine::run::{RunOutput, run as estimate};

use crate::cli::run_args::RunArgs;
use crate::cli::run_file;
use crate::cli::spec::{RunRequest, Window};
use crate::failure::Failure;
use crate::interrupt;
use crate::progress::{Progress, Show};
use crate::report::aggregation::KINDS;
use crate::report::estimates::run_report;
use crate::report::folder::Staging;
use crate::report::save::save;
use crate::report::stdout::{print, print_json};

/// Estimates, prints and saves.
pub(crate) fn run(args: RunArgs) -> Result<(), Failure> {
    let request = RunRequest::new(run_file::resolve(args)?)?;
    interrupt::install();
    let folder = request.out.as_deref().map(Staging::prepare).transpose()?;
    tell(&request, "note", &request.notes);

    let mut output = compute(&request)?;
    if !request.window.is_default() {
        aggregate_in(request.window, &mut output);
    }
    // A full disk must not cost the result: it is printed in any case, and saving is what failed.
    let saved = folder.map(|folder| save(folder, &output)).transpose();
    let printed = show(&request, &output);
    saved?;
    if let Some(out) = &request.out {
        tell(&request, "saved", &[out.display().to_string()]);
    }
    printed
}

fn compute(request: &RunRequest) -> Result<RunOutput, Failure> {
    let progress = Progress::start(Show { line: request.progress, monitor: request.monitor });
    let output = estimate(&request.inputs, &request.spec, &request.options, &|event| progress.observe(event));
    progress.finish();
    Ok(output?)
}

/// Aggregates again over the cells asked for, in the manner of the run: missing cells are left out with a warning, and a
/// window that leaves one kind nothing to aggregate does not cost the others.
fn aggregate_in(window: Window, output: &mut RunOutput) {
    let RunOutput { saved, draws, .. } = output;
    let aggregate = |saved: &SavedResult, kind: &str, na_rm: bool| {
        let options = AggregateOptions::from(Window { na_rm, ..window });
        aggregate_saved(saved, draws.as_ref(), kind, &options, &InferenceOverrides::default())
    };
    for kind in KINDS {
        let found = aggregate(saved, kind, window.na_rm)
            .or_else(|first| aggregate(saved, kind, true).map_err(|_| first));
        let failed = format!("no {kind} aggregation");
        saved.result.warnings.retain(|warning| !warning.starts_with(&failed));
        match found {
            Ok(aggte) => {
                saved.result.aggte.insert(kind.to_owned(), aggte);
            }
            Err(error) => {
                saved.result.aggte.remove(kind);
                saved.result.warnings.push(format!("{failed}: {error}"));
            }
        }
    }
}

impl From<Window> for AggregateOptions {
    fn from(window: Window) -> Self {
        Self { min_e: window.min_e, max_e: window.max_e, balance_e: window.balance_e, na_rm: window.na_rm }
    }
}

fn show(request: &RunRequest, output: &RunOutput) -> Result<(), Failure> {
    if request.json {
        // The table shows them among its lines; with JSON a person sees them here.
        tell(request, "warning", &output.saved.result.warnings);
        return print_json(&output.saved.result);
    }
    print(&run_report(&output.saved))
}

fn tell(request: &RunRequest, kind: &str, lines: &[String]) {
    if !request.quiet {
        let mut err = io::stderr().lock();
        for line in lines {
            let _ = writeln!(err, "{kind}: {line}");
        }
    }
}
