//! The addresses that a worker may read and write. Whatever a message or an object of a run names is checked here
//! before anything is opened.

use std::sync::Arc;

use stagger_model::error::FailureClass;
use stagger_model::events::ObjectRef;
use stagger_protocol::keys;
use stagger_protocol::messages::TaskFailure;
use stagger_storage::open::OpenStorage;
use stagger_storage::{Storage, StoreError, StoreErrorKind, check_key};

use super::TaskResult;

/// The environment variable with a worker's buckets, separated by commas: its own buckets, which it also writes to,
/// by name; buckets of inputs, which it only reads, as ARNs of objects (`arn:aws:s3:::bucket/prefix/*`).
pub const BUCKETS_VARIABLE: &str = "STAGGER_BUCKETS";

/// The number of hexadecimal digits of an object's checksum.
const DIGITS: usize = 32;

/// The addresses that a worker may use, whatever a message says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedStorage {
    /// Folders too, and every other address that storage can be opened at.
    anywhere: bool,
    /// Buckets that it may write to; all where neither these nor inputs are named.
    own: Vec<String>,
    /// Patterns of buckets that it may only read.
    inputs: Vec<String>,
}

impl AllowedStorage {
    /// Returns all places, folders included: for workers whose messages come from their own process.
    pub fn unrestricted() -> Self {
        Self { anywhere: true, ..Self::default() }
    }

    /// Returns the objects on S3 in the buckets of a list ([`BUCKETS_VARIABLE`]); in all buckets if the list is empty. An
    /// entry that is neither a name nor an ARN of S3 permits nothing.
    pub fn from_list(list: &str) -> Self {
        let mut out = Self::default();
        for entry in list.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            match entry.starts_with("arn:").then(|| entry.splitn(6, ':').nth(5)) {
                None => out.own.push(entry.to_owned()),
                Some(object) => {
                    let bucket = object.unwrap_or_default().split('/').next().unwrap_or_default();
                    out.inputs.push(bucket.to_owned());
                }
            }
        }
        out
    }

    /// Returns the places that the environment variable [`BUCKETS_VARIABLE`] names.
    pub fn from_environment() -> Self {
        Self::from_list(&std::env::var(BUCKETS_VARIABLE).unwrap_or_default())
    }

    /// Returns a function that opens storage by its address, if objects may be written there.
    pub fn into_opener(self) -> OpenStorage {
        Arc::new(move |url| {
            self.check_writable(url)
                .map_err(|failure| StoreError::new(StoreErrorKind::Bucket, failure.message))?;
            Storage::open(url)
        })
    }

    /// Refuses an address below which objects are to be written.
    ///
    /// # Errors
    /// Permanent: a folder, another kind of storage, a whole bucket, a part `..`, or a bucket that is not the worker's own.
    pub fn check_writable(&self, url: &str) -> TaskResult<()> {
        if self.anywhere {
            return Ok(());
        }
        let (bucket, key) = parts(url)?;
        check_key(key.trim_end_matches('/')).map_err(|error| refused(url, &error.to_string()))?;
        match self.owns(bucket) {
            true => Ok(()),
            false => Err(elsewhere(url, bucket)),
        }
    }

    /// Refuses an address that is to be read: a store's or a file's.
    ///
    /// # Errors
    /// Permanent: as for what is written, but inputs' buckets may be read.
    pub fn check_readable(&self, url: &str) -> TaskResult<()> {
        if self.anywhere {
            return Ok(());
        }
        let (bucket, key) = parts(url)?;
        if key.split('/').any(|part| part == "." || part == "..") {
            return Err(refused(url, "it has a part `.` or `..`"));
        }
        match self.owns(bucket) || self.inputs.iter().any(|pattern| matches(pattern, bucket)) {
            true => Ok(()),
            false => Err(elsewhere(url, bucket)),
        }
    }

    /// Returns whether a bucket is the worker's own, or no bucket is named.
    fn owns(&self, bucket: &str) -> bool {
        let unbounded = self.own.is_empty() && self.inputs.is_empty();
        unbounded || self.own.iter().any(|own| own == bucket)
    }
}

/// Splits an address on S3 into bucket and key.
fn parts(url: &str) -> TaskResult<(&str, &str)> {
    let rest = url.strip_prefix("s3://").ok_or_else(|| refused(url, "workers use objects on S3 alone"))?;
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(refused(url, "it names no bucket"));
    }
    Ok((bucket, key))
}

fn elsewhere(url: &str, bucket: &str) -> TaskFailure {
    refused(url, &format!("bucket `{bucket}` is not this worker's ({BUCKETS_VARIABLE})"))
}

fn refused(url: &str, why: &str) -> TaskFailure {
    TaskFailure::new(FailureClass::Permanent, format!("`{url}` is no place for this worker: {why}"))
        .with_hint("runs, stores and inputs of workers are s3://bucket/prefix, in the bucket of the stack or below its --input")
}

/// Refuses a common object that does not lie where the run's common objects lie: its checksum is part of the keys of
/// results.
///
/// # Errors
/// Permanent: another key, or a checksum that is not 32 hexadecimal digits.
pub(super) fn check_common_object(object: &ObjectRef) -> TaskResult<()> {
    let checksum = &object.checksum;
    let is_sum = checksum.len() == DIGITS && checksum.bytes().all(|digit| digit.is_ascii_hexdigit());
    if is_sum && object.key == keys::shared_object(checksum) {
        return Ok(());
    }
    Err(TaskFailure::new(
        FailureClass::Permanent,
        format!("`{}` with checksum `{checksum}` is no common object of a run", object.key),
    ))
}

/// Returns whether a pattern matches the whole text; `*` stands for any characters and `?` for one.
fn matches(pattern: &str, text: &str) -> bool {
    let mut letters = pattern.chars();
    match letters.next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = letters.as_str();
            let mut ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.any(|at| matches(rest, &text[at..]))
        }
        Some(letter) => {
            let mut own = text.chars();
            own.next().is_some_and(|other| letter == '?' || letter == other)
                && matches(letters.as_str(), own.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_names_any_bucket_will_do_but_nothing_else() {
        let places = AllowedStorage::from_list("");
        assert!(
            places.check_writable("s3://b/runs/r").is_ok() && places.check_readable("s3://c/panel/").is_ok()
        );
        let neither =
            ["/etc", "runs/r", "", "file:///etc", "S3://b/x", "s3://", "s3:///x", "s3:/b/x", "s3://b/../c"];
        for wrong in neither {
            assert_eq!(places.check_readable(wrong).unwrap_err().class, FailureClass::Permanent, "{wrong}");
        }
        for wrong in neither.into_iter().chain(["s3://b", "s3://b/", "s3://b/a//b"]) {
            assert_eq!(places.check_writable(wrong).unwrap_err().class, FailureClass::Permanent, "{wrong}");
            assert_eq!(
                AllowedStorage::default().into_opener()(wrong).unwrap_err().kind,
                StoreErrorKind::Bucket,
                "{wrong}"
            );
        }
    }

    #[test]
    fn buckets_that_are_named_are_the_only_ones() {
        let places = AllowedStorage::from_list("own , arn:aws:s3:::data/panel/*,arn:aws-cn:s3:::team-*");
        assert!(places.check_writable("s3://own/runs/r").is_ok());
        for input in ["s3://own/panels/x", "s3://data/panel/a.parquet", "s3://team-7/x"] {
            assert!(places.check_readable(input).is_ok(), "{input}");
        }
        for (url, written) in [("s3://data/panel/x", true), ("s3://other/x", false), ("/etc/passwd", false)] {
            let failure = if written { places.check_writable(url) } else { places.check_readable(url) };
            assert!(failure.unwrap_err().message.contains(url), "{url}");
        }
        // An entry that can't be understood permits nothing.
        assert!(AllowedStorage::from_list("arn:aws:s3").check_readable("s3://any/x").is_err());
    }

    #[test]
    fn common_objects_lie_under_their_checksum() {
        let sum = "0123456789abcdef0123456789abcdef";
        let object =
            |key: &str, checksum: &str| ObjectRef { key: key.to_owned(), checksum: checksum.to_owned() };
        assert!(check_common_object(&object(&format!("common/{sum}"), sum)).is_ok());
        for (key, checksum) in
            [("common/x", "x"), ("state/x", sum), ("common/../../x", "../../x"), ("../k", sum)]
        {
            assert_eq!(
                check_common_object(&object(key, checksum)).unwrap_err().class,
                FailureClass::Permanent,
                "{key}"
            );
        }
    }

    #[test]
    fn workers_of_the_controller_itself_use_folders() {
        assert!(AllowedStorage::unrestricted().check_writable("/data/runs/r").is_ok());
    }
}
