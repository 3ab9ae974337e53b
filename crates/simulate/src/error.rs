//! The errors of a simulation.

use std::io;
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;

/// A simulation that wrote nothing.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// An argument outside its range.
    #[error("{option} is {given} but must be {allowed}")]
    Argument {
        /// The flag, with its dashes.
        option: &'static str,
        /// The value that was given.
        given: String,
        /// The range, as it follows "must be".
        allowed: String,
        /// The remedy.
        hint: &'static str,
    },
    /// `--out` exists and is not what would be written.
    #[error("{} is {found} but --files {files} would write {wanted}", .path.display())]
    OutKind {
        /// The value of `--out`.
        path: PathBuf,
        /// The kind of thing that is there now.
        found: &'static str,
        /// The number of files asked for.
        files: u64,
        /// The kind of thing that it would become.
        wanted: &'static str,
    },
    /// The system refused to write.
    #[error("can't write {}: {}", .path.display(), in_words(.source))]
    Write {
        /// The final path, not the temporary one.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Parquet refused to encode: a bug.
    #[error("can't encode {}: {source}", .path.display())]
    Encode {
        /// The final path, not the temporary one.
        path: PathBuf,
        /// Parquet's answer.
        source: ParquetError,
    },
}

impl SimulateError {
    /// Returns true if the arguments are at fault (exit status 2) rather than the system (1).
    pub fn is_input(&self) -> bool {
        matches!(self, Self::Argument { .. } | Self::OutKind { .. })
    }

    /// Returns the remedy, for a `hint:` line.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Argument { hint, .. } => Some((*hint).to_owned()),
            Self::OutKind { .. } => Some("remove it, or give another path with --out".to_owned()),
            Self::Write { source, .. } => Some(match source.kind() {
                io::ErrorKind::NotFound => "create the folder first".to_owned(),
                io::ErrorKind::StorageFull => {
                    "free some space, or give another folder with --out; nothing was left behind".to_owned()
                }
                _ => "give a folder that you may write to with --out".to_owned(),
            }),
            Self::Encode { .. } => None,
        }
    }

    /// Names the path of a system error.
    pub(super) fn write(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Write { path: path.to_owned(), source }
    }

    /// Names the path of an error of Parquet's writer, which hides system errors inside its own.
    pub(super) fn encode(path: &Path) -> impl Fn(ParquetError) -> Self {
        move |source| match source {
            ParquetError::External(inner) => match inner.downcast::<io::Error>() {
                Ok(source) => Self::Write { path: path.to_owned(), source: *source },
                Err(inner) => Self::Encode { path: path.to_owned(), source: ParquetError::External(inner) },
            },
            source => Self::Encode { path: path.to_owned(), source },
        }
    }
}

/// The system's words in the lower case of our messages, without Rust's `(os error 28)`.
fn in_words(source: &io::Error) -> String {
    let text = source.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}
