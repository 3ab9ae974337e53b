//! Decoding of a row group's rows, batch by batch.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{Field, FieldRef, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::file::reader::ChunkReader;
use stagger_model::error::{Result, StaggerError};

use super::Damage;
use super::caught::catch_panic;
use super::pages::CheckedChunks;
use super::runs::RunColumn;

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
    /// Those of the columns that may come as arrays of runs (`RunArray` with `i32` ends): where they are numbers in a
    /// dictionary that repeat, and all rows of the row group are read.
    pub repeating: &'a [usize],
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
        let mut runs = self.run_columns(bytes)?;
        let others: Vec<usize> =
            self.roots.iter().copied().filter(|root| runs.iter().all(|(own, _)| own != root)).collect();
        // Rows without any column are those of the crate's reader.
        let all = others.is_empty() && !runs.is_empty();
        let mut reader = if all { None } else { Some(self.reader(bytes.clone(), &others)?) };
        let mut left = self.rows.len();
        loop {
            let batch = match &mut reader {
                Some(reader) => match catch_panic(|| reader.next())? {
                    Some(batch) => Some(batch.map_err(|e| Damage::of(&e))?),
                    None => break,
                },
                None if left == 0 => break,
                None => None,
            };
            let rows = batch.as_ref().map_or(left.min(self.batch_rows.max(1)), RecordBatch::num_rows);
            if rows > left {
                return Err(Damage::new("it has more rows than its footer says"));
            }
            left -= rows;
            let batch = self.with_runs(batch, rows, &mut runs)?;
            if !deliver(&batch) {
                return Ok(());
            }
        }
        runs.iter_mut().try_for_each(|(_, column)| catch_panic(|| column.finish())?)?;
        match left {
            0 => Ok(()),
            left => Err(Damage::new(format!("it has {left} rows less than its footer says"))),
        }
    }

    /// Returns readers of those columns that come as runs, with their positions in the schema.
    fn run_columns<R: ChunkReader + 'static>(
        &self,
        bytes: &CheckedChunks<R>,
    ) -> std::result::Result<Vec<(usize, RunColumn<R>)>, Damage> {
        let group = self.metadata.metadata().row_group(self.row_group);
        if self.rows.len() as i64 != group.num_rows() {
            return Ok(Vec::new());
        }
        let schema = self.metadata.parquet_schema();
        let mut out = Vec::new();
        for leaf in 0..group.num_columns() {
            let root = schema.get_column_root_idx(leaf);
            let Some(field) = self.metadata.schema().fields().get(root) else { continue };
            if self.roots.contains(&root)
                && self.repeating.contains(&root)
                && let Some(column) = catch_panic(|| RunColumn::open(bytes, group, leaf, field.data_type()))??
            {
                out.push((root, column));
            }
        }
        Ok(out)
    }

    /// Adds the next `rows` rows of the columns that come as runs to a batch of the others.
    fn with_runs<R: ChunkReader + 'static>(
        &self,
        batch: Option<RecordBatch>,
        rows: usize,
        runs: &mut [(usize, RunColumn<R>)],
    ) -> std::result::Result<RecordBatch, Damage> {
        let mut fields: Vec<FieldRef> = Vec::new();
        let mut arrays: Vec<ArrayRef> = Vec::new();
        match batch {
            Some(batch) if runs.is_empty() => return Ok(batch),
            Some(batch) => {
                fields.extend(batch.schema_ref().fields().iter().cloned());
                arrays.extend(batch.columns().iter().cloned());
            }
            None => {}
        }
        for (root, column) in runs {
            let array = catch_panic(|| column.read(rows))??;
            let name = self.metadata.schema().field(*root).name();
            fields.push(Arc::new(Field::new(name, array.data_type().clone(), true)));
            arrays.push(array);
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(|e| Damage::of(&e))
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

    /// Returns the parquet crate's reader of columns of the request.
    fn reader<R: ChunkReader + 'static>(
        &self,
        guarded: CheckedChunks<R>,
        roots: &[usize],
    ) -> std::result::Result<ParquetRecordBatchReader, Damage> {
        let schema = self.metadata.parquet_schema();
        let rows = self.metadata.metadata().row_group(self.row_group).num_rows();
        let build = || {
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(guarded, self.metadata.clone());
            let mut builder = builder
                .with_row_groups(vec![self.row_group])
                .with_projection(ProjectionMask::roots(schema, roots.iter().copied()))
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
