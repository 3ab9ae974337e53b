//! The runs below one address: which there are, where each is, and the wish that one be cancelled.

use bytes::Bytes;
use futures::stream::{StreamExt, iter};
use serde::{Deserialize, Serialize};

use super::{Entry, last};
use crate::error::{EngineError, Result};
use crate::store::{Condition, Storage, StoreErrorKind};

/// Names of the runs, one empty object each: a list of everything below them would be long.
const NAMES: &str = "names/";

/// The wish to cancel a run.
const CANCEL: &str = "cancel.json";

/// Runs that are looked at at a time: each is two requests that wait.
const AT_ONCE: usize = 32;

/// A run and its last entry.
#[derive(Debug)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its last entry; none if it ended before the first, and an error where that can't be read.
    pub last: Result<Option<Entry>>,
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

/// All runs, by name. One that can't be read costs no other.
///
/// # Errors
/// Storage whose list of names can't be read.
pub async fn list(runs: &Storage, open: &dyn Fn(&str) -> Result<Storage>) -> Result<Vec<Listed>> {
    let names = runs.list_async(NAMES).await?;
    let all = runs.url();
    let looked = names.iter().map(|object| {
        let name = object.key.strip_prefix(NAMES).unwrap_or(&object.key).to_owned();
        let url = format!("{}/{name}", all.trim_end_matches('/'));
        async move {
            let last = match name.contains('/') || name.starts_with('.') {
                true => Err(EngineError::failed(format!("`{name}` is no name of a run"))),
                false => async { last(&open(&url)?).await }.await,
            };
            Listed { name, last }
        }
    });
    Ok(iter(looked).buffered(AT_ONCE).collect().await)
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
