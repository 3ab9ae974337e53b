//! Parquet files that belong to a result: its draws, its covariance.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, RecordBatch};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use stagger_model::error::StaggerError;
use stagger_model::failure::Failure;
use stagger_model::result::SavedResult;
use stagger_records::parquet_file;
use stagger_records::parquet_file::{LocalFile, RowRequest};

use super::folder::RESULT;
use super::tabular::{RUN_KEY, fingerprint};

/// Rows decoded at a time.
const BATCH: usize = 1 << 16;

/// An opened Parquet file of a result.
pub struct ResultColumns {
    path: PathBuf,
    file: LocalFile,
    metadata: ArrowReaderMetadata,
}

impl ResultColumns {
    /// Opens the file of a result.
    ///
    /// # Errors
    /// A file that is damaged, or of another run.
    pub fn open(path: &Path, file: File, saved: &SavedResult) -> Result<Self, Failure> {
        let size = file.metadata().map_err(|source| Failure::read(path, &source))?.len();
        let file = LocalFile::new(file, size);
        let metadata =
            parquet_file::read_footer(&file).map_err(|damage| damaged(path, &damage.to_string()))?;
        let run = metadata.metadata().file_metadata().key_value_metadata();
        let run = run.and_then(|pairs| pairs.iter().find(|pair| pair.key == RUN_KEY)?.value.clone());
        if run.as_deref() != Some(fingerprint(saved).as_str()) {
            return Err(Failure::input(format!("{} belongs to another run than {RESULT}", path.display()))
                .hint("run it again with --out"));
        }
        Ok(Self { path: path.to_owned(), file, metadata })
    }

    /// Returns the failure of a damaged file.
    pub fn damaged(&self, reason: &str) -> Failure {
        damaged(&self.path, reason)
    }

    /// Names of its columns.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &String> {
        self.metadata.schema().fields().iter().map(|field| field.name())
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        usize::try_from(self.metadata.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// Reads all columns, which are doubles, some rows at a time: `each(first row, column, its values)`.
    ///
    /// # Errors
    /// A file that is damaged.
    pub fn read(&self, mut each: impl FnMut(usize, usize, &[f64])) -> Result<(), Failure> {
        let mut first = 0;
        self.read_batches(|batch| {
            for (column, array) in batch.columns().iter().enumerate() {
                let values = array.as_primitive_opt::<Float64Type>().filter(|own| own.null_count() == 0);
                each(first, column, values.ok_or("its columns are not doubles")?.values());
            }
            first += batch.num_rows();
            Ok(())
        })
    }

    /// Reads all columns, some rows at a time; `each` says what is wrong with them.
    ///
    /// # Errors
    /// A file that is damaged.
    pub fn read_batches(
        &self,
        mut each: impl FnMut(&RecordBatch) -> Result<(), String>,
    ) -> Result<(), Failure> {
        let roots: Vec<usize> = (0..self.names().len()).collect();
        for (row_group, group) in self.metadata.metadata().row_groups().iter().enumerate() {
            let request = RowRequest {
                metadata: &self.metadata,
                size: self.file.size(),
                row_group,
                roots: &roots,
                rows: 0..usize::try_from(group.num_rows()).unwrap_or(0),
                batch_rows: BATCH,
                repeating: &[],
            };
            let broken = |damage: &parquet_file::Damage| StaggerError::input(damage.to_string());
            let read = parquet_file::decode_rows(self.file.clone(), &request, broken, |batch| {
                each(batch).map_err(StaggerError::input)
            });
            read.map_err(|error| self.damaged(&error.to_string()))?;
        }
        Ok(())
    }
}

fn damaged(path: &Path, reason: &str) -> Failure {
    Failure::input(format!("{} is damaged: {reason}", path.display())).hint("run it again with --out")
}
