//! Logs: one JSON object per line on standard error. A message's content is never logged: it may hold secrets.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use stagger_estimation::kernel::DeviceMemory;
use stagger_model::printable::printable_json;
use stagger_protocol::messages::Answer;
use stagger_queue::{TaskMessage, WorkerEvent, WorkerReply};

/// Writes a line for an event of a worker.
pub(crate) fn log_worker_event(worker: &str, moment: &WorkerEvent<'_>, device: Option<DeviceMemory>) {
    let mut line = match moment {
        WorkerEvent::Taken(message) => json!({ "level": "INFO", "message": "took", "task": task(message) }),
        WorkerEvent::Answered(message, reply) => answered(message, reply),
        WorkerEvent::Skipped(why) => json!({ "level": "WARN", "message": "passed over", "reason": why }),
        WorkerEvent::Retrying(failure) => {
            json!({ "level": "WARN", "message": "again", "class": failure.class.name(), "error": failure.message })
        }
    };
    line["worker"] = worker.into();
    if let (Some(memory), WorkerEvent::Answered(..)) = (device, moment) {
        line["device"] = json!({
            "used": memory.used, "peak": memory.peak, "limit": memory.limit, "kept": memory.kept,
        });
    }
    write(line);
}

fn task(message: &TaskMessage) -> String {
    message.invocation.work.to_string()
}

fn answered(message: &TaskMessage, reply: &WorkerReply) -> Value {
    let mut line = json!({
        "level": "INFO", "message": "answered", "task": task(message), "seconds": reply.seconds, "peak_memory": reply.peak_memory,
    });
    match &reply.answer {
        Answer::Done(report) => line["report"] = serde_json::to_value(report).unwrap_or_default(),
        Answer::Failed(failure) => {
            line["level"] = "ERROR".into();
            line["class"] = failure.class.name().into();
            line["error"] = failure.message.as_str().into();
            line["place"] = failure.place.as_deref().into();
        }
    }
    line
}

/// Writes a line for an event of the process.
pub(crate) fn log_event(message: &str, more: Value) {
    let mut line = json!({ "level": "INFO", "message": message });
    if let (Some(line), Value::Object(more)) = (line.as_object_mut(), more) {
        line.extend(more);
    }
    write(line);
}

/// Logs panics in the same form.
pub(crate) fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(|place| format!("{}:{}", place.file(), place.line()));
        let message = panic.payload_as_str().unwrap_or("panic");
        write(json!({ "level": "ERROR", "message": "panic", "error": message, "place": place }));
    }));
}

/// Writes a line in one write, so that lines of several threads don't mix. A log that can't be written must not fail
/// the work.
fn write(mut line: Value) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    line["time"] = ((now * 1e3).round() / 1e3).into();
    let _ = std::io::stderr().write_all(format!("{}\n", printable_json(&line.to_string())).as_bytes());
}
