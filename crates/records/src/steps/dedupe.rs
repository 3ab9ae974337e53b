//! `--dedupe`: one row of those with the same key.

use std::collections::hash_map::Entry;

use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::SchemaRef;
use arrow_select::filter::filter_record_batch;
use stagger_model::error::{Result, StaggerError};
use stagger_model::record_options::Keep;

use super::keys::{KeyMap, KeyPlaces};
use super::table::Table;
use super::{Output, TableStep};

/// The step.
pub(super) struct Dedupe {
    by: Vec<String>,
    keep: Keep,
}

impl Dedupe {
    pub(super) fn new(by: Vec<String>, keep: Keep) -> Self {
        Self { by, keep }
    }

    /// Returns the row that is kept of each key: its number, from 0.
    fn kept(&self, table: &Table, places: &KeyPlaces) -> Result<KeyMap<u64>> {
        let mut rows: KeyMap<u64> = KeyMap::default();
        let mut row = 0u64;
        let keep = self.keep;
        table.in_order(&mut |batch| {
            let keys = places.of(batch)?;
            for at in 0..batch.num_rows() {
                match rows.entry(keys.digest(at)) {
                    Entry::Vacant(slot) => {
                        slot.insert(row);
                    }
                    Entry::Occupied(mut known) => match keep {
                        Keep::First => {}
                        Keep::Last => {
                            known.insert(row);
                        }
                        Keep::Error => return Err(twice(&places.show(batch, at), *known.get(), row)),
                    },
                }
                row += 1;
            }
            Ok(())
        })?;
        Ok(rows)
    }
}

/// Returns the error for two rows with one key.
fn twice(key: &str, first: u64, second: u64) -> StaggerError {
    StaggerError::input(format!(
        "dedupe: rows {} and {} at this step have the same key: {key}",
        first + 1,
        second + 1
    ))
    .with_hint("--keep first or --keep last keeps one of them; --collapse makes one row of all")
}

impl TableStep for Dedupe {
    fn schema(&self, schema: &SchemaRef) -> Result<SchemaRef> {
        let places = KeyPlaces::find(schema, "dedupe", &self.by)?;
        places.of(&RecordBatch::new_empty(schema.clone()))?;
        Ok(schema.clone())
    }

    fn apply(&self, table: &Table, out: &mut Output<'_>) -> Result<Vec<String>> {
        let places = KeyPlaces::find(table.schema(), "dedupe", &self.by)?;
        let kept = self.kept(table, &places)?;
        let mut row = 0u64;
        table.in_order(&mut |batch| {
            let keys = places.of(batch)?;
            let own = |at: usize| kept.get(&keys.digest(at)) == Some(&(row + at as u64));
            let mask: BooleanArray = (0..batch.num_rows()).map(|at| Some(own(at))).collect();
            row += batch.num_rows() as u64;
            out(&filter_record_batch(batch, &mask)
                .map_err(|error| StaggerError::failed(format!("dedupe: {error}")))?)
        })?;
        Ok(Vec::new())
    }
}
