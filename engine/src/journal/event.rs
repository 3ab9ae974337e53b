//! What a journal tells: enough to take a run up, to bill it, and to show it again afterwards.

use serde::{Deserialize, Serialize};

use crate::schedule::Cost;
use crate::worker::protocol::{FailureClass, ObjectRef, Phases, Work};

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

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum JournalEvent {
    /// A controller took the run.
    Opened {
        /// Version of the program.
        version: String,
    },
    /// A stage began.
    StageStarted {
        /// Number of the stage in the run.
        number: u64,
        /// Its name.
        stage: String,
        /// Its tasks at first.
        tasks: usize,
        /// What they have in common.
        object: ObjectRef,
    },
    /// An attempt started.
    Invoked {
        /// Attempt.
        attempt: u64,
        /// Task.
        task: Work,
        /// How many attempts there were.
        number: u32,
        /// Function.
        function: String,
        /// Another one is under way.
        backup: bool,
    },
    /// An attempt has done its task.
    Done {
        /// Attempt.
        attempt: u64,
        /// Seconds by phase.
        seconds: Phases,
        /// Seconds that it took as the controller saw it.
        took: f64,
        /// Seconds billed, if known.
        billed: Option<f64>,
        /// Units or rows.
        rows: u64,
        /// Bytes read.
        bytes_read: u64,
        /// Bytes of the result.
        bytes: u64,
        /// Peak memory of the worker.
        peak_memory: u64,
        /// Shards it still had.
        cached: u64,
        /// The result was there already.
        found: bool,
    },
    /// An attempt failed.
    Failed {
        /// Attempt.
        attempt: u64,
        /// Why.
        class: FailureClass,
        /// What happened.
        message: String,
        /// What is done about it.
        remedy: String,
        /// Seconds that it took as the controller saw it.
        took: f64,
    },
    /// A stage is done.
    StageDone {
        /// Number.
        number: u64,
        /// Name.
        stage: String,
        /// Wall seconds.
        seconds: f64,
    },
    /// The estimations are as in this object; nothing before it needs to be done again.
    State {
        /// The object.
        object: ObjectRef,
    },
    /// Something a person should know.
    Note {
        /// Text.
        text: String,
    },
    /// The run stopped before its end.
    Stopped {
        /// Why.
        reason: String,
        /// Whether it can go on.
        resumable: bool,
    },
    /// The run has its result.
    Finished,
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
}

/// Events in a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
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
    pub events: Vec<(f64, JournalEvent)>,
}
