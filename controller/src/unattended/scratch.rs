//! A folder of this process for what does not stay here.

use std::fs;
use std::path::{Path, PathBuf};

use stagger_model::failure::Failure;
use stagger_report::folder::private_folder;
use stagger_report::staging;
use stagger_report::staging::Leftover;

/// A folder in the system's one for such things: new, under a name that nobody can guess, for its owner alone. It goes when
/// it is dropped, and when the command is interrupted.
#[derive(Debug)]
pub(crate) struct ScratchFolder(PathBuf);

impl ScratchFolder {
    /// Makes it.
    ///
    /// # Errors
    /// A system without room, or without a folder for such things.
    pub(crate) fn new() -> Result<Self, Failure> {
        let parent = std::env::temp_dir();
        let path = private_folder(&parent, "stagger-", "").map_err(|source| {
            Failure::failed(format!("can't make a folder in {}: {source}", parent.display()))
                .hint("name another place for temporary files in TMPDIR")
        })?;
        staging::remove_on_interrupt(Leftover::Tree(path.clone()));
        Ok(Self(path))
    }

    /// The folder in it that a result is written to.
    pub(crate) fn result(&self) -> PathBuf {
        self.0.join("result")
    }

    /// Returns the path of the folder.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        // What can't be removed is in the folder that the system clears.
        let _ = fs::remove_dir_all(&self.0);
        staging::keep_on_interrupt(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_its_owners_alone_and_goes() {
        let (one, other) = (ScratchFolder::new().unwrap(), ScratchFolder::new().unwrap());
        let path = one.path().to_owned();
        assert_ne!(path, other.path());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        fs::write(path.join("a"), "").unwrap();
        drop(one);
        assert!(!path.exists() && other.path().exists());
    }
}
