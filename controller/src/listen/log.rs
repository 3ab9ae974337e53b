//! The event log of a run as it is written: to the file that `--events` names, and for the folder of the result.

use std::fs::{File, TryLockError};
use std::io::{self, BufRead, BufReader, Read as _, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use stagger_model::event_log::{is_event, record};
use stagger_model::events::RunEvent;
use stagger_model::failure::Failure;
use stagger_report::overwrite::OverwriteRules;
use stagger_report::stdout::print_line_to_stderr;
use stagger_storage::disk;

use crate::interrupt;

/// Bytes up to which single attempts are kept for the folder of a result; of longer runs their journal has them.
const MOST: usize = 64 << 20;

/// Bytes in which the first line of a log ends.
const LONGEST: u64 = 1 << 20;

/// The event log of a run under way.
pub(crate) struct EventLog {
    kept: Vec<u8>,
    sink: Option<(PathBuf, Box<dyn Write + Send>)>,
}

impl EventLog {
    /// With a file that gets every event at once; `-` is stderr.
    ///
    /// # Errors
    /// A file that is not to be replaced, or that can't be written.
    pub(crate) fn new(path: Option<&Path>, overwrite: &OverwriteRules) -> Result<Self, Failure> {
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

    /// Writes an event of the time `at`, in seconds since 1970, and keeps it for the folder of the result.
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
            print_line_to_stderr(&format!("warning: no more events in {}: {error}", path.display()));
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
fn open(path: &Path, overwrite: &OverwriteRules) -> Result<File, Failure> {
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
        return Err(overwrite.refusal(path));
    }
    file.set_len(0).map_err(failed)?;
    interrupt::add_note(format!("its events are in {shown}"));
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

/// Returns true if the first line of a file is an event.
fn holds_events(path: &Path) -> bool {
    let mut line = Vec::new();
    let read = disk::open_regular(path)
        .and_then(|(file, _)| BufReader::new(file.take(LONGEST)).read_until(b'\n', &mut line));
    read.is_ok() && is_event(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_go_to_a_file_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut log = EventLog::new(Some(&path), &OverwriteRules::default()).unwrap();
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
        let overwrite = OverwriteRules::new("--events", false, &[at("data.csv")]);
        let forced = OverwriteRules { force: true, ..overwrite.clone() };
        let refused = |name: &str, overwrite: &OverwriteRules| {
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
}
