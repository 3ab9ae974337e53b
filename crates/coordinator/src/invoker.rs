//! The trait that carries tasks to workers and their answers back, and its implementation by threads.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use stagger_model::cost::UnitPrices;
use stagger_model::error::FailureClass;
use stagger_protocol::messages::{Answer, Invocation, TaskFailure};
use stagger_schedule::Function;
use stagger_worker::{AllowedStorage, Worker, WorkerOptions};
use tokio::sync::Semaphore;

/// The bill of an invocation, as the platform reports it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bill {
    /// Billed seconds.
    pub seconds: f64,
    /// The most memory that the environment had, bytes.
    pub peak_memory: u64,
    /// Seconds of a cold start; absent where the environment was warm.
    pub init: Option<f64>,
}

/// The outcome of an invocation.
#[derive(Clone, Debug, PartialEq)]
pub struct InvocationOutcome {
    /// The worker's answer, or a failure that stands for one that never came.
    pub answer: Answer,
    /// The bill, if it is known.
    pub billed: Option<Bill>,
}

/// A signal that a worker has taken an attempt, raised by the invoker. Clones are the same signal.
#[derive(Clone, Debug, Default)]
pub struct TakenSignal(Arc<AtomicBool>);

impl TakenSignal {
    /// Raises the signal.
    pub fn raise(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Returns whether the signal was raised.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// A carrier of tasks to workers. An invocation is one attempt: retries are the state machine's.
#[async_trait]
pub trait Invoker: Debug + Send + Sync {
    /// Returns the kind of place that tasks run on, for messages.
    fn name(&self) -> &str;

    /// Returns the functions, by ascending memory.
    fn functions(&self) -> Vec<Function>;

    /// Returns the prices of everything that is paid for.
    fn prices(&self) -> UnitPrices;

    /// Has function number `function` do a task. It always answers, some time after `limit` at the latest.
    async fn invoke(&self, function: usize, invocation: Invocation, limit: Duration) -> InvocationOutcome;

    /// Does the same for a task that may wait for a worker, and raises `taken` when one has taken it.
    async fn invoke_with_signal(
        &self,
        function: usize,
        invocation: Invocation,
        limit: Duration,
        taken: &TakenSignal,
    ) -> InvocationOutcome {
        let _ = taken;
        self.invoke(function, invocation, limit).await
    }

    /// Begins the run at address `run`, before any task: anything that takes minutes to start can start now.
    ///
    /// # Errors
    /// A service that can't be started.
    async fn begin_run(&self, run: &str) -> Result<(), TaskFailure> {
        let _ = run;
        Ok(())
    }

    /// Ends the run: no task will follow, and anything that was started for it can stop.
    async fn end_run(&self) {}
}

/// The threads of this process as workers.
#[derive(Debug)]
pub struct ThreadInvoker {
    worker: Arc<Worker>,
    permits: Arc<Semaphore>,
    memory: u64,
}

/// The time limit of threads, which is never reached.
const FOREVER: Duration = Duration::from_secs(7 * 24 * 3600);

impl ThreadInvoker {
    /// Returns `threads` threads, which keep decoded shards up to a share of `memory` bytes.
    pub fn new(threads: usize, memory: u64) -> Self {
        // Their messages come from this process, which may keep a run in a folder.
        let places = AllowedStorage::unrestricted();
        let options = WorkerOptions { memory: None, places, ..WorkerOptions::with_memory(Some(memory)) };
        Self {
            worker: Arc::new(Worker::new(options)),
            permits: Arc::new(Semaphore::new(threads.max(1))),
            memory,
        }
    }
}

#[async_trait]
impl Invoker for ThreadInvoker {
    fn name(&self) -> &str {
        "threads"
    }

    fn functions(&self) -> Vec<Function> {
        let memory_mb = (self.memory >> 20).try_into().unwrap_or(u32::MAX);
        vec![Function { timeout: FOREVER, ..Function::lambda("thread", memory_mb) }]
    }

    fn prices(&self) -> UnitPrices {
        UnitPrices::FREE
    }

    async fn invoke(&self, _function: usize, invocation: Invocation, _limit: Duration) -> InvocationOutcome {
        let lost = |why: String| Answer::Failed(TaskFailure::new(FailureClass::Lost, why));
        let answer = match self.permits.acquire().await {
            Ok(_permit) => {
                let worker = Arc::clone(&self.worker);
                let done = tokio::task::spawn_blocking(move || worker.handle(&invocation)).await;
                done.unwrap_or_else(|e| lost(format!("the thread ended: {e}")))
            }
            Err(e) => lost(e.to_string()),
        };
        InvocationOutcome { answer, billed: None }
    }
}
