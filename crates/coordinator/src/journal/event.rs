//! The entry of a journal: enough to resume a run, to bill it, and to replay it afterwards.

use serde::{Deserialize, Serialize};
use stagger_model::event_log::Recording;
use stagger_model::events::{RunEvent, Summary};
use stagger_model::sound;
use stagger_model::sound::CheckResult;

/// The controller that writes a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControllerId {
    /// The name of its machine.
    pub host: String,
    /// The number of its process.
    pub pid: u32,
    /// A mark that tells apart processes of the same number: equal bytes of two writers would look like those of one
    /// (decision 0009).
    pub mark: String,
}

/// A batch of events: one object of a journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// The version of the events ([`EVENT_LOG_VERSION`](stagger_model::events::EVENT_LOG_VERSION)).
    #[serde(default)]
    pub version: u32,
    /// The position in the journal, from 1.
    pub number: u64,
    /// The number of controllers that have taken the run, this one included.
    pub epoch: u64,
    /// The controller that wrote the entry.
    pub writer: ControllerId,
    /// The time of writing, in seconds since 1970 by the writer's clock.
    pub at: f64,
    /// The run after these events.
    pub summary: Summary,
    /// Events with their times, in seconds since 1970.
    pub events: Vec<(f64, RunEvent)>,
}

impl JournalEntry {
    /// Checks the entry's own numbers, its summary and each of its events.
    ///
    /// # Errors
    /// A time, count or list that can't be, as [`sound::check_event`] words it.
    pub fn check(&self) -> CheckResult {
        sound::check_time(self.at)?;
        sound::count("number", self.number)?;
        sound::count("epoch", self.epoch)?;
        sound::summary(&self.summary)?;
        self.events
            .iter()
            .try_for_each(|(at, told)| sound::check_time(*at).and_then(|()| sound::check_event(told)))
    }

    /// Returns the events of the entry, and after them its summary as an event.
    pub fn recording(&self) -> Recording {
        let summary = (self.at, RunEvent::Summary(self.summary.clone()));
        self.events.iter().cloned().chain([summary]).collect()
    }
}

/// Returns the events of a journal.
pub fn recording(entries: &[JournalEntry]) -> Recording {
    entries.iter().flat_map(JournalEntry::recording).collect()
}
