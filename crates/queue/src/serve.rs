//! A worker's loop: it receives messages, has tasks done, shows that it lives, answers and leaves.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::{Either, select};
use stagger_model::error::FailureClass;
use stagger_protocol::messages::{Answer, Invocation, TaskFailure};
use stagger_storage::open::{OpenStorage, is_absent_or_denied};
use stagger_storage::{Clock, Condition, Storage, StoreErrorKind, check_key};
use stagger_worker::{Worker, peak_memory};

use super::message::{Heartbeat, TaskMessage, WorkerReply};
use super::queue::{Queue, ReceivedMessage};

/// An executor of tasks.
#[async_trait]
pub trait TaskExecutor: Send + Sync {
    /// Does one task.
    async fn execute(&self, invocation: Invocation) -> Answer;

    /// Returns the most bytes of device memory in use so far; `None` on a processor.
    fn device_memory(&self) -> Option<u64> {
        None
    }
}

/// A [`Worker`] on a thread of the runtime that may block.
#[derive(Debug)]
pub struct BlockingExecutor {
    worker: Arc<Worker>,
}

impl BlockingExecutor {
    /// Returns an executor that has `worker` do the tasks.
    pub fn new(worker: Worker) -> Self {
        Self { worker: Arc::new(worker) }
    }
}

#[async_trait]
impl TaskExecutor for BlockingExecutor {
    async fn execute(&self, invocation: Invocation) -> Answer {
        let worker = Arc::clone(&self.worker);
        let done = tokio::task::spawn_blocking(move || worker.handle(&invocation)).await;
        let ended = |e: tokio::task::JoinError| {
            Answer::Failed(TaskFailure::new(FailureClass::Lost, format!("the worker's thread ended: {e}")))
        };
        done.unwrap_or_else(ended)
    }

    fn device_memory(&self) -> Option<u64> {
        self.worker.device_memory().map(|memory| memory.peak)
    }
}

/// A signal that tells a worker to leave: it gives its task back and ends. Clones are the same signal.
#[derive(Clone, Debug, Default)]
pub struct StopSignal(Arc<AtomicBool>);

impl StopSignal {
    /// Raises the signal.
    pub fn raise(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Returns whether the signal was raised.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// The settings of a worker at a queue.
#[derive(Clone, Debug)]
pub struct QueueWorkerSettings {
    /// The worker's name, for signs and replies.
    pub name: String,
    /// Tasks that its process does at a time.
    pub at_once: u32,
    /// The time for which a message is hidden from other receivers, unless its worker shows that it lives.
    pub hidden: Duration,
    /// The time without a message after which it leaves.
    pub idle: Duration,
    /// True if it leaves at once when the queue is empty and the run that it worked for is over.
    pub leaves_with_run: bool,
}

/// The reason why a worker left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// There was nothing to do for the time that the settings give.
    Idle,
    /// The run that it worked for is over.
    RunOver,
    /// It was told to leave.
    Stopped,
}

/// An event of a worker, for its log.
#[derive(Clone, Debug, PartialEq)]
pub enum WorkerEvent<'a> {
    /// It took a message.
    Taken(&'a TaskMessage),
    /// It answered a message.
    Answered(&'a TaskMessage, &'a WorkerReply),
    /// It passed over a message, for a reason.
    Skipped(String),
    /// A request to the queue failed and will be tried again.
    Retrying(&'a TaskFailure),
}

/// A worker at its queue.
pub struct QueueWorker {
    queue: Arc<dyn Queue>,
    hands: Arc<dyn TaskExecutor>,
    open: OpenStorage,
    clock: Arc<dyn Clock>,
    settings: QueueWorkerSettings,
    stop: StopSignal,
}

impl fmt::Debug for QueueWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attendant")
            .field("queue", &self.queue)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// The longest that SQS waits for a message.
const WAIT: Duration = Duration::from_secs(20);
/// The longest that a worker waits for a message when its run may be over by then.
const NEAR: Duration = Duration::from_secs(5);
/// The time between two checks for the signal to leave.
const TICK: Duration = Duration::from_millis(250);
/// Signs of life in the time for which a message is hidden once: two may get lost.
const BEATS: u32 = 3;
/// The longest time between two signs of life: a controller takes a worker that is silent for 90 s for gone.
const RARELY: Duration = Duration::from_secs(20);
/// The time beyond a task's limit after which it hangs: a worker checks the limit only between two shards.
const MARGIN: Duration = Duration::from_secs(60);
/// The number of retries of a queue that fails, and the first pause between them, which doubles.
const PATIENCE: (u32, Duration) = (8, Duration::from_millis(500));

impl QueueWorker {
    /// Returns a worker that has taken nothing yet.
    pub fn new(
        queue: Arc<dyn Queue>,
        hands: Arc<dyn TaskExecutor>,
        open: OpenStorage,
        clock: Arc<dyn Clock>,
        settings: QueueWorkerSettings,
        stop: StopSignal,
    ) -> Self {
        Self { queue, hands, open, clock, settings, stop }
    }

    /// Works until there is nothing to do, or it is told to leave; reports every event to `told`.
    ///
    /// # Errors
    /// A queue that can't be used.
    pub async fn serve(&self, told: &(dyn Fn(WorkerEvent<'_>) + Sync)) -> Result<Exit, TaskFailure> {
        let mut since = self.clock.now();
        let mut last: Option<TaskMessage> = None;
        let mut failures = 0;
        loop {
            if self.stop.is_raised() {
                return Ok(Exit::Stopped);
            }
            let left = (since + self.settings.idle).saturating_sub(self.clock.now());
            // Between two requests for messages it checks whether the run that it worked for is over.
            let wait = if last.is_some() { NEAR } else { WAIT };
            match self.receive(wait.min(left)).await {
                Ok(Some(delivery)) => {
                    failures = 0;
                    // A text that is no message of a run does not keep the worker here.
                    if let Some(message) = self.handle_delivery(delivery, told).await {
                        (last, since) = (Some(message), self.clock.now());
                    }
                }
                Ok(None) => {
                    failures = 0;
                    if self.settings.leaves_with_run
                        && let Some(message) = &last
                        && self.is_over(message).await
                    {
                        return Ok(Exit::RunOver);
                    }
                    if self.clock.now().saturating_sub(since) >= self.settings.idle {
                        return Ok(Exit::Idle);
                    }
                }
                Err(failure) => {
                    let fatal = matches!(failure.class, FailureClass::Permanent | FailureClass::Data);
                    failures += 1;
                    if fatal || failures > PATIENCE.0 {
                        return Err(failure);
                    }
                    told(WorkerEvent::Retrying(&failure));
                    self.clock.sleep(PATIENCE.1 * (1 << failures.min(6))).await;
                }
            }
        }
    }

    /// Receives the next message, unless the worker is told to leave meanwhile.
    async fn receive(&self, wait: Duration) -> Result<Option<ReceivedMessage>, TaskFailure> {
        let receive = Box::pin(self.queue.receive(wait, self.settings.hidden));
        match select(receive, Box::pin(self.wait_for_stop())).await {
            Either::Left((received, _)) => received,
            // A message that was on its way stays hidden for a while and is there again.
            Either::Right(((), _)) => Ok(None),
        }
    }

    async fn wait_for_stop(&self) {
        while !self.stop.is_raised() {
            self.clock.sleep(TICK).await;
        }
    }

    /// Handles one message, from its receipt to its answer; returns it if it was one of a run.
    async fn handle_delivery(
        &self,
        delivery: ReceivedMessage,
        told: &(dyn Fn(WorkerEvent<'_>) + Sync),
    ) -> Option<TaskMessage> {
        let message: TaskMessage = match serde_json::from_str(&delivery.body) {
            Ok(message) => message,
            Err(e) => {
                // It is delivered again until the queue moves it to its dead-letter queue.
                told(WorkerEvent::Skipped(format!("a message can't be read: {e}")));
                return None;
            }
        };
        match self.answer_message(&delivery, &message, told).await {
            Ok(()) => {
                // If it is not deleted, it comes back and is answered once more, which nobody reads.
                if let Err(failure) = self.queue.delete(&delivery.receipt).await {
                    told(WorkerEvent::Retrying(&failure));
                }
            }
            Err(failure) => {
                told(WorkerEvent::Skipped(format!("`{}`: {}", message.answer_key(), failure.message)))
            }
        }
        Some(message)
    }

    async fn answer_message(
        &self,
        delivery: &ReceivedMessage,
        message: &TaskMessage,
        told: &(dyn Fn(WorkerEvent<'_>) + Sync),
    ) -> Result<(), TaskFailure> {
        let storage = (self.open)(&message.invocation.run).map_err(of_store)?;
        // Signs and answers lie below the run, whatever a message says of itself.
        check_key(&message.answer_key()).map_err(of_store)?;
        if self.clock.unix_seconds() > message.until && delivery.times == 1 {
            told(WorkerEvent::Skipped(format!("`{}`: nobody waits for it any more", message.answer_key())));
            return Ok(());
        }
        if exists(&storage, &message.over_key()).await? || exists(&storage, &message.answer_key()).await? {
            told(WorkerEvent::Skipped(format!(
                "`{}`: it is answered, or its run is over",
                message.answer_key()
            )));
            return Ok(());
        }
        if delivery.times > 1 {
            let gone = TaskFailure::new(FailureClass::Lost, "the worker that had the task is gone");
            let reply = self.reply(Answer::Failed(gone), 0.0);
            return self.write_reply(&storage, message, &reply, told).await;
        }
        told(WorkerEvent::Taken(message));
        let begin = self.clock.now();
        let answer = self.execute_task(&storage, delivery, message).await;
        let seconds = self.clock.now().saturating_sub(begin).as_secs_f64();
        self.write_reply(&storage, message, &self.reply(answer, seconds), told).await
    }

    /// Has the task done, and shows meanwhile that the worker lives.
    async fn execute_task(
        &self,
        storage: &Storage,
        delivery: &ReceivedMessage,
        message: &TaskMessage,
    ) -> Answer {
        let work = self.hands.execute(message.invocation.clone());
        let beats = Box::pin(self.keep_alive(storage, delivery, message));
        let leave = Box::pin(self.wait_for_stop());
        let failed = |class, why: &str| Answer::Failed(TaskFailure::new(class, why));
        match select(work, select(beats, leave)).await {
            Either::Left((answer, _)) => answer,
            Either::Right((Either::Left(_), _)) => {
                failed(FailureClass::Lost, "it took much longer than it may, or nobody waits for it any more")
            }
            Either::Right((Either::Right(_), _)) => {
                failed(FailureClass::Returned, "the worker was told to leave and gives the task back")
            }
        }
    }

    /// Writes signs of life for as long as they are waited for: a task that hangs must not keep its place for ever.
    async fn keep_alive(&self, storage: &Storage, delivery: &ReceivedMessage, message: &TaskMessage) {
        let longest = Duration::from_secs(message.invocation.seconds.into()) + MARGIN;
        let until = self.clock.now() + longest;
        for beats in 1.. {
            let sign = Heartbeat { worker: self.settings.name.clone(), beats };
            let bytes = Bytes::from(serde_json::to_vec(&sign).unwrap_or_default());
            // A lost sign is made up for by the next one.
            let _ = storage.put_async(&message.taken_key(), bytes, Condition::Always).await;
            self.clock.sleep((self.settings.hidden / BEATS).min(RARELY)).await;
            if self.clock.now() > until || exists(storage, &message.answer_key()).await.unwrap_or(false) {
                return;
            }
            let _ = self.queue.change_visibility(&delivery.receipt, self.settings.hidden).await;
        }
    }

    fn reply(&self, answer: Answer, seconds: f64) -> WorkerReply {
        WorkerReply {
            answer,
            worker: self.settings.name.clone(),
            seconds,
            at_once: self.settings.at_once,
            peak_memory: peak_memory(),
            device_memory: self.hands.device_memory(),
        }
    }

    async fn write_reply(
        &self,
        storage: &Storage,
        message: &TaskMessage,
        reply: &WorkerReply,
        told: &(dyn Fn(WorkerEvent<'_>) + Sync),
    ) -> Result<(), TaskFailure> {
        match storage.put_async(&message.answer_key(), reply.encode(), Condition::IfAbsent).await {
            Ok(_) => {}
            // Another worker has answered: a message may be delivered twice.
            Err(e) if e.kind == StoreErrorKind::Exists => {}
            Err(e) => return Err(of_store(e)),
        }
        told(WorkerEvent::Answered(message, reply));
        Ok(())
    }

    async fn is_over(&self, message: &TaskMessage) -> bool {
        match (self.open)(&message.invocation.run) {
            Ok(storage) => exists(&storage, &message.over_key()).await.unwrap_or(false),
            Err(_) => false,
        }
    }
}

async fn exists(storage: &Storage, key: &str) -> Result<bool, TaskFailure> {
    match storage.get_async(key, None).await {
        Ok(_) => Ok(true),
        Err(e) if is_absent_or_denied(e.kind) => Ok(false),
        Err(e) => Err(of_store(e)),
    }
}

fn of_store(error: stagger_storage::StoreError) -> TaskFailure {
    stagger_model::error::StaggerError::from(error).into()
}
