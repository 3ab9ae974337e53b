//! Input on S3: the objects that an address names, their footers, and the column chunks of a row group.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use glob::{MatchOptions, Pattern};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use stagger_model::error::{Result, StaggerError};
use stagger_model::parallel::map;
use stagger_storage::{ObjectInfo, Storage, StoreError, StoreErrorKind, StoreResult};

use super::fetched::FetchedParts;
use super::files::{InputPath, hive_columns, left_out_error, no_data_error};
use super::format::{self, DetectedFormat, Format, HEAD, PACKED_HEAD, detect_format, needs_more};
use super::names::{NameClass, by_bytes, by_name, format_of, is_skipped_folder};
use super::tables::{RemoteTables, TableFile, not_in_table};
use crate::parquet_file::{TAIL_BYTES, footer_length, parse_footer};

/// The size of the first read of a footer: it holds a footer with some hundred column chunks, and costs no more than a
/// smaller read.
const FOOTER: u64 = 64 << 10;

/// The number of objects that are examined concurrently.
const WIDTH: usize = 16;

/// The rules of globs: `*` stays within a folder, as in the shell; `**` does not.
const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// An object of the input, with its store.
#[derive(Clone, Debug)]
pub(super) struct InputObject {
    storage: Storage,
    key: String,
}

/// A function that opens the store of a bucket.
pub(super) type OpenBucket<'a> = &'a dyn Fn(&str) -> StoreResult<Storage>;

/// The buckets that inputs name, each opened once.
pub(super) struct Buckets<'a> {
    open: OpenBucket<'a>,
    opened: BTreeMap<String, Storage>,
}

impl<'a> Buckets<'a> {
    pub(super) fn new(open: OpenBucket<'a>) -> Self {
        Self { open, opened: BTreeMap::new() }
    }

    /// Returns the objects that `s3://bucket/key`, `s3://bucket/prefix/` or a glob names, by key.
    pub(super) fn expand(&mut self, input: &str) -> Result<Vec<InputPath>> {
        let rest = input.strip_prefix("s3://").unwrap_or(input);
        let (name, key) = rest.split_once('/').unwrap_or((rest, ""));
        if !self.opened.contains_key(name) {
            self.opened.insert(name.to_owned(), (self.open)(name).map_err(storage_error)?);
        }
        let bucket = Bucket { name, storage: &self.opened[name] };
        if key.contains(['*', '?', '[']) {
            return bucket.matches(input, key);
        }
        match key {
            "" => bucket.folder(input, ""),
            folder if folder.ends_with('/') => bucket.folder(input, folder),
            key => bucket.object_or_folder(input, key),
        }
    }
}

/// A bucket with its name.
struct Bucket<'a> {
    name: &'a str,
    storage: &'a Storage,
}

impl Bucket<'_> {
    /// Returns the object `key`, or the data files below the folder of that name.
    fn object_or_folder(&self, input: &str, key: &str) -> Result<Vec<InputPath>> {
        match self.storage.head(key) {
            Ok(info) => Ok(vec![self.object(key, info.size)?]),
            // Spark writes folders with names such as `x.parquet`.
            Err(missing) if missing.kind == StoreErrorKind::NotFound => {
                let below = self.below(input, &format!("{key}/"))?;
                if below.is_empty() { Err(storage_error(missing)) } else { Ok(below) }
            }
            Err(error) => Err(storage_error(error)),
        }
    }

    /// Returns the object that an input names.
    fn object(&self, key: &str, size: u64) -> Result<InputPath> {
        if let Some((prefix, table)) = RemoteTables::new(self.storage, self.name, key, &[]).above(key)? {
            let address = format!("s3://{}/{key}", self.name);
            let file = table.files.get(&key[prefix.len()..]);
            let file = file.ok_or_else(|| not_in_table(&address, &format!("s3://{}/{prefix}", self.name)))?;
            return Ok(self.of_table(key, file));
        }
        let format = match format_of(key.rsplit('/').next().unwrap_or(key)) {
            Some(format) => format,
            None => match self.peek(key, size)? {
                DetectedFormat::Known(format) => format,
                DetectedFormat::Foreign(foreign) => {
                    return Err(foreign.unsupported_error(&format!("s3://{}/{key}", self.name)));
                }
                DetectedFormat::Bytes => Format::Parquet,
            },
        };
        Ok(self.input(key, key, format))
    }

    /// Returns the data files below a folder; refuses one without data.
    fn folder(&self, input: &str, folder: &str) -> Result<Vec<InputPath>> {
        let found = self.below(input, folder)?;
        if found.is_empty() { Err(no_data_error(input)) } else { Ok(found) }
    }

    /// Returns the data files below a folder, with the columns that the names of the folders below it give.
    fn below(&self, input: &str, folder: &str) -> Result<Vec<InputPath>> {
        let listed = self.storage.list(folder).map_err(storage_error)?;
        let below = |object: &ObjectInfo| object.key.starts_with(folder).then_some(folder.len());
        self.data(input, folder, &listed, below, folder.len())
    }

    /// Returns the objects that a glob matches, and the data files below the folders that it matches.
    fn matches(&self, input: &str, pattern: &str) -> Result<Vec<InputPath>> {
        let literal = pattern.find(['*', '?', '[']).unwrap_or(pattern.len());
        let pattern_of = |text: &str| {
            Pattern::new(text)
                .map_err(|e| StaggerError::input(format!("`{input}`: not a valid glob: {}", e.msg)))
        };
        let wanted = pattern_of(pattern.trim_end_matches('/'))?;
        let matches = |name: &str| wanted.matches_with(name, MATCHING);
        let listed = self.storage.list(&pattern[..literal]).map_err(storage_error)?;
        // The offset in the key at which the match ends, and the names below it start.
        let matched = |object: &ObjectInfo| {
            let key = object.key.as_str();
            let folder = key.match_indices('/').map(|(at, _)| at).find(|at| matches(&key[..*at]));
            let whole = || matches(key).then(|| key.rfind('/').map_or(0, |at| at + 1));
            folder.map(|at| at + 1).or_else(whole)
        };
        if !listed.iter().any(|object| matched(object).is_some()) {
            return Err(StaggerError::input(format!("`{input}`: no object matches")));
        }
        let found = self.data(input, &pattern[..literal], &listed, matched, 0)?;
        if found.is_empty() { Err(no_data_error(input)) } else { Ok(found) }
    }

    /// Returns the data among the objects listed by `prefix`. `below` gives the offset in a key after which the names
    /// of folders must not be hidden, or `None` for an object that is not part of the input. The names of folders after
    /// `columns` bytes give columns.
    fn data(
        &self,
        input: &str,
        prefix: &str,
        listed: &[ObjectInfo],
        below: impl Fn(&ObjectInfo) -> Option<usize>,
        columns: usize,
    ) -> Result<Vec<InputPath>> {
        let mut tables = RemoteTables::new(self.storage, self.name, prefix, listed);
        let mut found = Vec::new();
        let mut unknown = Vec::new();
        for object in listed {
            let key = object.key.as_str();
            let Some(at) = below(object) else { continue };
            // A key that ends in `/` marks a folder.
            if key.ends_with('/') || is_hidden(&key[at..]) {
                continue;
            }
            if let Some((root, table)) = tables.above(key)? {
                found.extend(table.files.get(&key[root.len()..]).map(|file| self.of_table(key, file)));
                continue;
            }
            match by_name(key.rsplit('/').next().unwrap_or(key), object.size) {
                NameClass::NoData => {}
                NameClass::Data(format) => found.push(self.input(key, &key[columns..], format)),
                NameClass::Unknown => unknown.push(object),
            }
        }
        tables.all_there(listed)?;
        found.extend(self.told_by_bytes(input, &unknown, columns)?);
        Ok(found)
    }

    /// Classifies objects whose names tell nothing by their first and last bytes.
    fn told_by_bytes(&self, input: &str, unknown: &[&ObjectInfo], columns: usize) -> Result<Vec<InputPath>> {
        let told = map(WIDTH, unknown.len(), |at| self.peek(&unknown[at].key, unknown[at].size))?;
        let (mut found, mut left) = (Vec::new(), Vec::new());
        for (object, recognised) in unknown.iter().zip(told) {
            let key = object.key.as_str();
            match by_bytes(key.rsplit('/').next().unwrap_or(key), recognised) {
                Ok(format) => found.push(self.input(key, &key[columns..], format)),
                Err(what) => left.push((format!("s3://{}/{key}", self.name), what)),
            }
        }
        if left.is_empty() { Ok(found) } else { Err(left_out_error(input, left)) }
    }

    fn peek(&self, key: &str, size: u64) -> Result<DetectedFormat> {
        self.remote(key).peek(size)
    }

    fn input(&self, key: &str, path_with_columns: &str, format: Format) -> InputPath {
        InputPath {
            path: PathBuf::from(format!("s3://{}/{key}", self.name)),
            hive: hive_columns(Path::new(path_with_columns)),
            remote: Some(self.remote(key)),
            format,
            logged: false,
            copy: None,
        }
    }

    fn of_table(&self, key: &str, file: &TableFile) -> InputPath {
        let hive = file.columns.clone();
        InputPath { hive, logged: true, ..self.input(key, key, Format::Parquet) }
    }

    fn remote(&self, key: &str) -> InputObject {
        InputObject { storage: self.storage.clone(), key: key.to_owned() }
    }
}

/// Returns `true` if the object `name` lies in a folder without data.
fn is_hidden(name: &str) -> bool {
    name.rsplit_once('/').is_some_and(|(folders, _)| folders.split('/').any(is_skipped_folder))
}

impl InputObject {
    /// Returns the object `key` of a store.
    pub(super) fn at(storage: Storage, key: &str) -> Self {
        Self { storage, key: key.to_owned() }
    }

    /// Returns size and ETag.
    pub(super) fn head(&self) -> Result<ObjectInfo> {
        self.storage.head(&self.key).map_err(storage_error)
    }

    /// Returns a stream of the object's bytes from `position` on, which fails once the object no longer has this ETag.
    pub(super) fn stream(&self, size: u64, etag: &str, position: u64) -> RemoteStream {
        RemoteStream { remote: self.clone(), size, etag: etag.to_owned(), position, block: Bytes::new() }
    }

    /// Recognises the format of an object of `size` bytes by its first and last bytes.
    pub(super) fn peek(&self, size: u64) -> Result<DetectedFormat> {
        let (head, tail) = (0..size.min(HEAD as u64), size.saturating_sub(format::TAIL as u64)..size);
        let name = self.key.rsplit('/').next().unwrap_or(&self.key);
        if size == 0 {
            return Ok(detect_format(name, &[], &[]));
        }
        let parts = self.storage.get_ranges(&self.key, None, &[head, tail]).map_err(storage_error)?;
        let part = |at: usize| parts.get(at).map(Bytes::as_ref).unwrap_or_default();
        if !needs_more(part(0)) {
            return Ok(detect_format(name, part(0), part(1)));
        }
        let head = 0..size.min(PACKED_HEAD as u64);
        let more = self.storage.get_ranges(&self.key, None, &[head]).map_err(storage_error)?;
        Ok(detect_format(name, more.first().map(Bytes::as_ref).unwrap_or_default(), part(1)))
    }

    /// Reads the footer of a Parquet file; `broken` makes the error of an invalid one.
    pub(super) fn footer(
        &self,
        broken: impl Fn(&str) -> StaggerError,
    ) -> Result<(ArrowReaderMetadata, ObjectInfo)> {
        let (mut bytes, info) = self.storage.get_suffix(&self.key, FOOTER).map_err(storage_error)?;
        if info.size == 0 {
            return Err(broken("the file is empty"));
        }
        let tail = bytes.slice(bytes.len().saturating_sub(TAIL_BYTES as usize)..);
        let length = footer_length(&tail, info.size).map_err(|damage| broken(&damage.to_string()))?;
        if length + TAIL_BYTES > bytes.len() as u64 {
            let last = info.size - length - TAIL_BYTES..info.size;
            let read =
                self.storage.get_ranges(&self.key, Some(&info.etag), &[last]).map_err(storage_error)?;
            bytes = read.into_iter().next().unwrap_or_default();
        }
        let end = bytes.len().saturating_sub(TAIL_BYTES as usize);
        let footer = bytes.slice(end.saturating_sub(length as usize)..end);
        Ok((parse_footer(&footer, info.size).map_err(|damage| broken(&damage.to_string()))?, info))
    }

    /// Fetches ranges of the object, if it still has this ETag.
    pub(super) fn fetch(
        &self,
        size: u64,
        etag: &str,
        mut ranges: Vec<Range<u64>>,
    ) -> StoreResult<FetchedParts> {
        ranges.sort_by_key(|range| range.start);
        let bytes = self.storage.get_ranges(&self.key, Some(etag), &ranges)?;
        let parts = ranges.into_iter().map(|range| range.start).zip(bytes).collect();
        Ok(FetchedParts::new(size, parts))
    }
}

/// The block size of sequential reads: a request costs as much time as some megabytes.
const BLOCK: u64 = 8 << 20;

/// A sequential read of an object, with one request for each block.
pub(super) struct RemoteStream {
    remote: InputObject,
    size: u64,
    etag: String,
    position: u64,
    block: Bytes,
}

impl Read for RemoteStream {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.block.is_empty() && self.position < self.size {
            let range = self.position..self.size.min(self.position + BLOCK);
            let InputObject { storage, key } = &self.remote;
            let read = storage.get_ranges(key, Some(&self.etag), std::slice::from_ref(&range));
            let bytes = read.map_err(|error| std::io::Error::other(storage_error(error)))?;
            self.block = bytes.into_iter().next().unwrap_or_default();
            self.position = range.end;
        }
        let count = into.len().min(self.block.len());
        into[..count].copy_from_slice(&self.block.split_to(count));
        Ok(count)
    }
}

/// Converts an error of storage: it is the user's input that must change, unless the network or the service failed.
pub(super) fn storage_error(error: StoreError) -> StaggerError {
    if error.is_transient() {
        return error.into();
    }
    let out = StaggerError::input(error.to_string());
    match error.hint() {
        Some(hint) => out.with_hint(hint),
        None => out,
    }
}
