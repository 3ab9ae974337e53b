//! Progress on stderr: a line drawn over itself on a terminal, log lines at an interval where asked for.
//!
//! The run tells events; a thread of its own shows them, so that a long task does not freeze the clock.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use stagger_model::events::RunEvent;
use stagger_model::numbers::{counted, grouped};
use stagger_model::printable::printable;
use stagger_report::stdout::print_line_to_stderr;

/// The time between two drawings of the line.
const TICK: Duration = Duration::from_millis(100);
/// Runs shorter than this show no line.
const PATIENCE: Duration = Duration::from_secs(1);
/// The line stays on one row of any terminal.
const WIDTH: usize = 78;
const BAR: usize = 20;

/// Characters of the line that is on the terminal.
static DRAWN: AtomicUsize = AtomicUsize::new(0);

/// The choice of lines.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ProgressOptions {
    /// A line, where stderr is a terminal.
    pub(crate) line: bool,
    /// A log line every so often.
    pub(crate) monitor: Option<Duration>,
}

/// Listener of a run's events.
#[derive(Debug)]
pub(crate) struct Progress {
    started: Instant,
    state: Arc<Mutex<State>>,
    ticker: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Starts to show the progress of a run.
    pub(crate) fn start(show: ProgressOptions) -> Self {
        let show = ProgressOptions { line: show.line && io::stderr().is_terminal(), ..show };
        let started = Instant::now();
        let state = Arc::new(Mutex::new(State::default()));
        let wanted = show.line || show.monitor.is_some();
        let ticker = wanted.then(|| {
            let (stop, stopped) = channel();
            let state = Arc::clone(&state);
            let thread = std::thread::spawn(move || {
                let mut clock = Clock::new(show, started);
                while stopped.recv_timeout(clock.tick()) == Err(RecvTimeoutError::Timeout) {
                    clock.show(&lock(&state), Instant::now());
                }
            });
            (stop, thread)
        });
        Self { started, state, ticker }
    }

    /// Takes note of an event.
    pub(crate) fn observe(&self, event: &RunEvent) {
        lock(&self.state).update(event, self.started.elapsed());
    }

    /// Stops, and takes the line off the terminal.
    pub(crate) fn finish(self) {
        if let Some((stop, thread)) = self.ticker {
            drop(stop);
            // A panic there has been told already.
            let _ = thread.join();
        }
        erase_line();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the line off the terminal with blanks: no escape code is needed.
pub(crate) fn erase_line() {
    let drawn = DRAWN.swap(0, Ordering::SeqCst);
    if drawn > 0 {
        let _ = write!(io::stderr(), "\r{:drawn$}\r", "");
    }
}

/// The times at which the line is drawn and logged.
#[derive(Debug)]
struct Clock {
    show: ProgressOptions,
    started: Instant,
    logged: Instant,
}

impl Clock {
    fn new(show: ProgressOptions, now: Instant) -> Self {
        Self { show, started: now, logged: now }
    }

    /// Returns the time until the next look.
    fn tick(&self) -> Duration {
        if self.show.line { TICK } else { self.show.monitor.map_or(TICK, |interval| interval.min(TICK)) }
    }

    fn show(&mut self, state: &State, now: Instant) {
        let elapsed = now - self.started;
        if self.show.monitor.is_some_and(|interval| now - self.logged >= interval) {
            self.logged = now;
            erase_line();
            print_line_to_stderr(&state.log_line(elapsed, memory()));
        }
        if self.show.line && elapsed >= PATIENCE {
            draw(&state.line(elapsed));
        }
    }
}

fn draw(line: &str) {
    let before = DRAWN.swap(line.len(), Ordering::SeqCst);
    let line = printable(line);
    let _ = write!(io::stderr(), "\r{line:before$}");
    let _ = io::stderr().flush();
}

/// The progress of the run, as its events tell it.
#[derive(Debug, Default)]
struct State {
    rows: u64,
    bytes: u64,
    stage: String,
    done: usize,
    tasks: usize,
    /// The time at which the stage began, from the start of the run.
    since: Duration,
}

impl State {
    fn update(&mut self, event: &RunEvent, elapsed: Duration) {
        match event {
            RunEvent::InputFound { rows, bytes, .. } => (self.rows, self.bytes) = (*rows, *bytes),
            RunEvent::StageStarted { stage, tasks, .. } => {
                (self.stage, self.done, self.tasks) = (stage.clone(), 0, *tasks);
                self.since = elapsed;
            }
            RunEvent::Done(task) => (self.done, self.tasks) = (task.done, task.tasks),
            RunEvent::StageDone { .. } => self.done = self.tasks,
            // Warnings are part of the result and shown with it; notes are told at once.
            _ => {}
        }
    }

    /// `gram [########------------] 12/30 tasks, 1.4 s, 10,000,000 rows`
    fn line(&self, elapsed: Duration) -> String {
        let seconds = elapsed.as_secs_f64();
        let stage = if self.stage.is_empty() { "reading" } else { &self.stage };
        let mut line = match (BAR * self.done.min(self.tasks)).checked_div(self.tasks) {
            None => format!("{stage}, {seconds:.1} s"),
            Some(filled) => {
                let bar: String = (0..BAR).map(|cell| if cell < filled { '#' } else { '-' }).collect();
                format!("{stage} [{bar}] {}/{} tasks, {seconds:.1} s", self.done, self.tasks)
            }
        };
        if self.rows > 0 {
            line += &format!(", {}", counted(self.rows, "row"));
        }
        line.chars().filter(char::is_ascii).take(WIDTH).collect()
    }

    /// `[12.0 s] gram 12/30 tasks, 2.5 tasks/s, 10,000,000 rows, 812 MB of memory`
    fn log_line(&self, elapsed: Duration, memory: Option<u64>) -> String {
        let seconds = elapsed.as_secs_f64();
        let stage = if self.stage.is_empty() { "reading" } else { &self.stage };
        let mut line = format!("[{seconds:.1} s] {stage}");
        if self.tasks > 0 {
            let rate = self.done as f64 / elapsed.saturating_sub(self.since).as_secs_f64().max(1e-3);
            line += &format!(" {}/{} tasks, {rate:.1} tasks/s", self.done, self.tasks);
        }
        if self.rows > 0 {
            line +=
                &format!(", {}, {} MB of input", counted(self.rows, "row"), grouped(self.bytes / 1_000_000));
        }
        if let Some(bytes) = memory {
            line += &format!(", {} MB of memory", grouped(bytes / 1_000_000));
        }
        line
    }
}

/// Memory of this process in bytes, where the system tells.
fn memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use stagger_model::events::TaskDone;

    use super::*;

    fn state() -> State {
        let mut state = State::default();
        for event in [
            RunEvent::InputFound { files: 2, rows: 10_000_000, bytes: 250_000_000 },
            RunEvent::StageStarted { number: 1, stage: "gram".into(), tasks: 30, object: None },
            RunEvent::Done(TaskDone { done: 30, tasks: 30, ..TaskDone::default() }),
            RunEvent::StageDone { number: 1, stage: "gram".into(), seconds: 1.0 },
            RunEvent::StageStarted { number: 2, stage: "influence".into(), tasks: 30, object: None },
            RunEvent::Done(TaskDone { done: 12, tasks: 30, ..TaskDone::default() }),
        ] {
            state.update(&event, Duration::from_millis(400));
        }
        state
    }

    #[test]
    fn lines() {
        let elapsed = Duration::from_millis(2400);
        insta::assert_snapshot!(state().line(elapsed), @"influence [########------------] 12/30 tasks, 2.4 s, 10,000,000 rows");
        insta::assert_snapshot!(State::default().line(elapsed), @"reading, 2.4 s");
        insta::assert_snapshot!(state().log_line(elapsed, Some(812_345_678)), @"[2.4 s] influence 12/30 tasks, 6.0 tasks/s, 10,000,000 rows, 250 MB of input, 812 MB of memory");
    }

    #[test]
    fn the_line_fits_on_a_row() {
        let mut state = state();
        state.stage = "a stage with a name that is longer than any that a run has, by far and wide".into();
        assert_eq!(state.line(Duration::from_secs(3)).len(), WIDTH);
    }

    #[test]
    fn log_lines_come_at_their_interval() {
        let start = Instant::now();
        let show = ProgressOptions { line: false, monitor: Some(Duration::from_millis(30)) };
        assert_eq!(Clock::new(show, start).tick(), Duration::from_millis(30));
        let slow = ProgressOptions { line: false, monitor: Some(Duration::from_secs(5)) };
        assert_eq!(Clock::new(slow, start).tick(), TICK);
    }

    #[test]
    fn memory_is_told_on_linux() {
        if cfg!(target_os = "linux") {
            assert!(memory().is_some_and(|bytes| bytes > 100_000));
        }
    }
}
