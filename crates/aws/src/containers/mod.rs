//! Containers as the place where tasks are done: the queue in front of them, and AWS Batch where it is to start them.

mod batch;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use stagger_coordinator::pool::{Pool, PoolSettings};
use stagger_coordinator::{InvocationOutcome, Invoker, PoolRequest, TakenSignal};
use stagger_forecast::Prices;
use stagger_model::cost::UnitPrices;
use stagger_model::error::StaggerError;
use stagger_model::failure::Failure;
use stagger_protocol::messages::{Invocation, TaskFailure};
use stagger_queue::{Queue, SqsQueue};
use stagger_schedule::{Function, Place};
use stagger_storage::{Storage, runtime, system_clock};

use crate::lambda::Clients;

pub use batch::{Batch, terminate_jobs};

/// The longest that a container may take for a task: no platform sets a limit, so this one keeps a task that hangs from being waited
/// for all night.
const TIMEOUT: Duration = Duration::from_secs(3600);
/// A worker says that it lives three times a minute; after so long without a word it is gone.
const SILENCE: Duration = Duration::from_secs(90);

/// A pool, and the jobs that fill it.
#[derive(Debug)]
pub struct Containers {
    pool: Pool,
    batch: Option<Batch>,
}

/// The containers that a run asked for. Blocks; nothing is started yet.
///
/// # Errors
/// No runtime for requests.
pub fn open(request: &PoolRequest) -> Result<Arc<dyn Invoker>, Failure> {
    let runtime = runtime().map_err(StaggerError::from)?;
    let prices = Prices::built_in()?;
    let (queue, batch) = runtime.block_on(async {
        let queue: Arc<dyn Queue> = Arc::new(SqsQueue::connect(&request.queue).await);
        let batch = match &request.batch {
            None => None,
            Some(jobs) => {
                let shared = Clients::of_environment().await.shared_config().await;
                Some(Batch::new(&shared, jobs.clone(), &request.queue))
            }
        };
        (queue, batch)
    });
    let pool = Pool::new(queue, Arc::new(Storage::open), system_clock(true), settings(request, &prices));
    Ok(Arc::new(Containers { pool, batch }))
}

fn settings(request: &PoolRequest, prices: &Prices) -> PoolSettings {
    PoolSettings {
        mark: mark(),
        function: Function {
            timeout: TIMEOUT,
            place: Place::Pool { hourly: request.hourly },
            ..Function::lambda(&format!("containers ({})", request.kind.name()), request.memory_mb)
        },
        rates: UnitPrices { gb_second: 0.0, invocation: 0.0, get: prices.get, put: prices.put },
        patience: Duration::from_secs_f64(request.patience),
        silence: SILENCE,
    }
}

/// Sets this controller's messages apart from those of any other.
fn mark() -> String {
    use std::hash::{BuildHasher, RandomState};
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}

#[async_trait]
impl Invoker for Containers {
    fn name(&self) -> &str {
        self.pool.name()
    }

    fn functions(&self) -> Vec<Function> {
        self.pool.functions()
    }

    fn prices(&self) -> UnitPrices {
        self.pool.prices()
    }

    async fn invoke(&self, function: usize, invocation: Invocation, limit: Duration) -> InvocationOutcome {
        self.pool.invoke(function, invocation, limit).await
    }

    async fn invoke_with_signal(
        &self,
        function: usize,
        invocation: Invocation,
        limit: Duration,
        taken: &TakenSignal,
    ) -> InvocationOutcome {
        self.pool.invoke_with_signal(function, invocation, limit, taken).await
    }

    async fn begin_run(&self, run: &str) -> Result<(), TaskFailure> {
        match &self.batch {
            Some(batch) => batch.submit(run).await,
            None => Ok(()),
        }
    }

    async fn end_run(&self) {
        self.pool.end_run().await;
        if let Some(batch) = &self.batch {
            batch.terminate().await;
        }
    }
}
