//! The messages between a controller and a worker, as small JSON that any carrier can take.

use std::fmt;

use serde::{Deserialize, Serialize};
use stagger_estimation::kernel::KernelKind;
use stagger_model::error::{FailureClass, StaggerError};
use stagger_model::events::{ObjectRef, PhaseSeconds};
use stagger_model::reduction::{ColumnPair, TreeNode};
use stagger_panel::prepare::{PrepareTask, RowConflict};

/// The version of the messages and of the objects that workers share. A worker refuses every other one.
pub const PROTOCOL: u32 = 1;

/// The version of the program. Workers of another version may compute other bits, so they refuse the task too.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// One invocation of a worker: a task, and all that is needed to do it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Invocation {
    /// [`PROTOCOL`] of the controller.
    pub protocol: u32,
    /// [`VERSION`] of the controller.
    pub version: String,
    /// The address of the run's objects, such as `s3://bucket/runs/name`.
    pub run: String,
    /// The object with the input that all tasks of the stage have in common.
    pub stage: ObjectRef,
    /// The task.
    pub work: Work,
    /// True if the worker is to look for the result of an earlier attempt first.
    pub look: bool,
    /// Seconds after which the worker gives up by itself.
    pub seconds: u32,
    /// The kind of kernel whose bits the run wants (`--strict-bits`); any kind where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<KernelKind>,
}

/// A task: its step and the part of the data that it covers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Computes the partials of the shards of a subtree.
    Shards {
        /// The subtree.
        node: TreeNode,
        /// The pair of column sets that an `Influence` task is restricted to; all columns where absent.
        part: Option<ColumnPair>,
    },
    /// Adds partials that are in storage already.
    Reduce {
        /// The subtree whose partial is to be made.
        node: TreeNode,
        /// The subtrees that it consists of, in order, each whole or in parts.
        children: Vec<(TreeNode, Option<ColumnPair>)>,
    },
    /// Reads rows and scatters them to partitions; the number is the mapper's.
    Scatter(usize),
    /// Joins blocks of several mappers; the number is the combiner's.
    Combine(usize),
    /// Makes the shards of some partitions; the number is the partition range's.
    Gather(usize),
    /// Counts the rows of a row group of cross sections.
    Scan(usize),
    /// Makes some shards of cross sections.
    Rows(usize),
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shards = |node: &TreeNode| {
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
            Self::Scatter(task) => PrepareTask::Scatter(*task).fmt(f),
            Self::Combine(task) => PrepareTask::Combine(*task).fmt(f),
            Self::Gather(task) => PrepareTask::Gather(*task).fmt(f),
            Self::Scan(task) => PrepareTask::Scan(*task).fmt(f),
            Self::Rows(task) => PrepareTask::Rows(*task).fmt(f),
        }
    }
}

impl From<PrepareTask> for Work {
    fn from(task: PrepareTask) -> Self {
        match task {
            PrepareTask::Scatter(task) => Self::Scatter(task),
            PrepareTask::Combine(task) => Self::Combine(task),
            PrepareTask::Gather(task) => Self::Gather(task),
            PrepareTask::Scan(task) => Self::Scan(task),
            PrepareTask::Rows(task) => Self::Rows(task),
        }
    }
}

impl TryFrom<&Work> for PrepareTask {
    /// The task belongs to an estimation.
    type Error = ();

    fn try_from(work: &Work) -> Result<Self, ()> {
        match *work {
            Work::Scatter(task) => Ok(Self::Scatter(task)),
            Work::Combine(task) => Ok(Self::Combine(task)),
            Work::Gather(task) => Ok(Self::Gather(task)),
            Work::Scan(task) => Ok(Self::Scan(task)),
            Work::Rows(task) => Ok(Self::Rows(task)),
            Work::Shards { .. } | Work::Reduce { .. } => Err(()),
        }
    }
}

/// A worker's account of a task that it has done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskReport {
    /// The key of the object that it wrote.
    pub key: String,
    /// XXH3-128 of the object, as 32 hexadecimal digits.
    pub checksum: String,
    /// The size of the object, bytes.
    pub bytes: u64,
    /// The units, or rows of cross sections, that the task went through.
    pub rows: u64,
    /// Bytes read from storage.
    pub bytes_read: u64,
    /// Read requests sent to storage.
    pub gets: u64,
    /// Write requests sent to storage.
    pub puts: u64,
    /// Answers of storage to slow down.
    pub throttles: u64,
    /// Seconds by phase.
    pub seconds: PhaseSeconds,
    /// The peak of the process's resident memory, bytes.
    pub peak_memory: u64,
    /// Shards that were in memory from an earlier task.
    pub cached: u64,
    /// True if an earlier attempt's result was found in place of computing it.
    pub found: bool,
}

/// The reason why a task has no result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskFailure {
    /// The class, which decides about another attempt.
    pub class: FailureClass,
    /// The event, in lower case without a full stop.
    pub message: String,
    /// The next step for a person, if there is one.
    pub hint: Option<String>,
    /// The shard, or the file and row group, at which it happened, if it is known.
    pub place: Option<String>,
    /// Two rows of the input that contradict each other, to be looked up by the reader of all files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<Box<RowConflict>>,
}

impl TaskFailure {
    /// Returns a failure of a class, without hint or place.
    pub fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), hint: None, place: None, conflict: None }
    }

    /// Returns the same failure with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Returns the same failure with its place.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// Converts it to the error that ends a run; `task` names the task.
    pub fn into_error(self, task: &str) -> StaggerError {
        let place = self.place.map(|place| format!(" ({place})")).unwrap_or_default();
        let message = format!("{task}{place}: {}", self.message);
        let error = match self.class {
            FailureClass::Data => StaggerError::input(message),
            _ => StaggerError::failed(message),
        };
        match self.hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

impl From<StaggerError> for TaskFailure {
    fn from(error: StaggerError) -> Self {
        let class = error.failure_class().unwrap_or_else(|| match error.storage_kind() {
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
    /// The task is done.
    Done(TaskReport),
    /// The task failed.
    Failed(TaskFailure),
}

impl From<Result<TaskReport, TaskFailure>> for Answer {
    fn from(result: Result<TaskReport, TaskFailure>) -> Self {
        result.map_or_else(Self::Failed, Self::Done)
    }
}
