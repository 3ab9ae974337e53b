//! Rows that contradict each other: found where a unit's rows meet, looked up in the input afterwards.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use stagger_model::error::{Result, StaggerError};
use stagger_records::{KeyColumn, Source, with_key_column, with_texts};

use crate::columns::Columns;

/// A contradiction between rows of one unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RowConflict {
    /// Two rows in one period.
    DuplicateRow {
        /// Identifier of the unit.
        id: String,
        /// The period.
        period: f64,
    },
    /// Two clusters in one cluster variable.
    TwoClusters {
        /// Identifier of the unit.
        id: String,
        /// Column of the cluster variable.
        column: String,
    },
}

/// Returns the error for two rows of a unit in a period; `place` is that of the second row.
fn duplicate_at(columns: &Columns, id: &str, period: f64, place: &str) -> StaggerError {
    StaggerError::input(format!(
        "duplicate rows: `{}` {id} has two rows in `{}` {}{place}",
        columns.id,
        columns.time,
        columns.format_period(period)
    ))
    .with_hint("a panel has one row a unit and period; for repeated cross sections set --panel false")
}

impl RowConflict {
    /// Returns the error, with file and row of the second row where the input can be read again.
    pub fn to_error(&self, source: &Source, columns: &Columns) -> StaggerError {
        match self {
            RowConflict::DuplicateRow { id, period } => {
                let place = second_row(source, columns, id, *period);
                duplicate_at(columns, id, *period, &place.unwrap_or_default())
            }
            RowConflict::TwoClusters { id, column } => clusters(source, columns, id, column),
        }
    }
}

/// Calls `each(file, row in the file, row in the batch, arrays)` for the rows of a unit.
fn rows_of(
    source: &Source,
    columns: &Columns,
    id: &str,
    others: &[&str],
    mut each: impl FnMut(String, u64, usize, &[arrow_array::ArrayRef]) -> Result<()>,
) -> Result<()> {
    let mut names = vec![columns.id.clone()];
    names.extend(others.iter().map(|&name| name.to_owned()));
    let (mut integers, kind) = (Vec::new(), columns.kind(&columns.id));
    for chunk in source.chunks() {
        source.read(chunk, &names, |first, arrays| {
            let rows: Vec<usize> =
                with_key_column(&arrays[0], &columns.id, kind, &mut integers, |ids| Ok(matching(&ids, id)))?;
            for row in rows {
                each(source.path_of(chunk), chunk.first_row + (first + row) as u64 + 1, row, &arrays[1..])?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Rows of the unit that messages call `wanted`.
fn matching(ids: &KeyColumn<'_>, wanted: &str) -> Vec<usize> {
    (0..ids.len()).filter(|&row| !ids.is_missing(row) && ids.show(row) == wanted).collect()
}

fn second_row(source: &Source, columns: &Columns, id: &str, period: f64) -> Option<String> {
    let (mut seen, mut place, mut times) = (0, None, Vec::new());
    // If the file can't be read again, the message lacks the place.
    let _ = rows_of(source, columns, id, &[&columns.time], |file, number, row, arrays| {
        let own =
            columns.scale.with_periods(&arrays[0], &columns.time, &mut times, |times| Ok(times[row]))?;
        if own == period {
            seen += 1;
            if seen == 2 {
                place = Some(format!(" (the second is row {number} of `{file}`)"));
            }
        }
        Ok(())
    });
    place
}

fn clusters(source: &Source, columns: &Columns, id: &str, column: &str) -> StaggerError {
    let mut found: HashMap<String, ()> = HashMap::new();
    let (mut values, mut place) = (Vec::new(), String::new());
    let _ = rows_of(source, columns, id, &[column], |file, _, row, arrays| {
        let text = with_texts(&arrays[0], |texts| Ok(texts[row].unwrap_or_default().to_owned()))?;
        if !text.is_empty() && found.insert(text.clone(), ()).is_none() {
            values.push(text);
            place = format!(" (file `{file}`)");
        }
        Ok(())
    });
    values.truncate(2);
    StaggerError::input(format!(
        "the cluster variable `{column}` varies within unit {id}: {}{place}",
        values.join(" and ")
    ))
    .with_hint("every unit must stay in one cluster in all its rows")
}
