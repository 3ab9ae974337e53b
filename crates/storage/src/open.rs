//! Opening storage by its address.

use std::sync::Arc;

use crate::{Storage, StoreErrorKind, StoreResult};

/// A function that opens storage by its URL. Tests pass one that opens storage in memory.
pub type OpenStorage = Arc<dyn Fn(&str) -> StoreResult<Storage> + Send + Sync>;

/// Returns whether an error means that an object is absent. Without the right to list a bucket, S3 answers 403 in
/// place of 404.
pub fn is_absent_or_denied(kind: StoreErrorKind) -> bool {
    matches!(kind, StoreErrorKind::NotFound | StoreErrorKind::Denied)
}

/// Tells if an address names a bucket on S3 and not a file or folder of this machine.
pub fn is_on_s3(address: &str) -> bool {
    address.starts_with("s3://")
}
