//! Reads columns of a shard: the footer once, then the bytes of the columns that are wanted.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::ArrayRef;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaDataReader;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::manifest::Manifest;
use super::write::{NOTE, ShardNote};
use super::{PanelStore, keys};
use crate::error::{EngineError, Result};
use crate::input::Fetched;
use crate::store::StoreErrorKind;

/// A shard whose footer was read.
#[derive(Clone, Debug)]
pub(crate) struct OpenShard {
    key: String,
    metadata: ArrowReaderMetadata,
    pub(crate) note: ShardNote,
    /// All of the file, where it was read at once.
    whole: Option<Bytes>,
}

/// Bytes of a file that was read as a whole.
fn slice(file: &Bytes, range: &Range<u64>) -> Option<Bytes> {
    let (start, end) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
    (start <= end && end <= file.len()).then(|| file.slice(start..end))
}

impl PanelStore {
    /// Reads the footer of a shard; with `whole` all of it, which is one request in place of two that wait for each other.
    ///
    /// # Errors
    /// A shard that is missing, or not the one that the manifest names.
    pub(crate) fn open_shard(&self, index: usize, whole: bool) -> Result<OpenShard> {
        let manifest: &Manifest = &self.manifest;
        let entry = &manifest.shards[index];
        let key = keys::shard(index);
        let footer = entry.bytes - entry.footer;
        let range = if whole { 0 } else { footer }..entry.bytes;
        let read = self.storage.get_ranges(&key, None, std::slice::from_ref(&range));
        let mut read = read.map_err(|error| match error.kind {
            StoreErrorKind::NotFound | StoreErrorKind::Corrupt => self.damaged(&key, &error.to_string()),
            _ => error.into(),
        })?;
        let read = read.pop().unwrap_or_default();
        let skip = read.len().saturating_sub(entry.footer as usize);
        let whole = whole.then(|| read.clone());
        let (start, footer) = (footer, read.slice(skip..));
        if format!("{:032x}", xxh3_128(&footer)) != entry.footer_checksum {
            return Err(self.damaged(&key, "the checksum of its footer does not fit"));
        }
        let file = Fetched::new(entry.bytes, vec![(start, footer)]);
        let broken = |e: ParquetError| self.damaged(&key, &e.to_string());
        let mut reader = ParquetMetaDataReader::new();
        reader.try_parse(&file).map_err(broken)?;
        let metadata = reader.finish().map_err(broken)?;
        let note = metadata
            .file_metadata()
            .key_value_metadata()
            .and_then(|pairs| pairs.iter().find(|pair| pair.key == NOTE))
            .and_then(|pair| serde_json::from_str(pair.value.as_deref()?).ok())
            .ok_or_else(|| self.damaged(&key, "it says nothing of its units"))?;
        let metadata =
            ArrowReaderMetadata::try_new(Arc::new(metadata), ArrowReaderOptions::new()).map_err(broken)?;
        Ok(OpenShard { key, metadata, note, whole })
    }

    /// Reads columns of a shard by name, in the order asked; `None` for one that it does not have.
    ///
    /// # Errors
    /// A shard that is missing or damaged.
    pub(crate) fn read_columns(&self, shard: &OpenShard, names: &[String]) -> Result<Vec<Option<ArrayRef>>> {
        let schema = shard.metadata.schema();
        let indices: Vec<Option<usize>> = names.iter().map(|name| schema.index_of(name).ok()).collect();
        let mut wanted: Vec<usize> = indices.iter().flatten().copied().collect();
        wanted.sort_unstable();
        wanted.dedup();
        let groups = shard.metadata.metadata().row_groups();
        let (Some(group), false) = (groups.first(), wanted.is_empty()) else {
            return Ok(indices.iter().map(|_| None).collect());
        };
        let ranges: Vec<Range<u64>> = wanted
            .iter()
            .map(|&column| {
                let (start, length) = group.column(column).byte_range();
                start..start + length
            })
            .collect();
        let parts = match &shard.whole {
            None => self.storage.get_ranges(&shard.key, None, &ranges)?,
            Some(file) => ranges
                .iter()
                .map(|r| slice(file, r))
                .collect::<Option<_>>()
                .ok_or_else(|| self.damaged(&shard.key, "its footer names bytes that it does not have"))?,
        };
        for (&column, bytes) in wanted.iter().zip(&parts) {
            let known = shard.note.columns.get(column);
            if known != Some(&format!("{:016x}", xxh3_64(bytes))) {
                let name = schema.field(column).name();
                return Err(
                    self.damaged(&shard.key, &format!("the checksum of its column `{name}` does not fit"))
                );
            }
        }
        let length = ranges.last().map_or(0, |range| range.end);
        let file = Fetched::new(length, ranges.into_iter().map(|r| r.start).zip(parts).collect());
        self.decode(shard, file, &indices, wanted)
    }

    fn decode(
        &self,
        shard: &OpenShard,
        file: Fetched,
        indices: &[Option<usize>],
        wanted: Vec<usize>,
    ) -> Result<Vec<Option<ArrayRef>>> {
        let broken = |e: &dyn std::fmt::Display| self.damaged(&shard.key, &e.to_string());
        let rows = shard.metadata.metadata().file_metadata().num_rows().max(0) as usize;
        let mask = ProjectionMask::roots(shard.metadata.parquet_schema(), wanted.iter().copied());
        let mut reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, shard.metadata.clone())
            .with_projection(mask)
            .with_batch_size(rows.max(1))
            .build()
            .map_err(|e| broken(&e))?;
        let batch = match reader.next() {
            Some(batch) => batch.map_err(|e| broken(&e))?,
            None => return Err(broken(&"it has no rows")),
        };
        if batch.num_rows() != rows {
            return Err(broken(&format!("it has {} rows in place of {rows}", batch.num_rows())));
        }
        let place = |index: &Option<usize>| {
            let at = wanted.binary_search(&(*index)?).ok()?;
            Some(Arc::clone(batch.column(at)))
        };
        Ok(indices.iter().map(place).collect())
    }

    pub(super) fn damaged(&self, key: &str, why: &str) -> EngineError {
        EngineError::failed(format!("shard `{key}` of the store `{}` is damaged: {why}", self.url()))
            .with_storage(StoreErrorKind::Corrupt)
            .with_hint(
                "`stagger prepare --verify` lists what is damaged; remove the store and prepare it again",
            )
    }
}
