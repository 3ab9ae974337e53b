//! Which files an input names.

use std::path::{Path, PathBuf};

use super::remote::{Buckets, OpenBucket, Remote};
use crate::error::{EngineError, Result};
use crate::store::Storage;

/// A data file and the columns that its folder names carry (`year=2004/…`).
#[derive(Clone, Debug)]
pub struct InputPath {
    /// Path as opened, or `s3://bucket/key`.
    pub path: PathBuf,
    /// Hive columns: name and value, `None` for Hive's null.
    pub hive: Vec<(String, Option<String>)>,
    /// Where to read it, if not on this machine.
    pub(super) remote: Option<Remote>,
}

impl InputPath {
    /// Path or address, for messages and manifests.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// What follows the last dot of the name, in lower case.
    pub(super) fn extension(&self) -> String {
        self.path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default()
    }

    /// Whether the file is CSV or TSV.
    pub(crate) fn is_text(&self) -> bool {
        ["csv", "tsv", "txt"].contains(&self.extension().as_str())
    }
}

const EXTENSIONS: [&str; 7] = ["parquet", "parq", "pq", "pqt", "csv", "tsv", "txt"];

/// Lists the files of all inputs: files as given, the data files below folders and matches of globs by name; on this machine or,
/// with `s3://`, on S3.
///
/// # Errors
/// Inputs that name nothing, or what can't be listed.
pub fn expand(inputs: &[String]) -> Result<Vec<InputPath>> {
    expand_in(inputs, &|bucket| Storage::open(&format!("s3://{bucket}")))
}

/// The same, with buckets opened by `open`.
pub(super) fn expand_in(inputs: &[String], open: OpenBucket<'_>) -> Result<Vec<InputPath>> {
    let mut buckets = Buckets::new(open);
    let mut found = Vec::new();
    for input in inputs {
        if input.starts_with("s3://") {
            found.extend(buckets.expand(input)?);
            continue;
        }
        let before = found.len();
        expand_one(input, &mut found)?;
        found[before..].sort_by(|a: &InputPath, b| a.path.cmp(&b.path));
    }
    if found.is_empty() {
        return Err(
            EngineError::input("no input given").with_hint("name a Parquet or CSV file, a folder or a glob")
        );
    }
    Ok(found)
}

fn expand_one(input: &str, found: &mut Vec<InputPath>) -> Result<()> {
    let path = Path::new(input);
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => {
            let before = found.len();
            walk(path, path, found)?;
            if found.len() == before {
                return Err(no_data(input));
            }
            Ok(())
        }
        Ok(_) => {
            found.push(local(path.to_owned(), hive_columns(path)));
            Ok(())
        }
        Err(_) if input.contains(['*', '?', '[']) => expand_glob(input, found),
        Err(error) => Err(unreadable(path, &error)),
    }
}

fn expand_glob(pattern: &str, found: &mut Vec<InputPath>) -> Result<()> {
    let matches = glob::glob(pattern)
        .map_err(|e| EngineError::input(format!("`{pattern}`: not a valid glob: {}", e.msg)))?;
    let before = found.len();
    for entry in matches {
        let path =
            entry.map_err(|e| EngineError::input(format!("`{}`: {}", e.path().display(), e.error())))?;
        if path.is_dir() {
            // The folders that the pattern names carry columns too.
            walk(Path::new(""), &path, found)?;
        } else {
            let hive = hive_columns(&path);
            found.push(local(path, hive));
        }
    }
    if found.len() == before {
        return Err(EngineError::input(format!("`{pattern}`: no file matches")));
    }
    Ok(())
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<InputPath>) -> Result<()> {
    let entries = std::fs::read_dir(folder).map_err(|e| unreadable(folder, &e))?;
    for entry in entries {
        let path = entry.map_err(|e| unreadable(folder, &e))?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        // `_SUCCESS`, `_metadata`, `.part.crc`: what Spark and Dask leave beside the data.
        if name.starts_with(['_', '.']) {
            continue;
        }
        if path.is_dir() {
            walk(root, &path, found)?;
        } else if is_data(&path) {
            let hive = path.strip_prefix(root).map(hive_columns).unwrap_or_default();
            found.push(local(path, hive));
        }
    }
    Ok(())
}

/// Whether a file's ending is one of those that we read.
pub(super) fn is_data(path: &Path) -> bool {
    path.extension().is_some_and(|e| EXTENSIONS.contains(&e.to_string_lossy().to_lowercase().as_str()))
}

/// The error for a folder without data.
pub(super) fn no_data(input: &str) -> EngineError {
    EngineError::input(format!("`{input}`: no data file in this folder"))
        .with_hint(format!("looked for .{}", EXTENSIONS.join(", .")))
}

fn local(path: PathBuf, hive: Vec<(String, Option<String>)>) -> InputPath {
    InputPath { path, hive, remote: None }
}

fn unreadable(path: &Path, error: &std::io::Error) -> EngineError {
    let why = match error.kind() {
        std::io::ErrorKind::NotFound => "no such file or folder".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    };
    EngineError::input(format!("`{}`: {why}", path.display()))
}

/// The columns that the folders of a path carry.
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

fn percent_decode(text: &str) -> String {
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
