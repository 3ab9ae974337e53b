//! A run on workers, from the controller's side: the decisions of [`stagger_schedule::Run`] are carried out, every answer goes into the journal, and
//! the sums that workers leave in storage are added along the tree.
//!
//! - `launch`: a run from its request to its results, or from the point at which an earlier controller left it. `request`: the request and the options.
//! - `planning`: specifications and plans, with counts that workers take (`survey`). `preparation`: the store. `restore`: the state that an
//!   earlier controller saved.
//! - `session`: the loop around the state machine. `invoker`: the trait that carries tasks to workers. `fold`: sums as they come. `estimate`: the passes
//!   of estimations.
//! - `runtime`: the runtime that requests wait with.

mod estimate;
mod executor;
mod fold;
mod invoker;
pub mod journal;
mod launch;
mod planning;
pub mod pool;
#[cfg(test)]
mod pool_tests;
mod preparation;
mod request;
mod restore;
pub mod routed;
mod runtime;
mod session;
mod settings;
mod survey;

use stagger_model::error::StaggerError;
use stagger_protocol::messages::TaskFailure;

pub use fold::TreeSum;
pub use invoker::{Bill, InvocationOutcome, Invoker, TakenSignal, ThreadInvoker};
pub use launch::{resume, start};
pub use request::{
    BatchRequest, CloudOptions, CloudOutput, PoolRequest, RunLimits, RunRequest, read_request, run_url,
};
pub use runtime::Runtime;
pub use settings::Settings;

/// The reason why workers did not do a stage.
#[derive(Debug)]
pub enum WorkerFailure {
    /// A task can't be done.
    Task {
        /// The name of the task.
        task: String,
        /// The reason.
        failure: TaskFailure,
    },
    /// Any other error.
    Other(StaggerError),
}

impl From<WorkerFailure> for StaggerError {
    fn from(failure: WorkerFailure) -> Self {
        match failure {
            WorkerFailure::Task { task, failure } => failure.into_error(&task),
            WorkerFailure::Other(error) => error,
        }
    }
}

impl From<StaggerError> for WorkerFailure {
    fn from(error: StaggerError) -> Self {
        Self::Other(error)
    }
}
