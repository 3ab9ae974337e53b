//! The boundary between a preparation and whoever computes its tasks: a preparation knows steps and tasks, an executor knows threads
//! or workers.

use std::fmt;

use bytes::Bytes;
use stagger_model::error::{EngineError, Result};

use super::conflict::Conflict;
use super::steps::PrepareStage;

/// One task of a step of a preparation, by its number within the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrepareTask {
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

impl fmt::Display for PrepareTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scatter(task) => write!(f, "mapper {task}"),
            Self::Combine(task) => write!(f, "combiner {task}"),
            Self::Gather(task) => write!(f, "partition {task}"),
            Self::Scan(task) => write!(f, "row group {task}"),
            Self::Rows(task) => write!(f, "rows {task}"),
        }
    }
}

/// The reason why a step is not done.
#[derive(Debug)]
pub enum StepFailure {
    /// Rows contradict each other; the preparation, which has all of the input, finds out where they are.
    Conflict(Box<Conflict>),
    /// Anything else.
    Engine(EngineError),
}

impl From<EngineError> for StepFailure {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

/// Computes the tasks of a preparation: on the threads of this process, or on workers.
pub trait Executor {
    /// Does all tasks of a step, named `name` for those who watch.
    ///
    /// # Errors
    /// Rows that contradict each other, of the first such task; else what stopped the step.
    fn execute(
        &self,
        name: &str,
        stage: PrepareStage,
        tasks: &[PrepareTask],
    ) -> std::result::Result<(), StepFailure>;

    /// The JSON in which each task of the last step tells what it made, in the order of the tasks.
    ///
    /// # Errors
    /// Storage that fails.
    fn results(&self, tasks: &[PrepareTask]) -> Result<Vec<Bytes>>;
}

/// Reads what a task has told.
pub(super) fn decode<T: serde::de::DeserializeOwned>(name: &str, bytes: &Bytes) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|e| EngineError::failed(format!("a result of stage {name} can't be read: {e}")))
}
