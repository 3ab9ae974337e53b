//! Panels that something is wrong with, and what a refusal must look like.

use std::fs;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use stagger_test_support::panels::{COLUMNS, Panel};
use stagger_test_support::tables::write_parquet;
use tempfile::TempDir;

use crate::cli::{self, Output, estimate_args, path_str};

/// A panel to spoil, and the folder that it lies in.
#[derive(Debug)]
pub struct Spoiled {
    folder: TempDir,
    /// The panel before it is changed.
    pub panel: RecordBatch,
}

impl Spoiled {
    /// The default panel: 120 units over 5 periods.
    #[expect(clippy::new_without_default, reason = "makes a folder")]
    pub fn new() -> Self {
        Self::of(&Panel::default())
    }

    /// A panel of one's own.
    pub fn of(panel: &Panel) -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder"), panel: panel.simulate() }
    }

    /// A panel of one's own, with eligibility.
    pub fn triple(panel: &Panel) -> Self {
        Self { panel: panel.simulate_triple(), ..Self::of(panel) }
    }

    /// Where a changed panel is written.
    pub fn path(&self) -> PathBuf {
        self.inside("panel.parquet")
    }

    /// Writes the changed panel and runs on it, with `--out`.
    pub fn run(&self, panel: &RecordBatch, options: &str) -> Output {
        write_parquet(&self.path(), panel);
        self.run_on(&self.path(), options)
    }

    /// Runs on this input, with `--out`.
    pub fn run_on(&self, path: &Path, options: &str) -> Output {
        let mut args = estimate_args(path, &format!("{COLUMNS} {options}"));
        args.extend(["--out".to_owned(), path_str(&self.out()).to_owned()]);
        let output = cli::run(&args);
        assert!(!output.stderr.contains("panicked"), "`{}` panicked:\n{}", output.line, output.stderr);
        output
    }

    /// A path in the panel's folder.
    pub fn inside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Folder of the saved result.
    pub fn out(&self) -> PathBuf {
        self.inside("saved")
    }

    /// The changed panel is refused with a message that has all these words.
    #[track_caller]
    pub fn refused(&self, panel: &RecordBatch, options: &str, words: &[&str]) {
        self.assert_refused(&self.run(panel, options), 2, words);
    }

    /// The input is refused with a message that has all these words.
    #[track_caller]
    pub fn refused_path(&self, path: &Path, words: &[&str]) {
        self.assert_refused(&self.run_on(path, ""), 2, words);
    }

    /// A named error alone: exit status, words, no result, nothing written.
    #[track_caller]
    pub fn assert_refused(&self, output: &Output, code: i32, words: &[&str]) {
        let (line, stderr) = (&output.line, &output.stderr);
        assert_eq!(output.code, Some(code), "exit status of `{line}`\n{stderr}");
        let told = stderr.lines().find(|line| !line.starts_with("note: ")).unwrap_or_default();
        assert!(told.starts_with("error: "), "`{line}` does not begin with an error:\n{stderr}");
        let missing: Vec<&&str> = words.iter().filter(|word| !stderr.contains(**word)).collect();
        assert!(missing.is_empty(), "the message of `{line}` lacks {missing:?}:\n{stderr}");
        assert!(output.stdout.is_empty(), "`{line}` printed a result:\n{}", output.stdout);
        self.assert_nothing_written();
    }

    /// Neither the folder asked for nor a part of it under another name.
    #[track_caller]
    pub fn assert_nothing_written(&self) {
        let names: Vec<String> = fs::read_dir(self.folder.path())
            .expect("the test's own folder")
            .map(|entry| entry.expect("a readable entry").file_name().to_string_lossy().into_owned())
            .filter(|name| name.contains("saved"))
            .collect();
        assert!(names.is_empty(), "left behind: {names:?}");
    }
}
