//! A trial of a place on S3, before anything is computed: does it take a result?

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use stagger_model::error::StaggerError;
use stagger_model::event_log::EVENTS_FILE;
use stagger_model::failure::Failure;
use stagger_storage::open::is_on_s3;
use stagger_storage::{Condition, Policy, S3Store, Storage, StoreErrorKind, runtime, system_clock};

/// The time that a place may take to answer, whatever delays it: credentials, names, a line.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Attempts at a place that fails for now.
const ATTEMPTS: u32 = 3;

/// Returns true if results go to S3.
pub(crate) fn is_remote(out: &str) -> bool {
    is_on_s3(out)
}

/// Checks the form of `s3://BUCKET/PREFIX`, without asking anybody.
///
/// # Errors
/// Exit status 2: no bucket, or a name that no bucket can have.
pub(crate) fn check_destination(url: &str) -> Result<(), Failure> {
    let rest = url.strip_prefix("s3://").unwrap_or_default();
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let wrong = |what: String| {
        Err(Failure::input(format!("--out {url}: {what}")).hint("the form is s3://BUCKET/PREFIX"))
    };
    if bucket.is_empty() {
        return wrong("it names no bucket".to_owned());
    }
    if let Some(reason) = unnameable(bucket) {
        return wrong(format!("no bucket can be called \"{bucket}\": {reason}"));
    }
    if prefix.trim_end_matches('/').split('/').any(|part| part == "." || part == "..") {
        return wrong("a prefix has no parts `.` and `..`".to_owned());
    }
    Ok(())
}

/// Returns the reason why a bucket can't have this name by S3's rules, if there is one.
fn unnameable(bucket: &str) -> Option<&'static str> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = bucket.as_bytes();
    if !(3..=63).contains(&bytes.len()) {
        return Some("a name has 3 to 63 characters");
    }
    if !bytes.iter().all(|&byte| plain(byte) || byte == b'-' || byte == b'.') {
        return Some("a name has lower-case letters, digits, - and . alone");
    }
    let ends = [bytes.first(), bytes.last()];
    if !ends.into_iter().flatten().all(|&byte| plain(byte)) || bucket.contains("..") {
        return Some("a name begins and ends with a letter or a digit, and has no two dots in a row");
    }
    None
}

/// Tries whether a result can be put below `url`; of several ones, whether the first of them can. An event log without an
/// event is created there, unless there is one: the result brings its own. That takes the right to put objects alone.
///
/// # Errors
/// Exit status 2 for an address that is none, or names no bucket that there is; 1 for a place that does not answer, or does
/// not permit it.
pub(crate) fn try_destination(url: &str, name: Option<&str>) -> Result<(), Failure> {
    check_destination(url)?;
    let policy = Policy { attempts: ATTEMPTS, total: TIMEOUT, duplicate: None, ..Policy::remote() };
    let store = S3Store::open(url).map_err(StaggerError::from)?;
    let storage = Storage::with_policy(Arc::new(store), policy, system_clock(true));
    let key = name.map_or_else(|| EVENTS_FILE.to_owned(), |name| format!("{name}/{EVENTS_FILE}"));
    let put = storage.put_async(&key, Bytes::new(), Condition::IfAbsent);
    let answer =
        runtime().map_err(StaggerError::from)?.block_on(async { tokio::time::timeout(TIMEOUT, put).await });
    let error = match answer {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(error)) if error.kind == StoreErrorKind::Exists => return Ok(()),
        Ok(Err(error)) => error,
        Err(_) => {
            let seconds = TIMEOUT.as_secs();
            return Err(Failure::failed(format!("--out {url} has not answered within {seconds} s"))
                .hint("check the network, the proxy settings and AWS_ENDPOINT_URL if it is set"));
        }
    };
    let wrong = error.kind == StoreErrorKind::Bucket;
    let hint = error.hint().map(str::to_owned);
    let message = format!("--out {url} takes no result: {error}");
    let failure = if wrong { Failure::input(message) } else { Failure::failed(message) };
    Err(failure.maybe_hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_none_are_refused() {
        let urls = [
            "s3://",
            "s3:///x",
            "s3://UPPER_case/x",
            "s3://ab/x",
            "s3://-ab/x",
            "s3://a..b/x",
            "s3://bucket/a/../b",
        ];
        let all = urls
            .map(|url| check_destination(url).expect_err(url).to_string().lines().next().unwrap().to_owned());
        insta::assert_snapshot!(all.join("\n"), @r#"
        error: --out s3://: it names no bucket
        error: --out s3:///x: it names no bucket
        error: --out s3://UPPER_case/x: no bucket can be called "UPPER_case": a name has lower-case letters, digits, - and . alone
        error: --out s3://ab/x: no bucket can be called "ab": a name has 3 to 63 characters
        error: --out s3://-ab/x: no bucket can be called "-ab": a name begins and ends with a letter or a digit, and has no two dots in a row
        error: --out s3://a..b/x: no bucket can be called "a..b": a name begins and ends with a letter or a digit, and has no two dots in a row
        error: --out s3://bucket/a/../b: a prefix has no parts `.` and `..`
        "#);
        for fine in ["s3://bucket", "s3://my.bucket-1/results/2026-11-30/run", "s3://bucket/"] {
            assert_eq!(check_destination(fine), Ok(()));
        }
    }
}
