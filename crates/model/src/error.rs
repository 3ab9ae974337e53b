//! Errors that name the fault, its place and the remedy.

use std::fmt;

use serde::{Deserialize, Serialize};
use stagger_storage::{StoreError, StoreErrorKind};

/// The cause of an error, which decides the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Bad arguments or bad input, with exit status 2.
    Input,
    /// A failed run, with exit status 1.
    Failed,
}

/// An error: a message in lower case without a full stop, and usually a hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaggerError {
    kind: Blame,
    message: String,
    hint: Option<String>,
    storage: Option<StoreErrorKind>,
    class: Option<FailureClass>,
}

impl StaggerError {
    fn new(kind: Blame, message: String) -> Self {
        Self { kind, message, hint: None, storage: None, class: None }
    }

    /// Returns an error of bad arguments or bad input.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(Blame::Input, message.into())
    }

    /// Returns an error of a run that could not be finished.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Blame::Failed, message.into())
    }

    /// Adds a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Puts the place before the message.
    #[must_use]
    pub fn in_context(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// Applies `change` to the message and the hint.
    #[must_use]
    pub fn map_text(mut self, change: impl Fn(&str) -> String) -> Self {
        self.message = change(&self.message);
        self.hint = self.hint.map(|hint| change(&hint));
        self
    }

    /// Records the class of the storage failure behind the error.
    #[must_use]
    pub fn with_storage_kind(mut self, kind: StoreErrorKind) -> Self {
        self.storage = Some(kind);
        self
    }

    /// Returns the class of the storage failure behind the error, if there is one.
    pub fn storage_kind(&self) -> Option<StoreErrorKind> {
        self.storage
    }

    /// Records the failure class of the task that met the error, if its kind does not imply the class.
    #[must_use]
    pub fn with_failure_class(mut self, class: FailureClass) -> Self {
        self.class = Some(class);
        self
    }

    /// Returns the recorded failure class.
    pub fn failure_class(&self) -> Option<FailureClass> {
        self.class
    }

    /// Returns the hint.
    pub fn hint(&self) -> Option<String> {
        self.hint.clone()
    }

    /// Returns `true` if arguments or input are the cause.
    pub fn is_input(&self) -> bool {
        self.kind == Blame::Input
    }
}

impl fmt::Display for StaggerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StaggerError {}

impl From<StoreError> for StaggerError {
    fn from(error: StoreError) -> Self {
        let out = match error.kind {
            StoreErrorKind::Environment => StaggerError::input(error.message),
            _ => StaggerError::failed(error.message),
        };
        let out = out.with_storage_kind(error.kind);
        match error.hint {
            Some(hint) => out.with_hint(hint),
            None => out,
        }
    }
}

/// The result of a fallible operation.
pub type Result<T> = std::result::Result<T, StaggerError>;

/// Returns up to three `names` that are most similar to `wanted`, for a hint.
pub fn closest_names<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut scored: Vec<(f64, &str)> = names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&wanted.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(score, _)| *score > 0.7)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
}

/// The class of a failed task, which decides about retries (PLATFORM §5). It is set where the task failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// Too many requests at a time: slow down.
    Throttled,
    /// The task took longer than it may.
    TimedOut,
    /// The task needs more memory.
    OutOfMemory,
    /// The worker ended without an answer, or the answer was lost.
    Lost,
    /// Bytes did not have their checksum or format.
    Corrupt,
    /// Credentials expired, or there are none.
    Credentials,
    /// No worker took the task.
    Absent,
    /// The worker had to leave and gave the task back.
    Returned,
    /// The data are at fault: never tried again.
    Data,
    /// Any other failure that another attempt can't mend.
    Permanent,
}

impl FailureClass {
    /// Returns the name, for logs and errors.
    pub fn name(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::TimedOut => "timed out",
            Self::OutOfMemory => "out of memory",
            Self::Lost => "lost",
            Self::Corrupt => "corrupt",
            Self::Credentials => "credentials",
            Self::Absent => "absent",
            Self::Returned => "returned",
            Self::Data => "data error",
            Self::Permanent => "permanent",
        }
    }
}

impl From<StoreErrorKind> for FailureClass {
    fn from(kind: StoreErrorKind) -> Self {
        use StoreErrorKind::{
            Bucket, Changed, Corrupt, Credentials, Denied, Environment, Exists, Full, NotFound, Other,
        };
        match kind {
            // The request was retried many times already: the reason may lie in the worker's environment, and another
            // one may do better.
            StoreErrorKind::Throttled => Self::Throttled,
            StoreErrorKind::Unavailable => Self::Lost,
            Corrupt => Self::Corrupt,
            Credentials => Self::Credentials,
            Changed => Self::Data,
            NotFound | Exists | Denied | Bucket | Environment | Full | Other => Self::Permanent,
        }
    }
}

/// Largest number of specifications named in an error.
const MOST_NAMES: usize = 8;

/// Adds the names of the specifications that an error concerns.
pub fn name_specifications(error: StaggerError, names: &[Option<&str>]) -> StaggerError {
    let known: Vec<String> = names.iter().flatten().map(|name| format!("`{name}`")).collect();
    match known.as_slice() {
        [] => error,
        [one] => error.in_context(&format!("specification {one}")),
        several if several.len() <= MOST_NAMES => {
            error.in_context(&format!("specifications {}, which read the same rows", several.join(", ")))
        }
        [first, rest @ ..] => {
            error.in_context(&format!("specification {first} and {} that read the same rows", rest.len()))
        }
    }
}

/// Returns an input error from an error of the estimator, with its hint.
pub fn input_error(error: &dyn std::fmt::Display, hint: Option<String>) -> StaggerError {
    let out = StaggerError::input(error.to_string());
    match hint {
        Some(hint) => out.with_hint(hint),
        None => out,
    }
}
