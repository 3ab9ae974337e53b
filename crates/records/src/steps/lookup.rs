//! `--lookup`: columns of a small table, found by keys.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::concat::concat_batches;
use arrow_select::filter::filter_record_batch;
use arrow_select::take::take;
use stagger_model::csv_options::{ColumnRole, ColumnSelection};
use stagger_model::error::{Result, StaggerError};
use stagger_model::record_options::Lookup;

use super::keys::{KeyMap, KeyPlaces, key_type};
use super::plan::list_pairs;
use super::table::Table;
use super::{RowStep, new_batch};
use crate::files::list_input_files;
use crate::source::Source;

/// The largest table, in bytes of its files.
const LARGEST: u64 = 200 << 20;

/// The step.
pub(super) struct LookupStep {
    name: String,
    /// The keys: the column of the records, and that of the table.
    keys: Vec<(String, String)>,
    /// `true` drops rows that the table has no row for.
    inner: bool,
    /// The columns of the table beside its keys.
    columns: Vec<(Field, ArrayRef)>,
    /// The types of the table's keys.
    types: Vec<DataType>,
    rows: KeyMap<u32>,
}

/// Opens the table of a lookup, for its columns.
///
/// # Errors
/// A table that can't be read, or that is too large.
pub(super) fn open_table(lookup: &Lookup, selection: &ColumnSelection) -> Result<Source> {
    let mut wanted = ColumnSelection::of(&[]);
    wanted.csv.clone_from(&selection.csv);
    list_pairs("lookup", &lookup.by)?.into_iter().for_each(|(_, key)| wanted.add(&key, ColumnRole::Key));
    let source = Source::select(list_input_files(std::slice::from_ref(&lookup.table))?, &wanted)?;
    if source.bytes() > LARGEST {
        return Err(StaggerError::input(format!(
            "lookup: `{}` has {} MB, and a table that is looked up at most {}",
            lookup.table,
            source.bytes() >> 20,
            LARGEST >> 20
        ))
        .with_hint("join the two before, and send the rows: duckdb -c \"copy (select …) to stdout (format csv)\" | stagger run -"));
    }
    Ok(source)
}

impl LookupStep {
    pub(super) fn new(lookup: &Lookup, selection: &ColumnSelection) -> Result<Self> {
        let keys = list_pairs("lookup", &lookup.by)?;
        let source = open_table(lookup, selection)?;
        let names = source.column_names();
        let table = Table::new(source, names)?;
        let mut batches = Vec::new();
        table.in_order(&mut |batch| {
            batches.push(batch.clone());
            Ok(())
        })?;
        let all = concat_batches(table.schema(), &batches)
            .map_err(|error| StaggerError::failed(format!("lookup: {error}")))?;
        let own: Vec<String> = keys.iter().map(|(_, key)| key.clone()).collect();
        let places = KeyPlaces::find(table.schema(), &format!("lookup `{}`", lookup.table), &own)?;
        let rows = index(&all, &places, &lookup.table)?;
        let mut columns = Vec::new();
        for (field, column) in table.schema().fields().iter().zip(all.columns()) {
            if !own.contains(field.name()) {
                columns.push((field.as_ref().clone().with_nullable(true), Arc::clone(column)));
            }
        }
        let types = own.iter().filter_map(|key| table.schema().field_with_name(key).ok());
        let types = types.map(|field| field.data_type().clone()).collect();
        Ok(Self { name: lookup.table.clone(), keys, inner: lookup.inner, columns, types, rows })
    }

    fn places(&self, schema: &Schema) -> Result<KeyPlaces> {
        let own: Vec<String> = self.keys.iter().map(|(key, _)| key.clone()).collect();
        KeyPlaces::find(schema, "lookup", &own)
    }
}

/// Returns the row of each key.
///
/// # Errors
/// Two rows with one key.
fn index(all: &RecordBatch, places: &KeyPlaces, name: &str) -> Result<KeyMap<u32>> {
    let keys = places.of(all)?;
    let mut rows: KeyMap<u32> = KeyMap::default();
    for row in 0..all.num_rows() {
        match rows.entry(keys.digest(row)) {
            Entry::Vacant(slot) => {
                slot.insert(row as u32);
            }
            Entry::Occupied(known) => {
                return Err(StaggerError::input(format!(
                    "lookup: rows {} and {} of `{name}` have the same key: {}",
                    known.get() + 1,
                    row + 1,
                    places.show(all, row)
                ))
                .with_hint("a row of the records must find one row at most: name more columns of the key, or make the table unique"));
            }
        }
    }
    Ok(rows)
}

impl RowStep for LookupStep {
    fn schema(&self, schema: &SchemaRef) -> Result<SchemaRef> {
        self.places(schema)?;
        for ((own, key), of_table) in self.keys.iter().zip(&self.types) {
            let field =
                schema.field_with_name(own).map_err(|error| StaggerError::input(error.to_string()))?;
            if key_type(field.data_type()) != key_type(of_table) {
                return Err(StaggerError::input(format!(
                    "lookup: `{own}` has type {} in the records, and `{key}` type {of_table} in `{}`",
                    field.data_type(),
                    self.name
                ))
                .with_hint(format!("make them one type before: --let '{own} = as.character({own})'")));
            }
        }
        let mut fields: Vec<Field> = schema.fields().iter().map(|field| field.as_ref().clone()).collect();
        for (field, _) in &self.columns {
            if schema.field_with_name(field.name()).is_ok() {
                return Err(StaggerError::input(format!(
                    "lookup: column `{}` is both in the records and in `{}`",
                    field.name(),
                    self.name
                ))
                .with_hint("leave it out of the table, or give it another name there"));
            }
            fields.push(field.clone());
        }
        Ok(Arc::new(Schema::new(fields)))
    }

    fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let failed = |error: arrow_schema::ArrowError| StaggerError::failed(format!("lookup: {error}"));
        let keys = self.places(&batch.schema())?.of(batch)?;
        let found: UInt32Array =
            (0..batch.num_rows()).map(|row| self.rows.get(&keys.digest(row)).copied()).collect();
        let mut columns = batch.columns().to_vec();
        for (_, column) in &self.columns {
            columns.push(take(column, &found, None).map_err(failed)?);
        }
        let joined = new_batch(self.schema(&batch.schema())?, columns, batch.num_rows())?;
        if !self.inner {
            return Ok(joined);
        }
        let kept: BooleanArray = found.iter().map(|row| Some(row.is_some())).collect();
        filter_record_batch(&joined, &kept).map_err(failed)
    }
}
