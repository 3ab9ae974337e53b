//! Resuming: the numbers and the state that an earlier controller left in the journal, and the objects that the state names.

use serde::Deserialize;
use stagger_model::error::{Result, StaggerError};
use stagger_model::events::{ObjectRef, RunEvent};
use stagger_panel::panel_store::PanelStore;
use stagger_protocol::objects::{PanelObject, checksum};
use stagger_storage::Storage;

use super::WorkerFailure;
use super::estimate::EstimationState;
use super::planning::PlannedRun;
use super::session::Session;
use crate::journal::JournalEntry;

/// Restores a run from a state that an earlier controller saved.
///
/// # Errors
/// Objects of the run that are gone or damaged; a store that was prepared again since.
pub(super) fn restore(
    session: &Session<'_>,
    object: &ObjectRef,
) -> std::result::Result<PlannedRun, WorkerFailure> {
    let state: EstimationState = read(session.objects.storage(), object)?;
    let panel: PanelObject = read(session.objects.storage(), &state.panel)?;
    let store = PanelStore::open((session.settings.open)(&panel.store).map_err(StaggerError::from)?)?;
    let shards = panel.open_shards(store)?;
    let panels = (0..panel.specs.len()).map(|spec| shards.panel(spec, false)).collect();
    Ok(PlannedRun { state, panels, shards })
}

/// Reads an object of the run, which must have the checksum that the journal says.
fn read<T: for<'de> Deserialize<'de>>(storage: &Storage, object: &ObjectRef) -> Result<T> {
    let (bytes, _) = storage.get(&object.key, None)?;
    if checksum(&bytes) != object.checksum {
        return Err(StaggerError::failed(format!(
            "`{}` of the run has another checksum than its journal says",
            object.key
        ))
        .with_hint("the run's objects were damaged; start a new run"));
    }
    postcard::from_bytes(&bytes)
        .map_err(|e| StaggerError::failed(format!("`{}` of the run can't be read: {e}", object.key)))
}

/// Returns the number of the last stage that began; 0 if none did.
pub(super) fn last_stage(history: &[JournalEntry]) -> u64 {
    let numbers = history.iter().flat_map(|entry| &entry.events).filter_map(|(_, event)| match event {
        RunEvent::StageStarted { number, .. } => Some(*number),
        _ => None,
    });
    numbers.max().unwrap_or(0)
}

/// Returns the number of the last attempt; 0 if there was none.
pub(super) fn last_attempt(history: &[JournalEntry]) -> u64 {
    let numbers = history.iter().flat_map(|entry| &entry.events).filter_map(|(_, event)| match event {
        RunEvent::Invoked { attempt, .. } => Some(*attempt),
        _ => None,
    });
    numbers.max().unwrap_or(0)
}

/// Returns the last state that the journal names.
pub(super) fn last_state(history: &[JournalEntry]) -> Option<ObjectRef> {
    history.iter().rev().flat_map(|entry| entry.events.iter().rev()).find_map(|(_, event)| match event {
        RunEvent::State { object } => Some(object.clone()),
        _ => None,
    })
}
