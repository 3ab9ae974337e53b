//! A notice to the user while a store's first answer takes long.

use std::future::Future;
use std::pin::pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::{Either, select};

/// A function that is called with the address that does not answer; any thread may call it.
pub(super) type Notifier = fn(&str);

/// The wait after which a person wants to know.
const LONG: Duration = Duration::from_secs(2);

static TELLER: OnceLock<Notifier> = OnceLock::new();

/// Registers a function that is called, once in the life of the program, when a remote store that has never answered
/// gives no answer for two seconds.
pub fn notify_of_slow_store(teller: fn(&str)) {
    let _ = TELLER.set(teller);
}

/// Returns the registered function, unless it was called already.
pub(super) fn notifier() -> Option<Notifier> {
    TELLER.get().copied().filter(|_| !TOLD.load(Ordering::Relaxed))
}

static TOLD: AtomicBool = AtomicBool::new(false);

/// Waits for an answer, and calls `teller` if that takes long. Must run on the async runtime of requests.
pub(super) async fn notify_if_slow<T>(answer: impl Future<Output = T>, teller: Notifier, url: &str) -> T {
    let answer = pin!(answer);
    let long = pin!(tokio::time::sleep(LONG));
    match select(answer, long).await {
        Either::Left((answer, _)) => answer,
        Either::Right(((), answer)) => {
            if !TOLD.swap(true, Ordering::Relaxed) {
                teller(url);
            }
            answer.await
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    static CALLS: AtomicUsize = AtomicUsize::new(0);

    fn count(_: &str) {
        CALLS.fetch_add(1, Ordering::SeqCst);
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_wait_is_told_of_once() {
        for seconds in [1, 3, 5] {
            let answer = async {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                seconds
            };
            assert_eq!(notify_if_slow(answer, count, "s3://b").await, seconds);
            assert_eq!(CALLS.load(Ordering::SeqCst), usize::from(seconds > 1), "after {seconds} s");
        }
    }
}
