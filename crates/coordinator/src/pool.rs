//! The controller's side of a pool: an attempt is a message, signs of life and an answer.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use stagger_model::cost::UnitPrices;
use stagger_model::error::FailureClass;
use stagger_protocol::messages::{Answer, Invocation, TaskFailure};
use stagger_queue::message;
use stagger_queue::message::{TaskMessage, WorkerReply};
use stagger_queue::queue::Queue;
use stagger_schedule::Function;
use stagger_storage::open::OpenStorage;
use stagger_storage::{Clock, Condition, Storage, StoreErrorKind};

use crate::{Bill, InvocationOutcome, Invoker, TakenSignal};

/// The settings of a pool as a controller uses it.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// The controller's mark: signs and answers for it lie below.
    pub mark: String,
    /// The pool's workers, described as a function.
    pub function: Function,
    /// Prices of everything that is paid for besides the workers.
    pub rates: UnitPrices,
    /// The time that a task waits while no worker takes any.
    pub patience: Duration,
    /// The time without a sign of life after which a worker is taken for gone.
    pub silence: Duration,
}

/// Seconds after which a message is not worth doing, whose controller died without a sign.
const LONGEST: f64 = 86_400.0;
/// Times between two lists of answers, for short tasks and for longer ones: short tasks are answered soon, and a list
/// costs $0.000005.
const LOOK: [Duration; 2] = [Duration::from_millis(150), Duration::from_millis(500)];
/// The longest time of a short task.
const SHORT: Duration = Duration::from_secs(5);
/// The time beyond the attempt's limit for which an answer is waited for: the worker gives up at the limit, but
/// checks it only between shards.
const MARGIN: Duration = Duration::from_secs(60);

/// Containers behind a queue. Clones are the same pool.
#[derive(Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    queue: Arc<dyn Queue>,
    open: OpenStorage,
    clock: Arc<dyn Clock>,
    settings: PoolSettings,
    next: AtomicU64,
    seen: Mutex<SeenMessages>,
    /// The lock of the task that lists answers: it does so for all that wait.
    looking: futures::lock::Mutex<()>,
}

/// The result of the last list.
#[derive(Debug, Default)]
struct SeenMessages {
    at: Option<Duration>,
    /// By message: its last sign of life, the times at which that one and the first one were seen, and whether the
    /// answer is there.
    messages: BTreeMap<u64, Signs>,
    /// The time at which a worker last took a task, or showed that it lives.
    taken: Option<Duration>,
    /// The address of the run whose tasks these are.
    run: Option<String>,
}

#[derive(Clone, Debug, Default)]
struct Signs {
    etag: String,
    beat: Option<Duration>,
    first: Option<Duration>,
    answered: bool,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("queue", &self.inner.queue)
            .field("settings", &self.inner.settings)
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// Returns a pool that has sent nothing yet.
    pub fn new(
        queue: Arc<dyn Queue>,
        open: OpenStorage,
        clock: Arc<dyn Clock>,
        settings: PoolSettings,
    ) -> Self {
        let inner = Inner {
            queue,
            open,
            clock,
            settings,
            next: AtomicU64::new(1),
            seen: Mutex::default(),
            looking: futures::lock::Mutex::new(()),
        };
        Self { inner: Arc::new(inner) }
    }
}

#[async_trait]
impl Invoker for Pool {
    fn name(&self) -> &str {
        "queue"
    }

    fn functions(&self) -> Vec<Function> {
        vec![self.inner.settings.function.clone()]
    }

    fn prices(&self) -> UnitPrices {
        self.inner.settings.rates
    }

    async fn invoke(&self, function: usize, invocation: Invocation, limit: Duration) -> InvocationOutcome {
        self.invoke_with_signal(function, invocation, limit, &TakenSignal::default()).await
    }

    async fn invoke_with_signal(
        &self,
        _function: usize,
        invocation: Invocation,
        limit: Duration,
        taken: &TakenSignal,
    ) -> InvocationOutcome {
        match self.inner.invoke(invocation, limit, taken).await {
            Ok(invoked) => invoked,
            Err(failure) => InvocationOutcome { answer: Answer::Failed(failure), billed: None },
        }
    }

    async fn end_run(&self) {
        self.inner.end().await;
    }
}

impl Inner {
    async fn invoke(
        &self,
        invocation: Invocation,
        limit: Duration,
        taken: &TakenSignal,
    ) -> Result<InvocationOutcome, TaskFailure> {
        let storage = (self.open)(&invocation.run).map_err(of_store)?;
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        let sent = self.clock.now();
        self.seen().run = Some(invocation.run.clone());
        let message = TaskMessage {
            invocation,
            mark: self.settings.mark.clone(),
            number,
            until: self.clock.unix_seconds() + LONGEST,
        };
        let body = serde_json::to_string(&message)
            .map_err(|e| TaskFailure::new(FailureClass::Permanent, e.to_string()))?;
        self.queue.send(&body).await?;
        loop {
            let pause = LOOK[usize::from(self.clock.now() > sent + SHORT)];
            self.clock.sleep(pause).await;
            if let Err(failure) = self.list_answers(&storage).await {
                // Workers go on meanwhile: a short failure of storage must not cause every task to be done again.
                let since = self.seen().at.unwrap_or_default().max(sent);
                let passing = !matches!(failure.class, FailureClass::Permanent | FailureClass::Data);
                if passing && self.clock.now() < since + self.settings.silence {
                    continue;
                }
                return Err(failure);
            }
            let (signs, last) = {
                let seen = self.seen();
                (seen.messages.get(&number).cloned().unwrap_or_default(), seen.taken)
            };
            if signs.first.is_some() {
                taken.raise();
            }
            if signs.answered {
                return self.take_answer(&storage, &message).await;
            }
            let gone = self.check_alive(&signs, sent.max(last.unwrap_or_default()), limit);
            if let Err(failure) = gone {
                return self.give_up(&storage, &message, failure).await;
            }
        }
    }

    /// Answers in the place of a worker, so that a worker that takes the message later does not do the task; returns
    /// the worker's answer if it has just come.
    async fn give_up(
        &self,
        storage: &Storage,
        message: &TaskMessage,
        failure: TaskFailure,
    ) -> Result<InvocationOutcome, TaskFailure> {
        // The controller's own answer must not count as a sign of a worker.
        self.seen().messages.entry(message.number).or_default().first.get_or_insert(self.clock.now());
        let answer = Answer::Failed(failure.clone());
        let reply = WorkerReply {
            answer,
            worker: String::new(),
            seconds: 0.0,
            at_once: 1,
            peak_memory: 0,
            device_memory: None,
        };
        match storage.put_async(&message.answer_key(), reply.encode(), Condition::IfAbsent).await {
            Err(e) if e.kind == StoreErrorKind::Exists => self.take_answer(storage, message).await,
            // If it can't be written, a worker may do a task that nobody waits for.
            _ => Err(failure),
        }
    }

    /// Lists the signs and answers for this controller, unless another task has just done so.
    async fn list_answers(&self, storage: &Storage) -> Result<(), TaskFailure> {
        let _looking = self.looking.lock().await;
        let now = self.clock.now();
        if self.seen().at.is_some_and(|at| now < at + LOOK[0]) {
            return Ok(());
        }
        let listed =
            storage.list_async(&message::message_prefix(&self.settings.mark)).await.map_err(of_store)?;
        let now = self.clock.now();
        let mut seen = self.seen();
        seen.at = Some(now);
        for info in listed {
            let Some((number, is_answer)) = message::parse_key(&info.key) else { continue };
            let signs = seen.messages.entry(number).or_default();
            // A message that was seen before is no news, and neither is a sign that comes after its answer.
            let mut news = signs.first.is_none();
            signs.first.get_or_insert(now);
            if is_answer {
                signs.answered = true;
            } else if signs.etag != info.etag {
                (signs.etag, signs.beat) = (info.etag, Some(now));
                news |= !signs.answered;
            }
            if news {
                seen.taken = Some(now);
            }
        }
        Ok(())
    }

    /// Fails if no worker will answer any more; `since` is the time at which a worker last took any task, or the
    /// message was sent.
    fn check_alive(&self, signs: &Signs, since: Duration, limit: Duration) -> Result<(), TaskFailure> {
        let (now, settings) = (self.clock.now(), &self.settings);
        let Some(first) = signs.first else {
            if now > since + settings.patience {
                return Err(absent(&self.queue.name(), settings.patience));
            }
            return Ok(());
        };
        let lost = |text: String| Err(TaskFailure::new(FailureClass::Lost, text));
        let silent = now.saturating_sub(signs.beat.unwrap_or(first));
        if silent > settings.silence {
            return lost(format!("its worker has shown no sign of life for {} s", silent.as_secs()));
        }
        if now > first + limit + MARGIN {
            return lost(format!("no answer after {} s", (limit + MARGIN).as_secs()));
        }
        Ok(())
    }

    async fn take_answer(
        &self,
        storage: &Storage,
        message: &TaskMessage,
    ) -> Result<InvocationOutcome, TaskFailure> {
        let key = message.answer_key();
        let (bytes, _) = storage.get_async(&key, None).await.map_err(of_store)?;
        let reply: WorkerReply = serde_json::from_slice(&bytes).map_err(|e| {
            TaskFailure::new(FailureClass::Corrupt, format!("the answer can't be read: {e}")).at(key.clone())
        })?;
        // Objects that stay are swept with the run's other ones.
        for key in [key, message.taken_key()] {
            let _ = storage.delete_async(&key).await;
        }
        // The price of a worker is shared among the tasks that it does at a time.
        let seconds = reply.seconds / f64::from(reply.at_once.max(1));
        let billed = Bill { seconds, peak_memory: reply.peak_memory, init: None };
        Ok(InvocationOutcome { answer: reply.answer, billed: Some(billed) })
    }

    /// Tells workers that the controller waits for no message any more.
    async fn end(&self) {
        let Some(run) = self.seen().run.clone() else { return };
        let Ok(storage) = (self.open)(&run) else { return };
        let key = message::controller_over_key(&self.settings.mark);
        // Without this sign workers leave a little later.
        let _ = storage.put_async(&key, Bytes::from_static(b"{}"), Condition::Always).await;
    }

    fn seen(&self) -> MutexGuard<'_, SeenMessages> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn absent(queue: &str, patience: Duration) -> TaskFailure {
    TaskFailure::new(
        FailureClass::Absent,
        format!("no worker has taken a task from `{queue}` for {} s", patience.as_secs()),
    )
    .with_hint("start workers (`gpu-worker --queue URL`), or wait longer with --queue-patience SECONDS")
}

fn of_store(error: stagger_storage::StoreError) -> TaskFailure {
    let kind = error.kind;
    let mut failure: TaskFailure = stagger_model::error::StaggerError::from(error).into();
    // A worker may be writing the object at this moment.
    if kind == StoreErrorKind::NotFound {
        failure.class = FailureClass::Lost;
    }
    failure
}
