//! The event log: one JSON object a line, `{"v":1,"at":…,"event":"stage_done",…}` (docs/events.md).

use std::fs::{File, TryLockError};
use std::io::{self, BufRead, BufReader, Read as _, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use stagger_engine::disk;
use stagger_engine::events::{EVENTS, RunEvent};
use stagger_engine::printable::printable_json;
use stagger_engine::sound;

use crate::failure::Failure;
use crate::interrupt;
use crate::report::overwrite::Overwrite;
use crate::report::stdout::tell;
use crate::tui::Recording;

/// The event log in the folder of a result.
pub(crate) const EVENTS_FILE: &str = "events.jsonl";
/// Bytes up to which single attempts are kept for the folder of a result; of longer runs their journal has them.
const MOST: usize = 64 << 20;

/// Bytes in which the first line of a log ends.
const LONGEST: u64 = 1 << 20;

/// A line.
#[derive(Serialize)]
struct Record<'a> {
    v: u32,
    at: f64,
    #[serde(flatten)]
    event: &'a RunEvent,
}

/// A line that is read.
#[derive(Deserialize)]
struct Read {
    v: u32,
    at: f64,
    #[serde(flatten)]
    event: RunEvent,
}

/// An event of a moment as a line, its end included.
pub(crate) fn record(at: f64, event: &RunEvent) -> String {
    let record = Record { v: EVENTS, at: (at * 1e3).round() / 1e3, event };
    // An event is made of numbers and texts: nothing in it can't be JSON.
    printable_json(&serde_json::to_string(&record).unwrap_or_default()).into_owned() + "\n"
}

/// The events of a log; `name` is for messages. A last line without an end was cut when its writer died, and tells nothing.
pub(crate) fn parse(text: &str, name: &str) -> Result<Recording, Failure> {
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    let cut = serde_json::from_str::<Read>(&text[whole..]).is_err();
    let text = if cut && whole > 0 { &text[..whole] } else { text };
    let read = |(index, line): (usize, &str)| {
        let record: Read = serde_json::from_str(line).map_err(|error| {
            Failure::input(format!("line {} of {name} is no event: {error}", index + 1))
                .hint("an event log has one JSON object a line; docs/events.md describes it")
        })?;
        if record.v > EVENTS {
            return Err(Failure::input(format!(
                "{name} has events of version {}, this program knows {EVENTS}",
                record.v
            ))
            .hint("a newer stagger reads it"));
        }
        let sound = sound::time(record.at).and_then(|()| sound::event(&record.event));
        sound.map_err(|why| {
            Failure::input(format!("line {} of {name} is no event of a run: {why}", index + 1))
        })?;
        Ok((record.at, record.event))
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(read).collect()
}

/// Where events are written.
pub(crate) struct EventLog {
    kept: Vec<u8>,
    sink: Option<(PathBuf, Box<dyn Write + Send>)>,
}

impl EventLog {
    /// With a file that gets every event at once; `-` is stderr.
    ///
    /// # Errors
    /// A file that is not to be replaced, or that can't be written.
    pub(crate) fn new(path: Option<&Path>, overwrite: &Overwrite) -> Result<Self, Failure> {
        let sink = match path {
            None => None,
            Some(path) if path == Path::new("-") => {
                Some((path.to_owned(), Box::new(io::stderr()) as Box<dyn Write + Send>))
            }
            Some(path) => {
                let file = open(path, overwrite)?;
                Some((path.to_owned(), Box::new(file) as Box<dyn Write + Send>))
            }
        };
        Ok(Self { kept: Vec::new(), sink })
    }

    pub(crate) fn add(&mut self, at: f64, event: &RunEvent) {
        let line = record(at, event);
        let single = matches!(event, RunEvent::Invoked { .. } | RunEvent::Done(_) | RunEvent::Summary(_));
        if self.kept.len() < MOST || !single {
            self.kept.extend_from_slice(line.as_bytes());
        }
        if let Some((path, sink)) = &mut self.sink
            && let Err(error) = sink.write_all(line.as_bytes())
        {
            // The run is worth more than its log.
            tell(&format!("warning: no more events in {}: {error}", path.display()));
            self.sink = None;
        }
    }

    /// The log, for the folder of the result.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.kept
    }
}

/// Opens a file for events, and empties one that holds events already. What is written to is what was looked at: nobody can
/// put another file there in between.
fn open(path: &Path, overwrite: &Overwrite) -> Result<File, Failure> {
    let shown = path.display();
    overwrite.refuse_input(path)?;
    if std::fs::symlink_metadata(path).is_ok() && !path.exists() {
        return Err(Failure::input(format!("--events {shown} is a link to nothing"))
            .hint("remove it, or give another name"));
    }
    let mut options = File::options();
    // A pipe that nobody reads is an error, and not waited for.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    options.create(true).truncate(false).write(true).custom_flags(nonblocking);
    let file = options.open(path).map_err(|error| unopened(path, &error))?;
    let failed = |error: io::Error| Failure::write(path, &error);
    let found = file.metadata().map_err(failed)?;
    fcntl_setfl(&file, OFlags::empty()).map_err(|error| failed(error.into()))?;
    let kind = found.file_type();
    if kind.is_fifo() || kind.is_char_device() {
        return Ok(file);
    }
    if !kind.is_file() {
        return Err(
            Failure::input(format!("--events {shown} is no file")).hint("give a new file, or - for stderr")
        );
    }
    if file.try_lock().is_err_and(|error| matches!(error, TryLockError::WouldBlock)) {
        return Err(Failure::input(format!("--events {shown} is being written by another run"))
            .hint("give each run a file of its own"));
    }
    if found.len() > 0 && !overwrite.force && !holds_events(path) {
        return Err(overwrite.foreign(path));
    }
    file.set_len(0).map_err(failed)?;
    interrupt::tells(format!("its events are in {shown}"));
    Ok(file)
}

fn unopened(path: &Path, error: &io::Error) -> Failure {
    let shown = path.display();
    match Errno::from_io_error(error) {
        Some(Errno::NXIO) => Failure::input(format!("--events {shown} is a pipe that nobody reads"))
            .hint("start the reader first, or give a file"),
        Some(Errno::ISDIR) => Failure::input(format!("--events {shown} is a folder, not a file")),
        _ => Failure::write(path, error),
    }
}

/// Whether the first line of a file is an event.
fn holds_events(path: &Path) -> bool {
    let mut line = Vec::new();
    let read = disk::open(path)
        .and_then(|(file, _)| BufReader::new(file.take(LONGEST)).read_until(b'\n', &mut line));
    read.is_ok() && serde_json::from_slice::<Read>(&line).is_ok()
}

#[cfg(test)]
mod tests {
    use stagger_engine::events::Summary;
    use stagger_engine::events::TaskDone;

    use super::*;

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
        let refused = |text: &str| parse(text, "x").expect_err(text).to_string();
        insta::assert_snapshot!(refused("{\"v\":9,\"at\":2.0,\"event\":\"finished\"}"), @"
        error: x has events of version 9, this program knows 1
        hint: a newer stagger reads it
        ");
        assert!(refused("hello").starts_with("error: line 1 of x is no event"));
    }

    #[test]
    fn events_go_to_a_file_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut log = EventLog::new(Some(&path), &Overwrite::default()).unwrap();
        log.add(1.0, &RunEvent::Finished);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.as_bytes(), log.finish());
    }

    #[test]
    fn a_file_of_somebody_elses_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("notes.txt"), "my notes\n").unwrap();
        std::fs::write(at("data.csv"), "id,time\n").unwrap();
        std::fs::write(at("old.jsonl"), record(1.0, &RunEvent::Finished)).unwrap();
        std::os::unix::fs::symlink(at("data.csv"), at("link.jsonl")).unwrap();
        std::os::unix::fs::symlink(at("nowhere"), at("dangling")).unwrap();
        let pipe = at("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let overwrite = Overwrite::new("--events", false, &[at("data.csv")]);
        let forced = Overwrite { force: true, ..overwrite.clone() };
        let refused = |name: &str, overwrite: &Overwrite| {
            let failure = EventLog::new(Some(&at(name)), overwrite).err().expect(name).to_string();
            failure.replace(&folder.path().display().to_string(), "DIR")
        };
        let all = ["notes.txt", "data.csv", "link.jsonl", "dangling", "pipe", ""]
            .map(|name| refused(name, &overwrite));
        insta::assert_snapshot!(all.concat() + &refused("data.csv", &forced), @"
        error: --events DIR/notes.txt: stagger did not write the file that is there
        hint: give another name, or --force to replace it
        error: --events DIR/data.csv is an input
        hint: give another name
        error: --events DIR/link.jsonl is an input
        hint: give another name
        error: --events DIR/dangling is a link to nothing
        hint: remove it, or give another name
        error: --events DIR/pipe is a pipe that nobody reads
        hint: start the reader first, or give a file
        error: --events DIR/ is a folder, not a file
        error: --events DIR/data.csv is an input
        hint: give another name
        ");
        assert_eq!(std::fs::read_to_string(at("notes.txt")).unwrap(), "my notes\n");
        assert_eq!(std::fs::read_to_string(at("data.csv")).unwrap(), "id,time\n");

        // An event log gives way, but not to two runs at a time.
        let log = EventLog::new(Some(&at("old.jsonl")), &overwrite).unwrap();
        assert_eq!(std::fs::metadata(at("old.jsonl")).unwrap().len(), 0);
        assert!(refused("old.jsonl", &overwrite).contains("is being written by another run"));
        drop(log);
        EventLog::new(Some(&at("notes.txt")), &forced).unwrap();
    }

    /// Every kind there is; one that is added does not compile here before somebody has thought of its description.
    fn kind(event: &RunEvent) -> &'static str {
        match event {
            RunEvent::Opened { .. } => "opened",
            RunEvent::Workers { .. } => "workers",
            RunEvent::InputFound { .. } => "input_found",
            RunEvent::Planned { .. } => "planned",
            RunEvent::StageStarted { .. } => "stage_started",
            RunEvent::Invoked { .. } => "invoked",
            RunEvent::Done(_) => "done",
            RunEvent::Failed { .. } => "failed",
            RunEvent::StageDone { .. } => "stage_done",
            RunEvent::Logits { .. } => "logits",
            RunEvent::Solved { .. } => "solved",
            RunEvent::Estimated(_) => "estimated",
            RunEvent::State { .. } => "state",
            RunEvent::Note { .. } => "note",
            RunEvent::Warning { .. } => "warning",
            RunEvent::Summary(_) => "summary",
            RunEvent::Stopped { .. } => "stopped",
            RunEvent::Finished => "finished",
            RunEvent::Unknown => "unknown",
        }
    }

    #[test]
    fn every_event_of_the_recorded_run_is_described_with_its_fields() {
        let described = include_str!("../../../docs/events.md");
        let text = crate::commands::demo::recorded_text().unwrap();
        let mut kinds = std::collections::BTreeSet::new();
        for (line, (_, event)) in text.lines().zip(parse(&text, "the recording").unwrap()) {
            let kind = kind(&event);
            if !kinds.insert(kind) {
                continue;
            }
            let row =
                described.lines().find(|row| row.starts_with('|') && row.contains(&format!("`{kind}`")));
            let row = row.unwrap_or_else(|| panic!("docs/events.md does not describe `{kind}`"));
            let value: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
            for field in value.keys().filter(|key| !["v", "at", "event"].contains(&key.as_str())) {
                assert!(
                    row.contains(&format!("`{field}`")),
                    "docs/events.md does not describe `{field}` of `{kind}`"
                );
            }
        }
        assert!(kinds.len() >= 15, "{kinds:?}");
    }
}
