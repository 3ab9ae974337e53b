//! One table in many layouts, and results that must be the same bytes.

use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use stagger_test_support::tables::write_parquet;
use tempfile::TempDir;

use crate::cli::estimate;
use crate::layouts::{hive, row_groups, shuffled, split};

/// A table in memory, a folder for its layouts, and specifications.
#[derive(Debug)]
pub struct Bench {
    folder: TempDir,
    /// The rows.
    pub table: RecordBatch,
    /// Options of the runs that are compared.
    pub options: Vec<String>,
}

impl Bench {
    /// With a folder of its own.
    pub fn new(table: RecordBatch, options: Vec<String>) -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder"), table, options }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The table as one file with the writer's defaults.
    pub fn plain(&self) -> PathBuf {
        let path = self.path().join("plain.parquet");
        write_parquet(&path, &self.table);
        path
    }

    /// Every specification on every variant prints what it prints on the plain file.
    #[track_caller]
    pub fn assert_all_equal(&self, variants: &[(String, PathBuf)]) {
        let plain = self.plain();
        for options in &self.options {
            let expected = estimate(&plain, options).success().stdout;
            for (label, path) in variants {
                assert_same(
                    &format!("{label}: {options}"),
                    &expected,
                    &estimate(path, options).success().stdout,
                );
            }
        }
    }

    /// Every specification prints the same with 1, 2 and 7 threads.
    #[track_caller]
    pub fn assert_threads_agree(&self) {
        let plain = self.plain();
        for options in &self.options {
            let with =
                |threads: usize| estimate(&plain, &format!("{options} --threads {threads}")).success().stdout;
            let expected = with(1);
            for threads in [2, 7] {
                assert_same(&format!("{threads} threads: {options}"), &expected, &with(threads));
            }
        }
    }

    /// Cuts that keep the order of rows, files by name.
    pub fn cuts(&self) -> Vec<(String, PathBuf)> {
        let cut = |files: usize| split(self.path(), &format!("files-{files}"), &self.table, files);
        [1, 3, 40].into_iter().map(|files| (format!("{files} files"), cut(files))).collect()
    }

    /// The same and other orders of rows: shuffled, and by period.
    pub fn orders_and_cuts(&self) -> Vec<(String, PathBuf)> {
        let (folder, mixed) = (self.path(), shuffled(&self.table, 11));
        let mut variants = vec![("shuffled".to_owned(), folder.join("shuffled.parquet"))];
        write_parquet(&variants[0].1, &mixed);
        variants.extend(self.cuts());
        variants.push(("shuffled, 40 files".to_owned(), split(folder, "mixed-40", &mixed, 40)));
        variants.push(("hive folders by period".to_owned(), hive(folder, "hive", &self.table, "time")));
        variants.push((
            "row groups of 1,000,000".to_owned(),
            row_groups(folder, "groups-all", &mixed, 1_000_000),
        ));
        variants
    }

    /// One file with row groups of these sizes, in the order of the table.
    pub fn row_groups(&self, sizes: &[usize]) -> Vec<(String, PathBuf)> {
        let file = |size: usize| row_groups(self.path(), &format!("groups-{size}"), &self.table, size);
        sizes.iter().map(|&size| (format!("row groups of {size}"), file(size))).collect()
    }
}

/// Fails with the text around the first byte that differs.
#[track_caller]
pub fn assert_same(label: &str, expected: &str, found: &str) {
    if let Some(at) = expected.bytes().zip(found.bytes()).position(|(a, b)| a != b) {
        let around = |text: &str| {
            String::from_utf8_lossy(&text.as_bytes()[at.saturating_sub(60)..(at + 40).min(text.len())])
                .into_owned()
        };
        panic!(
            "{label}\ndiffers at byte {at}\n  expected …{}…\n  found    …{}…",
            around(expected),
            around(found)
        );
    }
    assert_eq!(expected.len(), found.len(), "{label}: one line is longer");
}
