//! Reading of a chunk's columns, batch by batch.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::file::reader::ChunkReader;
use stagger_model::error::{Result, StaggerError};

use super::clock::ReadClocks;
use super::file::{Content, SourceFile};
use super::footer::leaves;
use super::source::{Chunk, Source};
use crate::parquet_file::{self, Damage, chunk_range};

/// The number of rows of a batch: a few hundred kilobytes of columns, so that a batch stays in the L2 cache.
pub(super) const BATCH_ROWS: usize = 8192;

impl Source {
    /// Reads columns of a chunk batch by batch, and calls `each(first row within the chunk, columns in the given
    /// order)`.
    ///
    /// # Errors
    /// Damaged or changed files, and the errors of `each`.
    pub fn read(
        &self,
        chunk: &Chunk,
        columns: &[String],
        each: impl FnMut(usize, &[ArrayRef]) -> Result<()>,
    ) -> Result<()> {
        self.read_rows(chunk, 0..chunk.rows, columns, each)
    }

    /// Reads columns as [`Source::read`] does. Those of the columns `repeating` that are numbers may come as runs: their
    /// values and ends are those of [`split_runs`](crate::split_runs).
    ///
    /// # Errors
    /// Those of [`Source::read`].
    pub fn read_runs(
        &self,
        chunk: &Chunk,
        columns: &[String],
        repeating: &[String],
        each: impl FnMut(usize, &[ArrayRef]) -> Result<()>,
    ) -> Result<()> {
        self.read_some(chunk, 0..chunk.rows, (columns, repeating), each)
    }

    /// Reads columns of the rows `rows` of a chunk, counted from its first; otherwise as [`Source::read`]. Pages before
    /// the first row are skipped without decoding. From S3 the chunk's columns are fetched whole, so all rows should be
    /// read in one call.
    ///
    /// # Errors
    /// Those of [`Source::read`].
    pub fn read_rows(
        &self,
        chunk: &Chunk,
        rows: Range<usize>,
        columns: &[String],
        each: impl FnMut(usize, &[ArrayRef]) -> Result<()>,
    ) -> Result<()> {
        self.read_some(chunk, rows, (columns, &[]), each)
    }

    fn read_some(
        &self,
        chunk: &Chunk,
        rows: Range<usize>,
        (columns, repeating): (&[String], &[String]),
        mut each: impl FnMut(usize, &[ArrayRef]) -> Result<()>,
    ) -> Result<()> {
        let file = &self.files[chunk.file];
        let rows = rows.start.min(chunk.rows)..rows.end.min(chunk.rows);
        if rows.is_empty() {
            return Ok(());
        }
        let mut row = rows.start;
        let ReadClocks { read, calls, use_rows } = &self.clocks;
        let mut deliver = |batch: &RecordBatch| {
            let columns = file.columns(batch, columns)?;
            use_rows.time(|| each(row, &columns))?;
            row += batch.num_rows();
            Ok(())
        };
        calls.time(|| match &file.content {
            Content::Csv(csv) => csv.read(file, chunk, rows, columns, &mut deliver),
            Content::Parquet(meta) => {
                let request = Request { file, meta, chunk, columns, repeating, rows };
                match file.remote_rows() {
                    Some(remote) => {
                        let fetched = read.time(|| file.fetch(remote, request.ranges()?))?;
                        request.decode(fetched, &mut deliver)
                    }
                    None => request.decode(file.reopen()?.timed(read), &mut deliver),
                }
            }
        })
    }
}

impl SourceFile {
    fn columns(&self, batch: &RecordBatch, columns: &[String]) -> Result<Vec<ArrayRef>> {
        let column = |name: &String| match batch.column_by_name(name) {
            Some(array) => Ok(Arc::clone(array)),
            None => self.hive_array(name, batch.num_rows()),
        };
        columns.iter().map(column).collect()
    }

    /// Returns the positions in the schema of those columns that the file itself holds.
    pub(super) fn roots(&self, columns: &[String]) -> Vec<usize> {
        let fields = self.schema.fields().iter().enumerate();
        fields
            .filter(|(_, field)| columns.iter().any(|c| c == field.name()))
            .map(|(index, _)| index)
            .collect()
    }
}

/// A read of rows of a Parquet file.
struct Request<'a> {
    file: &'a SourceFile,
    meta: &'a ArrowReaderMetadata,
    chunk: &'a Chunk,
    columns: &'a [String],
    repeating: &'a [String],
    rows: Range<usize>,
}

impl Request<'_> {
    fn decode(
        &self,
        bytes: impl ChunkReader + 'static,
        deliver: &mut impl FnMut(&RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let roots = self.file.roots(self.columns);
        let repeating = self.file.roots(self.repeating);
        let request = parquet_file::RowRequest {
            metadata: self.meta,
            size: self.file.row_bytes(),
            row_group: self.chunk.row_group,
            roots: &roots,
            rows: self.rows.clone(),
            batch_rows: BATCH_ROWS,
            repeating: &repeating,
        };
        parquet_file::decode_rows(bytes, &request, |damage| self.broken(damage), deliver)
    }

    /// Returns the byte ranges of the columns.
    fn ranges(&self) -> Result<Vec<Range<u64>>> {
        let group = self.meta.metadata().row_group(self.chunk.row_group);
        let columns = self.file.roots(self.columns).into_iter().flat_map(|root| leaves(group, root));
        columns
            .map(|column| chunk_range(column, self.file.row_bytes()).map_err(|e| self.broken(&e)))
            .collect()
    }

    fn broken(&self, damage: &Damage) -> StaggerError {
        StaggerError::input(format!(
            "`{}`: row group {} can't be read: {damage}",
            self.file.input.name(),
            self.chunk.row_group
        ))
        .with_hint("the file may be truncated or damaged; write it again")
    }
}
