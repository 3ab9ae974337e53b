//! The boundary between a preparation and the computation of its tasks: a preparation knows steps and tasks, an executor
//! knows threads or workers.

use std::fmt;

use bytes::Bytes;
use stagger_model::error::{Result, StaggerError};

use super::conflict::RowConflict;
use crate::prepare::stage::PrepareStage;

/// One task of a step of a preparation, by its number within the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrepareTask {
    /// Reads rows and scatters them.
    Scatter(usize),
    /// Joins blocks of several mappers.
    Combine(usize),
    /// Builds the shards of some partitions.
    Gather(usize),
    /// Finds strata, periods and texts in a chunk of cross sections.
    Scan(usize),
    /// Builds some shards of cross sections.
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

/// The reason why a step did not complete.
#[derive(Debug)]
pub enum StepFailure {
    /// Rows contradict each other. The preparation has the whole input and looks up their place.
    Conflict(Box<RowConflict>),
    /// Any other error.
    Other(StaggerError),
}

impl From<StaggerError> for StepFailure {
    fn from(error: StaggerError) -> Self {
        Self::Other(error)
    }
}

/// A way to compute the tasks of a preparation: on the threads of this process, or on workers.
pub trait Executor {
    /// Computes all tasks of a step; events call the step `name`.
    ///
    /// # Errors
    /// Rows that contradict each other, those of the first such task; otherwise the error that stopped the step.
    fn execute(
        &self,
        name: &str,
        stage: PrepareStage,
        tasks: &[PrepareTask],
    ) -> std::result::Result<(), StepFailure>;

    /// Tells if tasks are computed by other processes, which see of a stage only what is written of it.
    fn is_remote(&self) -> bool;

    /// Returns the reports of the tasks of the last step, each as JSON, in the order of `tasks`.
    ///
    /// # Errors
    /// Storage that fails.
    fn results(&self, tasks: &[PrepareTask]) -> Result<Vec<Bytes>>;
}

/// Parses the report of a task.
pub(super) fn decode<T: serde::de::DeserializeOwned>(name: &str, bytes: &Bytes) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|e| StaggerError::failed(format!("a result of stage {name} can't be read: {e}")))
}
