//! Resources of the machine: memory, and free space on the disk.

use stagger_model::error::{Result, StaggerError};
use stagger_storage::Storage;
use stagger_storage::open::is_on_s3;

use super::shuffle::ShufflePlan;

/// Share of the available memory that a run may use by default.
const SHARE: f64 = 0.75;
/// Bytes of memory that are assumed if the system does not tell.
const UNKNOWN: u64 = 2 << 30;

/// Returns the bytes of memory that a run may use by default: most of the memory that is available, or that a container
/// or `ulimit -v` allows.
pub fn default_memory() -> u64 {
    let available = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
        Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
    });
    let limit = std::fs::read_to_string("/sys/fs/cgroup/memory.max")
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok());
    // `ulimit -v`: beyond it an allocation fails.
    let space = rustix::process::getrlimit(rustix::process::Resource::As).current;
    let bytes = available.unwrap_or(UNKNOWN).min(limit.unwrap_or(u64::MAX)).min(space.unwrap_or(u64::MAX));
    (bytes as f64 * SHARE) as u64
}

/// Refuses a store in a folder whose disk has too little free space; `input` is the size of the input in bytes.
///
/// # Errors
/// Too little free space; both numbers are named.
pub(super) fn check_disk_space(storage: &Storage, shuffle: &ShufflePlan, input: u64) -> Result<()> {
    let url = storage.url();
    if is_on_s3(&url) {
        return Ok(());
    }
    let mut folder = std::path::PathBuf::from(&url);
    // The first write creates the folder itself.
    while !folder.exists() && folder.pop() {}
    let Ok(stat) = rustix::fs::statvfs(&folder) else { return Ok(()) };
    let free = stat.f_bavail * stat.f_frsize;
    // Wide rows take no more than the scattered ones.
    let needed = shuffle.scattered + shuffle.scattered.min(4 * input);
    if free >= needed {
        return Ok(());
    }
    let gigabytes = |bytes: u64| format!("{:.1} GB", bytes as f64 / 1e9);
    Err(StaggerError::failed(format!(
        "`{url}` needs up to {} on its disk, which has {} free",
        gigabytes(needed),
        gigabytes(free)
    ))
    .with_hint("choose a folder on another disk, or free some space"))
}
