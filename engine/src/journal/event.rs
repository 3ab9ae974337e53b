//! An entry of a journal: enough to take a run up, to bill it, and to show it again afterwards.

use serde::{Deserialize, Serialize};

use crate::event_log::Recording;
use crate::events::{RunEvent, Summary};
use crate::sound::{self, Checked};

/// The identity of a controller that writes a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writer {
    /// Machine.
    pub host: String,
    /// Process.
    pub pid: u32,
    /// Tells apart processes of one number: equal bytes of two writers would look like one's (decision 0009).
    pub mark: String,
}

/// Events in a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Version of the events ([`EVENTS`](crate::events::EVENTS)).
    #[serde(default)]
    pub version: u32,
    /// Position in the journal, from 1.
    pub number: u64,
    /// Number of controllers that have taken the run, this one included.
    pub epoch: u64,
    /// The controller.
    pub writer: Writer,
    /// Seconds since 1970 by its clock.
    pub at: f64,
    /// The run after these events.
    pub summary: Summary,
    /// Seconds since 1970, and what happened.
    pub events: Vec<(f64, RunEvent)>,
}

impl Entry {
    /// Checks the entry's own numbers, its summary and each of its events.
    ///
    /// # Errors
    /// A time, count or list that can't be, as [`sound::event`] words it.
    pub fn check(&self) -> Checked {
        sound::time(self.at)?;
        sound::count("number", self.number)?;
        sound::count("epoch", self.epoch)?;
        sound::summary(&self.summary)?;
        self.events.iter().try_for_each(|(at, told)| sound::time(*at).and_then(|()| sound::event(told)))
    }

    /// Returns the events of the entry, and after them its summary as an event.
    pub fn recording(&self) -> Recording {
        let summary = (self.at, RunEvent::Summary(self.summary.clone()));
        self.events.iter().cloned().chain([summary]).collect()
    }
}

/// Returns the events of a journal.
pub fn recording(entries: &[Entry]) -> Recording {
    entries.iter().flat_map(Entry::recording).collect()
}
