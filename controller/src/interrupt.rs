//! Ctrl-C: stop at once, say what became of the output, leave nothing half-written.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use stagger_engine::signal::Signal;

use crate::failure::Failure;
use crate::listen::progress;
use crate::report::stdout::tell;
use crate::tui;

/// Exit status of a process ended by Ctrl-C: 128 + SIGINT.
const STATUS: i32 = 130;

/// What must not be left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// A folder of files that are not in place yet.
    Tree(PathBuf),
    /// A lock.
    File(PathBuf),
    /// A folder that was made on the way, as long as it is empty.
    Folder(PathBuf),
}

impl Left {
    fn path(&self) -> &Path {
        let (Self::Tree(path) | Self::File(path) | Self::Folder(path)) = self;
        path
    }

    /// What can't be removed stays: the process ends.
    fn remove(&self) {
        let _ = match self {
            Self::Tree(path) => fs::remove_dir_all(path),
            Self::File(path) => fs::remove_file(path),
            Self::Folder(path) => fs::remove_dir(path),
        };
    }
}

/// What an interrupt has to clean up or to tell.
#[derive(Debug)]
struct Output {
    /// What is removed, the last first.
    left: Vec<Left>,
    /// Where the complete result stands.
    committed: Option<PathBuf>,
    /// What goes on where it was when the command is given again.
    resumable: bool,
    /// What stays of a command that was stopped.
    stays: Vec<String>,
    /// A run on workers, which stops in good order the first time.
    run: Option<(String, Signal)>,
}

static OUTPUT: Mutex<Output> =
    Mutex::new(Output { left: Vec::new(), committed: None, resumable: false, stays: Vec::new(), run: None });

/// Answers Ctrl-C (and a request to terminate) from now on.
pub(crate) fn install() {
    // Without a handler Ctrl-C still ends the process; only the message and the cleaning would be missing.
    let _ = ctrlc::set_handler(|| {
        // Nobody sits at a dashboard any more, or somebody wants the process to end.
        tui::close();
        raise();
    });
}

/// Does what Ctrl-C does.
pub(crate) fn raise() {
    // Waits while files are being put in place. The lock is held until the process has ended.
    let output = lock();
    if let Some((name, signal)) = &output.run
        && signal.stop() == 1
    {
        if !tui::is_open() {
            progress::erase();
            tell(&format!("stopping run {name}: the tasks under way end first; Ctrl-C again leaves at once"));
        }
        return;
    }
    output.left.iter().rev().for_each(Left::remove);
    tui::restore();
    progress::erase();
    tell(&message(&output));
    std::process::exit(STATUS);
}

/// Has an interrupt remove this.
pub(crate) fn removes(left: Left) {
    lock().left.push(left);
}

/// Has an interrupt leave this where it is: it is gone, or in place.
pub(crate) fn keeps(path: &Path) {
    lock().left.retain(|left| left.path() != path);
}

/// Has an interrupt tell what stays.
pub(crate) fn tells(what: impl Into<String>) {
    lock().stays.push(what.into());
}

/// Has an interrupt say that the same command goes on where it was.
pub(crate) fn resumes() {
    lock().resumable = true;
}

/// Has the first interrupt stop this run, and the second one leave.
pub(crate) fn stops(name: &str, signal: Signal) {
    lock().run = Some((name.to_owned(), signal));
}

/// Puts files in place, safe from interrupts until it is done.
pub(crate) fn commit(
    target: &Path,
    staged: &Path,
    put: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut output = lock();
    put()?;
    output.left.retain(|left| left.path() != staged);
    output.committed = Some(target.to_owned());
    output.resumable = false;
    output.run = None;
    Ok(())
}

/// A result that is in place is sent elsewhere, and is not kept here.
pub(crate) fn sends(url: &str) {
    let mut output = lock();
    output.committed = None;
    output.stays = vec![format!("what was sent to {url} before stays there")];
}

fn lock() -> MutexGuard<'static, Output> {
    OUTPUT.lock().unwrap_or_else(PoisonError::into_inner)
}

fn message(output: &Output) -> String {
    match &output.committed {
        Some(target) => format!("interrupted: the result was saved in {}", target.display()),
        None if output.run.is_some() => {
            let name = output.run.as_ref().map_or("", |(name, _)| name);
            format!(
                "interrupted: `stagger resume {name}` goes on where it was; tasks under way end by themselves"
            )
        }
        None if output.resumable => {
            "interrupted: the same command goes on where it was; `_prepare` in the store holds what was done"
                .to_owned()
        }
        None if output.stays.is_empty() => "interrupted: nothing was written".to_owned(),
        None => format!("interrupted: no result was written; {}", output.stays.join("; ")),
    }
}
