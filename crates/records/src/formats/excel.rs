//! The first sheet of Excel and OpenDocument workbooks, by the crate `calamine`. Its first row holds the names.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef};
use calamine::{Data, Range, Reader, open_workbook_auto_from_rs};
use stagger_model::error::{Result, StaggerError};

use super::values::{Cell, CellBuilder, CellType};
use super::{Decoder, TableBytes, TableFormat, damaged};
use crate::read::BATCH_ROWS;

/// The number of days from the first day of Excel's calendar to 1 January 1970.
const DAYS_BEFORE_1970: f64 = 25_569.0;

/// A sheet, in memory.
pub(super) struct WorkbookDecoder {
    name: String,
    names: Vec<String>,
    sheet: Range<Data>,
    /// The places of the columns that are read.
    places: Vec<usize>,
    types: Vec<CellType>,
    schema: SchemaRef,
    next: usize,
}

impl WorkbookDecoder {
    pub(super) fn open(bytes: &TableBytes<'_>) -> Result<Self> {
        let mut book = open_workbook_auto_from_rs(bytes.seekable()?).map_err(|error| bytes.damaged(error))?;
        let sheet = book.worksheet_range_at(0).ok_or_else(|| bytes.damaged("it has no sheet"))?;
        let sheet = sheet.map_err(|error| bytes.damaged(error))?;
        let header = sheet.rows().next().unwrap_or_default();
        let names: Vec<String> = header
            .iter()
            .map(|name| if *name == Data::Empty { String::new() } else { name.to_string() })
            .collect();
        if names.iter().all(String::is_empty) {
            return Err(StaggerError::input(format!(
                "`{}`: the first row of its first sheet is empty",
                bytes.name
            ))
            .with_hint("write the names of the columns into the first row of the first sheet"));
        }
        let mut places = Vec::new();
        for (place, name) in names.iter().enumerate() {
            if !name.is_empty() && bytes.selection.role(name).is_some() {
                places.push(place);
            }
        }
        let mut types: Vec<CellType> = places.iter().map(|_| CellType::new()).collect();
        for row in sheet.rows().skip(1) {
            for (kind, &place) in types.iter_mut().zip(&places) {
                kind.add(&cell(row.get(place)));
            }
        }
        let fields: Vec<_> =
            types.iter().zip(&places).map(|(kind, place)| kind.field(&names[*place])).collect();
        let schema = Arc::new(Schema::new(fields));
        Ok(Self { name: bytes.name.clone(), names, sheet, places, types, schema, next: 1 })
    }
}

impl Decoder for WorkbookDecoder {
    fn names(&self) -> Vec<String> {
        self.names.iter().filter(|name| !name.is_empty()).cloned().collect()
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn next(&mut self) -> Result<Option<RecordBatch>> {
        let mut builders: Vec<CellBuilder> = self.types.iter().map(CellType::builder).collect();
        let mut rows = 0;
        for row in self.sheet.rows().skip(self.next).take(BATCH_ROWS) {
            for (builder, &place) in builders.iter_mut().zip(&self.places) {
                let fits = builder.add(&cell(row.get(place)));
                fits.ok_or_else(|| {
                    damaged(&self.name, TableFormat::Workbook, "a cell has another type than before")
                })?;
            }
            rows += 1;
        }
        self.next += rows;
        if rows == 0 {
            return Ok(None);
        }
        let arrays: Vec<ArrayRef> = builders.iter_mut().map(CellBuilder::take).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options);
        batch.map(Some).map_err(|error| damaged(&self.name, TableFormat::Workbook, &error.to_string()))
    }
}

/// Returns a cell. Whole numbers are integers, which workbooks do not know; dates are text.
fn cell(data: Option<&Data>) -> Cell {
    const LARGEST: f64 = 9e15;
    match data {
        None | Some(Data::Empty | Data::Error(_)) => Cell::Missing,
        Some(Data::Int(value)) => Cell::Integer(*value),
        Some(Data::Float(value)) if value.fract() == 0.0 && value.abs() < LARGEST => {
            Cell::Integer(*value as i64)
        }
        Some(Data::Float(value)) => Cell::Float(*value),
        Some(Data::Bool(value)) => Cell::Boolean(*value),
        Some(Data::DateTime(value)) if value.is_datetime() => Cell::Text(date(value.as_f64())),
        Some(Data::DateTime(value)) => Cell::Float(value.as_f64()),
        Some(Data::String(text) | Data::DateTimeIso(text) | Data::DurationIso(text)) => {
            Cell::Text(text.clone())
        }
    }
}

/// Returns the date of a serial number of Excel, with its time if it has one.
fn date(serial: f64) -> String {
    let seconds = ((serial - DAYS_BEFORE_1970) * 86_400.0).round() as i64;
    match chrono::DateTime::from_timestamp(seconds, 0) {
        Some(time) if seconds.rem_euclid(86_400) == 0 => time.format("%Y-%m-%d").to_string(),
        Some(time) => time.format("%Y-%m-%d %H:%M:%S").to_string(),
        None => serial.to_string(),
    }
}
