//! A run on workers.
use crate::error::{EngineError, Result};
use crate::worker::StageObject;
use crate::worker::protocol::{TaskFailure, TaskReport, Work};
use bytes::Bytes;

/// Why workers did not do a stage.
#[derive(Debug)]
pub(crate) enum WorkerFailure {
    /// A task can't be done.
    Task {
        /// The task.
        task: String,
        /// Why.
        failure: TaskFailure,
    },
    /// Anything else.
    Engine(EngineError),
}

impl From<WorkerFailure> for EngineError {
    fn from(failure: WorkerFailure) -> Self {
        match failure {
            WorkerFailure::Task { task, failure } => failure.into_error(&task),
            WorkerFailure::Engine(error) => error,
        }
    }
}

/// Who does the tasks of a stage, if not the threads of this process.
pub(crate) trait Workers {
    /// Does a stage.
    fn run(
        &self,
        name: &str,
        stage: &StageObject,
        works: Vec<Work>,
    ) -> std::result::Result<(), WorkerFailure>;

    /// What the tasks of the last stage wrote, in the order given.
    fn results(&self, works: &[Work]) -> Result<Vec<Bytes>>;
}
