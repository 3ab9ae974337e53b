//! The files that an input names. Every file is accounted for: files that can't be read are refused by name, files that
//! hold no data are recognised, and no file counts twice.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use stagger_model::error::{Result, StaggerError};
use stagger_storage::Storage;
use stagger_storage::open::is_on_s3;

use super::folder::Listing;
use super::format::Format;
use super::names;
use super::remote::{Buckets, InputObject, OpenBucket};
use super::spool::Spool;
use super::stdin::{STDIN, standard_input};
use crate::prepared::MANIFEST;

/// A data file, and the columns that the names of its folders give (`year=2004/…`).
#[derive(Clone, Debug)]
pub struct InputPath {
    /// The path, or `s3://bucket/key`.
    pub path: PathBuf,
    /// The columns of the folders' names: name and value, `None` for Hive's null.
    pub hive: Vec<(String, Option<String>)>,
    /// The object, if the file is on S3.
    pub(super) remote: Option<InputObject>,
    /// The format, as far as the name or the first bytes tell.
    pub(super) format: Format,
    /// The copy of standard input, with the digest of its bytes.
    pub(super) copy: Option<(Spool, String)>,
    /// `true` if the log of a table gives the columns of `hive`, which the file may hold too.
    pub(super) logged: bool,
}

impl InputPath {
    /// Returns the path or address, for messages and manifests.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Returns the extension in lower case, without that of a compression.
    pub(super) fn extension(&self) -> String {
        names::plain_ending(&file_name(&self.path))
    }

    /// Returns `true` if the file is text: CSV or TSV, possibly compressed.
    pub fn is_csv(&self) -> bool {
        matches!(self.format, Format::Text(_))
    }

    /// Returns `true` if the file can't be read in parts by several processes: its format is decoded as a whole, or it
    /// is standard input.
    pub fn is_read_whole(&self) -> bool {
        matches!(self.format, Format::Table(..)) || self.copy.is_some()
    }
}

/// Lists the files of all inputs: files as given, the data files below folders, and the matches of globs, by name.
/// Inputs are local or, with `s3://`, on S3. Of a Delta table the files of its newest version are listed.
///
/// # Errors
/// Inputs that name nothing, files that can't be listed or read, and files that two names lead to.
pub fn list_input_files(inputs: &[String]) -> Result<Vec<InputPath>> {
    list_input_files_in(inputs, &|bucket| Storage::open(&format!("s3://{bucket}")))
}

/// Lists the files of all inputs as [`expand`] does, with buckets opened by `open`.
pub(super) fn list_input_files_in(inputs: &[String], open: OpenBucket<'_>) -> Result<Vec<InputPath>> {
    let mut buckets = Buckets::new(open);
    let mut listing = Listing::default();
    let mut found = Vec::new();
    for input in inputs {
        let mut files = match input.as_str() {
            STDIN => vec![standard_input()?],
            input if is_on_s3(input) => buckets.expand(input)?,
            input => listing.expand(input)?,
        };
        files.sort_by(|a, b| a.path.cmp(&b.path));
        found.append(&mut files);
    }
    if found.is_empty() {
        return Err(
            StaggerError::input("no input given").with_hint("name a Parquet or CSV file, a folder or a glob")
        );
    }
    once(&found)?;
    Ok(found)
}

/// Refuses objects that are named twice. Local files were compared when they were found.
fn once(found: &[InputPath]) -> Result<()> {
    let mut seen = HashMap::new();
    for input in found.iter().filter(|input| input.remote.is_some() || input.copy.is_some()) {
        if let Some(()) = seen.insert(&input.path, ()) {
            return Err(duplicate_file_error(&input.name(), &input.name()));
        }
    }
    Ok(())
}

/// Returns the error for a file that two names lead to.
pub(super) fn duplicate_file_error(first: &str, second: &str) -> StaggerError {
    let message = match first == second {
        true => format!("`{first}` is named twice: its rows would count twice"),
        false => format!("`{first}` and `{second}` are one file: its rows would count twice"),
    };
    StaggerError::input(message)
        .with_hint("name each file once; for a folder with links, name its files by a glob")
}

/// Returns the error for files of an input that would be left out, with the first ten by name.
pub(super) fn left_out_error(input: &str, mut left: Vec<(String, &'static str)>) -> StaggerError {
    const SHOWN: usize = 10;
    left.sort();
    let shown: Vec<String> =
        left.iter().take(SHOWN).map(|(name, what)| format!("`{name}` ({what})")).collect();
    let more = match left.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let store = left.iter().find_map(|(name, _)| name.strip_suffix(MANIFEST)?.strip_suffix('/'));
    let hint = match store {
        Some(folder) => format!("`{folder}` seems to be a prepared store: give it as the input by itself"),
        None => "a folder is read whole: convert or move these files, or name the others by a glob such as 'folder/*.parquet'".to_owned(),
    };
    StaggerError::input(format!("`{input}` holds files that can't be read: {}{more}", shown.join(", ")))
        .with_hint(hint)
}

/// Returns the error for a folder without data.
pub(super) fn no_data_error(input: &str) -> StaggerError {
    StaggerError::input(format!("`{input}`: no data file in this folder"))
        .with_hint("looked for Parquet (.parquet, .parq, .pq, .pqt or without an ending) text (.csv, .tsv, .txt, .tab, .psv, .json, .jsonl, also .gz and .zst), Arrow and Feather, Avro, Stata, R and Excel")
}

/// Returns the last part of a path.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Returns the columns that the names of a path's folders give.
pub(super) fn hive_columns(path: &Path) -> Vec<(String, Option<String>)> {
    let Some(parent) = path.parent() else { return Vec::new() };
    parent
        .components()
        .filter_map(|part| part.as_os_str().to_str()?.split_once('='))
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, value)| {
            let value = (value != "__HIVE_DEFAULT_PARTITION__").then(|| percent_decode(value));
            (percent_decode(name), value)
        })
        .collect()
}

/// Decodes percent-encoded characters such as `%20`.
pub(super) fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok()))
            .flatten();
        out.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hive_folders_are_columns() {
        let columns =
            hive_columns(Path::new("year=2004/region=a%20b/x=__HIVE_DEFAULT_PARTITION__/part.parquet"));
        assert_eq!(
            columns,
            [("year".into(), Some("2004".into())), ("region".into(), Some("a b".into())), ("x".into(), None)]
        );
    }

    #[test]
    fn percent_signs_that_escape_nothing_stay() {
        assert_eq!(percent_decode("10%"), "10%");
        assert_eq!(percent_decode("%zz%41"), "%zzA");
    }
}
