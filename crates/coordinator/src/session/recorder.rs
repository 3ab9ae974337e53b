//! The journal of a run and its listener, which hear of the same events.

use std::sync::Arc;

use stagger_model::error::Result;
use stagger_model::events::{Observer, RunEvent, Summary};
use stagger_storage::Clock;

use crate::journal::Journal;

/// Tells events to a listener and writes them to the journal.
pub(super) struct Recorder<'a> {
    pub(super) observer: Observer<'a>,
    journal: Journal,
    clock: Arc<dyn Clock>,
    /// True once the journal says why the run ended.
    pub(super) ended: bool,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(observer: Observer<'a>, journal: Journal, clock: Arc<dyn Clock>) -> Self {
        Self { observer, journal, clock, ended: false }
    }

    /// Tells an event, and notes it for the journal's next entry.
    pub(super) fn note(&mut self, event: RunEvent) {
        (self.observer)(&event);
        self.journal.record(self.clock.unix_seconds(), event);
    }

    /// Returns true if an entry of the journal is due at `now`, seconds since 1970.
    pub(super) fn is_due(&self, now: f64) -> bool {
        self.journal.is_due(now)
    }

    /// Writes an entry of the journal.
    ///
    /// # Errors
    /// Storage that fails; a run that another controller has taken.
    pub(super) async fn flush(&mut self, summary: Summary) -> Result<()> {
        (self.observer)(&RunEvent::Summary(summary.clone()));
        self.journal.flush(self.clock.unix_seconds(), summary).await
    }
}
