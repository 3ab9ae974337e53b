//! Repetition of requests until they succeed or fail for good, and resolution of writes whose reply was lost.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Clock;
use crate::hedge::LatencyModel;
use crate::policy::Policy;
use crate::stats::{Counters, add};
use crate::{Condition, ObjectInfo, ObjectStore, StoreError, StoreErrorKind, StoreResult, waiting};

/// A store with its policies, its clock and its counters.
#[derive(Debug)]
pub(super) struct RetryingStore {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) policy: Policy,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) counters: Counters,
    pub(super) expectation: Option<LatencyModel>,
    pub(super) under_way: AtomicU64,
    /// An answer has come, whatever it said: a later failure to reach the service is then a passing one.
    answered: AtomicBool,
}

impl RetryingStore {
    pub(super) fn new(store: Arc<dyn ObjectStore>, policy: Policy, clock: Arc<dyn Clock>) -> Self {
        let expectation = policy.duplicate.clone().map(LatencyModel::new);
        let (counters, under_way) = (Counters::default(), AtomicU64::new(0));
        Self { store, policy, clock, counters, expectation, under_way, answered: AtomicBool::new(false) }
    }

    /// Makes attempts until one succeeds or fails for good.
    pub(super) async fn retry<T, F>(&self, mut attempt: impl FnMut() -> F) -> StoreResult<T>
    where
        F: Future<Output = StoreResult<T>>,
    {
        let tries = async {
            let start = self.clock.now();
            let mut failed = 0;
            loop {
                match attempt().await {
                    Ok(answer) => {
                        self.answered.store(true, Ordering::Relaxed);
                        return Ok(answer);
                    }
                    Err(error) => {
                        failed += 1;
                        self.pause(error, failed, start).await?;
                    }
                }
            }
        };
        self.waited_for(tries).await
    }

    /// Waits for an answer, and reports the wait if the service has never answered.
    async fn waited_for<T>(&self, answer: impl Future<Output = StoreResult<T>>) -> StoreResult<T> {
        match waiting::notifier().filter(|_| self.store.is_remote() && !self.answered.load(Ordering::Relaxed))
        {
            Some(teller) => waiting::notify_if_slow(answer, teller, &self.store.url()).await,
            None => answer.await,
        }
    }

    /// Waits before the next attempt; if there is to be none, returns the error with the number of attempts.
    async fn pause(&self, error: StoreError, failed: u32, start: Duration) -> StoreResult<()> {
        if error.kind == StoreErrorKind::Throttled {
            add(&self.counters.throttles, 1);
        }
        let elapsed = self.clock.now().saturating_sub(start);
        let error = match error.is_silent() && self.answered.load(Ordering::Relaxed) {
            true => error.mark_answered(),
            false => error,
        };
        if !error.is_silent() {
            self.answered.store(true, Ordering::Relaxed);
        }
        match self.policy.backoff(&error, failed, elapsed, self.clock.random_fraction()) {
            Some(pause) => {
                add(&self.counters.retries, 1);
                self.clock.sleep(pause).await;
                Ok(())
            }
            None => Err(error.with_attempts(failed, elapsed)),
        }
    }

    /// Returns size and ETag, after retries.
    pub(super) async fn head(&self, key: &str) -> StoreResult<ObjectInfo> {
        self.retry(|| {
            add(&self.counters.gets, 1);
            self.store.head(key)
        })
        .await
    }

    /// Lists objects, after retries.
    pub(super) async fn list(&self, prefix: &str) -> StoreResult<Vec<ObjectInfo>> {
        self.retry(|| {
            add(&self.counters.lists, 1);
            self.store.list(prefix)
        })
        .await
    }

    /// Removes an object, after retries.
    pub(super) async fn delete(&self, key: &str) -> StoreResult<()> {
        self.retry(|| {
            add(&self.counters.deletes, 1);
            self.store.delete(key)
        })
        .await
    }

    /// Writes an object, and finds out whether a write whose reply was lost was carried out: its repetition then meets
    /// its own bytes.
    pub(super) async fn put(&self, key: &str, bytes: &Bytes, condition: &Condition) -> StoreResult<String> {
        self.waited_for(self.written_once(key, bytes, condition)).await
    }

    /// Writes an object with retries, and resolves a lost reply.
    async fn written_once(&self, key: &str, bytes: &Bytes, condition: &Condition) -> StoreResult<String> {
        let start = self.clock.now();
        let (mut failed, mut lost) = (0, false);
        loop {
            add(&self.counters.puts, 1);
            let error = match self.store.put(key, bytes.clone(), condition.clone()).await {
                Ok(etag) => {
                    self.answered.store(true, Ordering::Relaxed);
                    return Ok(self.written(bytes, etag));
                }
                Err(error) => error,
            };
            if lost && matches!(error.kind, StoreErrorKind::Exists | StoreErrorKind::Changed) {
                return self.resolve(key, bytes, error).await;
            }
            // The service may have failed after the write.
            lost |= matches!(error.kind, StoreErrorKind::Unavailable | StoreErrorKind::Corrupt);
            failed += 1;
            if let Err(last) = self.pause(error, failed, start).await {
                return if lost { self.resolve(key, bytes, last).await } else { Err(last) };
            }
        }
    }

    /// Succeeds if the object in place is the one that was to be written; returns the error otherwise.
    async fn resolve(&self, key: &str, bytes: &Bytes, error: StoreError) -> StoreResult<String> {
        match self.head(key).await {
            Ok(info) if info.size == bytes.len() as u64 => {}
            // Nothing more is known: the object is another writer's, gone, or out of reach.
            _ => return Err(error),
        }
        match self.whole(key, None).await {
            Ok((found, info)) if found == *bytes => Ok(self.written(bytes, info.etag)),
            _ => Err(error),
        }
    }

    /// Counts the bytes of a successful write, and passes on its ETag.
    fn written(&self, bytes: &Bytes, etag: String) -> String {
        add(&self.counters.bytes_written, bytes.len() as u64);
        etag
    }
}
