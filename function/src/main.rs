//! The worker on AWS Lambda: it takes a task from the Runtime API, does it, and answers.

mod log;

use std::sync::Arc;
use std::time::{Duration, Instant};

use lambda_runtime::{Error, LambdaEvent, Runtime, service_fn};
use serde_json::Value;
use stagger_model::error::FailureClass;
use stagger_protocol::messages::{Answer, Invocation, TaskFailure};
use stagger_worker::{AllowedStorage, MemoryGuard, Worker, WorkerOptions};

/// The kernels allocate per shard and thread; the system's allocator makes them wait for each other.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The time between two checks of memory while a task runs.
const LOOK: Duration = Duration::from_millis(10);
/// The time for an answer to leave before a process ends that has no memory left.
const LEAVE: Duration = Duration::from_millis(100);

fn main() -> Result<(), Error> {
    log::log_panics();
    let megabytes =
        std::env::var("AWS_LAMBDA_FUNCTION_MEMORY_SIZE").ok().and_then(|mb| mb.parse::<u64>().ok());
    let memory = megabytes.map(|mb| mb << 20);
    let options =
        WorkerOptions { places: AllowedStorage::from_environment(), ..WorkerOptions::with_memory(memory) };
    let worker = Arc::new(Worker::new(options));
    // One thread is enough to wait for events; the computation brings its own, and those of S3 start with the first request.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        Runtime::new(service_fn(|event| {
            invoke(Arc::clone(&worker), MemoryGuard::with_last_limit(memory), event)
        }))
        .run()
        .await
    })
}

/// Handles one invocation. A task blocks, so it has a thread of its own.
async fn invoke(worker: Arc<Worker>, guard: MemoryGuard, event: LambdaEvent<Value>) -> Result<Answer, Error> {
    let begin = Instant::now();
    let answer = match serde_json::from_value::<Invocation>(event.payload) {
        Ok(invocation) => handle_watched(worker, guard, invocation).await,
        Err(e) => failed(FailureClass::Permanent, format!("the invocation can't be read: {e}")),
    };
    log::log_invocation(&event.context.request_id, begin.elapsed(), &answer);
    Ok(answer)
}

/// Does the task, and answers before the kernel ends a process that has no memory left.
async fn handle_watched(worker: Arc<Worker>, guard: MemoryGuard, invocation: Invocation) -> Answer {
    let mut work = tokio::task::spawn_blocking(move || worker.handle(&invocation));
    loop {
        tokio::select! {
            biased;
            done = &mut work => {
                return done.unwrap_or_else(|e| failed(FailureClass::Lost, format!("the worker's thread ended: {e}")));
            }
            () = tokio::time::sleep(LOOK) => {}
        }
        if let Err(failure) = guard.check(0) {
            // The thread can't be stopped, so the process is; the next invocation has a new one.
            std::thread::spawn(|| {
                std::thread::sleep(LEAVE);
                std::process::exit(1);
            });
            return Answer::Failed(failure);
        }
    }
}

fn failed(class: FailureClass, message: String) -> Answer {
    Answer::Failed(TaskFailure::new(class, message))
}
