//! Verification of a store against its manifest: every byte of every shard, and the counts.

use stagger_model::error::Result;
use stagger_model::parallel;
use xxhash_rust::xxh3::xxh3_128;

use super::{PanelStore, keys};

/// Result of [`PanelStore::verify`].
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Verification {
    /// Number of shards.
    pub shards: usize,
    /// Number of bytes read.
    pub bytes: u64,
    /// Damage, in words; at most one entry for each shard and one for the counts.
    pub damage: Vec<String>,
}

impl PanelStore {
    /// Reads every shard whole and compares sizes, checksums and counts with the manifest. Calls `done` after each
    /// shard.
    ///
    /// # Errors
    /// Storage that fails; a shard that is missing or differs counts as damage, not as an error.
    pub fn verify(&self, threads: usize, done: &(dyn Fn() + Sync)) -> Result<Verification> {
        let found = parallel::map(threads, self.manifest.shards.len(), |index| {
            let found = self.verify_shard(index);
            done();
            found
        })?;
        let mut out = Verification { shards: self.manifest.shards.len(), ..Verification::default() };
        for (bytes, damage) in found {
            out.bytes += bytes;
            out.damage.extend(damage);
        }
        let units: u64 = self.manifest.shards.iter().map(|s| s.units).sum();
        if units != self.manifest.units {
            out.damage
                .push(format!("the shards hold {units} units, the manifest says {}", self.manifest.units));
        }
        Ok(out)
    }

    fn verify_shard(&self, index: usize) -> Result<(u64, Option<String>)> {
        let (key, entry) = (keys::shard(index), &self.manifest.shards[index]);
        let bytes = match self.storage().get(&key, None) {
            Ok((bytes, _)) => bytes,
            Err(error) if error.kind == stagger_storage::StoreErrorKind::NotFound => {
                return Ok((0, Some(format!("`{key}` is missing"))));
            }
            Err(error) => return Err(error.into()),
        };
        let length = bytes.len() as u64;
        if length != entry.bytes {
            let damage = format!("`{key}` has {length} bytes, the manifest says {}", entry.bytes);
            return Ok((length, Some(damage)));
        }
        let own = format!("{:032x}", xxh3_128(&bytes));
        if own != entry.checksum {
            let damage = format!("`{key}` has checksum {own}, the manifest says {}", entry.checksum);
            return Ok((length, Some(damage)));
        }
        // Opening compares its counts with the manifest.
        match self.open_shard(index, false) {
            Ok(_) => Ok((length, None)),
            Err(error) if error.is_input() => Ok((length, Some(error.to_string()))),
            Err(error) => Err(error),
        }
    }
}
