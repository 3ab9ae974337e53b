//! Tables in local folders.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bytes::Bytes;
use stagger_model::error::{Result, StaggerError};
use stagger_storage::disk;

use super::{Folder, Snapshot, delta, is_log, table_at};

/// A table's folder and its snapshot.
#[derive(Debug)]
pub(crate) struct LocalTable {
    /// The folder's canonical path.
    pub(crate) root: PathBuf,
    /// The files of the newest version.
    pub(crate) snapshot: Snapshot,
}

/// The tables by folder, each looked for once.
#[derive(Default)]
pub(crate) struct LocalTables {
    known: HashMap<PathBuf, Option<Rc<LocalTable>>>,
}

impl LocalTables {
    /// Returns the table that a folder is, if it is one; `folder` is a canonical path.
    ///
    /// # Errors
    /// A table that can't be read.
    pub(crate) fn at(&mut self, folder: &Path) -> Result<Option<Rc<LocalTable>>> {
        if let Some(known) = self.known.get(folder) {
            return Ok(known.clone());
        }
        let snapshot = table_at(&OnDisk(folder))?;
        let table = snapshot.map(|snapshot| Rc::new(LocalTable { root: folder.to_owned(), snapshot }));
        self.known.insert(folder.to_owned(), table.clone());
        Ok(table)
    }

    /// Returns the nearest table that the folder is, or is in.
    ///
    /// # Errors
    /// Those of [`LocalTables::at`].
    pub(crate) fn above(&mut self, folder: &Path) -> Result<Option<Rc<LocalTable>>> {
        for folder in folder.ancestors() {
            if let Some(table) = self.at(folder)? {
                return Ok(Some(table));
            }
        }
        Ok(None)
    }
}

impl LocalTable {
    /// Returns the error for a file that is gone.
    pub(crate) fn gone(&self, path: &str) -> StaggerError {
        delta::gone(&self.root.display().to_string(), path)
    }
}

struct OnDisk<'a>(&'a Path);

impl Folder for OnDisk<'_> {
    fn name(&self) -> String {
        self.0.display().to_string()
    }

    fn names(&self, below: &str) -> Result<Vec<String>> {
        let folder = self.0.join(below);
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            // Folders above the input may be unreadable; the log of a table must be readable.
            Err(error) if is_log(below) && error.kind() == std::io::ErrorKind::PermissionDenied => {
                return Err(failed(&folder, &error));
            }
            Err(_) => return Ok(Vec::new()),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.push(
                entry.map_err(|error| failed(&folder, &error))?.file_name().to_string_lossy().into_owned(),
            );
        }
        names.sort();
        Ok(names)
    }

    fn read(&self, path: &str) -> Result<Bytes> {
        let path = self.0.join(path);
        disk::read(&path, disk::MAX_RECORD_BYTES).map(Bytes::from).map_err(|error| failed(&path, &error))
    }
}

fn failed(path: &Path, error: &std::io::Error) -> StaggerError {
    StaggerError::input(format!("`{}`: {error}", path.display()))
}
