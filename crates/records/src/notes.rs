//! Surprises in CSV files: cells that are not numbers, and texts that look like missing values.

use stagger_model::error::{Result, StaggerError};

use super::csv::{CsvLayout, format_place};
use super::file::{Content, SourceFile};
use super::source::Source;

impl Source {
    /// Returns the CSV files with their layouts.
    fn layouts(&self) -> impl Iterator<Item = (&SourceFile, &CsvLayout)> {
        self.files.iter().filter_map(|file| match &file.content {
            Content::Csv(csv) => Some((file, &csv.layout)),
            Content::Parquet(_) => None,
        })
    }

    /// Returns `true` if some file is CSV.
    pub fn has_csv(&self) -> bool {
        self.layouts().next().is_some()
    }

    /// Refuses a column that is needed as a number if a CSV file holds something else in it.
    ///
    /// # Errors
    /// Names the first such cell with its file, row and text.
    pub fn require_only_numbers(&self, argument: &str, column: &str) -> Result<()> {
        for (file, layout) in self.layouts() {
            let Some(cell) = layout.first_non_number(column) else { continue };
            let hint = match cell.text.contains(',') {
                true => "decimals after a comma are read with --csv-decimal ','",
                false => {
                    "every value must be a number; --csv-na names texts that stand for a missing value, separated by commas"
                }
            };
            return Err(StaggerError::input(format!(
                "{argument}: column `{column}` holds `{}` in {} of `{}`, which is no number",
                cell.text,
                format_place(cell.row, cell.line),
                file.input.name()
            ))
            .with_hint(hint));
        }
        Ok(())
    }

    /// Refuses a column that holds both numbers and other text in a CSV file.
    ///
    /// # Errors
    /// Those of [`Source::require_only_numbers`].
    pub fn refuse_mixed(&self, argument: &str, column: &str) -> Result<()> {
        let is_mixed =
            self.layouts().any(|(_, layout)| layout.mixed_columns().any(|(name, _)| name == column));
        if is_mixed { self.require_only_numbers(argument, column) } else { Ok(()) }
    }

    /// Returns notes for the user about broken lines, and about CSV files that were read in a way that one may not expect, one line each.
    pub fn notes(&self) -> Vec<String> {
        let bad = self.files.iter().filter_map(|file| file.bad.note(&file.input.name()));
        let mut out: Vec<String> = bad.collect();
        if let Some(made) = &self.made {
            out.extend(made.notes.iter().cloned());
            let steps = made.steps.iter();
            out.extend(
                steps.flat_map(|step| step.notes.iter().map(move |note| format!("{}: {note}", step.step))),
            );
        }
        let mut taken: Vec<(&str, &str, u64)> = Vec::new();
        for (column, text, rows) in self.layouts().flat_map(|(_, layout)| layout.missing_spellings_in_text())
        {
            match taken.iter_mut().find(|(c, t, _)| (*c, *t) == (column, text)) {
                Some((_, _, sum)) => *sum += rows,
                None => taken.push((column, text, rows)),
            }
        }
        for (column, text, rows) in taken {
            out.push(format!(
                "column `{column}` holds `{text}` in {rows} rows, taken as text like its other values; with --csv-na {text} they are missing"
            ));
        }
        let mut named: Vec<&str> = Vec::new();
        for (file, layout) in self.layouts() {
            for (column, cell) in layout.mixed_columns() {
                if !named.contains(&column) {
                    named.push(column);
                    out.push(format!(
                        "column `{column}` is read as text, and its values as levels of a factor, because {} of `{}` holds `{}`",
                        format_place(cell.row, cell.line),
                        file.input.name(),
                        cell.text
                    ));
                }
            }
        }
        out
    }
}
