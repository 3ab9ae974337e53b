//! An earlier result replaced within its folder, where the folder itself can't be: a mount, or a folder around it that is
//! closed.
//!
//! The new files lie in a folder of their own, which one `rename` makes the record of the replacement. From then on the
//! result is the new one: whoever comes next, a run or a reader, puts in place what is not there yet. In between the folder
//! has no `result.json`, so that nobody takes two halves for one.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use stagger_model::failure::Failure;

use super::RESULT;
use super::disk::{Disk, file_names, sync};
use super::lock::Lock;
use crate::checksums;
use crate::checksums::CHECKSUMS;
use crate::save::is_result_file;

/// A complete result that is to be put in place.
pub(super) const RECORD: &str = ".stagger-commit";
/// The time that a reader waits for the run that is putting files in place.
const PATIENCE: Duration = Duration::from_secs(10);

/// Replaces the result in `target` by the one in `staged`, a folder in it.
///
/// # Errors
/// Those of the file system; after the first of the changes the next run or reader goes on.
pub(super) fn put(disk: &Disk, staged: &Path, target: &Path) -> io::Result<()> {
    disk.rename(staged, &target.join(RECORD))?;
    sync(target);
    finish(disk, target)
}

/// Puts in place what a replacement that was stopped has left.
///
/// # Errors
/// Those of the file system, and a record that can't be read.
pub(super) fn finish(disk: &Disk, target: &Path) -> io::Result<()> {
    let record = target.join(RECORD);
    if !record.is_dir() {
        return Ok(());
    }
    if record.join(CHECKSUMS).is_file() {
        return finish_part(disk, &record, target);
    }
    for name in file_names(&record)? {
        let (from, to) = (record.join(&name), target.join(&name));
        match to.is_dir() {
            false => disk.rename(&from, &to)?,
            true if from.join(CHECKSUMS).is_file() => finish_part(disk, &from, &to)?,
            true => disk.remove_folder(&from)?,
        }
    }
    sync(target);
    disk.remove_folder(&record)
}

/// The files of one result. Its checksums name them, and are moved last.
fn finish_part(disk: &Disk, from: &Path, to: &Path) -> io::Result<()> {
    let listed = checksums::read(from).ok().flatten().ok_or(ErrorKind::InvalidData)?;
    let mut names: Vec<&str> = listed.names().collect();
    let known: BTreeSet<&str> = names.iter().copied().collect();
    if from.join(RESULT).is_file() {
        absent(disk.remove_file(&to.join(RESULT)))?;
    }
    for stale in file_names(to)? {
        if is_result_file(&stale) && !known.contains(stale.as_str()) {
            disk.remove_file(&to.join(&stale))?;
        }
    }
    names.sort_by_key(|name| (*name == RESULT, *name));
    for name in names {
        absent(disk.rename(&from.join(name), &to.join(name)))?;
    }
    sync(to);
    disk.rename(&from.join(CHECKSUMS), &to.join(CHECKSUMS))?;
    sync(to);
    disk.remove_folder(from)
}

/// A file that is not there any more was moved before.
fn absent(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// For readers of a result's folder: finishes a replacement that was stopped, or waits for one under way.
///
/// # Errors
/// One that can't be finished: the files are not those of one result.
pub fn finish_commit(folder: &Path) -> Result<(), Failure> {
    let begin = Instant::now();
    while let Some(target) = unfinished(folder) {
        let failed = |why: &str| {
            Failure::input(format!(
                "the result in {} was not put in place completely: {why}",
                folder.display()
            ))
            .hint("whoever may write there reads it once, or run it again with --out")
        };
        match Lock::folder(&target, &target) {
            Ok(_lock) => {
                return finish(&Disk::default(), &target).map_err(|error| failed(&error.to_string()));
            }
            Err(_) if begin.elapsed() < PATIENCE => sleep(Duration::from_millis(50)),
            Err(_) => return Err(failed("a run is at it")),
        }
    }
    Ok(())
}

/// The target whose record holds files of this folder: itself, or the one around it.
fn unfinished(folder: &Path) -> Option<PathBuf> {
    if folder.join(RECORD).is_dir() {
        return Some(folder.to_owned());
    }
    let whole = fs::canonicalize(folder).ok()?;
    let (parent, name) = (whole.parent()?, whole.file_name()?);
    parent.join(RECORD).join(name).is_dir().then(|| parent.to_owned())
}
