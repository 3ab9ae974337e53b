//! A worker: one task per invocation, from the objects that the invocation names to one object more. It is the same
//! on AWS Lambda, in a container and on the threads of the controller; the shells add only the way in which a message
//! arrives (DESIGN §5).
//!
//! The state that an environment keeps between invocations (the panel's schema, the stage's input, decoded shards)
//! saves time and never changes a bit of a result.

mod context;
mod estimate;
mod guard;
mod places;
mod prepare;
mod reduce;
mod shards;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use stagger_estimation::kernel::{CpuKernel, Kernel, KernelKind};
use stagger_model::error::FailureClass;
use stagger_model::events::PhaseSeconds;

use stagger_protocol::messages::{Answer, Invocation, PROTOCOL, TaskFailure, TaskReport, VERSION, Work};
use stagger_protocol::objects::checksum;

use stagger_storage::open::{OpenStorage, is_absent_or_denied};
use stagger_storage::{Condition, Storage, StoreErrorKind, StoreStats};

pub use guard::{MemoryGuard, peak_memory, resident_memory};
pub use places::{AllowedStorage, BUCKETS_VARIABLE};
use stagger_protocol::objects::StageObject;

/// The resources that a worker may use.
#[derive(Clone)]
pub struct WorkerOptions {
    /// Bytes of memory of the whole process; unbounded where absent.
    pub memory: Option<u64>,
    /// Bytes of decoded shards to keep between invocations.
    pub cache: u64,
    /// The function that opens storage.
    pub open: OpenStorage,
    /// The addresses that the worker may open.
    pub places: AllowedStorage,
    /// The kernel that computes passes.
    pub kernel: Arc<dyn Kernel>,
}

impl fmt::Debug for WorkerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { memory, cache, places, kernel, .. } = self;
        let mut out = f.debug_struct("WorkerOptions");
        out.field("memory", memory).field("cache", cache).field("places", places);
        out.field("kernel", kernel).finish_non_exhaustive()
    }
}

/// The share of a function's memory that decoded shards may fill between invocations.
const CACHED: f64 = 0.35;

impl WorkerOptions {
    /// Returns the options of a process that has `memory` bytes to itself. It opens nothing but S3.
    pub fn with_memory(memory: Option<u64>) -> Self {
        let cache = memory.map_or(0, |bytes| (bytes as f64 * CACHED) as u64);
        let places = AllowedStorage::default();
        Self { memory, cache, open: Arc::new(Storage::open), places, kernel: Arc::new(CpuKernel) }
    }
}

/// A worker and the state that it keeps between invocations.
#[derive(Debug)]
pub struct Worker {
    options: WorkerOptions,
    kept: Mutex<context::WorkerCache>,
}

/// One invocation under way: its storage, its clock, its counts.
pub struct TaskAttempt<'a> {
    /// The resources of the worker.
    pub options: &'a WorkerOptions,
    /// The message that is answered.
    pub invocation: &'a Invocation,
    /// Storage at the run's address.
    pub run: Storage,
    /// The guard of the process's memory.
    pub guard: MemoryGuard,
    /// The time at which the invocation began.
    begin: Instant,
    /// The counts of the run's storage at that time.
    before: StoreStats,
    /// Storages other than the run's, and their counts at the time they were opened.
    others: Mutex<Vec<(Storage, StoreStats)>>,
    /// Seconds so far, by what they were spent on.
    pub phases: PhaseSeconds,
    /// Units, or rows of cross sections, that were computed so far.
    pub rows: u64,
    /// Shards that were in memory from an earlier task.
    pub cached: u64,
}

/// The result of a task, or of a part of it.
pub type TaskResult<T> = std::result::Result<T, TaskFailure>;

impl Worker {
    /// Returns a worker that has done nothing yet.
    pub fn new(options: WorkerOptions) -> Self {
        Self { options, kept: Mutex::default() }
    }

    /// Returns the memory of the device that it computes on; `None` where that is the process's own.
    pub fn device_memory(&self) -> Option<stagger_estimation::kernel::DeviceMemory> {
        self.options.kernel.memory()
    }

    /// Does one task. It never panics: a failure, and a panic too, is in the answer.
    pub fn handle(&self, invocation: &Invocation) -> Answer {
        let work = || self.attempt(invocation);
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panicked(panic.as_ref()))).into()
    }

    fn attempt(&self, invocation: &Invocation) -> TaskResult<TaskReport> {
        let _task = tracing::debug_span!("task", run = invocation.run, work = %invocation.work).entered();
        same_version(invocation)?;
        self.options.places.check_writable(&invocation.run)?;
        places::check_common_object(&invocation.stage)?;
        let run = (self.options.open)(&invocation.run)
            .map_err(|e| TaskFailure::from(stagger_model::error::StaggerError::from(e)))?;
        let mut attempt = TaskAttempt {
            options: &self.options,
            invocation,
            before: run.stats(),
            run,
            guard: MemoryGuard::new(self.options.memory),
            begin: Instant::now(),
            others: Mutex::default(),
            phases: PhaseSeconds::default(),
            rows: 0,
            cached: 0,
        };
        let key = self.key(invocation);
        if invocation.look
            && let Some(report) = attempt.find_result(&key)?
        {
            return Ok(report);
        }
        let bytes = self.work(&mut attempt)?;
        attempt.write(&key, bytes)
    }

    fn key(&self, invocation: &Invocation) -> String {
        stagger_protocol::keys::result(&invocation.stage.checksum, &invocation.work)
    }

    fn work(&self, attempt: &mut TaskAttempt<'_>) -> TaskResult<Bytes> {
        let stage = self.open_stage(attempt)?;
        match (&attempt.invocation.work, &*stage) {
            (Work::Shards { node, part }, StageObject::Estimate(stage)) => {
                let panel = self.open_panel(attempt, &stage.panel)?;
                estimate::run(attempt, &panel, stage, *node, *part)
            }
            (Work::Reduce { node, children }, StageObject::Estimate(stage)) => {
                let panel = |attempt: &mut TaskAttempt<'_>| self.open_panel(attempt, &stage.panel);
                reduce::reduce(attempt, (stage, &panel), *node, children)
            }
            (work, StageObject::Prepare(stage)) => prepare::run(attempt, stage, work),
            (work, StageObject::Estimate(_)) => {
                Err(TaskFailure::new(FailureClass::Permanent, format!("{work} is no task of this stage")))
            }
        }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, context::WorkerCache> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Refuses a controller of another version: it may expect other bits.
fn same_version(invocation: &Invocation) -> TaskResult<()> {
    if invocation.protocol == PROTOCOL && invocation.version == VERSION {
        return Ok(());
    }
    Err(TaskFailure::new(
        FailureClass::Permanent,
        format!(
            "the controller is version {} (protocol {}), the worker version {VERSION} (protocol {PROTOCOL})",
            invocation.version, invocation.protocol
        ),
    )
    .with_hint("deploy the worker of the controller's version: `function/build`, then `infra/deploy`"))
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> TaskFailure {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
    TaskFailure::new(FailureClass::Lost, format!("the worker panicked: {text}"))
        .with_hint("this is a bug of stagger: please report it with the run's journal")
}

impl TaskAttempt<'_> {
    /// Fails once the time that the invocation may take is over.
    pub fn check_deadline(&self) -> TaskResult<()> {
        let limit = Duration::from_secs(self.invocation.seconds.into());
        if self.begin.elapsed() <= limit {
            return Ok(());
        }
        Err(TaskFailure::new(
            FailureClass::TimedOut,
            format!("not done after {} s, the time that the controller gave it", limit.as_secs()),
        ))
    }

    /// Returns the kernel that computes the task: this worker's own, or the processor's where the run wants its bits.
    fn kernel(&self) -> TaskResult<Arc<dyn Kernel>> {
        let own = &self.options.kernel;
        match self.invocation.kind {
            Some(KernelKind::Cpu) if own.kind() != KernelKind::Cpu => Ok(Arc::new(CpuKernel)),
            Some(wanted) if wanted != own.kind() => Err(TaskFailure::new(
                FailureClass::Permanent,
                format!(
                    "the run wants the bits of {}, this worker computes on {}",
                    wanted.name(),
                    own.device()
                ),
            )
            .with_hint("leave out --strict-bits, or let workers of one device take its tasks")),
            _ => Ok(Arc::clone(own)),
        }
    }

    /// Opens storage other than the run's for reading, and counts its requests.
    ///
    /// # Errors
    /// An address that the worker may not read, or storage that can't be opened.
    pub fn open(&self, url: &str) -> TaskResult<Storage> {
        self.options.places.check_readable(url)?;
        let storage = (self.options.open)(url).map_err(stagger_model::error::StaggerError::from)?;
        self.count_requests(&storage);
        Ok(storage)
    }

    /// Counts the requests of a storage from now on.
    pub fn count_requests(&self, storage: &Storage) {
        let before = storage.stats();
        self.others.lock().unwrap_or_else(PoisonError::into_inner).push((storage.clone(), before));
    }

    /// Returns the report of an earlier attempt's result, if there is a whole one.
    fn find_result(&self, key: &str) -> TaskResult<Option<TaskReport>> {
        match self.run.get(key, None) {
            Ok((bytes, _)) if stagger_protocol::bundle::is_intact(&bytes) => {
                Ok(Some(self.report(key, &bytes, true)))
            }
            Ok(_) => Ok(None),
            Err(e) if is_absent_or_denied(e.kind) => Ok(None),
            Err(e) => Err(stagger_model::error::StaggerError::from(e).into()),
        }
    }

    /// Writes the result and reports it.
    fn write(&mut self, key: &str, bytes: Bytes) -> TaskResult<TaskReport> {
        let begin = Instant::now();
        let found = self.put_result(key, &bytes);
        self.phases.write += begin.elapsed().as_secs_f64();
        Ok(self.report(key, &bytes, found?))
    }

    /// Writes a result once and returns whether it was there already. One that is there must be the same, as the bits
    /// depend on nothing but the task; one that was damaged in storage is replaced.
    ///
    /// # Errors
    /// Another whole result under the same key, or storage that fails.
    pub fn put_result(&self, key: &str, bytes: &Bytes) -> TaskResult<bool> {
        let mut condition = Condition::IfAbsent;
        for _ in 0..MAX_REPLACEMENTS {
            match self.run.put(key, bytes.clone(), condition) {
                Ok(_) => return Ok(false),
                Err(e) if is_taken(e.kind) => {}
                Err(e) => return Err(stagger_model::error::StaggerError::from(e).into()),
            }
            condition = match self.run.get(key, None) {
                Ok((known, _)) if known == *bytes => return Ok(true),
                Ok((known, _)) if stagger_protocol::bundle::is_intact(&known) => {
                    return if stagger_protocol::bundle::contradicts(&known, bytes) {
                        Err(differs(key, &known, bytes))
                    } else {
                        Ok(true)
                    };
                }
                Ok((_, info)) => Condition::IfMatch(info.etag),
                Err(e) if is_absent_or_denied(e.kind) => Condition::IfAbsent,
                Err(e) => return Err(stagger_model::error::StaggerError::from(e).into()),
            };
        }
        Err(TaskFailure::new(FailureClass::Lost, format!("`{key}` of the run is replaced over and over")))
    }

    fn report(&self, key: &str, bytes: &[u8], found: bool) -> TaskReport {
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = std::iter::once((self.run.stats(), self.before))
            .chain(others.iter().map(|(storage, before)| (storage.stats(), *before)));
        let mut out = TaskReport {
            key: key.to_owned(),
            checksum: checksum(bytes),
            bytes: bytes.len() as u64,
            rows: self.rows,
            seconds: self.phases,
            peak_memory: peak_memory(),
            cached: self.cached,
            found,
            ..TaskReport::default()
        };
        for (now, before) in counts {
            out.bytes_read += now.bytes_read - before.bytes_read;
            out.gets += now.gets - before.gets;
            out.puts += now.puts - before.puts;
            out.throttles += now.throttles - before.throttles;
        }
        out
    }
}

/// The number of times that a damaged result is replaced while other workers do the same.
const MAX_REPLACEMENTS: usize = 4;

/// Returns whether a conditional write failed on the state of the object: it exists, has changed, or is gone.
fn is_taken(kind: StoreErrorKind) -> bool {
    matches!(kind, StoreErrorKind::Exists | StoreErrorKind::Changed | StoreErrorKind::NotFound)
}

fn differs(key: &str, known: &Bytes, own: &Bytes) -> TaskFailure {
    TaskFailure::new(
        FailureClass::Permanent,
        format!("`{key}` of the run holds {} other bytes than these {}", known.len(), own.len()),
    )
    .with_hint(
        "something else wrote into the run's folder, or two workers compute different bits; start a new run",
    )
}
