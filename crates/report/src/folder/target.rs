//! The folder that `--out` names, and its tests: may it be one of a result?

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use stagger_model::failure::Failure;

use super::disk::{file_names, is_taken};
use super::{OWN, RESULT};
use crate::checksums::CHECKSUMS;
use crate::save::is_result_file;
use crate::staging::Leftover;
use crate::{checksums, staging};

/// A folder that file systems put into their own root.
const OF_MOUNTS: &str = "lost+found";
/// The first bytes of every `result.json`.
const BEGINNING: &[u8] = b"{\"estimator\":";

/// A folder that is to be written.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// As it was given, for messages.
    pub(super) given: PathBuf,
    /// The folder, links followed.
    pub(super) path: PathBuf,
    /// The folder around it and its name there; the root has none.
    pub(super) place: Option<(PathBuf, OsString)>,
    pub(super) exists: bool,
}

impl Target {
    /// Follows links and dots; makes nothing.
    ///
    /// # Errors
    /// A file, a link to nothing, a path through a file, another scheme than a folder's.
    pub(super) fn resolve(given: &Path) -> Result<Self, Failure> {
        let shown = given.display();
        if let Some((scheme, _)) = given.to_str().unwrap_or_default().split_once("://") {
            return Err(Failure::input(format!("--out {shown}: no kind of place is called \"{scheme}\""))
                .hint("give a folder, or s3://BUCKET/PREFIX"));
        }
        if given.to_str().is_some_and(|text| text.starts_with("s3:/")) {
            return Err(Failure::input(format!("--out {shown} has one slash where S3's addresses have two"))
                .hint("the form is s3://BUCKET/PREFIX; ./s3:/ is a folder"));
        }
        match fs::metadata(given) {
            Ok(found) if found.is_dir() => {
                let path = fs::canonicalize(given).map_err(|source| Failure::write(given, &source))?;
                let place = path.parent().zip(path.file_name());
                let place = place.map(|(parent, name)| (parent.to_owned(), name.to_owned()));
                Ok(Self { given: given.to_owned(), place, path, exists: true })
            }
            Ok(found) => {
                let what = if found.is_file() { "is a file, not a folder" } else { "is no folder" };
                Err(Failure::input(format!("--out {shown} {what}")).hint("give a new folder"))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Self::absent(given),
            Err(error) if error.kind() == ErrorKind::NotADirectory => {
                Err(Failure::input(format!("--out {shown} leads through a file")).hint("give a new folder"))
            }
            Err(source) => Err(Failure::write(given, &source)),
        }
    }

    fn absent(given: &Path) -> Result<Self, Failure> {
        // Without dots and the slash at the end.
        let path: PathBuf = given.components().collect();
        let shown = given.display();
        if is_taken(&path) {
            let goal = fs::read_link(&path).unwrap_or_default();
            return Err(Failure::input(format!(
                "--out {shown} is a link to {}, which is not there",
                goal.display()
            ))
            .hint("make that folder, or remove the link"));
        }
        let Some(name) = path.file_name() else {
            return Err(Failure::input(format!("--out {shown} names no folder")).hint("give a new folder"));
        };
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let place = Some((parent.to_owned(), name.to_owned()));
        Ok(Self { given: given.to_owned(), path, place, exists: false })
    }

    /// Makes the folders above, and names the target by the one around it as it really is.
    pub(super) fn make_parents(&mut self) -> Result<CreatedFolders, Failure> {
        let mut made = CreatedFolders(Vec::new());
        let Some((parent, name)) = self.place.clone().filter(|_| !self.exists) else { return Ok(made) };
        let absent: Vec<PathBuf> =
            parent.ancestors().take_while(|above| !is_taken(above)).map(Path::to_owned).collect();
        for folder in absent.into_iter().rev().filter(|folder| !folder.as_os_str().is_empty()) {
            match fs::create_dir(&folder) {
                Ok(()) => made.add(folder),
                // `a/../b`, or another process that makes it too.
                Err(_) if folder.is_dir() => {}
                Err(source) => return Err(Failure::write(&folder, &source)),
            }
        }
        let parent = fs::canonicalize(&parent).map_err(|source| Failure::write(&parent, &source))?;
        self.path = parent.join(&name);
        self.place = Some((parent, name));
        Ok(made)
    }

    /// Refuses a folder that holds something other than an earlier result, and one that holds something else under a
    /// name that a result needs. `names` are those of several results in it.
    pub(super) fn refuse_foreign(&self, names: &[&str]) -> Result<(), Failure> {
        if !self.exists {
            return Ok(());
        }
        if names.is_empty() {
            return refuse_foreign(&self.given, &self.path);
        }
        let found = entries(&self.path)?;
        let holds = |name: &String| self.path.join(name).join(RESULT).is_file();
        if !found.is_empty() && !found.iter().any(holds) {
            return Err(Failure::input(format!(
                "--out {} is not empty and holds no folder of an earlier result",
                self.given.display()
            ))
            .hint("several specifications are saved in a folder each: give a new folder for them"));
        }
        names.iter().try_for_each(|name| refuse_foreign(&self.given.join(name), &self.path.join(name)))
    }
}

/// Names in a folder, without our own hidden ones and what every mounted file system has.
fn entries(folder: &Path) -> Result<Vec<String>, Failure> {
    let names = file_names(folder).map_err(|source| Failure::read(folder, &source))?;
    Ok(names.into_iter().filter(|name| !name.starts_with(OWN) && name != OF_MOUNTS).collect())
}

fn refuse_foreign(given: &Path, folder: &Path) -> Result<(), Failure> {
    let shown = given.display();
    match fs::metadata(folder) {
        Ok(found) if !found.is_dir() => {
            return Err(
                Failure::input(format!("--out {shown} is a file, not a folder")).hint("give a new folder")
            );
        }
        Ok(_) => {}
        Err(_) if is_taken(folder) => {
            return Err(Failure::input(format!("--out {shown} is a link to nothing")).hint("remove the link"));
        }
        Err(_) => return Ok(()),
    }
    let names = entries(folder)?;
    if names.is_empty() {
        return Ok(());
    }
    if !names.iter().any(|name| name == RESULT) {
        return Err(Failure::input(format!("--out {shown} is not empty and holds no earlier result"))
            .hint("give a new folder, or one with a result.json to replace"));
    }
    let own = checksums::read(folder).ok().flatten();
    let written = |name: &str| own.as_ref().is_none_or(|own| own.lists(name)) || name == CHECKSUMS;
    if !written(RESULT) || (own.is_none() && !is_result(&folder.join(RESULT))) {
        return Err(foreign(given, RESULT, "was not written by stagger"));
    }
    for name in names.iter().filter(|name| is_result_file(name)) {
        if folder.join(name).is_dir() {
            return Err(foreign(given, name, "is a folder, where a file of the result goes"));
        }
        if !written(name) {
            return Err(foreign(given, name, "is not of the earlier result, and would be replaced"));
        }
    }
    Ok(())
}

fn foreign(given: &Path, name: &str, what: &str) -> Failure {
    Failure::input(format!("--out {}: {} {what}", given.display(), given.join(name).display()))
        .hint("move it elsewhere, or give a new folder")
}

/// Returns true if a file is a result of ours; one that a crash has left empty was.
fn is_result(path: &Path) -> bool {
    use std::io::Read;
    let mut head = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(BEGINNING.len() as u64).read_to_end(&mut head));
    read.is_ok() && (head.is_empty() || head == BEGINNING)
}

/// Folders that were made on the way; those that stay empty go again.
#[derive(Debug)]
pub(super) struct CreatedFolders(Vec<PathBuf>);

impl CreatedFolders {
    fn add(&mut self, folder: PathBuf) {
        staging::remove_on_interrupt(Leftover::Folder(folder.clone()));
        self.0.push(folder);
    }
}

impl Drop for CreatedFolders {
    fn drop(&mut self) {
        for folder in self.0.iter().rev() {
            staging::keep_on_interrupt(folder);
            let _ = fs::remove_dir(folder);
        }
    }
}
