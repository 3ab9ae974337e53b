//! Decoded shards that an environment keeps between tasks, up to a limit of bytes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use stagger_model::error::Result;
use stagger_panel::shard::Shard;
use stagger_panel::stored::StoredShards;
use stagger_panel::strata::Needs;

/// Shards by index, the one used last at the end.
#[derive(Debug)]
pub struct ShardCache {
    bytes: u64,
    kept: Mutex<VecDeque<Kept>>,
}

/// A shard in memory.
#[derive(Debug)]
struct Kept {
    index: usize,
    /// The columns that were read of it.
    needs: Needs,
    shards: Arc<Vec<Shard>>,
}

impl ShardCache {
    /// Returns an empty cache of at most `bytes` bytes.
    pub fn new(bytes: u64) -> Self {
        Self { bytes, kept: Mutex::default() }
    }

    /// Returns a shard, as each specification sees it, with at least the columns that are needed, and whether it was
    /// in the cache.
    ///
    /// # Errors
    /// A shard that can't be read.
    pub fn load(&self, all: &StoredShards, index: usize, needs: Needs) -> Result<(Arc<Vec<Shard>>, bool)> {
        let mut wanted = needs;
        if let Some(known) = self.take(index) {
            if known.needs.covers(needs) {
                let shards = Arc::clone(&known.shards);
                self.keep(all, known);
                return Ok((shards, true));
            }
            // Columns that were needed before will be needed again.
            wanted = known.needs.or(needs);
        }
        let shards = all.load(index, wanted)?;
        self.keep(all, Kept { index, needs: wanted, shards: Arc::clone(&shards) });
        Ok((shards, false))
    }

    fn take(&self, index: usize) -> Option<Kept> {
        let mut kept = self.lock();
        let at = kept.iter().position(|k| k.index == index)?;
        kept.remove(at)
    }

    fn keep(&self, all: &StoredShards, shard: Kept) {
        let room = (self.bytes / all.shard_memory().max(1)) as usize;
        let mut kept = self.lock();
        kept.push_back(shard);
        while kept.len() > room {
            kept.pop_front();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
