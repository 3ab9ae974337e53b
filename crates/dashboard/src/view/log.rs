//! The events in words, for a person who reads along.

use std::collections::VecDeque;

use stagger_model::error::FailureClass;
use stagger_model::events::{FunctionFacts, RunEvent, SpecOutline};
use stagger_model::numbers::counted;

/// Lines that are remembered.
const MOST: usize = 5_000;

/// The weight of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The run goes as it should.
    Info,
    /// A person should know of it.
    Warning,
    /// Something failed.
    Error,
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The time in seconds since 1970.
    pub at: f64,
    /// The weight of the line.
    pub level: Level,
    /// The text of the line.
    pub text: String,
}

/// The last lines of the log.
#[derive(Clone, Debug, Default)]
pub struct Log {
    lines: VecDeque<Line>,
}

impl Log {
    pub(super) fn add(&mut self, at: f64, event: &RunEvent) {
        let Some((level, text)) = message(event) else { return };
        // Failures of one kind in a row would push everything else out.
        if level == Level::Warning
            && let Some(last) = self.lines.back_mut().filter(|last| same(&last.text, &text))
        {
            last.text = again(&last.text, &text);
            last.at = at;
            return;
        }
        self.lines.push_back(Line { at, level, text });
        if self.lines.len() > MOST {
            self.lines.pop_front();
        }
    }

    /// All lines, the newest last.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &Line> + ExactSizeIterator {
        self.lines.iter()
    }
}

/// The line of an event that is worth one.
pub fn message(event: &RunEvent) -> Option<(Level, String)> {
    let info = |text: String| Some((Level::Info, text));
    match event {
        RunEvent::Opened { version } => info(format!("controller of version {version} took the run")),
        RunEvent::Workers { backend, functions, concurrency } => {
            info(workers(backend, functions, *concurrency))
        }
        RunEvent::InputFound { files, rows, bytes } => info(format!(
            "input: {}, {}, {} MB",
            counted(*files as u64, "file"),
            counted(*rows, "row"),
            bytes / 1_000_000
        )),
        RunEvent::Planned { specs } => info(planned(specs)),
        RunEvent::StageStarted { number, stage, tasks, .. } => {
            info(format!("stage {number} {stage}: {}", counted(*tasks as u64, "task")))
        }
        RunEvent::StageDone { number, stage, seconds } => {
            info(format!("stage {number} {stage}: done in {seconds:.1} s"))
        }
        RunEvent::Logits { round, active, converged, failed, .. } => info(format!(
            "propensity scores, round {round}: {converged} converged, {active} go on, {failed} failed"
        )),
        RunEvent::Solved { att, .. } => {
            info(format!("{} point estimates are known", att.iter().filter(|x| !x.is_na()).count()))
        }
        RunEvent::Estimated(_) => info("standard errors and bands are known".to_owned()),
        RunEvent::Invoked { task, number, backup: true, .. } => {
            info(format!("{task}: backup attempt {number}, as it is late"))
        }
        RunEvent::Note { text } => info(text.clone()),
        RunEvent::Warning { text } => Some((Level::Warning, text.clone())),
        RunEvent::Failed { class, message, remedy, place, .. } => {
            let level = if remedy == "given up" { Level::Error } else { Level::Warning };
            let place = place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
            let text = match class {
                FailureClass::Throttled => format!("throttled: {message}; {remedy}"),
                _ => format!("{}{place}: {message}; {remedy}", class.name()),
            };
            Some((level, text))
        }
        RunEvent::Stopped { reason, .. } => Some((Level::Error, format!("stopped: {reason}"))),
        RunEvent::Finished => info("finished".to_owned()),
        RunEvent::Invoked { .. }
        | RunEvent::Done(_)
        | RunEvent::State { .. }
        | RunEvent::Summary(_)
        | RunEvent::Unknown => None,
    }
}

fn workers(backend: &str, functions: &[FunctionFacts], concurrency: usize) -> String {
    let names: Vec<String> = functions.iter().map(|f| format!("{} ({} MB)", f.name, f.memory_mb)).collect();
    format!("on {backend}: {}; up to {} at a time", names.join(", "), counted(concurrency as u64, "task"))
}

fn planned(specs: &[SpecOutline]) -> String {
    let cells: usize = specs.iter().map(|spec| spec.cells).sum();
    let units = specs.iter().map(|spec| spec.units).max().unwrap_or(0);
    let of = if specs.len() > 1 { format!(" of {} specifications", specs.len()) } else { String::new() };
    format!("planned: {}{of}, {}", counted(cells as u64, "cell"), counted(units, "unit"))
}

/// `text (17 times)` counts on.
fn again(known: &str, text: &str) -> String {
    let count = known
        .strip_prefix(text)
        .and_then(|rest| rest.strip_prefix(" (")?.strip_suffix(" times)")?.parse::<u64>().ok());
    format!("{text} ({} times)", count.unwrap_or(1) + 1)
}

fn same(known: &str, text: &str) -> bool {
    known == text
        || known.strip_prefix(text).is_some_and(|rest| rest.starts_with(" (") && rest.ends_with(" times)"))
}
