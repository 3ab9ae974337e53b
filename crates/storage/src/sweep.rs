//! Removal of temporary files and empty folders that killed writers have left in a folder.

use std::fs;
use std::path::Path;

use super::key::RESERVED;

/// Removes temporary files of processes that no longer run, and empty folders. Returns `true` if the folder is empty
/// afterwards; files that can't be removed stay.
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

/// Returns `true` for a temporary file whose writer, the process in its name, no longer runs.
fn is_orphan(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(rest) = name.strip_prefix(RESERVED).and_then(|rest| rest.strip_prefix("tmp-")) else {
        return false;
    };
    let process = rest.split('-').next().unwrap_or_default();
    // Without /proc the processes are unknown, and the file stays.
    Path::new("/proc/self").exists() && !Path::new("/proc").join(process).exists()
}
