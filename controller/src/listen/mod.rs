//! The listeners of a run: the dashboard, a line drawn over itself, lines of text, the event log. All read the same events.

mod lines;
mod log;
pub(crate) mod progress;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use log::EventLog;
use progress::{Progress, ProgressOptions, erase_line};
use stagger_dashboard::tui::{Dashboard, Exit, Theme, unix_now};
use stagger_model::event_log::Recording;
use stagger_model::events::RunEvent;
use stagger_model::failure::Failure;
use stagger_model::signal::Signal;
use stagger_report::overwrite::OverwriteRules;
use stagger_report::stdout::print_line_to_stderr;

use crate::interrupt;

pub(crate) use lines::LineReporter;

/// The choice of a dashboard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DashboardChoice {
    /// For runs on workers.
    #[default]
    Auto,
    /// A dashboard for every run on a terminal.
    Always,
    /// No dashboard.
    Never,
}

/// The choice of what is shown of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct DisplayOptions {
    /// Nothing is said but errors.
    pub(crate) quiet: bool,
    /// Lines of text only.
    pub(crate) plain: bool,
    /// A line may be drawn over itself.
    pub(crate) line: bool,
    /// The choice of a dashboard.
    pub(crate) tui: DashboardChoice,
    /// Only ASCII is shown.
    pub(crate) ascii: bool,
    /// The interval of log lines, if any are asked for.
    pub(crate) monitor: Option<Duration>,
    /// The file that events are written to as they come; `-` is stderr.
    pub(crate) events: Option<PathBuf>,
    /// The rules for a file that is there already.
    pub(crate) overwrite: OverwriteRules,
}

impl DisplayOptions {
    /// Colours and signs of this terminal.
    pub(crate) fn theme(&self) -> Theme {
        let theme = Theme::detect(|name| std::env::var(name).ok());
        Theme { ascii: theme.ascii || self.ascii, ..theme }
    }

    /// Returns true if the dashboard opens: on a terminal that a person sits at.
    fn opens(&self, workers: bool) -> bool {
        let wanted = match self.tui {
            DashboardChoice::Always => true,
            DashboardChoice::Auto => workers,
            DashboardChoice::Never => false,
        };
        wanted && !self.quiet && !self.plain && is_terminal()
    }
}

/// Returns true if stdin and stderr are a terminal: a person can see stderr and has a keyboard.
pub(crate) fn is_terminal() -> bool {
    io::stderr().is_terminal() && io::stdin().is_terminal()
}

/// All listeners of a run.
pub(crate) struct Listeners {
    quiet: bool,
    progress: Progress,
    dashboard: Option<Dashboard>,
    lines: Mutex<LineReporter>,
    /// Lines of text are shown from the beginning.
    plain: bool,
    /// It was said that the run goes on without the dashboard.
    told: AtomicBool,
    log: Mutex<EventLog>,
}

impl Listeners {
    /// Starts to listen to a run; `signal` stops and pauses one on workers, which may have a past.
    pub(crate) fn start(
        how: &DisplayOptions,
        name: &str,
        signal: Option<Signal>,
        past: impl FnOnce() -> Recording,
    ) -> Result<Self, Failure> {
        let workers = signal.is_some();
        let log = EventLog::new(how.events.as_deref(), &how.overwrite)?;
        let dashboard = how
            .opens(workers)
            .then(|| Dashboard::open(name, how.theme(), signal, &past(), interrupt::raise))
            .transpose()?;
        if how.tui == DashboardChoice::Always && dashboard.is_none() && !how.quiet && !how.plain {
            eprintln!("note: no dashboard, as this is no terminal");
        }
        let alone = dashboard.is_none();
        Ok(Self {
            quiet: how.quiet,
            progress: Progress::start(ProgressOptions {
                line: how.line && alone,
                monitor: how.monitor.filter(|_| alone),
            }),
            plain: alone && !how.quiet && (how.plain || !io::stderr().is_terminal()),
            lines: Mutex::new(LineReporter::new(workers)),
            told: AtomicBool::new(false),
            dashboard,
            log: Mutex::new(log),
        })
    }

    /// Takes an event.
    pub(crate) fn observe(&self, event: &RunEvent) {
        let at = unix_now();
        lock(&self.log).add(at, event);
        self.progress.observe(event);
        let line = lock(&self.lines).line(at, event);
        match &self.dashboard {
            Some(dashboard) if !dashboard.is_closed() => return dashboard.observe(event),
            // Somebody left the dashboard: the run goes on in lines.
            Some(_) if !self.quiet => {
                if !self.told.swap(true, Ordering::SeqCst) {
                    say(Some("the run goes on; a line tells of each stage".to_owned()));
                }
                say(line);
            }
            _ if self.plain => say(line),
            _ => {}
        }
        if let (RunEvent::Note { text }, false) = (event, self.quiet) {
            say(Some(format!("note: {text}")));
        }
    }

    /// The run has ended.
    pub(crate) fn finish(self, failed: bool) -> EndedRun {
        self.progress.finish();
        if let Some(dashboard) = &self.dashboard {
            dashboard.run_ended(failed);
        }
        let log = self.log.into_inner().unwrap_or_else(PoisonError::into_inner);
        EndedRun { events: log.finish(), dashboard: self.dashboard, lines: Vec::new() }
    }
}

/// A run that has ended, and a dashboard that may still be open: results are saved before anybody is waited for.
#[derive(Default)]
pub(crate) struct EndedRun {
    /// The lines of the event log.
    pub(crate) events: Vec<u8>,
    dashboard: Option<Dashboard>,
    /// Lines that are said once the dashboard is closed.
    lines: Vec<String>,
}

impl EndedRun {
    /// Says a line, after the dashboard if one is open.
    pub(crate) fn say_after(&mut self, line: String) {
        self.lines.push(line);
        if self.dashboard.is_none() {
            self.wait_until_left();
        }
    }

    /// Waits until the dashboard is left.
    pub(crate) fn wait_until_left(&mut self) -> Exit {
        let left = self.dashboard.take().map_or(Exit::Closed, Dashboard::wait);
        self.lines.drain(..).for_each(|line| say(Some(line)));
        left
    }
}

fn say(line: Option<String>) {
    if let Some(line) = line {
        erase_line();
        print_line_to_stderr(&line);
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
