//! The results of `stagger run` and `stagger resume`: printed, saved, sent on.

use serde::Serialize;
use stagger_estimation::aggregate::aggregate_all;
use stagger_estimator::aggregate::AggregateOptions;
use stagger_model::facts::{RunOutput, SharedRunsOutput};
use stagger_model::failure::Failure;
use stagger_model::numbers::counted;
use stagger_model::result::{MAX_VCOV_CELLS, RunResult};
use stagger_model::spec::RunSpec;
use stagger_report::comparison::{
    Below, Comparison, ComparisonOptions, NamedResult as NamedColumn, RowChoice,
};
use stagger_report::covariance::COVARIANCE;
use stagger_report::estimates::{heading, run_report};
use stagger_report::folder::StagedOutput;
use stagger_report::save::save;
use stagger_report::stdout::{json_line, print, print_line_to_stderr as tell_line};

use crate::cli::request::{RunRequest, Specification};
use crate::cli::spec::Window;
use crate::unattended::{ScratchFolder, try_destination, upload};

/// Sends the saved result where it belongs, and says where it is.
pub(crate) fn send(request: &RunRequest, saved: Option<SavedOutput>) -> Result<(), Failure> {
    let place = match (&request.upload, saved) {
        (Some(url), Some(SavedOutput(Some(scratch)))) => {
            upload(&scratch.result(), url)?;
            url.clone()
        }
        (_, Some(_)) => request.out.as_ref().map(|out| out.display().to_string()).unwrap_or_default(),
        (_, None) => return Ok(()),
    };
    say(request.quiet, &format!("saved: {place}"));
    Ok(())
}

/// The folder of the results: one result is the folder itself, named ones are folders in it. On the way to S3 it is a folder of this
/// process alone.
pub(crate) struct OutputFolder {
    staging: StagedOutput,
    scratch: Option<ScratchFolder>,
}

/// Results that are in place; with the folder of those that are to be sent.
pub(crate) struct SavedOutput(Option<ScratchFolder>);

impl OutputFolder {
    /// Tries the place, before anything is computed.
    ///
    /// # Errors
    /// A place that is none, holds something else or can't be written.
    pub(crate) fn prepare(request: &RunRequest) -> Result<Option<Self>, Failure> {
        let names: Vec<&str> = request.specs.iter().filter_map(|spec| spec.name.as_deref()).collect();
        let (out, scratch) = match (&request.out, &request.upload) {
            (_, Some(url)) => {
                try_destination(url, names.first().copied())?;
                let scratch = ScratchFolder::new()?;
                (scratch.result(), Some(scratch))
            }
            (Some(out), None) => (out.clone(), None),
            (None, None) => return Ok(None),
        };
        let staging = StagedOutput::prepare(&out, &names)?;
        staging.check_room(request.specs.iter().map(|spec| least_bytes(&spec.spec)).sum())?;
        Ok(Some(Self { staging, scratch }))
    }

    /// Writes the results and puts them in place.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn save(self, outputs: &[RunOutput], events: &[u8]) -> Result<SavedOutput, Failure> {
        save(self.staging, outputs, events)?;
        Ok(SavedOutput(self.scratch))
    }
}

/// Bytes that the files of a result take at least: the draws of its two columns, if it has but one cell, and the rest.
fn least_bytes(spec: &RunSpec) -> u64 {
    let draws = if spec.bstrap { spec.biters as u64 } else { 0 };
    (64 << 10) + draws.saturating_mul(16)
}

/// Returns a line that says how many passes the specifications saved by sharing the data; none where they saved none.
pub(crate) fn saved_passes_note(runs: &SharedRunsOutput) -> Option<String> {
    (runs.passes < runs.separate_passes).then(|| {
        let specs = counted(runs.outputs.len() as u64, "specification");
        let noun = if runs.passes == 1 { "pass" } else { "passes" };
        format!("{specs} shared the data: {} {noun} instead of {}", runs.passes, runs.separate_passes)
    })
}

/// Aggregates again over the cells asked for, in place of what the run's own window gave.
pub(crate) fn aggregate_window(window: Window, output: &mut RunOutput) -> Result<(), Failure> {
    let spec = &mut output.saved.extended.spec;
    spec.min_e = Some(window.min_e).filter(|e| e.is_finite());
    spec.max_e = Some(window.max_e).filter(|e| e.is_finite());
    (spec.balance_e, spec.na_rm) = (window.balance_e, window.na_rm);
    aggregate_all(&mut output.saved, output.draws.as_ref(), &AggregateOptions::from(window))?;
    Ok(())
}

/// The line of JSON of a named specification: its name, then the object of a run of its own.
#[derive(Serialize)]
struct NamedResult<'a> {
    spec: &'a str,
    #[serde(flatten)]
    result: &'a RunResult,
}

/// Prints the results.
pub(crate) fn print_results(request: &RunRequest, outputs: &[RunOutput]) -> Result<(), Failure> {
    if let Some(table) = comparison(request, outputs) {
        return print(&table);
    }
    let mut text = String::new();
    for (spec, output) in request.specs.iter().zip(outputs) {
        if request.json {
            // The table shows them among its lines; with JSON a person sees them here.
            tell(request, "warning", spec, &output.saved.result.warnings);
            tell(request, "note", spec, &without_vcov(&output.saved.result));
            text += &result_line(spec.name.as_deref(), &output.saved.result)?;
            continue;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        if let Some(name) = &spec.name {
            text += &heading(name);
        }
        text += &run_report(&output.saved);
    }
    print(&text)
}

/// Several specifications as one table, with their warnings on standard error: whole results would be hundreds of lines. None for one
/// specification, with JSON, or where they have no effect in common to show.
fn comparison(request: &RunRequest, outputs: &[RunOutput]) -> Option<String> {
    if request.json || outputs.len() < 2 {
        return None;
    }
    let named = request.specs.iter().zip(outputs).map(|(spec, output)| NamedColumn {
        name: spec.name.as_deref().unwrap_or_default(),
        saved: &output.saved,
    });
    let overall = ["simple", "group"].map(RowChoice::Overall).into_iter();
    let options = ComparisonOptions {
        rows: overall.chain([RowChoice::EventTimes]).collect(),
        below: Below::StandardError,
        stars: false,
        decimals: None,
    };
    let table = Comparison::new(&named.collect::<Vec<NamedColumn<'_>>>(), options).ok()?;
    for (spec, output) in request.specs.iter().zip(outputs) {
        tell(request, "warning", spec, &output.saved.result.warnings);
    }
    let first = request.specs.first().and_then(|spec| spec.name.as_deref()).unwrap_or_default();
    say(
        request.quiet,
        &format!("note: --out DIR saves each whole result, and --spec {first} alone prints one"),
    );
    Some(table.text())
}

/// Returns a note about the missing covariance of the cells, if the object has none.
fn without_vcov(result: &RunResult) -> Vec<String> {
    let cells = result.att_gt.att.len();
    let text = || {
        format!(
            "the covariance of {cells} cells is not part of the JSON, which holds that of at most {MAX_VCOV_CELLS}; --out saves it as {COVARIANCE}"
        )
    };
    (cells > MAX_VCOV_CELLS).then(text).into_iter().collect()
}

fn result_line(name: Option<&str>, result: &RunResult) -> Result<String, Failure> {
    match name {
        Some(spec) => json_line(&NamedResult { spec, result }),
        None => json_line(result),
    }
}

/// Tells lines of a specification, with its name before them if it has one.
pub(crate) fn tell(request: &RunRequest, kind: &str, spec: &Specification, lines: &[String]) {
    let name = spec.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
    for line in lines {
        say(request.quiet, &format!("{kind}: {name}{line}"));
    }
}

/// Says a line on standard error, unless nothing is to be said.
pub(crate) fn say(quiet: bool, line: &str) {
    if !quiet {
        tell_line(line);
    }
}

#[cfg(test)]
mod tests {
    use stagger_model::result::SavedResult;
    use stagger_test_support::results;

    use super::*;

    #[test]
    fn a_named_line_is_the_line_of_its_own_run_with_the_name_first() {
        let result = results::troubled::<SavedResult>().result;
        let own = result_line(None, &result).unwrap();
        let named = result_line(Some("a \"b\""), &result).unwrap();
        assert_eq!(named, format!("{{\"spec\":\"a \\\"b\\\"\",{}", &own[1..]));
    }

    #[test]
    fn the_saving_is_told_where_there_is_one() {
        let runs = |passes| SharedRunsOutput { outputs: Vec::new(), passes, separate_passes: 19 };
        assert_eq!(
            saved_passes_note(&runs(7)).unwrap(),
            "0 specifications shared the data: 7 passes instead of 19"
        );
        assert_eq!(saved_passes_note(&runs(19)), None);
    }
}
