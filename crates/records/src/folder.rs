//! Listing of local folders and globs.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use stagger_model::error::{Result, StaggerError};
use stagger_storage::disk;

use super::files::{InputPath, duplicate_file_error, file_name, hive_columns, left_out_error, no_data_error};
use super::format::{DetectedFormat, Format};
use super::names::{NameClass, by_bytes, by_name, format_of, is_skipped_folder};
use super::peek::detect_file_format;
use super::tables::{LocalTable, LocalTables, not_in_table};

/// The files that the inputs of a run have led to so far.
#[derive(Default)]
pub(super) struct Listing {
    tables: LocalTables,
    /// The files by device, inode, size and modification time: file systems without inodes give all files the same one.
    files: HashMap<(u64, u64, u64, i64, i64), PathBuf>,
    found: Vec<InputPath>,
}

/// The walk over one input.
struct Walk<'a> {
    listing: &'a mut Listing,
    /// The folders by canonical path, with the name that led to each.
    folders: HashMap<PathBuf, PathBuf>,
    /// The folder below which folders' names give columns: the input itself, or empty for a glob, whose whole matches
    /// count.
    root: PathBuf,
    left: Vec<(String, &'static str)>,
}

impl Listing {
    /// Returns the files that an input names.
    pub(super) fn expand(&mut self, input: &str) -> Result<Vec<InputPath>> {
        let path = Path::new(input);
        match std::fs::metadata(path) {
            Ok(meta) if meta.is_dir() => self.walk(input, path, std::slice::from_ref(&path.to_owned()))?,
            Ok(meta) => self.named(path, &meta)?,
            Err(_) if input.contains(['*', '?', '[']) => self.glob(input)?,
            Err(error) => return Err(unreadable(path, &error)),
        }
        Ok(std::mem::take(&mut self.found))
    }

    /// Adds a file that an input names.
    fn named(&mut self, path: &Path, meta: &Metadata) -> Result<()> {
        regular(path, meta)?;
        if let Some((table, below)) = self.table_of(path)? {
            let Some(file) = table.snapshot.files.get(&below) else {
                return Err(not_in_table(&path.display().to_string(), &table.root.display().to_string()));
            };
            let columns = file.columns.clone();
            return self.add(InputPath { logged: true, ..local(path, columns, Format::Parquet) }, meta);
        }
        let name = file_name(path);
        let format = match format_of(&name) {
            Some(format) => format,
            None => match detect_file_format(path).map_err(|error| unreadable(path, &error))? {
                DetectedFormat::Known(format) => format,
                DetectedFormat::Foreign(foreign) => {
                    return Err(foreign.unsupported_error(&path.display().to_string()));
                }
                DetectedFormat::Bytes => Format::Parquet,
            },
        };
        self.add(local(path, hive_columns(path), format), meta)
    }

    /// Adds the files that a glob matches.
    fn glob(&mut self, pattern: &str) -> Result<()> {
        let matches = glob::glob(pattern)
            .map_err(|e| StaggerError::input(format!("`{pattern}`: not a valid glob: {}", e.msg)))?;
        let mut paths = Vec::new();
        for entry in matches {
            paths.push(
                entry.map_err(|e| StaggerError::input(format!("`{}`: {}", e.path().display(), e.error())))?,
            );
        }
        if paths.is_empty() {
            return Err(StaggerError::input(format!("`{pattern}`: no file matches")));
        }
        // The walk below finds the contents of a folder that matches.
        paths.sort();
        let mut tops: Vec<PathBuf> = Vec::new();
        for path in paths {
            if !tops.last().is_some_and(|top| path.starts_with(top) && top.is_dir()) {
                tops.push(path);
            }
        }
        self.walk(pattern, Path::new(""), &tops)
    }

    /// Adds the files below the folders `tops`.
    fn walk(&mut self, input: &str, root: &Path, tops: &[PathBuf]) -> Result<()> {
        let mut walk =
            Walk { listing: self, folders: HashMap::new(), root: root.to_owned(), left: Vec::new() };
        for top in tops {
            walk.entry(top, true)?;
        }
        if !walk.left.is_empty() {
            return Err(left_out_error(input, walk.left));
        }
        match self.found.is_empty() {
            true => Err(no_data_error(input)),
            false => Ok(()),
        }
    }

    /// Returns the table that holds a file, and the file's path in it.
    fn table_of(&mut self, path: &Path) -> Result<Option<(Rc<LocalTable>, String)>> {
        let Some(folder) = system_name(path.parent().unwrap_or(Path::new("")))? else { return Ok(None) };
        let linked = system_name(path)?;
        for whole in [Some(folder.join(file_name(path))), linked].into_iter().flatten() {
            let Some(folder) = whole.parent() else { continue };
            if let Some(table) = self.tables.above(folder)? {
                let below = whole.strip_prefix(&table.root).unwrap_or(&whole).display().to_string();
                return Ok(Some((table, below)));
            }
        }
        Ok(None)
    }

    /// Adds a file; refuses one that another name has led to.
    fn add(&mut self, input: InputPath, meta: &Metadata) -> Result<()> {
        let identity = (meta.dev(), meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec());
        if let Some(first) = self.files.insert(identity, input.path.clone()) {
            return Err(duplicate_file_error(&first.display().to_string(), &input.name()));
        }
        self.found.push(input);
        Ok(())
    }
}

impl Walk<'_> {
    /// Takes a file, or walks a folder. `top` is `true` if the input names it.
    fn entry(&mut self, path: &Path, top: bool) -> Result<()> {
        let meta = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
        let name = file_name(path);
        if meta.is_dir() {
            return match top || !is_skipped_folder(&name) {
                true => self.folder(path),
                false => Ok(()),
            };
        }
        let named = by_name(&name, meta.len());
        if named == NameClass::NoData {
            return Ok(());
        }
        regular(path, &meta)?;
        if top && let Some((table, below)) = self.listing.table_of(path)? {
            let Some(file) = table.snapshot.files.get(&below) else { return Ok(()) };
            let columns = file.columns.clone();
            return self
                .listing
                .add(InputPath { logged: true, ..local(path, columns, Format::Parquet) }, &meta);
        }
        let format = match named {
            NameClass::Data(format) => format,
            _ => match by_bytes(&name, detect_file_format(path).map_err(|error| unreadable(path, &error))?) {
                Ok(format) => format,
                Err(what) => {
                    self.left.push((path.display().to_string(), what));
                    return Ok(());
                }
            },
        };
        let hive = path.strip_prefix(&self.root).map(hive_columns).unwrap_or_default();
        self.listing.add(local(path, hive, format), &meta)
    }

    /// Walks the entries of a folder, or takes the files of the table that it is.
    fn folder(&mut self, folder: &Path) -> Result<()> {
        let Some(system) = system_name(folder)? else { return Ok(()) };
        if let Some(first) = self.folders.insert(system.clone(), folder.to_owned()) {
            return Err(led_back(folder, &first));
        }
        if let Some(table) = self.listing.tables.above(&system)? {
            return self.table(folder, &system, &table);
        }
        let entries = std::fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
        let mut paths = Vec::new();
        for entry in entries {
            paths.push(entry.map_err(|error| unreadable(folder, &error))?.path());
        }
        paths.sort();
        paths.iter().try_for_each(|path| self.entry(path, false))
    }

    /// Adds the files of a table's newest version that lie below `folder`.
    fn table(&mut self, folder: &Path, system: &Path, table: &LocalTable) -> Result<()> {
        let inside = system.strip_prefix(&table.root).unwrap_or(Path::new(""));
        for (below, file) in &table.snapshot.files {
            let Ok(rest) = Path::new(below).strip_prefix(inside) else { continue };
            let path = folder.join(rest);
            let meta = match std::fs::metadata(&path) {
                Ok(meta) => meta,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(table.gone(below)),
                Err(error) => return Err(unreadable(&path, &error)),
            };
            regular(&path, &meta)?;
            let columns = file.columns.clone();
            self.listing.add(InputPath { logged: true, ..local(&path, columns, Format::Parquet) }, &meta)?;
        }
        Ok(())
    }
}

/// Returns the canonical path of a folder, or `None` if it is gone.
fn system_name(path: &Path) -> Result<Option<PathBuf>> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    match std::fs::canonicalize(path) {
        Ok(path) => Ok(Some(path)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(path, &error)),
    }
}

/// Refuses everything but regular files.
fn regular(path: &Path, meta: &Metadata) -> Result<()> {
    disk::check_regular(meta).map_err(|error| {
        StaggerError::input(format!("`{}`: {error}", path.display()))
            .with_hint("data is read twice, which pipes can't be: send it to standard input and name -, or write it to a file")
    })
}

/// Returns the error for a link to a folder that was read already.
fn led_back(folder: &Path, first: &Path) -> StaggerError {
    StaggerError::input(format!(
        "`{}` is a link to `{}`, which is read already: its rows would count twice",
        folder.display(),
        first.display()
    ))
    .with_hint("remove the link, or name the files by a glob")
}

fn local(path: &Path, hive: Vec<(String, Option<String>)>, format: Format) -> InputPath {
    InputPath { path: path.to_owned(), hive, remote: None, format, logged: false, copy: None }
}

fn unreadable(path: &Path, error: &std::io::Error) -> StaggerError {
    let why = match error.kind() {
        std::io::ErrorKind::NotFound if path.is_symlink() => "a link to a file that is not there".to_owned(),
        std::io::ErrorKind::NotFound => "no such file or folder".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            "a link that leads back to itself".to_owned()
        }
        _ => error.to_string(),
    };
    StaggerError::input(format!("`{}`: {why}", path.display()))
}
