//! Object storage: objects by key on S3, in a folder or in memory. The interface holds only what panel stores and runs
//! need, with the conditional writes that make retries and concurrent writers harmless (DESIGN §5).

mod clock;
mod coalesce;
#[doc(hidden)]
pub mod conformance;
pub mod disk;
mod environment;
mod error;
mod hedge;
mod key;
mod local;
mod memory;
pub mod open;
mod policy;
mod runtime;
mod s3;
mod stats;
mod storage;
mod sweep;
mod waiting;

use std::fmt::Debug;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;

pub use clock::{Clock, SystemClock, system_clock};
pub use coalesce::coalesce_ranges as coalesced;
pub use environment::check_environment;
pub use error::{StoreError, StoreErrorKind};
pub use key::check_key;
pub use local::{LocalStore, file_etag as local_etag};
pub use memory::MemoryStore;
pub use policy::{Hedging, Policy};
pub use runtime::runtime;
pub use s3::{S3Store, shared_config, shared_http_client};
pub use stats::StoreStats;
pub use storage::Storage;
pub use waiting::notify_of_slow_store;

/// The result of a storage operation.
pub type StoreResult<T> = std::result::Result<T, StoreError>;

/// The metadata of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// The key, relative to the store's root.
    pub key: String,
    /// The size in bytes.
    pub size: u64,
    /// The ETag, which changes whenever the content does.
    pub etag: String,
}

/// A range of an object's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// All bytes.
    All,
    /// The bytes from `start` to before `end`.
    Bounded(Range<u64>),
    /// The last bytes, this number of them; all bytes of a shorter object.
    Suffix(u64),
}

impl ByteRange {
    /// Returns the range as offsets into an object of `size` bytes, cut at the object's end.
    pub fn clip(&self, size: u64) -> Range<u64> {
        match self {
            Self::All => 0..size,
            Self::Bounded(range) => {
                let end = range.end.min(size);
                range.start.min(end)..end
            }
            Self::Suffix(bytes) => size.saturating_sub(*bytes)..size,
        }
    }
}

/// The bytes of a read, and the metadata of their object.
#[derive(Clone, Debug)]
pub struct Object {
    /// The bytes that were requested.
    pub bytes: Bytes,
    /// The metadata of the whole object.
    pub info: ObjectInfo,
}

/// The condition of a put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The put replaces any existing object.
    Always,
    /// The put succeeds only if there is no object yet (create once).
    IfAbsent,
    /// The put succeeds only if the object has this ETag (compare and set).
    IfMatch(String),
}

/// An object store. Every call makes one attempt: retries, hedged reads and the resolution of lost replies belong to
/// [`Storage`].
#[async_trait]
pub trait ObjectStore: Debug + Send + Sync {
    /// Returns the address of the store's root for messages: `s3://bucket/prefix`, a folder, or `memory:`.
    fn url(&self) -> String;

    /// Returns `true` if requests cost time and money. Such requests run concurrently, on an async runtime with timers.
    fn is_remote(&self) -> bool {
        false
    }

    /// Reads the bytes of an object within a range; with `pin`, only if the object still has that ETag.
    ///
    /// # Errors
    /// [`StoreErrorKind::NotFound`], [`StoreErrorKind::Changed`] if the pin does not match, or a failure of the network
    /// or service.
    async fn get(&self, key: &str, range: ByteRange, pin: Option<&str>) -> StoreResult<Object>;

    /// Reads a whole object of at most `most` bytes; for a larger object, returns only its metadata without any bytes.
    /// This is deliberately not a range request: a service may answer a range by the size that the object had a moment
    /// ago (LocalStack does).
    ///
    /// # Errors
    /// Those of [`ObjectStore::get`].
    async fn get_small(&self, key: &str, most: u64, pin: Option<&str>) -> StoreResult<Object> {
        let _ = most;
        self.get(key, ByteRange::All, pin).await
    }

    /// Writes an object, whole or not at all, and returns its ETag.
    ///
    /// # Errors
    /// [`StoreErrorKind::Exists`] or [`StoreErrorKind::Changed`] if the condition does not hold, or a failure of the
    /// network or service.
    async fn put(&self, key: &str, bytes: Bytes, condition: Condition) -> StoreResult<String>;

    /// Returns the size and ETag of an object.
    ///
    /// # Errors
    /// [`StoreErrorKind::NotFound`], or a failure of the network or service.
    async fn head(&self, key: &str) -> StoreResult<ObjectInfo>;

    /// Returns all objects whose key starts with `prefix`, in ascending bytewise order of their keys.
    ///
    /// # Errors
    /// A failure of the network or service; an empty list is not an error.
    async fn list(&self, prefix: &str) -> StoreResult<Vec<ObjectInfo>>;

    /// Removes an object. It is not an error if there is none.
    ///
    /// # Errors
    /// A failure of the network or service.
    async fn delete(&self, key: &str) -> StoreResult<()>;

    /// Removes temporary files of writers that were killed. S3 keeps none.
    async fn sweep(&self) {}
}
