//! A store as the engine's threads use it: blocking, patient, and sure of what it read.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::executor::block_on;

use super::{ByteRange, Condition, LocalStore, ObjectInfo, Store, StoreError, StoreErrorKind, StoreResult};

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
        if url.starts_with("s3://") {
            return Err(StoreError::new(StoreErrorKind::Other, format!("`{url}`: S3 is not supported yet")));
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
        let object = block_on(self.store.get(key, ByteRange::All, pin))?;
        Ok((object.bytes, object.info))
    }

    /// Reads the last `bytes` of an object.
    ///
    /// # Errors
    /// As [`Store::get`], after retries.
    pub fn get_suffix(&self, key: &str, bytes: u64) -> StoreResult<(Bytes, ObjectInfo)> {
        let object = block_on(self.store.get(key, ByteRange::Suffix(bytes), None))?;
        Ok((object.bytes, object.info))
    }

    /// Reads ranges of an object, in the order asked. Near ones are read together, far ones at the same time.
    ///
    /// # Errors
    /// As [`Store::get`], after retries; fewer bytes than asked for are an error.
    pub fn get_ranges(&self, key: &str, pin: Option<&str>, ranges: &[Range<u64>]) -> StoreResult<Vec<Bytes>> {
        let read = |range: &Range<u64>| {
            let object = block_on(self.store.get(key, ByteRange::Bounded(range.clone()), pin))?;
            if object.bytes.len() as u64 != range.end - range.start {
                return Err(StoreError::new(
                    StoreErrorKind::Other,
                    format!(
                        "`{key}` has {} bytes, but bytes {}..{} were asked for",
                        object.info.size, range.start, range.end
                    ),
                ));
            }
            Ok(object.bytes)
        };
        ranges.iter().map(read).collect()
    }

    /// Writes an object, whole or not at all. A lost reply is resolved by reading back.
    ///
    /// # Errors
    /// As [`Store::put`], after retries.
    pub fn put(&self, key: &str, bytes: Bytes, condition: Condition) -> StoreResult<String> {
        block_on(self.store.put(key, bytes, condition))
    }

    /// Size and ETag.
    ///
    /// # Errors
    /// As [`Store::head`], after retries.
    pub fn head(&self, key: &str) -> StoreResult<ObjectInfo> {
        block_on(self.store.head(key))
    }

    /// All objects below a prefix, by key.
    ///
    /// # Errors
    /// As [`Store::list`], after retries.
    pub fn list(&self, prefix: &str) -> StoreResult<Vec<ObjectInfo>> {
        block_on(self.store.list(prefix))
    }

    /// Removes an object.
    ///
    /// # Errors
    /// As [`Store::delete`], after retries.
    pub fn delete(&self, key: &str) -> StoreResult<()> {
        block_on(self.store.delete(key))
    }
}
