//! A folder of one result, or of several, that appears whole or not at all.
//!
//! Everything that can be wrong with the place is found before anything is computed: what is there, who may write, how much
//! room there is, who else writes. Files are written to a hidden folder beside the target, or within it where nothing can
//! be made beside it, and put in place when all are complete. An earlier result is replaced at once (`replace`), or so that
//! whoever comes next finishes it (`inside`). What a person added to it stays. An error or an interrupt leaves nothing
//! behind; what a kill leaves is cleared by the next run.

mod disk;
mod inside;
mod lock;
mod replace;
mod target;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use stagger_model::failure::Failure;
use stagger_storage::disk::random_name;

use self::disk::{Disk, file_names, is_taken, sync};
use self::lock::Lock;
use self::replace::{copy_permissions, link_foreign_files, remove_own_files, unlink_foreign_files};
use self::target::{CreatedFolders, Target};
use crate::checksums::CHECKSUMS;
use crate::save::is_result_file;
use crate::staging::Leftover;
use crate::{checksums, staging};

pub use disk::{identity, private_folder};
pub use inside::finish_commit;

/// File by which an earlier result is known.
pub const RESULT: &str = "result.json";
/// Beginning of the names that are our own beside and in a target.
const OWN: &str = ".stagger-";
/// End of the name of a folder that is being written.
const PARTIAL: &str = ".partial";
/// Bytes that a result takes at least, written and removed again to see whether there is room.
const TRIAL: usize = 64 << 10;

/// A result's folder, or several in one, being written.
#[derive(Debug)]
pub struct StagedOutput {
    target: Target,
    staged: PathBuf,
    /// The mode that the folder gets in the end, where there is none to replace.
    mode: fs::Permissions,
    /// It lies within the target, not beside it.
    inside: bool,
    names: Vec<String>,
    parts: Vec<StagedResult>,
    disk: Disk,
    // Dropped in this order: locks first, then the folders that were made for them.
    locks: Vec<Lock>,
    _made: CreatedFolders,
}

/// The folder of one result as it is being written.
#[derive(Debug)]
pub struct StagedResult {
    staged: PathBuf,
    target: PathBuf,
}

impl StagedResult {
    /// Writes a file whole, down to the disk; errors name its final path.
    pub fn write(&self, name: &str, write: impl FnOnce(File) -> io::Result<File>) -> Result<(), Failure> {
        File::create(self.staged.join(name))
            .and_then(write)
            .and_then(|file| file.sync_all())
            .map_err(|source| Failure::write(&self.target.join(name), &source))
    }
}

impl StagedOutput {
    /// Makes sure that the results `names` can be written to folders in `out`, or one to `out` itself, before anything is
    /// computed; holds the place for them from then on.
    ///
    /// # Errors
    /// Exit status 2 for a place that is none or holds something else, or that another run writes; 1 for one that can't be
    /// written.
    pub fn prepare(out: &Path, names: &[&str]) -> Result<Self, Failure> {
        let mut target = Target::resolve(out)?;
        let made = target.make_parents()?;
        let locks = lock(&target, names)?;
        if target.exists {
            inside::finish(&Disk::default(), &target.path).map_err(|source| Failure::write(out, &source))?;
            clear(&target.path, |name| name.starts_with(OWN) && name.ends_with(PARTIAL), &target.path);
        }
        target.refuse_foreign(names)?;
        if let Some((parent, name)) = &target.place {
            clear(parent, |found| is_leftover(found, name), &target.path);
        }
        let (staged, inside) = stage(&target)?;
        let mut folder = Self {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            parts: Vec::new(),
            disk: Disk::default(),
            _made: made,
            mode: fs::Permissions::from_mode(0o755),
            target,
            staged,
            inside,
            locks,
        };
        folder.try_out()?;
        folder.parts = folder.make_parts()?;
        Ok(folder)
    }

    /// The folders, in the order of their names.
    pub fn parts(&self) -> &[StagedResult] {
        &self.parts
    }

    fn make_parts(&self) -> Result<Vec<StagedResult>, Failure> {
        let given = &self.target.given;
        if self.names.is_empty() {
            return Ok(vec![StagedResult { staged: self.staged.clone(), target: given.clone() }]);
        }
        let part = |name: &String| {
            let part = StagedResult { staged: self.staged.join(name), target: given.join(name) };
            fs::create_dir(&part.staged).map_err(|source| Failure::write(&part.target, &source))?;
            Ok(part)
        };
        self.names.iter().map(part).collect()
    }

    /// Refuses a disk that has fewer bytes free.
    ///
    /// # Errors
    /// Exit status 1, as of a disk that is full.
    pub fn check_room(&self, bytes: u64) -> Result<(), Failure> {
        // Where the system can't tell, writing will.
        let Ok(found) = rustix::fs::statvfs(&self.staged) else { return Ok(()) };
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        if free >= bytes {
            return Ok(());
        }
        let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
        Err(Failure::failed(format!(
            "can't write {}: the result takes {} at least, and its disk has {} free",
            self.target.given.display(),
            megabytes(bytes),
            megabytes(free)
        ))
        .hint("free some space, or give another folder with --out"))
    }

    /// Writes a small file, moves it to the target and removes it: room, quotas, permissions and mounts are found wrong now.
    fn try_out(&mut self) -> Result<(), Failure> {
        let given = self.target.given.clone();
        let failed = |source: io::Error| Failure::write(&given, &source);
        self.mode = usual_mode(&self.staged).map_err(failed)?;
        let trial = self.staged.join(random_name(OWN, ".trial"));
        let written = File::create(&trial)
            .and_then(|mut file| file.write_all(&[0; TRIAL]).and_then(|()| file.sync_all()));
        written.map_err(failed)?;
        let goal = match (self.target.exists, self.inside) {
            (true, false) => self.target.path.join(random_name(OWN, PARTIAL)),
            _ => return fs::remove_file(&trial).map_err(failed),
        };
        match fs::rename(&trial, &goal) {
            Ok(()) => fs::remove_file(&goal).map_err(failed),
            // The target is a mount of its own.
            Err(error) if error.kind() == ErrorKind::CrossesDevices => self.move_inside(),
            Err(source) => Err(failed(source)),
        }
    }

    fn move_inside(&mut self) -> Result<(), Failure> {
        remove(&self.staged);
        self.staged =
            make(&self.target.path, OWN).map_err(|error| Failure::write(&self.target.given, &error))?;
        self.inside = true;
        // Room and permissions are those of another place now.
        self.try_out()
    }

    /// Puts the files in place. Of an earlier result nothing stays; of what a person added, everything.
    ///
    /// # Errors
    /// Those of the file system, and a target that is not the one of the beginning any more.
    pub fn commit(self) -> Result<(), Failure> {
        let failed = |source: io::Error| Failure::write(&self.target.given, &source);
        for part in &self.parts {
            checksums::write(&part.staged).map_err(failed)?;
            sync(&part.staged);
        }
        sync(&self.staged);
        staging::commit(&self.target.given, &self.staged, || self.put())
    }

    fn put(&self) -> Result<(), Failure> {
        let failed = |source: io::Error| Failure::write(&self.target.given, &source);
        let moved = || Failure::failed(format!("{} is another folder now", self.target.given.display()));
        if !self.locks.iter().all(Lock::holds) {
            return Err(moved().hint("somebody has moved or replaced it; run it again"));
        }
        if self.inside {
            return inside::put(&self.disk, &self.staged, &self.target.path).map_err(failed);
        }
        if self.target.exists {
            return self.exchange().map_err(failed);
        }
        fs::set_permissions(&self.staged, self.mode.clone()).map_err(failed)?;
        // An empty folder that somebody has made meanwhile gives way; another one does not.
        self.disk.rename(&self.staged, &self.target.path).map_err(failed)?;
        self.settled();
        Ok(())
    }

    /// Lets the new folder and the old one change places, and removes the old one.
    fn exchange(&self) -> io::Result<()> {
        let (old, own) = (&self.target.path, |path: &Path| self.is_own(path));
        let kept = link_foreign_files(&self.disk, old, &self.staged, &own)
            .and_then(|()| copy_permissions(&fs::metadata(old)?, &self.staged))
            .and_then(|()| self.disk.exchange(&self.staged, old));
        if kept.is_err() {
            // What the file system can't do at once is done within the folder.
            unlink_foreign_files(&self.staged, &own);
            let within = old.join(random_name(OWN, PARTIAL));
            self.disk.rename(&self.staged, &within)?;
            return inside::put(&self.disk, &within, old);
        }
        self.settled();
        // The result is in place: what stays of the old one is cleared by the next run.
        let _ = remove_own_files(&self.disk, &self.staged, old, &own);
        Ok(())
    }

    /// Has the disk remember what is in place now.
    fn settled(&self) {
        if let Some((parent, _)) = &self.target.place {
            sync(parent);
        }
    }

    /// Returns true if a path below the target is a file of the results that are being written.
    fn is_own(&self, path: &Path) -> bool {
        match (self.names.is_empty(), path.iter().collect::<Vec<_>>().as_slice()) {
            (true, [name]) => is_own_name(name),
            (false, [part, name]) => self.names.iter().any(|own| *part == own.as_str()) && is_own_name(name),
            _ => false,
        }
    }
}

impl Drop for StagedOutput {
    fn drop(&mut self) {
        // Gone already after a commit, or what a person still has in it stays.
        staging::keep_on_interrupt(&self.staged);
        let _ = remove_own_files(&Disk::default(), &self.staged, &self.target.path, &any_own);
    }
}

fn is_own_name(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| is_result_file(name) || name == CHECKSUMS || name.starts_with(OWN))
}

/// Returns true if a path may be a file of any result, one of several included.
fn any_own(path: &Path) -> bool {
    path.iter().count() <= 2 && path.file_name().is_some_and(is_own_name)
}

/// Locks the target's name and the folders there are: the second of two runs into one is refused.
fn lock(target: &Target, names: &[&str]) -> Result<Vec<Lock>, Failure> {
    let mut locks: Vec<Lock> = Lock::beside(target)?.into_iter().collect();
    if target.exists {
        locks.extend(Lock::folder(&target.path, &target.given)?);
        for name in names {
            let folder = target.path.join(name);
            if folder.is_dir() {
                locks.extend(Lock::folder(&folder, &target.given.join(name))?);
            }
        }
    }
    Ok(locks)
}

/// Makes the folder to write in: beside the target, or in it where the target is to stay the same folder.
fn stage(target: &Target) -> Result<(PathBuf, bool), Failure> {
    let failed = |source: io::Error| Failure::write(&target.given, &source);
    if let Some((parent, name)) = target.place.as_ref().filter(|_| !stays(target)) {
        match make(parent, &beginning(name)) {
            Ok(staged) => return Ok((staged, false)),
            Err(source) if !target.exists => return Err(failed(source)),
            Err(_) => {}
        }
    }
    make(&target.path, OWN).map(|staged| (staged, true)).map_err(failed)
}

/// Returns the default rights of a new folder there.
fn usual_mode(parent: &Path) -> io::Result<fs::Permissions> {
    let trial = parent.join(random_name(OWN, ".trial"));
    fs::create_dir(&trial)?;
    let mode = fs::metadata(&trial)?.permissions();
    fs::remove_dir(&trial)?;
    Ok(mode)
}

fn make(parent: &Path, prefix: &str) -> io::Result<PathBuf> {
    let staged = private_folder(parent, prefix, PARTIAL)?;
    staging::remove_on_interrupt(Leftover::Tree(staged.clone()));
    Ok(staged)
}

/// Beginning of the names of folders beside a target that are being written.
fn beginning(name: &OsStr) -> String {
    let text = name.to_string_lossy();
    // A name may be as long as a name can be.
    let short: String = text.chars().take(40).collect();
    format!(".{short}.")
}

/// Returns true if a folder must stay itself: it is somebody else's, or has rights that a new one would not have.
fn stays(target: &Target) -> bool {
    let Ok(found) = fs::metadata(&target.path) else { return false };
    let another = found.uid() != rustix::process::geteuid().as_raw();
    let mut names = [0; 4096];
    let listed = rustix::fs::listxattr(&target.path, &mut names).unwrap_or(0);
    let rights = String::from_utf8_lossy(&names[..listed]).contains("posix_acl");
    another || rights
}

/// Returns true if a folder beside the target is one that a killed run was writing.
fn is_leftover(found: &str, name: &OsStr) -> bool {
    let middle = found.strip_prefix(&beginning(name)).and_then(|rest| rest.strip_suffix(PARTIAL));
    middle.is_some_and(|mark| !mark.is_empty() && mark.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Clears what killed runs have left; the target is locked, so none of it is anybody's any more. What can't be removed, and
/// what a person has put there, stays.
fn clear(folder: &Path, is_left: impl Fn(&str) -> bool, target: &Path) {
    for name in file_names(folder).unwrap_or_default().into_iter().filter(|name| is_left(name)) {
        let path = folder.join(&name);
        match fs::symlink_metadata(&path).map(|meta| meta.file_type()) {
            Ok(kind) if kind.is_dir() => drop(remove_own_files(&Disk::default(), &path, target, &any_own)),
            Ok(kind) if kind.is_file() && name.starts_with(OWN) => drop(fs::remove_file(&path)),
            _ => {}
        }
    }
}

fn remove(folder: &Path) {
    staging::keep_on_interrupt(folder);
    if is_taken(folder) {
        let _ = fs::remove_dir_all(folder);
    }
}
