//! `stagger watch`: a run of another process followed, or one that is over shown again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use stagger_coordinator::journal::{HEARTBEAT_SECONDS, JournalEntry, SILENCE_SECONDS};
use stagger_coordinator::{journal, read_request, run_url};
use stagger_dashboard::tui;
use stagger_dashboard::tui::unix_now;
use stagger_model::error::StaggerError;
use stagger_model::event_log::{EVENTS_FILE, Recording, parse, record};
use stagger_model::events::{RunEvent, RunState};
use stagger_model::failure::Failure;
use stagger_pictures::MARK;
use stagger_report::folder::RESULT;
use stagger_report::load::verified_folder;
use stagger_report::overwrite::{OverwriteRules, Replaceable};
use stagger_report::pictures::files::write;
use stagger_report::stdout::{print, print_line_to_stderr};
use stagger_storage::{Storage, disk, runtime};

use crate::cli::view_args::{ViewArgs, WatchArgs};
use crate::cli::workers::runs_address;
use crate::commands::runs::{age, state_of};
use crate::listen::{DisplayOptions, LineReporter, is_terminal};

/// The time between two looks at the journal.
const LOOK: Duration = Duration::from_millis(500);

/// Shows a run.
pub(crate) fn watch(args: &WatchArgs) -> Result<(), Failure> {
    if let Some(file) = event_log(Path::new(&args.run))? {
        let text = logged(&file)?;
        overwrites(&args.view, &[&file])?;
        return replay(&args.run, parse(&text, &file.display().to_string())?, &args.view);
    }
    overwrites(&args.view, &[&args.run])?;
    let all = runs_address(args.run_dir.clone())?;
    let storage = Storage::open(&run_url(&all, &args.run)).map_err(StaggerError::from)?;
    read_request(&storage, &all, &args.run)?;
    let entries = entries(&storage, 1)?;
    let ended = entries.last().filter(|last| last.summary.state != RunState::Running);
    if let Some(last) = ended.filter(|_| args.view.picture.is_none()) {
        let state = state_of(last, 0.0);
        print_line_to_stderr(&format!(
            "note: run {} is {state} since {}; this is what happened",
            args.run,
            age(unix_now() - last.at)
        ));
    }
    if ended.is_some() || args.view.picture.is_some() {
        let left = entries.last().filter(|last| ended.is_none() && unix_now() - last.at > SILENCE_SECONDS);
        let events = journal::recording(&entries).into_iter().chain(left.map(|last| gone(&args.run, last)));
        return replay(&args.run, events.collect(), &args.view);
    }
    let (sender, news) = channel();
    let cancels = storage.clone();
    let name = args.run.clone();
    let live = !(args.view.json || args.view.plain) && is_terminal();
    std::thread::spawn(move || follow(&name, &storage, entries, (&sender, live)));
    if args.view.json || args.view.plain || !is_terminal() {
        return told(&news, args.view.json);
    }
    tui::follow(&args.run, theme(&args.view), &news, |abandon| {
        let runtime = runtime().map_err(StaggerError::from)?;
        Ok(runtime.block_on(journal::request_cancel(&cancels, abandon))?)
    })
}

/// The text of an event log; that of a result is compared with its checksum.
fn logged(file: &Path) -> Result<String, Failure> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let of_result = file.file_name().is_some_and(|name| name == EVENTS_FILE) && folder.join(RESULT).is_file();
    let text = disk::read_text(file, disk::MAX_RECORD_BYTES).map_err(|error| Failure::read(file, &error))?;
    if of_result {
        verified_folder(folder)?.compare(EVENTS_FILE, text.as_bytes())?;
    }
    Ok(text)
}

/// Checks that the picture may be written, before anything is read.
///
/// # Errors
/// A name that is no picture's, and a file that is not to be replaced.
pub(crate) fn overwrites(view: &ViewArgs, inputs: &[impl AsRef<Path>]) -> Result<(), Failure> {
    let Some(file) = &view.picture else { return Ok(()) };
    let path = Path::new(file);
    if !path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("svg")) {
        return Err(Failure::input(format!("--picture {file}: a picture of the dashboard is an SVG"))
            .hint("give a name that ends in .svg"));
    }
    OverwriteRules::new("--picture", view.force, inputs).check(path, Replaceable::Marked(MARK)).map(drop)
}

/// The event log that a path names: itself, or the one in a result's folder.
///
/// # Errors
/// What is there, but no regular file.
fn event_log(path: &Path) -> Result<Option<PathBuf>, Failure> {
    for file in [path.to_owned(), path.join(EVENTS_FILE)] {
        match fs::metadata(&file) {
            Ok(meta) if meta.is_dir() => {}
            Ok(meta) => {
                disk::check_regular(&meta).map_err(|error| Failure::read(&file, &error))?;
                return Ok(Some(file));
            }
            Err(_) => {}
        }
    }
    Ok(None)
}

fn theme(view: &ViewArgs) -> tui::Theme {
    DisplayOptions { ascii: view.ascii, ..DisplayOptions::default() }.theme()
}

fn entries(storage: &Storage, first: u64) -> Result<Vec<JournalEntry>, Failure> {
    let runtime = runtime().map_err(StaggerError::from)?;
    Ok(runtime.block_on(journal::read_entries_from(storage, first))?)
}

/// Returns the event that stands for the end of a run whose controller has written nothing for long.
fn gone(name: &str, last: &JournalEntry) -> (f64, RunEvent) {
    let reason =
        format!("its controller (process {} on {}) writes no more", last.writer.pid, last.writer.host);
    let hint = Some(format!("`stagger resume {name}` goes on where it was"));
    (last.at, RunEvent::Stopped { reason, hint, resumable: true })
}

/// Tells what a journal has, and what comes, until the run is over or nobody listens. Somebody who looks on sees it go on too where
/// another controller takes it up (`live`).
fn follow(
    name: &str,
    storage: &Storage,
    mut new: Vec<JournalEntry>,
    (sender, live): (&Sender<(f64, RunEvent)>, bool),
) {
    let mut next = 1;
    let mut last: Option<JournalEntry> = None;
    let (mut heard, mut told) = (Instant::now(), false);
    loop {
        for entry in &new {
            (next, heard, told) = (entry.number + 1, Instant::now(), false);
            last = Some(entry.clone());
            if entry.recording().into_iter().any(|event| sender.send(event).is_err()) {
                return;
            }
        }
        let ended = last.as_ref().is_some_and(|last| last.summary.state != RunState::Running);
        if ended && !live {
            return;
        }
        if let Some(silent) = last.as_ref().filter(|last| !ended && !told && is_silent(last, heard)) {
            if sender.send(gone(name, silent)).is_err() || !live {
                return;
            }
            told = true;
        }
        std::thread::sleep(LOOK);
        // Storage that fails for a while is looked at again.
        new = entries(storage, next).unwrap_or_default();
    }
}

/// Returns true if the controller of a run writes no more. Its clock may differ from ours: the time in its entry counts only
/// once nothing came while two heartbeats should have.
fn is_silent(last: &JournalEntry, heard: Instant) -> bool {
    let since = heard.elapsed().as_secs_f64();
    since > SILENCE_SECONDS || (since > 2.0 * HEARTBEAT_SECONDS && unix_now() - last.at > SILENCE_SECONDS)
}

/// Prints events as they come.
fn told(news: &Receiver<(f64, RunEvent)>, json: bool) -> Result<(), Failure> {
    let mut lines = LineReporter::new(true);
    for (at, event) in news {
        let line = if json { Some(record(at, &event)) } else { text(&mut lines, at, &event) };
        line.map_or(Ok(()), |line| print(&line))?;
    }
    Ok(())
}

/// The line of an event, its end included: notes, warnings and the run's end too, which other listeners tell elsewhere.
fn text(lines: &mut LineReporter, at: f64, event: &RunEvent) -> Option<String> {
    let line = lines.line(at, event);
    let own = match event {
        RunEvent::Note { .. } | RunEvent::Warning { .. } | RunEvent::Stopped { .. } | RunEvent::Finished => {
            stagger_dashboard::view::message(event).map(|(_, text)| text)
        }
        _ => None,
    };
    line.or(own).map(|line| line + "\n")
}

/// Shows events that are all there.
pub(crate) fn replay(name: &str, events: Recording, view: &ViewArgs) -> Result<(), Failure> {
    let speed = view.speed()?;
    if events.is_empty() {
        return Err(Failure::input(format!("the run {name} has told nothing yet")));
    }
    if let Some(file) = &view.picture {
        let svg = tui::frame_svg(name, events, view.share()?, view.size()?, view.pane)?;
        let overwrite = OverwriteRules::new("--picture", view.force, &[] as &[&str]);
        return write(Path::new(file), svg.as_bytes(), &overwrite);
    }
    if view.json || view.plain || !is_terminal() {
        let mut lines = LineReporter::new(true);
        let line = |(at, event): &(f64, RunEvent)| match view.json {
            true => Some(record(*at, event)),
            false => text(&mut lines, *at, event),
        };
        return print(&events.iter().filter_map(line).collect::<String>());
    }
    tui::play(name, events, theme(view), speed, view.end)
}
