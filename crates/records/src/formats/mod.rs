//! Formats that are decoded once, when they are opened, into a temporary Parquet file of the columns that are read. Each
//! is one file that implements [`Decoder`]; all later reads are those of Parquet.

mod arrow;
mod avro;
mod decode;
mod detect;
mod excel;
mod flatten;
mod json;
mod r_data;
mod stata;
mod values;
mod watched;
mod write;

use std::io::Read;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use stagger_model::csv_options::ColumnSelection;
use stagger_model::error::{Result, StaggerError};

use super::bad_lines::BadLines;
use super::spool::{Spool, SpoolReader};

pub(super) use decode::{DecodeTable, decode_table, footer};
pub(super) use detect::{detect_table, is_table_ending};
pub use write::MARK;
pub(super) use write::TableWriter;

/// A format that is decoded when a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TableFormat {
    /// Records in JSON: one in a line, or an array of them.
    Json,
    /// Avro object containers.
    Avro,
    /// Arrow IPC files; Feather is another name for them.
    ArrowFile,
    /// Arrow IPC streams.
    ArrowStream,
    /// Stata, all versions.
    Stata,
    /// One R object (`saveRDS`).
    RObject,
    /// Named R objects (`save`).
    RData,
    /// Excel and OpenDocument workbooks.
    Workbook,
    /// Parquet files that are compressed as a whole.
    PackedParquet,
}

impl TableFormat {
    /// Returns the name for messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Avro => "Avro",
            Self::ArrowFile => "Arrow IPC (Feather)",
            Self::ArrowStream => "Arrow stream",
            Self::Stata => "Stata",
            Self::RObject => "R object (.rds)",
            Self::RData => "R data (.rda)",
            Self::Workbook => "workbook",
            Self::PackedParquet => "Parquet",
        }
    }
}

/// A file of such a format that is being decoded, batch by batch.
trait Decoder {
    /// Returns the names of all columns of the file, of nested ones by path. They are complete once all batches are
    /// decoded.
    fn names(&self) -> Vec<String>;

    /// Returns the schema of the batches. It may hold columns that were not asked for.
    fn schema(&self) -> SchemaRef;

    /// Decodes the next batch, or returns `None` at the end.
    fn next(&mut self) -> Result<Option<RecordBatch>>;

    /// Returns the broken lines that were left out so far.
    fn bad_lines(&self) -> BadLines {
        BadLines::default()
    }
}

/// The bytes of a file to decode, unpacked.
struct TableBytes<'a> {
    name: String,
    format: TableFormat,
    selection: &'a ColumnSelection,
    stream: &'a dyn Fn() -> Result<Box<dyn Read + Send>>,
}

impl TableBytes<'_> {
    /// Returns the bytes from the start.
    fn stream(&self) -> Result<Box<dyn Read + Send>> {
        (self.stream)()
    }

    /// Returns the bytes as a file to seek in: a copy without a name.
    fn seekable(&self) -> Result<SpoolReader> {
        Ok(self.spool()?.reader())
    }

    fn spool(&self) -> Result<Spool> {
        let (spool, _) = Spool::copy(self.stream()?).map_err(|error| self.damaged(error))?;
        Ok(spool)
    }

    /// Returns the error for a file that can't be decoded.
    fn damaged(&self, reason: impl std::fmt::Display) -> StaggerError {
        damaged(&self.name, self.format, &reason.to_string())
    }
}

fn damaged(name: &str, format: TableFormat, reason: &str) -> StaggerError {
    let reason = reason.lines().next().unwrap_or_default();
    StaggerError::input(format!("`{name}`: not a readable {} file: {reason}", format.name()))
        .with_hint("the file is truncated or damaged: copy or write it again")
}
