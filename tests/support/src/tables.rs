//! Reads, changes and writes small tables.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow_cast::cast;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, Field, Schema};
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;

/// Reads a whole Parquet file.
pub fn read_parquet(path: &Path) -> RecordBatch {
    let file = File::open(path).unwrap_or_else(|e| panic!("can't open {}: {e}", path.display()));
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap_or_else(|e| panic!("can't read {}: {e}", path.display()));
    let schema = Arc::clone(builder.schema());
    let reader = builder.with_batch_size(1 << 16).build().expect("a reader over an open file");
    let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>().expect("the fixture decodes");
    concat_batches(&schema, &batches).expect("batches of one file have one schema")
}

/// Writes a table as Parquet with the writer's defaults.
pub fn write_parquet(path: &Path, table: &RecordBatch) {
    write_parquet_with(path, table, WriterProperties::builder().build());
}

/// Writes a table as Parquet.
pub fn write_parquet_with(path: &Path, table: &RecordBatch, properties: WriterProperties) {
    let file = File::create(path).unwrap_or_else(|e| panic!("can't write {}: {e}", path.display()));
    let mut writer =
        ArrowWriter::try_new(file, table.schema(), Some(properties)).expect("a writer over the schema");
    writer.write(table).expect("a batch of the writer's schema");
    writer.close().expect("the file's footer");
}

/// Writes a table as CSV, missing values as empty fields.
pub fn write_csv(path: &Path, table: &RecordBatch) {
    let options = FormatOptions::default();
    let columns: Vec<ArrayFormatter<'_>> = table
        .columns()
        .iter()
        .map(|array| ArrayFormatter::try_new(array, &options).expect("a batch of plain columns"))
        .collect();
    let mut lines: Vec<String> =
        vec![table.schema().fields().iter().map(|field| quoted(field.name())).collect::<Vec<_>>().join(",")];
    lines.extend((0..table.num_rows()).map(|row| {
        columns.iter().map(|column| quoted(&column.value(row).to_string())).collect::<Vec<_>>().join(",")
    }));
    lines.push(String::new());
    fs::write(path, lines.join("\n")).unwrap_or_else(|e| panic!("can't write {}: {e}", path.display()));
}

/// A field of a CSV file, in quotes where it needs them.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

/// A table of named columns.
pub fn table(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .expect("columns of equal length")
}

/// A column of integers.
pub fn ints(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

/// A column of numbers.
pub fn floats(values: impl IntoIterator<Item = f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(values))
}

/// A column of strings.
pub fn texts(values: impl IntoIterator<Item = String>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

/// A column of the table.
#[track_caller]
pub fn column(table: &RecordBatch, name: &str) -> ArrayRef {
    Arc::clone(table.column_by_name(name).unwrap_or_else(|| panic!("the table has no column {name}")))
}

/// A numeric column as numbers; missing values as NaN.
#[track_caller]
pub fn numbers(table: &RecordBatch, name: &str) -> Vec<f64> {
    numbers_of(&column(table, name))
}

/// A numeric array as numbers; missing values as NaN.
pub fn numbers_of(array: &ArrayRef) -> Vec<f64> {
    let array = cast(array, &DataType::Float64).expect("a numeric column");
    let array = array.as_any().downcast_ref::<Float64Array>().expect("cast to Float64");
    (0..array.len()).map(|i| if array.is_null(i) { f64::NAN } else { array.value(i) }).collect()
}

/// The table with one column replaced, or added at the end.
pub fn with_column(table: &RecordBatch, name: &str, array: ArrayRef) -> RecordBatch {
    let mut fields: Vec<Arc<Field>> = table.schema().fields().iter().map(Arc::clone).collect();
    let mut columns = table.columns().to_vec();
    let field = Arc::new(Field::new(name, array.data_type().clone(), true));
    match table.schema().index_of(name) {
        Ok(i) => (fields[i], columns[i]) = (field, array),
        Err(_) => {
            fields.push(field);
            columns.push(array);
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("a column as long as the table")
}

/// The table with one column in another type.
#[track_caller]
pub fn with_type(table: &RecordBatch, name: &str, to: &DataType) -> RecordBatch {
    let array = cast(&column(table, name), to).unwrap_or_else(|e| panic!("{name} as {to}: {e}"));
    with_column(table, name, array)
}

/// The table without one column.
#[track_caller]
pub fn without_column(table: &RecordBatch, name: &str) -> RecordBatch {
    let mut table = table.clone();
    table.remove_column(table.schema().index_of(name).expect("the column to remove"));
    table
}

/// A numeric column changed value by value; `change` sees the row's number and value.
#[track_caller]
pub fn with_values(table: &RecordBatch, name: &str, change: impl Fn(usize, f64) -> f64) -> RecordBatch {
    let values = numbers(table, name);
    with_column(table, name, floats(values.iter().enumerate().map(|(row, &v)| change(row, v))))
}

/// The rows with these numbers, in this order.
pub fn rows(table: &RecordBatch, numbers: impl IntoIterator<Item = usize>) -> RecordBatch {
    let numbers = UInt64Array::from_iter_values(numbers.into_iter().map(|row| row as u64));
    take_record_batch(table, &numbers).expect("row numbers within the table")
}

/// The rows where `keep` holds of the column's value.
#[track_caller]
pub fn rows_where(table: &RecordBatch, name: &str, keep: impl Fn(f64) -> bool) -> RecordBatch {
    let values = numbers(table, name);
    rows(table, (0..values.len()).filter(|&row| keep(values[row])))
}

/// Whether every unit that is left after rows with missing values in `columns` are dropped has every period.
pub fn is_balanced(table: &RecordBatch, id: &str, time: &str, columns: &[String]) -> bool {
    let used: Vec<Vec<f64>> = columns
        .iter()
        .filter(|name| table.column_by_name(name).is_some_and(|array| array.data_type().is_numeric()))
        .map(|name| numbers(table, name))
        .collect();
    let (ids, times) = (numbers(table, id), numbers(table, time));
    let kept: Vec<usize> =
        (0..ids.len()).filter(|&row| used.iter().all(|values| values[row].is_finite())).collect();
    let distinct =
        |values: &[f64]| kept.iter().map(|&row| values[row].to_bits()).collect::<BTreeSet<_>>().len();
    kept.len() == distinct(&ids) * distinct(&times)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square() -> RecordBatch {
        table(vec![
            ("id", ints([1, 1, 2, 2])),
            ("time", ints([1, 2, 1, 2])),
            ("y", floats([1.0, 2.0, 3.0, 4.0])),
        ])
    }

    #[test]
    fn parquet_round_trip() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("square.parquet");
        write_parquet(&path, &square());
        assert_eq!(read_parquet(&path), square());
    }

    #[test]
    fn a_missing_value_unbalances() {
        let all = ["id", "time", "y"].map(str::to_owned);
        assert!(is_balanced(&square(), "id", "time", &all));
        let holed = with_values(&square(), "y", |row, v| if row == 2 { f64::NAN } else { v });
        assert!(!is_balanced(&holed, "id", "time", &all));
        assert!(is_balanced(&holed, "id", "time", &all[..2]));
    }

    #[test]
    fn rows_can_be_chosen() {
        assert_eq!(numbers(&rows(&square(), [3, 0]), "y"), [4.0, 1.0]);
        assert_eq!(numbers(&rows_where(&square(), "time", |t| t == 2.0), "id"), [1.0, 2.0]);
    }
}
