//! A store as the engine's threads use it: blocking, patient, and sure of what it read.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::{Condition, ObjectInfo, Store, StoreResult};

/// A store with the policies around it: retries, pinned and checked reads, duplicated slow reads, lost replies resolved.
#[derive(Clone, Debug)]
pub struct Storage {
    store: Arc<dyn Store>,
}

impl Storage {
    /// Opens `s3://bucket/prefix` or a folder.
    ///
    /// # Errors
    /// An URL that is none.
    pub fn open(url: &str) -> StoreResult<Self> {
        let _ = url;
        todo!("helper")
    }

    /// A store of any kind.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Where the root is.
    pub fn url(&self) -> String {
        self.store.url()
    }

    /// Reads a whole object.
    ///
    /// # Errors
    /// As [`Store::get`], after retries.
    pub fn get(&self, key: &str, pin: Option<&str>) -> StoreResult<(Bytes, ObjectInfo)> {
        let _ = (key, pin);
        todo!("helper")
    }

    /// Reads the last `bytes` of an object.
    ///
    /// # Errors
    /// As [`Store::get`], after retries.
    pub fn get_suffix(&self, key: &str, bytes: u64) -> StoreResult<(Bytes, ObjectInfo)> {
        let _ = (key, bytes);
        todo!("helper")
    }

    /// Reads ranges of an object, in the order asked. Near ones are read together, far ones at the same time.
    ///
    /// # Errors
    /// As [`Store::get`], after retries; fewer bytes than asked for are an error.
    pub fn get_ranges(&self, key: &str, pin: Option<&str>, ranges: &[Range<u64>]) -> StoreResult<Vec<Bytes>> {
        let _ = (key, pin, ranges);
        todo!("helper")
    }

    /// Writes an object, whole or not at all. A lost reply is resolved by reading back.
    ///
    /// # Errors
    /// As [`Store::put`], after retries.
    pub fn put(&self, key: &str, bytes: Bytes, condition: Condition) -> StoreResult<String> {
        let _ = (key, bytes, condition);
        todo!("helper")
    }

    /// Size and ETag.
    ///
    /// # Errors
    /// As [`Store::head`], after retries.
    pub fn head(&self, key: &str) -> StoreResult<ObjectInfo> {
        let _ = key;
        todo!("helper")
    }

    /// All objects below a prefix, by key.
    ///
    /// # Errors
    /// As [`Store::list`], after retries.
    pub fn list(&self, prefix: &str) -> StoreResult<Vec<ObjectInfo>> {
        let _ = prefix;
        todo!("helper")
    }

    /// Removes an object.
    ///
    /// # Errors
    /// As [`Store::delete`], after retries.
    pub fn delete(&self, key: &str) -> StoreResult<()> {
        let _ = key;
        todo!("helper")
    }
}
