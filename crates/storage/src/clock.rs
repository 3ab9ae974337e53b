//! The clock and the random numbers of retries, as a parameter: tests of retries then neither wait nor vary.

use std::fmt::Debug;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;

/// A source of time, pauses and random numbers.
pub trait Clock: Debug + Send + Sync {
    /// Returns the time since an arbitrary, fixed moment.
    fn now(&self) -> Duration;

    /// Returns a future that is ready after `time`.
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()>;

    /// Returns a uniform random number in [0, 1), another one at each call.
    fn random_fraction(&self) -> f64;

    /// Returns the wall-clock time in seconds since 1970, for messages and for comparison with other machines.
    fn unix_seconds(&self) -> f64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0.0, |since| since.as_secs_f64())
    }
}

/// Returns the machine's clock. With `timer` it sleeps on the async runtime's timer; without it, it blocks the calling
/// thread.
pub fn system_clock(timer: bool) -> std::sync::Arc<dyn Clock> {
    std::sync::Arc::new(SystemClock::new(timer))
}

/// The machine's clock, as [`system_clock`] returns it.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
    /// Sleeps on the async runtime's timer if set; otherwise the thread itself sleeps, as it does while it reads a
    /// file.
    timer: bool,
}

impl SystemClock {
    /// Returns a clock that starts now; see [`system_clock`] for `timer`.
    pub fn new(timer: bool) -> Self {
        Self { start: Instant::now(), timer }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        match self.timer {
            true => async move { tokio::time::sleep(time).await }.boxed(),
            false => async move { std::thread::sleep(time) }.boxed(),
        }
    }

    fn random_fraction(&self) -> f64 {
        // The standard library seeds its hasher from the system, which is random enough for jitter and needs no
        // dependency.
        let bits = RandomState::new().hash_one(self.start.elapsed().as_nanos()) >> 11;
        bits as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_differ_and_stay_below_one() {
        let clock = SystemClock::new(false);
        let drawn: Vec<f64> = (0..1000).map(|_| clock.random_fraction()).collect();
        assert!(drawn.iter().all(|f| (0.0..1.0).contains(f)));
        let mean = drawn.iter().sum::<f64>() / 1000.0;
        assert!((0.4..0.6).contains(&mean), "{mean}");
    }
}
