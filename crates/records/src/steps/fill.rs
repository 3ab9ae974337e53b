//! `--fill`: a row for every absent pair of a unit and a period, in which a missing record means a value such as 0.

use std::collections::BTreeSet;

use arrow_array::{ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow_schema::SchemaRef;
use arrow_select::concat::concat;
use arrow_select::take::take;
use stagger_model::error::{Result, StaggerError};

use super::keys::{KeyMap, KeyPlaces, encode};
use super::periods::{Period, Periods};
use super::table::Table;
use super::{Output, TableStep, new_batch, place};
use crate::expression::{Expression, no_rows};

/// The step: constants by column, and the columns of unit and period.
pub(super) struct Fill {
    values: Vec<(String, Expression)>,
    id: String,
    time: String,
}

/// A unit's rows.
struct Unit {
    /// The number of its first row.
    first_row: u64,
    /// The digests of its columns' values in that row.
    values: Box<[u64]>,
    /// `true` for each column that has the same value in all rows.
    constant: Box<[bool]>,
    /// The places of its periods among all, as bits.
    periods: Vec<u64>,
}

/// The places of the columns.
struct Places {
    id: KeyPlaces,
    time: usize,
    /// The constant of each column that has one.
    constants: Vec<Option<ArrayRef>>,
}

impl Fill {
    pub(super) fn new(values: Vec<(String, Expression)>, id: String, time: String) -> Self {
        Self { values, id, time }
    }

    fn places(&self, schema: &SchemaRef) -> Result<Places> {
        let mut constants = vec![None; schema.fields().len()];
        for (name, expression) in &self.values {
            let at = place(schema, "fill", name)?;
            let empty = RecordBatch::new_empty(std::sync::Arc::new(arrow_schema::Schema::empty()));
            // A constant is known without any column.
            expression.array(&empty).map_err(|error| error.in_context("fill"))?;
            constants[at] = Some(self.constant(schema, at, name, expression)?);
        }
        Ok(Places {
            id: KeyPlaces::find(schema, "idname", std::slice::from_ref(&self.id))?,
            time: place(schema, "tname", &self.time)?,
            constants,
        })
    }

    /// Returns a constant in the type of its column.
    fn constant(
        &self,
        schema: &SchemaRef,
        at: usize,
        name: &str,
        expression: &Expression,
    ) -> Result<ArrayRef> {
        let wanted = schema.field(at).data_type();
        let one = RecordBatch::try_new(
            std::sync::Arc::new(arrow_schema::Schema::new(vec![arrow_schema::Field::new(
                "",
                arrow_schema::DataType::Null,
                true,
            )])),
            vec![new_null_array(&arrow_schema::DataType::Null, 1)],
        );
        let one = one.map_err(|error| StaggerError::failed(format!("fill: {error}")))?;
        let array = expression.array(&one).map_err(|error| error.in_context("fill"))?;
        super::cast::cast(&array, wanted).ok_or_else(|| {
            StaggerError::input(format!(
                "fill: column `{name}` has type {wanted}, which does not hold {}",
                expression.text()
            ))
            .with_hint("give a value of the column's type: text in quotes, numbers without")
        })
    }

    /// Reads all rows: the periods of the data, and the rows of each unit.
    fn units(&self, table: &Table, places: &Places) -> Result<(Vec<Period>, KeyMap<Unit>)> {
        let mut all: BTreeSet<Period> = BTreeSet::new();
        for own in table.fold(BTreeSet::new, |own: &mut BTreeSet<Period>, batch| {
            let periods = Periods::of(batch, places.time)?;
            for row in 0..batch.num_rows() {
                own.extend(periods.get(row)?);
            }
            Ok(())
        })? {
            all.extend(own);
        }
        let all: Vec<Period> = all.into_iter().collect();
        let mut units: KeyMap<Unit> = KeyMap::default();
        let mut row = 0u64;
        table.in_order(&mut |batch| {
            let (ids, periods) = (places.id.of(batch)?, Periods::of(batch, places.time)?);
            let digests = batch.columns().iter().map(digests).collect::<Result<Vec<_>>>()?;
            for at in 0..batch.num_rows() {
                let own: Box<[u64]> = digests.iter().map(|column| column[at]).collect();
                let unit = units.entry(ids.digest(at)).or_insert_with(|| Unit {
                    first_row: row,
                    constant: vec![true; own.len()].into(),
                    values: own.clone(),
                    periods: vec![0; all.len().div_ceil(64)],
                });
                unit.add(&own);
                if let Some(period) = periods.get(at)?
                    && let Ok(bit) = all.binary_search(&period)
                {
                    unit.periods[bit / 64] |= 1 << (bit % 64);
                }
                row += 1;
            }
            Ok(())
        })?;
        Ok((all, units))
    }
}

impl Unit {
    fn add(&mut self, values: &[u64]) {
        for ((constant, known), value) in self.constant.iter_mut().zip(&self.values).zip(values) {
            *constant &= known == value;
        }
    }

    /// Returns the periods that the unit lacks.
    fn absent<'a>(&'a self, all: &'a [Period]) -> impl Iterator<Item = &'a Period> {
        all.iter()
            .enumerate()
            .filter(|(bit, _)| self.periods[bit / 64] >> (bit % 64) & 1 == 0)
            .map(|(_, period)| period)
    }
}

/// Returns a digest of each value of a column.
fn digests(array: &ArrayRef) -> Result<Vec<u64>> {
    let keys = encode(array)?;
    Ok((0..array.len()).map(|row| keys.digest(row) as u64).collect())
}

/// The rows that are added behind a batch.
struct Added {
    /// The row of the batch that each is like.
    like: Vec<u32>,
    /// For each column and added row, `true` if it takes the value of that row.
    constant: Vec<Vec<bool>>,
    periods: Vec<Option<Period>>,
}

impl Fill {
    /// Returns the rows to add for the units whose first row is in a batch that starts at `row`.
    fn added(
        &self,
        batch: &RecordBatch,
        row: u64,
        places: &Places,
        all: &[Period],
        units: &KeyMap<Unit>,
    ) -> Result<Added> {
        let ids = places.id.of(batch)?;
        let mut added =
            Added { like: Vec::new(), constant: vec![Vec::new(); batch.num_columns()], periods: Vec::new() };
        for at in 0..batch.num_rows() {
            let Some(unit) = units.get(&ids.digest(at)).filter(|unit| unit.first_row == row + at as u64)
            else {
                continue;
            };
            for period in unit.absent(all) {
                added.like.push(at as u32);
                added.periods.push(Some(period.clone()));
                added.constant.iter_mut().zip(&unit.constant).for_each(|(column, own)| column.push(*own));
            }
        }
        Ok(added)
    }

    fn rows(&self, batch: &RecordBatch, places: &Places, added: &Added) -> Result<RecordBatch> {
        let failed = |error: arrow_schema::ArrowError| StaggerError::failed(format!("fill: {error}"));
        let count = added.like.len();
        let mut columns = Vec::with_capacity(batch.num_columns());
        for (at, column) in batch.columns().iter().enumerate() {
            columns.push(if at == places.time {
                let periods = Periods::of(batch, at)?.column(&added.periods);
                super::cast::cast(&periods, column.data_type())
                    .ok_or_else(|| StaggerError::failed("fill: a period has another type than its column"))?
            } else if let Some(constant) = &places.constants[at] {
                take(constant, &UInt32Array::from(vec![0; count]), None).map_err(failed)?
            } else {
                let like = added.like.iter().zip(&added.constant[at]);
                let rows: UInt32Array = like.map(|(row, constant)| constant.then_some(*row)).collect();
                take(column, &rows, None).map_err(failed)?
            });
        }
        new_batch(batch.schema(), columns, count)
    }
}

impl TableStep for Fill {
    fn schema(&self, schema: &SchemaRef) -> Result<SchemaRef> {
        let places = self.places(schema)?;
        Periods::of(&no_rows(schema), places.time)?;
        Ok(schema.clone())
    }

    fn apply(&self, table: &Table, out: &mut Output<'_>) -> Result<Vec<String>> {
        let places = self.places(table.schema())?;
        let (all, units) = self.units(table, &places)?;
        let (mut row, mut made) = (0u64, 0u64);
        table.in_order(&mut |batch| {
            let added = self.added(batch, row, &places, &all, &units)?;
            row += batch.num_rows() as u64;
            if added.like.is_empty() {
                return out(batch);
            }
            made += added.like.len() as u64;
            let rows = self.rows(batch, &places, &added)?;
            let both = batch.columns().iter().zip(rows.columns());
            let columns = both
                .map(|(a, b)| concat(&[a.as_ref(), b.as_ref()]))
                .collect::<std::result::Result<Vec<_>, _>>();
            let columns = columns.map_err(|error| StaggerError::failed(format!("fill: {error}")))?;
            out(&new_batch(batch.schema(), columns, batch.num_rows() + rows.num_rows())?)
        })?;
        Ok(vec![format!(
            "{made} absent pairs of unit and period, of {} units and {} periods",
            units.len(),
            all.len()
        )])
    }
}
