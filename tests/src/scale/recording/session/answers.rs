//! Answers as they come to the controller, and what is told of them.

use stagger_model::error::FailureClass;
use stagger_model::events::{RunEvent, TaskDone};
use stagger_model::reduction::TreeNode;
use stagger_protocol::keys;
use stagger_protocol::messages::{Answer, TaskFailure, TaskReport, Work};
use stagger_schedule::{Completion, FailureResponse};

use super::{Coming, READ, Session, duration};
use crate::scale::recording::cloud::Played;
use crate::scale::recording::milliseconds;

impl Session {
    /// An attempt has ended, one way or another.
    pub(super) fn answers(&mut self, number: u64) {
        let Some(attempt) = self.attempts.remove(&number) else { return };
        let took = milliseconds(self.now - attempt.begun);
        let now = duration(self.now);
        let Some(Played { answer, billed, .. }) = attempt.played else {
            let what = format!(
                "function `{}`: TooManyRequestsException: Rate Exceeded",
                self.run.functions()[attempt.function].name
            );
            let failure = TaskFailure::new(FailureClass::Throttled, what).with_hint(
                "the account's concurrency is in use; ask AWS for more, or use fewer: --concurrency",
            );
            self.told.throttled += 1;
            return self.failed(number, failure, 0.0, took);
        };
        let memory = self.run.functions()[attempt.function].memory_mb;
        let seconds = billed.map_or(took.min(attempt.limit), |(seconds, _)| seconds);
        let dollars = self.rates.price_invocation(memory, seconds);
        match answer {
            Answer::Failed(failure) => {
                self.told.failures += 1;
                self.failed(number, failure, dollars, took);
            }
            Answer::Done(report) => {
                let effect = self.run.on_report(number, &report, dollars, now);
                self.done(number, &report, took, billed.map(|(seconds, _)| seconds), &effect);
                if effect != Completion::Ignored {
                    self.results.insert(attempt.work.to_string());
                }
            }
        }
    }

    fn done(
        &mut self,
        attempt: u64,
        report: &TaskReport,
        took: f64,
        billed: Option<f64>,
        effect: &Completion,
    ) {
        self.told.bytes_read += report.bytes_read;
        let (done, tasks) = self.run.progress();
        self.note(RunEvent::Done(TaskDone {
            attempt,
            seconds: report.seconds,
            took,
            billed,
            rows: report.rows,
            bytes_read: report.bytes_read,
            bytes: report.bytes,
            requests: report.gets + report.puts,
            throttles: report.throttles,
            peak_memory: report.peak_memory,
            cached: report.cached,
            found: report.found,
            ignored: *effect == Completion::Ignored,
            done,
            tasks,
        }));
        if let Completion::SumReady(node) = effect {
            self.reads += 1;
            if self.damaged.take_if(|damaged| damaged == node).is_some() {
                self.at(self.now + READ, Coming::Damaged(*node));
            }
        }
    }

    fn failed(&mut self, attempt: u64, failure: TaskFailure, dollars: f64, took: f64) {
        let fraction = self.cloud.random.uniform();
        let handled = self.run.on_failure(attempt, failure.clone(), dollars, duration(self.now), fraction);
        self.tell(attempt, failure, &handled, took);
    }

    /// A sum that was read is not what was written: its task is done again.
    pub(super) fn damaged(&mut self, node: TreeNode) {
        self.told.failures += 1;
        let work = Work::Shards { node, part: None };
        self.results.remove(&work.to_string());
        let key = keys::result(&self.object.checksum, &work);
        let failure = TaskFailure::new(FailureClass::Corrupt, "damaged partials: they end too soon").at(key);
        let handled = self.run.on_damaged(node, failure.clone(), duration(self.now));
        self.tell(0, failure, &handled, 0.0);
    }

    fn tell(&mut self, attempt: u64, failure: TaskFailure, handled: &FailureResponse, took: f64) {
        let TaskFailure { class, message, place, hint, .. } = failure;
        self.note(RunEvent::Failed { attempt, class, message, place, hint, remedy: remedy(handled), took });
    }
}

/// The words of `coordinator::session`.
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
