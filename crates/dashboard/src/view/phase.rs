//! The state of a run, and the time that it took so far.

/// The state of a run, for a person.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum RunPhase {
    /// No event has come yet.
    #[default]
    Waiting,
    /// The run is under way.
    Running,
    /// The run has its result.
    Finished,
    /// The run ended without its result.
    Stopped {
        /// The cause, for a person.
        reason: String,
        /// `stagger resume` goes on with it.
        resumable: bool,
    },
}

impl RunPhase {
    /// Returns true if nothing more will happen by itself.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Finished | Self::Stopped { .. })
    }
}

/// The state of a run with its first and last time; times are seconds since 1970.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// The state of the run.
    pub phase: RunPhase,
    /// The time of the first event.
    pub begun: Option<f64>,
    /// The time of the last event.
    pub last: f64,
}

impl Progress {
    /// Takes note that there was an event.
    pub(super) fn touch(&mut self, at: f64) {
        self.begun.get_or_insert(at);
        self.last = self.last.max(at);
        if self.phase == RunPhase::Waiting {
            self.phase = RunPhase::Running;
        }
    }

    /// Returns the seconds from the first event to `now`, or to the end of a run that is over.
    pub fn elapsed(&self, now: f64) -> f64 {
        let end = if self.phase.is_over() { self.last } else { now.max(self.last) };
        self.begun.map_or(0.0, |begun| (end - begun).max(0.0))
    }
}
