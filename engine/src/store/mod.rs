//! Objects by key: on S3, in a folder, in memory. Small on purpose: what a panel store and a run need, with the conditions that make
//! retries and two writers harmless (DESIGN §5).

mod clock;
mod coalesce;
#[doc(hidden)]
pub mod conformance;
mod environment;
mod error;
mod hedge;
mod key;
mod local;
mod memory;
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

pub use clock::Clock;
pub(crate) use clock::SystemClock;
pub use clock::system_clock;
pub(crate) use coalesce::requests as coalesced;
pub use environment::check_environment;
pub use error::{StoreError, StoreErrorKind};
pub(crate) use key::check_key;
pub use local::LocalStore;
pub(crate) use local::etag_of as local_etag;
pub use memory::MemoryStore;
pub use policy::{Duplicate, Policy};
pub use runtime::runtime;
#[cfg(feature = "queue")]
pub(crate) use s3::https;
pub use s3::{S3Store, shared_config};
pub use stats::StoreStats;
pub use storage::Storage;
pub use waiting::tell_of_waiting;

/// Result of a store.
pub type StoreResult<T> = std::result::Result<T, StoreError>;

/// What is known of an object without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Key, relative to the store's root.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// Changes whenever the content does.
    pub etag: String,
}

/// Which bytes of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// All of them.
    All,
    /// From the first, to before the second.
    Bounded(Range<u64>),
    /// The last so many; all of a shorter object.
    Suffix(u64),
}

impl ByteRange {
    /// The bytes of an object of `size` bytes that the range names: none of them beyond its end.
    pub(crate) fn within(&self, size: u64) -> Range<u64> {
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

/// Bytes and the object they are of.
#[derive(Clone, Debug)]
pub struct Object {
    /// The bytes asked for.
    pub bytes: Bytes,
    /// The whole object's size and ETag.
    pub info: ObjectInfo,
}

/// When a put may replace what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// In any case.
    Always,
    /// If there is nothing: create once.
    IfAbsent,
    /// If the object has this ETag: compare and set.
    IfMatch(String),
}

/// Objects by key. One attempt each: retries, duplicated reads and the reading back of lost replies are [`Storage`]'s.
#[async_trait]
pub trait Store: Debug + Send + Sync {
    /// Where the store's root is, for messages: `s3://bucket/prefix`, a folder, `memory:`.
    fn url(&self) -> String;

    /// Whether requests cost time and money: then they run side by side, on a runtime with timers.
    fn is_remote(&self) -> bool {
        false
    }

    /// Reads bytes of an object, those of the range that it has; with `pin` only if it still has that ETag.
    ///
    /// # Errors
    /// [`StoreErrorKind::NotFound`], [`StoreErrorKind::Changed`] if the pin does not match, or what the network brings.
    async fn get(&self, key: &str, range: ByteRange, pin: Option<&str>) -> StoreResult<Object>;

    /// Reads a whole object of at most `most` bytes; of a larger one only its size and ETag, without any bytes. Not a range on
    /// purpose: a service may answer a range by the size that the object had a moment ago (LocalStack does).
    ///
    /// # Errors
    /// As [`Store::get`].
    async fn get_small(&self, key: &str, most: u64, pin: Option<&str>) -> StoreResult<Object> {
        let _ = most;
        self.get(key, ByteRange::All, pin).await
    }

    /// Writes an object whole, or not at all; returns its ETag.
    ///
    /// # Errors
    /// [`StoreErrorKind::Exists`] or [`StoreErrorKind::Changed`] if the condition does not hold, or what the network brings.
    async fn put(&self, key: &str, bytes: Bytes, condition: Condition) -> StoreResult<String>;

    /// Size and ETag of an object.
    ///
    /// # Errors
    /// [`StoreErrorKind::NotFound`], or what the network brings.
    async fn head(&self, key: &str) -> StoreResult<ObjectInfo>;

    /// All objects whose key starts with `prefix`, by key ascending (bytewise).
    ///
    /// # Errors
    /// What the network brings; an empty list is none.
    async fn list(&self, prefix: &str) -> StoreResult<Vec<ObjectInfo>>;

    /// Removes an object; one that is not there is no error.
    ///
    /// # Errors
    /// What the network brings.
    async fn delete(&self, key: &str) -> StoreResult<()>;

    /// Removes what writers that were killed have left and no key names; S3 leaves nothing.
    async fn sweep(&self) {}
}
