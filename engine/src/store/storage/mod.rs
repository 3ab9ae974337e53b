//! A store as the engine's threads use it: blocking, patient, and sure of what it read.

mod attempts;
mod reads;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use self::attempts::Attempts;
use super::clock::{Clock, SystemClock};
use super::policy::Policy;
use super::runtime::runtime;
use super::stats::StoreStats;
use super::{Condition, LocalStore, ObjectInfo, S3Store, Store, StoreError, StoreErrorKind, StoreResult};

/// A store with the policies around it: retries, pinned and checked reads, duplicated slow reads, lost replies resolved.
///
/// Clones share the store and its counts. Methods block, may be called from several threads at once, and must not be called from
/// within an async function.
#[derive(Clone, Debug)]
pub struct Storage {
    inner: Arc<Attempts>,
}

impl Storage {
    /// Opens `s3://bucket/prefix` or a folder. Nothing is asked or created before the first read or write.
    ///
    /// # Errors
    /// An URL that is none.
    pub fn open(url: &str) -> StoreResult<Self> {
        if url.starts_with("s3://") {
            return Ok(Self::new(Arc::new(S3Store::open(url)?)));
        }
        match url.split_once("://") {
            Some((scheme, _)) => Err(StoreError::new(
                StoreErrorKind::Other,
                format!("`{url}`: no kind of store is called `{scheme}`"),
            )
            .with_hint("name a folder or s3://bucket/prefix")),
            None if url.is_empty() => {
                Err(StoreError::new(StoreErrorKind::Other, "the place of the store is empty")
                    .with_hint("name a folder or s3://bucket/prefix"))
            }
            None => Ok(Self::new(Arc::new(LocalStore::new(url)))),
        }
    }

    /// A store of any kind, with the policies of its kind.
    pub fn new(store: Arc<dyn Store>) -> Self {
        let remote = store.is_remote();
        let policy = if remote { Policy::remote() } else { Policy::local() };
        Self::with_policy(store, policy, Arc::new(SystemClock::new(remote)))
    }

    /// A store with other policies, or another clock.
    pub fn with_policy(store: Arc<dyn Store>, policy: Policy, clock: Arc<dyn Clock>) -> Self {
        Self { inner: Arc::new(Attempts::new(store, policy, clock)) }
    }

    /// Where the root is.
    pub fn url(&self) -> String {
        self.inner.store.url()
    }

    /// Whether requests cost time and money.
    pub fn is_remote(&self) -> bool {
        self.inner.store.is_remote()
    }

    /// What was asked of the store until now.
    pub fn stats(&self) -> StoreStats {
        self.inner.counters.snapshot()
    }

    /// Reads a whole object; from a remote store a large one in pieces at the same time, all of one state of it.
    ///
    /// # Errors
    /// As [`Store::get`], after retries.
    pub fn get(&self, key: &str, pin: Option<&str>) -> StoreResult<(Bytes, ObjectInfo)> {
        self.wait(self.inner.whole(key, pin))
    }

    /// Reads the last `bytes` of an object.
    ///
    /// # Errors
    /// As [`Store::get`], after retries.
    pub fn get_suffix(&self, key: &str, bytes: u64) -> StoreResult<(Bytes, ObjectInfo)> {
        self.wait(self.inner.suffix(key, bytes))
    }

    /// Reads ranges of an object, in the order asked. Near ones are read together, far ones at the same time, all of one state of
    /// the object.
    ///
    /// # Errors
    /// As [`Store::get`], after retries; fewer bytes than asked for are an error.
    pub fn get_ranges(&self, key: &str, pin: Option<&str>, ranges: &[Range<u64>]) -> StoreResult<Vec<Bytes>> {
        self.wait(self.inner.ranges(key, pin, ranges))
    }

    /// Writes an object, whole or not at all. A lost reply is resolved by reading back: what is there is ours if its bytes are.
    /// So bytes that two writers might both write need a mark of the writer, where it matters whose they are.
    ///
    /// # Errors
    /// As [`Store::put`], after retries.
    pub fn put(&self, key: &str, bytes: Bytes, condition: Condition) -> StoreResult<String> {
        self.wait(self.inner.put(key, &bytes, &condition))
    }

    /// Size and ETag.
    ///
    /// # Errors
    /// As [`Store::head`], after retries.
    pub fn head(&self, key: &str) -> StoreResult<ObjectInfo> {
        self.wait(self.inner.head(key))
    }

    /// All objects below a prefix, by key.
    ///
    /// # Errors
    /// As [`Store::list`], after retries.
    pub fn list(&self, prefix: &str) -> StoreResult<Vec<ObjectInfo>> {
        self.wait(self.inner.list(prefix))
    }

    /// Removes an object.
    ///
    /// # Errors
    /// As [`Store::delete`], after retries.
    pub fn delete(&self, key: &str) -> StoreResult<()> {
        self.wait(self.inner.delete(key))
    }

    /// Removes what writers that were killed have left.
    pub fn sweep(&self) {
        if !self.is_remote() {
            futures::executor::block_on(self.inner.store.sweep());
        }
    }

    /// [`Storage::get`] for code that waits for many things at a time; on the runtime of the caller.
    ///
    /// # Errors
    /// As [`Storage::get`].
    pub async fn get_async(&self, key: &str, pin: Option<&str>) -> StoreResult<(Bytes, ObjectInfo)> {
        self.inner.whole(key, pin).await
    }

    /// [`Storage::put`], likewise.
    ///
    /// # Errors
    /// As [`Storage::put`].
    pub async fn put_async(&self, key: &str, bytes: Bytes, condition: Condition) -> StoreResult<String> {
        self.inner.put(key, &bytes, &condition).await
    }

    /// [`Storage::list`], likewise.
    ///
    /// # Errors
    /// As [`Storage::list`].
    pub async fn list_async(&self, prefix: &str) -> StoreResult<Vec<ObjectInfo>> {
        self.inner.list(prefix).await
    }

    /// [`Storage::delete`], likewise.
    ///
    /// # Errors
    /// As [`Storage::delete`].
    pub async fn delete_async(&self, key: &str) -> StoreResult<()> {
        self.inner.delete(key).await
    }

    /// One request of the store itself, without any policy.
    pub(super) fn request<'a, T, F>(&'a self, ask: impl FnOnce(&'a dyn Store) -> F) -> StoreResult<T>
    where
        F: Future<Output = StoreResult<T>>,
    {
        self.wait(ask(self.inner.store.as_ref()))
    }

    /// Local and memory stores answer at once, on the calling thread; the others need the runtime.
    fn wait<T>(&self, answer: impl Future<Output = StoreResult<T>>) -> StoreResult<T> {
        match self.is_remote() {
            true => runtime()?.block_on(answer),
            false => futures::executor::block_on(answer),
        }
    }
}
