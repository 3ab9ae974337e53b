//! The journal of a run: batches of events, each an object of its own that is created once. A controller creates
//! entry n + 1 only after it has read entry n, so the journal is its own fence: a controller that finds an entry of
//! another one has lost the run.

mod event;
mod registry;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use stagger_model::error::{Result, StaggerError};
use stagger_model::events::{EVENT_LOG_VERSION, RunEvent, RunState, Summary};
use stagger_protocol::messages::VERSION;
use stagger_storage::{Condition, Storage, StoreErrorKind};

pub use event::{ControllerId, JournalEntry, recording};
pub use registry::{
    ListedRun, delete_cancel_request, list_runs, name_taken_error, read_cancel_request, register_run,
    request_cancel,
};

/// Seconds without an entry after which a controller is taken for gone; it writes one every [`HEARTBEAT_SECONDS`].
pub const SILENCE_SECONDS: f64 = 30.0;
/// Seconds after which a controller writes an entry even if nothing happened.
pub const HEARTBEAT_SECONDS: f64 = 5.0;
/// Seconds between entries while events occur.
pub const BATCH_SECONDS: f64 = 1.0;
/// The number of times that a controller tries to take a run whose controller is writing.
const MAX_TRIES: usize = 20;
/// The most bytes of an entry that is read: some hundred times those of its events.
const ENTRY_BYTES: u64 = 256 << 20;
/// The number of events, about, at which an entry is written before it is due.
const BATCH_EVENTS: usize = 2_000;

/// A journal that this process writes.
#[derive(Debug)]
pub struct Journal {
    storage: Storage,
    writer: ControllerId,
    epoch: u64,
    next: u64,
    pending: Vec<(f64, RunEvent)>,
    written: f64,
}

/// The conditions under which a controller takes a run that another one seems to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takeover {
    /// Only if that controller is gone.
    IfGone,
    /// In any case: the other one loses the run at its next entry.
    Force,
}

impl Journal {
    /// Takes the run: reads its entries, which it returns, and writes one that says that it is ours now. `now` is in
    /// seconds since 1970.
    ///
    /// # Errors
    /// Another controller holds it, or storage that fails.
    pub async fn open(
        storage: Storage,
        writer: ControllerId,
        now: f64,
        takeover: Takeover,
    ) -> Result<(Self, Vec<JournalEntry>)> {
        for _ in 0..MAX_TRIES {
            let history = read_entries(&storage).await?;
            let (mut next, mut epoch) = (1, 1);
            if let Some(last) = history.last() {
                if takeover == Takeover::IfGone && holds(last, &writer, now) {
                    return Err(held(last, now));
                }
                (next, epoch) = (last.number + 1, last.epoch + 1);
            }
            let (storage, writer) = (storage.clone(), writer.clone());
            let mut journal = Self { storage, writer, epoch, next, pending: Vec::new(), written: now };
            journal.record(now, RunEvent::Opened { version: VERSION.to_owned() });
            let summary = history.last().map_or_else(Summary::default, |last| last.summary.clone());
            let summary = Summary { state: RunState::Running, under_way: 0, paused: false, ..summary };
            // The holder of the run may write in this moment: then its entry is read, and the next number is tried.
            if journal.try_write(now, summary).await? {
                return Ok((journal, history));
            }
        }
        Err(StaggerError::failed("the run's journal is written by others too quickly to be taken")
            .with_hint("try again, or cancel the run first"))
    }

    /// Returns the number of controllers that have taken the run, this one included.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Adds an event at a time in seconds since 1970; it is written with the next batch.
    pub fn record(&mut self, now: f64, event: RunEvent) {
        self.pending.push((now, event));
    }

    /// Returns whether a batch is due.
    pub fn is_due(&self, now: f64) -> bool {
        let age = now - self.written;
        age >= HEARTBEAT_SECONDS
            || self.pending.len() >= BATCH_EVENTS
            || (!self.pending.is_empty() && age >= BATCH_SECONDS)
    }

    /// Writes the events that wait, and the state of the run after them.
    ///
    /// # Errors
    /// Another controller has taken the run, or storage that fails.
    pub async fn flush(&mut self, now: f64, summary: Summary) -> Result<()> {
        if self.try_write(now, summary).await? {
            return Ok(());
        }
        let other = entry_at(&self.storage, &stagger_protocol::keys::entry(self.next)).await?;
        Err(lost(&other))
    }

    /// Writes the events that wait; returns false if another controller has written this entry.
    async fn try_write(&mut self, now: f64, summary: Summary) -> Result<bool> {
        let entry = JournalEntry {
            version: EVENT_LOG_VERSION,
            number: self.next,
            epoch: self.epoch,
            writer: self.writer.clone(),
            at: now,
            summary,
            events: std::mem::take(&mut self.pending),
        };
        let json = serde_json::to_vec(&entry).map_err(|e| StaggerError::failed(e.to_string()))?;
        let key = stagger_protocol::keys::entry(self.next);
        match self.storage.put_async(&key, Bytes::from(json), Condition::IfAbsent).await {
            Ok(_) => {
                self.next += 1;
                self.written = now;
                Ok(true)
            }
            Err(e) if e.kind == StoreErrorKind::Exists => Ok(false),
            Err(e) => Err(e.into()),
        }
    }
}

/// Writes that a run has stopped, where its controller is gone. Returns false if a controller holds it after all.
///
/// # Errors
/// Storage that fails, or an entry that can't be read.
pub async fn close_abandoned(
    storage: Storage,
    writer: ControllerId,
    now: f64,
    reason: &str,
    hint: &str,
) -> Result<bool> {
    let opened = Journal::open(storage, writer, now, Takeover::IfGone).await;
    let Ok((mut journal, history)) = opened else { return opened.map(|_| false).or_else(only_held) };
    let summary = history.last().map_or_else(Summary::default, |last| last.summary.clone());
    let (reason, hint) = (reason.to_owned(), Some(hint.to_owned()));
    journal.record(now, RunEvent::Stopped { reason, hint, resumable: true });
    journal.flush(now, Summary { state: RunState::Stopped, under_way: 0, paused: false, ..summary }).await?;
    Ok(true)
}

/// Turns the error of a run that is held into `false`, and passes errors of storage on.
fn only_held(error: StaggerError) -> Result<bool> {
    if error.storage_kind().is_none() { Ok(false) } else { Err(error) }
}

/// Reads all entries of a journal, in order.
///
/// # Errors
/// Storage that fails, or an entry that can't be read.
pub async fn read_entries(storage: &Storage) -> Result<Vec<JournalEntry>> {
    read_entries_from(storage, 1).await
}

/// Reads the entries of a journal from number `first` on, in order.
///
/// # Errors
/// Storage that fails, or an entry that can't be read.
pub async fn read_entries_from(storage: &Storage, first: u64) -> Result<Vec<JournalEntry>> {
    let listed = storage.list_async(stagger_protocol::keys::JOURNAL).await?;
    let mut out: Vec<JournalEntry> = Vec::with_capacity(listed.len());
    for object in
        listed.iter().filter(|object| stagger_protocol::keys::entry_number(&object.key) >= Some(first))
    {
        if object.size > ENTRY_BYTES {
            let text = format!(
                "`{}` of `{}` has {} bytes, an entry at most {ENTRY_BYTES}",
                object.key,
                storage.url(),
                object.size
            );
            return Err(StaggerError::failed(text).with_hint("it is none that a run wrote; remove it"));
        }
        let entry = entry_at(storage, &object.key).await?;
        let expected = out.len() as u64 + first;
        if entry.number != expected {
            return Err(StaggerError::failed(format!(
                "the journal of `{}` has entry {} in place of {expected}",
                storage.url(),
                entry.number
            ))
            .with_hint("something removed a part of the run; start a new one"));
        }
        out.push(entry);
    }
    Ok(out)
}

/// Reads the last entry of a journal; `None` if it has none.
///
/// # Errors
/// Storage that fails, or an entry that can't be read.
pub async fn read_last_entry(storage: &Storage) -> Result<Option<JournalEntry>> {
    let listed = storage.list_async(stagger_protocol::keys::JOURNAL).await?;
    match listed.iter().rev().find(|object| stagger_protocol::keys::entry_number(&object.key).is_some()) {
        Some(object) => entry_at(storage, &object.key).await.map(Some),
        None => Ok(None),
    }
}

async fn entry_at(storage: &Storage, key: &str) -> Result<JournalEntry> {
    let (bytes, _) = storage.get_async(key, None).await?;
    let damaged =
        |why: String| StaggerError::failed(format!("`{key}` of `{}` can't be read: {why}", storage.url()));
    let entry: JournalEntry = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
    entry.check().map_err(damaged)?;
    Ok(entry)
}

/// Returns whether the controller that wrote the last entry seems to hold the run still.
fn holds(last: &JournalEntry, own: &ControllerId, now: f64) -> bool {
    if last.summary.state != RunState::Running {
        return false;
    }
    // A process of this machine can be checked for.
    let gone = last.writer.host == own.host && !is_alive(last.writer.pid);
    !gone && now - last.at < SILENCE_SECONDS
}

#[cfg(target_os = "linux")]
fn is_alive(pid: u32) -> bool {
    std::path::Path::new("/proc").join(pid.to_string()).exists()
}

#[cfg(not(target_os = "linux"))]
fn is_alive(_pid: u32) -> bool {
    true
}

fn held(last: &JournalEntry, now: f64) -> StaggerError {
    let ControllerId { host, pid, .. } = &last.writer;
    StaggerError::failed(format!(
        "the run is held by another controller: process {pid} on {host}, which wrote {:.0} s ago",
        (now - last.at).max(0.0)
    ))
    .with_hint(format!(
        "wait for it, or watch it there; if it is gone, try again in {SILENCE_SECONDS:.0} s or give --take-over"
    ))
}

fn lost(other: &JournalEntry) -> StaggerError {
    let ControllerId { host, pid, .. } = &other.writer;
    StaggerError::failed(format!(
        "another controller has taken the run: process {pid} on {host} (epoch {})",
        other.epoch
    ))
    .with_hint("this one stops; what it did is kept and used by the other")
}
