//! Ctrl-C: stop at once, say what became of the output, leave nothing half-written.

use std::sync::{Mutex, MutexGuard, PoisonError};

use stagger_dashboard::tui;
use stagger_model::signal::Signal;
use stagger_report::staging;
use stagger_report::staging::Output;
use stagger_report::stdout::print_line_to_stderr;

use crate::listen::progress;

/// Exit status of a process ended by Ctrl-C: 128 + SIGINT.
const STATUS: i32 = 130;

/// The facts of the command that an interrupt tells, and the run that it stops.
#[derive(Debug)]
struct Command {
    /// The same command goes on where it was.
    resumable: bool,
    /// Sentences about what stays of a command that was stopped.
    stays: Vec<String>,
    /// A run on workers, which stops in good order the first time.
    run: Option<(String, Signal)>,
}

static COMMAND: Mutex<Command> = Mutex::new(Command { resumable: false, stays: Vec::new(), run: None });

/// Answers Ctrl-C (and a request to terminate) from now on.
pub(crate) fn install() {
    // Without a handler Ctrl-C still ends the process; only the message and the cleaning would be missing.
    let _ = ctrlc::set_handler(|| {
        // Nobody sits at a dashboard any more, or somebody wants the process to end.
        tui::request_close();
        raise();
    });
}

/// Does what Ctrl-C does.
pub(crate) fn raise() {
    // Waits while files are being put in place. Both locks are held until the process has ended.
    let output = staging::lock();
    let command = lock();
    if let Some((name, signal)) = command.run.as_ref().filter(|_| !output.is_complete())
        && signal.stop() == 1
    {
        if !tui::is_taken() {
            progress::erase_line();
            print_line_to_stderr(&format!(
                "stopping run {name}: the tasks under way end first; Ctrl-C again leaves at once"
            ));
        }
        return;
    }
    output.remove_leftovers();
    tui::restore();
    progress::erase_line();
    print_line_to_stderr(&message(&output, &command));
    std::process::exit(STATUS);
}

/// Makes an interrupt tell what stays.
pub(crate) fn add_note(what: impl Into<String>) {
    lock().stays.push(what.into());
}

/// Makes an interrupt say that the same command goes on where it was.
pub(crate) fn set_resumable() {
    lock().resumable = true;
}

/// Makes the first interrupt stop this run, and the second one leave.
pub(crate) fn set_run(name: &str, signal: Signal) {
    lock().run = Some((name.to_owned(), signal));
}

/// Makes an interrupt tell that the result was on its way to `url`: it is complete, but is not kept here.
pub(crate) fn set_sent_to(url: &str) {
    staging::send_elsewhere();
    lock().stays = vec![format!("what was sent to {url} before stays there")];
}

fn lock() -> MutexGuard<'static, Command> {
    COMMAND.lock().unwrap_or_else(PoisonError::into_inner)
}

fn message(output: &Output, command: &Command) -> String {
    if let Some(target) = output.committed() {
        return format!("interrupted: the result was saved in {}", target.display());
    }
    let under_way = !output.is_complete();
    match &command.run {
        Some((name, _)) if under_way => {
            format!(
                "interrupted: `stagger resume {name}` goes on where it was; tasks under way end by themselves"
            )
        }
        _ if command.resumable && under_way => {
            "interrupted: the same command goes on where it was; `_prepare` in the store holds what was done"
                .to_owned()
        }
        _ if command.stays.is_empty() => "interrupted: nothing was written".to_owned(),
        _ => format!("interrupted: no result was written; {}", command.stays.join("; ")),
    }
}
