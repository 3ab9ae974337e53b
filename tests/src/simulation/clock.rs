//! Virtual time: of a controller, that of its runtime; of a task, a count.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use stagger_storage::Clock;
use stagger_test_support::panels::Random;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::lambda::Environment;

/// Seconds since 1970 at virtual time 0.
const EPOCH: f64 = 1.8e9;

/// A controller's clock.
#[derive(Debug)]
pub(super) struct SimClock {
    runtime: Handle,
    begin: Instant,
    /// Virtual time at which the process began, and time that passed while it waited outside of its runtime.
    offset: Mutex<Duration>,
    /// Seconds that it is ahead.
    skew: f64,
    random: Mutex<Random>,
}

impl SimClock {
    pub(super) fn new(runtime: Handle, offset: Duration, skew: f64, seed: u64) -> Self {
        let begin = {
            let _context = runtime.enter();
            Instant::now()
        };
        Self { runtime, begin, offset: Mutex::new(offset), skew, random: Mutex::new(Random::new(seed)) }
    }

    /// Waits: by the runtime's timer where it drives, else the clock is put forward.
    pub(super) async fn pass(&self, time: Duration) {
        match Handle::try_current() {
            Ok(_) => tokio::time::sleep(time).await,
            Err(_) => *self.offset.lock().unwrap_or_else(PoisonError::into_inner) += time,
        }
    }
}

/// The same as a [`Clock`] that futures without a borrow can use.
#[derive(Clone, Debug)]
pub(super) struct Shared(pub(super) Arc<SimClock>);

impl SimClock {
    pub(super) fn time(&self) -> Duration {
        let _context = self.runtime.enter();
        *self.offset.lock().unwrap_or_else(PoisonError::into_inner) + self.begin.elapsed()
    }

    pub(super) fn draw<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        draw(&mut self.random.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Clock for Shared {
    fn now(&self) -> Duration {
        self.0.time()
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        let clock = Arc::clone(&self.0);
        async move { clock.pass(time).await }.boxed()
    }

    fn random_fraction(&self) -> f64 {
        self.0.draw(Random::uniform)
    }

    fn unix_seconds(&self) -> f64 {
        EPOCH + self.0.skew + self.0.time().as_secs_f64()
    }
}

/// The clock of the tasks of an environment: a task is computed at once, and its pauses are added up.
#[derive(Debug)]
pub(super) struct TaskClock(pub(super) Arc<Environment>);

impl Clock for TaskClock {
    fn now(&self) -> Duration {
        self.0.process.clock.time() + self.0.spent()
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        let environment = Arc::clone(&self.0);
        // Not before it is waited for: a timer beside something that is ready takes no time.
        async move { environment.spend(time) }.boxed()
    }

    fn random_fraction(&self) -> f64 {
        self.0.process.clock.draw(Random::uniform)
    }

    fn unix_seconds(&self) -> f64 {
        EPOCH + self.now().as_secs_f64()
    }
}
