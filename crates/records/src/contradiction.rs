//! Refusal of a column to which the names of a file's folders give two values.

use stagger_model::error::StaggerError;

use super::file::SourceFile;

impl SourceFile {
    /// Returns the error for a column to which two of the file's folders give different values, if there are two.
    pub(super) fn contradiction(&self, column: &str) -> Option<StaggerError> {
        let mut values = self.input.hive.iter().filter(|(name, _)| name == column).map(|(_, value)| value);
        let first = values.next()?;
        let other = values.find(|value| *value != first)?;
        let show = |value: &Option<String>| format!("{column}={}", value.as_deref().unwrap_or("null"));
        let file = self.input.name();
        let message = format!(
            "`{file}` is in folders of two values of column `{column}`: `{}` and `{}`",
            show(first),
            show(other)
        );
        Some(StaggerError::input(message).with_hint("rename one of the folders: NAME=VALUE names a column"))
    }
}
