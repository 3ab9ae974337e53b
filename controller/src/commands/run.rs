//! `stagger run`.

use std::time::Instant;

use stagger_estimation::local::{PREPARES_FIRST_NOTE, run as estimate, run_all};
use stagger_model::events::{Observer, RunEvent};
use stagger_model::facts::{RunOutput, SharedRunsOutput};
use stagger_model::failure::Failure;

use stagger_report::stdout::print_line_to_stderr;
use stagger_report::timings::timings_table;

use super::output::{OutputFolder, print_results, saved_passes_note, say, send, tell};
use crate::cli::request::RunRequest;
use crate::cli::run_args::RunArgs;
use crate::cli::run_file;
use crate::commands::workers;
use crate::interrupt;
use crate::listen::{EndedRun, Listeners};
use crate::unattended::{notify_of_refusal, notify_when_done};

/// Estimates, prints and saves.
pub(crate) fn run(args: RunArgs) -> Result<(), Failure> {
    let topic = args.output.notify.clone().or_else(|| run_file::topic_of(&args.data));
    let request = run_file::resolve_specs(args).and_then(RunRequest::new);
    let request = request.map_err(|failure| notify_of_refusal(topic.as_deref(), None, failure))?;
    interrupt::install();
    notify_when_done(&request, || estimate_and_print(&request))
}

fn estimate_and_print(request: &RunRequest) -> Result<(), Failure> {
    let begin = Instant::now();
    let folder = OutputFolder::prepare(request)?;
    for spec in &request.specs {
        tell(request, "note", spec, &spec.notes);
    }

    let (outputs, mut ended) = compute(request)?;
    let computed = Instant::now();
    // A full disk must not cost the result: it is printed in any case, and saving is what failed.
    let saved = folder.map(|folder| folder.save(&outputs, &ended.events)).transpose();
    ended.wait_until_left();
    let printed = print_results(request, &outputs);
    send(request, saved?)?;
    printed?;
    if let (true, Some(output)) = (request.timings, outputs.first()) {
        let table = timings_table(&output.facts, computed.elapsed(), begin.elapsed());
        table.lines().for_each(print_line_to_stderr);
    }
    Ok(())
}

/// Estimates. Returns one result for each specification, in their order, and the rest of the listeners.
fn compute(request: &RunRequest) -> Result<(Vec<RunOutput>, EndedRun), Failure> {
    if let Some(workers) = &request.workers {
        return workers::compute(request, workers);
    }
    let listeners = Listeners::start(&request.how, "", None, Vec::new)?;
    let found = estimate_all(request, &|event| {
        // Said before the first byte of a store is written.
        if let RunEvent::Note { text } = event
            && text.contains(PREPARES_FIRST_NOTE)
        {
            interrupt::add_note("what was prepared of the input stays for the next run");
        }
        listeners.observe(event);
    });
    let mut ended = listeners.finish(found.is_err());
    if found.is_err() {
        ended.wait_until_left();
    }
    let runs = found?;
    if let Some(saving) = saved_passes_note(&runs) {
        say(request.quiet, &format!("note: {saving}"));
    }
    Ok((runs.outputs, ended))
}

fn estimate_all(request: &RunRequest, observer: Observer<'_>) -> Result<SharedRunsOutput, Failure> {
    let RunRequest { inputs, options, .. } = request;
    if let [one] = request.specs.as_slice() {
        let output = estimate(inputs, &one.spec, options, observer)?;
        return Ok(SharedRunsOutput { outputs: vec![output], passes: 0, separate_passes: 0 });
    }
    let specs: Vec<_> = request.specs.iter().map(|one| (one.name.as_deref(), &one.spec)).collect();
    let runs = run_all(inputs, &specs, options, observer)?;
    if runs.outputs.len() != specs.len() {
        return Err(Failure::failed(format!(
            "{} results for {} specifications",
            runs.outputs.len(),
            specs.len()
        )));
    }
    Ok(runs)
}
