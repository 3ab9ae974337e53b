//! Refusal of ambiguous column names.

use stagger_model::error::{Result, StaggerError};

use super::file::SourceFile;
use super::source::Source;

impl Source {
    /// Refuses a column that a file has twice, or whose name differs from another column's only in case or blanks.
    ///
    /// # Errors
    /// Names the file and both positions.
    pub(super) fn refuse_ambiguous_name(&self, column: &str) -> Result<()> {
        self.files.iter().try_for_each(|file| file.no_twins(column))
    }
}

impl SourceFile {
    fn no_twins(&self, column: &str) -> Result<()> {
        let names: Vec<&String> = self.schema.fields().iter().map(|field| field.name()).collect();
        let Some(own) = names.iter().position(|name| *name == column) else { return Ok(()) };
        if self.hive(column).is_some() {
            return Err(StaggerError::input(format!(
                "`{}`: column `{column}` is in the file and in the folder's name",
                self.input.name()
            ))
            .with_hint(
                "remove the column from the files, or rename the folders: NAME=VALUE names a column",
            ));
        }
        let folded = |name: &str| name.split_whitespace().collect::<String>().to_lowercase();
        let twin = names.iter().enumerate().find(|(at, name)| *at != own && folded(name) == folded(column));
        let Some((twin, other)) = twin else { return Ok(()) };
        let what = match *other == column {
            true => format!("two columns are called `{column}`"),
            false => {
                format!("the names of the columns `{column}` and `{other}` differ in case or blanks alone")
            }
        };
        Err(StaggerError::input(format!(
            "`{}`: {what}, the {} and the {} of {}",
            self.input.name(),
            ordinal(own + 1),
            ordinal(twin + 1),
            names.len()
        ))
        .with_hint(format!("rename or remove the one that is not meant by `{column}`")))
    }
}

/// Formats an ordinal number: 1st, 2nd, 3rd.
fn ordinal(number: usize) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}
