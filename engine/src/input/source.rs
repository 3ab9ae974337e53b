//! Opened input: schemas checked against each other, rows cut into chunks, columns read on demand.

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::{DataType, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};

use super::csv;
use super::files::InputPath;
use crate::error::{EngineError, Result, closest};

/// Rows of a batch: a few hundred kilobytes of columns, so that a batch stays in the second cache.
const BATCH_ROWS: usize = 8192;

/// What a column's values are to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// Integers, floats, decimals, logicals.
    Number,
    /// Text, plain or dictionary.
    Text,
    /// Anything else: dates, lists, structs.
    Other,
}

/// A run of rows of one file, read as a whole by one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Index of the file.
    pub file: usize,
    /// Row group of a Parquet file.
    pub row_group: usize,
    /// Rows.
    pub rows: usize,
    /// Position of the first row in the file.
    pub first_row: u64,
}

enum Content {
    Parquet(ArrowReaderMetadata),
    Table(Vec<RecordBatch>),
}

struct SourceFile {
    input: InputPath,
    schema: SchemaRef,
    content: Content,
    bytes: u64,
}

/// All input files, opened.
pub struct Source {
    files: Vec<SourceFile>,
    chunks: Vec<Chunk>,
}

/// Kind of an Arrow type.
pub(super) fn kind_of(data_type: &DataType) -> ColumnKind {
    match data_type {
        DataType::Dictionary(_, values) => kind_of(values),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ColumnKind::Text,
        t if t.is_numeric() => ColumnKind::Number,
        DataType::Boolean | DataType::Null => ColumnKind::Number,
        _ => ColumnKind::Other,
    }
}

impl Source {
    /// Opens every file; CSV files are read whole, the columns `needed` only.
    pub fn open(inputs: Vec<InputPath>, needed: &[String]) -> Result<Self> {
        let mut files = Vec::with_capacity(inputs.len());
        for input in inputs {
            files.push(open_file(input, needed)?);
        }
        let mut source = Self { files, chunks: Vec::new() };
        source.chunks = source.cut();
        Ok(source)
    }

    fn cut(&self) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        for (file, opened) in self.files.iter().enumerate() {
            let rows: Vec<usize> = match &opened.content {
                Content::Parquet(meta) => {
                    meta.metadata().row_groups().iter().map(|g| g.num_rows() as usize).collect()
                }
                Content::Table(batches) => vec![batches.iter().map(RecordBatch::num_rows).sum()],
            };
            let mut first_row = 0;
            for (row_group, rows) in rows.into_iter().enumerate() {
                if rows > 0 {
                    chunks.push(Chunk { file, row_group, rows, first_row });
                }
                first_row += rows as u64;
            }
        }
        chunks
    }

    /// The chunks, in the order of files and rows.
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// Rows of all files.
    pub fn rows(&self) -> u64 {
        self.chunks.iter().map(|c| c.rows as u64).sum()
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.bytes).sum()
    }

    /// Names and sizes of the files, and rows of each.
    pub fn files(&self) -> Vec<(String, u64, u64)> {
        self.files
            .iter()
            .enumerate()
            .map(|(index, f)| {
                let rows = self.chunks.iter().filter(|c| c.file == index).map(|c| c.rows as u64).sum();
                (f.input.path.display().to_string(), f.bytes, rows)
            })
            .collect()
    }

    /// Path of a chunk's file, for messages.
    pub fn path(&self, chunk: &Chunk) -> String {
        self.files[chunk.file].input.path.display().to_string()
    }

    /// Names of all columns of the first file, those of its folders included.
    pub fn column_names(&self) -> Vec<String> {
        let Some(file) = self.files.first() else { return Vec::new() };
        let own = file.schema.fields().iter().map(|f| f.name().clone());
        own.chain(file.input.hive.iter().map(|(name, _)| name.clone())).collect()
    }

    /// Type of a column in the first file, as Arrow names it.
    pub fn type_name(&self, column: &str) -> Option<String> {
        let file = self.files.first()?;
        match file.schema.field_with_name(column) {
            Ok(field) => Some(field.data_type().to_string()),
            Err(_) => file.hive(column).map(|_| "folder name".to_owned()),
        }
    }

    /// Kind of a column, the same in every file.
    ///
    /// # Errors
    /// A file without the column (with the nearest names as a hint), or two files that disagree.
    pub fn kind(&self, argument: &str, column: &str) -> Result<ColumnKind> {
        let mut first: Option<(ColumnKind, String, String)> = None;
        for file in &self.files {
            let path = file.input.path.display().to_string();
            let (kind, name) = match file.schema.field_with_name(column) {
                Ok(field) => (kind_of(field.data_type()), field.data_type().to_string()),
                Err(_) => match file.hive(column) {
                    Some(value) => (hive_kind(value), "folder name".to_owned()),
                    None => return Err(self.missing(argument, column, file)),
                },
            };
            match &first {
                None => first = Some((kind, name, path)),
                Some((k, n, p)) if *k != kind => {
                    return Err(EngineError::input(format!(
                        "column `{column}` has type {n} in `{p}` but {name} in `{path}`"
                    ))
                    .with_hint("write the files with one schema"));
                }
                Some(_) => {}
            }
        }
        Ok(first.map_or(ColumnKind::Other, |(kind, _, _)| kind))
    }

    fn missing(&self, argument: &str, column: &str, file: &SourceFile) -> EngineError {
        let names: BTreeSet<&str> = file
            .schema
            .fields()
            .iter()
            .map(|f| f.name().as_str())
            .chain(file.input.hive.iter().map(|(n, _)| n.as_str()))
            .collect();
        let near = closest(column, names.iter().copied());
        let hint = if near.is_empty() {
            let all: Vec<_> = names.into_iter().take(30).collect();
            format!("the columns are {}", all.join(", "))
        } else {
            format!("did you mean {}", near.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(" or "))
        };
        EngineError::input(format!(
            "{argument}: the following variable is not in the data: `{column}` (file `{}`)",
            file.input.path.display()
        ))
        .with_hint(hint)
    }

    /// Reads columns of a chunk batch by batch: `each(first row within the chunk, columns in the order asked)`.
    pub fn read(
        &self,
        chunk: &Chunk,
        columns: &[String],
        mut each: impl FnMut(usize, &[ArrayRef]) -> Result<()>,
    ) -> Result<()> {
        let file = &self.files[chunk.file];
        let mut row = 0;
        let mut deliver = |batch: &RecordBatch| {
            let arrays = columns
                .iter()
                .map(|name| match batch.column_by_name(name) {
                    Some(array) => Ok(Arc::clone(array)),
                    None => file.hive_array(name, batch.num_rows()),
                })
                .collect::<Result<Vec<_>>>()?;
            each(row, &arrays)?;
            row += batch.num_rows();
            Ok(())
        };
        match &file.content {
            Content::Table(batches) => batches.iter().try_for_each(&mut deliver),
            Content::Parquet(meta) => {
                let broken = |e: &dyn std::fmt::Display| {
                    EngineError::input(format!(
                        "`{}`: row group {} can't be read: {e}",
                        file.input.path.display(),
                        chunk.row_group
                    ))
                    .with_hint("the file may be truncated or damaged; write it again")
                };
                let handle = File::open(&file.input.path).map_err(|e| broken(&e))?;
                let schema = meta.parquet_schema();
                let roots: Vec<usize> = file
                    .schema
                    .fields()
                    .iter()
                    .enumerate()
                    .filter(|(_, field)| columns.iter().any(|c| c == field.name()))
                    .map(|(index, _)| index)
                    .collect();
                let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(handle, meta.clone())
                    .with_row_groups(vec![chunk.row_group])
                    .with_projection(ProjectionMask::roots(schema, roots))
                    .with_batch_size(BATCH_ROWS)
                    .build()
                    .map_err(|e| broken(&e))?;
                for batch in reader {
                    deliver(&batch.map_err(|e| broken(&e))?)?;
                }
                Ok(())
            }
        }
    }
}

impl SourceFile {
    fn hive(&self, column: &str) -> Option<&Option<String>> {
        self.input.hive.iter().find(|(name, _)| name == column).map(|(_, value)| value)
    }

    fn hive_array(&self, column: &str, rows: usize) -> Result<ArrayRef> {
        let value = self.hive(column).ok_or_else(|| {
            EngineError::input(format!("`{}` has no column `{column}`", self.input.path.display()))
        })?;
        Ok(match value {
            None => new_null_array(&DataType::Float64, rows),
            Some(text) => {
                if let Ok(integer) = text.parse::<i64>() {
                    Arc::new(Int64Array::from_value(integer, rows))
                } else if let Ok(number) = text.parse::<f64>() {
                    Arc::new(Float64Array::from_value(number, rows))
                } else {
                    Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, rows)))
                }
            }
        })
    }
}

fn hive_kind(value: &Option<String>) -> ColumnKind {
    match value {
        Some(text) if text.parse::<f64>().is_err() => ColumnKind::Text,
        _ => ColumnKind::Number,
    }
}

fn open_file(input: InputPath, needed: &[String]) -> Result<SourceFile> {
    let path = input.path.display().to_string();
    let extension = input.path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    let handle = File::open(&input.path).map_err(|e| EngineError::input(format!("`{path}`: {e}")))?;
    let bytes = handle.metadata().map_err(|e| EngineError::input(format!("`{path}`: {e}")))?.len();
    if bytes == 0 {
        return Err(EngineError::input(format!("`{path}`: the file is empty")));
    }
    if ["csv", "tsv", "txt"].contains(&extension.as_str()) {
        let (schema, batches) = csv::read(&input.path, needed)?;
        return Ok(SourceFile { input, schema, content: Content::Table(batches), bytes });
    }
    let meta = ArrowReaderMetadata::load(&handle, ArrowReaderOptions::new()).map_err(|e| {
        EngineError::input(format!("`{path}`: not a readable Parquet file: {}", first_line(&e.to_string())))
            .with_hint(
                "the file may be truncated, damaged or of another format; CSV files end in .csv or .tsv",
            )
    })?;
    Ok(SourceFile { input, schema: Arc::clone(meta.schema()), content: Content::Parquet(meta), bytes })
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim_start_matches("Parquet error: ").to_lowercase()
}
