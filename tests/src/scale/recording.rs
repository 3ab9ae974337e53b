//! The run that `stagger demo` plays: 1,000 workers and every fault there is a remedy for, in virtual time from one seed. The run's own
//! state machine decides; estimates come from a real run of a small panel. Nothing of it is a measurement of AWS.
//!
//! - `steps`: the stages, what their tasks take, which faults they meet. `cloud`: what becomes of an attempt.
//! - `session`: events as the real session tells them, and the controller that is killed. `estimates`: the numbers of a small panel.

mod cloud;
mod estimates;
mod session;
mod steps;

use std::fmt::Write;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stagger_model::events::{EVENT_LOG_VERSION, RunEvent};

use crate::cli::workspace;

/// The run's name.
pub const NAME: &str = "demo";
/// The run's first moment, seconds since 1970.
pub const BEGIN: f64 = 1_790_000_000.0;
/// Level of zstd.
const LEVEL: i32 = 19;
/// Digits after the point that numbers keep: the last ones may differ from one processor to the next.
const DIGITS: f64 = 1e6;

/// A line of the recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Version of the events.
    pub v: u32,
    /// Seconds since 1970.
    pub at: f64,
    /// What happened.
    #[serde(flatten)]
    pub event: RunEvent,
}

/// Where the recording is kept.
pub fn path() -> PathBuf {
    workspace().join("controller/src/demo/recording.jsonl.zst")
}

/// The recording, made anew: a line an event.
///
/// # Panics
/// A run that stops before its end: a mistake in this package.
pub fn text() -> String {
    let mut out = String::new();
    for (at, event) in session::play() {
        let line = Line { v: EVENT_LOG_VERSION, at: milliseconds(BEGIN + at), event: rounded(&event) };
        let json = serde_json::to_string(&line).expect("an event is JSON");
        writeln!(out, "{json}").expect("a string takes all");
    }
    out
}

/// The lines of a recording's text.
///
/// # Errors
/// A line that is none.
pub fn lines(text: &str) -> serde_json::Result<Vec<Line>> {
    text.lines().map(serde_json::from_str).collect()
}

/// The text, compressed.
///
/// # Errors
/// Those of zstd.
pub fn compress(text: &str) -> std::io::Result<Vec<u8>> {
    zstd::encode_all(text.as_bytes(), LEVEL)
}

/// The text of a recording's bytes.
///
/// # Errors
/// Bytes that are damaged.
pub fn decompress(bytes: &[u8]) -> std::io::Result<String> {
    String::from_utf8(zstd::decode_all(bytes)?).map_err(std::io::Error::other)
}

/// To thousandths.
fn milliseconds(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}

/// The event with numbers that are the same on every machine.
fn rounded(event: &RunEvent) -> RunEvent {
    let mut value = serde_json::to_value(event).expect("an event is JSON");
    round(&mut value);
    serde_json::from_value(value).expect("rounded numbers are numbers")
}

fn round(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            let exact = number.as_f64().unwrap_or_default();
            *value = Value::from((exact * DIGITS).round() / DIGITS);
        }
        Value::Array(values) => values.iter_mut().for_each(round),
        Value::Object(fields) => fields.values_mut().for_each(round),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_version_time_and_event_first() {
        let event = RunEvent::Note { text: "x".to_owned() };
        let line = Line { v: EVENT_LOG_VERSION, at: BEGIN, event };
        let json = serde_json::to_string(&line).unwrap();
        assert_eq!(json, r#"{"v":1,"at":1790000000.0,"event":"note","text":"x"}"#);
        assert_eq!(lines(&json).unwrap(), [line]);
    }

    #[test]
    fn numbers_keep_six_digits() {
        let mut value = serde_json::json!({ "a": [0.123_456_789, 3], "b": null });
        round(&mut value);
        assert_eq!(value, serde_json::json!({ "a": [0.123_457, 3], "b": null }));
    }

    #[test]
    fn compression_loses_nothing() {
        assert_eq!(decompress(&compress("a\nb\n").unwrap()).unwrap(), "a\nb\n");
    }
}
