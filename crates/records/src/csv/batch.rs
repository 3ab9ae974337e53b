//! Decoding of CSV rows into Arrow columns, batch by batch.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, UInt64Builder};
use arrow_array::{ArrayRef, NullArray, RecordBatch, RecordBatchOptions};
use arrow_schema::{Field, Schema, SchemaRef};
use stagger_model::error::{Result, StaggerError};

use super::cell::{boolean, decimal, integer};
use super::column::{CsvColumn, CsvType, MissingSpellings};
use super::records::Records;
use super::{CsvFile, Cursor, Stream, stopped};
use crate::file::SourceFile;
use crate::read::BATCH_ROWS;
use crate::source::Chunk;

/// The number of open cursors that are kept for later reads.
const KEPT: usize = 32;

impl CsvFile {
    /// Reads the `wanted` columns of the rows `rows` of a chunk, counted from its first, and calls `deliver` with each
    /// batch.
    pub(crate) fn read(
        &self,
        file: &SourceFile,
        chunk: &Chunk,
        rows: Range<usize>,
        wanted: &[String],
        deliver: &mut impl FnMut(&RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let columns: Vec<&CsvColumn> =
            self.layout.columns.iter().filter(|column| wanted.contains(&column.name)).collect();
        let mut batch = Batch::new(&columns, &self.layout.missing, self.layout.comma);
        let mut cursor = self.cursor(file, chunk, chunk.first_row + rows.start as u64)?;
        for _ in rows {
            self.advance(file, &mut cursor)?;
            batch.add(&cursor.records).ok_or_else(|| file.changed(None))?;
            if batch.rows == BATCH_ROWS {
                deliver(&batch.take()?)?;
            }
        }
        if batch.rows > 0 {
            deliver(&batch.take()?)?;
        }
        if !self.layout.is_seekable(file) {
            let mut idle = self.idle.lock().unwrap_or_else(|e| e.into_inner());
            if idle.len() < KEPT {
                idle.push(cursor);
            }
        }
        Ok(())
    }

    /// Advances by one row.
    fn advance(&self, file: &SourceFile, cursor: &mut Cursor) -> Result<()> {
        cursor.row += 1;
        loop {
            match cursor.records.next() {
                Ok(true) if self.layout.leaves_out(&cursor.records) => {}
                Ok(true) => return Ok(()),
                Ok(false) => return Err(file.changed(None)),
                Err(stop) => return Err(stopped(&file.input.name(), stop)),
            }
        }
    }

    /// Returns a cursor whose next row is `row` of the file.
    fn cursor(&self, file: &SourceFile, chunk: &Chunk, row: u64) -> Result<Cursor> {
        let layout = &self.layout;
        let start = layout.chunks.get(chunk.row_group).copied();
        let mut cursor = match (start, layout.is_seekable(file)) {
            (Some(start), true) => Cursor {
                records: Records::new(layout.stream(file, start.position)?, layout.marks, start.position),
                row: chunk.first_row,
            },
            _ => match self.nearest(row) {
                Some(cursor) => cursor,
                None => self.begin(file)?,
            },
        };
        while cursor.row < row {
            self.advance(file, &mut cursor)?;
        }
        Ok(cursor)
    }

    /// Takes the kept cursor that is nearest before a row.
    fn nearest(&self, row: u64) -> Option<Cursor> {
        let mut idle = self.idle.lock().unwrap_or_else(|e| e.into_inner());
        let (at, _) = idle.iter().enumerate().filter(|(_, c)| c.row <= row).max_by_key(|(_, c)| c.row)?;
        Some(idle.swap_remove(at))
    }

    /// Returns a cursor at the first row.
    fn begin(&self, file: &SourceFile) -> Result<Cursor> {
        let layout = &self.layout;
        let stream: Stream = layout.stream(file, layout.mark)?;
        let mut cursor = Cursor { records: Records::new(stream, layout.marks, layout.mark), row: 0 };
        // The header does not count as a row.
        self.advance(file, &mut cursor)?;
        cursor.row = 0;
        Ok(cursor)
    }
}

/// The builder of one column of a batch.
enum Values {
    Nothing(usize),
    Boolean(BooleanBuilder),
    Integer(Int64Builder),
    Unsigned(UInt64Builder),
    Float(Float64Builder),
    Text(StringBuilder),
}

impl Values {
    fn new(kind: CsvType) -> Self {
        match kind {
            CsvType::Nothing => Self::Nothing(0),
            CsvType::Boolean => Self::Boolean(BooleanBuilder::new()),
            CsvType::Integer => Self::Integer(Int64Builder::new()),
            CsvType::Unsigned => Self::Unsigned(UInt64Builder::new()),
            CsvType::Float => Self::Float(Float64Builder::new()),
            CsvType::Text => Self::Text(StringBuilder::new()),
        }
    }

    /// Appends a cell; returns `None` if the cell does not fit the type found at the first pass.
    fn add(&mut self, raw: &[u8], missing: &MissingSpellings, comma: bool) -> Option<()> {
        if let Self::Text(out) = self {
            let text = if missing.text(raw) { None } else { Some(std::str::from_utf8(raw).ok()?) };
            out.append_option(text);
            return Some(());
        }
        let cell = Some(raw.trim_ascii()).filter(|cell| !missing.number(cell));
        match self {
            Self::Nothing(rows) => {
                *rows += 1;
                cell.is_none().then_some(())?;
            }
            Self::Boolean(out) => out.append_option(cell.map(boolean).map_or(Some(None), |v| v.map(Some))?),
            Self::Integer(out) => {
                let value = |cell| integer(cell).and_then(|number| number.value);
                out.append_option(cell.map(value).map_or(Some(None), |v| v.map(Some))?);
            }
            Self::Unsigned(out) => {
                let value = |cell| std::str::from_utf8(cell).ok()?.parse::<u64>().ok();
                out.append_option(cell.map(value).map_or(Some(None), |v| v.map(Some))?);
            }
            Self::Float(out) => {
                let mark = if comma { b',' } else { b'.' };
                out.append_option(cell.map(|c| decimal(c, mark)).map_or(Some(None), |v| v.map(Some))?);
            }
            Self::Text(_) => {}
        }
        Some(())
    }

    fn take(&mut self) -> ArrayRef {
        match self {
            Self::Nothing(rows) => Arc::new(NullArray::new(std::mem::take(rows))),
            Self::Boolean(out) => Arc::new(out.finish()),
            Self::Integer(out) => Arc::new(out.finish()),
            Self::Unsigned(out) => Arc::new(out.finish()),
            Self::Float(out) => Arc::new(out.finish()),
            Self::Text(out) => Arc::new(out.finish()),
        }
    }
}

/// A batch that is being filled.
struct Batch<'a> {
    schema: SchemaRef,
    missing: &'a MissingSpellings,
    comma: bool,
    /// The position of each column in a record.
    places: Vec<usize>,
    values: Vec<Values>,
    rows: usize,
}

impl<'a> Batch<'a> {
    fn new(columns: &[&CsvColumn], missing: &'a MissingSpellings, comma: bool) -> Self {
        let field = |column: &&CsvColumn| Field::new(&column.name, column.kind.data_type(), true);
        Self {
            schema: Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>())),
            missing,
            comma,
            places: columns.iter().map(|column| column.field).collect(),
            values: columns.iter().map(|column| Values::new(column.kind)).collect(),
            rows: 0,
        }
    }

    fn add(&mut self, record: &Records<Stream>) -> Option<()> {
        for (values, &place) in self.values.iter_mut().zip(&self.places) {
            record.fields.get(place)?;
            values.add(&record.bytes(place), self.missing, self.comma)?;
        }
        self.rows += 1;
        Some(())
    }

    fn take(&mut self) -> Result<RecordBatch> {
        let arrays = self.values.iter_mut().map(Values::take).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(std::mem::take(&mut self.rows)));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
            .map_err(|e| StaggerError::failed(format!("rows of a CSV file are no batch: {e}")))
    }
}
