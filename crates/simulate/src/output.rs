//! The files of the panel: written under a temporary name beside the final one and renamed when all is well.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};

use super::args::SimulateArgs;
use super::error::SimulateError;

/// The files being written. Dropped before [`Output::commit`], it takes away what is there.
pub(super) struct Output {
    path: PathBuf,
    temporary: PathBuf,
    truth: PathBuf,
    truth_temporary: PathBuf,
    folder: bool,
    committed: bool,
    /// Held while the files are written: what nobody holds is a leftover.
    _lock: File,
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
        let truth = truth_path(&path);
        let truth_name = truth.file_name().unwrap_or(name).to_owned();
        clear(&path, name);
        clear(&truth, &truth_name);
        let temporary = path.with_file_name(hidden(name));
        let lock = make(&temporary, folder).map_err(SimulateError::write(&path))?;
        Ok(Self {
            temporary,
            truth_temporary: path.with_file_name(hidden(&truth_name)),
            truth,
            folder,
            committed: false,
            _lock: lock,
            path: path.clone(),
        })
    }

    /// Opens file number `index` of the panel for writing.
    pub(super) fn open(&self, index: usize) -> io::Result<File> {
        if self.folder {
            File::create(self.temporary.join(part_name(index)))
        } else {
            File::options().write(true).open(&self.temporary)
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

    /// Removes the temporary files.
    fn remove(&self) {
        let _ = fs::remove_file(&self.truth_temporary);
        remove(&self.temporary);
    }
}

/// `.NAME.`, digits that nobody can guess, `.tmp`.
fn hidden(name: &OsStr) -> OsString {
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{:016x}.tmp", RandomState::new().hash_one(std::process::id())));
    hidden
}

/// Makes a temporary file or folder, new in any case, and locks it until it is closed.
fn make(temporary: &Path, folder: bool) -> io::Result<File> {
    let file = if folder {
        fs::create_dir(temporary)?;
        File::open(temporary)?
    } else {
        File::create_new(temporary)?
    };
    // Where nothing can be locked, leftovers stay instead.
    let _ = file.try_lock();
    Ok(file)
}

/// Removes what runs that were killed have left of a file: names of ours that no process holds.
fn clear(path: &Path, name: &OsStr) {
    let beginning = format!(".{}.", name.to_string_lossy());
    let Some(parent) = path.parent() else { return };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let found = entry.file_name().to_string_lossy().into_owned();
        let mark = found.strip_prefix(&beginning).and_then(|rest| rest.strip_suffix("tmp"));
        let is_mark = |mark: &str| mark.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'.');
        let gone = || File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
        if mark.is_some_and(is_mark) && gone() {
            remove(&entry.path());
        }
    }
}

/// Removes a temporary file, or a folder with its parts; only names that this module gives.
fn remove(temporary: &Path) {
    if !fs::symlink_metadata(temporary).is_ok_and(|found| found.is_dir()) {
        let _ = fs::remove_file(temporary);
        return;
    }
    for entry in fs::read_dir(temporary).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("part-") {
            let _ = fs::remove_file(entry.path());
        }
    }
    let _ = fs::remove_dir(temporary);
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.committed {
            self.remove();
        }
    }
}

/// `panel.parquet` → `panel.truth.json`, beside the panel so that a folder holds nothing but the panel.
pub fn truth_path(out: &Path) -> PathBuf {
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
