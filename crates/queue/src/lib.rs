//! Tasks through a work queue: a pool of plain containers (on AWS Batch, ECS, Kubernetes or SLURM) does the same
//! tasks as functions do.
//!
//! ```text
//! controller                                   queue                            worker (gpu-worker, a process)
//! Pool::invoke ─► Message {invocation, n} ──►  one message a task  ──────────►  Attendant::serve
//!                                                                               queue/<mark>/<n>.taken    sign of life
//!      ◄── list queue/<mark>/, get ───────────────────────────────────────────  queue/<mark>/<n>.answer   created once
//! ```
//!
//! A message is one attempt. A message that is delivered a second time has lost its worker: the next receiver answers
//! that, and the state machine counts the attempt and makes another one, as with functions. Answers lie beside the
//! run's other objects, so a pool needs a queue and storage and nothing else.
//!
//! - `queue`: the trait, with `memory` for tests and `sqs`. `message`: messages and replies.
//! - `serve`: a worker's loop. The controller's side is `stagger_coordinator::pool`.

mod memory;
pub mod message;
pub mod queue;
mod serve;
mod sqs;

pub use memory::MemoryQueue;
pub use message::{TaskMessage, WorkerReply};
pub use queue::{Queue, QueueResult, ReceivedMessage};
pub use serve::{
    BlockingExecutor, Exit, QueueWorker, QueueWorkerSettings, StopSignal, TaskExecutor, WorkerEvent,
};
pub use sqs::SqsQueue;
