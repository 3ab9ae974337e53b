//! Writing of temporary Parquet files: fast to write and to read, with the ranges of each row group.

use std::fs::File;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use stagger_model::error::{Result, StaggerError};

use crate::spool::{Spool, spool_error};

/// The name of the writer, by which a panel is recognised that may be replaced.
pub const MARK: &str = "stagger panel";
/// The number of rows of a row group, which is the unit of parallel reads.
const GROUP_ROWS: usize = 1 << 17;

/// A temporary Parquet file that is being written.
pub(crate) struct TableWriter {
    writer: ArrowWriter<File>,
    file: File,
}

impl TableWriter {
    pub(crate) fn new(file: File, schema: &Arc<Schema>) -> Result<Self> {
        let mut properties = WriterProperties::builder()
            // Every reader knows this codec, and a panel may be copied as it is.
            .set_compression(Compression::SNAPPY)
            .set_created_by(MARK.to_owned())
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_max_row_group_row_count(Some(GROUP_ROWS));
        for field in schema.fields() {
            if matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
                let path = ColumnPath::new(vec![field.name().clone()]);
                properties = properties.set_column_dictionary_enabled(path, true);
            }
        }
        let own = file.try_clone().map_err(|error| spool_error(&error))?;
        let writer = ArrowWriter::try_new(own, Arc::clone(schema), Some(properties.build()));
        Ok(Self { writer: writer.map_err(write_error)?, file })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(batch).map_err(write_error)
    }

    /// Writes the footer, and returns the finished file.
    pub(crate) fn finish(self) -> Result<Spool> {
        self.writer.close().map_err(write_error)?;
        Spool::new(self.file).map_err(|error| spool_error(&error))
    }
}

fn write_error(error: ParquetError) -> StaggerError {
    match error {
        ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(error) => spool_error(&error),
            Err(other) => StaggerError::failed(format!("a temporary file can't be written: {other}")),
        },
        other => StaggerError::failed(format!("a temporary file can't be written: {other}")),
    }
}
