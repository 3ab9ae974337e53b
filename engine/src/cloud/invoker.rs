//! How a task reaches a worker and its answer comes back.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;

use crate::schedule::{Function, Rates};
use crate::worker::protocol::{Answer, FailureClass, Invocation, TaskFailure};
use crate::worker::{Places, Worker, WorkerOptions};

/// What an invocation is billed, as the platform tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Billed {
    /// Seconds.
    pub seconds: f64,
    /// Most memory that the environment had, bytes.
    pub peak_memory: u64,
    /// Seconds of a cold start; none where it was warm.
    pub init: Option<f64>,
}

/// What came of an invocation.
#[derive(Clone, Debug, PartialEq)]
pub struct Invoked {
    /// The worker's answer, or what stands for one that never came.
    pub answer: Answer,
    /// The bill, if it is known.
    pub billed: Option<Billed>,
}

/// The sign that a worker has taken an attempt, given by whoever carries it. Clones are the same sign.
#[derive(Clone, Debug, Default)]
pub struct Taken(Arc<AtomicBool>);

impl Taken {
    /// Says so.
    pub fn tell(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it was said.
    pub fn is_told(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Carries tasks to workers. An invocation is one attempt: retries are the state machine's.
#[async_trait]
pub trait Invoker: Debug + Send + Sync {
    /// What tasks run on, for messages.
    fn name(&self) -> &str;

    /// The functions, by ascending memory.
    fn functions(&self) -> Vec<Function>;

    /// What is paid for.
    fn rates(&self) -> Rates;

    /// Has function number `function` do a task. Always answers, at the latest some time after `limit`.
    async fn invoke(&self, function: usize, invocation: Invocation, limit: Duration) -> Invoked;

    /// The same for a task that may wait for a worker: tells when one has taken it.
    async fn invoke_told(
        &self,
        function: usize,
        invocation: Invocation,
        limit: Duration,
        taken: &Taken,
    ) -> Invoked {
        let _ = taken;
        self.invoke(function, invocation, limit).await
    }

    /// The run begins, before any task: what takes minutes to start can start now.
    ///
    /// # Errors
    /// What can't be started.
    async fn begin(&self, run: &str) -> Result<(), TaskFailure> {
        let _ = run;
        Ok(())
    }

    /// Nothing more will be asked of it: what runs can stop.
    async fn end(&self) {}
}

/// The threads of this process, as workers.
#[derive(Debug)]
pub struct Threads {
    worker: Arc<Worker>,
    permits: Arc<Semaphore>,
    memory: u64,
}

/// Threads have no time limit; this one is never reached.
const FOREVER: Duration = Duration::from_secs(7 * 24 * 3600);

impl Threads {
    /// So many threads, which keep decoded shards up to a share of `memory` bytes.
    pub fn new(threads: usize, memory: u64) -> Self {
        // Their messages come from this process, which may keep a run in a folder.
        let places = Places::anywhere();
        let options = WorkerOptions { memory: None, places, ..WorkerOptions::with_memory(Some(memory)) };
        Self {
            worker: Arc::new(Worker::new(options)),
            permits: Arc::new(Semaphore::new(threads.max(1))),
            memory,
        }
    }
}

#[async_trait]
impl Invoker for Threads {
    fn name(&self) -> &str {
        "threads"
    }

    fn functions(&self) -> Vec<Function> {
        let memory_mb = (self.memory >> 20).try_into().unwrap_or(u32::MAX);
        vec![Function { timeout: FOREVER, ..Function::lambda("thread", memory_mb) }]
    }

    fn rates(&self) -> Rates {
        Rates::FREE
    }

    async fn invoke(&self, _function: usize, invocation: Invocation, _limit: Duration) -> Invoked {
        let lost = |why: String| Answer::Failed(TaskFailure::new(FailureClass::Lost, why));
        let answer = match self.permits.acquire().await {
            Ok(_permit) => {
                let worker = Arc::clone(&self.worker);
                let done = tokio::task::spawn_blocking(move || worker.handle(&invocation)).await;
                done.unwrap_or_else(|e| lost(format!("the thread ended: {e}")))
            }
            Err(e) => lost(e.to_string()),
        };
        Invoked { answer, billed: None }
    }
}
