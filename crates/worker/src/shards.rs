//! Decoded shards that an environment keeps between tasks, up to a limit of bytes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use stagger_model::error::Result;
use stagger_panel::shard::Shard;
use stagger_panel::stored::StoredShards;
use stagger_panel::strata::NeededColumns;

/// Shards by index, the one used last at the end.
#[derive(Debug)]
pub(crate) struct ShardCache {
    bytes: u64,
    kept: Mutex<VecDeque<CachedShard>>,
}

/// A shard in memory.
#[derive(Debug)]
struct CachedShard {
    index: usize,
    /// The columns that were read of it.
    needs: NeededColumns,
    shards: Arc<Vec<Shard>>,
}

impl ShardCache {
    /// Returns an empty cache of at most `bytes` bytes.
    pub(crate) fn new(bytes: u64) -> Self {
        Self { bytes, kept: Mutex::default() }
    }

    /// Returns a shard, as each specification sees it, with at least the columns that are needed, and whether it was
    /// in the cache.
    ///
    /// # Errors
    /// A shard that can't be read.
    pub(crate) fn load(
        &self,
        all: &StoredShards,
        index: usize,
        needs: NeededColumns,
    ) -> Result<(Arc<Vec<Shard>>, bool)> {
        let mut wanted = needs;
        if let Some(known) = self.take(index) {
            if known.needs.covers(needs) {
                let shards = Arc::clone(&known.shards);
                self.insert(all, known);
                return Ok((shards, true));
            }
            // Columns that were needed before will be needed again.
            wanted = known.needs.or(needs);
        }
        let shards = all.load_shard(index, wanted)?;
        self.insert(all, CachedShard { index, needs: wanted, shards: Arc::clone(&shards) });
        Ok((shards, false))
    }

    fn take(&self, index: usize) -> Option<CachedShard> {
        let mut kept = self.lock();
        let at = kept.iter().position(|k| k.index == index)?;
        kept.remove(at)
    }

    fn insert(&self, all: &StoredShards, shard: CachedShard) {
        let room = (self.bytes / all.mean_shard_bytes().max(1)) as usize;
        let mut kept = self.lock();
        kept.push_back(shard);
        while kept.len() > room {
            kept.pop_front();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<CachedShard>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
