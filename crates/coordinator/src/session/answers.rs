//! The answers of workers: each is billed, handed to the state machine and noted.

use stagger_model::error::{FailureClass, Result};
use stagger_model::events::{RunEvent, TaskDone};
use stagger_model::reduction::TreeNode;
use stagger_protocol::bundle::PartialBundle;
use stagger_protocol::messages::{Answer, TaskFailure, TaskReport};
use stagger_schedule::{Completion, FailureResponse};
use stagger_storage::StoreErrorKind;

use super::in_flight::Answered;
use super::{Fold, Session};
use crate::invoker::{Bill, InvocationOutcome};

impl Session<'_> {
    /// Takes the answer to an attempt.
    pub(super) fn accept(&mut self, answered: Answered, fold: &mut Option<Fold>) {
        let now = self.settings.clock.now();
        let took = now.saturating_sub(answered.started).as_secs_f64();
        let dollars = self.dollars(&answered, took);
        let Answered { attempt, invoked: InvocationOutcome { answer, billed }, .. } = answered;
        match answer {
            Answer::Done(report) => {
                let effect = self.run.on_report(attempt, &report, dollars, now);
                self.accounts.bytes_read += report.bytes_read;
                let ignored = effect == Completion::Ignored;
                let (done, tasks) = self.run.progress();
                let facts = task_done(&report, billed);
                self.note(RunEvent::Done(TaskDone { attempt, took, ignored, done, tasks, ..facts }));
                if let (Completion::SumReady(node), Some(fold)) = (&effect, fold.as_mut()) {
                    fold.add_ready(*node, report.bytes);
                }
            }
            Answer::Failed(failure) => {
                self.accounts.count_failure(failure.class);
                let fraction = self.settings.clock.random_fraction();
                let handled = self.run.on_failure(attempt, failure.clone(), dollars, now, fraction);
                self.note(failed(attempt, failure, &handled, took));
            }
        }
    }

    /// Returns the dollars of an attempt that took this many seconds.
    fn dollars(&self, answered: &Answered, took: f64) -> f64 {
        let rates = self.settings.invoker.prices();
        let function = &self.run.functions()[answered.function];
        if let Some(billed) = &answered.invoked.billed {
            return function.dollars(&rates, billed.seconds);
        }
        // What was turned away is not billed; what got lost may be, for as long as it took, but a worker ends at its limit.
        match &answered.invoked.answer {
            Answer::Failed(failure)
                if matches!(failure.class, FailureClass::Throttled | FailureClass::Absent) =>
            {
                0.0
            }
            _ => function.dollars(&rates, took.min(answered.limit.as_secs_f64())),
        }
    }

    /// Adds a sum; one that is missing or damaged is removed and made again. Returns true if all tasks are still done.
    ///
    /// # Errors
    /// Storage that fails.
    pub(super) async fn accept_sum(
        &mut self,
        node: TreeNode,
        read: Result<PartialBundle>,
        fold: &mut Fold,
    ) -> Result<bool> {
        let error = match read {
            Ok(bundle) => {
                fold.add(node, bundle);
                return Ok(true);
            }
            Err(error) => error,
        };
        fold.read_failed();
        if !matches!(error.storage_kind(), Some(StoreErrorKind::Corrupt | StoreErrorKind::NotFound)) {
            return Err(error);
        }
        self.accounts.failures += 1;
        let key = self.objects.delete_sum(self.stage.checksum(), node).await?;
        let failure = TaskFailure::new(FailureClass::Corrupt, error.to_string()).at(key);
        let handled = self.run.on_damaged(node, failure.clone(), self.settings.clock.now());
        self.note(failed(0, failure, &handled, 0.0));
        Ok(false)
    }
}

/// The facts of a report and its bill, for the event of a task that is done.
fn task_done(report: &TaskReport, billed: Option<Bill>) -> TaskDone {
    TaskDone {
        seconds: report.seconds,
        billed: billed.map(|b| b.seconds),
        rows: report.rows,
        bytes_read: report.bytes_read,
        bytes: report.bytes,
        requests: report.gets + report.puts,
        throttles: report.throttles,
        peak_memory: billed.map_or(0, |b| b.peak_memory).max(report.peak_memory),
        cached: report.cached,
        found: report.found,
        ..TaskDone::default()
    }
}

/// The event of a failed attempt.
fn failed(attempt: u64, failure: TaskFailure, handled: &FailureResponse, took: f64) -> RunEvent {
    let TaskFailure { class, message, place, hint, .. } = failure;
    RunEvent::Failed { attempt, class, message, place, hint, remedy: remedy(handled), took }
}

/// The words for what is done about a failure.
fn remedy(handled: &FailureResponse) -> String {
    match handled {
        FailureResponse::Retry(_) => "again".to_owned(),
        FailureResponse::RetryOnLarger(function) => format!("again on function {}", function + 1),
        FailureResponse::RetryOnFunction(function) => format!("on function {} instead", function + 1),
        FailureResponse::Split(pieces) => format!("split in {pieces}"),
        FailureResponse::Fatal(_) => "given up".to_owned(),
        FailureResponse::Ignored => "nothing: it is done, or another attempt is under way".to_owned(),
    }
}
