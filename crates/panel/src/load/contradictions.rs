//! Errors of rows that contradict each other, which the second pass finds: two rows of one unit and period, a unit in two
//! clusters. The rows are read again to name the first of them.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;

use stagger_model::error::{Result, StaggerError};
use stagger_records::{Chunk, with_texts};

use super::keys::NO_UNIT;
use super::place::{Pass, Scratch, encode_clusters};
use super::runs::Runs;
use crate::columns::Columns;
use crate::slot::MISSING;
use crate::slots::{FieldRole, SlotField};

impl Pass<'_> {
    /// Finds the first row, by file and row, whose unit and period an earlier row has.
    pub(super) fn duplicate(&self, columns: &Columns) -> StaggerError {
        let mut seen = HashSet::new();
        for (index, chunk) in self.source.chunks().iter().enumerate() {
            let keys = &self.keys.chunks[index];
            let mut runs = Runs::new(keys);
            for row in 0..chunk.rows {
                let run = runs.current();
                if run.unit != NO_UNIT {
                    let position =
                        self.order.positions[keys.table][run.unit as usize].load(Ordering::Relaxed);
                    let period = self.order.period_of[keys.table][keys.periods.at(row, run.start) as usize];
                    if !seen.insert((position, period)) {
                        return self.describe_duplicate(columns, chunk, row, period);
                    }
                }
                runs.advance(1);
            }
        }
        StaggerError::failed("rows were counted twice")
    }

    fn describe_duplicate(&self, columns: &Columns, chunk: &Chunk, row: usize, period: u16) -> StaggerError {
        StaggerError::input(format!(
            "duplicate rows: `{}` {} has two rows in `{}` {} (the second is row {} of `{}`)",
            columns.id,
            self.text_at(&columns.id, chunk, row),
            columns.time,
            columns.format_period(self.order.periods[period as usize]),
            chunk.first_row + row as u64 + 1,
            self.source.path_of(chunk)
        ))
        .with_hint("a panel has one row a unit and period; for repeated cross sections set --panel false")
    }

    /// Returns the entry of a row as text, for a message.
    fn text_at(&self, column: &str, chunk: &Chunk, row: usize) -> String {
        let mut text = String::new();
        // If the file can't be read again, the message lacks the entry.
        let _ = self.source.read(chunk, &[column.to_owned()], |first, arrays| {
            if (first..first + arrays[0].len()).contains(&row) {
                text = with_texts(&arrays[0], |texts| Ok(texts[row - first].unwrap_or_default().to_owned()))?;
            }
            Ok(())
        });
        text
    }

    /// Finds the first unit, by file and row, that lies in two clusters of a variable.
    pub(super) fn two_clusters(&self, columns: &Columns, field: &SlotField) -> Result<()> {
        let FieldRole::Cluster { dimension } = field.kind else { return Ok(()) };
        let mut seen: HashMap<u32, (u64, usize, usize)> = HashMap::new();
        let mut scratch = Scratch::default();
        let kind = columns.kind(&field.name);
        for (index, chunk) in self.source.chunks().iter().enumerate() {
            let keys = &self.keys.chunks[index];
            let positions = &self.order.positions[keys.table];
            let mut runs = Runs::new(keys);
            self.source.read(chunk, std::slice::from_ref(&field.name), |first, arrays| {
                let mut encoded = Vec::new();
                encode_clusters(field, (dimension, kind), &arrays[0], &mut scratch, &mut encoded)?;
                for (row, &key) in encoded.iter().enumerate() {
                    let unit = runs.current().unit;
                    runs.advance(1);
                    if unit == NO_UNIT || key == MISSING {
                        continue;
                    }
                    let position = positions[unit as usize].load(Ordering::Relaxed);
                    let known = *seen.entry(position).or_insert((key, index, first + row));
                    if known.0 != key {
                        return Err(self.describe_clusters(
                            columns,
                            field,
                            (known.1, known.2),
                            (index, first + row),
                        ));
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn describe_clusters(
        &self,
        columns: &Columns,
        field: &SlotField,
        first: (usize, usize),
        second: (usize, usize),
    ) -> StaggerError {
        let chunk = |at: (usize, usize)| &self.source.chunks()[at.0];
        StaggerError::input(format!(
            "the cluster variable `{}` varies within unit {}: {} and {} (file `{}`)",
            field.name,
            self.text_at(&columns.id, chunk(second), second.1),
            self.text_at(&field.name, chunk(first), first.1),
            self.text_at(&field.name, chunk(second), second.1),
            self.source.path_of(chunk(second))
        ))
        .with_hint("every unit must stay in one cluster in all its rows")
    }
}
