//! Memory of this process, and a limit below the kernel's own: a task that reaches it fails with an answer, before
//! the process is killed without one.

use stagger_model::error::FailureClass;
use stagger_protocol::messages::TaskFailure;

/// The share of the process's memory that tasks may fill; the rest is for allocations between two checks.
const USABLE: f64 = 0.92;

/// The share of the memory at which a watched process answers and ends in the midst of a task.
const LAST: f64 = 0.97;

/// A limit on the resident memory of this process.
#[derive(Clone, Copy, Debug)]
pub struct MemoryGuard {
    limit: Option<u64>,
}

impl MemoryGuard {
    /// Returns the guard of a process of `memory` bytes; one that never fails where the process has no limit.
    pub fn new(memory: Option<u64>) -> Self {
        Self { limit: memory.map(|bytes| (bytes as f64 * USABLE) as u64) }
    }

    /// Returns a guard with a higher limit, for a thread that watches a task which can't check its memory itself.
    pub fn with_last_limit(memory: Option<u64>) -> Self {
        Self { limit: memory.map(|bytes| (bytes as f64 * LAST) as u64) }
    }

    /// Fails if the process has, or with `more` bytes would have, more than it may.
    ///
    /// # Errors
    /// [`FailureClass::OutOfMemory`].
    pub fn check(&self, more: u64) -> Result<(), TaskFailure> {
        let Some(limit) = self.limit else { return Ok(()) };
        let resident = resident_memory();
        if resident + more <= limit {
            return Ok(());
        }
        let mb = |bytes: u64| bytes / 1_000_000;
        Err(TaskFailure::new(
            FailureClass::OutOfMemory,
            format!(
                "out of memory: {} MB in use and {} MB more wanted, of {} MB that tasks may use",
                mb(resident),
                mb(more),
                mb(limit)
            ),
        ))
    }
}

/// Returns the bytes of memory that the process has now; 0 where the system does not tell.
pub fn resident_memory() -> u64 {
    status("VmRSS:")
}

/// Returns the most bytes of memory that the process had; 0 where the system does not tell.
pub fn peak_memory() -> u64 {
    status("VmHWM:")
}

fn status(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_is_known_and_bounded() {
        assert!(resident_memory() > 1 << 20 && peak_memory() >= resident_memory() / 2);
        assert!(MemoryGuard::new(Some(1 << 40)).check(1 << 30).is_ok());
        let failure = MemoryGuard::new(Some(1 << 20)).check(0).unwrap_err();
        assert_eq!(failure.class, FailureClass::OutOfMemory);
        assert!(MemoryGuard::new(None).check(u64::MAX / 2).is_ok());
    }
}
