//! Containers at a queue, in virtual time: the program's own queue, pool and worker's loop, with containers that start late, are taken
//! away (spot), or never appear.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use stagger_coordinator::pool::{Pool, PoolSettings};
use stagger_coordinator::{InvocationOutcome, Invoker, TakenSignal};
use stagger_model::cost::UnitPrices;
use stagger_protocol::messages::{Answer, Invocation};
use stagger_queue::{
    MemoryQueue, Queue, QueueWorker, QueueWorkerSettings, StopSignal, TaskExecutor, WorkerEvent,
};
use stagger_schedule::{Function, Place};
use stagger_storage::Clock;
use tokio::time::{sleep, timeout};

use super::clock::Shared;
use super::faults::{Fault, PoolPlan, Seen};
use super::lambda::SimLambda;
use super::store::{of_controller, of_worker};
use super::world::{Process, lock};

/// Seconds that a message is hidden, that a worker may be silent, and that a task waits while nobody takes any.
const HIDDEN: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(90);
const PATIENCE: Duration = Duration::from_secs(60);
/// Until another container takes the place of one that was taken away.
const AGAIN: Duration = Duration::from_secs(20);
/// A container of a pool that is idle is kept for as long as the simulation.
const IDLE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Containers as one controller reaches them.
pub(super) struct SimPool {
    pool: Pool,
    process: Arc<Process>,
}

impl fmt::Debug for SimPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimPool")
    }
}

impl SimPool {
    /// The pool of the world's queue; its containers live on the caller's runtime.
    pub(super) fn new(process: &Arc<Process>, lambda: &SimLambda, plan: &PoolPlan) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(Shared(Arc::clone(&process.clock)));
        let queue = lock(&process.world.queue)
            .get_or_insert_with(|| MemoryQueue::new(Arc::clone(&clock)))
            .with_clock(Arc::clone(&clock));
        for number in 0..plan.workers {
            let container = Container {
                number,
                process: Arc::clone(process),
                lambda: lambda.clone(),
                queue: queue.clone(),
                clock: Arc::clone(&clock),
            };
            tokio::spawn(container.lives(plan.clone()));
        }
        let settings = PoolSettings {
            mark: format!("mark-{}", process.id),
            function: Function { place: Place::Pool { hourly: 0.0 }, ..Function::lambda("containers", 4096) },
            rates: UnitPrices::FREE,
            patience: PATIENCE,
            silence: SILENCE,
        };
        let of = Arc::clone(process);
        let open = Arc::new(move |url: &str| of_controller(&of, url));
        let queue: Arc<dyn Queue> = Arc::new(queue);
        Self { pool: Pool::new(queue, open, clock, settings), process: Arc::clone(process) }
    }
}

#[async_trait]
impl Invoker for SimPool {
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
        self.invoke_with_signal(function, invocation, limit, &TakenSignal::default()).await
    }

    async fn invoke_with_signal(
        &self,
        function: usize,
        invocation: Invocation,
        limit: Duration,
        taken: &TakenSignal,
    ) -> InvocationOutcome {
        let work = invocation.work.clone();
        self.process.world.count(|counts| counts.invocations += 1);
        self.process.tell(|| format!("{work} to the queue"));
        let invoked = self.pool.invoke_with_signal(function, invocation, limit, taken).await;
        self.process.tell(|| match &invoked.answer {
            Answer::Done(_) => format!("{work}: done by a container"),
            Answer::Failed(failure) => format!("{work}: {}: {}", failure.class.name(), failure.message),
        });
        if matches!(invoked.answer, Answer::Done(_)) {
            self.process.world.see(Seen::Contained);
        }
        invoked
    }

    async fn end_run(&self) {
        self.pool.end_run().await;
    }
}

/// The place of a container: one after the other stands there.
struct Container {
    number: usize,
    process: Arc<Process>,
    lambda: SimLambda,
    queue: MemoryQueue,
    clock: Arc<dyn Clock>,
}

impl Container {
    async fn lives(self, plan: PoolPlan) {
        sleep(plan.start).await;
        loop {
            let busy = Arc::new(Mutex::new(false));
            let attendant = self.attendant(&busy);
            let told = |_: WorkerEvent<'_>| {};
            let Some(longest) = plan.spot else {
                let _ = attendant.serve(&told).await;
                return;
            };
            let life = longest.mul_f64(self.process.between(0.05, 1.0));
            if timeout(life, attendant.serve(&told)).await.is_ok() {
                return;
            }
            if *lock(&busy) {
                self.process.world.fire(Fault::SpotLoss);
                self.process.tell(|| format!("container {} is taken away in mid-task", self.number));
            }
            sleep(AGAIN).await;
        }
    }

    fn attendant(&self, busy: &Arc<Mutex<bool>>) -> QueueWorker {
        let environment = self.lambda.environment();
        let open = Arc::new(move |url: &str| of_worker(&environment, url));
        let hands = SimHands { lambda: self.lambda.clone(), busy: Arc::clone(busy) };
        let settings = QueueWorkerSettings {
            name: format!("container-{}", self.number),
            at_once: 1,
            hidden: HIDDEN,
            idle: IDLE,
            leaves_with_run: false,
        };
        let (queue, clock) = (Arc::new(self.queue.clone()), Arc::clone(&self.clock));
        QueueWorker::new(queue, Arc::new(hands), open, clock, settings, StopSignal::default())
    }
}

/// Does tasks as an environment of Lambda would, in its time.
struct SimHands {
    lambda: SimLambda,
    busy: Arc<Mutex<bool>>,
}

#[async_trait]
impl TaskExecutor for SimHands {
    async fn execute(&self, invocation: Invocation) -> Answer {
        *lock(&self.busy) = true;
        let answer = self.lambda.contained(&invocation).await;
        *lock(&self.busy) = false;
        answer
    }
}
