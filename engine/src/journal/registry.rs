//! The runs below one address: which there are, where each is, and the wish that one be cancelled.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Entry, entry_at, keys};
use crate::error::{EngineError, Result};
use crate::store::{Condition, Storage, StoreErrorKind};

/// Names of the runs, one empty object each: a list of everything below them would be long.
const NAMES: &str = "names/";

/// The wish to cancel a run.
const CANCEL: &str = "cancel.json";

/// A run and its last entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its last entry; none if it ended before the first.
    pub last: Option<Entry>,
}

/// Notes a new run.
///
/// # Errors
/// Another run of that name, or storage that fails.
pub async fn register(runs: &Storage, name: &str) -> Result<()> {
    let key = format!("{NAMES}{name}");
    match runs.put_async(&key, Bytes::from_static(b"\n"), Condition::IfAbsent).await {
        Ok(_) => Ok(()),
        Err(e) if e.kind == StoreErrorKind::Exists => Err(is_there(&runs.url(), name)),
        Err(e) => Err(e.into()),
    }
}

/// The refusal of a name that a run has.
pub(crate) fn is_there(runs: &str, name: &str) -> EngineError {
    EngineError::input(format!("there is a run `{name}` in `{runs}` already"))
        .with_hint("`stagger resume` takes it up; give another --run-name for a new one")
}

/// All runs, by name.
///
/// # Errors
/// Storage that fails.
pub async fn list(runs: &Storage, open: &dyn Fn(&str) -> Result<Storage>) -> Result<Vec<Listed>> {
    let mut out = Vec::new();
    for object in runs.list_async(NAMES).await? {
        let name = object.key.trim_start_matches(NAMES).to_owned();
        let run = open(&format!("{}/{name}", runs.url().trim_end_matches('/')))?;
        let entries = run.list_async(keys::JOURNAL).await?;
        let last = match entries.last() {
            Some(object) => Some(entry_at(&run, &object.key).await?),
            None => None,
        };
        out.push(Listed { name, last });
    }
    Ok(out)
}

/// How a run is to be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Wish {
    abandon: bool,
}

/// Asks the controller of a run to stop: once tasks under way have ended, or at once.
///
/// # Errors
/// Storage that fails.
pub async fn request_cancel(run: &Storage, abandon: bool) -> Result<()> {
    let json = serde_json::to_vec(&Wish { abandon }).map_err(|e| EngineError::failed(e.to_string()))?;
    run.put_async(CANCEL, Bytes::from(json), Condition::Always).await?;
    Ok(())
}

/// Whether someone asked for it, and whether at once.
///
/// # Errors
/// Storage that fails.
pub async fn cancel_requested(run: &Storage) -> Result<Option<bool>> {
    match run.get_async(CANCEL, None).await {
        Ok((bytes, _)) => Ok(Some(serde_json::from_slice::<Wish>(&bytes).is_ok_and(|wish| wish.abandon))),
        Err(e) if e.kind == StoreErrorKind::NotFound => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Forgets the wish: the run is taken up again.
pub(crate) async fn forget_cancel(run: &Storage) -> Result<()> {
    run.delete_async(CANCEL).await?;
    Ok(())
}
