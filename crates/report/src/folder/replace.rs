//! A new folder takes the place of an old one at once; what a person put into the old one comes along.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::OWN;
use super::disk::{Disk, is_taken};

/// Files of a person's that are taken along; a folder with more is no result's.
const MOST: usize = 10_000;

/// A test that tells the result's own paths below the target from others.
pub(super) type IsOwn<'a> = &'a dyn Fn(&Path) -> bool;

/// Enters everything of `old` that is not the result's own in `new` too: files as links, folders as new ones.
///
/// # Errors
/// What can't be entered twice: another mount, another owner's folder, a file system without links.
pub(super) fn link_foreign_files(disk: &Disk, old: &Path, new: &Path, own: IsOwn<'_>) -> io::Result<()> {
    let mut left = MOST;
    keep_in(disk, old, new, (Path::new(""), own), &mut left)
}

fn keep_in(
    disk: &Disk,
    old: &Path,
    new: &Path,
    (below, own): (&Path, IsOwn<'_>),
    left: &mut usize,
) -> io::Result<()> {
    for entry in fs::read_dir(old.join(below))? {
        let name = entry?.file_name();
        let path = below.join(&name);
        if own(&path) || name.to_string_lossy().starts_with(OWN) {
            continue;
        }
        *left = left.checked_sub(1).ok_or(ErrorKind::QuotaExceeded)?;
        let (from, to) = (old.join(&path), new.join(&path));
        let found = fs::symlink_metadata(&from)?;
        if !found.is_dir() {
            disk.link(&from, &to)?;
            continue;
        }
        if !is_taken(&to) {
            disk.make(&to)?;
        }
        keep_in(disk, old, new, (&path, own), left)?;
        copy_permissions(&found, &to)?;
    }
    Ok(())
}

/// Gives a folder the mode and the times of another.
///
/// # Errors
/// A folder of another owner, whose place nobody else's takes.
pub(super) fn copy_permissions(old: &Metadata, new: &Path) -> io::Result<()> {
    let found = fs::metadata(new)?;
    if (found.uid(), found.gid()) != (old.uid(), old.gid()) {
        return Err(ErrorKind::PermissionDenied.into());
    }
    fs::set_permissions(new, old.permissions())?;
    // Times are a courtesy.
    if let (Ok(time), Ok(handle)) = (old.modified(), fs::File::open(new)) {
        let _ = handle.set_modified(time);
    }
    Ok(())
}

/// Takes out of `new` again what [`keep`] has entered; the other names of the files stay.
pub(super) fn unlink_foreign_files(new: &Path, own: IsOwn<'_>) {
    let entries = |below: &Path| fs::read_dir(new.join(below)).into_iter().flatten().flatten();
    fn clear(new: &Path, below: &Path, own: IsOwn<'_>) {
        for entry in fs::read_dir(new.join(below)).into_iter().flatten().flatten() {
            let path = below.join(entry.file_name());
            let full = new.join(&path);
            let folder = fs::symlink_metadata(&full).is_ok_and(|meta| meta.is_dir());
            match folder {
                // One with files of the result in it stays.
                true => {
                    clear(new, &path, own);
                    let _ = fs::remove_dir(&full);
                }
                false if own(&path) => {}
                false => drop(fs::remove_file(&full)),
            }
        }
    }
    if entries(Path::new("")).next().is_some() {
        clear(new, Path::new(""), own);
    }
}

/// Removes a folder that another has replaced, or that was never put in place: the result's own files, and those of a
/// person that `new` has too. What `new` has not is moved there; what it has otherwise stays where it is.
///
/// # Errors
/// What can't be moved or removed; it stays.
pub(super) fn remove_own_files(disk: &Disk, old: &Path, new: &Path, own: IsOwn<'_>) -> io::Result<()> {
    retire_in(disk, old, new, (Path::new(""), own))?;
    disk.remove_folder(old)
}

fn retire_in(disk: &Disk, old: &Path, new: &Path, (below, own): (&Path, IsOwn<'_>)) -> io::Result<()> {
    for entry in fs::read_dir(old.join(below))? {
        let name = entry?.file_name();
        let path = below.join(&name);
        let (from, to) = (old.join(&path), new.join(&path));
        let found = fs::symlink_metadata(&from)?;
        if found.is_dir() {
            retire_in(disk, old, new, (&path, own))?;
            // Not empty where something stays.
            let _ = disk.remove_folder(&from);
            continue;
        }
        let there = fs::symlink_metadata(&to).ok();
        let same =
            there.as_ref().is_some_and(|there| (there.dev(), there.ino()) == (found.dev(), found.ino()));
        if own(&path) || same || name.to_string_lossy().starts_with(OWN) {
            disk.remove_file(&from)?;
        } else if there.is_none() && new.is_dir() {
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent)?;
            }
            disk.rename(&from, &to)?;
        }
    }
    Ok(())
}
