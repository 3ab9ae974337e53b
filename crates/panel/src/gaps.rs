//! Missing values by column: the number of rows, and the position of the first.

use std::collections::BTreeMap;

use arrow_array::{Array, ArrayRef};
use serde::{Deserialize, Serialize};
use stagger_model::error::Result;
use stagger_records::{split_runs, with_f64};

/// The rows without a value in a column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Number of rows.
    pub rows: u64,
    /// Number of those rows that are infinite.
    pub infinite: u64,
    /// Index of the file and row number in it, from 1, of the first such row; `None` where it is not known.
    pub first: Option<(usize, u64)>,
}

impl Gap {
    /// Adds the rows of another part of the data.
    pub fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.infinite += other.infinite;
        self.first = match (self.first, other.first) {
            (Some(own), Some(other)) => Some(own.min(other)),
            (own, other) => own.or(other),
        };
    }

    /// Counts one row; `place` is the index of its file and its number in it, from 1.
    pub fn add(&mut self, infinite: bool, place: (usize, u64)) {
        self.add_run(infinite, place, 1);
    }

    /// Counts `rows` rows that follow each other; `place` is that of the first.
    fn add_run(&mut self, infinite: bool, place: (usize, u64), rows: u64) {
        self.merge(&Self { rows, infinite: u64::from(infinite) * rows, first: Some(place) });
    }
}

/// Rows without a value, by column; columns without such rows are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Gaps(BTreeMap<String, Gap>);

impl Gaps {
    /// Tells if no value is missing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the rows of a column; `None` if no value is missing.
    pub fn get(&self, column: &str) -> Option<Gap> {
        self.0.get(column).copied()
    }

    /// Counts the rows of a column in a batch; the first row of the batch has number `row` (from 0) in file `file`.
    ///
    /// # Errors
    /// A column that can't be read.
    pub fn count_column(&mut self, column: &str, array: &ArrayRef, file: usize, row: u64) -> Result<()> {
        let Some((values, ends)) = split_runs(array) else {
            return self.count_values(column, array, file, |at| (row + at as u64 + 1, 1));
        };
        self.count_values(column, values, file, |at| {
            let start = at.checked_sub(1).map_or(0, |before| ends[before]);
            (row + start as u64 + 1, (ends[at] - start) as u64)
        })
    }

    /// Counts the missing values of a column; `rows_of` returns the first row of a value, from 1, and the number of its
    /// rows.
    fn count_values(
        &mut self,
        column: &str,
        array: &ArrayRef,
        file: usize,
        rows_of: impl Fn(usize) -> (u64, u64),
    ) -> Result<()> {
        let data_type = array.data_type();
        let nulls = array.null_count();
        if nulls == 0 && (data_type.is_integer() || data_type.is_string() || data_type.is_binary()) {
            return Ok(());
        }
        let mut found = Gap::default();
        if data_type.is_floating() {
            with_f64(array, column, &mut Vec::new(), |values| {
                if values.iter().fold(true, |all, value| all & value.is_finite()) {
                    return Ok(());
                }
                for (at, value) in values.iter().enumerate().filter(|(_, value)| !value.is_finite()) {
                    let (first, rows) = rows_of(at);
                    found.add_run(value.is_infinite(), (file, first), rows);
                }
                Ok(())
            })?;
        } else if array.is_nullable()
            && let Some(nulls) = array.logical_nulls()
        {
            for (at, _) in nulls.iter().enumerate().filter(|(_, valid)| !valid) {
                let (first, rows) = rows_of(at);
                found.add_run(false, (file, first), rows);
            }
        }
        self.merge_column(column, &found);
        Ok(())
    }

    /// Adds rows of a column.
    pub fn merge_column(&mut self, column: &str, gap: &Gap) {
        if gap.rows > 0 {
            self.0.entry(column.to_owned()).or_default().merge(gap);
        }
    }

    /// Adds the rows of another part of the data.
    pub fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(column, gap)| self.merge_column(column, gap));
    }

    /// Adds columns of the same rows; columns that are present stay as they are.
    pub fn fill_in(&mut self, others: Self) {
        for (column, gap) in others.0 {
            self.0.entry(column).or_insert(gap);
        }
    }

    /// Counts the rows of all columns of a batch, each column once.
    ///
    /// # Errors
    /// Those of [`Gaps::count_column`].
    pub fn count_batch<'a>(
        &mut self,
        columns: impl Iterator<Item = (&'a str, &'a ArrayRef)>,
        file: usize,
        row: u64,
    ) -> Result<()> {
        let mut seen: Vec<&str> = Vec::new();
        for (column, array) in columns {
            if !seen.contains(&column) {
                seen.push(column);
                self.count_column(column, array, file, row)?;
            }
        }
        Ok(())
    }
}

/// Findings about the input that every reader of it reports: rows without values, and values read otherwise than one
/// may expect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InputRemarks {
    /// Rows without a value, by column.
    #[serde(skip_serializing_if = "Gaps::is_empty")]
    pub gaps: Gaps,
    /// Warnings about the input.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl InputRemarks {
    /// Tells if there is nothing to report.
    pub fn is_empty(&self) -> bool {
        self.gaps.is_empty() && self.notes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Float64Array, Int64Array, StringArray};

    use super::*;

    #[test]
    fn rows_are_counted_whatever_the_order_of_the_parts() {
        let numbers: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), None, Some(f64::INFINITY)]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
        let whole: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let part = |file: usize, row: u64| {
            let mut gaps = Gaps::default();
            gaps.count_batch([("y", &numbers), ("y", &numbers), ("n", &whole)].into_iter(), file, row)
                .unwrap();
            gaps.count_column("g", &texts, file, row).unwrap();
            gaps
        };
        let (mut a, mut b) = (part(1, 0), part(0, 10));
        a.merge(&part(0, 10));
        b.merge(&part(1, 0));
        assert_eq!(a, b);
        assert_eq!(a.get("y"), Some(Gap { rows: 4, infinite: 2, first: Some((0, 12)) }));
        assert_eq!((a.get("g").map(|gap| gap.rows), a.get("n")), (Some(2), None));
    }
}
