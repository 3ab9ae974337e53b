//! Reading of a shard's columns: first the footer, then the bytes of the columns asked for.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::ArrayRef;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use stagger_model::error::{Result, StaggerError};
use stagger_records::parquet_file::{Damage, TAIL_BYTES, chunk_range};
use stagger_records::prepared::DESCRIPTION_KEY;
use stagger_records::{FetchedParts, parquet_file};
use stagger_storage::StoreErrorKind;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::manifest::Manifest;
use super::write::ShardDescription;
use super::{PanelStore, check, keys};

/// A shard whose footer has been read.
#[derive(Clone, Debug)]
pub struct OpenShard {
    index: usize,
    key: String,
    metadata: ArrowReaderMetadata,
    rows: usize,
    /// Description of the shard from the file's metadata: segments and checksums.
    pub note: ShardDescription,
    /// The bytes of the whole file, if it was read at once.
    whole: Option<Bytes>,
}

/// Bytes of a file that was read as a whole.
fn slice(file: &Bytes, range: &Range<u64>) -> Option<Bytes> {
    let (start, end) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
    (start <= end && end <= file.len()).then(|| file.slice(start..end))
}

impl PanelStore {
    /// Reads the footer of a shard; with `whole` the whole file, in one request in place of two that wait for each
    /// other.
    ///
    /// # Errors
    /// A shard that is missing, or not the one that the manifest names.
    pub fn open_shard(&self, index: usize, whole: bool) -> Result<OpenShard> {
        let manifest: &Manifest = &self.manifest;
        let entry = &manifest.shards[index];
        let key = keys::shard(index);
        let footer = entry.bytes.saturating_sub(entry.footer);
        let range = if whole { 0 } else { footer }..entry.bytes;
        let read = self.storage.get_ranges(&key, None, std::slice::from_ref(&range));
        let mut read = read.map_err(|error| match error.kind {
            StoreErrorKind::NotFound | StoreErrorKind::Corrupt => self.damage_error(&key, &error.to_string()),
            _ => error.into(),
        })?;
        let read = read.pop().unwrap_or_default();
        let skip = read.len().saturating_sub(entry.footer as usize);
        let whole = whole.then(|| read.clone());
        let footer = read.slice(skip..);
        if format!("{:032x}", xxh3_128(&footer)) != entry.footer_checksum {
            return Err(self.damage_error(&key, "the checksum of its footer does not fit"));
        }
        let metadata = self.parse(&key, &footer, entry.bytes)?;
        let note: ShardDescription = metadata
            .metadata()
            .file_metadata()
            .key_value_metadata()
            .and_then(|pairs| pairs.iter().find(|pair| pair.key == DESCRIPTION_KEY))
            .and_then(|pair| serde_json::from_str(pair.value.as_deref()?).ok())
            .ok_or_else(|| self.damage_error(&key, "it says nothing of its units"))?;
        let rows = check::rows(&self.manifest, index, &metadata, &note)
            .map_err(|why| self.contradiction_error(&key, &why))?;
        Ok(OpenShard { index, key, metadata, rows, note, whole })
    }

    /// Reads columns of a shard by name, in the order asked for; `None` for a column that it does not have.
    ///
    /// # Errors
    /// A shard that is missing or damaged.
    pub fn read_columns(&self, shard: &OpenShard, names: &[String]) -> Result<Vec<Option<ArrayRef>>> {
        let schema = shard.metadata.schema();
        let indices: Vec<Option<usize>> = names.iter().map(|name| schema.index_of(name).ok()).collect();
        let mut wanted: Vec<usize> = indices.iter().flatten().copied().collect();
        wanted.sort_unstable();
        wanted.dedup();
        let groups = shard.metadata.metadata().row_groups();
        let (Some(group), false) = (groups.first(), wanted.is_empty()) else {
            return Ok(indices.iter().map(|_| None).collect());
        };
        let size = self.manifest.shards[shard.index].bytes;
        let ranges: Vec<Range<u64>> = wanted
            .iter()
            .map(|&column| chunk_range(group.column(column), size))
            .collect::<std::result::Result<_, Damage>>()
            .map_err(|damage| self.contradiction_error(&shard.key, &damage.to_string()))?;
        let parts = match &shard.whole {
            None => self.storage.get_ranges(&shard.key, None, &ranges)?,
            Some(file) => ranges.iter().map(|r| slice(file, r)).collect::<Option<_>>().ok_or_else(|| {
                self.damage_error(&shard.key, "its footer names bytes that it does not have")
            })?,
        };
        for (&column, bytes) in wanted.iter().zip(&parts) {
            let known = shard.note.columns.get(column);
            if known != Some(&format!("{:016x}", xxh3_64(bytes))) {
                let name = schema.field(column).name();
                return Err(self
                    .damage_error(&shard.key, &format!("the checksum of its column `{name}` does not fit")));
            }
        }
        let mut parts: Vec<(u64, Bytes)> = ranges.into_iter().map(|r| r.start).zip(parts).collect();
        parts.sort_by_key(|(start, _)| *start);
        let file = FetchedParts::new(size, parts);
        self.decode(shard, file, &indices, wanted)
    }

    fn decode(
        &self,
        shard: &OpenShard,
        file: FetchedParts,
        indices: &[Option<usize>],
        wanted: Vec<usize>,
    ) -> Result<Vec<Option<ArrayRef>>> {
        let broken = |damage: &Damage| self.contradiction_error(&shard.key, &damage.to_string());
        let rows = shard.rows;
        let request = parquet_file::RowRequest {
            metadata: &shard.metadata,
            size: self.manifest.shards[shard.index].bytes,
            row_group: 0,
            roots: &wanted,
            rows: 0..rows,
            batch_rows: rows.max(1),
            repeating: &[],
        };
        let mut batches = Vec::new();
        parquet_file::decode_rows(file, &request, broken, |batch| {
            batches.push(batch.clone());
            Ok(())
        })?;
        let [batch] = batches.as_slice() else {
            return Err(self.contradiction_error(&shard.key, "its rows do not come at once"));
        };
        let place = |index: &Option<usize>| {
            let at = wanted.binary_search(&(*index)?).ok()?;
            Some(Arc::clone(batch.column(at)))
        };
        Ok(indices.iter().map(place).collect())
    }

    /// Parses the footer of a shard, whose checksum has been compared before.
    fn parse(&self, key: &str, footer: &Bytes, size: u64) -> Result<ArrowReaderMetadata> {
        let broken = |damage: Damage| self.contradiction_error(key, &damage.to_string());
        let end = footer.len().saturating_sub(TAIL_BYTES as usize);
        let length = parquet_file::footer_length(&footer.slice(end..), size).map_err(broken)?;
        match (end as u64).checked_sub(length) {
            Some(start) => {
                parquet_file::parse_footer(&footer.slice(start as usize..end), size).map_err(broken)
            }
            None => Err(self.contradiction_error(key, "its footer is longer than the manifest says")),
        }
    }

    /// Returns the error for a shard that is intact but contradicts the manifest: one of the two was made or changed by
    /// hand.
    pub fn contradiction_error(&self, key: &str, why: &str) -> StaggerError {
        StaggerError::input(format!("the store `{}` is damaged: shard `{key}`: {why}", self.url()))
            .with_hint("remove the store and prepare it again")
    }

    pub(super) fn damage_error(&self, key: &str, why: &str) -> StaggerError {
        StaggerError::failed(format!("shard `{key}` of the store `{}` is damaged: {why}", self.url()))
            .with_storage_kind(StoreErrorKind::Corrupt)
            .with_hint(
                "`stagger prepare --verify` lists what is damaged; remove the store and prepare it again",
            )
    }
}
