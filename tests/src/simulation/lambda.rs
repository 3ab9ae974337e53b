//! Functions of three sizes, with environments that keep what they have read, and everything that can happen to an invocation.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use stagger_coordinator::{Bill, InvocationOutcome, Invoker};
use stagger_model::cost::UnitPrices;
use stagger_model::error::FailureClass;
use stagger_protocol::keys;
use stagger_protocol::messages::{Answer, Invocation, TaskFailure, Work};
use stagger_schedule::Function;
use stagger_storage::{StoreError, StoreErrorKind, StoreResult};
use stagger_worker::{AllowedStorage, Worker, WorkerOptions};
use tokio::time::sleep;

use super::bundle;
use super::faults::{Fault, Seen};
use super::store::of_worker;
use super::world::{DEAD, Guard, Pending, Process, lock};

/// Megabytes of the functions.
pub(super) const SIZES: [u32; 3] = [512, 1024, 2048];
/// Time that an invocation of any of them may take.
const TIMEOUT: Duration = Duration::from_secs(300);
/// Prices of AWS on ARM, requests a hundred times as dear, so that an error in them shows.
pub(super) const RATES: UnitPrices =
    UnitPrices { gb_second: 1.333_34e-5, invocation: 2e-7, get: 4e-7, put: 5e-6 };
/// Bytes of decoded shards that an environment keeps: some of a panel's.
const CACHE: u64 = 1 << 20;

/// A call of a worker under way.
#[derive(Debug, Default)]
struct Call {
    task: String,
    spent: Duration,
    /// Requests to storage after which the environment dies, and whether the last one is carried out.
    dies: Option<(u64, bool)>,
    died: bool,
    /// It computes other bits.
    diverges: bool,
}

/// What surrounds a worker: where its requests and its pauses end up.
#[derive(Debug)]
pub(super) struct Environment {
    number: usize,
    pub(super) process: Arc<Process>,
    call: Mutex<Call>,
}

impl Environment {
    pub(super) fn spend(&self, time: Duration) {
        lock(&self.call).spent += time;
    }

    pub(super) fn spent(&self) -> Duration {
        lock(&self.call).spent
    }

    pub(super) fn now(&self) -> Duration {
        self.process.clock.time() + self.spent()
    }

    pub(super) fn tell(&self, what: impl FnOnce() -> String) {
        self.process.tell(|| format!("  worker {}: {}", self.number, what()));
    }

    /// Whether the task may fail once more without being given up.
    pub(super) fn may_fail(&self) -> bool {
        let task = lock(&self.call).task.clone();
        self.process.may_fail(&task)
    }

    /// A request of the worker begins; whether nobody will hear of it.
    pub(super) fn request(&self) -> StoreResult<bool> {
        let mut call = lock(&self.call);
        if call.died {
            return Err(dead());
        }
        let Some((left, heard)) = call.dies else { return Ok(false) };
        if left > 1 {
            call.dies = Some((left - 1, heard));
            return Ok(false);
        }
        call.died = true;
        drop(call);
        self.process.world.fire(Fault::Crash);
        self.tell(|| "dies".to_owned());
        if heard { Ok(true) } else { Err(dead()) }
    }

    pub(super) fn die(&self) -> StoreError {
        lock(&self.call).died = true;
        self.tell(|| "dies of a shard".to_owned());
        dead()
    }

    /// What it really writes.
    pub(super) fn writes(&self, bytes: Bytes) -> Bytes {
        if lock(&self.call).diverges && bundle::is_bundle(&bytes) { bundle::altered(&bytes) } else { bytes }
    }
}

fn dead() -> StoreError {
    StoreError::new(StoreErrorKind::Other, "the simulated environment is dead")
}

/// An environment with its worker.
struct Instance {
    environment: Arc<Environment>,
    worker: Worker,
}

/// Lambda, as one controller reaches it.
#[derive(Clone)]
pub(super) struct SimLambda {
    inner: Arc<Inner>,
}

struct Inner {
    process: Arc<Process>,
    /// Idle environments by function, the one used last at the end.
    idle: [Mutex<Vec<Instance>>; SIZES.len()],
    environments: AtomicUsize,
    busy: AtomicUsize,
}

impl fmt::Debug for SimLambda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimLambda")
    }
}

/// What an invocation came to, and the seconds that are billed.
type Ended = (Answer, Option<f64>);

fn failed(class: FailureClass, why: &str) -> Answer {
    Answer::Failed(TaskFailure::new(class, why))
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

impl SimLambda {
    pub(super) fn new(process: &Arc<Process>) -> Self {
        let inner = Inner {
            process: Arc::clone(process),
            idle: Default::default(),
            environments: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// An environment for something else than tasks.
    pub(super) fn environment(&self) -> Arc<Environment> {
        self.inner.environment()
    }

    /// Does a task in a container: as in an environment, without what only Lambda does to it.
    pub(super) async fn contained(&self, invocation: &Invocation) -> Answer {
        let inner = &self.inner;
        let instance = inner.instance(0);
        let limit = Duration::from_secs(invocation.seconds.into());
        let (before, after) = self.durations(&instance, invocation, limit, &task_of(invocation));
        sleep(before).await;
        let answer = inner.call(&instance, invocation, None, false);
        let after = after + instance.environment.spent();
        if lock(&instance.environment.call).died {
            return failed(FailureClass::Lost, "the container died");
        }
        if before + after > limit {
            return failed(FailureClass::TimedOut, "too long");
        }
        sleep(after).await;
        lock(&inner.idle[0]).push(instance);
        answer
    }

    /// Has an execution happen at its time, whoever waits for it.
    pub(super) fn later(&self, pending: Pending) {
        let inner = Arc::clone(&self.inner);
        let key = inner.note(pending.clone());
        tokio::spawn(async move {
            sleep(pending.due.saturating_sub(inner.process.clock.time())).await;
            if lock(&inner.process.world.pending).remove(&key).is_some() {
                inner.process.tell(|| format!("a late execution of {}", pending.invocation.work));
                let instance = inner.instance(pending.function);
                inner.call(&instance, &pending.invocation, None, false);
            }
        });
    }
}

#[async_trait]
impl Invoker for SimLambda {
    fn name(&self) -> &str {
        "simulation"
    }

    fn functions(&self) -> Vec<Function> {
        let function = |memory_mb| Function {
            timeout: TIMEOUT,
            ..Function::lambda(&format!("f-{memory_mb}"), memory_mb)
        };
        SIZES.map(function).into()
    }

    fn prices(&self) -> UnitPrices {
        RATES
    }

    async fn invoke(&self, function: usize, invocation: Invocation, limit: Duration) -> InvocationOutcome {
        let inner = &self.inner;
        let world = &inner.process.world;
        let work = invocation.work.clone();
        while let Some(fault) = inner.turns_away() {
            world.fire(fault);
            world.count(|counts| counts.turned_away += 1);
            sleep(seconds(inner.process.between(0.02, 0.06))).await;
            if !world.removed.contains(&Guard::SlowDown) {
                inner.process.tell(|| format!("{work}: turned away ({fault:?})"));
                return InvocationOutcome { answer: failed(FailureClass::Throttled, "429"), billed: None };
            }
        }
        world.count(|counts| counts.invocations += 1);
        inner.process.tell(|| format!("{work} on {} MB", SIZES[function]));
        let (answer, billed) = self.attempt(function, invocation, limit).await;
        inner.process.tell(|| match &answer {
            Answer::Done(report) if report.found => format!("{work}: found"),
            Answer::Done(_) => format!("{work}: done"),
            Answer::Failed(failure) => format!("{work}: {}: {}", failure.class.name(), failure.message),
        });
        if let Answer::Done(report) = &answer {
            if report.cached > 0 {
                world.see(Seen::Warm);
            }
            if report.found {
                world.see(Seen::Found);
            }
        }
        let billed = billed.map(|seconds| {
            world.count(|counts| counts.dollars += RATES.price_invocation(SIZES[function], seconds));
            Bill { seconds, peak_memory: 0, init: None }
        });
        InvocationOutcome { answer, billed }
    }
}

impl SimLambda {
    async fn attempt(&self, function: usize, invocation: Invocation, limit: Duration) -> Ended {
        let inner = &self.inner;
        let (process, world) = (&inner.process, &inner.process.world);
        let task = task_of(&invocation);
        let lost = || (failed(FailureClass::Lost, "no answer"), None);
        if process.is_dead() {
            sleep(seconds(1.0)).await;
            return (failed(FailureClass::Lost, DEAD), None);
        }
        if process.draws(Fault::Zombie) && process.may_fail(&task) {
            world.fire(Fault::Zombie);
            let due = process.clock.time() + seconds(process.between(20.0, 3000.0));
            self.later(Pending { due, function, invocation });
            sleep(seconds(process.between(0.05, 2.0))).await;
            return lost();
        }
        if process.draws(Fault::LostBefore) && process.may_fail(&task) {
            world.fire(Fault::LostBefore);
            sleep(seconds(process.between(0.05, 2.0))).await;
            return lost();
        }
        if process.draws(Fault::TimedOut) && process.may_fail(&task) {
            world.fire(Fault::TimedOut);
            sleep(limit).await;
            return (failed(FailureClass::TimedOut, "it hangs"), Some(limit.as_secs_f64()));
        }
        let _busy = Busy::enter(&inner.busy);
        self.executed(function, invocation, limit, &task).await
    }

    async fn executed(&self, function: usize, invocation: Invocation, limit: Duration, task: &str) -> Ended {
        let inner = &self.inner;
        let (process, world) = (&inner.process, &inner.process.world);
        let begin = process.clock.time();
        if inner.memory(&invocation) > f64::from(SIZES[function]) {
            world.fire(Fault::OutOfMemory);
            sleep(seconds(process.between(0.1, 0.5))).await;
            let took = (process.clock.time() - begin).as_secs_f64();
            return (failed(FailureClass::OutOfMemory, "signal: killed"), Some(took));
        }
        let instance = inner.instance(function);
        let (before, after) = self.durations(&instance, &invocation, limit, task);
        let late = |limit: Duration| (failed(FailureClass::TimedOut, "too long"), Some(limit.as_secs_f64()));
        // If nobody waits any more, it happens all the same.
        let pending = Pending { due: begin + before, function, invocation: invocation.clone() };
        let key = inner.note(pending);
        if before > limit {
            lock(&world.pending).remove(&key);
            sleep(limit).await;
            return late(limit);
        }
        sleep(before).await;
        lock(&world.pending).remove(&key);
        let dies = (process.draws(Fault::Crash) && process.may_fail(task))
            .then(|| (process.between(1.0, 25.0) as u64, process.between(0.0, 1.0) < 0.5));
        let answer = inner.call(&instance, &invocation, dies, false);
        let after = after + instance.environment.spent();
        if process.draws(Fault::Duplicate) {
            self.again(function, &invocation);
        }
        if before + after > limit {
            sleep(limit.saturating_sub(before)).await;
            return late(limit);
        }
        sleep(after).await;
        let took = (process.clock.time() - begin).as_secs_f64();
        if lock(&instance.environment.call).died {
            return (failed(FailureClass::Lost, "the environment died"), Some(took));
        }
        lock(&inner.idle[function]).push(instance);
        if process.draws(Fault::LostAfter) && process.may_fail(task) {
            world.fire(Fault::LostAfter);
            return (failed(FailureClass::Lost, "its answer is lost"), None);
        }
        if process.draws(Fault::CorruptAnswer) && process.may_fail(task) {
            world.fire(Fault::CorruptAnswer);
            return (failed(FailureClass::Corrupt, "an answer that is none"), Some(took));
        }
        (answer, Some(took))
    }

    /// Time until a task leaves its result, and from then on.
    fn durations(
        &self,
        instance: &Instance,
        invocation: &Invocation,
        limit: Duration,
        task: &str,
    ) -> (Duration, Duration) {
        let process = &self.inner.process;
        let cold = lock(&instance.environment.call).task.is_empty();
        let start = if cold { process.between(0.2, 0.6) } else { process.between(0.01, 0.04) };
        let shards = shards(&invocation.work) as f64;
        let mut compute = 0.02 + process.world.plan.shard_seconds * shards * process.between(0.7, 1.3);
        if process.draws(Fault::Straggler) {
            process.world.fire(Fault::Straggler);
            let slow = compute * process.between(10.0, 50.0);
            let most = limit.as_secs_f64() * 0.5;
            // Beyond its time it fails, which must not happen to a task too often.
            compute = if slow > most && !process.may_fail(task) { compute.max(most) } else { slow };
        }
        let part = process.between(0.0, 1.0);
        (seconds(start + part * compute), seconds((1.0 - part) * compute))
    }

    /// The platform carries an invocation out twice.
    fn again(&self, function: usize, invocation: &Invocation) {
        let inner = &self.inner;
        let (process, world) = (&inner.process, &inner.process.world);
        world.fire(Fault::Duplicate);
        if world.plan.diverging {
            let instance = inner.instance(function);
            let invocation = Invocation { look: false, ..invocation.clone() };
            inner.call(&instance, &invocation, None, true);
            return;
        }
        let due = process.clock.time() + seconds(process.between(0.0, 100.0));
        self.later(Pending { due, function, invocation: invocation.clone() });
    }
}

impl Inner {
    fn turns_away(&self) -> Option<Fault> {
        let busy = self.busy.load(Ordering::SeqCst);
        if self.process.world.plan.reserved.is_some_and(|most| busy >= most) {
            return Some(Fault::Reserved);
        }
        self.process.draws(Fault::TooMany).then_some(Fault::TooMany)
    }

    /// Megabytes that a task needs.
    fn memory(&self, invocation: &Invocation) -> f64 {
        let plan = &self.process.world.plan;
        let stages = lock(&self.process.world.stages);
        let influence = stages.get(&invocation.stage.checksum).is_some_and(|name| name.contains("nfluence"));
        match (&invocation.work, plan.influence_memory) {
            (Work::Shards { part, .. }, Some(each)) if influence => {
                each / part.map_or(1.0, |part| f64::from(part.sets))
            }
            (work, _) => plan.memory.0 + plan.memory.1 * shards(work) as f64,
        }
    }

    fn environment(&self) -> Arc<Environment> {
        let number = self.environments.fetch_add(1, Ordering::SeqCst) + 1;
        Arc::new(Environment { number, process: Arc::clone(&self.process), call: Mutex::default() })
    }

    fn instance(&self, function: usize) -> Instance {
        if let Some(instance) = lock(&self.idle[function]).pop() {
            return instance;
        }
        let environment = self.environment();
        let of = Arc::clone(&environment);
        let open = Arc::new(move |url: &str| of_worker(&of, url));
        // Addresses of the simulation are no S3's.
        let places = AllowedStorage::unrestricted();
        let options = WorkerOptions { cache: CACHE, open, places, ..WorkerOptions::with_memory(None) };
        Instance { environment, worker: Worker::new(options) }
    }

    /// Does a task, at once.
    fn call(
        &self,
        instance: &Instance,
        invocation: &Invocation,
        dies: Option<(u64, bool)>,
        diverges: bool,
    ) -> Answer {
        let task = task_of(invocation);
        *lock(&instance.environment.call) = Call { task, spent: Duration::ZERO, dies, died: false, diverges };
        let mut invocation = invocation.clone();
        invocation.look &= !self.process.world.removed.contains(&Guard::Look);
        let answer = instance.worker.handle(&invocation);
        if let Answer::Done(report) = &answer
            && report.found
            && report.rows > 0
        {
            self.process.world.count(|counts| counts.again += 1);
        }
        answer
    }

    /// Notes an execution that is to come; the controller may not live to see it.
    fn note(&self, pending: Pending) -> (usize, u64) {
        let world = &self.process.world;
        let key = (self.process.id, world.number());
        lock(&world.pending).insert(key, pending);
        key
    }
}

/// Counts an invocation while it is under way.
struct Busy<'a>(&'a AtomicUsize);

impl<'a> Busy<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn task_of(invocation: &Invocation) -> String {
    let key = keys::result(&invocation.stage.checksum, &invocation.work);
    key.rsplit('/').next().unwrap_or_default().to_owned()
}

fn shards(work: &Work) -> usize {
    match work {
        Work::Shards { node, .. } => node.shards().len(),
        _ => 1,
    }
}
