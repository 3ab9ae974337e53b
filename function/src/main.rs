//! The worker on AWS Lambda: takes an event from the Runtime API, does what it asks on the engine's threads, answers.

mod handler;
mod log;

use std::time::Instant;

use lambda_runtime::{Diagnostic, Error, LambdaEvent, Runtime, service_fn};
use serde_json::Value;

use handler::Failure;

/// The kernels allocate per shard and thread; the system's allocator makes them wait for each other.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Error> {
    log::panics();
    // One thread is enough to wait for events; the engine brings its own, and those of S3 start with the first request.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { Runtime::new(service_fn(invoke)).run().await })
}

/// One invocation. The engine blocks, so it gets a thread of its own; a panic there fails the invocation, not the process.
async fn invoke(event: LambdaEvent<Value>) -> Result<Value, Diagnostic> {
    let begin = Instant::now();
    let operation = handler::operation(&event.payload).to_owned();
    let payload = event.payload;
    let answer = match tokio::task::spawn_blocking(move || handler::handle(payload)).await {
        Ok(answer) => answer,
        Err(stopped) => Err(Failure::panicked(stopped)),
    };
    log::invocation(&event.context.request_id, &operation, begin.elapsed(), answer.as_ref().err());
    answer.map_err(Diagnostic::from)
}
