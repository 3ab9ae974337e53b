//! Decoding of a row group's rows, batch by batch.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::file::reader::ChunkReader;
use stagger_model::error::{Result, StaggerError};

use super::Damage;
use super::caught::catch_panic;
use super::pages::CheckedChunks;

/// A request to decode rows of a file.
#[derive(Clone, Debug)]
pub struct RowRequest<'a> {
    /// The file's footer, as `parquet_file::read_footer` returned it.
    pub metadata: &'a ArrowReaderMetadata,
    /// The size of the file in bytes.
    pub size: u64,
    /// The index of the row group.
    pub row_group: usize,
    /// The columns, as positions in the schema.
    pub roots: &'a [usize],
    /// The rows, counted from the first of the row group.
    pub rows: Range<usize>,
    /// The largest number of rows of a batch.
    pub batch_rows: usize,
}

/// Decodes rows and calls `deliver` with each batch; `broken` makes the error of a damaged file.
///
/// # Errors
/// Bytes that are not rows of these columns, whatever the damage, and the errors of `deliver`.
pub fn decode_rows<R: ChunkReader + 'static>(
    bytes: R,
    request: &RowRequest<'_>,
    broken: impl Fn(&Damage) -> StaggerError,
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

impl RowRequest<'_> {
    /// Decodes until all rows are delivered or `deliver` returns `false`.
    fn decode<R: ChunkReader + 'static>(
        &self,
        bytes: &Arc<R>,
        deliver: &mut dyn FnMut(&RecordBatch) -> bool,
    ) -> std::result::Result<(), Damage> {
        let guarded = self.guarded(bytes)?;
        let decoded = self.decode_guarded(&guarded, deliver);
        decoded.map_err(|damage| guarded.found().unwrap_or(damage))
    }

    /// Decodes from checked pages, and checks the number of rows.
    fn decode_guarded<R: ChunkReader + 'static>(
        &self,
        bytes: &CheckedChunks<R>,
        deliver: &mut dyn FnMut(&RecordBatch) -> bool,
    ) -> std::result::Result<(), Damage> {
        let mut reader = self.reader(bytes.clone())?;
        let mut left = self.rows.len();
        while let Some(batch) = catch_panic(|| reader.next())? {
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

    /// Returns the column chunks of the request, whose pages are checked as they are read.
    fn guarded<R: ChunkReader + 'static>(
        &self,
        bytes: &Arc<R>,
    ) -> std::result::Result<CheckedChunks<R>, Damage> {
        let schema = self.metadata.parquet_schema();
        let group = self.metadata.metadata().row_group(self.row_group);
        let wanted = |leaf: &usize| self.roots.contains(&schema.get_column_root_idx(*leaf));
        let leaves: Vec<usize> = (0..group.num_columns()).filter(wanted).collect();
        CheckedChunks::new(Arc::clone(bytes), group, &leaves, self.size)
    }

    /// Returns the parquet crate's reader of the request.
    fn reader<R: ChunkReader + 'static>(
        &self,
        guarded: CheckedChunks<R>,
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
        catch_panic(build)?.map_err(|e| Damage::of(&e))
    }

    /// Adds to the damage the first column that can't be read by itself. Damaged files are rare, so this may take time.
    fn locate<R: ChunkReader + 'static>(&self, bytes: &Arc<R>, damage: Damage) -> Damage {
        if damage.column.is_some() {
            return damage;
        }
        let alone = |root: &usize| {
            let roots = std::slice::from_ref(root);
            let own = RowRequest { roots, ..self.clone() }.decode(bytes, &mut |_| true).err()?;
            let name = || self.metadata.schema().fields().get(*root).map(|field| field.name().clone());
            Some(Damage { column: own.column.or_else(name), reason: own.reason })
        };
        self.roots.iter().find_map(alone).unwrap_or(damage)
    }
}
