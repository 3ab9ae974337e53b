//! CSV files. A first pass infers the types of the columns and the positions of the chunks; later passes read chunk by
//! chunk. Memory is that of the rows in progress, whatever the size of the file and the number of its columns.

mod batch;
mod cell;
mod column;
mod decode;
mod dialect;
mod look;
mod records;
mod unify;

use std::io::Read;
use std::sync::Mutex;

use arrow_schema::{DataType, Field, Schema};

use column::{CsvColumn, MissingSpellings};
use decode::Decoded;

use records::{Dialect, RecordError, Records};
use serde::{Deserialize, Serialize};
use stagger_model::csv_options::Encoding;
use stagger_model::error::{Result, StaggerError};

use super::bad_lines::BadLines;
use super::file::SourceFile;

pub(super) use column::{CsvCell, CsvType};
pub(super) use look::{format_place, read_layout};
pub(super) use unify::unify_code_types;

/// The number of rows of a chunk.
const CHUNK_ROWS: usize = 65_536;

/// The stream that records are read from.
type Stream = Box<dyn Read + Send>;

/// A chunk: the number of its rows, and the position of its first byte in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ChunkStart {
    pub(super) rows: usize,
    position: u64,
}

/// The layout of a CSV file, as the first pass found it. Another process needs no more to read the same rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct CsvLayout {
    encoding: Encoding,
    /// The length of the byte order mark.
    mark: u64,
    marks: Dialect,
    /// `true` if decimals follow a comma.
    comma: bool,
    missing: MissingSpellings,
    /// The names of all columns.
    names: Vec<String>,
    /// The columns that are read.
    columns: Vec<CsvColumn>,
    pub(super) chunks: Vec<ChunkStart>,
    /// The lines with another number of fields than the header, which are left out.
    pub(super) bad: BadLines,
}

/// An opened CSV file.
pub(super) struct CsvFile {
    pub(super) layout: CsvLayout,
    /// The idle cursors of a file that cannot be entered in the middle, to be continued by later reads.
    idle: Mutex<Vec<Cursor>>,
}

/// An open read at a row of the file.
struct Cursor {
    records: Records<Stream>,
    row: u64,
}

impl CsvFile {
    pub(super) fn new(layout: CsvLayout) -> Self {
        Self { layout, idle: Mutex::new(Vec::new()) }
    }
}

impl CsvLayout {
    /// Returns names and types of the columns; those that are not read count as text.
    pub(super) fn schema(&self) -> Schema {
        let field = |(place, name): (usize, &String)| {
            let kind = self.columns.iter().find(|column| column.field == place).map(|column| column.kind);
            Field::new(name, kind.map_or(DataType::Utf8, CsvType::data_type), true)
        };
        Schema::new(self.names.iter().enumerate().map(field).collect::<Vec<_>>())
    }

    /// Returns a column that is read.
    pub(super) fn column(&self, name: &str) -> Option<&CsvColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Returns the first cell of a text column that is not a number.
    pub(super) fn first_non_number(&self, name: &str) -> Option<&CsvCell> {
        self.column(name).filter(|column| column.kind == CsvType::Text)?.odd.as_ref()
    }

    /// Returns the possible spellings of missing values in text columns: column, spelling and number of rows, in order.
    pub(super) fn missing_spellings_in_text(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        self.columns.iter().flat_map(|column| {
            column.taken.iter().map(|(text, rows)| (column.name.as_str(), text.as_str(), *rows))
        })
    }

    /// Returns the columns that are needed as numbers and hold both numbers and text, each with its first cell that is
    /// not a number.
    pub(super) fn mixed_columns(&self) -> impl Iterator<Item = (&str, &CsvCell)> {
        let mixed = self.columns.iter().filter(|c| c.computed && c.kind == CsvType::Text && c.numbers > 0);
        mixed.filter_map(|column| Some((column.name.as_str(), column.odd.as_ref()?)))
    }

    /// Returns the smallest and largest whole number of a column in a chunk.
    pub(super) fn bounds(&self, chunk: usize, name: &str) -> Option<(i128, i128)> {
        let (least, most) = (*self.column(name)?.bounds.get(chunk)?)?;
        Some((least.into(), most.into()))
    }

    /// Returns the file's text from a byte position on.
    fn stream(&self, file: &SourceFile, position: u64) -> Result<Stream> {
        let stream = file.stream(position)?;
        Ok(match self.encoding {
            Encoding::Utf8 => stream,
            other => Box::new(Decoded::new(stream, other)),
        })
    }

    /// Returns `true` if the current record is a broken line that the first pass left out.
    fn leaves_out(&self, records: &Records<Stream>) -> bool {
        self.bad.count > 0 && records.fields.len() != self.names.len()
    }

    /// Returns `true` if a read can start at any byte.
    fn is_seekable(&self, file: &SourceFile) -> bool {
        self.encoding == Encoding::Utf8 && file.is_seekable()
    }
}

impl CsvType {
    /// Returns the Arrow type of the column's values.
    pub(super) fn data_type(self) -> DataType {
        match self {
            Self::Nothing => DataType::Null,
            Self::Boolean => DataType::Boolean,
            Self::Integer => DataType::Int64,
            Self::Unsigned => DataType::UInt64,
            Self::Float => DataType::Float64,
            Self::Text => DataType::Utf8,
        }
    }
}

/// Returns the error for a file that can't be split into records.
fn stopped(name: &str, stop: RecordError) -> StaggerError {
    match stop {
        RecordError::Io(error) => match error.downcast::<StaggerError>() {
            Ok(error) => error,
            Err(error) => StaggerError::input(format!("`{name}`: {error}")),
        },
        RecordError::Endless => StaggerError::input(format!("`{name}`: a record of more than 64 MB"))
            .with_hint("a quote may be missing, or the file is no text"),
        RecordError::Open(line) => {
            StaggerError::input(format!("`{name}`: the quote that opens in line {line} is never closed"))
                .with_hint("quotes within a field are doubled: \"6\"\" nails\"")
        }
    }
}
