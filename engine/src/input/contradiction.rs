//! Columns that have two values for a file, by the names of its folders.

use super::file::SourceFile;
use crate::error::EngineError;

impl SourceFile {
    /// The error for a column that two folders give different values.
    pub(super) fn contradiction(&self, column: &str) -> Option<EngineError> {
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
        Some(EngineError::input(message).with_hint("rename one of the folders: NAME=VALUE names a column"))
    }
}
