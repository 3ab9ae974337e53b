//! The end of a run before its time: the reason, in words, and whether the run can go on.

use stagger_model::cost::Cost;
use stagger_model::error::{Result, StaggerError};
use stagger_model::events::{RunEvent, RunState};
use stagger_schedule::Stop;

use super::Session;
use crate::WorkerFailure;

/// The end of a run before its time.
struct Ending {
    state: RunState,
    reason: String,
    failure: WorkerFailure,
}

impl Ending {
    /// A run that can be resumed.
    fn resumable(error: StaggerError) -> Self {
        Self { state: RunState::Stopped, reason: error.to_string(), failure: error.into() }
    }
}

impl Session<'_> {
    /// Ends the run: waits for the attempts under way, unless the user does not, and says why.
    ///
    /// # Errors
    /// The reason, once nothing is waited for.
    pub(super) async fn end_stopped(&mut self) -> std::result::Result<(), WorkerFailure> {
        let wait = self.in_flight.is_empty() || self.settings.signal.level() > 1;
        if !wait {
            return Ok(());
        }
        let Some(stop) = self.run.stopped().cloned() else { return Ok(()) };
        let Ending { state, reason, failure } = self.ending(stop);
        let hint = match &failure {
            WorkerFailure::Task { failure, .. } => failure.hint.clone(),
            WorkerFailure::Other(error) => error.hint(),
        };
        self.recorder.ended = true;
        self.note(RunEvent::Stopped { reason, hint, resumable: state == RunState::Stopped });
        self.flush(state).await?;
        Err(failure)
    }

    /// Words a stop of the state machine.
    fn ending(&self, stop: Stop) -> Ending {
        let resume = format!("`stagger resume {}`", self.objects.run_name());
        let on = format!("{resume} goes on where it was");
        match stop {
            Stop::Failed { work, failure } => {
                let task = self.stage.task_name(&work);
                let reason = format!("{task}: {}", failure.message);
                Ending { state: RunState::Failed, reason, failure: WorkerFailure::Task { task, failure } }
            }
            Stop::Cost => {
                let hint = format!("{resume} with a higher --max-cost goes on where it was");
                Ending::resumable(StaggerError::failed(cap_reached(&self.run.cost())).with_hint(hint))
            }
            Stop::Credentials(failure) => {
                let text = format!("credentials were not renewed in time: {}", failure.message);
                Ending::resumable(StaggerError::failed(text).with_hint(format!("log in again; {on}")))
            }
            Stop::Absent(failure) => {
                let hint = format!("start workers; {on}");
                Ending::resumable(StaggerError::failed(failure.message).with_hint(hint))
            }
            Stop::Cancelled => {
                let left = match self.in_flight.len() {
                    0 => String::new(),
                    left => format!("; {left} tasks under way end by themselves"),
                };
                Ending::resumable(StaggerError::failed(format!("cancelled{left}")).with_hint(on))
            }
        }
    }

    /// Notes an error that did not come from a task: bad input, storage.
    ///
    /// # Errors
    /// A journal that can't be written.
    pub(crate) async fn end(&mut self, error: &StaggerError) -> Result<()> {
        if self.recorder.ended {
            return Ok(());
        }
        self.recorder.ended = true;
        let resumable = !error.is_input();
        let hint = error.hint();
        self.note(RunEvent::Stopped { reason: error.to_string(), hint, resumable });
        self.flush(if resumable { RunState::Stopped } else { RunState::Failed }).await
    }
}

fn cap_reached(cost: &Cost) -> String {
    format!(
        "stopped at ${:.6} of the ${:.6} that --max-cost allows: another task may cost up to ${:.6}",
        cost.spent,
        cost.cap.unwrap_or_default(),
        cost.refused
    )
}
