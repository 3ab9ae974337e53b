//! `--collapse … --by …`: one row for each group of rows.
//!
//! Threads fold the batches that they read into tables of their own, which are joined at the end: every function's value
//! is the same for any division of the rows. Groups leave in the order of their keys. If the tables outgrow their memory
//! the groups with larger keys are dropped, and made by further passes over the rows.

mod aggregate;
mod state;

use std::collections::BTreeMap;
use std::sync::Mutex;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use stagger_model::error::{Result, StaggerError};
use stagger_model::parallel::available_cores;

use super::keys::{KeyPlaces, decode, key_type, show};
use super::table::Table;
use super::{Output, TableStep, new_batch};
pub(super) use aggregate::{Aggregate, parse_aggregates};
use state::{Column, State};

/// The memory that the tables of groups may take, in bytes.
const MEMORY: usize = 256 << 20;
/// The bytes of a group and of a state beside their own.
const GROUP: usize = 112;
const STATE: usize = 72;
/// The number of groups of a batch that leaves.
const BATCH: usize = 8192;

/// The groups of a part of the rows, by key.
type Groups = std::collections::HashMap<Box<[u8]>, Vec<State>>;

/// The step.
pub(super) struct Collapse {
    aggregates: Vec<Aggregate>,
    by: Vec<String>,
    memory: usize,
}

/// The groups of a thread, and the bytes that they take.
#[derive(Default)]
struct Part {
    groups: Groups,
    bytes: usize,
}

/// The keys of a pass: from one key on, and below another.
struct Range {
    from: Option<Box<[u8]>>,
    below: Mutex<Option<Box<[u8]>>>,
}

impl Collapse {
    pub(super) fn new(aggregates: Vec<Aggregate>, by: Vec<String>) -> Self {
        Self { aggregates, by, memory: MEMORY }
    }

    /// Sets the memory, for tests.
    #[cfg(test)]
    pub(super) fn with_memory(self, memory: usize) -> Self {
        Self { memory, ..self }
    }

    fn add(&self, part: &mut Part, range: &Range, places: &KeyPlaces, batch: &RecordBatch) -> Result<()> {
        let keys = places.of(batch)?;
        let columns = self.aggregates.iter().map(|own| own.column(batch)).collect::<Result<Vec<Column>>>()?;
        let below = range.below();
        for row in 0..batch.num_rows() {
            let key = keys.get(row);
            if range.from.as_deref().is_some_and(|from| key < from)
                || below.as_deref().is_some_and(|end| key >= end)
            {
                continue;
            }
            if !part.groups.contains_key(key) {
                let states =
                    self.aggregates.iter().zip(&columns).map(|(own, column)| own.state(column)).collect();
                part.groups.insert(key.into(), states);
                part.bytes += key.len() + GROUP + STATE * columns.len();
            }
            let Some(states) = part.groups.get_mut(key) else { continue };
            for (state, column) in states.iter_mut().zip(&columns) {
                part.bytes += state.add(column, row);
            }
        }
        if part.bytes > self.memory / available_cores() { self.drop_half(part, range) } else { Ok(()) }
    }

    /// Drops the groups with larger keys from a part, for a later pass.
    fn drop_half(&self, part: &mut Part, range: &Range) -> Result<()> {
        let mut keys: Vec<&[u8]> = part.groups.keys().map(AsRef::as_ref).collect();
        if keys.len() < 2 {
            return Err(StaggerError::failed(format!(
                "collapse: one group needs more than the {} MB that groups may take",
                self.memory >> 20
            ))
            .with_hint("n_distinct() keeps every different value: count them in two steps of --collapse"));
        }
        let middle = keys.len() / 2;
        let (_, median, _) = keys.select_nth_unstable(middle);
        let median: Box<[u8]> = (*median).into();
        range.lower(&median);
        let below = range.below();
        part.groups.retain(|key, _| below.as_deref().is_none_or(|end| **key < *end));
        part.bytes = part.bytes / 2 + 1;
        Ok(())
    }

    /// Makes the groups of a pass, sorted.
    fn pass(
        &self,
        table: &Table,
        places: &KeyPlaces,
        range: &Range,
    ) -> Result<BTreeMap<Box<[u8]>, Vec<State>>> {
        let parts = table.fold(Part::default, |part, batch| self.add(part, range, places, batch))?;
        let below = range.below();
        let mut all: BTreeMap<Box<[u8]>, Vec<State>> = BTreeMap::new();
        for (key, states) in parts.into_iter().flat_map(|part| part.groups) {
            if below.as_deref().is_some_and(|end| *key >= *end) {
                continue;
            }
            match all.get_mut(&key) {
                Some(known) => known.iter_mut().zip(states).for_each(|(own, other)| own.merge(other)),
                None => {
                    all.insert(key, states);
                }
            }
        }
        Ok(all)
    }

    /// Writes groups in the order of their keys.
    fn write(
        &self,
        schema: &SchemaRef,
        groups: &BTreeMap<Box<[u8]>, Vec<State>>,
        out: &mut Output<'_>,
    ) -> Result<()> {
        let all: Vec<(&[u8], &Vec<State>)> =
            groups.iter().map(|(key, states)| (key.as_ref(), states)).collect();
        for some in all.chunks(BATCH) {
            let mut rest: Vec<&[u8]> = some.iter().map(|(key, _)| *key).collect();
            let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
            for field in schema.fields().iter().take(self.by.len()) {
                columns.push(decode(field.data_type(), &mut rest)?);
            }
            let keys = columns.clone();
            let key = |row: usize| {
                let one = |(name, column): (&String, &ArrayRef)| format!("{name} {}", show(column, row));
                self.by.iter().zip(&keys).map(one).collect::<Vec<_>>().join(", ")
            };
            for (at, aggregate) in self.aggregates.iter().enumerate() {
                let states: Vec<&State> = some.iter().map(|(_, states)| &states[at]).collect();
                columns.push(aggregate.finish(
                    &states,
                    schema.field(self.by.len() + at).data_type(),
                    &key,
                )?);
            }
            out(&new_batch(schema.clone(), columns, some.len())?)?;
        }
        Ok(())
    }
}

impl Range {
    fn below(&self) -> Option<Box<[u8]>> {
        self.below.lock().unwrap_or_else(|error| error.into_inner()).clone()
    }

    /// Ends the range before a key, unless it ends earlier.
    fn lower(&self, key: &[u8]) {
        let mut below = self.below.lock().unwrap_or_else(|error| error.into_inner());
        if below.as_deref().is_none_or(|known| key < known) {
            *below = Some(key.into());
        }
    }
}

impl TableStep for Collapse {
    fn schema(&self, schema: &SchemaRef) -> Result<SchemaRef> {
        let mut fields = Vec::new();
        for name in &self.by {
            let place = super::place(schema, "by", name)?;
            fields.push(Field::new(name, key_type(schema.field(place).data_type()), true));
        }
        for aggregate in &self.aggregates {
            if self.by.contains(&aggregate.name) {
                return Err(StaggerError::input(format!(
                    "collapse: `{}` is both a group and a value",
                    aggregate.name
                ))
                .with_hint("give the value another name"));
            }
            let data_type: DataType = aggregate.data_type(schema)?;
            fields.push(Field::new(&aggregate.name, data_type, true));
        }
        Ok(std::sync::Arc::new(Schema::new(fields)))
    }

    fn apply(&self, table: &Table, out: &mut Output<'_>) -> Result<Vec<String>> {
        let places = KeyPlaces::find(table.schema(), "by", &self.by)?;
        let schema = self.schema(table.schema())?;
        let (mut from, mut passes) = (None, 0);
        loop {
            let range = Range { from, below: Mutex::new(None) };
            let groups = self.pass(table, &places, &range)?;
            self.write(&schema, &groups, out)?;
            passes += 1;
            from = range.below();
            if from.is_none() {
                break;
            }
        }
        Ok(match passes {
            1 => Vec::new(),
            passes => vec![format!(
                "the groups did not fit {} MB and were made in {passes} passes",
                self.memory >> 20
            )],
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use stagger_model::csv_options::ColumnSelection;

    use super::*;
    use crate::list_input_files;
    use crate::source::Source;

    /// Collapses a file with `memory` bytes for groups; returns the rows and the notes.
    fn collapsed(path: &std::path::Path, memory: usize) -> (Vec<String>, Vec<String>) {
        let selection = ColumnSelection::of(&[]);
        let source =
            Source::select(list_input_files(&[path.display().to_string()]).unwrap(), &selection).unwrap();
        let table = Table::new(source, vec!["id".to_owned(), "x".to_owned()]).unwrap();
        let step = Collapse::new(parse_aggregates("y = sum(x), n = n()").unwrap(), vec!["id".to_owned()]);
        let mut rows = Vec::new();
        let notes = step.with_memory(memory).apply(&table, &mut |batch| {
            rows.extend((0..batch.num_rows()).map(|row| {
                let shown = batch.columns().iter().map(|column| show(column, row)).collect::<Vec<_>>();
                shown.join(" ")
            }));
            Ok(())
        });
        (rows, notes.unwrap())
    }

    #[test]
    fn groups_beyond_memory_are_made_in_further_passes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let lines: String =
            (0..50_000).map(|row| format!("{},{}\n", row * 7919 % 10_007, row % 10)).collect();
        fs::write(&path, format!("id,x\n{lines}")).unwrap();
        let (whole, none) = collapsed(&path, MEMORY);
        assert_eq!((whole.len(), none.len()), (10_007, 0));
        let (parts, notes) = collapsed(&path, 1 << 20);
        assert_eq!(parts, whole);
        assert!(notes[0].contains("passes"), "{notes:?}");
    }
}
