//! One run a folder: locks that end with the process that holds them, however it ends.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use stagger_model::failure::Failure;
use xxhash_rust::xxh3::xxh3_64;

use super::OWN;
use super::target::Target;
use crate::staging;
use crate::staging::Leftover;

/// A lock on a folder, or on a file beside it that goes with the lock.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
    /// The file to remove.
    beside: Option<PathBuf>,
    /// The path of what is locked.
    locked: PathBuf,
    identity: (u64, u64),
}

impl Lock {
    /// Locks the name of a target by a file beside it; `None` where nothing can be made there.
    pub(super) fn beside(target: &Target) -> Result<Option<Self>, Failure> {
        let Some((parent, name)) = &target.place else { return Ok(None) };
        let mark = xxh3_64(name.as_encoded_bytes());
        match Self::file(&parent.join(format!("{OWN}{mark:016x}.lock")), &target.given) {
            Err(Refused::Held(failure)) => Err(failure),
            Err(Refused::Impossible) => Ok(None),
            Ok(lock) => Ok(Some(lock)),
        }
    }

    /// Locks a folder itself: it may have other names, by links and mounts.
    pub(super) fn folder(folder: &Path, given: &Path) -> Result<Option<Self>, Failure> {
        let open = || File::open(folder).map_err(|source| Failure::read(folder, &source));
        match locked(open, folder) {
            Ok(Some((file, identity))) => {
                Ok(Some(Self { _file: file, beside: None, locked: folder.to_owned(), identity }))
            }
            Ok(None) => Err(held(given, None)),
            // Network mounts lock files alone.
            Err(Trouble::Lock) => match Self::file(&folder.join(format!("{OWN}lock")), given) {
                Err(Refused::Held(failure)) => Err(failure),
                Err(Refused::Impossible) => Ok(None),
                Ok(lock) => Ok(Some(lock)),
            },
            Err(Trouble::Open(failure)) => Err(failure),
        }
    }

    fn file(path: &Path, given: &Path) -> Result<Self, Refused> {
        let open = || {
            let mut options = File::options();
            options.create(true).truncate(false).read(true).write(true).mode(0o600);
            // Nobody's link leads the lock elsewhere.
            options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
            options.open(path).map_err(|source| Failure::write(path, &source))
        };
        let (mut file, identity) = match locked(open, path) {
            Ok(Some(found)) => found,
            Ok(None) => return Err(Refused::Held(held(given, holder(path)))),
            Err(_) => return Err(Refused::Impossible),
        };
        // Whom to ask; a lock that says nothing holds as well.
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let text = format!("process {} on {}\n", std::process::id(), host.trim());
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
        staging::remove_on_interrupt(Leftover::File(path.to_owned()));
        Ok(Self { _file: file, beside: Some(path.to_owned()), locked: path.to_owned(), identity })
    }

    /// Returns true if the path still leads to what is locked.
    pub(super) fn holds(&self) -> bool {
        super::disk::identity(&self.locked) == Some(self.identity)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(path) = &self.beside {
            // Removed while it is held: whoever waits for it finds that it is another file then.
            if self.holds() {
                let _ = fs::remove_file(path);
            }
            staging::keep_on_interrupt(path);
        }
    }
}

enum Refused {
    Held(Failure),
    Impossible,
}

enum Trouble {
    Open(Failure),
    Lock,
}

/// A file that is locked, with its device and inode.
type Locked = (File, (u64, u64));

/// Opens and locks what a path leads to, until both are the same; `None` where another holds it.
fn locked(open: impl Fn() -> Result<File, Failure>, path: &Path) -> Result<Option<Locked>, Trouble> {
    for _ in 0..1000 {
        let file = open().map_err(Trouble::Open)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Interrupted => continue,
            Err(TryLockError::Error(_)) => return Err(Trouble::Lock),
        }
        let identity = file.metadata().map(|meta| (meta.dev(), meta.ino())).map_err(|_| Trouble::Lock)?;
        if super::disk::identity(path) == Some(identity) {
            return Ok(Some((file, identity)));
        }
    }
    Err(Trouble::Lock)
}

fn holder(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(200).read_to_string(&mut text).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn held(given: &Path, holder: Option<String>) -> Failure {
    let holder = holder.map(|holder| format!(" ({holder})")).unwrap_or_default();
    Failure::input(format!("--out {} is being written by another run{holder}", given.display()))
        .hint("wait for its end, or give another folder")
}
