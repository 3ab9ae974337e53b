//! Broken lines of text files: refused by default, or left out, counted and listed.

use serde::{Deserialize, Serialize};
use stagger_model::error::{Result, StaggerError};

/// The number of broken lines that a note shows.
const SHOWN: usize = 5;
/// The number of characters of a line that a message shows.
const LENGTH: usize = 80;

/// The broken lines of one file that were left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BadLines {
    /// The number of lines that may be left out.
    allowed: u64,
    /// The number of lines that were left out.
    pub(crate) count: u64,
    /// The first of them: the line of the file, from 1, its fault, and its text.
    first: Vec<(u64, String, String)>,
}

impl BadLines {
    pub(crate) fn new(allowed: u64) -> Self {
        Self { allowed, ..Self::default() }
    }

    /// Returns `true` if broken lines are left out.
    pub(crate) fn skips(&self) -> bool {
        self.allowed > 0
    }

    /// Leaves out a line.
    ///
    /// # Errors
    /// More lines than allowed.
    pub(crate) fn add(&mut self, file: &str, line: u64, fault: &str, text: &str) -> Result<()> {
        self.count += 1;
        if self.count > self.allowed {
            let error = match self.allowed {
                0 => StaggerError::input(format!("`{file}`: line {line} {fault}: {}", shorten(text))),
                allowed => too_many(allowed).in_context(&format!("`{file}`: line {line} {fault}")),
            };
            let more = self.allowed.saturating_mul(10).max(1000);
            return Err(error.with_hint(format!(
                "--skip-bad {more} leaves out up to {more} such lines and lists the first"
            )));
        }
        if self.first.len() < SHOWN {
            self.first.push((line, fault.to_owned(), shorten(text)));
        }
        Ok(())
    }

    /// Returns the note about the lines of a file that were left out, if there are any.
    pub(crate) fn note(&self, file: &str) -> Option<String> {
        let shown: Vec<String> =
            self.first.iter().map(|(line, fault, text)| format!("line {line} {fault}: {text}")).collect();
        let more = match self.count.saturating_sub(self.first.len() as u64) {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        let lines = if self.count == 1 { "line" } else { "lines" };
        (self.count > 0).then(|| {
            format!("{} broken {lines} of `{file}` left out: {}{more}", self.count, shown.join("; "))
        })
    }
}

/// Refuses more broken lines in all files than are allowed.
pub(crate) fn check_total(counts: impl Iterator<Item = u64>, allowed: u64) -> Result<()> {
    let total: u64 = counts.sum();
    if total <= allowed {
        return Ok(());
    }
    Err(too_many(allowed)
        .in_context(&format!("the files hold {total} broken lines"))
        .with_hint(format!("--skip-bad {total} leaves them out and lists the first")))
}

fn too_many(allowed: u64) -> StaggerError {
    StaggerError::input(format!("more broken lines than --skip-bad {allowed} leaves out"))
}

/// Shortens a text for a message.
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text.to_owned(),
    }
}
