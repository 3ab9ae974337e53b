//! The format of the event log: one JSON object per line, `{"v":1,"at":…,"event":"stage_done",…}` (docs/events.md).

use serde::{Deserialize, Serialize};

use crate::error::{Result, StaggerError};
use crate::events::{EVENT_LOG_VERSION, RunEvent};
use crate::printable::printable_json;
use crate::sound;

/// The file name of the event log in the folder of a result.
pub const EVENTS_FILE: &str = "events.jsonl";

/// The events of a run in order, each with its time in seconds since 1970.
pub type Recording = Vec<(f64, RunEvent)>;

/// One line as it is written.
#[derive(Serialize)]
struct WrittenLine<'a> {
    v: u32,
    at: f64,
    #[serde(flatten)]
    event: &'a RunEvent,
}

/// One line as it is read.
#[derive(Deserialize)]
struct ReadLine {
    v: u32,
    at: f64,
    #[serde(flatten)]
    event: RunEvent,
}

/// Returns the line of an event, its line end included; `at` is its time in seconds since 1970, rounded to milliseconds.
pub fn record(at: f64, event: &RunEvent) -> String {
    let line = WrittenLine { v: EVENT_LOG_VERSION, at: (at * 1e3).round() / 1e3, event };
    // An event is made of numbers and texts: nothing in it can't be JSON.
    printable_json(&serde_json::to_string(&line).unwrap_or_default()).into_owned() + "\n"
}

/// Reads the text of an event log; `name` stands for it in messages. A last line without a line end was cut when its writer died, and is
/// left out.
///
/// # Errors
/// An input error for a line that is no event, that comes from a newer version, or that tells of something impossible.
pub fn parse(text: &str, name: &str) -> Result<Recording> {
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    let cut = !is_event(&text.as_bytes()[whole..]);
    let text = if cut && whole > 0 { &text[..whole] } else { text };
    let read = |(index, line): (usize, &str)| parse_line(line, index + 1, name);
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(read).collect()
}

fn parse_line(line: &str, number: usize, name: &str) -> Result<(f64, RunEvent)> {
    let read: ReadLine = serde_json::from_str(line).map_err(|error| {
        StaggerError::input(format!("line {number} of {name} is no event: {error}"))
            .with_hint("an event log has one JSON object a line; docs/events.md describes it")
    })?;
    if read.v > EVENT_LOG_VERSION {
        let text = format!("{name} has events of version {}, this program knows {EVENT_LOG_VERSION}", read.v);
        return Err(StaggerError::input(text).with_hint("a newer stagger reads it"));
    }
    let sound = sound::check_time(read.at).and_then(|()| sound::check_event(&read.event));
    sound
        .map_err(|why| StaggerError::input(format!("line {number} of {name} is no event of a run: {why}")))?;
    Ok((read.at, read.event))
}

/// Returns true if a line is one of an event log, of any version.
pub fn is_event(line: &[u8]) -> bool {
    serde_json::from_slice::<ReadLine>(line).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Summary, TaskDone};

    #[test]
    fn a_line_reads_back() {
        let events = [
            RunEvent::Done(TaskDone { attempt: 3, took: 0.25, done: 1, tasks: 2, ..TaskDone::default() }),
            RunEvent::Summary(Summary { attempts: 7, ..Summary::default() }),
            RunEvent::Finished,
        ];
        let text: String = events.iter().map(|event| record(1.5, event)).collect();
        let read = parse(&text, "x").unwrap();
        assert_eq!(read, events.map(|event| (1.5, event)));
        assert!(record(1.0, &RunEvent::Finished).starts_with("{\"v\":1,\"at\":1.0,\"event\":\"finished\""));
    }

    #[test]
    fn later_events_are_skipped_and_later_versions_refused() {
        let read = parse("{\"v\":1,\"at\":2.0,\"event\":\"told_by_aliens\",\"x\":1}\n", "x").unwrap();
        assert_eq!(read, [(2.0, RunEvent::Unknown)]);
        let newer = parse("{\"v\":9,\"at\":2.0,\"event\":\"finished\"}", "x").expect_err("version 9");
        assert_eq!(newer.to_string(), "x has events of version 9, this program knows 1");
        assert_eq!(newer.hint().as_deref(), Some("a newer stagger reads it"));
        assert!(newer.is_input());
        assert!(parse("hello", "x").expect_err("hello").to_string().starts_with("line 1 of x is no event"));
    }
}
