//! Objects as files in a folder, with S3's promises: a write is seen whole or not at all, an object can be created
//! once, and compare-and-set is atomic.
//!
//! An object's ETag consists of its size and its modification time in nanoseconds, since a hash of the content would
//! read gigabytes for a `head`. This store sets the modification time itself and never gives one key the same time
//! twice: the kernel's own time stamps move in ticks of milliseconds, within which two writes of equal length would
//! look alike.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;

use super::error::ObjectState;
use super::key::{RESERVED, check_key};
use super::{ByteRange, Condition, Object, ObjectInfo, ObjectStore, StoreError, StoreErrorKind, StoreResult};
use crate::disk;

/// Permissions of the files. They hold copies of data whose owner may not want others to read them.
const FILE: u32 = 0o600;
/// Permissions of the folders.
const FOLDER: u32 = 0o700;

/// A store in a folder. The folder need not exist: the first put creates it, readable by its owner alone. Folders that
/// exist already keep their permissions.
#[derive(Debug)]
pub struct LocalStore {
    root: PathBuf,
}

impl LocalStore {
    /// Returns the store of the folder `root`, without touching the disk.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Returns the path of a key.
    fn path(&self, key: &str) -> StoreResult<PathBuf> {
        check_key(key)?;
        Ok(self.root.join(key))
    }

    /// Locks the folder against every other thread and process while an object is replaced or removed, so that the
    /// object that was compared is the one that is replaced.
    fn lock(&self) -> StoreResult<File> {
        let path = self.root.join(format!("{RESERVED}lock"));
        let failed = |e: &std::io::Error| failure("locking", &path, e);
        let mut options = File::options();
        options.create(true).truncate(false).write(true).mode(FILE);
        let file = options.open(&path).map_err(|e| failed(&e))?;
        file.lock().map_err(|e| failed(&e))?;
        Ok(file)
    }

    /// Opens the file of a key, without waiting for pipes and devices.
    fn open(&self, key: &str) -> StoreResult<(PathBuf, File, Metadata)> {
        let path = self.path(key)?;
        // A pipe or a device holds no object, and must not be waited for.
        let (file, meta) = match disk::open_regular(&path) {
            Err(e) if e.kind() == ErrorKind::InvalidInput => return Err(not_found(&path)),
            opened => opened.map_err(|e| failure("reading", &path, &e))?,
        };
        Ok((path, file, meta))
    }

    /// Renames a temporary file to `path` under the lock, if the condition holds, and returns its ETag.
    fn replace(&self, temporary: &Temporary, path: &Path, condition: &Condition) -> StoreResult<String> {
        let _lock = self.lock()?;
        let present = match fs::metadata(path) {
            Ok(meta) => Some(meta),
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            Err(e) => return Err(failure("writing", path, &e)),
        };
        match condition {
            Condition::IfAbsent if present.is_some() => return Err(exists(path)),
            Condition::IfMatch(etag) if present.as_ref().map(file_etag).as_ref() != Some(etag) => {
                return Err(changed(path));
            }
            _ => {}
        }
        let etag = temporary.stamp(present.as_ref())?;
        fs::rename(&temporary.path, path).map_err(|e| failure("writing", path, &e))?;
        Ok(etag)
    }

    /// Creates the object by a hard link: unlike a rename, a link fails if another writer was first.
    fn create(&self, temporary: &Temporary, path: &Path) -> StoreResult<String> {
        let etag = temporary.stamp(None)?;
        match fs::hard_link(&temporary.path, path) {
            Ok(()) => Ok(etag),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Err(exists(path)),
            // File systems without hard links (exFAT, some network mounts) use the lock instead.
            Err(e) if matches!(e.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied) => {
                self.replace(temporary, path, &Condition::IfAbsent)
            }
            Err(e) => Err(failure("writing", path, &e)),
        }
    }

    /// Writes an object; see [`ObjectStore::put`].
    fn put_now(&self, key: &str, bytes: &[u8], condition: &Condition) -> StoreResult<String> {
        let path = self.path(key)?;
        // This check only saves a needless write; the link below decides.
        if *condition == Condition::IfAbsent && path.exists() {
            return Err(exists(&path));
        }
        let folder = path.parent().unwrap_or(&self.root);
        create_folders(folder)?;
        let temporary = Temporary::write(folder, bytes)?;
        let etag = match condition {
            Condition::IfAbsent => self.create(&temporary, &path)?,
            _ => self.replace(&temporary, &path, condition)?,
        };
        sync_folder(folder)?;
        Ok(etag)
    }

    /// Adds the objects below `folder` whose keys start with `prefix` to `found`.
    fn walk(&self, folder: &Path, prefix: &str, found: &mut Vec<ObjectInfo>) -> StoreResult<()> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            // The folder was removed meanwhile, or never existed: it holds no objects.
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(()),
            Err(e) => return Err(failure("listing", folder, &e)),
        };
        for entry in entries {
            let path = entry.map_err(|e| failure("listing", folder, &e))?.path();
            let Some(key) = self.key(&path) else { continue };
            let Ok(meta) = fs::metadata(&path) else { continue };
            if meta.is_dir() && could_hold(&key, prefix) {
                self.walk(&path, prefix, found)?;
            } else if meta.is_file() && key.starts_with(prefix) {
                found.push(ObjectInfo { key, size: meta.len(), etag: file_etag(&meta) });
            }
        }
        Ok(())
    }

    /// Returns the key of a path below the root, or `None` for temporary files and names that are not UTF-8.
    fn key(&self, path: &Path) -> Option<String> {
        let key = path.strip_prefix(&self.root).ok()?.to_str()?;
        let name = key.rsplit('/').next()?;
        (!name.starts_with(RESERVED)).then(|| key.to_owned())
    }
}

/// Returns `true` if keys below the folder `key` can start with `prefix`.
fn could_hold(key: &str, prefix: &str) -> bool {
    let folder = format!("{key}/");
    folder.starts_with(prefix) || prefix.starts_with(&folder)
}

#[async_trait]
impl ObjectStore for LocalStore {
    fn url(&self) -> String {
        self.root.display().to_string()
    }

    async fn get(&self, key: &str, range: ByteRange, pin: Option<&str>) -> StoreResult<Object> {
        let (path, mut file, meta) = self.open(key)?;
        let info = ObjectInfo { key: key.to_owned(), size: meta.len(), etag: file_etag(&meta) };
        if pin.is_some_and(|pin| pin != info.etag) {
            return Err(changed(&path));
        }
        let within = range.clip(info.size);
        let failed = |e: std::io::Error| failure("reading", &path, &e);
        file.seek(SeekFrom::Start(within.start)).map_err(failed)?;
        let length = within.end - within.start;
        let mut bytes = Vec::with_capacity(length as usize);
        file.take(length).read_to_end(&mut bytes).map_err(failed)?;
        Ok(Object { bytes: bytes.into(), info })
    }

    async fn put(&self, key: &str, bytes: Bytes, condition: Condition) -> StoreResult<String> {
        self.put_now(key, &bytes, &condition)
    }

    async fn head(&self, key: &str) -> StoreResult<ObjectInfo> {
        let (_, _, meta) = self.open(key)?;
        Ok(ObjectInfo { key: key.to_owned(), size: meta.len(), etag: file_etag(&meta) })
    }

    async fn list(&self, prefix: &str) -> StoreResult<Vec<ObjectInfo>> {
        let mut found = Vec::new();
        self.walk(&self.root, prefix, &mut found)?;
        // The order of a walk is arbitrary, and `a-b` sorts before `a/b`: only whole keys can be compared.
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    async fn delete(&self, key: &str) -> StoreResult<()> {
        let path = self.path(key)?;
        if !path.exists() {
            return Ok(());
        }
        let _lock = self.lock()?;
        match fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(failure("removing", &path, &e)),
            _ => Ok(()),
        }
    }

    async fn sweep(&self) {
        super::sweep::sweep(&self.root);
    }
}

/// A file whose bytes are on disk, but which is not yet under its final name. It is removed when dropped, unless it was
/// renamed.
struct Temporary {
    path: PathBuf,
    file: File,
}

impl Temporary {
    fn write(folder: &Path, bytes: &[u8]) -> StoreResult<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let now = since_epoch(SystemTime::now()).as_nanos();
        // The time distinguishes equal process numbers on two machines that share the folder.
        let path = folder.join(format!("{RESERVED}tmp-{}-{count}-{now:x}", std::process::id()));
        let made = File::options().write(true).create_new(true).mode(FILE).open(&path);
        let file = made.map_err(|e| failure("writing", &path, &e))?;
        let mut temporary = Self { path, file };
        temporary.file.write_all(bytes).map_err(|e| failure("writing", &temporary.path, &e))?;
        temporary.file.sync_all().map_err(|e| failure("writing", &temporary.path, &e))?;
        Ok(temporary)
    }

    /// Gives the file a modification time after that of the file it replaces, and returns its ETag.
    fn stamp(&self, replaced: Option<&Metadata>) -> StoreResult<String> {
        let after = replaced.map(|meta| modified(meta) + Duration::from_nanos(1)).unwrap_or_default();
        let meta = self.set_modified(since_epoch(SystemTime::now()).max(after))?;
        match replaced {
            // The file system keeps only whole or even seconds.
            Some(old) if modified(&meta) <= modified(old) => {
                Ok(file_etag(&self.set_modified(modified(old) + Duration::from_secs(2))?))
            }
            _ => Ok(file_etag(&meta)),
        }
    }

    fn set_modified(&self, time: Duration) -> StoreResult<Metadata> {
        let failed = |e: std::io::Error| failure("writing", &self.path, &e);
        self.file.set_modified(UNIX_EPOCH + time).map_err(failed)?;
        self.file.metadata().map_err(failed)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // A renamed file is no longer at this path; one that cannot be removed is never listed.
        let _ = fs::remove_file(&self.path);
    }
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn modified(meta: &Metadata) -> Duration {
    meta.modified().map(since_epoch).unwrap_or_default()
}

/// Returns the ETag of a file: its size and modification time, in hexadecimal. They distinguish it from its predecessor
/// at the cost of one `stat`.
pub fn file_etag(meta: &Metadata) -> String {
    format!("{:x}-{:x}", meta.len(), modified(meta).as_nanos())
}

/// Creates a folder and its parents for their owner alone, and syncs each entry to disk.
fn create_folders(folder: &Path) -> StoreResult<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent().filter(|above| !above.as_os_str().is_empty()) {
        create_folders(above)?;
    }
    match DirBuilder::new().mode(FOLDER).create(folder) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists || !folder.is_dir() => {
            Err(failure("creating", folder, &e))
        }
        _ => folder.parent().map_or(Ok(()), sync_folder),
    }
}

/// Makes the names of a folder's files durable.
fn sync_folder(folder: &Path) -> StoreResult<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let synced = File::open(folder).and_then(|handle| handle.sync_all());
    match synced {
        // Some network mounts cannot sync folders. The file itself is on disk, and its name is as durable as the mount
        // makes it.
        Err(e) if matches!(e.kind(), ErrorKind::Unsupported | ErrorKind::InvalidInput) => Ok(()),
        Err(e) if e.kind() == ErrorKind::PermissionDenied => Ok(()),
        other => other.map_err(|e| failure("writing", folder, &e)),
    }
}

fn not_found(path: &Path) -> StoreError {
    StoreError::of_object(ObjectState::Absent, &path.display().to_string())
}

fn exists(path: &Path) -> StoreError {
    StoreError::of_object(ObjectState::Present, &path.display().to_string())
}

fn changed(path: &Path) -> StoreError {
    StoreError::of_object(ObjectState::Changed, &path.display().to_string())
}

/// Returns the error for a failed call to the file system.
fn failure(action: &str, path: &Path, error: &std::io::Error) -> StoreError {
    let failed = |kind, why: &str| StoreError::new(kind, format!("{action} `{}`: {why}", path.display()));
    match error.kind() {
        ErrorKind::NotFound => not_found(path),
        ErrorKind::PermissionDenied => failed(StoreErrorKind::Denied, "permission denied")
            .with_hint("check the owner and the permissions of the folder"),
        ErrorKind::ReadOnlyFilesystem => failed(StoreErrorKind::Denied, "the file system is read-only"),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            failed(StoreErrorKind::Full, &error.to_string().to_lowercase())
                .with_hint("free some space, or name another folder or a bucket")
        }
        ErrorKind::NotADirectory | ErrorKind::IsADirectory if action != "writing" => not_found(path),
        // The call was interrupted, or a network mount hangs.
        ErrorKind::Interrupted | ErrorKind::TimedOut | ErrorKind::StaleNetworkFileHandle => {
            failed(StoreErrorKind::Unavailable, &error.to_string().to_lowercase())
        }
        _ => failed(StoreErrorKind::Other, &error.to_string().to_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn opening_creates_nothing_and_an_absent_folder_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::new(folder.path().join("store"));
        assert_eq!(block_on(store.list("")).unwrap(), []);
        assert_eq!(block_on(store.head("a")).unwrap_err().kind, StoreErrorKind::NotFound);
        block_on(store.delete("a")).unwrap();
        assert!(names(folder.path()).is_empty());
        block_on(store.put("a/b", Bytes::from_static(b"1"), Condition::Always)).unwrap();
        assert_eq!(block_on(store.list("")).unwrap().len(), 1);
    }

    #[test]
    fn what_it_makes_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::new(folder.path().join("a/store"));
        block_on(store.put("b/c", Bytes::from_static(b"1"), Condition::IfAbsent)).unwrap();
        block_on(store.put("b/c", Bytes::from_static(b"2"), Condition::Always)).unwrap();
        let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
        let names = ["a", "a/store", "a/store/b", "a/store/b/c", "a/store/.stagger-lock"];
        assert_eq!(names.map(mode), [0o700, 0o700, 0o700, 0o600, 0o600]);
    }

    #[test]
    fn temporaries_are_removed_and_leftover_ones_never_listed() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::new(folder.path());
        fs::write(folder.path().join(".stagger-tmp-1-2-3"), b"half").unwrap();
        block_on(store.put("a", Bytes::from_static(b"1"), Condition::IfAbsent)).unwrap();
        block_on(store.put("a", Bytes::from_static(b"2"), Condition::IfAbsent)).unwrap_err();
        block_on(store.put("a", Bytes::from_static(b"3"), Condition::IfMatch("x".into()))).unwrap_err();
        let listed = block_on(store.list("")).unwrap();
        assert_eq!(listed.iter().map(|o| o.key.as_str()).collect::<Vec<_>>(), ["a"]);
        let mut left = names(folder.path());
        left.sort();
        assert_eq!(left, [".stagger-lock", ".stagger-tmp-1-2-3", "a"]);
    }

    #[test]
    fn equal_sizes_written_at_once_have_different_etags() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::new(folder.path());
        let mut etags: Vec<String> = (0..20)
            .map(|_| block_on(store.put("a", Bytes::from_static(b"1"), Condition::Always)).unwrap())
            .collect();
        assert_eq!(&block_on(store.head("a")).unwrap().etag, etags.last().unwrap());
        etags.sort();
        etags.dedup();
        assert_eq!(etags.len(), 20);
    }

    #[test]
    fn a_clock_set_back_still_moves_the_etag() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::new(folder.path());
        block_on(store.put("a", Bytes::from_static(b"1"), Condition::Always)).unwrap();
        let future = SystemTime::now() + Duration::from_secs(1000);
        File::options().write(true).open(folder.path().join("a")).unwrap().set_modified(future).unwrap();
        let before = block_on(store.head("a")).unwrap().etag;
        let after = block_on(store.put("a", Bytes::from_static(b"2"), Condition::IfMatch(before.clone())));
        assert_ne!(after.unwrap(), before);
    }

    #[test]
    fn a_file_where_a_folder_is_needed_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), b"1").unwrap();
        let store = LocalStore::new(folder.path());
        let error = block_on(store.put("a/b", Bytes::new(), Condition::Always)).unwrap_err();
        assert!(error.to_string().contains("/a`"), "{error}");
        assert_eq!(block_on(store.head("a/b")).unwrap_err().kind, StoreErrorKind::NotFound);
    }

    #[test]
    fn full_and_forbidden_folders_say_what_to_do() {
        let path = Path::new("/data/a");
        let full = failure("writing", path, &ErrorKind::StorageFull.into());
        assert_eq!((full.kind, full.hint().is_some()), (StoreErrorKind::Full, true));
        let denied = failure("writing", path, &ErrorKind::PermissionDenied.into());
        assert_eq!(denied.to_string(), "writing `/data/a`: permission denied");
        assert_eq!(denied.kind, StoreErrorKind::Denied);
    }
}
