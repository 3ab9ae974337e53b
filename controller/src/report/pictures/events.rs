//! The event log of a run as a timeline of its tasks.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;
use stagger_pictures::charts::{Outcome, Span, Timeline};

use crate::failure::Failure;

/// The event log beside a result.
pub(crate) const EVENTS: &str = "events.jsonl";

/// What the timeline needs of an event; all else in it may change.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Event {
    at: f64,
    event: String,
    stage: String,
    attempt: u64,
    number: u64,
    backup: bool,
}

/// Reads the log; `None` where there is none.
pub(crate) fn read(folder: &Path) -> Result<Option<Timeline>, Failure> {
    let path = folder.join(EVENTS);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Failure::read(&path, &source)),
    };
    let mut log = Log::default();
    for line in BufReader::new(file).lines() {
        let line = line.map_err(|source| Failure::read(&path, &source))?;
        // A line that a newer program wrote, or half of one, tells nothing here.
        if let Ok(event) = serde_json::from_str::<Event>(&line) {
            log.take(&event);
        }
    }
    Ok(Some(log.timeline()))
}

/// What the events said so far.
#[derive(Debug, Default)]
struct Log {
    stages: Vec<String>,
    stage: Option<usize>,
    begin: Option<f64>,
    last: f64,
    under_way: HashMap<u64, Span>,
    free: Vec<bool>,
    spans: Vec<Span>,
}

impl Log {
    fn take(&mut self, event: &Event) {
        let begin = *self.begin.get_or_insert(event.at);
        let now = (event.at - begin).max(self.last);
        self.last = now;
        match event.event.as_str() {
            "stage_started" => self.start_stage(&event.stage),
            "invoked" => self.invoke(event, now),
            "done" => self.end(event.attempt, now, None),
            "failed" => self.end(event.attempt, now, Some(Outcome::Failed)),
            _ => {}
        }
    }

    fn start_stage(&mut self, name: &str) {
        let known = self.stages.iter().position(|stage| stage == name);
        self.stage = Some(known.unwrap_or_else(|| {
            self.stages.push(name.to_owned());
            self.stages.len() - 1
        }));
    }

    fn invoke(&mut self, event: &Event, now: f64) {
        let Some(stage) = self.stage else { return };
        let lane = self.free.iter().position(|free| *free).unwrap_or_else(|| {
            self.free.push(true);
            self.free.len() - 1
        });
        self.free[lane] = false;
        let outcome = match (event.backup, event.number > 1) {
            (true, _) => Outcome::Backup,
            (false, true) => Outcome::Retry,
            (false, false) => Outcome::Done,
        };
        self.under_way.insert(event.attempt, Span { lane, begin: now, end: now, stage, outcome });
    }

    fn end(&mut self, attempt: u64, now: f64, outcome: Option<Outcome>) {
        if let Some(span) = self.under_way.remove(&attempt) {
            self.free[span.lane] = true;
            self.spans.push(Span { end: now, outcome: outcome.unwrap_or(span.outcome), ..span });
        }
    }

    /// Attempts without an end had none before the log's.
    fn timeline(mut self) -> Timeline {
        let last = self.last;
        let open = std::mem::take(&mut self.under_way);
        self.spans.extend(open.into_values().map(|span| Span { end: last, ..span }));
        self.spans.sort_by(|a, b| {
            (a.lane, a.begin).partial_cmp(&(b.lane, b.begin)).unwrap_or(std::cmp::Ordering::Equal)
        });
        Timeline {
            title: "Tasks of the run".to_owned(),
            stages: self.stages,
            spans: self.spans,
            notes: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_take_the_first_free_lane() {
        let folder = tempfile::tempdir().unwrap();
        let lines = [
            r#"{"v":1,"at":100.0,"event":"stage_started","number":1,"stage":"gram","tasks":2}"#,
            r#"{"v":1,"at":100.5,"event":"invoked","attempt":1,"task":{"first":0},"number":1,"function":"f","backup":false}"#,
            r#"{"v":1,"at":100.5,"event":"invoked","attempt":2,"task":{"first":1},"number":1,"function":"f","backup":false}"#,
            r#"{"v":1,"at":101.0,"event":"failed","attempt":1,"class":"crashed","message":"x","took":0.5}"#,
            r#"{"v":2,"at":101.1,"event":"something_new","attempt":"text"}"#,
            r#"{"v":1,"at":101.5,"event":"invoked","attempt":3,"number":2,"backup":false}"#,
            r#"{"v":1,"at":102.0,"event":"done","attempt":3,"took":0.5}"#,
            r#"{"v":1,"at":103.0,"event":"no"#,
        ];
        std::fs::write(folder.path().join(EVENTS), lines.join("\n")).unwrap();
        let timeline = read(folder.path()).unwrap().unwrap();
        assert_eq!(timeline.stages, ["gram"]);
        let told: Vec<(usize, f64, f64, Outcome)> =
            timeline.spans.iter().map(|span| (span.lane, span.begin, span.end, span.outcome)).collect();
        assert_eq!(
            told,
            [(0, 0.5, 1.0, Outcome::Failed), (0, 1.5, 2.0, Outcome::Retry), (1, 0.5, 2.0, Outcome::Done)]
        );
        assert!(read(&folder.path().join("none")).unwrap().is_none());
    }
}
