//! A run under way: the loop around the state machine, which invokes, reads and writes what [`Run`] says, and hands every answer back
//! to it.
//!
//! - `stage`: the stage under way. `in_flight`: the attempts whose answers are waited for. `answers`: reports, failures and sums.
//! - `objects`: the run's objects in storage. `recorder`: journal and listener. `accounts`: counts, and the bill of own requests.
//! - `signals`: the wishes of the user. `ending`: the end before the run's time.

mod accounts;
mod answers;
mod ending;
mod in_flight;
mod objects;
mod recorder;
mod signals;
mod stage;

use std::time::Duration;

use bytes::Bytes;
use futures::future::LocalBoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use stagger_model::error::{Result, StaggerError};
use stagger_model::events::{ObjectRef, Observer, RunEvent, RunState, Summary};
use stagger_protocol::bundle::PartialBundle;
use stagger_protocol::messages::Work;
use stagger_schedule::{Next, Run};
use stagger_storage::Storage;
use tracing::Instrument;

use self::accounts::Accounts;
use self::in_flight::InFlight;
use self::objects::{ReadSum, RunObjects};
use self::recorder::Recorder;
use self::signals::Polled;
use self::stage::CurrentStage;

use super::settings::Settings;
use super::{WorkerFailure, fold};
use crate::journal::Journal;

pub(super) use self::stage::{StagePlan, Sums};

/// Time between two looks at the user's wishes.
const TICK: Duration = Duration::from_millis(200);

/// Sums of a stage as they come.
type Fold = fold::TreeSum<PartialBundle>;

/// A run under way.
pub(super) struct Session<'a> {
    pub(super) settings: Settings,
    pub(super) objects: RunObjects,
    recorder: Recorder<'a>,
    run: Run,
    in_flight: InFlight,
    stage: CurrentStage,
    accounts: Accounts,
    polled: Polled,
    /// Time when this controller began.
    started: Duration,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        settings: Settings,
        storage: Storage,
        observer: Observer<'a>,
        journal: Journal,
        run: Run,
    ) -> Self {
        Self {
            objects: RunObjects::new(storage),
            recorder: Recorder::new(observer, journal, settings.clock.clone()),
            run,
            in_flight: InFlight::default(),
            stage: CurrentStage { stride: 1, ..CurrentStage::default() },
            accounts: Accounts::default(),
            polled: Polled { looked_for_cancel: settings.clock.unix_seconds(), paused: false },
            started: settings.clock.now(),
            settings,
        }
    }

    /// Returns the listener of the run's events.
    pub(super) fn observer(&self) -> Observer<'a> {
        self.recorder.observer
    }

    /// Returns the run in a few numbers.
    pub(super) fn summary(&self, state: RunState) -> Summary {
        let (done, tasks) = self.run.progress();
        Summary {
            state,
            stage: self.stage.name.clone(),
            done,
            tasks,
            under_way: self.run.under_way(),
            cost: self.run.cost(),
            bytes_read: self.accounts.bytes_read,
            attempts: self.accounts.attempts,
            failures: self.accounts.failures,
            throttled: self.accounts.throttled,
            paused: self.polled.paused && state == RunState::Running,
        }
    }

    /// Goes on counting where an earlier controller was, whose last stage and attempt had these numbers.
    pub(super) fn continue_from(&mut self, last: &Summary, stage: u64, attempt: u64) {
        self.run.number_from(attempt + 1);
        self.run.spend(last.cost.spent + last.cost.reserved);
        self.accounts.continue_from(last);
        self.stage.number = stage;
    }

    /// Returns the seconds since this controller began.
    pub(super) fn elapsed(&self) -> f64 {
        self.settings.clock.now().saturating_sub(self.started).as_secs_f64()
    }

    /// Returns the number of stages so far, those of earlier controllers included.
    pub(super) fn stages(&self) -> u64 {
        self.stage.number
    }

    /// Notes an event in the journal and tells it to whoever listens.
    pub(super) fn note(&mut self, event: RunEvent) {
        self.recorder.note(event);
    }

    /// Writes the journal now, with the bill of this process's own requests.
    ///
    /// # Errors
    /// Storage that fails; a run that another controller has taken.
    pub(super) async fn flush(&mut self, state: RunState) -> Result<()> {
        let (requests, rates) = (self.objects.storage().stats(), self.settings.invoker.prices());
        self.run.spend(self.accounts.bill_requests(requests, &rates));
        let summary = self.summary(state);
        self.recorder.flush(summary).await
    }

    /// Does a stage; adds up the sums over shards, if the stage brings any.
    ///
    /// # Errors
    /// A task that can't be done, a stop, storage that fails.
    pub(super) async fn run_stage(
        &mut self,
        name: &str,
        object: &ObjectRef,
        works: Vec<Work>,
        plan: StagePlan,
        sums: Option<Sums>,
    ) -> std::result::Result<Option<PartialBundle>, WorkerFailure> {
        let (number, stage) = (self.stage.number + 1, name.to_owned());
        self.stage = CurrentStage {
            number,
            name: stage.clone(),
            object: Some(object.clone()),
            stride: sums.map_or(1, |sums| sums.stride),
        };
        let started = self.settings.clock.now();
        let (tasks, object) = (works.len(), Some(object.clone()));
        self.note(RunEvent::StageStarted { number, stage: stage.clone(), tasks, object });
        let StagePlan { expected, sets, function, heavy } = plan;
        let is_heavy = |task: usize| heavy.get(task).copied().unwrap_or(false);
        self.run.begin_routed(function, works, expected, sets, is_heavy);
        let mut fold = sums.map(|sums| Fold::new(sums.shards));
        let span = tracing::debug_span!("stage", number, name, tasks);
        self.drive(&mut fold).instrument(span).await?;
        let seconds = self.settings.clock.now().saturating_sub(started).as_secs_f64();
        self.note(RunEvent::StageDone { number, stage, seconds });
        match fold.map(Fold::into_root) {
            None => Ok(None),
            Some(Some(sum)) => Ok(Some(sum)),
            Some(None) => Err(StaggerError::failed(format!("stage {name} lost a partial")).into()),
        }
    }

    /// Does what the state machine says until the stage is done and its sums are added.
    async fn drive(&mut self, fold: &mut Option<Fold>) -> std::result::Result<(), WorkerFailure> {
        let mut reads: FuturesUnordered<LocalBoxFuture<'static, ReadSum>> = FuturesUnordered::new();
        let mut tasks_done = false;
        loop {
            self.poll_signals().await?;
            while let Some(node) = fold.as_mut().and_then(Fold::next_read) {
                reads.push(self.objects.read_sum(self.stage.checksum(), node));
            }
            let now = self.settings.clock.now();
            let mut wake = now + TICK;
            if !tasks_done {
                match self.run.next(now) {
                    Next::Invoke(new) => {
                        self.invoke(new);
                        continue;
                    }
                    Next::Wait(until) => wake = until.map_or(wake, |until| until.min(wake)),
                    Next::Done => tasks_done = true,
                    Next::Stopped => self.end_stopped().await?,
                }
            }
            if tasks_done && fold.as_ref().is_none_or(Fold::is_idle) {
                return Ok(());
            }
            let sleep = self.settings.clock.sleep(wake.saturating_sub(now));
            tokio::select! {
                biased;
                Some(answered) = self.in_flight.next(), if !self.in_flight.is_empty() => {
                    self.accept(answered, fold);
                }
                Some((node, read)) = reads.next(), if !reads.is_empty() => {
                    if let Some(fold) = fold.as_mut() {
                        tasks_done &= self.accept_sum(node, read, fold).await?;
                    }
                }
                () = sleep => {}
            }
        }
    }

    /// Reads the results of tasks of the last stage, in the order given.
    ///
    /// # Errors
    /// The first result that can't be read.
    pub(super) async fn results(&self, works: &[Work]) -> Result<Vec<Bytes>> {
        self.objects.results(self.stage.checksum(), works).await
    }

    /// Returns the number of attempts that are still under way although nothing waits for them, and the dollars that they may cost.
    pub(super) fn left(&self) -> (usize, f64) {
        (self.in_flight.len(), self.run.cost().reserved)
    }
}
