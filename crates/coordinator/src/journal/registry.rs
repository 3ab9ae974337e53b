//! The runs below one address: their names, the state of each, and requests to cancel them.

use bytes::Bytes;
use futures::stream::{StreamExt, iter};
use serde::{Deserialize, Serialize};
use stagger_model::error::{Result, StaggerError};
use stagger_storage::{Condition, Storage, StoreErrorKind};

use super::{JournalEntry, read_last_entry};

/// The prefix of the runs' names, one empty object each: a list of everything below the runs would be long.
const NAMES: &str = "names/";

/// The request to cancel a run.
const CANCEL: &str = "cancel.json";

/// Runs that are read at a time: each takes two requests.
const AT_ONCE: usize = 32;

/// A run and its last entry.
#[derive(Debug)]
pub struct ListedRun {
    /// The name of the run.
    pub name: String,
    /// Its last entry; `None` if it ended before the first, and an error where it can't be read.
    pub last: Result<Option<JournalEntry>>,
}

/// Registers the name of a new run.
///
/// # Errors
/// Another run of that name, or storage that fails.
pub async fn register_run(runs: &Storage, name: &str) -> Result<()> {
    let key = format!("{NAMES}{name}");
    match runs.put_async(&key, Bytes::from_static(b"\n"), Condition::IfAbsent).await {
        Ok(_) => Ok(()),
        Err(e) if e.kind == StoreErrorKind::Exists => Err(name_taken_error(&runs.url(), name)),
        Err(e) => Err(e.into()),
    }
}

/// Returns the error that refuses a name which a run has already.
pub fn name_taken_error(runs: &str, name: &str) -> StaggerError {
    StaggerError::input(format!("there is a run `{name}` in `{runs}` already"))
        .with_hint("`stagger resume` takes it up; give another --run-name for a new one")
}

/// Lists all runs by name. A run that can't be read is listed with its error.
///
/// # Errors
/// Storage whose list of names can't be read.
pub async fn list_runs(runs: &Storage, open: &dyn Fn(&str) -> Result<Storage>) -> Result<Vec<ListedRun>> {
    let names = runs.list_async(NAMES).await?;
    let all = runs.url();
    let looked = names.iter().map(|object| {
        let name = object.key.strip_prefix(NAMES).unwrap_or(&object.key).to_owned();
        let url = format!("{}/{name}", all.trim_end_matches('/'));
        async move {
            let last = match name.contains('/') || name.starts_with('.') {
                true => Err(StaggerError::failed(format!("`{name}` is no name of a run"))),
                false => async { read_last_entry(&open(&url)?).await }.await,
            };
            ListedRun { name, last }
        }
    });
    Ok(iter(looked).buffered(AT_ONCE).collect().await)
}

/// A request to cancel a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CancelRequest {
    abandon: bool,
}

/// Asks the controller of a run to stop: once tasks under way have ended or, with `abandon`, at once.
///
/// # Errors
/// Storage that fails.
pub async fn request_cancel(run: &Storage, abandon: bool) -> Result<()> {
    let json =
        serde_json::to_vec(&CancelRequest { abandon }).map_err(|e| StaggerError::failed(e.to_string()))?;
    run.put_async(CANCEL, Bytes::from(json), Condition::Always).await?;
    Ok(())
}

/// Returns the request to cancel a run, if there is one; true means at once.
///
/// # Errors
/// Storage that fails.
pub async fn read_cancel_request(run: &Storage) -> Result<Option<bool>> {
    match run.get_async(CANCEL, None).await {
        Ok((bytes, _)) => {
            Ok(Some(serde_json::from_slice::<CancelRequest>(&bytes).is_ok_and(|wish| wish.abandon)))
        }
        Err(e) if e.kind == StoreErrorKind::NotFound => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Deletes the request to cancel, as the run is resumed.
///
/// # Errors
/// Storage that fails.
pub async fn delete_cancel_request(run: &Storage) -> Result<()> {
    run.delete_async(CANCEL).await?;
    Ok(())
}
