//! Changes of folders, one call each: a test can stop after any of them, as a kill does.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use stagger_storage::disk::random_name;

/// The file system, and in tests the number of changes after which the process dies.
#[derive(Debug, Default)]
pub(super) struct Disk {
    #[cfg(test)]
    pub(super) left: Option<std::cell::Cell<usize>>,
}

impl Disk {
    /// A disk of a process that dies after a number of changes.
    #[cfg(test)]
    pub(super) fn failing_after(changes: usize) -> Self {
        Self { left: Some(std::cell::Cell::new(changes)) }
    }

    #[cfg(test)]
    fn change(&self) -> io::Result<()> {
        let Some(left) = &self.left else { return Ok(()) };
        match left.get() {
            0 => Err(io::Error::other("killed")),
            some => {
                left.set(some - 1);
                Ok(())
            }
        }
    }

    #[cfg(not(test))]
    #[allow(clippy::unnecessary_wraps)]
    fn change(&self) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change()?;
        fs::rename(from, to)
    }

    /// Lets two folders change places at once.
    pub(super) fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        self.change()?;
        Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
    }

    pub(super) fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change()?;
        fs::hard_link(from, to)
    }

    pub(super) fn make(&self, folder: &Path) -> io::Result<()> {
        self.change()?;
        fs::create_dir(folder)
    }

    pub(super) fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.change()?;
        fs::remove_file(path)
    }

    pub(super) fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.change()?;
        fs::remove_dir(path)
    }
}

/// Makes a folder that nobody else can enter, under a name that nobody can guess: `PREFIX`, 16 digits, `SUFFIX`.
///
/// # Errors
/// Those of `mkdir`; a name that is taken is none.
pub fn private_folder(parent: &Path, prefix: &str, suffix: &str) -> io::Result<PathBuf> {
    for _ in 0..100 {
        let path = parent.join(random_name(prefix, suffix));
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Returns the device of a file or folder and its inode there, which tell it from every other; none if it is not there.
pub fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Writes a folder's entries down to the disk; some network mounts can't, and are as safe as they are.
pub(super) fn sync(folder: &Path) {
    let _ = fs::File::open(folder).and_then(|handle| handle.sync_all());
}

/// Names in a folder; those that are not UTF-8 with replacements.
pub(super) fn file_names(folder: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// Returns true if there is something of that name, a dangling link included.
pub(super) fn is_taken(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}
