//! Parallel loops on the threads of this process.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::Result;

/// Runs `work(state, item)` for the items `0..items` on `threads` threads, each with its own state, and returns the
/// states. Items are started in order.
///
/// # Errors
/// Of several errors the one of the lowest item, so that messages don't depend on timing.
pub fn for_each<S: Send>(
    threads: usize,
    items: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) -> Result<()> + Sync,
) -> Result<Vec<S>> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    let worker = || {
        let mut own = state();
        loop {
            let item = next.fetch_add(1, Ordering::Relaxed);
            if item >= items {
                return own;
            }
            if let Err(error) = work(&mut own, item) {
                // Later items need not start; earlier ones are in progress already.
                next.store(items, Ordering::Relaxed);
                let mut slot = failed.lock().unwrap_or_else(|e| e.into_inner());
                match &*slot {
                    Some((first, _)) if *first <= item => {}
                    _ => *slot = Some((item, error)),
                }
            }
        }
    };
    let states = if threads <= 1 || items <= 1 {
        vec![worker()]
    } else {
        std::thread::scope(|scope| {
            let handles: Vec<_> = (0..threads.min(items)).map(|_| scope.spawn(worker)).collect();
            handles
                .into_iter()
                .map(|handle| handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        })
    };
    match failed.into_inner().unwrap_or_else(|e| e.into_inner()) {
        Some((_, error)) => Err(error),
        None => Ok(states),
    }
}

/// Runs `work(item)` for the items `0..items` on `threads` threads, and returns the results in the order of the items.
///
/// # Errors
/// Of several errors the one of the lowest item.
pub fn map<T: Send>(
    threads: usize,
    items: usize,
    work: impl Fn(usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let slots: Vec<Mutex<Option<T>>> = (0..items).map(|_| Mutex::new(None)).collect();
    for_each(
        threads,
        items,
        || (),
        |(), item| {
            let value = work(item)?;
            *slots[item].lock().unwrap_or_else(|e| e.into_inner()) = Some(value);
            Ok(())
        },
    )?;
    Ok(slots.into_iter().filter_map(|slot| slot.into_inner().unwrap_or_else(|e| e.into_inner())).collect())
}

/// Returns the number of cores that the process may use.
pub fn available_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
