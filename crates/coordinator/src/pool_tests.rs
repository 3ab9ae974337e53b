//! Controller and workers around one queue, in virtual time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;
use stagger_model::cost::UnitPrices;
use stagger_model::error::FailureClass;
use stagger_model::events::ObjectRef;
use stagger_model::reduction::TreeNode;
use stagger_protocol::messages::{Answer, Invocation, PROTOCOL, TaskFailure, TaskReport, VERSION, Work};
use stagger_queue::*;
use stagger_schedule::{Function, Place};
use stagger_storage::open::OpenStorage;
use stagger_storage::{Clock, MemoryStore, Storage};
use tokio::time::Instant;

use crate::pool::{Pool, PoolSettings};
use crate::{InvocationOutcome, Invoker};

/// The runtime's time, which stands still while anybody works.
#[derive(Debug)]
struct Virtual(Instant);

impl Clock for Virtual {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(time).boxed()
    }

    fn random_fraction(&self) -> f64 {
        0.5
    }

    fn unix_seconds(&self) -> f64 {
        1.8e9 + self.now().as_secs_f64()
    }
}

/// Takes so long for a task.
struct Slow(Duration, Arc<AtomicUsize>);

#[async_trait]
impl TaskExecutor for Slow {
    async fn execute(&self, invocation: Invocation) -> Answer {
        self.1.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(self.0).await;
        Answer::Done(TaskReport { key: invocation.work.to_string(), ..TaskReport::default() })
    }
}

/// A queue, storage and a clock.
struct Ground {
    queue: MemoryQueue,
    storage: Storage,
    clock: Arc<dyn Clock>,
    done: Arc<AtomicUsize>,
    log: Arc<Mutex<Vec<String>>>,
}

const SECOND: Duration = Duration::from_secs(1);
const HIDDEN: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(300);
const SILENCE: Duration = Duration::from_secs(90);

impl Ground {
    fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(Virtual(Instant::now()));
        Self {
            queue: MemoryQueue::new(Arc::clone(&clock)),
            storage: Storage::new(Arc::new(MemoryStore::new())),
            clock,
            done: Arc::default(),
            log: Arc::default(),
        }
    }

    fn open(&self) -> OpenStorage {
        let storage = self.storage.clone();
        Arc::new(move |_| Ok(storage.clone()))
    }

    fn pool(&self) -> Pool {
        let function = Function { place: Place::Pool { hourly: 1.0 }, ..Function::lambda("pool", 4096) };
        let settings = PoolSettings {
            mark: "m".to_owned(),
            function,
            rates: UnitPrices::FREE,
            patience: PATIENCE,
            silence: SILENCE,
        };
        Pool::new(Arc::new(self.queue.clone()), self.open(), Arc::clone(&self.clock), settings)
    }

    fn worker(&self, name: &str, takes: Duration) -> (QueueWorker, StopSignal) {
        let (stop, hands) = (StopSignal::default(), Arc::new(Slow(takes, Arc::clone(&self.done))));
        let settings = QueueWorkerSettings {
            name: name.to_owned(),
            at_once: 1,
            hidden: HIDDEN,
            idle: Duration::from_secs(120),
            leaves_with_run: true,
        };
        let queue = Arc::new(self.queue.clone());
        let clock = Arc::clone(&self.clock);
        (QueueWorker::new(queue, hands, self.open(), clock, settings, stop.clone()), stop)
    }

    /// Lets a worker serve beside the test.
    fn serves(&self, worker: QueueWorker) -> tokio::task::JoinHandle<Result<Exit, TaskFailure>> {
        let log = Arc::clone(&self.log);
        tokio::spawn(async move {
            let told = |moment: WorkerEvent<'_>| {
                if let WorkerEvent::Skipped(why) = moment {
                    log.lock().unwrap().push(why);
                }
            };
            worker.serve(&told).await
        })
    }
}

fn invocation(index: usize) -> Invocation {
    Invocation {
        protocol: PROTOCOL,
        version: VERSION.to_owned(),
        run: "memory:".to_owned(),
        stage: ObjectRef { key: "common/x".to_owned(), checksum: "x".to_owned() },
        work: Work::Shards { node: TreeNode { level: 0, index }, part: None },
        look: false,
        seconds: 600,
        kind: None,
    }
}

async fn ask(pool: &Pool, index: usize) -> InvocationOutcome {
    pool.invoke(0, invocation(index), Duration::from_secs(600)).await
}

fn class(invoked: &InvocationOutcome) -> FailureClass {
    match &invoked.answer {
        Answer::Failed(failure) => failure.class,
        Answer::Done(report) => panic!("done: {report:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn tasks_are_answered_once_and_leave_nothing_behind() {
    let place = Ground::new();
    let pool = place.pool();
    let working = place.serves(place.worker("a", 10 * SECOND).0);
    let answers = futures::future::join_all((0..3).map(|index| ask(&pool, index))).await;
    for (index, invoked) in answers.iter().enumerate() {
        let Answer::Done(report) = &invoked.answer else { panic!("{invoked:?}") };
        assert_eq!(report.key, format!("shard {index}"));
        assert!((invoked.billed.unwrap().seconds - 10.0).abs() < 0.01);
    }
    pool.end_run().await;
    assert_eq!(working.await.unwrap().unwrap(), Exit::RunOver);
    assert_eq!(place.done.load(Ordering::SeqCst), 3);
    assert!(place.queue.is_empty());
    let left: Vec<String> = place.storage.list("").unwrap().into_iter().map(|info| info.key).collect();
    assert_eq!(left, ["queue/m/over"], "and none of the signs and answers");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_dies_costs_an_attempt_as_soon_as_another_one_is_there() {
    let place = Ground::new();
    let pool = place.pool();
    let dying = place.serves(place.worker("dies", 100 * SECOND).0);
    let begin = place.clock.now();
    let asked = tokio::spawn(async move { ask(&pool, 0).await });
    tokio::time::sleep(5 * SECOND).await;
    dying.abort();
    let other = place.serves(place.worker("b", SECOND).0);
    let invoked = asked.await.unwrap();
    assert_eq!(class(&invoked), FailureClass::Lost);
    assert!(place.clock.now() - begin < HIDDEN + 10 * SECOND, "{:?}", place.clock.now() - begin);
    assert_eq!(place.done.load(Ordering::SeqCst), 1, "the other one only answers for it");
    other.abort();
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_dies_alone_is_noticed_by_its_silence() {
    let place = Ground::new();
    let pool = place.pool();
    let dying = place.serves(place.worker("dies", 1000 * SECOND).0);
    let asked = tokio::spawn(async move { ask(&pool, 0).await });
    tokio::time::sleep(45 * SECOND).await;
    dying.abort();
    let invoked = asked.await.unwrap();
    assert_eq!(class(&invoked), FailureClass::Lost);
    assert!((100.0..160.0).contains(&place.clock.now().as_secs_f64()), "{:?}", place.clock.now());
}

#[tokio::test(start_paused = true)]
async fn nobody_is_absent_while_somebody_takes_tasks() {
    let place = Ground::new();
    let pool = place.pool();
    assert_eq!(class(&ask(&pool, 0).await), FailureClass::Absent);
    let waited = place.clock.now();
    assert!((PATIENCE..PATIENCE + 2 * SECOND).contains(&waited), "{waited:?}");
    // One worker of 400 s a task: the others wait for longer than the patience, and are done all the same.
    let working = place.serves(place.worker("a", 400 * SECOND).0);
    let answers = futures::future::join_all((1..4).map(|index| ask(&pool, index))).await;
    assert!(answers.iter().all(|invoked| matches!(invoked.answer, Answer::Done(_))), "{answers:?}");
    assert_eq!(place.done.load(Ordering::SeqCst), 3, "what nobody waits for any more is not done");
    let log = place.log.lock().unwrap().clone();
    assert!(log.iter().any(|line| line.contains("it is answered")), "{log:?}");
    working.abort();
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_told_to_leave_gives_its_task_back_at_once() {
    let place = Ground::new();
    let pool = place.pool();
    let (worker, stop) = place.worker("a", 1000 * SECOND);
    let working = place.serves(worker);
    let asked = tokio::spawn(async move { ask(&pool, 0).await });
    tokio::time::sleep(5 * SECOND).await;
    stop.raise();
    assert_eq!(working.await.unwrap().unwrap(), Exit::Stopped);
    assert_eq!(class(&asked.await.unwrap()), FailureClass::Returned);
    assert!(place.clock.now() < 10 * SECOND && place.queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn long_tasks_stay_hidden_while_their_worker_lives() {
    let place = Ground::new();
    let pool = place.pool();
    let both = [place.serves(place.worker("a", 400 * SECOND).0), place.serves(place.worker("b", SECOND).0)];
    let invoked = ask(&pool, 0).await;
    assert!(matches!(invoked.answer, Answer::Done(_)), "{invoked:?}");
    assert_eq!(place.done.load(Ordering::SeqCst), 1);
    both.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn idle_workers_leave_and_what_is_no_message_stays_for_the_dead_letters() {
    let place = Ground::new();
    place.queue.send("no message").await.unwrap();
    let left = place.serves(place.worker("a", SECOND).0).await.unwrap().unwrap();
    assert_eq!(left, Exit::Idle);
    assert_eq!(place.queue.len(), 1);
    let log = place.log.lock().unwrap().clone();
    assert!(log.len() > 1 && log.iter().all(|line| line.contains("can't be read")), "{log:?}");
}
