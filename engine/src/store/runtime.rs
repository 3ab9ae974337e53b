//! The runtime that carries requests to remote stores: one a process, started by the first of them.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

use super::{StoreError, StoreErrorKind, StoreResult};

/// Threads that move bytes between sockets and buffers: two keep up with 10 Gbit/s, and the engine's own threads need the rest.
const THREADS: usize = 2;

/// The runtime of requests, and of what waits for them. A run on local files never calls this.
///
/// # Errors
/// The system gives no more threads or handles.
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
