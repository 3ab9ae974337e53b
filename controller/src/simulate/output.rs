//! Where the panel goes: written under a temporary name beside it and renamed when all is well.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{SimulateArgs, SimulateError};

/// The files being written. Dropped before [`Output::commit`], it takes away what is there.
pub(super) struct Output {
    path: PathBuf,
    temporary: PathBuf,
    truth: PathBuf,
    truth_temporary: PathBuf,
    folder: bool,
    committed: bool,
}

impl Output {
    /// Checks what is at `--out` and makes room for the temporary files.
    pub(super) fn create(args: &SimulateArgs) -> Result<Self, SimulateError> {
        let path = args.out.clone();
        let Some(name) = path.file_name() else {
            return Err(SimulateError::Argument {
                option: "--out",
                given: format!("\"{}\"", path.display()),
                allowed: "the path of a file, or of a folder with --files above 1".to_owned(),
                hint: "for example --out panel.parquet",
            });
        };
        let folder = args.files > 1;
        let kind =
            |found, wanted| SimulateError::OutKind { path: path.clone(), found, files: args.files, wanted };
        match fs::metadata(&path) {
            Ok(there) if there.is_dir() && !folder => return Err(kind("a folder", "a file")),
            Ok(there) if !there.is_dir() && folder => return Err(kind("a file", "a folder")),
            // Files of an earlier panel would be read together with these.
            Ok(there) if there.is_dir() && !is_empty(&path).map_err(SimulateError::write(&path))? => {
                return Err(kind("a folder with files in it", "a new folder"));
            }
            _ => {}
        }
        let hidden = |name: OsString| {
            let mut hidden = OsString::from(".");
            hidden.push(name);
            hidden.push(".tmp");
            hidden
        };
        let truth = truth_path(&path);
        let output = Self {
            temporary: path.with_file_name(hidden(name.to_owned())),
            truth_temporary: path.with_file_name(hidden(truth.file_name().unwrap_or(name).to_owned())),
            truth,
            folder,
            committed: false,
            path: path.clone(),
        };
        output.remove();
        if folder {
            fs::create_dir(&output.temporary).map_err(SimulateError::write(&path))?;
        }
        Ok(output)
    }

    /// Opens file number `index` of the panel for writing.
    pub(super) fn open(&self, index: usize) -> io::Result<File> {
        if self.folder {
            File::create(self.temporary.join(part_name(index)))
        } else {
            File::create(&self.temporary)
        }
    }

    /// The name that a file will have in the end, for messages.
    pub(super) fn name(&self, index: usize) -> PathBuf {
        if self.folder { self.path.join(part_name(index)) } else { self.path.clone() }
    }

    /// Gives panel and truth their final names.
    pub(super) fn commit(mut self, truth: &[u8]) -> Result<(), SimulateError> {
        let to_truth = SimulateError::write(&self.truth);
        let to_panel = SimulateError::write(&self.path);
        fs::write(&self.truth_temporary, truth).map_err(&to_truth)?;
        if self.folder && self.path.is_dir() {
            fs::remove_dir(&self.path).map_err(&to_panel)?;
        }
        fs::rename(&self.temporary, &self.path).map_err(&to_panel)?;
        fs::rename(&self.truth_temporary, &self.truth).map_err(&to_truth)?;
        self.committed = true;
        Ok(())
    }

    /// Removes the temporary files, also those of a run that was killed; only names that this module gives.
    fn remove(&self) {
        let _ = fs::remove_file(&self.truth_temporary);
        if !self.folder {
            let _ = fs::remove_file(&self.temporary);
            return;
        }
        for entry in fs::read_dir(&self.temporary).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with("part-") {
                let _ = fs::remove_file(entry.path());
            }
        }
        let _ = fs::remove_dir(&self.temporary);
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.committed {
            self.remove();
        }
    }
}

/// `panel.parquet` → `panel.truth.json`, beside the panel so that a folder holds nothing but the panel.
pub(crate) fn truth_path(out: &Path) -> PathBuf {
    let stem =
        if out.extension().is_some_and(|extension| extension == "parquet") { out.file_stem() } else { None };
    let mut name = stem.or(out.file_name()).unwrap_or_default().to_owned();
    name.push(".truth.json");
    out.with_file_name(name)
}

fn part_name(index: usize) -> String {
    format!("part-{index:05}.parquet")
}

fn is_empty(folder: &Path) -> io::Result<bool> {
    Ok(fs::read_dir(folder)?.next().is_none())
}
