//! The loop around the state machine: it invokes, reads and writes what [`Run`] says, and hands every answer back to it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, LocalBoxFuture};
use futures::stream::{FuturesUnordered, StreamExt};
use stagger_estimation::kernel::Kind;
use stagger_model::error::{EngineError, FailureClass, Result};
use stagger_model::events::{ObjectRef, Observer, RunEvent, RunState, Summary, TaskDone};
use stagger_model::reduction::Node;
use stagger_model::signal::Signal;
use stagger_protocol::bundle::Bundle;
use stagger_protocol::keys;
use stagger_protocol::messages::{Answer, Invocation, PROTOCOL, TaskFailure, VERSION, Work};
use stagger_protocol::objects::checksum;
use stagger_schedule::{Effect, Handled, Next, NewAttempt, Run, Stop};
use stagger_storage::{Clock, Condition, Storage, StoreErrorKind, StoreStats};

use super::invoker::{Invoked, Invoker, Taken};
use super::runtime::Runtime;
use super::{WorkerFailure, fold};
use crate::journal::{Journal, cancel_requested};

/// How often signals of the user are looked at.
const TICK: Duration = Duration::from_millis(200);
/// Sums and results read at a time.
const READS: usize = 32;

/// What a session runs on.
#[derive(Clone)]
pub struct Settings {
    /// Who does the tasks.
    pub invoker: Arc<dyn Invoker>,
    /// Time and chance.
    pub clock: Arc<dyn Clock>,
    /// The runtime that waits for requests.
    pub runtime: Arc<Runtime>,
    /// How storage is opened.
    pub open: stagger_storage::open::OpenStorage,
    /// What the user wishes.
    pub signal: Signal,
    /// Whose bits are wanted, where it matters.
    pub kind: Option<Kind>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("invoker", &self.invoker).finish_non_exhaustive()
    }
}

impl Settings {
    /// With the machine's clock and storage.
    pub fn new(invoker: Arc<dyn Invoker>) -> Self {
        Self {
            invoker,
            clock: Arc::new(stagger_storage::SystemClock::new(true)),
            runtime: Arc::new(Runtime::Shared),
            open: Arc::new(Storage::open),
            signal: Signal::default(),
            kind: None,
        }
    }
}

/// An answer, and which attempt it is to.
struct Answered {
    attempt: u64,
    function: usize,
    limit: Duration,
    begun: Duration,
    invoked: Invoked,
}

/// The sums of a stage: over so many shards, every so many of the panel's one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sums {
    pub(super) shards: usize,
    pub(super) stride: usize,
}

/// What is known of a stage's tasks before they run.
#[derive(Clone, Debug, Default)]
pub(super) struct StagePlan {
    /// How long one should take.
    pub(super) expected: Option<Duration>,
    /// Sets that the columns can be cut into; 0 and 1 mean none.
    pub(super) sets: usize,
    /// The smallest function that has the memory for them.
    pub(super) function: usize,
    /// Whether each task is for the pool beside the functions; none is where it says nothing.
    pub(super) heavy: Vec<bool>,
}

/// Sums of a stage as they come.
type Fold = fold::Fold<Bundle>;

/// A sum that was read.
type Read = (Node, Result<Bundle>);

/// A run under way.
pub(super) struct Session<'a> {
    pub(super) settings: Settings,
    pub(super) storage: Storage,
    observer: Observer<'a>,
    journal: Journal,
    run: Run,
    in_flight: FuturesUnordered<BoxFuture<'static, Answered>>,
    /// Number of the last stage.
    number: u64,
    stage: String,
    object: Option<ObjectRef>,
    /// Every so many shards one takes part in the last stage.
    stride: usize,
    failures: u64,
    throttled: u64,
    attempts: u64,
    bytes_read: u64,
    looked_for_cancel: f64,
    /// Nothing is started until a person goes on.
    paused: bool,
    /// Attempts in a queue that no worker has taken as far as is known.
    waiting: Vec<(u64, Taken)>,
    /// Requests of this process that the bill has already.
    counted: StoreStats,
    /// The journal says why the run ended.
    ended: bool,
    begun: Duration,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        settings: Settings,
        storage: Storage,
        observer: Observer<'a>,
        journal: Journal,
        run: Run,
    ) -> Self {
        let looked_for_cancel = settings.clock.unix();
        Self {
            begun: settings.clock.now(),
            settings,
            storage,
            observer,
            journal,
            run,
            in_flight: FuturesUnordered::new(),
            number: 0,
            stage: String::new(),
            object: None,
            stride: 1,
            failures: 0,
            throttled: 0,
            attempts: 0,
            bytes_read: 0,
            looked_for_cancel,
            paused: false,
            waiting: Vec::new(),
            counted: StoreStats::default(),
            ended: false,
        }
    }

    pub(super) fn observer(&self) -> Observer<'a> {
        self.observer
    }

    /// Dollars and attempts, for the summary that a person reads.
    pub(super) fn summary(&self, state: RunState) -> Summary {
        let (done, tasks) = self.run.progress();
        Summary {
            state,
            stage: self.stage.clone(),
            done,
            tasks,
            under_way: self.run.under_way(),
            cost: self.run.cost(),
            bytes_read: self.bytes_read,
            attempts: self.attempts,
            failures: self.failures,
            throttled: self.throttled,
            paused: self.paused && state == RunState::Running,
        }
    }

    /// Goes on counting where an earlier controller was.
    pub(super) fn continue_from(&mut self, last: &Summary, number: u64, attempts: u64) {
        self.run.number_from(attempts + 1);
        self.run.spend(last.cost.spent + last.cost.reserved);
        (self.attempts, self.failures, self.bytes_read) = (last.attempts, last.failures, last.bytes_read);
        self.throttled = last.throttled;
        self.number = number;
    }

    /// Seconds since this controller began.
    pub(super) fn elapsed(&self) -> f64 {
        self.settings.clock.now().saturating_sub(self.begun).as_secs_f64()
    }

    /// Stages so far, those of earlier controllers included.
    pub(super) fn stages(&self) -> u64 {
        self.number
    }

    fn unix(&self) -> f64 {
        self.settings.clock.unix()
    }

    /// Notes an event in the journal and tells it to whoever listens.
    pub(super) fn note(&mut self, event: RunEvent) {
        (self.observer)(&event);
        self.journal.add(self.settings.clock.unix(), event);
    }

    /// Writes the journal now.
    pub(super) async fn flush(&mut self, state: RunState) -> Result<()> {
        self.bill();
        let summary = self.summary(state);
        (self.observer)(&RunEvent::Summary(summary.clone()));
        self.journal.flush(self.settings.clock.unix(), summary).await
    }

    /// Adds what this process itself has asked of storage.
    fn bill(&mut self) {
        let (now, rates) = (self.storage.stats(), self.settings.invoker.rates());
        let gets = now.gets - self.counted.gets;
        let puts = now.puts + now.lists - self.counted.puts - self.counted.lists;
        self.counted = now;
        self.run.spend(gets as f64 * rates.get + puts as f64 * rates.put);
    }

    /// Puts something that tasks have in common, under the checksum of its bytes.
    pub(super) async fn put(&self, bytes: Vec<u8>, key: fn(&str) -> String) -> Result<ObjectRef> {
        let checksum = checksum(&bytes);
        let key = key(&checksum);
        match self.storage.put_async(&key, Bytes::from(bytes), Condition::IfAbsent).await {
            Ok(_) => {}
            // The key is the content's.
            Err(e) if e.kind == StoreErrorKind::Exists => {}
            Err(e) => return Err(e.into()),
        }
        Ok(ObjectRef { key, checksum })
    }

    /// Does a stage; adds up the sums over shards, if that is what it brings.
    pub(super) async fn stage(
        &mut self,
        name: &str,
        object: &ObjectRef,
        works: Vec<Work>,
        StagePlan { expected, sets, function, heavy }: StagePlan,
        sums: Option<Sums>,
    ) -> std::result::Result<Option<Bundle>, WorkerFailure> {
        self.number += 1;
        self.stride = sums.map_or(1, |sums| sums.stride);
        name.clone_into(&mut self.stage);
        self.object = Some(object.clone());
        let begun = self.settings.clock.now();
        let (number, tasks) = (self.number, works.len());
        self.note(RunEvent::StageStarted {
            number,
            stage: name.to_owned(),
            tasks,
            object: Some(object.clone()),
        });
        let is_heavy = |task: usize| heavy.get(task).copied().unwrap_or(false);
        self.run.begin_routed(function, works, expected, sets, is_heavy);
        let mut fold = sums.map(|sums| Fold::new(sums.shards));
        self.drive(&mut fold).await?;
        let seconds = self.settings.clock.now().saturating_sub(begun).as_secs_f64();
        self.note(RunEvent::StageDone { number, stage: name.to_owned(), seconds });
        match fold.map(Fold::into_root) {
            None => Ok(None),
            Some(Some(sum)) => Ok(Some(sum)),
            Some(None) => Err(EngineError::failed(format!("stage {name} lost a partial")).into()),
        }
    }

    async fn drive(&mut self, fold: &mut Option<Fold>) -> std::result::Result<(), WorkerFailure> {
        let mut reads: FuturesUnordered<LocalBoxFuture<'static, Read>> = FuturesUnordered::new();
        let mut tasks_done = false;
        loop {
            self.poll_signals().await?;
            while let Some(node) = fold.as_mut().and_then(Fold::next_read) {
                reads.push(self.read(node));
            }
            let now = self.settings.clock.now();
            let mut wake = now + TICK;
            if !tasks_done {
                match self.run.next(now) {
                    Next::Invoke(order) => {
                        self.invoke(order);
                        continue;
                    }
                    Next::Wait(until) => wake = until.map_or(wake, |until| until.min(wake)),
                    Next::Done => tasks_done = true,
                    Next::Stopped => self.stopped().await?,
                }
            }
            if tasks_done && fold.as_ref().is_none_or(Fold::is_idle) {
                return Ok(());
            }
            let sleep = self.settings.clock.sleep(wake.saturating_sub(now));
            tokio::select! {
                biased;
                Some(answered) = self.in_flight.next(), if !self.in_flight.is_empty() => {
                    self.answered(answered, fold);
                }
                Some((node, read)) = reads.next(), if !reads.is_empty() => {
                    if let Some(fold) = fold.as_mut() {
                        tasks_done &= self.has_read(node, read, fold).await?;
                    }
                }
                () = sleep => {}
            }
        }
    }

    /// What the journal and the user want now and then.
    async fn poll_signals(&mut self) -> Result<()> {
        let now = self.unix();
        if now - self.looked_for_cancel >= crate::journal::HEARTBEAT / 2.0 {
            self.looked_for_cancel = now;
            if let Some(abandon) = cancel_requested(&self.storage).await? {
                self.settings.signal.raise(if abandon { 2 } else { 1 });
            }
        }
        if self.settings.signal.level() > 0 {
            self.run.cancel();
        }
        self.poll_pause();
        self.poll_queue();
        if self.settings.signal.takes_retry_now() {
            self.run.retry_now();
        }
        if self.journal.is_due(now) {
            self.flush(RunState::Running).await?;
        }
        Ok(())
    }

    /// Tells the schedule which attempts have left the queue: what waits there is not late.
    fn poll_queue(&mut self) {
        let now = self.settings.clock.now();
        let run = &mut self.run;
        self.waiting.retain(|(attempt, taken)| {
            let is_taken = taken.is_told();
            if is_taken {
                run.on_taken(*attempt, now);
            }
            !is_taken
        });
    }

    /// Whoever watches elsewhere hears of a pause too.
    fn poll_pause(&mut self) {
        let paused = self.settings.signal.is_paused();
        if paused != self.paused {
            let text = if paused { "paused: tasks under way end" } else { "going on after a pause" };
            self.note(RunEvent::Note { text: text.to_owned() });
        }
        self.paused = paused;
        self.run.pause(paused);
    }

    fn invoke(&mut self, order: NewAttempt) {
        self.attempts += 1;
        let function = self.run.functions()[order.function].name.clone();
        self.note(RunEvent::Invoked {
            attempt: order.attempt,
            task: self.name(&order.work),
            number: order.number,
            function,
            backup: order.backup,
        });
        let Some(stage) = self.object.clone() else { return };
        let invocation = Invocation {
            protocol: PROTOCOL,
            version: VERSION.to_owned(),
            run: self.storage.url(),
            stage,
            work: order.work,
            look: order.look,
            seconds: order.limit.as_secs().try_into().unwrap_or(u32::MAX),
            kind: self.settings.kind,
        };
        let (invoker, clock) = (Arc::clone(&self.settings.invoker), Arc::clone(&self.settings.clock));
        let NewAttempt { attempt, function, limit, .. } = order;
        let (begun, taken) = (clock.now(), Taken::default());
        if self.run.functions()[function].is_pool() {
            self.waiting.push((attempt, taken.clone()));
        }
        let work = async move {
            let invoked = invoker.invoke_told(function, invocation, limit, &taken).await;
            Answered { attempt, function, limit, begun, invoked }
        };
        self.in_flight.push(work.boxed());
    }

    fn answered(&mut self, answered: Answered, fold: &mut Option<Fold>) {
        let Answered { attempt, function, limit, begun, invoked } = answered;
        self.waiting.retain(|(waiting, _)| *waiting != attempt);
        let now = self.settings.clock.now();
        let took = now.saturating_sub(begun).as_secs_f64();
        let throttled = failed_as(&invoked.answer, FailureClass::Throttled);
        let rates = self.settings.invoker.rates();
        let of = &self.run.functions()[function];
        // What was turned away is not billed; what got lost may be, for as long as it took, but a worker ends at its limit.
        let dollars = match (&invoked.billed, throttled) {
            (Some(billed), _) => of.dollars(&rates, billed.seconds),
            (None, true) => 0.0,
            (None, false) if failed_as(&invoked.answer, FailureClass::Absent) => 0.0,
            (None, false) => of.dollars(&rates, took.min(limit.as_secs_f64())),
        };
        match invoked.answer {
            Answer::Done(report) => {
                let effect = self.run.on_report(attempt, &report, dollars, now);
                self.bytes_read += report.bytes_read;
                let (done, tasks) = self.run.progress();
                self.note(RunEvent::Done(TaskDone {
                    attempt,
                    seconds: report.seconds,
                    took,
                    billed: invoked.billed.map(|b| b.seconds),
                    rows: report.rows,
                    bytes_read: report.bytes_read,
                    bytes: report.bytes,
                    requests: report.gets + report.puts,
                    throttles: report.throttles,
                    peak_memory: invoked.billed.map_or(0, |b| b.peak_memory).max(report.peak_memory),
                    cached: report.cached,
                    found: report.found,
                    ignored: effect == Effect::Ignored,
                    done,
                    tasks,
                }));
                if let (Effect::Sum(node), Some(fold)) = (&effect, fold.as_mut()) {
                    fold.ready(*node, report.bytes);
                }
            }
            Answer::Failed(failure) => {
                match failure.class {
                    FailureClass::Throttled => self.throttled += 1,
                    _ => self.failures += 1,
                }
                let fraction = self.settings.clock.fraction();
                let handled = self.run.on_failure(attempt, failure.clone(), dollars, now, fraction);
                self.note(failed(attempt, failure, &handled, took));
            }
        }
    }

    fn read(&self, node: Node) -> LocalBoxFuture<'static, Read> {
        let storage = self.storage.clone();
        let key = self.sum_key(node);
        async move {
            let read = match storage.get_async(&key, None).await {
                Ok((bytes, _)) => Bundle::decode(&bytes),
                Err(e) => Err(e.into()),
            };
            (node, read)
        }
        .boxed_local()
    }

    fn sum_key(&self, node: Node) -> String {
        let stage = self.object.as_ref().map_or("", |object| &object.checksum);
        keys::result(stage, &Work::Shards { node, part: None })
    }

    /// Adds a sum; one that is missing or damaged is removed and made again. Whether all tasks are still done.
    async fn has_read(&mut self, node: Node, read: Result<Bundle>, fold: &mut Fold) -> Result<bool> {
        let error = match read {
            Ok(bundle) => {
                fold.add(node, bundle);
                return Ok(true);
            }
            Err(error) => error,
        };
        fold.failed();
        if !matches!(error.storage(), Some(StoreErrorKind::Corrupt | StoreErrorKind::NotFound)) {
            return Err(error);
        }
        self.failures += 1;
        let key = self.sum_key(node);
        self.storage.delete_async(&key).await?;
        let failure = TaskFailure::new(FailureClass::Corrupt, error.to_string()).at(key);
        let handled = self.run.on_damaged(node, failure.clone(), self.settings.clock.now());
        self.note(failed(0, failure, &handled, 0.0));
        Ok(false)
    }

    /// Ends the run: waits for the attempts under way, unless the user does not, and says why.
    async fn stopped(&mut self) -> std::result::Result<(), WorkerFailure> {
        let wait = self.in_flight.is_empty() || self.settings.signal.level() > 1;
        if !wait {
            return Ok(());
        }
        let Some(stop) = self.run.stopped().cloned() else { return Ok(()) };
        let cost = self.run.cost();
        let url = self.storage.url();
        let name = url.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let (state, reason, failure) = match stop {
            Stop::Failed { work, failure } => {
                let task = self.name(&work);
                let reason = format!("{task}: {}", failure.message);
                (RunState::Failed, reason, WorkerFailure::Task { task, failure })
            }
            Stop::Cost => {
                let error = EngineError::failed(format!(
                    "stopped at ${:.6} of the ${:.6} that --max-cost allows: another task may cost up to ${:.6}",
                    cost.spent,
                    cost.cap.unwrap_or_default(),
                    cost.refused
                ))
                .with_hint(format!("`stagger resume {name}` with a higher --max-cost goes on where it was"));
                (RunState::Stopped, error.to_string(), error.into())
            }
            Stop::Credentials(failure) => {
                let error =
                    EngineError::failed(format!("credentials were not renewed in time: {}", failure.message))
                        .with_hint(format!("log in again; `stagger resume {name}` goes on where it was"));
                (RunState::Stopped, error.to_string(), error.into())
            }
            Stop::Absent(failure) => {
                let hint = format!("start workers; `stagger resume {name}` goes on where it was");
                let error = EngineError::failed(failure.message).with_hint(hint);
                (RunState::Stopped, error.to_string(), error.into())
            }
            Stop::Cancelled => {
                let left = self.in_flight.len();
                let still = if left > 0 {
                    format!("; {left} tasks under way end by themselves")
                } else {
                    String::new()
                };
                let error = EngineError::failed(format!("cancelled{still}"))
                    .with_hint(format!("`stagger resume {name}` goes on where it was"));
                (RunState::Stopped, error.to_string(), error.into())
            }
        };
        let hint = match &failure {
            WorkerFailure::Task { failure, .. } => failure.hint.clone(),
            WorkerFailure::Engine(error) => error.hint(),
        };
        self.ended = true;
        self.note(RunEvent::Stopped { reason, hint, resumable: state == RunState::Stopped });
        self.flush(state).await?;
        Err(failure)
    }

    /// A task, with the panel's number of a single shard: in a sample tasks count the shards that take part.
    fn name(&self, work: &Work) -> String {
        match work {
            Work::Shards { node: Node { level: 0, index }, part } if self.stride > 1 => {
                let node = Node { level: 0, index: index * self.stride };
                Work::Shards { node, part: *part }.to_string()
            }
            Work::Shards { .. } | Work::Reduce { .. } if self.stride > 1 => {
                format!("{work} of every {}th", self.stride)
            }
            _ => work.to_string(),
        }
    }

    /// Notes an error that did not come from a task: bad input, storage.
    pub(super) async fn end(&mut self, error: &EngineError) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        self.ended = true;
        let resumable = !error.is_input();
        let hint = error.hint();
        self.note(RunEvent::Stopped { reason: error.to_string(), hint, resumable });
        self.flush(if resumable { RunState::Stopped } else { RunState::Failed }).await
    }

    /// What tasks of the last stage wrote.
    pub(super) async fn results(&self, works: &[Work]) -> Result<Vec<Bytes>> {
        let stage = self.object.as_ref().map_or("", |object| &object.checksum);
        let read = |work: &Work| {
            let key = keys::result(stage, work);
            async move { self.storage.get_async(&key, None).await.map(|(bytes, _)| bytes) }
        };
        let reads: Vec<_> = works.iter().map(read).collect();
        let all: Vec<_> = futures::stream::iter(reads).buffered(READS).collect().await;
        Ok(all.into_iter().collect::<std::result::Result<_, _>>()?)
    }

    /// Attempts that are still under way although nothing waits for them, and dollars that they may cost.
    pub(super) fn left(&self) -> (usize, f64) {
        (self.in_flight.len(), self.run.cost().reserved)
    }
}

fn failed_as(answer: &Answer, class: FailureClass) -> bool {
    matches!(answer, Answer::Failed(failure) if failure.class == class)
}

fn failed(attempt: u64, failure: TaskFailure, handled: &Handled, took: f64) -> RunEvent {
    let TaskFailure { class, message, place, hint, .. } = failure;
    RunEvent::Failed { attempt, class, message, place, hint, remedy: remedy(handled), took }
}

fn remedy(handled: &Handled) -> String {
    match handled {
        Handled::Again(_) => "again".to_owned(),
        Handled::Larger(function) => format!("again on function {}", function + 1),
        Handled::Elsewhere(function) => format!("on function {} instead", function + 1),
        Handled::Split(pieces) => format!("split in {pieces}"),
        Handled::Fatal(_) => "given up".to_owned(),
        Handled::Ignored => "nothing: it is done, or another attempt is under way".to_owned(),
    }
}
