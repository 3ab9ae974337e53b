//! What all processes of a simulation share: objects, invocations under way, the bill, the trace, and what has happened.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use stagger_protocol::messages::Invocation;
use stagger_queue::MemoryQueue;
use stagger_storage::{Condition, MemoryStore, ObjectStore, StoreError, StoreErrorKind, StoreResult};

use super::clock::SimClock;
use super::faults::{Ending, Fault, Plan, Seen};
use super::panel::Case;
use super::turns::Turns;

/// A guard that a test takes out, to see that the simulation notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guard {
    /// Requests to storage are tried again.
    Retry,
    /// Partials carry checksums.
    Checksum,
    /// Entries of the journal are created once.
    Fence,
    /// Partials are created once.
    CreateOnce,
    /// A store names its content.
    Fingerprint,
    /// Results of earlier attempts are looked for.
    Look,
    /// A write whose reply was lost is read back.
    ReadBack,
    /// Whoever is turned away slows down.
    SlowDown,
}

/// No process lives for longer: a run that takes so long hangs.
const FOREVER: Duration = Duration::from_secs(2 * 3600);
/// What every request of a process that has died is answered.
pub(super) const DEAD: &str = "the simulated controller is dead";
/// The same of one that hangs.
pub(super) const HANGS: &str = "the simulated run hangs";

/// Failures of one task that its controller may see: one more and it may be given up for good reason.
const PATIENCE: u32 = 2;

/// A controller's process.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) id: usize,
    pub(super) world: Arc<World>,
    pub(super) clock: Arc<SimClock>,
    /// Requests to storage until it dies, and whether the last one is carried out.
    pub(super) dies: Option<(u64, bool)>,
    requests: AtomicU64,
    began: Duration,
    /// Failures that count against a task, by its key.
    failures: Mutex<HashMap<String, u32>>,
}

impl Process {
    pub(super) fn new(
        world: &Arc<World>,
        id: usize,
        clock: Arc<SimClock>,
        dies: Option<(u64, bool)>,
    ) -> Arc<Self> {
        let began = clock.time();
        world.turns.enter(id, began);
        Arc::new(Self {
            id,
            world: Arc::clone(world),
            clock,
            dies,
            requests: AtomicU64::new(0),
            began,
            failures: Mutex::default(),
        })
    }

    /// A request of the controller itself begins; whether it is carried out although nobody will hear of it.
    pub(super) fn request(&self) -> StoreResult<bool> {
        let count = self.requests.fetch_add(1, Ordering::SeqCst) + 1;
        let dead = |why| Err(StoreError::new(StoreErrorKind::Other, why));
        if self.clock.time() > self.began + FOREVER {
            return dead(HANGS);
        }
        match self.dies {
            Some((at, true)) if count == at => {
                self.tell(|| "dies after a request".to_owned());
                Ok(true)
            }
            Some((at, _)) if count >= at => {
                self.world.fire(Fault::ControllerCrash);
                dead(DEAD)
            }
            _ => Ok(false),
        }
    }

    /// Whether it has died.
    pub(super) fn is_dead(&self) -> bool {
        self.dies.is_some_and(|(at, _)| self.requests.load(Ordering::SeqCst) >= at)
    }

    /// Whether a task may fail once more without being given up.
    pub(super) fn may_fail(&self, task: &str) -> bool {
        let mut failures = lock(&self.failures);
        let count = failures.entry(task.to_owned()).or_default();
        *count += 1;
        *count <= PATIENCE
    }

    pub(super) fn draws(&self, fault: Fault) -> bool {
        self.clock.draw(|random| self.world.plan.draws(fault, random))
    }

    pub(super) fn between(&self, least: f64, most: f64) -> f64 {
        least + (most - least) * self.clock.draw(stagger_test_support::panels::Random::uniform)
    }

    pub(super) fn tell(&self, what: impl FnOnce() -> String) {
        self.world.tell(self.id, self.clock.time(), what);
    }

    /// Waits for its turn.
    pub(super) fn turn(&self) {
        self.world.turns.wait(self.id, self.clock.time());
    }
}

/// An execution that is still to come.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) due: Duration,
    pub(super) function: usize,
    pub(super) invocation: Invocation,
}

/// What was done, counted.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Faults.
    pub fired: BTreeMap<Fault, u64>,
    /// What was done about them.
    pub seen: BTreeMap<Seen, u64>,
    /// Invocations, those that were turned away not counted.
    pub invocations: u64,
    /// Invocations that were turned away.
    pub turned_away: u64,
    /// Results that were computed although they were there.
    pub again: u64,
    /// Dollars of all invocations.
    pub dollars: f64,
}

/// Everything.
#[derive(Debug)]
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) case: Arc<Case>,
    pub(super) removed: BTreeSet<Guard>,
    pub(super) memory: MemoryStore,
    pub(super) turns: Turns,
    counts: Mutex<Counts>,
    pub(super) pending: Mutex<BTreeMap<(usize, u64), Pending>>,
    next: AtomicU64,
    /// Names of stages, by the checksum of what they have in common.
    pub(super) stages: Mutex<HashMap<String, String>>,
    trace: Mutex<Vec<(Duration, usize, usize, String)>>,
    /// Reads of workers until the store is replaced.
    reads: AtomicU64,
    /// Nobody has logged in again.
    pub(super) logged_out: Mutex<bool>,
    /// Tasks for containers, which outlive their controller.
    pub(super) queue: Mutex<Option<MemoryQueue>>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(super) fn new(plan: Plan, case: Arc<Case>, removed: BTreeSet<Guard>) -> Arc<Self> {
        let memory = MemoryStore::new();
        case.copy_to(&memory);
        Arc::new(Self {
            plan,
            case,
            removed,
            memory,
            turns: Turns::default(),
            counts: Mutex::default(),
            pending: Mutex::default(),
            next: AtomicU64::new(0),
            stages: Mutex::default(),
            trace: Mutex::default(),
            reads: AtomicU64::new(0),
            logged_out: Mutex::new(true),
            queue: Mutex::new(None),
        })
    }

    pub(super) fn fire(&self, fault: Fault) {
        *lock(&self.counts).fired.entry(fault).or_default() += 1;
    }

    pub(super) fn see(&self, seen: Seen) {
        *lock(&self.counts).seen.entry(seen).or_default() += 1;
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut lock(&self.counts));
    }

    pub(super) fn counts(&self) -> Counts {
        lock(&self.counts).clone()
    }

    pub(super) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::SeqCst)
    }

    pub(super) fn tell(&self, process: usize, at: Duration, what: impl FnOnce() -> String) {
        let mut trace = lock(&self.trace);
        let number = trace.len();
        trace.push((at, process, number, what()));
    }

    /// What happened, in the order of virtual time.
    pub(super) fn trace(&self) -> Vec<String> {
        let mut trace = lock(&self.trace).clone();
        trace.sort_by_key(|(at, process, number, _)| (*at, *process, *number));
        let line = |(at, process, _, what): &(Duration, usize, usize, String)| {
            format!("{:>10.3} s  controller {process}  {what}", at.as_secs_f64())
        };
        trace.iter().map(line).collect()
    }

    /// Whether workers' credentials are good at a time.
    pub(super) fn credentials(&self, at: Duration) -> Option<Fault> {
        if let Some((from, lasts)) = self.plan.expired
            && (from..from + lasts).contains(&at)
        {
            return Some(Fault::Credentials);
        }
        match self.plan.ending {
            Ending::LoggedOut(from) if at >= from && *lock(&self.logged_out) => Some(Fault::LoggedOut),
            _ => None,
        }
    }

    /// A worker reads; at some of these moments the store is replaced.
    pub(super) async fn reads(&self) {
        let count = self.reads.fetch_add(1, Ordering::SeqCst) + 1;
        if self.plan.ending != Ending::Replaced(count) {
            return;
        }
        self.fire(Fault::Replaced);
        for (key, bytes) in self.case.replacement(self.removed.contains(&Guard::Fingerprint)) {
            // A store in memory can't fail.
            let _ = self.memory.put(&key, bytes, Condition::Always).await;
        }
    }

    pub(super) async fn object(&self, key: &str) -> Option<Bytes> {
        let read = self.memory.get(key, stagger_storage::ByteRange::All, None).await;
        read.ok().map(|object| object.bytes)
    }
}
