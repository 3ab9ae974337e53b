//! A run on workers from its request to its results, or from where an earlier controller left it.

use std::sync::Arc;

use bytes::Bytes;
use faer::Mat;
use serde::Deserialize;

use super::estimate::{State, encode, estimate, save};
use super::request::{CloudOptions, CloudOutput, RunRequest};
use super::session::{Cutting, Session, Settings};
use super::size;
use super::survey::Surveys;
use super::{WorkerFailure, Workers};
use crate::error::{EngineError, Result};
use crate::events::{Estimated, FunctionFacts, Observer, Outline, RunEvent, RunState};
use crate::forecast;
use crate::input::{InputPath, expand};
use crate::journal::{Entry, Journal, forget_cancel, is_there, keys, register};
use crate::load::{StoredShards, Wanted};
use crate::panel::Panel;
use crate::panel_store::PanelStore;
use crate::plan::Plan;
use crate::prepare::{PrepareOptions, Prepared, fingerprint_of, prepare_by};
use crate::result::SavedResult;
use crate::run::{
    Estimation, Progress, Scale, check, cluster_bound, cores, of_specifications, saved_results,
};
use crate::schedule::{Cost, Run};
use crate::spec::RunSpec;
use crate::store::{Condition, Storage, StoreErrorKind};
use crate::worker::protocol::{ObjectRef, VERSION, Work};
use crate::worker::{PanelObject, SpecObject, StageObject};

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
        check(spec).map_err(|e| of_specifications(e, &[name.as_deref()]))?;
    }
    let open = |url: &str| (settings.open)(url).map_err(EngineError::from);
    let (all, storage) = (open(runs)?, open(&run_url(runs, name))?);
    let journal = settings.ground.block_on(async {
        // The request first: a run that is listed can be taken up, wherever its controller died.
        request_of(&storage, runs, name, request).await?;
        register(&all, name).await?;
        let now = settings.clock.unix();
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
        return Err(EngineError::input(format!(
            "the run `{name}` was started by version {}, this is version {VERSION}",
            request.version
        ))
        .with_hint("use that version, or start a new run: another version may compute other last digits"));
    }
    let journal = settings.ground.block_on(async {
        let now = settings.clock.unix();
        let journal = Journal::open(storage.clone(), options.writer.clone(), now, options.takeover).await?;
        forget_cancel(&storage).await?;
        Ok(journal)
    })?;
    let output = execute(storage, journal, &request, settings, options, observer)?;
    Ok((request, output))
}

/// Notes what a run is started for.
async fn request_of(storage: &Storage, runs: &str, name: &str, request: &RunRequest) -> Result<()> {
    let json = serde_json::to_vec_pretty(request).map_err(|e| EngineError::failed(e.to_string()))?;
    match storage.put_async(keys::RUN, Bytes::from(json), Condition::IfAbsent).await {
        Ok(_) => Ok(()),
        Err(e) if e.kind == StoreErrorKind::Exists => Err(is_there(runs, name)),
        Err(e) => Err(e.into()),
    }
}

/// What a run was started for.
///
/// # Errors
/// A name that no run has.
pub fn read_request(storage: &Storage, runs: &str, name: &str) -> Result<RunRequest> {
    let (bytes, _) = storage.get(keys::RUN, None).map_err(|e| match e.kind {
        StoreErrorKind::NotFound => EngineError::input(format!("there is no run `{name}` in `{runs}`"))
            .with_hint("`stagger list` shows the runs there are"),
        _ => e.into(),
    })?;
    serde_json::from_slice(&bytes)
        .map_err(|e| EngineError::failed(format!("`{}` of the run `{name}` can't be read: {e}", keys::RUN)))
}

/// The address of a run.
pub fn run_url(runs: &str, name: &str) -> String {
    format!("{}/{name}", runs.trim_end_matches('/'))
}

fn execute(
    storage: Storage,
    (journal, history): (Journal, Vec<Entry>),
    request: &RunRequest,
    settings: &Settings,
    options: &CloudOptions,
    observer: Observer<'_>,
) -> Result<CloudOutput> {
    let invoker = &settings.invoker;
    let cost = Cost { cap: options.max_cost, ..Cost::default() };
    let mut run =
        Run::new(invoker.functions(), invoker.rates(), options.concurrency, cost, options.policy.clone());
    if !history.is_empty() {
        run = run.resumed();
    }
    let mut session = Session::new(settings.clone(), storage, observer, journal, run);
    if let Some(last) = history.last() {
        session.continue_from(&last.summary, last_stage(&history), last_attempt(&history));
    }
    // The journal has it since it was opened.
    observer(&RunEvent::Opened { version: VERSION.to_owned() });
    session.note(RunEvent::Workers {
        backend: settings.invoker.name().to_owned(),
        functions: settings.invoker.functions().iter().map(FunctionFacts::from).collect(),
        concurrency: options.concurrency,
    });
    let url = session.storage.url();
    let begun = settings.ground.block_on(async { Ok(invoker.begin(&url).await) })?;
    let outcome = match begun {
        Ok(()) => computed(&mut session, request, &history, options),
        Err(failure) => Err(WorkerFailure::Engine(failure.into_error("the workers can't be started"))),
    };
    // Whatever was started for the run ends with it, however it ended.
    let _ = settings.ground.block_on(async {
        invoker.end().await;
        Ok(())
    });
    match outcome {
        Ok(output) => Ok(output),
        Err(failure) => {
            let error = EngineError::from(failure);
            // A run that was finished stays so. An error of the journal can't be told by the journal.
            if history.last().is_none_or(|last| last.summary.state != RunState::Finished) {
                let _ = settings.ground.block_on(session.end(&error));
            }
            Err(error)
        }
    }
}

fn last_stage(history: &[Entry]) -> u64 {
    let numbers = history.iter().flat_map(|entry| &entry.events).filter_map(|(_, event)| match event {
        RunEvent::StageStarted { number, .. } => Some(*number),
        _ => None,
    });
    numbers.max().unwrap_or(0)
}

fn last_attempt(history: &[Entry]) -> u64 {
    let numbers = history.iter().flat_map(|entry| &entry.events).filter_map(|(_, event)| match event {
        RunEvent::Invoked { attempt, .. } => Some(*attempt),
        _ => None,
    });
    numbers.max().unwrap_or(0)
}

/// The last state that the journal names.
fn last_state(history: &[Entry]) -> Option<ObjectRef> {
    history.iter().rev().flat_map(|entry| entry.events.iter().rev()).find_map(|(_, event)| match event {
        RunEvent::State { object } => Some(object.clone()),
        _ => None,
    })
}

fn computed(
    session: &mut Session<'_>,
    request: &RunRequest,
    history: &[Entry],
    options: &CloudOptions,
) -> std::result::Result<CloudOutput, WorkerFailure> {
    if let Some(store) = &request.prepare {
        let storage = (session.settings.open)(store).map_err(EngineError::from)?;
        let prepared = prepared(session, request, &storage, options)?;
        return finished(session, Vec::new(), None, Some(prepared));
    }
    let (mut state, panels, shards) = match last_state(history) {
        Some(object) => taken_up(session, &object)?,
        None => begun(session, request, options)?,
    };
    let outlined = request.specs.iter().zip(&state.estimations);
    let outline = |((name, _), own): (&(Option<String>, RunSpec), &Estimation)| {
        Outline::new(name.as_deref(), own.plan(), shards.count())
    };
    session.note(RunEvent::Planned { specs: outlined.map(outline).collect() });
    estimate(session, &mut state, &panels, &shards, options)?;
    let specs: Vec<&RunSpec> = request.specs.iter().map(|(_, spec)| spec).collect();
    let store = &shards.manifest().columns;
    let completed = specs.iter().map(|spec| completed(spec, store)).collect::<Vec<_>>();
    let mut progress = Progress::after(session.observer, session.stages());
    let outputs = saved_results(&panels, &completed, state.estimations, &mut progress)?;
    for (spec, (saved, _)) in outputs.iter().enumerate() {
        session.note(RunEvent::Estimated(Box::new(Estimated::new(spec, &saved.result))));
    }
    finished(session, outputs, panels.first(), None)
}

/// Says in the journal that the run is done.
fn finished(
    session: &mut Session<'_>,
    outputs: Vec<(SavedResult, Option<Mat<f64>>)>,
    panel: Option<&Panel>,
    prepared: Option<Prepared>,
) -> std::result::Result<CloudOutput, WorkerFailure> {
    session.note(RunEvent::Finished);
    let ground = Arc::clone(&session.settings.ground);
    ground.block_on(session.flush(RunState::Finished))?;
    Ok(CloudOutput {
        outputs,
        summary: session.summary(RunState::Finished),
        left: session.left(),
        files: panel.map(|panel| panel.files.clone()).unwrap_or_default(),
        sizes: panel.map_or((0, 0, 0), |panel| (panel.input_rows, panel.units, panel.shard_count())),
        prepared,
    })
}

/// A specification with the store's columns where it names none.
fn completed(spec: &RunSpec, columns: &crate::panel_store::KeyColumns) -> RunSpec {
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

/// Goes on from a state that an earlier controller saved.
fn taken_up(
    session: &Session<'_>,
    object: &ObjectRef,
) -> std::result::Result<(State, Vec<Panel>, Arc<StoredShards>), WorkerFailure> {
    let state: State = read(&session.storage, object)?;
    let panel: PanelObject = read(&session.storage, &state.panel)?;
    let store = PanelStore::open((session.settings.open)(&panel.store).map_err(EngineError::from)?)?;
    let shards = panel.shards(store)?;
    let panels = (0..panel.specs.len()).map(|spec| shards.panel(spec, false)).collect();
    Ok((state, panels, shards))
}

fn read<T: for<'de> Deserialize<'de>>(storage: &Storage, object: &ObjectRef) -> Result<T> {
    let (bytes, _) = storage.get(&object.key, None)?;
    if crate::worker::checksum(&bytes) != object.checksum {
        return Err(EngineError::failed(format!(
            "`{}` of the run has another checksum than its journal says",
            object.key
        ))
        .with_hint("the run's objects were damaged; start a new run"));
    }
    postcard::from_bytes(&bytes)
        .map_err(|e| EngineError::failed(format!("`{}` of the run can't be read: {e}", object.key)))
}

/// Prepares where that is needed, plans, and saves the first state.
fn begun(
    session: &mut Session<'_>,
    request: &RunRequest,
    options: &CloudOptions,
) -> std::result::Result<(State, Vec<Panel>, Arc<StoredShards>), WorkerFailure> {
    let store = store_of(session, request, options)?;
    let threads = options.threads.unwrap_or_else(cores).max(1);
    let url = store.url();
    let fingerprint = store.checksum().to_owned();
    let specs: Vec<(Option<&str>, RunSpec)> = request
        .specs
        .iter()
        .map(|(name, spec)| {
            let name = name.as_deref();
            Ok((name, store.complete(spec).map_err(|e| of_specifications(e, &[name]))?))
        })
        .collect::<Result<_>>()?;
    let formulas = specs
        .iter()
        .map(|(name, spec)| check(spec).map_err(|e| of_specifications(e, &[*name])))
        .collect::<Result<Vec<_>>>()?;
    let wanted: Vec<Wanted<'_>> = specs
        .iter()
        .zip(&formulas)
        .map(|((name, spec), formula)| Wanted { name: *name, spec, formula })
        .collect();
    if let Some(other) = wanted.iter().find(|own| !own.shares_keys(&wanted[0])) {
        return Err(EngineError::input(format!(
            "specification `{}` names other units, periods, cohorts or eligibility than the first",
            other.name.unwrap_or_default()
        ))
        .with_hint("give it a run of its own")
        .into());
    }
    let unplanned = wanted.iter().map(|own| SpecObject::new(own.name, own.spec, None, &Vec::new()));
    let object = PanelObject {
        store: url.clone(),
        manifest: fingerprint.clone(),
        specs: unplanned.collect::<Result<Vec<_>>>()?,
    };
    let shards = Arc::new(StoredShards::new(store, &wanted)?);
    let mut surveys = Surveys { session, object: &object, shards: &shards, options };
    let (mut panels, mut plans, mut clusters) = (Vec::new(), Vec::new(), Vec::new());
    for (index, wanted) in wanted.iter().enumerate() {
        let (panel, (plan, bound)) = surveys
            .plan(index, &|panel| {
                let plan = Plan::new(panel, wanted.spec, wanted.formula, threads)?;
                let bound = if plan.cluster_variables > 0 { cluster_bound(panel, threads)? } else { 0 };
                Ok((plan, bound))
            })
            .map_err(|failure| match failure {
                WorkerFailure::Engine(e) => of_specifications(e, &[wanted.name]).into(),
                task => task,
            })?;
        panels.push(panel);
        plans.push(plan);
        clusters.push(bound);
    }
    for text in plans.iter().flat_map(|plan| &plan.warnings) {
        session.note(RunEvent::Warning { text: text.clone() });
    }
    let objects = wanted
        .iter()
        .zip(&plans)
        .enumerate()
        .map(|(index, (wanted, plan))| {
            SpecObject::new(wanted.name, wanted.spec, Some(plan.clone()), &shards.recodes(index))
        })
        .collect::<Result<Vec<_>>>()?;
    let object = PanelObject { store: url, manifest: fingerprint, specs: objects };
    let mut estimations = Vec::with_capacity(plans.len());
    let functions = size::homes(session.settings.invoker.functions());
    let largest = functions.last().map_or(u64::MAX, size::usable);
    for (plan, clusters) in plans.into_iter().zip(clusters) {
        let max_cells = options.max_cohorts.or_else(|| forecast::cells_that_fit(&plan, &shards, largest));
        let scale = Scale { shards: shards.count(), clusters, max_cells };
        estimations.push(Estimation::new(plan, scale));
    }
    let bytes = encode(&object)?;
    let ground = Arc::clone(&session.settings.ground);
    let state = ground.block_on(async {
        let panel = session.put(bytes, keys::common).await?;
        let state = State { panel, estimations };
        save(session, &state).await?;
        Ok(state)
    })?;
    Ok((state, panels, shards))
}

/// The store to read: the one that is named, or that of the files, which workers make where it is not there.
fn store_of(
    session: &mut Session<'_>,
    request: &RunRequest,
    options: &CloudOptions,
) -> std::result::Result<PanelStore, WorkerFailure> {
    let open = Arc::clone(&session.settings.open);
    let open = |url: &str| open(url).map_err(EngineError::from);
    if let [input] = request.inputs.as_slice()
        && let Some(store) = PanelStore::of_address(input, &open)?
    {
        return Ok(store);
    }
    let fingerprint = fingerprint_of(&request.inputs, &named(request))?;
    let storage = open(&format!("{}/{fingerprint}", request.stores.trim_end_matches('/')))?;
    let url = storage.url();
    let text = match PanelStore::find(&storage)? {
        Some(_) => format!("reading the prepared store `{url}` of this input"),
        None => format!("the input is prepared first, in `{url}`, where later runs find it"),
    };
    session.note(RunEvent::Note { text });
    prepared(session, request, &storage, options)?;
    Ok(PanelStore::open(storage)?)
}

fn named(request: &RunRequest) -> Vec<(Option<&str>, &RunSpec)> {
    request.specs.iter().map(|(name, spec)| (name.as_deref(), spec)).collect()
}

/// Makes the store of the request's files, or finds it made.
fn prepared(
    session: &mut Session<'_>,
    request: &RunRequest,
    storage: &Storage,
    options: &CloudOptions,
) -> Result<Prepared> {
    // Files of this machine are out of the workers' reach, and those on Lambda read Parquet only.
    let local = !request.inputs.iter().all(|input| input.starts_with("s3://"));
    let here = storage.is_remote() && (local || expand(&request.inputs)?.iter().any(InputPath::is_text));
    let functions = size::homes(session.settings.invoker.functions());
    let memory = functions.first().map_or(0, |function| u64::from(function.memory_mb) << 20);
    let prepare_options = match here {
        true => PrepareOptions { threads: options.threads, ..PrepareOptions::default() },
        // A worker does one task at a time; as many tasks as workers, if memory asks for fewer.
        false => PrepareOptions {
            threads: Some(1),
            memory_limit: Some(memory),
            partitions: options.n_partitions,
            least_tasks: options.concurrency,
            ..PrepareOptions::default()
        },
    };
    let observer = session.observer;
    let elsewhere = Elsewhere(std::cell::RefCell::new(session));
    let workers: Option<&dyn Workers> = if here { None } else { Some(&elsewhere) };
    prepare_by(workers, &request.inputs, &named(request), storage, &prepare_options, observer)
}

/// The workers of a session, for a preparation.
struct Elsewhere<'a, 'b>(std::cell::RefCell<&'a mut Session<'b>>);

impl Workers for Elsewhere<'_, '_> {
    fn run(
        &self,
        name: &str,
        stage: &StageObject,
        works: Vec<Work>,
    ) -> std::result::Result<(), WorkerFailure> {
        let mut session = self.0.borrow_mut();
        let ground = Arc::clone(&session.settings.ground);
        let mut outcome = Ok(None);
        let bytes = encode(stage)?;
        ground.block_on(async {
            let object = session.put(bytes, keys::common).await?;
            outcome = session.stage(name, &object, works, Cutting::default(), None).await;
            Ok(())
        })?;
        outcome.map(|_| ())
    }

    fn results(&self, works: &[Work]) -> Result<Vec<Bytes>> {
        let session = self.0.borrow();
        let ground = Arc::clone(&session.settings.ground);
        ground.block_on(session.results(works))
    }
}
