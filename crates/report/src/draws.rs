//! `draws.parquet`: the bootstrap draws of the extended columns.
//!
//! Up to [`MAX_VCOV_CELLS`] extended columns each is a column of the file, and a draw is a row. Thousands of columns of a
//! thousand numbers would be thousands of small pieces, slow to write and badly compressed; more columns are therefore
//! written one row a number, the draws of one extended column after those of another:
//!
//! | `column` | `draw` | `value` |
//! |---|---|---|
//! | position of the extended column, from 0 | number of the draw, from 0 | the draw |

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, UInt32Type};
use arrow_array::{Array, ArrayRef, Float64Array, RecordBatch, UInt32Array};
use arrow_schema::{DataType, Field, Schema};
use faer::Mat;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;
use stagger_model::failure::Failure;
use stagger_model::result::{MAX_VCOV_CELLS, SavedResult};
use stagger_storage::disk;

use super::checksums::VerifiedFolder;
use super::doubles::ResultColumns;
use super::folder::RESULT;
use super::tabular::{RUN_KEY, extended_names, fingerprint};

/// File of the bootstrap draws.
pub const DRAWS: &str = "draws.parquet";

/// Names of the columns where a row is a number.
const COLUMNS: [&str; 3] = ["column", "draw", "value"];

/// Numbers in a page, where a row is a number. The bytes of one place of all its numbers then fill one block of the
/// compression: places full of noise are stored as they are, and the others get a code of their own.
const PAGE: usize = 128 << 10;

/// Writes the draws, a matrix of draws × extended columns.
///
/// # Errors
/// Draws that are not those of the result, and those of the file system.
pub fn write(saved: &SavedResult, draws: &Mat<f64>, file: File) -> Result<File, ParquetError> {
    let names = extended_names(saved);
    if names.len() != draws.ncols() {
        return Err(ParquetError::General(format!(
            "the draws have {} columns and the result {}",
            draws.ncols(),
            names.len()
        )));
    }
    match saved.extended.has_separate_covariance() {
        true => write_numbers(saved, draws, file),
        false => write_columns(saved, names, draws, file),
    }
}

fn properties(saved: &SavedResult) -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_dictionary_enabled(false)
        // Nobody asks for bounds of draws.
        .set_statistics_enabled(EnabledStatistics::None)
        .set_key_value_metadata(Some(vec![KeyValue::new(RUN_KEY.to_owned(), fingerprint(saved))]))
}

/// Opens a writer of columns that need no schema of Arrow's beside Parquet's.
fn writer(
    schema: &Arc<Schema>,
    properties: WriterProperties,
    file: File,
) -> Result<ArrowWriter<File>, ParquetError> {
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    ArrowWriter::try_new_with_options(file, Arc::clone(schema), options)
}

/// Writes one row a draw and one column an extended column.
fn write_columns(
    saved: &SavedResult,
    names: Vec<String>,
    draws: &Mat<f64>,
    file: File,
) -> Result<File, ParquetError> {
    let fields: Vec<Field> =
        names.into_iter().map(|name| Field::new(name, DataType::Float64, false)).collect();
    let schema = Arc::new(Schema::new(fields));
    let columns: Vec<ArrayRef> = (0..draws.ncols())
        .map(|j| Arc::new(draws.col(j).iter().copied().collect::<Float64Array>()) as ArrayRef)
        .collect();
    let properties = properties(saved).set_encoding(Encoding::BYTE_STREAM_SPLIT).build();
    let mut writer = writer(&schema, properties, file)?;
    writer.write(&RecordBatch::try_new(schema, columns)?)?;
    writer.into_inner()
}

/// Writes one row a number.
fn write_numbers(saved: &SavedResult, draws: &Mat<f64>, file: File) -> Result<File, ParquetError> {
    let types = [DataType::UInt32, DataType::UInt32, DataType::Float64];
    let fields: Vec<Field> =
        COLUMNS.iter().zip(types).map(|(name, kind)| Field::new(*name, kind, false)).collect();
    let schema = Arc::new(Schema::new(fields));
    let properties = properties(saved)
        .set_encoding(Encoding::DELTA_BINARY_PACKED)
        .set_column_encoding(ColumnPath::from(COLUMNS[2]), Encoding::BYTE_STREAM_SPLIT)
        .set_data_page_row_count_limit(PAGE)
        .set_data_page_size_limit(PAGE * size_of::<f64>())
        .build();
    let mut writer = writer(&schema, properties, file)?;
    let rows = draws.nrows().max(1);
    let count = draws.nrows() * draws.ncols();
    for first in (0..count).step_by(PAGE) {
        let own = first..(first + PAGE).min(count);
        let columns = own.clone().map(|at| (at / rows) as u32);
        let numbers = own.clone().map(|at| (at % rows) as u32);
        let values = own.map(|at| draws[(at % rows, at / rows)]);
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from_iter_values(columns)),
            Arc::new(UInt32Array::from_iter_values(numbers)),
            Arc::new(Float64Array::from_iter_values(values)),
        ];
        writer.write(&RecordBatch::try_new(Arc::clone(&schema), arrays)?)?;
    }
    writer.into_inner()
}

/// Reads the draws and checks that they belong to the result.
///
/// # Errors
/// A file that is not there, damaged, or of another run.
pub fn read(file: &Path, saved: &SavedResult, checked: &VerifiedFolder) -> Result<Mat<f64>, Failure> {
    let (mut open, _) = disk::open_regular(file).map_err(|source| {
        Failure::read(file, &source)
            .hint(format!("the run had bstrap: its {DRAWS} must stand beside {RESULT}"))
            .hint("run it again with --out, or with --bstrap false for analytic standard errors")
    })?;
    checked.compare_file(DRAWS, &mut open)?;
    let found = ResultColumns::open(file, open, saved)?;
    let names = extended_names(saved);
    let biters = saved.extended.spec.biters;
    // Earlier versions wrote columns however many there were.
    if names.len() > MAX_VCOV_CELLS && found.names().eq(COLUMNS) {
        return read_numbers(&found, biters, names.len());
    }
    if found.names().len() != names.len() || found.names().zip(&names).any(|(found, name)| found != name) {
        return Err(found.damaged("its columns are not those of the result"));
    }
    let rows = found.rows();
    if rows != biters {
        return Err(found.damaged(&format!("it has {rows} draws, the run had {biters}")));
    }
    let mut draws = Mat::zeros(rows, names.len());
    found.read(|first, column, values| {
        for (row, value) in (first..).zip(values) {
            draws[(row, column)] = *value;
        }
    })?;
    Ok(draws)
}

/// Reads `biters` × `columns` draws that are written one row a number.
fn read_numbers(found: &ResultColumns, biters: usize, columns: usize) -> Result<Mat<f64>, Failure> {
    let (rows, expected) = (found.rows(), biters * columns);
    if rows != expected {
        return Err(found.damaged(&format!("it has {rows} numbers, the run had {expected}")));
    }
    let mut draws = Mat::zeros(biters, columns);
    let mut at = 0;
    found.read_batches(|batch| {
        let place = |index: usize| batch.column(index).as_primitive_opt::<UInt32Type>();
        let value = batch.column(2).as_primitive_opt::<Float64Type>().filter(|own| own.null_count() == 0);
        let (Some(column), Some(draw), Some(value)) = (place(0), place(1), value) else {
            return Err("its columns are not column, draw and value".to_owned());
        };
        for ((column, draw), value) in column.values().iter().zip(draw.values()).zip(value.values()) {
            let (row, own) = (at % biters, at / biters);
            if (*draw as usize, *column as usize) != (row, own) {
                return Err(format!("row {at} is draw {draw} of column {column}, expected {row} of {own}"));
            }
            draws[(row, own)] = *value;
            at += 1;
        }
        Ok(())
    })?;
    Ok(draws)
}

#[cfg(test)]
mod tests {
    use stagger_estimator::inference::Covariance;
    use stagger_estimator::symmetric::Symmetric;
    use stagger_model::result::Num;
    use stagger_test_support::results;

    use super::*;

    /// A result with `cells` cells and its draws.
    fn result(cells: usize) -> (SavedResult, Mat<f64>) {
        let mut saved: SavedResult = results::bootstrap();
        saved.extended.spec.biters = 900;
        let own = &mut saved.result.att_gt;
        own.group = (0..cells).map(|cell| Num(2000.0 + cell as f64)).collect();
        own.time = own.group.clone();
        let columns = 1 + saved.extended.groups.len() + cells;
        let zeros = Symmetric::from_triangle(columns, vec![0.0; columns * (columns + 1) / 2]);
        saved.extended.covariance = Covariance::Dense(zeros.unwrap());
        let draws =
            Mat::from_fn(saved.extended.spec.biters, columns, |i, j| (i as f64 - 7.5) * (j as f64 + 0.1));
        (saved, draws)
    }

    #[test]
    fn draws_are_the_same_again_in_columns_and_in_numbers() {
        for (cells, columns) in [(20, 24), (700, 3)] {
            let (saved, draws) = result(cells);
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(DRAWS);
            write(&saved, &draws, File::create(&path).unwrap()).unwrap();
            let found = ResultColumns::open(&path, File::open(&path).unwrap(), &saved).unwrap();
            assert_eq!(found.names().len(), columns);
            assert_eq!(read(&path, &saved, &VerifiedFolder::unverified(folder.path())).unwrap(), draws);
        }
    }

    #[test]
    fn many_columns_of_an_earlier_version_are_read() {
        let (saved, draws) = result(700);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(DRAWS);
        write_columns(&saved, extended_names(&saved), &draws, File::create(&path).unwrap()).unwrap();
        assert_eq!(read(&path, &saved, &VerifiedFolder::unverified(folder.path())).unwrap(), draws);
    }

    #[test]
    fn numbers_that_are_missing_or_at_another_place_are_refused() {
        let (saved, draws) = result(700);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(DRAWS);
        let message = |draws: &Mat<f64>| {
            write_numbers(&saved, draws, File::create(&path).unwrap()).unwrap();
            let error = read(&path, &saved, &VerifiedFolder::unverified(folder.path())).unwrap_err();
            error.to_string().lines().next().unwrap_or_default().replace(&path.display().to_string(), "FILE")
        };
        let (rows, columns) = (draws.nrows(), draws.ncols());
        assert_eq!(
            message(&draws.get(.., ..columns - 1).to_owned()),
            format!(
                "error: FILE is damaged: it has {} numbers, the run had {}",
                rows * (columns - 1),
                rows * columns
            )
        );
        // As many numbers, but otherwise arranged.
        assert_eq!(
            message(&draws.transpose().to_owned()),
            format!("error: FILE is damaged: row {columns} is draw 0 of column 1, expected {columns} of 0")
        );
    }
}
