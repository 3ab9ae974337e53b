//! The failure of a command: one `error:` line, `hint:` lines, and the exit status.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use crate::error::StaggerError;
use crate::printable::printable;

/// Exit status of a run that failed: storage, a bug, a full disk.
const STATUS_FAILED: u8 = 1;
/// Exit status of bad arguments or bad input.
const STATUS_INPUT: u8 = 2;

/// Exit status after Ctrl-C: 128 + SIGINT.
const STATUS_INTERRUPTED: u8 = 130;

/// A command that did not succeed.
///
/// The message is lower case without a full stop, as it follows `error: `.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    message: String,
    hints: Vec<String>,
    status: u8,
}

impl Failure {
    /// Bad arguments or bad input: exit status 2.
    pub fn input(message: impl Into<String>) -> Self {
        Self { message: message.into(), hints: Vec::new(), status: STATUS_INPUT }
    }

    /// Anything else that stopped the command: exit status 1.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { message: message.into(), hints: Vec::new(), status: STATUS_FAILED }
    }

    /// A file that could not be written.
    pub fn write(path: &Path, source: &io::Error) -> Self {
        let failure = Self::failed(format!("can't write {}: {}", path.display(), reason(source)));
        match source.kind() {
            io::ErrorKind::StorageFull => failure.hint("free some space, or give another folder with --out"),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                failure.hint("give a folder that you may write to with --out")
            }
            _ => failure,
        }
    }

    /// A file that could not be read.
    pub fn read(path: &Path, source: &io::Error) -> Self {
        Self::input(format!("can't read {}: {}", path.display(), reason(source)))
    }

    /// A result that could not be printed.
    pub fn printing(source: &io::Error) -> Self {
        Self::failed(format!("can't write to stdout: {}", reason(source)))
    }

    /// Says where it went wrong, before the message.
    pub fn in_context(self, place: &str) -> Self {
        Self { message: format!("{place}: {}", self.message), ..self }
    }

    /// Adds a `hint:` line.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds a `hint:` line where there is one.
    pub fn maybe_hint(self, hint: Option<String>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// Returns the same failure with the exit status of a command that was stopped by Ctrl-C.
    pub fn interrupted(self) -> Self {
        Self { status: STATUS_INTERRUPTED, ..self }
    }

    /// Returns the message without hints.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The process's exit status.
    pub fn status(&self) -> u8 {
        self.status
    }

    /// Writes the lines to stderr; there is nobody to tell if that fails.
    pub fn print(&self) {
        let _ = write!(io::stderr().lock(), "{}", printable(&self.to_string()));
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", self.message)?;
        self.hints.iter().try_for_each(|hint| writeln!(f, "hint: {hint}"))
    }
}

impl From<StaggerError> for Failure {
    fn from(error: StaggerError) -> Self {
        let message = error.to_string();
        let failure = if error.is_input() { Self::input(message) } else { Self::failed(message) };
        failure.maybe_hint(error.hint())
    }
}

/// The system's words without Rust's `(os error 28)`, in the lower case of our messages.
fn reason(source: &io::Error) -> String {
    let text = source.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_disk_is_told_in_words() {
        let failure = Failure::write(Path::new("out/att_gt.csv"), &io::Error::from_raw_os_error(28));
        insta::assert_snapshot!(failure.to_string(), @r"
        error: can't write out/att_gt.csv: no space left on device
        hint: free some space, or give another folder with --out
        ");
        assert_eq!(failure.status(), 1);
    }

    #[test]
    fn unreadable_file_is_bad_input() {
        let failure = Failure::read(Path::new("study.toml"), &io::Error::from_raw_os_error(2));
        insta::assert_snapshot!(failure.to_string(), @"error: can't read study.toml: no such file or directory");
        assert_eq!(failure.status(), 2);
    }
}
