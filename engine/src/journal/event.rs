//! What an entry of a journal holds: enough to take a run up, to bill it, and to show it again afterwards.

use serde::{Deserialize, Serialize};

use crate::events::RunEvent;
use crate::schedule::Cost;

/// Who writes a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writer {
    /// Machine.
    pub host: String,
    /// Process.
    pub pid: u32,
    /// Tells apart processes of one number: equal bytes of two writers would look like one's (decision 0009).
    pub mark: String,
}

/// Where a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Under way, if its controller is.
    #[default]
    Running,
    /// Stopped by a person, the cap or credentials.
    Stopped,
    /// A task can't be done.
    Failed,
    /// It has its result.
    Finished,
}

/// A run in a few numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Where it is.
    pub state: RunState,
    /// Stage under way.
    pub stage: String,
    /// Tasks done of it.
    pub done: usize,
    /// Tasks in all of it.
    pub tasks: usize,
    /// Attempts under way.
    pub under_way: usize,
    /// Dollars.
    pub cost: Cost,
    /// Bytes that workers read, in all.
    pub bytes_read: u64,
    /// Attempts in all.
    pub attempts: u64,
    /// Attempts that failed, but for those that were turned away.
    pub failures: u64,
    /// Attempts that were turned away, as too many ran.
    #[serde(default)]
    pub throttled: u64,
    /// Nothing is started until a person goes on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

/// Events in a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Version of the events ([`EVENTS`](crate::events::EVENTS)).
    #[serde(default)]
    pub version: u32,
    /// Position in the journal, from 1.
    pub number: u64,
    /// How many controllers have taken the run, this one included.
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
