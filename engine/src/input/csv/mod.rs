//! CSV files: looked through once for their columns' types and the places of their chunks, then read chunk by chunk. Memory is that of
//! the rows under way, whatever the size of the file and the number of its columns.

mod batch;
mod cell;
mod column;
mod decode;
mod dialect;
mod look;
mod options;
mod records;
mod unify;

use std::io::Read;
use std::sync::Mutex;

use arrow::datatypes::{DataType, Field, Schema};
use serde::{Deserialize, Serialize};

use super::file::SourceFile;
use crate::error::{EngineError, Result};
pub(super) use column::{Cell, Kind};
use column::{Column, Missing};
use decode::Decoded;
pub(super) use look::{open, place};
pub use options::{CsvOptions, Encoding, Role, Selection};
use records::{Marks, Records, Stop};
pub(super) use unify::unify;

/// Rows of a chunk.
const CHUNK_ROWS: usize = 65_536;

/// A stream that records are read from.
type Stream = Box<dyn Read + Send>;

/// A chunk: its rows, and the byte of the file at which the first begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) rows: usize,
    position: u64,
}

/// What was found of a file by looking through it; what another process needs to read the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Layout {
    encoding: Encoding,
    /// Bytes of the mark before the text.
    mark: u64,
    marks: Marks,
    /// Decimals follow a comma.
    comma: bool,
    missing: Missing,
    /// Names of all columns.
    names: Vec<String>,
    /// Those that are read.
    columns: Vec<Column>,
    pub(super) chunks: Vec<Start>,
}

/// An opened file.
pub(super) struct CsvFile {
    pub(super) layout: Layout,
    /// Readings of a file that can't be entered in the middle, to be gone on with.
    idle: Mutex<Vec<Cursor>>,
}

/// A reading that has come to a row of the file.
struct Cursor {
    records: Records<Stream>,
    row: u64,
}

impl CsvFile {
    pub(super) fn new(layout: Layout) -> Self {
        Self { layout, idle: Mutex::new(Vec::new()) }
    }
}

impl Layout {
    /// Names and types of the columns; those that are not read count as text.
    pub(super) fn schema(&self) -> Schema {
        let field = |(place, name): (usize, &String)| {
            let kind = self.columns.iter().find(|column| column.field == place).map(|column| column.kind);
            Field::new(name, kind.map_or(DataType::Utf8, Kind::data_type), true)
        };
        Schema::new(self.names.iter().enumerate().map(field).collect::<Vec<_>>())
    }

    /// A column that is read.
    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The first cell of a column of text that is no number.
    pub(super) fn odd_text(&self, name: &str) -> Option<&Cell> {
        self.column(name).filter(|column| column.kind == Kind::Text)?.odd.as_ref()
    }

    /// Rows of a column of text by spelling of what could have been a missing value, in order.
    pub(super) fn taken(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        self.columns.iter().flat_map(|column| {
            column.taken.iter().map(|(text, rows)| (column.name.as_str(), text.as_str(), *rows))
        })
    }

    /// Columns to compute with that are text, though some cells are numbers, with a cell that is none.
    pub(super) fn mixed(&self) -> impl Iterator<Item = (&str, &Cell)> {
        let mixed = self.columns.iter().filter(|c| c.computed && c.kind == Kind::Text && c.numbers > 0);
        mixed.filter_map(|column| Some((column.name.as_str(), column.odd.as_ref()?)))
    }

    /// Least and largest whole number of a column in a chunk.
    pub(super) fn bounds(&self, chunk: usize, name: &str) -> Option<(i128, i128)> {
        let (least, most) = (*self.column(name)?.bounds.get(chunk)?)?;
        Some((least.into(), most.into()))
    }

    /// The stream of the file's text from a byte on.
    fn stream(&self, file: &SourceFile, position: u64) -> Result<Stream> {
        let stream = file.stream(position)?;
        Ok(match self.encoding {
            Encoding::Utf8 => stream,
            other => Box::new(Decoded::new(stream, other)),
        })
    }

    fn is_seekable(&self, file: &SourceFile) -> bool {
        self.encoding == Encoding::Utf8 && file.is_seekable()
    }
}

impl Kind {
    /// The Arrow type of the column's values.
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

/// The error for a file that can't be cut into records.
fn stopped(name: &str, stop: Stop) -> EngineError {
    match stop {
        Stop::Io(error) => match error.downcast::<EngineError>() {
            Ok(error) => error,
            Err(error) => EngineError::input(format!("`{name}`: {error}")),
        },
        Stop::Endless => EngineError::input(format!("`{name}`: a record of more than 64 MB"))
            .with_hint("a quote may be missing, or the file is no text"),
        Stop::Open(line) => {
            EngineError::input(format!("`{name}`: the quote that opens in line {line} is never closed"))
                .with_hint("quotes within a field are doubled: \"6\"\" nails\"")
        }
    }
}
