//! A store in memory, for tests and for runs whose results need not outlive the process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::error::ObjectState;
use super::key::check_key;
use super::{ByteRange, Condition, Object, ObjectInfo, ObjectStore, StoreError, StoreResult};

/// A store in memory. ETags count the puts, so that equal contents written twice have different ETags.
#[derive(Debug, Default)]
pub struct MemoryStore {
    objects: Mutex<Objects>,
}

/// The objects with their ETags, and the number of puts so far.
#[derive(Debug, Default)]
struct Objects {
    by_key: BTreeMap<String, (Bytes, String)>,
    puts: u64,
}

impl MemoryStore {
    /// Returns an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    // Every change is one insert or remove, so the map stays consistent even if a holder of the lock panicked.
    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, key: &str) -> StoreResult<Object> {
        let objects = self.lock();
        let found = objects.by_key.get(key);
        let (bytes, etag) = found.ok_or_else(|| refused(ObjectState::Absent, key))?;
        Ok(Object {
            bytes: bytes.clone(),
            info: ObjectInfo { key: key.to_owned(), size: bytes.len() as u64, etag: etag.clone() },
        })
    }
}

#[async_trait]
impl ObjectStore for MemoryStore {
    fn url(&self) -> String {
        "memory:".to_owned()
    }

    async fn get(&self, key: &str, range: ByteRange, pin: Option<&str>) -> StoreResult<Object> {
        let mut object = self.find(key)?;
        if pin.is_some_and(|pin| pin != object.info.etag) {
            return Err(refused(ObjectState::Changed, key));
        }
        let within = range.clip(object.info.size);
        object.bytes = object.bytes.slice(within.start as usize..within.end as usize);
        Ok(object)
    }

    async fn put(&self, key: &str, bytes: Bytes, condition: Condition) -> StoreResult<String> {
        check_key(key)?;
        let mut objects = self.lock();
        let present = objects.by_key.get(key).map(|(_, etag)| etag.as_str());
        match condition {
            Condition::IfAbsent if present.is_some() => {
                return Err(refused(ObjectState::Present, key));
            }
            Condition::IfMatch(etag) if present != Some(etag.as_str()) => {
                return Err(refused(ObjectState::Changed, key));
            }
            _ => {}
        }
        objects.puts += 1;
        let etag = format!("m{}", objects.puts);
        objects.by_key.insert(key.to_owned(), (bytes, etag.clone()));
        Ok(etag)
    }

    async fn head(&self, key: &str) -> StoreResult<ObjectInfo> {
        Ok(self.find(key)?.info)
    }

    async fn list(&self, prefix: &str) -> StoreResult<Vec<ObjectInfo>> {
        let objects = self.lock();
        let found = objects.by_key.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
        Ok(found
            .map(|(key, (bytes, etag))| ObjectInfo {
                key: key.clone(),
                size: bytes.len() as u64,
                etag: etag.clone(),
            })
            .collect())
    }

    async fn delete(&self, key: &str) -> StoreResult<()> {
        self.lock().by_key.remove(key);
        Ok(())
    }
}

/// Returns the error for the state of an object.
fn refused(state: ObjectState, key: &str) -> StoreError {
    StoreError::of_object(state, &format!("memory:{key}"))
}
