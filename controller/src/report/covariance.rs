//! `covariance.parquet`: the covariance of the extended columns where it is too large for `result.json`.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array};
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use stagger_engine::disk;
use stagger_engine::result::SavedResult;
use stagger_estimator::symmetric::Symmetric;

use super::checksums::Checked;
use super::folder::RESULT;
use super::tabular::{RUN_KEY, fingerprint};
use crate::failure::Failure;

/// File of the covariance of more than [`stagger_engine::result::MOST_VCOV`] columns.
pub(crate) const COVARIANCE: &str = "covariance.parquet";

/// Entries in one batch.
const BATCH: usize = 1 << 16;

/// Writes the lower triangle, row by row, as one column of doubles.
pub(crate) fn write(saved: &SavedResult, file: File) -> Result<File, ParquetError> {
    let schema = Arc::new(Schema::new(vec![Field::new("covariance", DataType::Float64, false)]));
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_dictionary_enabled(false)
        .set_encoding(Encoding::BYTE_STREAM_SPLIT)
        .set_key_value_metadata(Some(vec![KeyValue::new(RUN_KEY.to_owned(), fingerprint(saved))]))
        .build();
    let mut writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties))?;
    for batch in saved.extended.covariance.triangle().chunks(BATCH) {
        let column: ArrayRef = Arc::new(Float64Array::from_iter_values(batch.iter().copied()));
        writer.write(&RecordBatch::try_new(Arc::clone(&schema), vec![column])?)?;
    }
    writer.into_inner()
}

/// Reads the covariance of `columns` extended columns, both triangles.
pub(crate) fn read(
    path: &Path,
    saved: &SavedResult,
    columns: usize,
    checked: &Checked,
) -> Result<Symmetric, Failure> {
    let (mut open, _) = disk::open(path).map_err(|source| {
        Failure::read(path, &source)
            .hint(format!("a result of many cells keeps its covariance in {COVARIANCE}, beside {RESULT}"))
    })?;
    checked.compare_file(COVARIANCE, &mut open)?;
    let damaged = |reason: String| Failure::input(format!("{} is damaged: {reason}", path.display()));
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(open).map_err(|error| damaged(error.to_string()))?;
    let run = builder.metadata().file_metadata().key_value_metadata();
    let run = run.and_then(|pairs| pairs.iter().find(|pair| pair.key == RUN_KEY)?.value.clone());
    if run.as_deref() != Some(fingerprint(saved).as_str()) {
        return Err(Failure::input(format!("{} belongs to another run than {RESULT}", path.display()))
            .hint("run it again with --out"));
    }
    let expected = columns * (columns + 1) / 2;
    let found = usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    if found != expected {
        return Err(damaged(format!("it has {found} entries, expected {expected}")));
    }
    let values = fill(builder, expected).map_err(damaged)?;
    Symmetric::from_triangle(columns, values).ok_or_else(|| damaged(format!("it has not {expected} entries")))
}

fn fill(builder: ParquetRecordBatchReaderBuilder<File>, expected: usize) -> Result<Vec<f64>, String> {
    let mut values = Vec::with_capacity(expected);
    for batch in builder.build().map_err(|error| error.to_string())? {
        let batch = batch.map_err(|error| error.to_string())?;
        let column = batch.columns().first().and_then(|column| column.as_primitive_opt::<Float64Type>());
        values.extend_from_slice(column.ok_or("its column is not of doubles")?.values());
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_triangle_is_the_whole_matrix_again() {
        let saved = fixture::bootstrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(COVARIANCE);
        write(&saved, File::create(&path).unwrap()).unwrap();
        let columns = saved.extended.covariance.size();
        assert_eq!(
            read(&path, &saved, columns, &Checked::nothing(folder.path())).unwrap(),
            saved.extended.covariance
        );
    }

    #[test]
    fn another_run_and_another_size_are_refused() {
        let saved = fixture::bootstrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(COVARIANCE);
        write(&saved, File::create(&path).unwrap()).unwrap();
        let columns = saved.extended.covariance.size();
        let text =
            read(&path, &saved, columns + 1, &Checked::nothing(folder.path())).unwrap_err().to_string();
        assert!(text.contains("has 136 entries, expected 153"), "{text}");
        let mut other = saved.clone();
        other.result.n += 1;
        let text = read(&path, &other, columns, &Checked::nothing(folder.path())).unwrap_err().to_string();
        assert!(text.contains("belongs to another run"), "{text}");
        std::fs::remove_file(&path).unwrap();
        let text = read(&path, &saved, columns, &Checked::nothing(folder.path())).unwrap_err().to_string();
        assert!(text.contains(COVARIANCE), "{text}");
    }
}
