//! A blocking store with retries, and with checks of everything that is read.

mod attempts;
mod reads;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use self::attempts::RetryingStore;
use super::clock::{Clock, SystemClock};
use super::policy::Policy;
use super::runtime::runtime;
use super::stats::StoreStats;
use super::{
    Condition, LocalStore, ObjectInfo, ObjectStore, S3Store, StoreError, StoreErrorKind, StoreResult,
};
use crate::open::is_on_s3;

/// The hint for an invalid address.
const FORMS: &str = "name a folder or s3://bucket/prefix";

/// A store with the policies around it: retries, pinned and checked reads, hedged slow reads, and resolution of lost
/// replies.
///
/// Clones share the store and its counts. Methods block, may be called from several threads at once, and must not be
/// called within an async function.
#[derive(Clone, Debug)]
pub struct Storage {
    inner: Arc<RetryingStore>,
}

impl Storage {
    /// Opens `s3://bucket/prefix` or a folder. Nothing is requested or created before the first read or write.
    ///
    /// # Errors
    /// An invalid address.
    pub fn open(url: &str) -> StoreResult<Self> {
        if is_on_s3(url) {
            return Ok(Self::new(Arc::new(S3Store::open(url)?)));
        }
        match url.split_once("://") {
            Some((scheme, _)) => Err(StoreError::new(
                StoreErrorKind::Other,
                format!("`{url}`: no kind of store is called `{scheme}`"),
            )
            .with_hint(FORMS)),
            None if url.is_empty() => {
                Err(StoreError::new(StoreErrorKind::Other, "the place of the store is empty")
                    .with_hint(FORMS))
            }
            None => Ok(Self::new(Arc::new(LocalStore::new(url)))),
        }
    }

    /// Returns a store of any kind with the policies of its kind.
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        let remote = store.is_remote();
        let policy = if remote { Policy::remote() } else { Policy::local() };
        Self::with_policy(store, policy, Arc::new(SystemClock::new(remote)))
    }

    /// Returns a store with other policies or another clock.
    pub fn with_policy(store: Arc<dyn ObjectStore>, policy: Policy, clock: Arc<dyn Clock>) -> Self {
        Self { inner: Arc::new(RetryingStore::new(store, policy, clock)) }
    }

    /// Returns the address of the root; see [`ObjectStore::url`].
    pub fn url(&self) -> String {
        self.inner.store.url()
    }

    /// Returns `true` if requests cost time and money.
    pub fn is_remote(&self) -> bool {
        self.inner.store.is_remote()
    }

    /// Returns the counts of requests until now.
    pub fn stats(&self) -> StoreStats {
        self.inner.counters.snapshot()
    }

    /// Reads a whole object. A large one is read from a remote store in concurrent pieces, all of one version of it.
    ///
    /// # Errors
    /// Those of [`ObjectStore::get`], after retries.
    pub fn get(&self, key: &str, pin: Option<&str>) -> StoreResult<(Bytes, ObjectInfo)> {
        self.wait(self.inner.whole(key, pin))
    }

    /// Reads the last `bytes` bytes of an object.
    ///
    /// # Errors
    /// Those of [`ObjectStore::get`], after retries.
    pub fn get_suffix(&self, key: &str, bytes: u64) -> StoreResult<(Bytes, ObjectInfo)> {
        self.wait(self.inner.suffix(key, bytes))
    }

    /// Reads ranges of an object and returns them in the given order. Near ranges are read together, far ones
    /// concurrently, all of one version of the object.
    ///
    /// # Errors
    /// Those of [`ObjectStore::get`], after retries; a range beyond the object's end is an error too.
    pub fn get_ranges(&self, key: &str, pin: Option<&str>, ranges: &[Range<u64>]) -> StoreResult<Vec<Bytes>> {
        self.wait(self.inner.ranges(key, pin, ranges))
    }

    /// Writes an object, whole or not at all. A lost reply is resolved by reading back: the write succeeded if the
    /// object has its bytes. If two writers may write the same bytes and it matters whose they are, the bytes need a
    /// mark of the writer.
    ///
    /// # Errors
    /// Those of [`ObjectStore::put`], after retries.
    pub fn put(&self, key: &str, bytes: Bytes, condition: Condition) -> StoreResult<String> {
        self.wait(self.inner.put(key, &bytes, &condition))
    }

    /// Returns the size and ETag of an object.
    ///
    /// # Errors
    /// Those of [`ObjectStore::head`], after retries.
    pub fn head(&self, key: &str) -> StoreResult<ObjectInfo> {
        self.wait(self.inner.head(key))
    }

    /// Returns all objects whose key starts with `prefix`, by key.
    ///
    /// # Errors
    /// Those of [`ObjectStore::list`], after retries.
    pub fn list(&self, prefix: &str) -> StoreResult<Vec<ObjectInfo>> {
        self.wait(self.inner.list(prefix))
    }

    /// Removes an object; it is not an error if there is none.
    ///
    /// # Errors
    /// Those of [`ObjectStore::delete`], after retries.
    pub fn delete(&self, key: &str) -> StoreResult<()> {
        self.wait(self.inner.delete(key))
    }

    /// Removes temporary files of writers that were killed; does nothing on a remote store.
    pub fn sweep(&self) {
        if !self.is_remote() {
            futures::executor::block_on(self.inner.store.sweep());
        }
    }

    /// Reads a whole object as [`Storage::get`] does, for async code on the caller's runtime.
    ///
    /// # Errors
    /// Those of [`Storage::get`].
    pub async fn get_async(&self, key: &str, pin: Option<&str>) -> StoreResult<(Bytes, ObjectInfo)> {
        self.inner.whole(key, pin).await
    }

    /// Writes an object as [`Storage::put`] does, for async code.
    ///
    /// # Errors
    /// Those of [`Storage::put`].
    pub async fn put_async(&self, key: &str, bytes: Bytes, condition: Condition) -> StoreResult<String> {
        self.inner.put(key, &bytes, &condition).await
    }

    /// Lists objects as [`Storage::list`] does, for async code.
    ///
    /// # Errors
    /// Those of [`Storage::list`].
    pub async fn list_async(&self, prefix: &str) -> StoreResult<Vec<ObjectInfo>> {
        self.inner.list(prefix).await
    }

    /// Removes an object as [`Storage::delete`] does, for async code.
    ///
    /// # Errors
    /// Those of [`Storage::delete`].
    pub async fn delete_async(&self, key: &str) -> StoreResult<()> {
        self.inner.delete(key).await
    }

    /// Sends one request to the store itself, without any policy.
    pub(super) fn send_once<'a, T, F>(&'a self, ask: impl FnOnce(&'a dyn ObjectStore) -> F) -> StoreResult<T>
    where
        F: Future<Output = StoreResult<T>>,
    {
        self.wait(ask(self.inner.store.as_ref()))
    }

    /// Blocks until the answer is there. Local and memory stores answer at once on the calling thread; remote ones need
    /// the runtime.
    fn wait<T>(&self, answer: impl Future<Output = StoreResult<T>>) -> StoreResult<T> {
        match self.is_remote() {
            true => runtime()?.block_on(answer),
            false => futures::executor::block_on(answer),
        }
    }
}
