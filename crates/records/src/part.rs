//! A part of an input that another process has opened: a worker reads the chunks of its task without opening other
//! files.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use stagger_model::csv_options::ColumnSelection;
use stagger_model::error::Result;
use stagger_storage::{Storage, StoreResult};

use super::clock::ReadClocks;
use super::csv::CsvLayout;
use super::file::{Content, Opening, SourceFile};
use super::files::InputPath;
use super::format::{FileCompression, Format};
use super::remote::InputObject;
use super::source::{Chunk, Source};

/// An input file as it was when the input was opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileDescription {
    path: String,
    hive: Vec<(String, Option<String>)>,
    #[serde(default)]
    logged: bool,
    fingerprint: String,
    /// The layout of a CSV file. It must always be serialized: workers read a format without field names.
    csv: Option<CsvLayout>,
}

impl Source {
    /// Describes all files, for [`Source::open_part`] in another process.
    pub fn describe_files(&self) -> Vec<FileDescription> {
        let describe = |file: &SourceFile| FileDescription {
            path: file.input.name(),
            hive: file.input.hive.clone(),
            logged: file.input.logged,
            fingerprint: file.fingerprint.clone(),
            csv: match &file.content {
                Content::Csv(csv) => Some(csv.layout.clone()),
                Content::Parquet(_) => None,
            },
        };
        self.files.iter().map(describe).collect()
    }

    /// Opens the files of the chunks `wanted` out of all `chunks` of an input. Chunks keep their numbers; only the
    /// wanted ones can be read. `open` opens the store of a bucket.
    ///
    /// # Errors
    /// A file that can't be read, or has changed.
    pub fn open_part(
        files: &[FileDescription],
        chunks: &[Chunk],
        wanted: impl IntoIterator<Item = usize>,
        needed: &[String],
        open: &dyn Fn(&str) -> StoreResult<Storage>,
    ) -> Result<Self> {
        let mut numbers: Vec<usize> = wanted.into_iter().map(|chunk| chunks[chunk].file).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut opened = Vec::with_capacity(numbers.len());
        for &number in &numbers {
            let known = &files[number];
            let selection = ColumnSelection::of(needed);
            let opening = Opening { selection: &selection, known: known.csv.as_ref(), decode: None };
            let file = SourceFile::open(known.input(open)?, opening)?;
            if file.fingerprint != known.fingerprint {
                return Err(file.changed(None));
            }
            opened.push(file);
        }
        let local = |chunk: &Chunk| Chunk {
            file: numbers.binary_search(&chunk.file).unwrap_or(usize::MAX),
            ..*chunk
        };
        let chunks = chunks.iter().map(local).collect();
        Ok(Self { files: opened, chunks, clocks: ReadClocks::default(), made: None })
    }
}

impl FileDescription {
    /// Returns the path or address.
    pub fn path(&self) -> &str {
        &self.path
    }

    fn input(&self, open: &dyn Fn(&str) -> StoreResult<Storage>) -> Result<InputPath> {
        let remote = match self.path.strip_prefix("s3://").and_then(|rest| rest.split_once('/')) {
            Some((bucket, key)) => Some(InputObject::at(open(&format!("s3://{bucket}"))?, key)),
            None => None,
        };
        // The extension was checked when the input was listed; the file's bytes decide again.
        let format = if self.csv.is_some() { Format::Text(FileCompression::Plain) } else { Format::Parquet };
        let (path, hive) = (PathBuf::from(&self.path), self.hive.clone());
        Ok(InputPath { path, hive, remote, format, logged: self.logged, copy: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_read_what_is_described_of_any_file() {
        let file = |path: &str, csv| FileDescription {
            path: path.to_owned(),
            hive: vec![("year".to_owned(), None)],
            logged: false,
            fingerprint: "f".to_owned(),
            csv,
        };
        let files =
            vec![file("a.parquet", None), file("b.csv", Some(CsvLayout::default())), file("c.parquet", None)];
        let bytes = postcard::to_stdvec(&files).unwrap();
        assert_eq!(postcard::from_bytes::<Vec<FileDescription>>(&bytes).unwrap(), files);
    }
}
