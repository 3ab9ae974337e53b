//! Removes from a folder what writers that were killed have left: temporaries and empty folders.

use std::fs;
use std::path::Path;

use super::key::RESERVED;

/// Removes temporaries of processes that are gone, and folders that hold nothing. What can't be removed is left.
pub(super) fn sweep(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    let mut empty = true;
    for path in entries.flatten().map(|entry| entry.path()) {
        let gone = match path.is_dir() {
            true => sweep(&path) && fs::remove_dir(&path).is_ok(),
            false => is_orphan(&path) && fs::remove_file(&path).is_ok(),
        };
        empty &= gone;
    }
    empty
}

/// Whether a file is a temporary whose writer, named by its process, is gone.
fn is_orphan(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(rest) = name.strip_prefix(RESERVED).and_then(|rest| rest.strip_prefix("tmp-")) else {
        return false;
    };
    let process = rest.split('-').next().unwrap_or_default();
    // Without /proc nobody can tell: the temporary stays.
    Path::new("/proc/self").exists() && !Path::new("/proc").join(process).exists()
}
