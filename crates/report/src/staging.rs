//! The output of this process that is not complete yet: what an interrupt removes, and the moment after which it removes nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use stagger_model::failure::Failure;

/// Something that an interrupt must not leave behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// A folder of files that are not in place yet.
    Tree(PathBuf),
    /// A lock.
    File(PathBuf),
    /// A folder that was made on the way; it is removed as long as it is empty.
    Folder(PathBuf),
}

impl Leftover {
    fn path(&self) -> &Path {
        let (Self::Tree(path) | Self::File(path) | Self::Folder(path)) = self;
        path
    }

    /// Removes the leftover. One that can't be removed stays: the process ends.
    fn remove(&self) {
        let _ = match self {
            Self::Tree(path) => fs::remove_dir_all(path),
            Self::File(path) => fs::remove_file(path),
            Self::Folder(path) => fs::remove_dir(path),
        };
    }
}

/// The output of this process.
#[derive(Debug)]
pub struct Output {
    leftovers: Vec<Leftover>,
    /// The folder of the complete result.
    committed: Option<PathBuf>,
    /// The result was put in place, even if it is sent elsewhere afterwards.
    complete: bool,
}

static OUTPUT: Mutex<Output> = Mutex::new(Output { leftovers: Vec::new(), committed: None, complete: false });

impl Output {
    /// Removes the leftovers, the last one first.
    pub fn remove_leftovers(&self) {
        self.leftovers.iter().rev().for_each(Leftover::remove);
    }

    /// Returns the folder of the complete result, unless that is sent elsewhere.
    pub fn committed(&self) -> Option<&Path> {
        self.committed.as_deref()
    }

    /// Returns true once the result is complete, wherever it goes from there.
    pub fn is_complete(&self) -> bool {
        self.complete
    }
}

/// Returns the output, and keeps files from being put in place as long as the guard lives.
pub fn lock() -> MutexGuard<'static, Output> {
    OUTPUT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes an interrupt remove a leftover.
pub fn remove_on_interrupt(leftover: Leftover) {
    lock().leftovers.push(leftover);
}

/// Makes an interrupt leave a path alone: it is gone, or in place.
pub fn keep_on_interrupt(path: &Path) {
    lock().leftovers.retain(|leftover| leftover.path() != path);
}

/// Puts the files of `staged` in place in `target` by calling `put`; an interrupt waits until that is done.
///
/// # Errors
/// Those of `put`; the output is not complete then.
pub fn commit(
    target: &Path,
    staged: &Path,
    put: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut output = lock();
    put()?;
    output.leftovers.retain(|leftover| leftover.path() != staged);
    output.committed = Some(target.to_owned());
    output.complete = true;
    Ok(())
}

/// Takes note that the complete result is sent elsewhere and is not kept in its folder.
pub fn send_elsewhere() {
    lock().committed = None;
}
