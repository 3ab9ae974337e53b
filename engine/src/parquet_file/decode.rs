//! Rows of a row group, batch by batch.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::file::reader::ChunkReader;

use super::Damage;
use super::caught::caught;
use super::pages::Guarded;
use crate::error::{EngineError, Result};

/// What to decode of a file.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Its footer, as [`open`](super::open) gave it.
    pub metadata: &'a ArrowReaderMetadata,
    /// Bytes of the file.
    pub size: u64,
    /// Row group.
    pub row_group: usize,
    /// Columns, as positions in the schema.
    pub roots: &'a [usize],
    /// Rows, counted from the first of the row group.
    pub rows: Range<usize>,
    /// Rows of a batch, at most.
    pub batch_rows: usize,
}

/// Decodes rows and calls `deliver` with each batch; `broken` makes the error of a file that is damaged.
///
/// # Errors
/// Bytes that are no rows of these columns, in whatever way, and what `deliver` returns.
pub fn read<R: ChunkReader + 'static>(
    bytes: R,
    request: &Request<'_>,
    broken: impl Fn(&Damage) -> EngineError,
    mut deliver: impl FnMut(&RecordBatch) -> Result<()>,
) -> Result<()> {
    let bytes = Arc::new(bytes);
    let mut failed = None;
    let damage = request.decode(&bytes, &mut |batch| match deliver(batch) {
        Ok(()) => true,
        Err(error) => {
            failed = Some(error);
            false
        }
    });
    match (failed, damage) {
        (Some(error), _) => Err(error),
        (None, Ok(())) => Ok(()),
        (None, Err(damage)) => Err(broken(&request.locate(&bytes, damage))),
    }
}

impl Request<'_> {
    /// Decodes until all is there or `deliver` returns false.
    fn decode<R: ChunkReader + 'static>(
        &self,
        bytes: &Arc<R>,
        deliver: &mut dyn FnMut(&RecordBatch) -> bool,
    ) -> std::result::Result<(), Damage> {
        let guarded = self.guarded(bytes)?;
        let decoded = self.decode_guarded(&guarded, deliver);
        decoded.map_err(|damage| guarded.found().unwrap_or(damage))
    }

    fn decode_guarded<R: ChunkReader + 'static>(
        &self,
        bytes: &Guarded<R>,
        deliver: &mut dyn FnMut(&RecordBatch) -> bool,
    ) -> std::result::Result<(), Damage> {
        let mut reader = self.reader(bytes.clone())?;
        let mut left = self.rows.len();
        while let Some(batch) = caught(|| reader.next())? {
            let batch = batch.map_err(|e| Damage::of(&e))?;
            let rows = batch.num_rows();
            if rows > left {
                return Err(Damage::new("it has more rows than its footer says"));
            }
            left -= rows;
            if !deliver(&batch) {
                return Ok(());
            }
        }
        match left {
            0 => Ok(()),
            left => Err(Damage::new(format!("it has {left} rows less than its footer says"))),
        }
    }

    fn guarded<R: ChunkReader + 'static>(&self, bytes: &Arc<R>) -> std::result::Result<Guarded<R>, Damage> {
        let schema = self.metadata.parquet_schema();
        let group = self.metadata.metadata().row_group(self.row_group);
        let wanted = |leaf: &usize| self.roots.contains(&schema.get_column_root_idx(*leaf));
        let leaves: Vec<usize> = (0..group.num_columns()).filter(wanted).collect();
        Guarded::new(Arc::clone(bytes), group, &leaves, self.size)
    }

    fn reader<R: ChunkReader + 'static>(
        &self,
        guarded: Guarded<R>,
    ) -> std::result::Result<ParquetRecordBatchReader, Damage> {
        let schema = self.metadata.parquet_schema();
        let rows = self.metadata.metadata().row_group(self.row_group).num_rows();
        let build = || {
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(guarded, self.metadata.clone());
            let mut builder = builder
                .with_row_groups(vec![self.row_group])
                .with_projection(ProjectionMask::roots(schema, self.roots.iter().copied()))
                .with_batch_size(self.batch_rows);
            if self.rows.len() as i64 != rows {
                builder = builder.with_offset(self.rows.start).with_limit(self.rows.len());
            }
            builder.build()
        };
        caught(build)?.map_err(|e| Damage::of(&e))
    }

    /// The same damage with its column: the first one that can't be read alone. Files are damaged rarely, so it may take its time.
    fn locate<R: ChunkReader + 'static>(&self, bytes: &Arc<R>, damage: Damage) -> Damage {
        if damage.column.is_some() {
            return damage;
        }
        let alone = |root: &usize| {
            let roots = std::slice::from_ref(root);
            let own = Request { roots, ..self.clone() }.decode(bytes, &mut |_| true).err()?;
            let name = || self.metadata.schema().fields().get(*root).map(|field| field.name().clone());
            Some(Damage { column: own.column.or_else(name), reason: own.reason })
        };
        self.roots.iter().find_map(alone).unwrap_or(damage)
    }
}
