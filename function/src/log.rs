//! Logs: one JSON object per line on standard error, which Lambda hands to CloudWatch. An event's content is never
//! logged: it may hold secrets.

use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};
use stagger_model::printable::printable_json;
use stagger_protocol::messages::Answer;

/// Writes one line for an invocation.
pub(crate) fn log_invocation(request: &str, took: Duration, answer: &Answer) {
    let milliseconds = took.as_micros() as f64 / 1e3;
    let common = |level: &str| json!({ "level": level, "message": "task", "requestId": request, "milliseconds": milliseconds });
    let mut line;
    match answer {
        Answer::Done(report) => {
            line = common("INFO");
            line["report"] = serde_json::to_value(report).unwrap_or_default();
        }
        Answer::Failed(failure) => {
            line = common("ERROR");
            line["class"] = failure.class.name().into();
            line["error"] = failure.message.as_str().into();
            line["place"] = failure.place.as_deref().into();
        }
    }
    write(&line);
}

/// Logs panics in the same form: of the usual one CloudWatch would make a record per line.
pub(crate) fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(|place| format!("{}:{}", place.file(), place.line()));
        let message = panic.payload_as_str().unwrap_or("panic");
        write(&json!({ "level": "ERROR", "message": "panic", "error": message, "place": place }));
    }));
}

/// Writes a line in one write, so that lines of several threads don't mix. A log that can't be written must not fail
/// the work.
fn write(line: &Value) {
    let _ = std::io::stderr().write_all(format!("{}\n", printable_json(&line.to_string())).as_bytes());
}
