//! Errors of expressions, which point into the text.

use stagger_model::error::StaggerError;

/// A fault at a place of an expression's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExpressionError {
    /// The first character of the place, from 0.
    position: usize,
    /// The number of characters of the place.
    length: usize,
    message: String,
    hint: Option<String>,
}

pub(crate) type Found<T> = Result<T, ExpressionError>;

impl ExpressionError {
    pub(crate) fn new(position: usize, length: usize, message: impl Into<String>) -> Self {
        Self { position, length, message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Returns the error with the text below it and a mark below the place.
    pub(crate) fn in_text(self, text: &str) -> StaggerError {
        let line: String = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
        let marks = "^".repeat(self.length.max(1));
        let error = StaggerError::input(format!(
            "{}\n  {line}\n  {}{marks}",
            self.message,
            " ".repeat(self.position)
        ));
        match self.hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}
