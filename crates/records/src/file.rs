//! An opened input file: its schema, its state when it was opened, and the columns that the names of its folders give.

use std::fs::{File, Metadata};
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Int32Array, StringArray, new_null_array};
use arrow_schema::{DataType, Schema, SchemaRef};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use stagger_model::csv_options::ColumnSelection;
use stagger_model::error::{Result, StaggerError};
use stagger_storage::{StoreErrorKind, disk, local_etag};

use super::bad_lines::BadLines;
use super::csv;
use super::csv::{CsvFile, CsvLayout};
use super::fetched::FetchedParts;
use super::files::{InputPath, file_name};
use super::format::{DetectedFormat, FileCompression, Format};
use super::formats::{DecodeTable, TableFormat};
use super::names::format_of;
use super::peek::peek_into;
use super::remote::{InputObject, storage_error};
use super::spool::{Spool, spool_error};
use super::unpack::decompress_from;
use crate::parquet_file::{self, LocalFile};

/// The rows of a file, to be read on demand: described by a Parquet footer or by the layout of a CSV file.
pub(super) enum Content {
    Parquet(ArrowReaderMetadata),
    Csv(CsvFile),
}

/// An opened input file.
pub(super) struct SourceFile {
    pub(super) input: InputPath,
    pub(super) schema: SchemaRef,
    pub(super) content: Content,
    pub(super) bytes: u64,
    pub(super) fingerprint: String,
    /// The temporary Parquet file that holds the decoded rows, if the file has another format.
    pub(super) decoded: Option<Spool>,
    /// The broken lines that were left out.
    pub(super) bad: BadLines,
}

/// The way of opening a file.
#[derive(Clone, Copy)]
pub(super) struct Opening<'a> {
    /// The columns to read.
    pub(super) selection: &'a ColumnSelection,
    /// The layout of a CSV file that another process has found.
    pub(super) known: Option<&'a CsvLayout>,
    /// The decoder of formats other than Parquet and text; `None` in workers, which are never sent such files.
    pub(super) decode: Option<DecodeTable>,
}

impl SourceFile {
    /// Opens a file: reads the footer of a Parquet file, makes the first pass over a CSV file, or decodes another one.
    pub(super) fn open(input: InputPath, opening: Opening<'_>) -> Result<Self> {
        match (input.remote.clone(), input.copy.clone()) {
            (Some(remote), _) => Self::open_remote(input, &remote, opening),
            (None, Some((copy, digest))) => Self::open_copy(input, &copy, digest, opening),
            (None, None) => Self::open_local(input, opening),
        }
    }

    fn open_copy(input: InputPath, copy: &Spool, digest: String, opening: Opening<'_>) -> Result<Self> {
        let file = copy.local_file().map_err(|error| spool_error(&error))?;
        Self::open_as(input, copy.bytes(), digest, opening, &file)
    }

    /// Opens a file whose format is known by its bytes.
    fn open_as(
        input: InputPath,
        bytes: u64,
        fingerprint: String,
        opening: Opening<'_>,
        file: &LocalFile,
    ) -> Result<Self> {
        match input.format {
            Format::Text(_) => Self::open_text(input, bytes, fingerprint, opening),
            Format::Table(table, _) => Self::open_table(input, table, bytes, fingerprint, opening),
            Format::Parquet => {
                let meta = parquet_file::read_footer(file)
                    .map_err(|damage| no_parquet(&input.name(), &damage.to_string()))?;
                Self::open_parquet(input, meta, bytes, fingerprint)
            }
        }
    }

    fn open_local(mut input: InputPath, opening: Opening<'_>) -> Result<Self> {
        let (handle, meta) = open_local(&input)?;
        let (bytes, fingerprint) = (meta.len(), local_etag(&meta));
        if bytes == 0 {
            return Err(empty(&input));
        }
        let peeked =
            peek_into(&file_name(&input.path), &handle, bytes).map_err(|e| unreadable(&input, &e))?;
        input.format = format(&input, peeked)?;
        Self::open_as(input, bytes, fingerprint, opening, &LocalFile::new(handle, bytes))
    }

    fn open_remote(mut input: InputPath, remote: &InputObject, opening: Opening<'_>) -> Result<Self> {
        let mut broken = None;
        if input.format == Format::Parquet {
            let name = input.name();
            match remote.footer(|reason| no_parquet(&name, reason)) {
                Ok((meta, info)) => return Self::open_parquet(input, meta, info.size, info.etag),
                // The first bytes show whether the file is damaged or has another format.
                Err(error) if error.is_input() => broken = Some(error),
                Err(error) => return Err(error),
            }
        }
        let info = remote.head()?;
        if info.size == 0 {
            return Err(empty(&input));
        }
        input.format = format(&input, remote.peek(info.size)?)?;
        match (input.format, broken) {
            (Format::Text(_), _) => Self::open_text(input, info.size, info.etag, opening),
            (Format::Table(table, _), _) => Self::open_table(input, table, info.size, info.etag, opening),
            (Format::Parquet, Some(error)) => Err(error),
            // The file is Parquet under another extension.
            (Format::Parquet, None) => Self::open_remote(input, remote, opening),
        }
    }

    fn open_text(input: InputPath, bytes: u64, fingerprint: String, opening: Opening<'_>) -> Result<Self> {
        let file = Self::unread(input, bytes, fingerprint);
        let layout = match opening.known {
            Some(layout) => layout.clone(),
            None => csv::read_layout(&file, opening.selection)?,
        };
        let (schema, bad) = (Arc::new(layout.schema()), layout.bad.clone());
        Ok(Self { schema, bad, content: Content::Csv(CsvFile::new(layout)), ..file })
    }

    /// Decodes a file of another format into a temporary Parquet file.
    fn open_table(
        input: InputPath,
        table: TableFormat,
        bytes: u64,
        fingerprint: String,
        opening: Opening<'_>,
    ) -> Result<Self> {
        let Some(decode) = opening.decode else {
            return Err(StaggerError::input(format!(
                "`{}`: workers read Parquet and CSV, not {}",
                input.name(),
                table.name()
            ))
            .with_hint("prepare a store of it first: stagger prepare"));
        };
        let file = Self::unread(input, bytes, fingerprint);
        let decoded = decode(&file.input.name(), table, opening.selection, &|| file.stream(0))?;
        Ok(Self {
            schema: decoded.schema,
            content: Content::Parquet(decoded.meta),
            decoded: Some(decoded.spool),
            bad: decoded.bad,
            ..file
        })
    }

    /// Returns a file of which no row is known yet.
    fn unread(input: InputPath, bytes: u64, fingerprint: String) -> Self {
        let content = Content::Csv(CsvFile::new(CsvLayout::default()));
        let (decoded, bad) = (None, BadLines::default());
        Self { input, schema: Arc::new(Schema::empty()), content, bytes, fingerprint, decoded, bad }
    }

    fn open_parquet(
        mut input: InputPath,
        meta: ArrowReaderMetadata,
        bytes: u64,
        fingerprint: String,
    ) -> Result<Self> {
        no_shard(&meta, &input.name())?;
        let schema = Arc::clone(meta.schema());
        if input.logged {
            // Some writers of tables keep the partition columns in the files too, where the log repeats them.
            input.hive.retain(|(name, _)| schema.field_with_name(name).is_err());
        }
        let (decoded, bad) = (None, BadLines::default());
        Ok(Self { input, schema, content: Content::Parquet(meta), bytes, fingerprint, decoded, bad })
    }

    /// Returns the file's text from byte `position` on, if the file has not changed since it was opened.
    pub(super) fn stream(&self, position: u64) -> Result<Box<dyn Read + Send>> {
        match self.input.format.packing() {
            FileCompression::Plain => self.raw(position),
            packing => {
                let text = decompress_from(packing, self.raw(0)?, self.bytes, position);
                text.map_err(|error| unreadable(&self.input, &error))
            }
        }
    }

    /// Returns the file's bytes from `position` on, as they are stored.
    fn raw(&self, position: u64) -> Result<Box<dyn Read + Send>> {
        if let Some(remote) = &self.input.remote {
            return Ok(Box::new(remote.stream(self.bytes, &self.fingerprint, position)));
        }
        if let Some((copy, _)) = &self.input.copy {
            let mut reader = copy.reader();
            reader.seek(SeekFrom::Start(position)).map_err(|error| unreadable(&self.input, &error))?;
            return Ok(Box::new(reader));
        }
        let mut handle = self.handle()?;
        handle.seek(SeekFrom::Start(position)).map_err(|error| unreadable(&self.input, &error))?;
        Ok(Box::new(handle))
    }

    /// Returns `true` if [`SourceFile::stream`] can start anywhere at little cost.
    pub(super) fn is_seekable(&self) -> bool {
        self.input.format.packing() == FileCompression::Plain
    }

    /// Fetches ranges of a remote file, if it has not changed since it was opened.
    pub(super) fn fetch(&self, remote: &InputObject, ranges: Vec<Range<u64>>) -> Result<FetchedParts> {
        remote.fetch(self.bytes, &self.fingerprint, ranges).map_err(|error| match error.kind {
            StoreErrorKind::Changed => self.changed(None),
            _ => storage_error(error),
        })
    }

    /// Opens a local file again, if it has not changed since it was opened.
    ///
    /// # Errors
    /// The file is gone, or was written again: its footer, and rows read already, may belong to another table.
    pub(super) fn reopen(&self) -> Result<LocalFile> {
        if let Some(own) = self.decoded.as_ref().or(self.input.copy.as_ref().map(|(copy, _)| copy)) {
            return own.local_file().map_err(|error| spool_error(&error));
        }
        Ok(LocalFile::new(self.handle()?, self.bytes))
    }

    /// Returns the object that rows are read from, if they are on S3.
    pub(super) fn remote_rows(&self) -> Option<&InputObject> {
        self.input.remote.as_ref().filter(|_| self.decoded.is_none())
    }

    /// Returns the size of the file that rows are read from.
    pub(super) fn row_bytes(&self) -> u64 {
        self.decoded.as_ref().map_or(self.bytes, Spool::bytes)
    }

    /// Opens a local file again, if it has not changed.
    fn handle(&self) -> Result<File> {
        let (handle, meta) = open_local(&self.input)?;
        if local_etag(&meta) == self.fingerprint {
            return Ok(handle);
        }
        Err(self.changed(Some(meta.len())))
    }

    /// Returns the error for a file that has changed; `bytes` is its present size, if known.
    pub(super) fn changed(&self, bytes: Option<u64>) -> StaggerError {
        let now = match bytes {
            Some(bytes) if bytes != self.bytes => {
                format!("had {} bytes when it was opened, now {bytes}", self.bytes)
            }
            Some(bytes) => format!("was written again since it was opened, with {bytes} bytes as before"),
            None => format!("had {} bytes when it was opened and was written again since", self.bytes),
        };
        StaggerError::input(format!("the input changed during the run: `{}` {now}", self.input.name())).with_hint(
            "start again once the files are complete; results of two states of the data would be mixed otherwise",
        )
    }

    /// Returns the value that the names of the file's folders give to a column.
    pub(super) fn hive(&self, column: &str) -> Option<&Option<String>> {
        self.input.hive.iter().find(|(name, _)| name == column).map(|(_, value)| value)
    }

    /// Returns that value as a column of `rows` rows.
    pub(super) fn hive_array(&self, column: &str, rows: usize) -> Result<ArrayRef> {
        let value = self.hive(column).ok_or_else(|| {
            StaggerError::input(format!("`{}` has no column `{column}`", self.input.name()))
        })?;
        let Some(text) = value else { return Ok(new_null_array(&DataType::Null, rows)) };
        let keys = Int32Array::from_value(0, rows);
        let values: ArrayRef = Arc::new(StringArray::from_iter_values([text]));
        let array = DictionaryArray::<Int32Type>::try_new(keys, values)
            .map_err(|e| StaggerError::failed(format!("a folder's value is no column: {e}")))?;
        Ok(Arc::new(array))
    }
}

/// Refuses shards of a prepared store: as input their rows would count twice, or be taken for another panel's.
fn no_shard(meta: &ArrowReaderMetadata, name: &str) -> Result<()> {
    let pairs = meta.metadata().file_metadata().key_value_metadata();
    if !pairs.is_some_and(|pairs| pairs.iter().any(|pair| pair.key == crate::prepared::DESCRIPTION_KEY)) {
        return Ok(());
    }
    Err(StaggerError::input(format!("`{name}` is a shard of a prepared store, which is no input by itself"))
        .with_hint("name the store's folder, and nothing beside it; move stores out of input folders"))
}

fn open_local(input: &InputPath) -> Result<(File, Metadata)> {
    disk::open_regular(&input.path).map_err(|error| unreadable(input, &error))
}

fn unreadable(input: &InputPath, error: &std::io::Error) -> StaggerError {
    StaggerError::input(format!("`{}`: {error}", input.name()))
}

/// Returns the format of a file: its bytes decide, not its extension.
fn format(input: &InputPath, recognised: DetectedFormat) -> Result<Format> {
    let promised = format_of(&file_name(&input.path));
    match recognised {
        DetectedFormat::Known(Format::Text(_) | Format::Table(TableFormat::Json, _))
            if promised == Some(Format::Parquet) =>
        {
            Err(StaggerError::input(format!("`{}`: the ending is Parquet's, but the file is text", input.name()))
                .with_hint("read it: if it is a message in place of the data, get the file again; if it is CSV, give it the ending .csv"))
        }
        DetectedFormat::Known(format) => Ok(format),
        DetectedFormat::Foreign(foreign) => Err(foreign.unsupported_error(&input.name())),
        // This is text with stray bytes, which the CSV reader names.
        DetectedFormat::Bytes if input.is_csv() => Ok(input.format),
        DetectedFormat::Bytes => Err(StaggerError::input(format!(
            "`{}`: not a Parquet file: it neither begins nor ends as one (`PAR1`), and is of no format that is known",
            input.name()
        ))
        .with_hint("name Parquet or CSV files; if the file was copied or downloaded, get it again")),
    }
}

fn empty(input: &InputPath) -> StaggerError {
    StaggerError::input(format!("`{}`: the file is empty", input.name()))
}

fn no_parquet(name: &str, reason: &str) -> StaggerError {
    StaggerError::input(format!("`{name}`: not a readable Parquet file: {reason}"))
        .with_hint("the file is truncated or damaged: copy or write it again")
}
