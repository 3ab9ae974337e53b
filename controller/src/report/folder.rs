//! A folder that appears whole or not at all.
//!
//! Files are written to a sibling folder and moved in place when all are complete. An earlier result is replaced file by
//! file, so that what a person added beside it stays. Until then an interrupt or an error leaves nothing behind. Several
//! results of one run are folders in one, and appear together.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::interrupt;

/// File by which an earlier result is known.
pub(crate) const RESULT: &str = "result.json";

/// A folder being written.
#[derive(Debug)]
pub(crate) struct Staging {
    target: PathBuf,
    staging: PathBuf,
}

impl Staging {
    /// Makes sure that `target` can be written, before anything is computed.
    pub(crate) fn prepare(target: &Path) -> Result<Self, Failure> {
        refuse_foreign(target)?;
        Self::beside(target)
    }

    /// Makes an empty folder beside the target.
    fn beside(target: &Path) -> Result<Self, Failure> {
        let parent = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(|source| Failure::write(parent, &source))?;
        let name = target
            .file_name()
            .ok_or_else(|| Failure::input(format!("--out {} names no folder", target.display())))?;
        let staging = parent.join(format!(".{}.{}.partial", name.to_string_lossy(), std::process::id()));
        fs::create_dir(&staging).map_err(|source| Failure::write(target, &source))?;
        interrupt::remove_on_interrupt(&staging);
        let folder = Self { target: target.to_owned(), staging };
        folder.probe_target()?;
        Ok(folder)
    }

    /// Path of a file in the folder as it is written.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.staging.join(name)
    }

    /// Writes a file whole, down to the disk; errors name its final path.
    pub(crate) fn write(
        &self,
        name: &str,
        write: impl FnOnce(File) -> io::Result<File>,
    ) -> Result<(), Failure> {
        File::create(self.path(name))
            .and_then(write)
            .and_then(|file| file.sync_all())
            .map_err(|source| Failure::write(&self.target.join(name), &source))
    }

    /// Puts the files in place; of an earlier result, those among `known` that were not written again are removed.
    pub(crate) fn commit(self, known: impl Fn(&str) -> bool) -> Result<(), Failure> {
        interrupt::commit(&self.target, || self.put(&known))
    }

    fn put(&self, known: &impl Fn(&str) -> bool) -> Result<(), Failure> {
        if self.rename()? { Ok(()) } else { self.replace_files(known) }
    }

    /// Puts the whole folder in place at once; `false` where the target holds something.
    fn rename(&self) -> Result<bool, Failure> {
        match fs::rename(&self.staging, &self.target) {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {
                Ok(false)
            }
            Err(source) => Err(Failure::write(&self.target, &source)),
        }
    }

    fn replace_files(&self, known: &impl Fn(&str) -> bool) -> Result<(), Failure> {
        let failed = |source: io::Error| Failure::write(&self.target, &source);
        let mut written = file_names(&self.staging).map_err(failed)?;
        for stale in file_names(&self.target).map_err(failed)? {
            if known(&stale) && !written.contains(&stale) {
                fs::remove_file(self.target.join(&stale)).map_err(failed)?;
            }
        }
        // The result comes last: what is beside it is never older than it.
        written.sort_by_key(|name| (name == RESULT, name.clone()));
        for name in &written {
            fs::rename(self.path(name), self.target.join(name)).map_err(failed)?;
        }
        fs::remove_dir(&self.staging).map_err(failed)
    }

    /// An existing folder must take new files too.
    fn probe_target(&self) -> Result<(), Failure> {
        if !self.target.is_dir() {
            return Ok(());
        }
        let probe = self.target.join(format!(".{}.probe", std::process::id()));
        File::create(&probe)
            .and_then(|_| fs::remove_file(&probe))
            .map_err(|source| Failure::write(&self.target, &source))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Gone already after a commit; otherwise there is nobody left to tell.
        let _ = fs::remove_dir_all(&self.staging);
    }
}

/// Folders of several results in one.
#[derive(Debug)]
pub(crate) struct StagingAll {
    // Dropped first: their folders lie in that of the whole.
    parts: Vec<Staging>,
    whole: Staging,
}

impl StagingAll {
    /// Makes sure that `target` and the folders `names` in it can be written, before anything is computed.
    pub(crate) fn prepare(target: &Path, names: &[&str]) -> Result<Self, Failure> {
        refuse_foreign_all(target)?;
        for name in names {
            refuse_foreign(&target.join(name))?;
        }
        let whole = Staging::beside(target)?;
        let parts = names.iter().map(|name| whole.part(name)).collect::<Result<_, _>>()?;
        Ok(Self { parts, whole })
    }

    /// The folders, in the order of their names.
    pub(crate) fn parts(&self) -> &[Staging] {
        &self.parts
    }

    /// Puts all folders in place, as [`Staging::commit`] does with one.
    pub(crate) fn commit(self, known: impl Fn(&str) -> bool) -> Result<(), Failure> {
        interrupt::commit(&self.whole.target, || {
            if self.whole.rename()? {
                return Ok(());
            }
            self.parts.iter().try_for_each(|part| part.put(&known))
        })
    }
}

impl Staging {
    /// A folder in this one.
    fn part(&self, name: &str) -> Result<Self, Failure> {
        let part = Self { target: self.target.join(name), staging: self.path(name) };
        fs::create_dir(&part.staging).map_err(|source| Failure::write(&part.target, &source))?;
        part.probe_target()?;
        Ok(part)
    }
}

/// Refuses a target of several results that is a file, or a folder with something in it but no folder of a result.
fn refuse_foreign_all(target: &Path) -> Result<(), Failure> {
    let names = match fs::metadata(target) {
        Ok(found) if found.is_dir() => file_names(target).map_err(|source| Failure::read(target, &source))?,
        // As for one result: absent, a file, or out of reach.
        _ => return refuse_foreign(target),
    };
    if names.is_empty() || names.iter().any(|name| target.join(name).join(RESULT).is_file()) {
        return Ok(());
    }
    Err(Failure::input(format!(
        "--out {} is not empty and holds no folder of an earlier result",
        target.display()
    ))
    .hint("several specifications are saved in a folder each: give a new folder for them"))
}

/// Refuses a target that is a file, or a folder that holds something other than an earlier result.
fn refuse_foreign(target: &Path) -> Result<(), Failure> {
    match fs::metadata(target) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(Failure::write(target, &source)),
        Ok(found) if !found.is_dir() => {
            return Err(Failure::input(format!("--out {} is a file, not a folder", target.display())));
        }
        Ok(_) => {}
    }
    let names = file_names(target).map_err(|source| Failure::read(target, &source))?;
    if names.is_empty() || names.iter().any(|name| name == RESULT) {
        return Ok(());
    }
    Err(Failure::input(format!("--out {} is not empty and holds no earlier result", target.display()))
        .hint("give a new folder, or one with a result.json to replace"))
}

fn file_names(folder: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn put(staging: &Staging, name: &str, text: &str) {
        staging
            .write(name, |mut file| {
                file.write_all(text.as_bytes())?;
                Ok(file)
            })
            .unwrap();
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names = file_names(folder).unwrap();
        names.sort();
        names
    }

    #[test]
    fn folder_appears_only_when_committed() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("deep/er/out");
        let staging = Staging::prepare(&target).unwrap();
        put(&staging, RESULT, "{}");
        assert!(!target.exists());
        staging.commit(|_| false).unwrap();
        assert_eq!(names(&target), [RESULT]);
        assert_eq!(names(target.parent().unwrap()), ["out"]);
    }

    #[test]
    fn an_abandoned_folder_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let staging = Staging::prepare(&root.path().join("out")).unwrap();
        put(&staging, "a", "");
        drop(staging);
        assert!(names(root.path()).is_empty());
    }

    #[test]
    fn an_earlier_result_is_replaced_and_the_rest_stays() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("out");
        fs::create_dir(&target).unwrap();
        for name in [RESULT, "draws.parquet", "notes.txt"] {
            fs::write(target.join(name), "old").unwrap();
        }
        let staging = Staging::prepare(&target).unwrap();
        put(&staging, RESULT, "new");
        staging.commit(|name| name == "draws.parquet").unwrap();
        assert_eq!(names(&target), ["notes.txt", RESULT]);
        assert_eq!(fs::read_to_string(target.join(RESULT)).unwrap(), "new");
        assert_eq!(names(root.path()), ["out"]);
    }

    #[test]
    fn several_folders_appear_together() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("out");
        let staging = StagingAll::prepare(&target, &["a", "b"]).unwrap();
        for part in staging.parts() {
            put(part, RESULT, "first");
            put(part, "draws.parquet", "");
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "the folder that is written");
        assert!(!target.exists());
        staging.commit(|_| false).unwrap();
        assert_eq!(names(&target), ["a", "b"]);

        // One of them again, and a new one: the other stays.
        let staging = StagingAll::prepare(&target, &["b", "c"]).unwrap();
        for part in staging.parts() {
            put(part, RESULT, "second");
        }
        staging.commit(|name| name == "draws.parquet").unwrap();
        let text = |name: &str| fs::read_to_string(target.join(name).join(RESULT)).unwrap();
        assert_eq!(["a", "b", "c"].map(text), ["first", "second", "second"]);
        assert_eq!((names(&target.join("a")).len(), names(&target.join("b")).len()), (2, 1));
        assert_eq!(names(root.path()), ["out"]);

        drop(StagingAll::prepare(&root.path().join("other"), &["a"]).unwrap());
        assert_eq!(names(root.path()), ["out"]);
    }

    #[test]
    fn several_results_go_to_a_folder_of_their_own() {
        let root = tempfile::tempdir().unwrap();
        let refused = |name: &str| {
            let failure = StagingAll::prepare(&root.path().join(name), &["a"]).expect_err(name);
            failure.to_string().replace(&root.path().display().to_string(), "DIR")
        };
        fs::create_dir_all(root.path().join("one")).unwrap();
        fs::write(root.path().join("one").join(RESULT), "").unwrap();
        fs::create_dir_all(root.path().join("all/a")).unwrap();
        fs::create_dir_all(root.path().join("all/b")).unwrap();
        fs::write(root.path().join("all/a/thesis.tex"), "").unwrap();
        fs::write(root.path().join("all/b").join(RESULT), "").unwrap();
        let all = ["one", "all", "all/a/thesis.tex"].map(refused).join("");
        insta::assert_snapshot!(all, @"
        error: --out DIR/one is not empty and holds no folder of an earlier result
        hint: several specifications are saved in a folder each: give a new folder for them
        error: --out DIR/all/a is not empty and holds no earlier result
        hint: give a new folder, or one with a result.json to replace
        error: --out DIR/all/a/thesis.tex is a file, not a folder
        ");
    }

    #[test]
    fn an_empty_folder_is_taken() {
        let root = tempfile::tempdir().unwrap();
        let staging = Staging::prepare(root.path()).unwrap();
        put(&staging, RESULT, "{}");
        staging.commit(|_| false).unwrap();
        assert_eq!(names(root.path()), [RESULT]);
    }

    #[test]
    fn foreign_folders_and_files_are_refused() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("thesis.tex"), "").unwrap();
        let folder = Staging::prepare(root.path()).expect_err("foreign").to_string();
        let file = Staging::prepare(&root.path().join("thesis.tex")).expect_err("file").to_string();
        let all = (folder + &file).replace(&root.path().display().to_string(), "DIR");
        insta::assert_snapshot!(all, @"
        error: --out DIR is not empty and holds no earlier result
        hint: give a new folder, or one with a result.json to replace
        error: --out DIR/thesis.tex is a file, not a folder
        ");
    }

    #[test]
    fn a_full_disk_is_an_error_that_names_the_file() {
        let root = tempfile::tempdir().unwrap();
        let staging = Staging::prepare(&root.path().join("out")).unwrap();
        let failure = staging
            .write("att_gt.csv", |_| {
                let mut full = File::options().write(true).open("/dev/full")?;
                full.write_all(b"1")?;
                Ok(full)
            })
            .expect_err("full");
        assert!(failure.to_string().contains("att_gt.csv: no space left on device"), "{failure}");
    }
}
