//! One opened file: its schema, what it was when it was opened, and the columns that its folders carry.

use std::fs::{File, Metadata};
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Int32Array, StringArray, new_null_array};
use arrow::datatypes::{DataType, Int32Type, Schema, SchemaRef};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;

use super::csv::{self, CsvFile, Layout, Selection};
use super::fetched::Fetched;
use super::files::InputPath;
use super::remote::{Remote, failure};
use crate::error::{EngineError, Result};
use crate::parquet_file::{self, LocalFile};
use crate::store::{StoreErrorKind, local_etag};

/// Where a file's rows are, to be read when asked for: behind a footer, or in lines of text.
pub(super) enum Content {
    Parquet(ArrowReaderMetadata),
    Csv(CsvFile),
}

/// An opened file.
pub(super) struct SourceFile {
    pub(super) input: InputPath,
    pub(super) schema: SchemaRef,
    pub(super) content: Content,
    pub(super) bytes: u64,
    pub(super) fingerprint: String,
}

impl SourceFile {
    /// Opens a file: the footer of a Parquet file; a CSV file is looked through once.
    pub(super) fn open(input: InputPath, selection: &Selection) -> Result<Self> {
        Self::open_known(input, selection, None)
    }

    /// The same of a file that another process has looked through.
    pub(super) fn open_known(
        input: InputPath,
        selection: &Selection,
        known: Option<&Layout>,
    ) -> Result<Self> {
        if input.is_text() {
            return Self::open_text(input, selection, known);
        }
        match input.remote.clone() {
            Some(remote) => Self::open_remote(input, &remote),
            None => Self::open_local(input),
        }
    }

    fn open_text(input: InputPath, selection: &Selection, known: Option<&Layout>) -> Result<Self> {
        let (bytes, fingerprint) = match &input.remote {
            Some(remote) => remote.head().map(|info| (info.size, info.etag))?,
            None => open_local(&input).map(|(_, meta)| (meta.len(), local_etag(&meta)))?,
        };
        if bytes == 0 {
            return Err(empty(&input));
        }
        let layout = known.cloned().unwrap_or_default();
        let content = Content::Csv(CsvFile::new(layout));
        let mut file = Self { input, schema: Arc::new(Schema::empty()), content, bytes, fingerprint };
        let layout = match known {
            Some(layout) => layout.clone(),
            None => csv::open(&file, selection)?,
        };
        file.schema = Arc::new(layout.schema());
        file.content = Content::Csv(CsvFile::new(layout));
        Ok(file)
    }

    fn open_local(input: InputPath) -> Result<Self> {
        let (handle, meta) = open_local(&input)?;
        let (bytes, fingerprint) = (meta.len(), local_etag(&meta));
        if bytes == 0 {
            return Err(empty(&input));
        }
        let meta = parquet_file::open(&LocalFile::new(handle, bytes))
            .map_err(|damage| no_parquet(&input.name(), &damage.to_string()))?;
        let schema = Arc::clone(meta.schema());
        no_shard(&meta, &input.name())?;
        Ok(Self { input, schema, content: Content::Parquet(meta), bytes, fingerprint })
    }

    fn open_remote(input: InputPath, remote: &Remote) -> Result<Self> {
        let name = input.name();
        let (meta, info) = remote.footer(|reason| no_parquet(&name, reason))?;
        no_shard(&meta, &name)?;
        let (schema, content) = (Arc::clone(meta.schema()), Content::Parquet(meta));
        Ok(Self { input, schema, content, bytes: info.size, fingerprint: info.etag })
    }

    /// The file's bytes from `position` on, if it is still the one that was opened first.
    pub(super) fn stream(&self, position: u64) -> Result<Box<dyn Read + Send>> {
        if let Some(remote) = &self.input.remote {
            return Ok(Box::new(remote.stream(self.bytes, &self.fingerprint, position)));
        }
        let mut handle = self.handle()?;
        handle
            .seek(SeekFrom::Start(position))
            .map_err(|e| EngineError::input(format!("`{}`: {e}", self.input.name())))?;
        Ok(Box::new(handle))
    }

    /// Whether [`SourceFile::stream`] can start anywhere at little cost.
    pub(super) fn is_seekable(&self) -> bool {
        true
    }

    /// Ranges of a remote file, if it is still the one that was opened first.
    pub(super) fn fetch(&self, remote: &Remote, ranges: Vec<Range<u64>>) -> Result<Fetched> {
        remote.fetch(self.bytes, &self.fingerprint, ranges).map_err(|error| match error.kind {
            StoreErrorKind::Changed => self.changed(None),
            _ => failure(error),
        })
    }

    /// Opens a local file again, if it is still the one that was opened first.
    ///
    /// # Errors
    /// The file is gone, or was written since: its footer and what was read already may be another table's.
    pub(super) fn reopen(&self) -> Result<LocalFile> {
        Ok(LocalFile::new(self.handle()?, self.bytes))
    }

    fn handle(&self) -> Result<File> {
        let (handle, meta) = open_local(&self.input)?;
        if local_etag(&meta) == self.fingerprint {
            return Ok(handle);
        }
        Err(self.changed(Some(meta.len())))
    }

    /// The error for a file that is not what it was; `bytes` is its size now, where that is known.
    pub(super) fn changed(&self, bytes: Option<u64>) -> EngineError {
        let now = match bytes {
            Some(bytes) if bytes != self.bytes => {
                format!("had {} bytes when it was opened, now {bytes}", self.bytes)
            }
            Some(bytes) => format!("was written again since it was opened, with {bytes} bytes as before"),
            None => format!("had {} bytes when it was opened and was written again since", self.bytes),
        };
        EngineError::input(format!("the input changed during the run: `{}` {now}", self.input.name())).with_hint(
            "start again once the files are complete; results of two states of the data would be mixed otherwise",
        )
    }

    /// Value of a column that the folders' names carry.
    pub(super) fn hive(&self, column: &str) -> Option<&Option<String>> {
        self.input.hive.iter().find(|(name, _)| name == column).map(|(_, value)| value)
    }

    /// The same as so many rows.
    pub(super) fn hive_array(&self, column: &str, rows: usize) -> Result<ArrayRef> {
        let value = self
            .hive(column)
            .ok_or_else(|| EngineError::input(format!("`{}` has no column `{column}`", self.input.name())))?;
        let Some(text) = value else { return Ok(new_null_array(&DataType::Null, rows)) };
        let keys = Int32Array::from_value(0, rows);
        let values: ArrayRef = Arc::new(StringArray::from_iter_values([text]));
        let array = DictionaryArray::<Int32Type>::try_new(keys, values)
            .map_err(|e| EngineError::failed(format!("a folder's value is no column: {e}")))?;
        Ok(Arc::new(array))
    }
}

/// Refuses shards of a prepared store: as input their rows would count again, or be taken for another panel's.
fn no_shard(meta: &ArrowReaderMetadata, name: &str) -> Result<()> {
    let pairs = meta.metadata().file_metadata().key_value_metadata();
    if !pairs.is_some_and(|pairs| pairs.iter().any(|pair| pair.key == crate::panel_store::NOTE)) {
        return Ok(());
    }
    Err(EngineError::input(format!("`{name}` is a shard of a prepared store, which is no input by itself"))
        .with_hint("name the store's folder, and nothing beside it; move stores out of input folders"))
}

fn open_local(input: &InputPath) -> Result<(File, Metadata)> {
    let failed = |e: std::io::Error| EngineError::input(format!("`{}`: {e}", input.name()));
    let handle = File::open(&input.path).map_err(failed)?;
    let meta = handle.metadata().map_err(failed)?;
    Ok((handle, meta))
}

fn empty(input: &InputPath) -> EngineError {
    EngineError::input(format!("`{}`: the file is empty", input.name()))
}

fn no_parquet(name: &str, reason: &str) -> EngineError {
    EngineError::input(format!("`{name}`: not a readable Parquet file: {reason}"))
        .with_hint("the file may be truncated, damaged or of another format; CSV files end in .csv or .tsv")
}
