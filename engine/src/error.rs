//! Errors that name what is wrong, where, and what to do about it.

use std::fmt;

use crate::store::StoreErrorKind;
use crate::worker::protocol::FailureClass;

/// Whose fault an error is; decides the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Bad arguments or bad input: exit status 2.
    Input,
    /// The run failed: exit status 1.
    Failed,
}

/// An error of the engine: a message in lower case without a full stop, and a hint where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineError {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    storage: Option<StoreErrorKind>,
    class: Option<FailureClass>,
}

impl EngineError {
    fn new(kind: ErrorKind, message: String) -> Self {
        Self { kind, message, hint: None, storage: None, class: None }
    }

    /// Bad arguments or bad input.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Input, message.into())
    }

    /// A run that could not be finished.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, message.into())
    }

    /// The same error with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error with its place before the message.
    #[must_use]
    pub fn in_context(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// The same error with its message and its hint changed.
    #[must_use]
    pub(crate) fn rewritten(mut self, change: impl Fn(&str) -> String) -> Self {
        self.message = change(&self.message);
        self.hint = self.hint.map(|hint| change(&hint));
        self
    }

    /// The same error with what storage had to do with it.
    #[must_use]
    pub fn with_storage(mut self, kind: StoreErrorKind) -> Self {
        self.storage = Some(kind);
        self
    }

    /// What storage had to do with it, if it had.
    pub fn storage(&self) -> Option<StoreErrorKind> {
        self.storage
    }

    /// The same error with what a run can do about the task that met it, where its kind does not say.
    #[must_use]
    pub fn with_class(mut self, class: FailureClass) -> Self {
        self.class = Some(class);
        self
    }

    /// What a run can do about the task that met it.
    pub(crate) fn class(&self) -> Option<FailureClass> {
        self.class
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        self.hint.clone()
    }

    /// Whether arguments or input are to blame.
    pub fn is_input(&self) -> bool {
        self.kind == ErrorKind::Input
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for EngineError {}

/// Result of the engine.
pub type Result<T> = std::result::Result<T, EngineError>;

/// The names nearest to `wanted`, for a hint.
pub fn closest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut scored: Vec<(f64, &str)> = names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&wanted.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(score, _)| *score > 0.7)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
}
