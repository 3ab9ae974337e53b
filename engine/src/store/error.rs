//! What goes wrong with storage, by what can be done about it.

use std::fmt;
use std::time::Duration;

use crate::error::EngineError;

/// What can be done about a [`StoreError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// No such object (or, without permission to list, none that can be told from it).
    NotFound,
    /// Put if absent: there is one already.
    Exists,
    /// A pinned read or a compare-and-set: the object is another one now.
    Changed,
    /// Too many requests: slow down and try again.
    Throttled,
    /// The network or the service failed for now, or the reply was lost: try again.
    Unavailable,
    /// Fewer or other bytes than were promised: try again.
    Corrupt,
    /// No permission.
    Denied,
    /// No credentials, or expired ones.
    Credentials,
    /// The bucket is elsewhere, or nowhere.
    Place,
    /// A variable of the environment means nothing.
    Environment,
    /// No space left.
    Full,
    /// Anything else.
    Other,
}

/// A failure of storage: what was done to which object, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError {
    /// What can be done.
    pub kind: StoreErrorKind,
    message: String,
    hint: Option<String>,
    /// Nothing answered at all, as where an address is wrong.
    silent: bool,
}

impl StoreError {
    /// An error; `message` says action, object and reason, in lower case without a full stop.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, silent: false }
    }

    /// The same error with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error, of a service that gave no answer at all.
    #[must_use]
    pub(super) fn without_answer(self) -> Self {
        Self { silent: true, ..self }
    }

    /// The same error, of a service that has answered before.
    #[must_use]
    pub(super) fn with_answer(self) -> Self {
        Self { silent: false, ..self }
    }

    /// Whether no answer came at all.
    pub(super) fn is_silent(&self) -> bool {
        self.silent
    }

    /// The same error with how often it was tried, if more than once.
    #[must_use]
    pub(super) fn after(mut self, attempts: u32, elapsed: Duration) -> Self {
        if attempts > 1 {
            self.message =
                format!("{} ({attempts} attempts in {:.1} s)", self.message, elapsed.as_secs_f64());
        }
        self
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Whether another attempt may succeed.
    pub fn is_transient(&self) -> bool {
        use StoreErrorKind::{Corrupt, Throttled, Unavailable};
        matches!(self.kind, Throttled | Unavailable | Corrupt)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StoreError {}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        let out = match error.kind {
            StoreErrorKind::Environment => EngineError::input(error.message),
            _ => EngineError::failed(error.message),
        };
        let out = out.with_storage(error.kind);
        match error.hint {
            Some(hint) => out.with_hint(hint),
            None => out,
        }
    }
}
