//! `stagger run`.

use stagger_estimation::local::{PREPARED_FIRST, run as estimate, run_all};
use stagger_model::events::{Observer, RunEvent};
use stagger_model::facts::{RunOutput, RunsOutput};
use stagger_model::failure::Failure;

use super::output::{Folder, saving, say, sent, show, tell};
use crate::cli::request::RunRequest;
use crate::cli::run_args::RunArgs;
use crate::cli::run_file;
use crate::commands::workers;
use crate::interrupt;
use crate::listen::{Ended, Listeners};
use crate::unattended::{refused, told};

/// Estimates, prints and saves.
pub(crate) fn run(args: RunArgs) -> Result<(), Failure> {
    let topic = args.output.notify.clone().or_else(|| run_file::topic_of(&args.data));
    let request = run_file::resolve(args).and_then(RunRequest::new);
    let request = request.map_err(|failure| refused(topic.as_deref(), None, failure))?;
    interrupt::install();
    told(&request, || estimated(&request))
}

fn estimated(request: &RunRequest) -> Result<(), Failure> {
    let folder = Folder::prepare(request)?;
    for spec in &request.specs {
        tell(request, "note", spec, &spec.notes);
    }

    let (outputs, mut ended) = compute(request)?;
    // A full disk must not cost the result: it is printed in any case, and saving is what failed.
    let saved = folder.map(|folder| folder.save(&outputs, &ended.events)).transpose();
    ended.wait();
    let printed = show(request, &outputs);
    sent(request, saved?)?;
    printed
}

/// Estimates. Returns one result for each specification, in their order, and the rest of the listeners.
fn compute(request: &RunRequest) -> Result<(Vec<RunOutput>, Ended), Failure> {
    if let Some(workers) = &request.workers {
        return workers::compute(request, workers);
    }
    let listeners = Listeners::start(&request.how, "", None, Vec::new)?;
    let found = estimate_all(request, &|event| {
        // Said before the first byte of a store is written.
        if let RunEvent::Note { text } = event
            && text.contains(PREPARED_FIRST)
        {
            interrupt::tells("what was prepared of the input stays for the next run");
        }
        listeners.observe(event);
    });
    let mut ended = listeners.finish(found.is_err());
    if found.is_err() {
        ended.wait();
    }
    let runs = found?;
    if let Some(saving) = saving(&runs) {
        say(request.quiet, &format!("note: {saving}"));
    }
    Ok((runs.outputs, ended))
}

fn estimate_all(request: &RunRequest, observer: Observer<'_>) -> Result<RunsOutput, Failure> {
    let RunRequest { inputs, options, .. } = request;
    if let [one] = request.specs.as_slice() {
        let output = estimate(inputs, &one.spec, options, observer)?;
        return Ok(RunsOutput { outputs: vec![output], passes: 0, separate_passes: 0 });
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
