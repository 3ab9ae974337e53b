//! A run on workers from its request to its results, or from where an earlier controller left it.

use std::sync::Arc;

use faer::Mat;
use stagger_estimation::estimate::saved::finish_estimations;
use stagger_estimation::estimate::steps::Estimation;
use stagger_estimation::outline::outline;
use stagger_model::cost::Cost;
use stagger_model::error::{Result, StaggerError, name_specifications};
use stagger_model::events::{Estimated, FunctionFacts, Observer, RunEvent, RunState};
use stagger_model::progress::StageProgress;
use stagger_model::result::SavedResult;
use stagger_model::spec::RunSpec;
use stagger_model::spec_check::check_spec;
use stagger_panel::panel::Panel;
use stagger_panel::panel_store::KeyColumns;
use stagger_panel::prepare::Prepared;
use stagger_protocol::messages::VERSION;
use stagger_schedule::Run;
use stagger_storage::Storage;

use super::WorkerFailure;
use super::estimate::run_stages;
use super::planning::{PlannedRun, plan_run};
use super::preparation::prepare_store;
use super::request::{CloudOptions, CloudOutput, RunRequest, read_request, run_url, save_request};
use super::restore::{last_attempt, last_stage, last_state, restore};
use super::session::Session;
use super::settings::Settings;
use crate::journal::{Journal, JournalEntry, delete_cancel_request, register_run};

/// Starts a run below `runs`, the address of all runs.
///
/// # Errors
/// Bad arguments or input; a task that can't be done; the cap; storage that fails. Most leave a run that can be taken up.
pub fn start(
    runs: &str,
    name: &str,
    request: &RunRequest,
    settings: &Settings,
    options: &CloudOptions,
    observer: Observer<'_>,
) -> Result<CloudOutput> {
    for (name, spec) in &request.specs {
        check_spec(spec).map_err(|e| name_specifications(e, &[name.as_deref()]))?;
    }
    let open = |url: &str| (settings.open)(url).map_err(StaggerError::from);
    let (all, storage) = (open(runs)?, open(&run_url(runs, name))?);
    let journal = settings.runtime.block_on(async {
        // The request first: a run that is listed can be taken up, wherever its controller died.
        save_request(&storage, runs, name, request).await?;
        register_run(&all, name).await?;
        let now = settings.clock.unix_seconds();
        Journal::open(storage.clone(), options.writer.clone(), now, options.takeover).await
    })?;
    execute(storage, journal, request, settings, options, observer)
}

/// Takes a run up where it was, by its name.
///
/// # Errors
/// As [`start`]; a name that no run has, or a run that another controller holds.
pub fn resume(
    runs: &str,
    name: &str,
    settings: &Settings,
    options: &CloudOptions,
    observer: Observer<'_>,
) -> Result<(RunRequest, CloudOutput)> {
    let storage = (settings.open)(&run_url(runs, name))?;
    let request = read_request(&storage, runs, name)?;
    if request.version != VERSION {
        return Err(StaggerError::input(format!(
            "the run `{name}` was started by version {}, this is version {VERSION}",
            request.version
        ))
        .with_hint("use that version, or start a new run: another version may compute other last digits"));
    }
    let journal = settings.runtime.block_on(async {
        let now = settings.clock.unix_seconds();
        let journal = Journal::open(storage.clone(), options.writer.clone(), now, options.takeover).await?;
        delete_cancel_request(&storage).await?;
        Ok(journal)
    })?;
    let output = execute(storage, journal, &request, settings, options, observer)?;
    Ok((request, output))
}

/// Runs a session from its opening to its end, which the journal tells however it comes.
fn execute(
    storage: Storage,
    (journal, history): (Journal, Vec<JournalEntry>),
    request: &RunRequest,
    settings: &Settings,
    options: &CloudOptions,
    observer: Observer<'_>,
) -> Result<CloudOutput> {
    let mut session = open_session(storage, (journal, &history), settings, options, observer);
    let (invoker, url) = (&settings.invoker, session.objects.url());
    let _run = tracing::debug_span!("run", url).entered();
    let started = settings.runtime.block_on(async { Ok(invoker.begin_run(&url).await) })?;
    let outcome = match started {
        Ok(()) => compute(&mut session, request, &history, options),
        Err(failure) => Err(WorkerFailure::Other(failure.into_error("the workers can't be started"))),
    };
    // Whatever was started for the run ends with it, however it ended.
    let _ = settings.runtime.block_on(async {
        invoker.end_run().await;
        Ok(())
    });
    outcome.map_err(|failure| {
        let error = StaggerError::from(failure);
        // A run that was finished stays so. An error of the journal can't be told by the journal.
        if history.last().is_none_or(|last| last.summary.state != RunState::Finished) {
            let _ = settings.runtime.block_on(session.end(&error));
        }
        error
    })
}

/// Opens the session of a run, which goes on counting where an earlier controller was.
fn open_session<'a>(
    storage: Storage,
    (journal, history): (Journal, &[JournalEntry]),
    settings: &Settings,
    options: &CloudOptions,
    observer: Observer<'a>,
) -> Session<'a> {
    let invoker = &settings.invoker;
    let cost = Cost { cap: options.max_cost, ..Cost::default() };
    let mut run =
        Run::new(invoker.functions(), invoker.prices(), options.concurrency, cost, options.policy.clone());
    if !history.is_empty() {
        run = run.resumed();
    }
    let mut session = Session::new(settings.clone(), storage, observer, journal, run);
    if let Some(last) = history.last() {
        session.continue_from(&last.summary, last_stage(history), last_attempt(history));
    }
    // The journal has it since it was opened.
    observer(&RunEvent::Opened { version: VERSION.to_owned() });
    session.note(RunEvent::Workers {
        backend: invoker.name().to_owned(),
        functions: invoker.functions().iter().map(FunctionFacts::from).collect(),
        concurrency: options.concurrency,
    });
    session
}

/// Computes what the request asks for: a store, or estimates.
fn compute(
    session: &mut Session<'_>,
    request: &RunRequest,
    history: &[JournalEntry],
    options: &CloudOptions,
) -> std::result::Result<CloudOutput, WorkerFailure> {
    if let Some(store) = &request.prepare {
        let storage = (session.settings.open)(store).map_err(StaggerError::from)?;
        let prepared = prepare_store(session, request, &storage, options)?;
        return finish(session, Vec::new(), None, Some(prepared));
    }
    let PlannedRun { mut state, panels, shards } = match last_state(history) {
        Some(object) => restore(session, &object)?,
        None => plan_run(session, request, options)?,
    };
    let outlined = request.specs.iter().zip(&state.estimations);
    let outline = |((name, _), own): (&(Option<String>, RunSpec), &Estimation)| {
        outline(name.as_deref(), own.plan(), shards.shard_count())
    };
    session.note(RunEvent::Planned { specs: outlined.map(outline).collect() });
    run_stages(session, &mut state, &panels, &shards, options)?;
    let specs: Vec<&RunSpec> = request.specs.iter().map(|(_, spec)| spec).collect();
    let store = &shards.manifest().columns;
    let completed = specs.iter().map(|spec| completed(spec, store)).collect::<Vec<_>>();
    let mut progress = StageProgress::resuming_after(session.observer(), session.stages());
    let outputs = finish_estimations(&panels, &completed, state.estimations, &mut progress)?;
    for (spec, (saved, _)) in outputs.iter().enumerate() {
        session.note(RunEvent::Estimated(Box::new(Estimated::new(spec, &saved.result))));
    }
    finish(session, outputs, panels.first(), None)
}

/// Notes in the journal that the run is done.
fn finish(
    session: &mut Session<'_>,
    outputs: Vec<(SavedResult, Option<Mat<f64>>)>,
    panel: Option<&Panel>,
    prepared: Option<Prepared>,
) -> std::result::Result<CloudOutput, WorkerFailure> {
    session.note(RunEvent::Finished);
    let runtime = Arc::clone(&session.settings.runtime);
    runtime.block_on(session.flush(RunState::Finished))?;
    Ok(CloudOutput {
        outputs,
        summary: session.summary(RunState::Finished),
        left: session.left(),
        files: panel.map(|panel| panel.source.files.clone()).unwrap_or_default(),
        sizes: panel
            .map_or((0, 0, 0), |panel| (panel.counts.input_rows, panel.counts.units, panel.shard_count())),
        prepared,
    })
}

/// A specification with the store's columns where it names none.
fn completed(spec: &RunSpec, columns: &KeyColumns) -> RunSpec {
    let mut out = spec.clone();
    for (own, known) in
        [(&mut out.idname, &columns.id), (&mut out.tname, &columns.time), (&mut out.gname, &columns.group)]
    {
        if own.is_empty() {
            own.clone_from(known);
        }
    }
    out
}
