//! Stata data sets of every version, by the crate `dta`.
//!
//! Missing codes (`.`, `.a` … `.z`) are missing values. A column that is read as levels takes its value labels. Dates
//! (`%td`, `%tc`) are dates, months and quarters (`%tm`, `%tq`) are text such as `2020m1`, in which 0 stays 0, as it
//! marks never-treated units in cohort columns. Weeks, half-years and years are numbers: Stata's weeks are not those of
//! ISO 8601.

use std::io::BufReader;
use std::sync::Arc;

use arrow_array::builder::{
    Date32Builder, Float32Builder, Float64Builder, Int32Builder, StringBuilder, TimestampMillisecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use dta::stata::dta::characteristic_reader::CharacteristicReader;
use dta::stata::dta::dta_error::DtaError;
use dta::stata::dta::dta_reader::DtaReader;
use dta::stata::dta::long_string_table::LongStringTable;
use dta::stata::dta::record_reader::RecordReader;
use dta::stata::dta::value::Value;
use dta::stata::dta::value_label_table::ValueLabelTable;
use dta::stata::dta::variable::Variable;
use dta::stata::dta::variable_type::VariableType;
use stagger_model::csv_options::ColumnRole;
use stagger_model::error::{Result, StaggerError};

use super::{Decoder, TableBytes, TableFormat, damaged};
use crate::read::BATCH_ROWS;
use crate::spool::SpoolReader;

/// The number of days from Stata's first day, 1 January 1960, to 1 January 1970.
const DAYS_BEFORE_1970: f64 = 3653.0;
/// The number of milliseconds of a day.
const DAY: f64 = 86_400_000.0;

type Bytes = BufReader<SpoolReader>;

/// The meaning of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Integer,
    Single,
    Double,
    Text,
    /// Whole numbers with labels, read as levels.
    Labelled,
    Day,
    Instant,
    /// Months or quarters since 1960, with the number in a year and the letter between.
    Part(i64, char),
}

impl Kind {
    fn of(variable: &Variable, role: ColumnRole) -> Self {
        let integer =
            matches!(variable.variable_type(), VariableType::Byte | VariableType::Int | VariableType::Long);
        if matches!(variable.variable_type(), VariableType::FixedString(_) | VariableType::LongString) {
            return Self::Text;
        }
        if integer && role == ColumnRole::Level && !variable.value_label_name().is_empty() {
            return Self::Labelled;
        }
        let format = variable.format().trim_start_matches('%').trim_start_matches('-');
        match format.get(..2).unwrap_or(format) {
            "td" => Self::Day,
            "tc" | "tC" => Self::Instant,
            "tm" => Self::Part(12, 'm'),
            "tq" => Self::Part(4, 'q'),
            _ if format.starts_with('d') => Self::Day,
            _ if integer => Self::Integer,
            _ if variable.variable_type() == VariableType::Float => Self::Single,
            _ => Self::Double,
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Self::Integer => DataType::Int32,
            Self::Single => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Text | Self::Labelled | Self::Part(..) => DataType::Utf8,
            Self::Day => DataType::Date32,
            Self::Instant => DataType::Timestamp(TimeUnit::Millisecond, None),
        }
    }
}

/// A column that is read.
struct Column {
    place: usize,
    variable: Variable,
    kind: Kind,
}

/// A data set that is being decoded.
pub(super) struct StataDecoder {
    name: String,
    names: Vec<String>,
    schema: SchemaRef,
    columns: Vec<Column>,
    labels: ValueLabelTable,
    texts: LongStringTable,
    records: RecordReader<Bytes>,
}

impl StataDecoder {
    pub(super) fn open(bytes: &TableBytes<'_>) -> Result<Self> {
        let file = bytes.seekable()?;
        let broken = |error: DtaError| bytes.damaged(error);
        let records = records(file.clone()).map_err(broken)?;
        let variables = records.schema().variables();
        let names = variables.iter().map(|variable| variable.name().to_owned()).collect();
        let mut columns = Vec::new();
        for (place, variable) in variables.iter().enumerate() {
            if let Some(role) = bytes.selection.role(variable.name()) {
                columns.push(Column { place, variable: variable.clone(), kind: Kind::of(variable, role) });
            }
        }
        let field = |column: &Column| Field::new(column.variable.name(), column.kind.data_type(), true);
        let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
        let (mut labels, mut texts) = (ValueLabelTable::new(), LongStringTable::for_reading());
        let beyond = |column: &Column| {
            column.kind == Kind::Labelled || column.variable.variable_type() == VariableType::LongString
        };
        if columns.iter().any(beyond) {
            read_tables(file, &mut labels, &mut texts).map_err(broken)?;
        }
        Ok(Self { name: bytes.name.clone(), names, schema, columns, labels, texts, records })
    }

    fn damaged(&self, reason: &str) -> StaggerError {
        damaged(&self.name, TableFormat::Stata, reason)
    }

    /// Returns the text of a value, or `None` if it is missing.
    fn text(&self, column: &Column, value: &Value<'_>) -> Result<Option<String>> {
        Ok(match (column.kind, value) {
            (_, Value::String(text)) => Some(text.trim_end().to_owned()),
            (_, Value::LongStringRef(place)) => match self.texts.get(place) {
                Some(text) => Some(String::from_utf8_lossy(text.data()).trim_end_matches('\0').to_owned()),
                // Empty strings have no entry.
                None => Some(String::new()),
            },
            (Kind::Labelled, value) => number(value).map(|code| {
                let label = self.labels.label_for(&column.variable, code as i32);
                label.map_or_else(|| code.to_string(), str::to_owned)
            }),
            (Kind::Part(parts, letter), value) => number(value).map(|count| part(count, parts, letter)),
            _ => return Err(self.damaged("a column of text holds numbers")),
        })
    }
}

/// Returns the records of a file from the first on.
fn records(file: SpoolReader) -> std::result::Result<RecordReader<Bytes>, DtaError> {
    let reader = BufReader::with_capacity(1 << 20, file);
    let mut rest: CharacteristicReader<Bytes> =
        DtaReader::new().from_reader(reader).read_header()?.read_schema()?;
    rest.skip_to_end()?;
    rest.into_record_reader()
}

/// Reads value labels and long strings, which follow the records.
fn read_tables(
    file: SpoolReader,
    labels: &mut ValueLabelTable,
    texts: &mut LongStringTable,
) -> std::result::Result<(), DtaError> {
    let mut records = records(file)?;
    records.skip_to_end()?;
    let mut strings = records.into_long_string_reader()?;
    strings.read_remaining_into(texts)?;
    strings.into_value_label_reader()?.read_remaining_into(labels)
}

/// Returns a value as a number, or `None` if it is missing or text.
fn number(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Byte(value) => value.present().map(f64::from),
        Value::Int(value) => value.present().map(f64::from),
        Value::Long(value) => value.present().map(f64::from),
        Value::Float(value) => value.present().map(f64::from),
        Value::Double(value) => value.present(),
        Value::String(_) | Value::LongStringRef(_) => None,
    }
}

/// Returns a count of months or quarters since 1960 as text.
fn part(count: f64, parts: i64, letter: char) -> String {
    let whole = count.floor() as i64;
    if whole == 0 || count != count.floor() {
        return count.to_string();
    }
    let all = 1960 * parts + whole;
    format!("{}{letter}{}", all.div_euclid(parts), all.rem_euclid(parts) + 1)
}

/// The builder of a column.
enum Builder {
    Integer(Int32Builder),
    Single(Float32Builder),
    Double(Float64Builder),
    Text(StringBuilder),
    Day(Date32Builder),
    Instant(TimestampMillisecondBuilder),
}

impl Builder {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Integer => Self::Integer(Int32Builder::new()),
            Kind::Single => Self::Single(Float32Builder::new()),
            Kind::Double => Self::Double(Float64Builder::new()),
            Kind::Text | Kind::Labelled | Kind::Part(..) => Self::Text(StringBuilder::new()),
            Kind::Day => Self::Day(Date32Builder::new()),
            Kind::Instant => Self::Instant(TimestampMillisecondBuilder::new()),
        }
    }

    fn add(&mut self, decoder: &StataDecoder, column: &Column, value: &Value<'_>) -> Result<()> {
        let own = number(value);
        match self {
            Self::Integer(out) => out.append_option(own.map(|value| value as i32)),
            Self::Single(out) => out.append_option(own.map(|value| value as f32)),
            Self::Double(out) => out.append_option(own),
            Self::Text(out) => out.append_option(decoder.text(column, value)?),
            Self::Day(out) => out.append_option(own.map(|day| (day - DAYS_BEFORE_1970).floor() as i32)),
            Self::Instant(out) => {
                out.append_option(own.map(|time| (time - DAYS_BEFORE_1970 * DAY).floor() as i64));
            }
        }
        Ok(())
    }

    fn take(&mut self) -> ArrayRef {
        match self {
            Self::Integer(out) => Arc::new(out.finish()),
            Self::Single(out) => Arc::new(out.finish()),
            Self::Double(out) => Arc::new(out.finish()),
            Self::Text(out) => Arc::new(out.finish()),
            Self::Day(out) => Arc::new(out.finish()),
            Self::Instant(out) => Arc::new(out.finish()),
        }
    }
}

impl Decoder for StataDecoder {
    fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn next(&mut self) -> Result<Option<RecordBatch>> {
        let mut builders: Vec<Builder> =
            self.columns.iter().map(|column| Builder::new(column.kind)).collect();
        let mut rows = 0;
        while rows < BATCH_ROWS {
            let name = &self.name;
            let broken = |error: DtaError| damaged(name, TableFormat::Stata, &error.to_string());
            let record = self.records.read_lazy_record().map_err(broken)?;
            let Some(record) = record else { break };
            let values: std::result::Result<Vec<Value<'static>>, DtaError> =
                self.columns.iter().map(|column| record.value(column.place).map(owned)).collect();
            let values = values.map_err(broken)?;
            for ((builder, column), value) in builders.iter_mut().zip(&self.columns).zip(&values) {
                builder.add(self, column, value)?;
            }
            rows += 1;
        }
        if rows == 0 {
            return Ok(None);
        }
        let arrays = builders.iter_mut().map(Builder::take).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options);
        batch.map(Some).map_err(|error| self.damaged(&error.to_string()))
    }
}

/// Returns a value that outlives its record.
fn owned(value: Value<'_>) -> Value<'static> {
    match value {
        Value::String(text) => Value::String(std::borrow::Cow::Owned(text.into_owned())),
        Value::Byte(value) => Value::Byte(value),
        Value::Int(value) => Value::Int(value),
        Value::Long(value) => Value::Long(value),
        Value::Float(value) => Value::Float(value),
        Value::Double(value) => Value::Double(value),
        Value::LongStringRef(place) => Value::LongStringRef(place),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_and_quarters_count_from_1960() {
        for (count, text) in
            [(0.0, "0"), (1.0, "1960m2"), (-1.0, "1959m12"), (720.0, "2020m1"), (731.0, "2020m12")]
        {
            assert_eq!(part(count, 12, 'm'), text);
        }
        assert_eq!((part(240.0, 4, 'q'), part(243.0, 4, 'q')), ("2020q1".to_owned(), "2020q4".to_owned()));
    }
}
