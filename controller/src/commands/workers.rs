//! Runs on workers: `stagger run --backend lambda` and `stagger resume`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use stagger_aws::containers;
use stagger_aws::lambda::LambdaInvoker;
use stagger_coordinator::journal::{ControllerId, Takeover};
use stagger_coordinator::routed::FunctionsAndPool;
use stagger_coordinator::{
    CloudOptions, CloudOutput, Invoker, RunLimits, RunRequest as Wanted, Settings, ThreadInvoker, journal,
};
use stagger_dashboard::tui::Exit;
use stagger_estimation::kernel::KernelKind;
use stagger_forecast::Prices;
use stagger_forecast::heavy::HeavyRule;
use stagger_model::error::StaggerError;
use stagger_model::event_log::Recording;
use stagger_model::events::{Observer, RunEvent, RunState};
use stagger_model::facts::{InputFile, RunFacts, RunOutput, StageFacts, WorkerFacts};
use stagger_model::failure::Failure;
use stagger_model::numbers::grouped;
use stagger_model::spec::RunSpec;
use stagger_panel::prepare::{Prepared, default_memory};
use stagger_protocol::messages::VERSION;
use stagger_report::stdout::print;
use stagger_schedule::Policy;
use stagger_storage::Storage;

use crate::cli::request::{RunRequest, Specification, output_place};
use crate::cli::spec::Window;
use crate::cli::workers::{
    Backend, DEFAULT_CONCURRENCY, ResumeArgs, WorkersRequest, function_names, runs_address,
};
use crate::commands::output::{OutputFolder, aggregate_window, print_results, say, send};
use crate::interrupt;
use crate::listen::{DisplayOptions, EndedRun, Listeners};
use crate::unattended::{notify_of_refusal, notify_when_done};

/// Estimates on workers. Returns one result for each specification, in their order, and the rest of the listeners.
pub(crate) fn compute(
    request: &RunRequest,
    workers: &WorkersRequest,
) -> Result<(Vec<RunOutput>, EndedRun), Failure> {
    let settings = settings(&workers.on, request.options.threads)?;
    let options = CloudOptions {
        n_partitions: request.options.n_partitions,
        max_cohorts: request.options.max_cohorts,
        ..options(workers, request.options.threads)
    };
    let specs = request.specs.iter().map(|one| (one.name.clone(), one.spec.clone())).collect();
    let mut wanted = wanted(workers, &request.inputs, specs);
    wanted.limits.n_partitions = options.n_partitions;
    interrupt::set_run(&workers.name, settings.signal.clone());
    say(request.quiet, &format!("run {} in {}", workers.name, workers.runs));
    let watched = WatchedRun { how: &request.how, runs: &workers.runs, name: &workers.name };
    let (output, facts, ended) = watched.run(&settings, &options, |observer| {
        stagger_coordinator::start(&workers.runs, &workers.name, &wanted, &settings, &options, observer)
    })?;
    Ok((results(output, &facts), ended))
}

/// Has workers make a store.
pub(crate) fn prepare(
    workers: &WorkersRequest,
    inputs: &[String],
    specs: Vec<(Option<String>, RunSpec)>,
    out: &str,
    (n_partitions, threads): (Option<usize>, Option<usize>),
    how: &DisplayOptions,
) -> Result<Prepared, Failure> {
    let settings = settings(&workers.on, threads)?;
    let options = CloudOptions { n_partitions, ..options(workers, threads) };
    let wanted = Wanted { prepare: Some(out.to_owned()), ..wanted(workers, inputs, specs) };
    interrupt::set_run(&workers.name, settings.signal.clone());
    say(how.quiet, &format!("run {} in {}", workers.name, workers.runs));
    let watched = WatchedRun { how, runs: &workers.runs, name: &workers.name };
    let (output, _, mut ended) = watched.run(&settings, &options, |observer| {
        stagger_coordinator::start(&workers.runs, &workers.name, &wanted, &settings, &options, observer)
    })?;
    ended.wait_until_left();
    output.prepared.ok_or_else(|| Failure::failed("the preparation brought no store"))
}

fn options(workers: &WorkersRequest, threads: Option<usize>) -> CloudOptions {
    CloudOptions {
        concurrency: workers.concurrency,
        n_partitions: None,
        max_cohorts: None,
        prefer: workers.prefer,
        max_cost: workers.max_cost,
        threads,
        heavy: workers.on.pool().map_or(HeavyRule::Never, |pool| pool.heavy),
        policy: Policy::default(),
        writer: writer(),
        takeover: Takeover::IfGone,
    }
}

fn wanted(workers: &WorkersRequest, inputs: &[String], specs: Vec<(Option<String>, RunSpec)>) -> Wanted {
    Wanted {
        version: VERSION.to_owned(),
        inputs: absolute(inputs),
        specs,
        stores: workers.stores.clone(),
        command: std::env::args().skip(1).collect(),
        functions: workers.on.functions().to_vec(),
        pool: workers.on.pool().cloned(),
        limits: RunLimits {
            concurrency: Some(workers.concurrency),
            n_partitions: None,
            prefer: workers.prefer,
            max_cost: workers.max_cost,
        },
        prepare: None,
    }
}

/// A run that is watched, and where it is.
struct WatchedRun<'a> {
    how: &'a DisplayOptions,
    runs: &'a str,
    name: &'a str,
}

impl WatchedRun<'_> {
    /// Returns the events in the journal: none of a new run.
    fn past(&self) -> Recording {
        let read = || -> Result<Recording, StaggerError> {
            let storage = Storage::open(&stagger_coordinator::run_url(self.runs, self.name))?;
            let runtime = stagger_storage::runtime()?;
            Ok(journal::recording(&runtime.block_on(journal::read_entries(&storage))?))
        };
        // Without its past a dashboard is still one.
        read().unwrap_or_default()
    }

    /// Runs with whoever listens; tells what it cost. A run that failed goes on for as long as somebody at the dashboard wants it to.
    fn run(
        &self,
        settings: &Settings,
        options: &CloudOptions,
        work: impl FnOnce(Observer<'_>) -> Result<CloudOutput, StaggerError>,
    ) -> Result<(CloudOutput, RunFacts, EndedRun), Failure> {
        let begin = Instant::now();
        let stages = Stages::default();
        let listeners = Listeners::start(self.how, self.name, Some(settings.signal.clone()), || self.past())?;
        let mut found = work(&|event| stages.observe(event, &listeners));
        let mut ended = listeners.finish(found.is_err());
        while found.is_err() && ended.wait_until_left() == Exit::Again {
            settings.signal.clear();
            let listeners =
                Listeners::start(self.how, self.name, Some(settings.signal.clone()), || self.past())?;
            found = stagger_coordinator::resume(self.runs, self.name, settings, options, &|event| {
                stages.observe(event, &listeners);
            })
            .map(|(_, output)| output);
            let before = std::mem::take(&mut ended.events);
            ended = listeners.finish(found.is_err());
            ended.events.splice(..0, before);
        }
        let output = found.map_err(|error| {
            let failure = Failure::from(error);
            if settings.signal.is_raised() { failure.interrupted() } else { failure }
        })?;
        let seconds = begin.elapsed().as_secs_f64();
        if !self.how.quiet {
            ended.say_after(summary(self.name, settings.invoker.name(), &output, seconds));
        }
        let facts = facts(&output, settings.invoker.name(), stages.told(), seconds);
        Ok((output, facts, ended))
    }
}

/// The totals of a run's events, for its record.
#[derive(Default)]
struct RunTotals {
    stages: Vec<StageFacts>,
    /// Tasks of the stage under way.
    tasks: usize,
    backups: u64,
    peak_memory: u64,
}

/// The same, while threads tell of it.
#[derive(Default)]
struct Stages(Mutex<RunTotals>);

impl Stages {
    fn observe(&self, event: &RunEvent, listeners: &Listeners) {
        listeners.observe(event);
        let mut own = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            RunEvent::Invoked { backup: true, .. } => own.backups += 1,
            RunEvent::Done(task) => {
                own.tasks = task.tasks;
                own.peak_memory = own.peak_memory.max(task.peak_memory);
            }
            RunEvent::StageDone { stage, seconds, .. } => {
                let tasks = std::mem::take(&mut own.tasks);
                own.stages.push(StageFacts {
                    stage: stage.clone(),
                    tasks,
                    seconds: *seconds,
                    cpu: None,
                    parts: Vec::new(),
                });
            }
            _ => {}
        }
    }

    fn told(self) -> RunTotals {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

fn results(output: CloudOutput, facts: &RunFacts) -> Vec<RunOutput> {
    let each = |(saved, draws)| RunOutput { saved, draws, facts: facts.clone() };
    output.outputs.into_iter().map(each).collect()
}

/// `run NAME: 213 tasks on lambda in 4.2 s, 2 of them again, 1,204 MB read, $0.0042`
fn summary(name: &str, backend: &str, output: &CloudOutput, seconds: f64) -> String {
    let summary = &output.summary;
    let done = summary.attempts.saturating_sub(summary.failures + summary.throttled);
    let mut line = format!("run {name}: {} tasks on {backend} in {seconds:.1} s", grouped(done));
    if summary.failures > 0 {
        line += &format!(", {} attempts more that failed", grouped(summary.failures));
    }
    if summary.throttled > 0 {
        line += &format!(", {} turned away as too many (--concurrency)", grouped(summary.throttled));
    }
    line +=
        &format!(", {:.1} MB read by workers, ${:.4}", summary.bytes_read as f64 / 1e6, summary.cost.spent);
    let (left, dollars) = output.left;
    if left > 0 {
        line += &format!(
            "; {left} attempts that nothing waits for end by themselves and cost ${dollars:.4} at most"
        );
    }
    line
}

fn facts(output: &CloudOutput, backend: &str, told: RunTotals, seconds: f64) -> RunFacts {
    let (rows, units, shards) = output.sizes;
    let file = |(path, bytes, rows): &(String, u64, u64)| InputFile {
        path: path.clone(),
        bytes: *bytes,
        rows: *rows,
    };
    RunFacts {
        inputs: output.files.iter().map(file).collect(),
        rows,
        units,
        shards,
        threads: 0,
        stages: told.stages,
        seconds,
        workers: Some(WorkerFacts {
            backend: backend.to_owned(),
            attempts: output.summary.attempts,
            failures: output.summary.failures,
            throttled: output.summary.throttled,
            backups: told.backups,
            peak_memory: told.peak_memory,
            bytes_read: output.summary.bytes_read,
            dollars: output.summary.cost.spent,
        }),
    }
}

/// Returns the invoker of a backend.
fn invoker(on: &Backend, threads: Option<usize>) -> Result<Arc<dyn Invoker>, Failure> {
    match on {
        Backend::Threads => {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            Ok(Arc::new(ThreadInvoker::new(threads.unwrap_or(cores), default_memory())))
        }
        Backend::Lambda(names) => lambda(names),
        Backend::Queue(pool) => containers::open(pool),
        Backend::Both(names, pool) => {
            Ok(Arc::new(FunctionsAndPool::new(lambda(names)?, containers::open(pool)?)))
        }
    }
}

fn lambda(names: &[String]) -> Result<Arc<dyn Invoker>, Failure> {
    Ok(Arc::new(LambdaInvoker::open(names, &Prices::built_in()?)?))
}

/// Returns the settings of a run on a backend: its invoker, its writer, and the kind of worker whose bits it asks for.
fn settings(on: &Backend, threads: Option<usize>) -> Result<Settings, Failure> {
    let kind = match on {
        Backend::Queue(pool) if pool.strict => Some(pool.kind),
        // Functions have processors, so that kind it is.
        Backend::Both(_, pool) if pool.strict => Some(KernelKind::Cpu),
        _ => None,
    };
    Ok(Settings { kind, ..Settings::new(invoker(on, threads)?) })
}

/// Inputs as they are found from any folder.
fn absolute(inputs: &[String]) -> Vec<String> {
    let whole = |input: &String| match input.contains("://") {
        true => input.clone(),
        false => std::path::absolute(input).map_or_else(|_| input.clone(), |path| path.display().to_string()),
    };
    inputs.iter().map(whole).collect()
}

/// Returns the identity of this controller.
pub(crate) fn writer() -> ControllerId {
    use std::hash::{BuildHasher, RandomState};
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_else(|| "unknown".to_owned());
    let mark = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
    ControllerId { host: host.trim().to_owned(), pid: std::process::id(), mark }
}

/// Goes on with a run.
pub(crate) fn resume(args: ResumeArgs) -> Result<(), Failure> {
    let (storage, request, known) = restore(&args)
        .map_err(|failure| notify_of_refusal(args.output.notify.as_deref(), Some(&args.run), failure))?;
    interrupt::install();
    notify_when_done(&request, || {
        tell_state(&storage, &args.run, request.quiet)?;
        resume_run(&args, &request, &known)
    })
}

/// The run that is taken up, as a request like any other.
fn restore(args: &ResumeArgs) -> Result<(Storage, RunRequest, Wanted), Failure> {
    let runs = runs_address(args.run_dir.clone())?;
    let storage =
        Storage::open(&stagger_coordinator::run_url(&runs, &args.run)).map_err(StaggerError::from)?;
    let known = stagger_coordinator::read_request(&storage, &runs, &args.run)?;
    let names = match &args.function {
        None => known.functions.clone(),
        Some(names) => function_names(Some(names.clone()))?,
    };
    let on = Backend::of_request(names, known.pool.clone());
    let (out, upload) = output_place(args.output.out.clone(), &args.run)?;
    Window::new(&args.window)?;
    let specs = known.specs.iter().map(|(name, spec)| Specification {
        name: name.clone(),
        spec: spec.clone(),
        notes: Vec::new(),
    });
    let quiet = args.output.quiet.unwrap_or(false);
    let request = RunRequest {
        inputs: known.inputs.clone(),
        specs: specs.collect(),
        options: stagger_estimation::local::RunOptions { threads: args.threads, ..Default::default() },
        workers: Some(WorkersRequest::resumed(&runs, &args.run, on, &known)),
        out,
        upload,
        notify: args.output.notify.clone(),
        json: args.output.json.unwrap_or(false),
        quiet,
        timings: false,
        how: args.output.display_options(args.progress_bar, None, &known.inputs),
    };
    Ok((storage, request, known))
}

/// Says what a resume finds where that is no run which was left under way.
fn tell_state(storage: &Storage, run: &str, quiet: bool) -> Result<(), Failure> {
    let runtime = stagger_storage::runtime().map_err(StaggerError::from)?;
    let last = runtime.block_on(journal::read_last_entry(storage))?;
    match last.map(|last| last.summary.state) {
        Some(RunState::Finished) => {
            say(
                quiet,
                &format!("note: run {run} is finished; its result is given once more, from what it kept"),
            );
        }
        Some(RunState::Stopped) => {
            say(quiet, &format!("note: run {run} was stopped; it goes on where it was"))
        }
        Some(RunState::Failed) => {
            say(quiet, &format!("note: run {run} had failed; what it could not do is tried again"));
        }
        Some(RunState::Running) | None => {}
    }
    Ok(())
}

fn resume_run(args: &ResumeArgs, request: &RunRequest, known: &Wanted) -> Result<(), Failure> {
    let Some(workers) = &request.workers else { return Ok(()) };
    let (runs, on, window) = (&workers.runs, &workers.on, Window::new(&args.window)?);
    let folder = OutputFolder::prepare(request)?;
    let settings = settings(on, args.threads)?;
    let options = CloudOptions {
        concurrency: args.concurrency.or(known.limits.concurrency).unwrap_or(DEFAULT_CONCURRENCY),
        n_partitions: known.limits.n_partitions,
        max_cohorts: None,
        prefer: known.limits.prefer,
        max_cost: args.cap()?.or(known.limits.max_cost),
        threads: args.threads,
        heavy: on.pool().map_or(HeavyRule::Never, |pool| pool.heavy),
        policy: Policy::default(),
        writer: writer(),
        takeover: if args.take_over.unwrap_or(false) { Takeover::Force } else { Takeover::IfGone },
    };
    interrupt::set_run(&args.run, settings.signal.clone());
    let watched = WatchedRun { how: &request.how, runs, name: &args.run };
    let (output, facts, mut ended) = watched.run(&settings, &options, |observer| {
        stagger_coordinator::resume(runs, &args.run, &settings, &options, observer).map(|(_, output)| output)
    })?;
    if output.prepared.is_some() {
        ended.wait_until_left();
        return print(&format!("the store {} is complete\n", known.prepare.clone().unwrap_or_default()));
    }
    let mut outputs = results(output, &facts);
    if !window.is_default() {
        outputs.iter_mut().try_for_each(|output| aggregate_window(window, output))?;
    }
    let saved = folder.map(|folder| folder.save(&outputs, &ended.events)).transpose();
    ended.wait_until_left();
    let printed = print_results(request, &outputs);
    send(request, saved?)?;
    printed
}
