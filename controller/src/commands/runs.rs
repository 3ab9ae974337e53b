//! `stagger list` and `stagger cancel`: runs on workers, whoever controls them.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use stagger_coordinator::journal::{JournalEntry, ListedRun, SILENCE_SECONDS};
use stagger_coordinator::{journal, read_request, run_url};
use stagger_model::error::{Result as EngineResult, StaggerError};
use stagger_model::events::RunState;
use stagger_model::failure::Failure;
use stagger_report::stdout::{print, print_json};
use stagger_storage::{Storage, runtime};

use crate::cli::workers::{CancelArgs, ListArgs, runs_address};

/// The time between two looks at a run that is to stop.
const LOOK: Duration = Duration::from_millis(500);
/// The time that a controller may take to stop, beside the tasks that it waits for.
const PATIENCE: Duration = Duration::from_secs(900);

fn open(url: &str) -> EngineResult<Storage> {
    Storage::open(url).map_err(StaggerError::from)
}

/// A run as `--json` prints it.
#[derive(Serialize)]
struct Line<'a> {
    run: &'a str,
    state: &'static str,
    stage: &'a str,
    done: usize,
    tasks: usize,
    dollars: f64,
    attempts: u64,
    failures: u64,
    /// Seconds since its controller wrote.
    silent: Option<f64>,
    host: Option<&'a str>,
    pid: Option<u32>,
    /// The error that kept everything else from being known.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl<'a> Line<'a> {
    /// A run of which nothing is known but this.
    fn bare(run: &'a str, state: &'static str, error: Option<String>) -> Self {
        Self {
            run,
            state,
            stage: "",
            done: 0,
            tasks: 0,
            dollars: 0.0,
            attempts: 0,
            failures: 0,
            silent: None,
            host: None,
            pid: None,
            error,
        }
    }

    fn new(run: &'a ListedRun, now: f64) -> Self {
        match &run.last {
            Ok(Some(last)) => Self::told(&run.name, last, now),
            Ok(None) => Self::bare(&run.name, "not begun", None),
            Err(error) => Self::bare(&run.name, "damaged", Some(error.to_string())),
        }
    }

    fn told(run: &'a str, last: &'a JournalEntry, now: f64) -> Self {
        let silent = (now - last.at).max(0.0);
        let summary = &last.summary;
        Self {
            run,
            state: state_of(last, silent),
            stage: &summary.stage,
            done: summary.done,
            tasks: summary.tasks,
            dollars: summary.cost.spent,
            attempts: summary.attempts,
            failures: summary.failures,
            silent: Some(silent),
            host: Some(&last.writer.host),
            pid: Some(last.writer.pid),
            error: None,
        }
    }

    fn text(&self) -> String {
        if let Some(error) = &self.error {
            return format!("{:<24} {:<9} {error}\n", self.run, self.state);
        }
        let progress = match self.tasks {
            0 => String::new(),
            tasks => format!("{} {}/{tasks}", self.stage, self.done),
        };
        let silent = self.silent.map(age).unwrap_or_default();
        format!("{:<24} {:<9} {:<24} {:>9.4} {:>6}\n", self.run, self.state, progress, self.dollars, silent)
    }
}

/// Returns the reason why there is nothing to cancel in a run of this state.
fn nothing_to_cancel(state: &str, run: &str) -> String {
    match state {
        "finished" => "is finished already: nothing runs, its result is there".to_owned(),
        "not begun" => "has not begun: nothing runs".to_owned(),
        "left" => format!(
            "was left by its controller: nothing is started any more; `stagger resume {run}` goes on where it was"
        ),
        other => format!("is {other} already: nothing runs; `stagger resume {run}` goes on where it was"),
    }
}

/// A run's state in a word; `silent` is how long its controller has not written.
pub(crate) fn state_of(last: &JournalEntry, silent: f64) -> &'static str {
    match last.summary.state {
        RunState::Running if silent > SILENCE_SECONDS => "left",
        RunState::Running if last.summary.paused => "paused",
        RunState::Running => "running",
        RunState::Stopped => "stopped",
        RunState::Failed => "failed",
        RunState::Finished => "finished",
    }
}

/// `12 s`, `3 min`, `5 h`, `2 d`
pub(crate) fn age(seconds: f64) -> String {
    let whole = seconds as u64;
    match whole {
        0..100 => format!("{whole} s"),
        100..6_000 => format!("{} min", whole / 60),
        6_000..172_800 => format!("{} h", whole / 3_600),
        _ => format!("{} d", whole / 86_400),
    }
}

fn unix() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Lists the runs.
pub(crate) fn list(args: &ListArgs) -> Result<(), Failure> {
    let storage = open(&runs_address(args.run_dir.clone())?)?;
    let runtime = runtime().map_err(StaggerError::from)?;
    let found = runtime.block_on(journal::list_runs(&storage, &open))?;
    let now = unix();
    let lines: Vec<Line<'_>> = found.iter().map(|run| Line::new(run, now)).collect();
    if args.json.unwrap_or(false) {
        print_json(&lines)?;
    } else if lines.is_empty() {
        print(&format!("no runs in {}\n", storage.url()))?;
    } else {
        let head = format!("{:<24} {:<9} {:<24} {:>9} {:>6}\n", "run", "state", "stage", "dollars", "seen");
        print(&(head + &lines.iter().map(Line::text).collect::<String>()))?;
    }
    let damaged: Vec<&str> = lines.iter().filter(|line| line.error.is_some()).map(|line| line.run).collect();
    if damaged.is_empty() { Ok(()) } else { Err(unreadable(&damaged, lines.len(), &storage.url())) }
}

/// The failure that names the runs which can't be read.
pub(crate) fn unreadable(damaged: &[&str], of: usize, runs: &str) -> Failure {
    let names = damaged.join(", ");
    Failure::failed(format!("{} of {of} runs can't be read: {names}", damaged.len())).hint(format!(
        "the others are as shown; to be rid of a damaged one remove {runs}/RUN/ and {runs}/names/RUN"
    ))
}

/// Cancels a run: asks its controller, and waits until that has stopped.
pub(crate) fn cancel(args: &CancelArgs) -> Result<(), Failure> {
    let all = runs_address(args.run_dir.clone())?;
    let storage = open(&run_url(&all, &args.run))?;
    read_request(&storage, &all, &args.run)?;
    let runtime = runtime().map_err(StaggerError::from)?;
    let last = || -> EngineResult<ListedRun> {
        let last = runtime.block_on(journal::read_last_entry(&storage))?;
        Ok(ListedRun { name: args.run.clone(), last: Ok(last) })
    };
    let is_over = |listed: &ListedRun| !["running", "paused"].contains(&Line::new(listed, unix()).state);
    let before = last()?;
    if is_over(&before) {
        let state = Line::new(&before, unix()).state;
        return print(&format!("run {} {}\n", args.run, nothing_to_cancel(state, &args.run)));
    }
    runtime.block_on(journal::request_cancel(&storage, args.abandon.unwrap_or(false)))?;
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        std::thread::sleep(LOOK);
        let now = last()?;
        if is_over(&now) {
            return print(&format!(
                "run {} is {}; `stagger resume {}` goes on where it was\n",
                args.run,
                Line::new(&now, unix()).state,
                args.run
            ));
        }
    }
    Err(Failure::failed(format!("run {} has not stopped after {} s", args.run, PATIENCE.as_secs()))
        .hint("its controller waits for tasks under way; --abandon does not"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        assert_eq!([5.4, 120.0, 7200.0, 1e6].map(age), ["5 s", "2 min", "2 h", "11 d"]);
    }
}
