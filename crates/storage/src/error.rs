//! Failures of storage, classified by the remedy.

use std::fmt;
use std::time::Duration;

/// The class of a [`StoreError`], which decides the remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// There is no such object, or the credentials may not list, in which case S3 answers a read of a missing object
    /// with a refusal.
    NotFound,
    /// A put with [`IfAbsent`](super::Condition::IfAbsent) met an existing object.
    Exists,
    /// A pinned read or a compare-and-set met another version of the object.
    Changed,
    /// Too many requests; a later attempt may succeed.
    Throttled,
    /// The network or the service failed, or the reply was lost; another attempt may succeed.
    Unavailable,
    /// Fewer or other bytes arrived than were promised; another attempt may succeed.
    Corrupt,
    /// The credentials do not permit the request.
    Denied,
    /// There are no credentials, or they have expired.
    Credentials,
    /// The bucket is in another region, or does not exist.
    Bucket,
    /// An environment variable has an invalid value.
    Environment,
    /// The disk or the quota is full.
    Full,
    /// Any other failure.
    Other,
}

/// A state of an object that refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ObjectState {
    /// There is no object.
    Absent,
    /// There is an object already.
    Present,
    /// The object is another version than the one that was pinned.
    Changed,
}

impl ObjectState {
    /// Returns the class of the error for an object in this state.
    pub(super) fn kind(self) -> StoreErrorKind {
        match self {
            Self::Absent => StoreErrorKind::NotFound,
            Self::Present => StoreErrorKind::Exists,
            Self::Changed => StoreErrorKind::Changed,
        }
    }

    /// Returns the state in words, to follow the address of the object and a colon.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Absent => "no such object",
            Self::Present => "there is an object already",
            Self::Changed => "the object is another one now",
        }
    }
}

/// A failure of storage. Its message names the action, the object and the reason; its hint names the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError {
    /// The class of the failure.
    pub kind: StoreErrorKind,
    /// The action, the object and the reason, in lower case without a full stop.
    pub message: String,
    /// The remedy, if there is one.
    pub hint: Option<String>,
    /// Nothing answered at all, as happens where an address is wrong.
    silent: bool,
}

impl StoreError {
    /// Returns an error without a hint. `message` names action, object and reason, in lower case and without a full
    /// stop.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, silent: false }
    }

    /// Returns the error for the state of the object at `address`.
    pub(super) fn of_object(state: ObjectState, address: &str) -> Self {
        Self::new(state.kind(), format!("`{address}`: {}", state.words()))
    }

    /// Adds a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Marks the error as one of a service that gave no answer at all.
    #[must_use]
    pub(super) fn mark_silent(self) -> Self {
        Self { silent: true, ..self }
    }

    /// Marks the error as one of a service that has answered before.
    #[must_use]
    pub(super) fn mark_answered(self) -> Self {
        Self { silent: false, ..self }
    }

    /// Returns `true` if no answer came at all.
    pub(super) fn is_silent(&self) -> bool {
        self.silent
    }

    /// Adds the number of attempts and their duration to the message, if there was more than one attempt.
    #[must_use]
    pub(super) fn with_attempts(mut self, attempts: u32, elapsed: Duration) -> Self {
        if attempts > 1 {
            self.message =
                format!("{} ({attempts} attempts in {:.1} s)", self.message, elapsed.as_secs_f64());
        }
        self
    }

    /// Returns the hint, if there is one.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Returns `true` if another attempt may succeed.
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
