//! `covariance.parquet`: the covariance of the extended columns where it is too large for `result.json`.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use stagger_estimator::inference::Covariance;
use stagger_estimator::symmetric::Symmetric;
use stagger_model::failure::Failure;
use stagger_model::result::SavedResult;
use stagger_storage::disk;

use super::checksums::VerifiedFolder;
use super::doubles::ResultColumns;
use super::factor;
use super::folder::RESULT;
use super::tabular::{RUN_KEY, fingerprint};

/// File of the covariance of more than [`stagger_model::result::MAX_VCOV_CELLS`] columns.
pub const COVARIANCE: &str = "covariance.parquet";

/// Entries in one batch.
const BATCH: usize = 1 << 16;

/// Writes the covariance: its factor, or the lower triangle, row by row, as one column of doubles.
///
/// # Errors
/// Those of the file system.
pub fn write(saved: &SavedResult, file: File) -> Result<File, ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_key_value_metadata(Some(vec![KeyValue::new(RUN_KEY.to_owned(), fingerprint(saved))]));
    let matrix = match &saved.extended.covariance {
        Covariance::Factored(factor) => {
            let doubles = ColumnPath::from("value");
            let properties = properties
                .set_column_dictionary_enabled(doubles.clone(), false)
                .set_column_encoding(doubles, Encoding::BYTE_STREAM_SPLIT);
            return factor::write(factor, file, properties.build());
        }
        Covariance::Dense(matrix) => matrix,
    };
    let properties =
        properties.set_dictionary_enabled(false).set_encoding(Encoding::BYTE_STREAM_SPLIT).build();
    let schema = Arc::new(Schema::new(vec![Field::new("covariance", DataType::Float64, false)]));
    let mut writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties))?;
    for batch in matrix.triangle().chunks(BATCH) {
        let column: ArrayRef = Arc::new(Float64Array::from_iter_values(batch.iter().copied()));
        writer.write(&RecordBatch::try_new(Arc::clone(&schema), vec![column])?)?;
    }
    writer.into_inner()
}

/// Reads the covariance of `columns` extended columns.
///
/// # Errors
/// A file that is not there, damaged, or of another run.
pub fn read(
    path: &Path,
    saved: &SavedResult,
    columns: usize,
    checked: &VerifiedFolder,
) -> Result<Covariance, Failure> {
    let (mut open, _) = disk::open_regular(path).map_err(|source| {
        Failure::read(path, &source)
            .hint(format!("a result of many cells keeps its covariance in {COVARIANCE}, beside {RESULT}"))
    })?;
    checked.compare_file(COVARIANCE, &mut open)?;
    let found = ResultColumns::open(path, open, saved)?;
    if found.names().eq(factor::COLUMNS) {
        return Ok(Covariance::Factored(Box::new(factor::read(&found, columns)?)));
    }
    let expected = columns * (columns + 1) / 2;
    if found.names().len() != 1 || found.rows() != expected {
        let (columns, rows) = (found.names().len(), found.rows());
        return Err(
            found.damaged(&format!("it has {rows} entries in {columns} columns, expected {expected} in one"))
        );
    }
    let mut values = Vec::with_capacity(expected);
    found.read(|_, _, own| values.extend_from_slice(own))?;
    Symmetric::from_triangle(columns, values)
        .map(Covariance::Dense)
        .ok_or_else(|| found.damaged(&format!("it has not {expected} entries")))
}

#[cfg(test)]
mod tests {
    use stagger_test_support::results;

    use super::*;

    #[test]
    fn a_triangle_is_the_whole_matrix_again() {
        let saved = results::bootstrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(COVARIANCE);
        write(&saved, File::create(&path).unwrap()).unwrap();
        let columns = saved.extended.covariance.size();
        assert_eq!(
            read(&path, &saved, columns, &VerifiedFolder::unverified(folder.path())).unwrap(),
            saved.extended.covariance
        );
    }

    #[test]
    fn another_run_and_another_size_are_refused() {
        let saved = results::bootstrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(COVARIANCE);
        write(&saved, File::create(&path).unwrap()).unwrap();
        let columns = saved.extended.covariance.size();
        let text = read(&path, &saved, columns + 1, &VerifiedFolder::unverified(folder.path()))
            .unwrap_err()
            .to_string();
        assert!(text.contains("has 136 entries in 1 columns, expected 153"), "{text}");
        let mut other = saved.clone();
        other.result.n += 1;
        let text =
            read(&path, &other, columns, &VerifiedFolder::unverified(folder.path())).unwrap_err().to_string();
        assert!(text.contains("belongs to another run"), "{text}");
        std::fs::remove_file(&path).unwrap();
        let text =
            read(&path, &saved, columns, &VerifiedFolder::unverified(folder.path())).unwrap_err().to_string();
        assert!(text.contains(COVARIANCE), "{text}");
    }
}
