//! The meaning of an invocation that Lambda answers with success: the worker's own answer, or the end of its process.

use serde::Deserialize;
use stagger_coordinator::InvocationOutcome;
use stagger_model::error::FailureClass;
use stagger_protocol::messages::{Answer, TaskFailure};

use super::report::{ReportLine, last_lines};

/// An answer of status 200.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply<'a> {
    /// The function, as the user names it.
    pub(super) function: &'a str,
    /// `FailureResponse` or `Unhandled`, where it failed.
    pub(super) error: Option<&'a str>,
    /// The answer of the function, or the error object that Lambda puts in its place.
    pub(super) payload: &'a [u8],
    /// The last 4 KB of its log.
    pub(super) log: &'a str,
}

/// Lambda's words for a function that failed.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Failed {
    error_type: String,
    error_message: String,
}

/// Characters that are shown of an answer that can't be understood.
const EXCERPT: usize = 200;

impl Reply<'_> {
    /// The worker's answer, or what stands for it, and the bill.
    pub(super) fn read(&self) -> InvocationOutcome {
        let report = ReportLine::find(self.log);
        let answer = match self.error {
            None => self.answer(),
            Some(_) => Answer::Failed(self.failed(report.as_ref())),
        };
        InvocationOutcome { answer, billed: report.map(|report| report.billed()) }
    }

    fn answer(&self) -> Answer {
        serde_json::from_slice(self.payload).unwrap_or_else(|_| {
            Answer::Failed(
                self.failure(
                    FailureClass::Permanent,
                    &format!("its answer is no worker's: {}", self.excerpt()),
                )
                .with_hint("name Stagger's functions, of this version: `infra/deploy` makes them"),
            )
        })
    }

    fn excerpt(&self) -> String {
        String::from_utf8_lossy(self.payload).chars().take(EXCERPT).collect()
    }

    fn failure(&self, class: FailureClass, what: &str) -> TaskFailure {
        TaskFailure::new(class, format!("function `{}`: {what}", self.function))
    }

    /// Returns the failure of a function. Tests come most specific first: a function that is killed is always an `ExitError` too.
    fn failed(&self, report: Option<&ReportLine>) -> TaskFailure {
        let body: Failed = serde_json::from_slice(self.payload).unwrap_or_default();
        let kind = match report.and_then(|report| report.error_type.as_deref()) {
            Some(reported) if body.error_type.is_empty() => reported,
            _ => &body.error_type,
        };
        let words = match body.error_message.is_empty() {
            true => self.excerpt(),
            false => body.error_message.clone(),
        };
        let timed_out = report.is_some_and(|report| report.status.as_deref() == Some("timeout"));
        if kind == "Function.ResponseSizeTooLarge" {
            return self.failure(FailureClass::Permanent, &format!("{kind}: {words}"));
        }
        if kind == "Sandbox.Timedout" || words.contains("Task timed out") || timed_out {
            return self.failure(FailureClass::TimedOut, "Lambda ended it at the function's timeout");
        }
        // A function's own error says what it is; only the end of its process needs guessing.
        let ended = kind.is_empty() || kind.starts_with("Runtime.");
        let full = ended && report.is_some_and(ReportLine::is_full);
        if kind == "Runtime.OutOfMemory" || words.contains("signal: killed") || full {
            return self.failure(FailureClass::OutOfMemory, &out_of_memory(report));
        }
        if kind == "Runtime.InvalidEntrypoint" {
            return self
                .failure(FailureClass::Permanent, &format!("it can't be started ({words})"))
                .with_hint("deploy it again, with code built for its architecture: `function/build`, then `infra/deploy`");
        }
        self.failure(FailureClass::Lost, &self.ended(kind, &words))
    }

    /// The end of a process, with what it printed before.
    fn ended(&self, kind: &str, words: &str) -> String {
        let mut text = match kind.is_empty() {
            true => format!("it failed: {words}"),
            false => format!("{kind}: {words}"),
        };
        let last = last_lines(self.log);
        if !last.is_empty() {
            text += &format!("; it printed last: {last}");
        }
        text
    }
}

fn out_of_memory(report: Option<&ReportLine>) -> String {
    match report {
        Some(report) => format!("killed for memory: {} MB of {} MB in use", report.peak_mb, report.memory_mb),
        None => "killed for memory".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: &str = "REPORT RequestId: x\tDuration: 5.00 ms\tBilled Duration: 5 ms\tMemory Size: 128 MB\tMax Memory Used: ";

    fn read(error: Option<&str>, payload: &str, log: &str) -> InvocationOutcome {
        Reply { function: "f", error, payload: payload.as_bytes(), log }.read()
    }

    fn failed(payload: &str, log: &str) -> TaskFailure {
        match read(Some("Unhandled"), payload, log).answer {
            Answer::Failed(failure) => failure,
            done => panic!("{done:?}"),
        }
    }

    fn class(kind: &str, words: &str, used: u32, more: &str) -> FailureClass {
        let payload = format!("{{\"errorType\":\"{kind}\",\"errorMessage\":\"{words}\"}}");
        failed(&payload, &format!("{END}{used} MB\t{more}\n")).class
    }

    #[test]
    fn workers_answers_pass_with_their_bill() {
        let payload = r#"{"failed":{"class":"data","message":"bad row","hint":null,"place":null}}"#;
        let found = read(None, payload, &format!("{END}90 MB\t\n"));
        assert_eq!(found.answer, Answer::Failed(TaskFailure::new(FailureClass::Data, "bad row")));
        assert!(
            found.billed.is_some_and(
                |billed| (billed.seconds - 0.005).abs() < 1e-12 && billed.peak_memory == 90 << 20
            )
        );
        let Answer::Failed(other) = read(None, "{\"pong\":1}", "").answer else {
            panic!("no worker's answer")
        };
        assert_eq!(other.class, FailureClass::Permanent);
        assert!(other.message.contains("{\"pong\":1}"), "{}", other.message);
    }

    #[test]
    fn ends_of_a_process_by_their_cause() {
        use FailureClass::{Lost, OutOfMemory, Permanent, TimedOut};
        let killed = "RequestId: x Error: Runtime exited with error: signal: killed";
        let cases = [
            ("Runtime.ExitError", killed, 128, "", OutOfMemory),
            // The report's peak is sampled: a quick rise may be missing in it.
            ("Runtime.ExitError", killed, 60, "", OutOfMemory),
            ("Runtime.OutOfMemory", "Error: Runtime exited", 128, "", OutOfMemory),
            ("Runtime.ExitError", "exit status 101", 128, "", OutOfMemory),
            ("Runtime.ExitError", "exit status 101", 60, "", Lost),
            ("", "2026-11-21T10:00:00Z x Task timed out after 3.00 seconds", 60, "", TimedOut),
            ("Sandbox.Timedout", "Error: Task timed out after 3.00 seconds", 128, "", TimedOut),
            ("", "", 60, "Status: timeout\t", TimedOut),
            ("Function.ResponseSizeTooLarge", "Response payload size exceeded", 128, "", Permanent),
            ("Runtime.InvalidEntrypoint", "exec format error", 3, "", Permanent),
            // The function's own error, in a warm environment that was full once.
            ("Panic", "index out of bounds", 128, "", Lost),
        ];
        for (kind, words, used, more, wanted) in cases {
            assert_eq!(class(kind, words, used, more), wanted, "{kind} {words} {used} {more}");
        }
    }

    #[test]
    fn a_crash_is_told_with_what_was_printed_last() {
        let payload = r#"{"errorType":"Runtime.ExitError","errorMessage":"exit status 101"}"#;
        let failure = failed(payload, &format!("START RequestId: x\nthread 'main' panicked\n{END}3 MB\t\n"));
        assert_eq!(
            failure.message,
            "function `f`: Runtime.ExitError: exit status 101; it printed last: thread 'main' panicked"
        );
        assert_eq!(failed("not JSON", "").message, "function `f`: it failed: not JSON");
    }
}
