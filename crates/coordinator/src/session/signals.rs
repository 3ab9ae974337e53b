//! The wishes of the user, from this process or from storage, and the times when the journal is due.

use stagger_model::error::Result;
use stagger_model::events::{RunEvent, RunState};

use super::Session;
use crate::journal::{HEARTBEAT_SECONDS, read_cancel_request};

/// The state of the wishes as the run has followed them.
pub(super) struct Polled {
    /// Seconds since 1970 when storage was last asked for a wish to cancel.
    pub(super) looked_for_cancel: f64,
    /// Nothing is started until a person goes on.
    pub(super) paused: bool,
}

impl Session<'_> {
    /// Follows the wishes of the user, and writes the journal where it is due.
    ///
    /// # Errors
    /// Storage that fails; a run that another controller has taken.
    pub(super) async fn poll_signals(&mut self) -> Result<()> {
        let now = self.settings.clock.unix_seconds();
        if now - self.polled.looked_for_cancel >= HEARTBEAT_SECONDS / 2.0 {
            self.polled.looked_for_cancel = now;
            if let Some(abandon) = read_cancel_request(self.objects.storage()).await? {
                self.settings.signal.raise(if abandon { 2 } else { 1 });
            }
        }
        if self.settings.signal.is_raised() {
            self.run.cancel();
        }
        self.poll_pause();
        self.poll_queue();
        if self.settings.signal.takes_retry_now() {
            self.run.retry_now();
        }
        if self.recorder.is_due(now) {
            self.flush(RunState::Running).await?;
        }
        Ok(())
    }

    /// Follows a pause, which other watchers of the run hear of too.
    fn poll_pause(&mut self) {
        let paused = self.settings.signal.is_paused();
        if paused != self.polled.paused {
            let text = if paused { "paused: tasks under way end" } else { "going on after a pause" };
            self.note(RunEvent::Note { text: text.to_owned() });
        }
        self.polled.paused = paused;
        self.run.pause(paused);
    }

    /// Tells the state machine which attempts have left the queue: those that wait there are not late.
    fn poll_queue(&mut self) {
        let now = self.settings.clock.now();
        let run = &mut self.run;
        self.in_flight.drain_taken(|attempt| run.on_taken(attempt, now));
    }
}
