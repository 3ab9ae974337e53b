//! What a run tells its listeners: the progress line, logs, later the dashboard and the journal.

use crate::journal::{JournalEvent, Summary};

/// One event. Listeners can't slow or change a run.
#[derive(Clone, Debug, PartialEq)]
pub enum RunEvent {
    /// The input was opened.
    InputFound {
        /// Number of files.
        files: usize,
        /// Rows in all files.
        rows: u64,
        /// Bytes of all files.
        bytes: u64,
    },
    /// A stage begins.
    StageStarted {
        /// Name of the stage.
        stage: String,
        /// Number of tasks.
        tasks: usize,
    },
    /// A task ended.
    TaskDone {
        /// Name of the stage.
        stage: String,
        /// Tasks done.
        done: usize,
        /// Number of tasks.
        tasks: usize,
    },
    /// A stage ended.
    StageDone {
        /// Name of the stage.
        stage: String,
        /// Wall seconds.
        seconds: f64,
    },
    /// What the run does, where a user may wonder.
    Note {
        /// Text.
        text: String,
    },
    /// Something that a run on workers notes in its journal.
    Journal(JournalEvent),
    /// Where a run on workers is.
    Summary(Summary),
    /// Something the user should know.
    Warning {
        /// Text.
        text: String,
    },
}

/// Receives events; called from any thread.
pub type Observer<'a> = &'a (dyn Fn(&RunEvent) + Sync);
