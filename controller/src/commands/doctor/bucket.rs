//! Checks of the bucket: list, put, get, delete. Each is tried once: a doctor tells what happens, and retries would hide it.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use stagger_storage::{ByteRange, Condition, ObjectStore, S3Store, StoreResult};

use super::check::{Check, Status};

/// The bytes that are written and read back.
const CONTENT: &[u8] = b"stagger doctor";

/// The check of a bucket.
pub(super) async fn bucket(name: Option<&str>) -> Check {
    let Some(name) = name else {
        return Check::fail(
            "bucket",
            "none is named",
            "--bucket NAME, or STAGGER_BUCKET; `infra/deploy` makes one and prints it",
        );
    };
    let check = format!("bucket {name}");
    match used(name).await {
        Ok(()) => Check::ok(&check, "can be listed, written, read and cleaned"),
        Err(Trouble::Refused(error)) => Check::unstored(&check, &error),
        Err(Trouble::Left(url, error)) => {
            let failed = Check::unstored(&check, &error);
            Check { detail: format!("{}; {url} is left", failed.detail), ..failed }
        }
        Err(Trouble::Differs) => Check::new(&check, Status::Fail, "what was read is not what was written"),
    }
}

/// A trouble with a bucket.
#[derive(Debug)]
enum Trouble {
    Refused(stagger_storage::StoreError),
    /// The object could not be removed.
    Left(String, stagger_storage::StoreError),
    Differs,
}

async fn used(name: &str) -> Result<(), Trouble> {
    let store = S3Store::open(&format!("s3://{name}")).map_err(Trouble::Refused)?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let key = format!("runs/doctor-{since}-{}", std::process::id());
    store.list(&key).await.map_err(Trouble::Refused)?;
    let bytes = Bytes::from_static(CONTENT);
    store.put(&key, bytes, Condition::IfAbsent).await.map_err(Trouble::Refused)?;
    let same = read_back(&store, &key).await;
    store.delete(&key).await.map_err(|error| Trouble::Left(format!("s3://{name}/{key}"), error))?;
    match same {
        Ok(true) => Ok(()),
        Ok(false) => Err(Trouble::Differs),
        Err(error) => Err(Trouble::Refused(error)),
    }
}

async fn read_back(store: &S3Store, key: &str) -> StoreResult<bool> {
    let object = store.get(key, ByteRange::All, None).await?;
    Ok(object.bytes == CONTENT)
}
