//! The async runtime that carries requests to remote stores. A process has one, which the first request starts.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

use super::{StoreError, StoreErrorKind, StoreResult};

/// The number of threads that move bytes between sockets and buffers: two keep up with 10 Gbit/s, and the computation
/// needs the other cores.
const THREADS: usize = 2;

/// Returns the async runtime of requests, and of whatever waits for them. A run on local files never starts it.
///
/// # Errors
/// The system grants no more threads or file descriptors.
pub fn runtime() -> StoreResult<&'static Runtime> {
    static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();
    let started = RUNTIME.get_or_init(|| {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(THREADS).thread_name("stagger-store").enable_all();
        builder.build().map_err(|e| e.to_string())
    });
    started.as_ref().map_err(|reason| {
        StoreError::new(StoreErrorKind::Other, format!("the threads for requests can't be started: {reason}"))
            .with_hint("raise the limits on threads and open files (ulimit -u, ulimit -n)")
    })
}
