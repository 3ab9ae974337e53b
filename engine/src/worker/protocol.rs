//! What a controller asks of a worker, and what the worker answers: small JSON, whoever carries it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::EngineError;
use crate::kernel::Kind;
use crate::prepare::Conflict;
use crate::reduce::Node;
use crate::store::StoreErrorKind;

/// Version of the messages and of the objects that workers share; another one is refused.
pub const PROTOCOL: u32 = 1;

/// Version of the program. Workers of another version may compute other bits, so they are refused too.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// An object that a message names instead of holding it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Key below the run.
    pub key: String,
    /// XXH3-128 of its bytes.
    pub checksum: String,
}

/// One invocation of a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Invocation {
    /// [`PROTOCOL`] of the controller.
    pub protocol: u32,
    /// [`VERSION`] of the controller.
    pub version: String,
    /// Where the run's objects are.
    pub run: String,
    /// What all tasks of the stage have in common.
    pub stage: ObjectRef,
    /// The task.
    pub work: Work,
    /// Look for the result of an earlier attempt first.
    pub look: bool,
    /// Seconds after which the worker gives up by itself.
    pub seconds: u32,
    /// Whose bits the run wants; any, where it does not say (`--strict-bits`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
}

/// What one task does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// The partials of the shards of a subtree.
    Shards {
        /// The subtree.
        node: Node,
        /// Of the columns of `Influence`, which pairs of sets; all without.
        part: Option<Part>,
    },
    /// Adds partials that are there already.
    Reduce {
        /// The subtree whose partial is to be made.
        node: Node,
        /// The subtrees that it consists of, in order, each whole or in parts.
        children: Vec<(Node, Option<Part>)>,
    },
    /// Reads rows and scatters them.
    Scatter(usize),
    /// Joins blocks of several mappers.
    Combine(usize),
    /// Makes the shards of some partitions.
    Gather(usize),
    /// Counts the rows of a chunk of cross sections.
    Scan(usize),
    /// Makes some shards of cross sections.
    Rows(usize),
}

/// A pair of sets of extended columns, of `sets` sets in all; a set with itself where both are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Part {
    /// Number of sets that the columns are cut into.
    pub sets: u16,
    /// One set.
    pub a: u16,
    /// The other one, not before it.
    pub b: u16,
}

impl Part {
    /// All pairs of `sets` sets.
    pub fn all(sets: u16) -> Vec<Self> {
        (0..sets).flat_map(|a| (a..sets).map(move |b| Self { sets, a, b })).collect()
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shards = |node: &Node| {
            let all = node.shards();
            match all.len() {
                1 => format!("shard {}", all.start),
                _ => format!("shards {} to {}", all.start, all.end - 1),
            }
        };
        match self {
            Self::Shards { node, part: None } => write!(f, "{}", shards(node)),
            Self::Shards { node, part: Some(part) } => {
                write!(f, "{}, column sets {} and {} of {}", shards(node), part.a + 1, part.b + 1, part.sets)
            }
            Self::Reduce { node, .. } => write!(f, "the sum over {}", shards(node)),
            Self::Scatter(task) => write!(f, "mapper {task}"),
            Self::Combine(task) => write!(f, "combiner {task}"),
            Self::Gather(task) => write!(f, "partition {task}"),
            Self::Scan(task) => write!(f, "row group {task}"),
            Self::Rows(task) => write!(f, "rows {task}"),
        }
    }
}

/// Seconds of a task by what they were spent on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Phases {
    /// Opening what the stage has in common.
    pub open: f64,
    /// Waiting for bytes and decoding them.
    pub read: f64,
    /// Computing.
    pub compute: f64,
    /// Writing the result.
    pub write: f64,
}

impl Phases {
    /// All of them together.
    pub fn all(&self) -> Duration {
        let seconds = self.open + self.read + self.compute + self.write;
        Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }
}

/// What a worker tells of a task it has done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskReport {
    /// Key of what it wrote.
    pub key: String,
    /// XXH3-128 of it.
    pub checksum: String,
    /// Bytes of it.
    pub bytes: u64,
    /// Units, or rows, that it went through.
    pub rows: u64,
    /// Bytes read from storage.
    pub bytes_read: u64,
    /// Reads sent to storage.
    pub gets: u64,
    /// Writes sent to storage.
    pub puts: u64,
    /// Answers of storage to slow down.
    pub throttles: u64,
    /// Seconds.
    pub seconds: Phases,
    /// Peak of the process's resident memory, bytes.
    pub peak_memory: u64,
    /// Shards that were in memory from an earlier task.
    pub cached: u64,
    /// An earlier attempt's result was found.
    pub found: bool,
}

/// What can be done about a task that failed; decided where it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// Too many at a time: slow down.
    Throttled,
    /// It took longer than it may.
    TimedOut,
    /// It needs more memory.
    OutOfMemory,
    /// It ended without an answer, or the answer was lost.
    Lost,
    /// Bytes were not what was promised.
    Corrupt,
    /// Credentials expired, or are none.
    Credentials,
    /// Nobody was there to do it.
    Absent,
    /// Its worker had to leave and gave it back.
    Returned,
    /// The data are at fault: never tried again.
    Data,
    /// Anything else that another attempt can't mend.
    Permanent,
}

impl FailureClass {
    /// Name, for logs and errors.
    pub fn name(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::TimedOut => "timed out",
            Self::OutOfMemory => "out of memory",
            Self::Lost => "lost",
            Self::Corrupt => "corrupt",
            Self::Credentials => "credentials",
            Self::Absent => "absent",
            Self::Returned => "returned",
            Self::Data => "data error",
            Self::Permanent => "permanent",
        }
    }
}

impl From<StoreErrorKind> for FailureClass {
    fn from(kind: StoreErrorKind) -> Self {
        use StoreErrorKind::{
            Changed, Corrupt, Credentials, Denied, Environment, Exists, Full, NotFound, Other, Place,
        };
        match kind {
            // Storage was asked many times already: the worker's place may be the reason, another one may do better.
            StoreErrorKind::Throttled => Self::Throttled,
            StoreErrorKind::Unavailable => Self::Lost,
            Corrupt => Self::Corrupt,
            Credentials => Self::Credentials,
            Changed => Self::Data,
            NotFound | Exists | Denied | Place | Environment | Full | Other => Self::Permanent,
        }
    }
}

/// Why a task has no result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskFailure {
    /// What can be done.
    pub class: FailureClass,
    /// What happened, in lower case without a full stop.
    pub message: String,
    /// What a person can do.
    pub hint: Option<String>,
    /// Shard or file and row group at which it happened, if it is known.
    pub place: Option<String>,
    /// Rows of the input that contradict each other, to be looked up by whoever has all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<Box<Conflict>>,
}

impl TaskFailure {
    /// A failure of a class.
    pub fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), hint: None, place: None, conflict: None }
    }

    /// The same with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with its place.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// As the error that ends a run.
    pub fn into_error(self, task: &str) -> EngineError {
        let place = self.place.map(|place| format!(" ({place})")).unwrap_or_default();
        let message = format!("{task}{place}: {}", self.message);
        let error = match self.class {
            FailureClass::Data => EngineError::input(message),
            _ => EngineError::failed(message),
        };
        match self.hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

impl From<EngineError> for TaskFailure {
    fn from(error: EngineError) -> Self {
        let class = error.class().unwrap_or_else(|| match error.storage() {
            Some(kind) => kind.into(),
            None if error.is_input() => FailureClass::Data,
            None => FailureClass::Permanent,
        });
        let out = Self::new(class, error.to_string());
        match error.hint() {
            Some(hint) => out.with_hint(hint),
            None => out,
        }
    }
}

/// A worker's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is done.
    Done(TaskReport),
    /// It is not.
    Failed(TaskFailure),
}

impl From<Result<TaskReport, TaskFailure>> for Answer {
    fn from(result: Result<TaskReport, TaskFailure>) -> Self {
        result.map_or_else(Self::Failed, Self::Done)
    }
}
