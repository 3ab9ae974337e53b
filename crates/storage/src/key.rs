//! The keys that may be written: those that name the same object in a bucket and in a folder.

use super::{StoreError, StoreErrorKind, StoreResult};

/// The prefix of names that the local store reserves for temporary files and its lock.
pub(super) const RESERVED: &str = ".stagger-";

/// The longest key that S3 accepts, in bytes.
const LONGEST: usize = 1024;

/// Refuses keys that a folder cannot hold, or would hold in another place than the key says.
///
/// # Errors
/// Refuses empty keys and parts (`/a`, `a//b`, `a/`), `.` and `..`, reserved names, NUL, and keys over 1,024 bytes.
pub fn check_key(key: &str) -> StoreResult<()> {
    let reason = if key.is_empty() {
        "it is empty"
    } else if key.len() > LONGEST {
        "it is longer than 1,024 bytes"
    } else if key.contains('\0') {
        "it holds a NUL character"
    } else if key.split('/').any(str::is_empty) {
        "it has an empty part"
    } else if key.split('/').any(|part| part == "." || part == "..") {
        "it has a part `.` or `..`"
    } else if key.split('/').any(|part| part.starts_with(RESERVED)) {
        "names that start with `.stagger-` are kept for temporary files"
    } else {
        return Ok(());
    };
    Err(StoreError::new(StoreErrorKind::Other, format!("`{key}` can't be the key of an object: {reason}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_leave_the_folder_are_refused() {
        for key in ["", "/etc/passwd", "a//b", "a/", "..", "a/../b", "./a", "a/.stagger-tmp-1", "a\0b"] {
            assert!(check_key(key).is_err(), "{key:?}");
        }
        assert!(check_key(&"k".repeat(1025)).is_err());
    }

    #[test]
    fn odd_but_legal_keys_pass() {
        for key in ["a", "year=2004/x%20y.parquet", "a b/ü+&@:,$;", "..a/b..", ".hidden"] {
            assert!(check_key(key).is_ok(), "{key:?}");
        }
    }
}
