//! Records in JSON. A first pass finds columns and types, a second one decodes.

mod record;
mod split;

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef};
use stagger_model::csv_options::ColumnSelection;
use stagger_model::error::{Result, StaggerError};

use super::values::{Cell, CellBuilder, CellType};
use super::{Decoder, TableBytes, TableFormat, damaged};
use crate::bad_lines::BadLines;
use crate::read::BATCH_ROWS;
use record::read_record;
use split::{JsonRecords, SplitError};

/// A column of the file.
struct Column {
    name: String,
    wanted: bool,
    found: CellType,
}

/// The columns found so far, and the cells of the current record.
struct Columns<'a> {
    selection: &'a ColumnSelection,
    columns: Vec<Column>,
    places: HashMap<String, usize>,
    /// The cells of the current record; `None` for those that it does not hold.
    cells: Vec<Option<Cell>>,
}

impl Columns<'_> {
    /// Returns the place of a column, which is new if it was not met before.
    fn place(&mut self, path: &str) -> usize {
        if let Some(&place) = self.places.get(path) {
            return place;
        }
        let place = self.columns.len();
        let wanted = self.selection.role(path).is_some();
        self.columns.push(Column { name: path.to_owned(), wanted, found: CellType::new() });
        self.places.insert(path.to_owned(), place);
        self.cells.push(None);
        place
    }

    fn clear(&mut self) {
        self.cells.iter_mut().for_each(|cell| *cell = None);
    }
}

/// A file of records that is being decoded.
pub(super) struct JsonDecoder {
    name: String,
    names: Vec<String>,
    schema: SchemaRef,
    /// The place of each column of the schema in a record.
    places: HashMap<String, usize>,
    builders: Vec<CellBuilder>,
    records: JsonRecords<Box<dyn Read + Send>>,
    allowed: u64,
    bad: BadLines,
}

impl JsonDecoder {
    pub(super) fn open(bytes: &TableBytes<'_>) -> Result<Self> {
        let allowed = bytes.selection.records.skip_bad;
        let mut columns = Columns {
            selection: bytes.selection,
            columns: Vec::new(),
            places: HashMap::new(),
            cells: Vec::new(),
        };
        let mut bad = BadLines::new(allowed);
        let mut records = JsonRecords::new(bytes.stream()?);
        let mut rows = 0u64;
        while let Some((line, text)) = records.next().map_err(|error| stopped(&bytes.name, error))? {
            columns.clear();
            if let Err(fault) = read_record(text, &mut |path, cell| fill(&mut columns, path, cell)) {
                bad.add(&bytes.name, line, &fault, &String::from_utf8_lossy(text))?;
                continue;
            }
            rows += 1;
            for (column, cell) in columns.columns.iter_mut().zip(&columns.cells) {
                column.found.add(cell.as_ref().unwrap_or(&Cell::Missing));
            }
        }
        if rows == 0 {
            return Err(StaggerError::input(format!("`{}`: the file holds no record", bytes.name)));
        }
        Ok(Self::decoding(bytes, columns.columns, bytes.stream()?))
    }

    fn decoding(bytes: &TableBytes<'_>, columns: Vec<Column>, stream: Box<dyn Read + Send>) -> Self {
        let names = columns.iter().map(|column| column.name.clone()).collect();
        let wanted: Vec<Column> = columns.into_iter().filter(|column| column.wanted).collect();
        let fields: Vec<_> = wanted.iter().map(|column| column.found.field(&column.name)).collect();
        Self {
            name: bytes.name.clone(),
            names,
            schema: Arc::new(Schema::new(fields)),
            places: wanted.iter().enumerate().map(|(place, column)| (column.name.clone(), place)).collect(),
            builders: wanted.iter().map(|column| column.found.builder()).collect(),
            records: JsonRecords::new(stream),
            allowed: bytes.selection.records.skip_bad,
            bad: BadLines::new(bytes.selection.records.skip_bad),
        }
    }

    fn changed(&self) -> StaggerError {
        StaggerError::input(format!("the input changed during the run: `{}`", self.name))
            .with_hint("start again once the files are complete")
    }
}

/// Takes a field of the current record in the first pass.
fn fill(columns: &mut Columns<'_>, path: &str, cell: Cell) -> std::result::Result<(), String> {
    let place = columns.place(path);
    put(&mut columns.cells[place], path, cell)
}

fn put(slot: &mut Option<Cell>, path: &str, cell: Cell) -> std::result::Result<(), String> {
    match slot.replace(cell) {
        None => Ok(()),
        Some(_) => Err(format!("has the field `{path}` twice")),
    }
}

impl Decoder for JsonDecoder {
    fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn next(&mut self) -> Result<Option<RecordBatch>> {
        let mut rows = 0;
        let mut cells: Vec<Option<Cell>> = vec![None; self.builders.len()];
        // Fields that are not read are checked too, so that both passes leave out the same records.
        let mut others: HashMap<String, Option<Cell>> = HashMap::new();
        while rows < BATCH_ROWS {
            let next = self.records.next().map_err(|error| stopped(&self.name, error))?;
            let Some((line, text)) = next else { break };
            cells.iter_mut().for_each(|cell| *cell = None);
            others.clear();
            let places = &self.places;
            let read = read_record(text, &mut |path, cell| match places.get(path) {
                Some(&place) => put(&mut cells[place], path, cell),
                None => put(others.entry(path.to_owned()).or_default(), path, Cell::Missing),
            });
            if let Err(fault) = read {
                self.bad.add(&self.name, line, &fault, &String::from_utf8_lossy(text))?;
                continue;
            }
            rows += 1;
            for (builder, cell) in self.builders.iter_mut().zip(&cells) {
                if builder.add(cell.as_ref().unwrap_or(&Cell::Missing)).is_none() {
                    return Err(self.changed());
                }
            }
        }
        if rows == 0 {
            return Ok(None);
        }
        let arrays: Vec<ArrayRef> = self.builders.iter_mut().map(CellBuilder::take).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options);
        batch.map(Some).map_err(|error| damaged(&self.name, TableFormat::Json, &error.to_string()))
    }

    fn bad_lines(&self) -> BadLines {
        debug_assert!(self.bad.count <= self.allowed);
        self.bad.clone()
    }
}

fn stopped(name: &str, error: SplitError) -> StaggerError {
    match error {
        SplitError::Io(error) => match error.downcast::<StaggerError>() {
            Ok(error) => error,
            Err(error) => damaged(name, TableFormat::Json, &error.to_string()),
        },
        SplitError::Endless(line) => {
            StaggerError::input(format!("`{name}`: the record that begins in line {line} exceeds 64 MB"))
                .with_hint("write a record in a line of its own: jq -c '.[]' FILE > FILE.jsonl")
        }
        SplitError::Open(line) => {
            StaggerError::input(format!("`{name}`: the record that begins in line {line} is never closed"))
                .with_hint("the file may be truncated: copy or write it again")
        }
    }
}
