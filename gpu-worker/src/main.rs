//! The worker in a container: it takes tasks from a queue, does them, answers, and leaves when there is
//! nothing to do.

mod args;
mod device;
mod log;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use serde_json::json;
use stagger_estimation::kernel::Kernel;
use stagger_model::error::FailureClass;
use stagger_model::printable::printable;
use stagger_panel::prepare::default_memory;
use stagger_protocol::messages::TaskFailure;
use stagger_queue::{
    BlockingExecutor, Exit, Queue, QueueWorker, QueueWorkerSettings, SqsQueue, StopSignal, TaskExecutor,
};
use stagger_storage::{runtime, system_clock};
use stagger_worker::{AllowedStorage, Worker, WorkerOptions};

use crate::args::Args;

/// The kernels allocate per shard and thread; the system's allocator makes them wait for each other.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    log::log_panics();
    if let Err(error) = stagger_model::logs::start_logs() {
        report_error(&error.to_string(), error.hint().as_deref());
        return ExitCode::from(2);
    }
    let url = match args::queue_url(&args, std::env::var("STAGGER_QUEUE").ok()) {
        Ok(url) => url,
        Err(error) => {
            eprintln!("error: {}", printable(&error.to_string()));
            return ExitCode::from(2);
        }
    };
    let kernel = match device::open_kernel(&args) {
        Ok(kernel) => kernel,
        Err(error) => return report_error(&error.to_string(), error.hint().as_deref()),
    };
    let code = match serve(&args, &url, kernel) {
        Ok(left) => {
            log::log_event("left", json!({ "reason": reason(left) }));
            0
        }
        Err(failure) => {
            report_error(&failure.message, failure.hint.as_deref());
            1
        }
    };
    // A task that was given back may still compute on its thread, which can't be stopped: the process ends with it.
    std::process::exit(code)
}

fn report_error(error: &str, hint: Option<&str>) -> ExitCode {
    eprintln!("error: {}", printable(error));
    if let Some(hint) = hint {
        eprintln!("hint: {}", printable(hint));
    }
    ExitCode::FAILURE
}

fn reason(left: Exit) -> &'static str {
    match left {
        Exit::Idle => "the queue stayed empty",
        Exit::RunOver => "the run is over",
        Exit::Stopped => "told to end",
    }
}

/// Works at the queue, several tasks at a time, until all threads have a reason to leave or one can't use the queue.
fn serve(args: &Args, url: &str, kernel: Arc<dyn Kernel>) -> Result<Exit, TaskFailure> {
    let of_engine = |e: stagger_storage::StoreError| stagger_model::error::StaggerError::from(e).into();
    let runtime = runtime().map_err(|e| -> TaskFailure { of_engine(e) })?;
    let memory = args.memory_limit.unwrap_or_else(default_memory);
    let name = worker_name();
    log::log_event(
        "started",
        json!({ "worker": name, "device": kernel.device(), "queue": url, "memory": memory, "tasks_at_a_time": args.tasks_at_once() }),
    );
    let places = AllowedStorage::from_environment();
    let open = places.clone().into_opener();
    let options =
        WorkerOptions { kernel: Arc::clone(&kernel), places, ..WorkerOptions::with_memory(Some(memory)) };
    let hands: Arc<dyn TaskExecutor> = Arc::new(BlockingExecutor::new(Worker::new(options)));
    let stop = StopSignal::default();
    let signalled = stop.clone();
    // Without a handler the process just ends, and its task comes back to the queue by itself.
    let _ = ctrlc::set_handler(move || signalled.raise());
    runtime.block_on(async {
        let queue: Arc<dyn Queue> = Arc::new(SqsQueue::connect(url).await);
        let attendants = (0..args.tasks_at_once()).map(|number| {
            let name = format!("{name}/{number}");
            let settings = QueueWorkerSettings {
                name: name.clone(),
                at_once: u32::try_from(args.tasks_at_once()).unwrap_or(u32::MAX),
                hidden: Duration::from_secs(args.hidden),
                idle: args.idle(),
                leaves_with_run: !args.stay,
            };
            let (queue, hands, kernel) = (Arc::clone(&queue), Arc::clone(&hands), Arc::clone(&kernel));
            let (open, clock) = (Arc::clone(&open), system_clock(true));
            let attendant = QueueWorker::new(queue, hands, open, clock, settings, stop.clone());
            tokio::spawn(async move {
                attendant.serve(&|moment| log::log_worker_event(&name, &moment, kernel.memory())).await
            })
        });
        let (mut last, mut panics) = (None, 0);
        for attendant in attendants.collect::<Vec<_>>() {
            // The panic of one thread is in the log; the others go on.
            match attendant.await {
                Ok(left) => last = Some(left?),
                Err(_) => panics += 1,
            }
        }
        let lost =
            || TaskFailure::new(FailureClass::Lost, format!("all {panics} threads at the queue panicked"));
        last.ok_or_else(lost)
    })
}

/// Returns host and process number, as the worker's name.
fn worker_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_else(|| "worker".to_owned());
    format!("{}-{}", host.trim(), std::process::id())
}
