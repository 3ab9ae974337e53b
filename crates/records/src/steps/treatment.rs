//! `--treatname`: a 0/1 treatment by unit and period becomes the cohort, the first treated period of the unit.

use std::collections::hash_map::Entry;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, SchemaRef};
use stagger_model::error::{Result, StaggerError};
use stagger_model::record_options::TreatmentStep;

use super::keys::{KeyMap, KeyPlaces, show};
use super::periods::{Period, Periods};
use super::table::Table;
use super::{Output, TableStep, place, put_column, with_column};
use crate::expression::Values;

/// The periods of a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Unit {
    first: Option<Period>,
    first_on: Option<Period>,
    last_off: Option<Period>,
}

impl Unit {
    fn add(&mut self, period: Period, treated: bool) {
        if self.first.as_ref().is_none_or(|known| period < *known) {
            self.first = Some(period.clone());
        }
        match treated {
            true if self.first_on.as_ref().is_none_or(|known| period < *known) => {
                self.first_on = Some(period)
            }
            false if self.last_off.as_ref().is_none_or(|known| period > *known) => {
                self.last_off = Some(period)
            }
            _ => {}
        }
    }

    fn merge(&mut self, other: Self) {
        for (period, treated) in [(other.first_on, true), (other.last_off, false)] {
            if let Some(period) = period {
                self.add(period, treated);
            }
        }
    }

    /// Returns `true` if the unit is untreated after a treated period.
    fn switches_off(&self) -> bool {
        matches!((&self.first_on, &self.last_off), (Some(on), Some(off)) if off > on)
    }
}

/// The units, and the rows whose treatment is missing.
#[derive(Default)]
struct Units {
    units: KeyMap<Unit>,
    missing: u64,
}

/// The step.
pub(super) struct Treatment {
    names: TreatmentStep,
}

/// The places of the columns.
struct Places {
    treatment: usize,
    time: usize,
    id: KeyPlaces,
}

impl Treatment {
    pub(super) fn new(names: TreatmentStep) -> Self {
        Self { names }
    }

    fn places(&self, schema: &SchemaRef) -> Result<Places> {
        Ok(Places {
            treatment: place(schema, "treatname", &self.names.column)?,
            time: place(schema, "tname", &self.names.time)?,
            id: KeyPlaces::find(schema, "idname", std::slice::from_ref(&self.names.id))?,
        })
    }

    fn collect(&self, units: &mut Units, places: &Places, batch: &RecordBatch) -> Result<()> {
        let treated = treated(batch, places.treatment)?;
        let periods = Periods::of(batch, places.time)?;
        let ids = places.id.of(batch)?;
        for (row, treated) in treated.into_iter().enumerate() {
            let (Some(period), Some(treated)) = (periods.get(row)?, treated) else {
                units.missing += u64::from(treated.is_none());
                continue;
            };
            units.units.entry(ids.digest(row)).or_default().add(period, treated);
        }
        Ok(())
    }

    /// Finds a unit whose treatment switches off, for the message.
    fn refuse(&self, table: &Table, places: &Places, units: &KeyMap<Unit>) -> Result<()> {
        let mut found: Option<StaggerError> = None;
        table.in_order(&mut |batch| {
            let (ids, periods) = (places.id.of(batch)?, Periods::of(batch, places.time)?);
            for row in 0..batch.num_rows() {
                let unit = units.get(&ids.digest(row)).filter(|unit| unit.switches_off());
                if let (Some(Unit { first_on: Some(on), last_off: Some(off), .. }), None) = (unit, &found) {
                    found = Some(self.switched(
                        &places.id.show(batch, row),
                        &periods.show(on),
                        &periods.show(off),
                    ));
                }
            }
            Ok(())
        })?;
        found.map_or(Ok(()), Err)
    }

    fn switched(&self, unit: &str, on: &str, off: &str) -> StaggerError {
        StaggerError::input(format!(
            "treatname: the treatment `{}` switches off: {unit} is treated in {on} and untreated in {off}",
            self.names.column
        ))
        .with_hint("--absorbing takes units as treated from their first treated period on")
    }

    /// Returns the notes on units that the step decided about.
    fn notes(&self, units: &Units) -> Vec<String> {
        let count = |test: &dyn Fn(&Unit) -> bool| units.units.values().filter(|unit| test(unit)).count();
        let all = units.units.values().filter_map(|unit| unit.first.as_ref()).min();
        let late =
            |unit: &Unit| unit.first_on.is_some() && unit.first_on == unit.first && unit.first.as_ref() > all;
        let name = &self.names.column;
        let mut notes = Vec::new();
        if self.names.absorbing {
            let changed = count(&Unit::switches_off);
            notes.push(format!(
                "--absorbing changed {changed} of {} units, whose `{name}` switches off",
                units.units.len()
            ));
        }
        match count(&late) {
            0 => {}
            late => notes.push(format!(
                "{late} units are treated in their first row, after the first period of the data: their cohort may be earlier"
            )),
        }
        if units.missing > 0 {
            notes.push(format!("`{name}` is missing in {} rows, which decide nothing", units.missing));
        }
        notes
    }
}

/// Returns the treatment of each row.
fn treated(batch: &RecordBatch, place: usize) -> Result<Vec<Option<bool>>> {
    let column = batch.column(place);
    let wrong = |row: Option<usize>| {
        let name = batch.schema().field(place).name().clone();
        let what = row.map_or_else(
            || format!("has type {}", column.data_type()),
            |row| format!("holds `{}`", show(column, row)),
        );
        StaggerError::input(format!("treatname: column `{name}` {what}, where a treatment is 0 or 1"))
            .with_hint(format!("make it so: --let '{name} = as.integer({name} > 0)'"))
    };
    let values = Values::of(column).ok_or_else(|| wrong(None))?;
    if let Values::Text(texts) = &values {
        let word = |(row, text): (usize, Option<&str>)| match text.map(str::trim) {
            None | Some("" | "NA") => Ok(None),
            Some("1" | "TRUE" | "true" | "True" | "T") => Ok(Some(true)),
            Some("0" | "FALSE" | "false" | "False" | "F") => Ok(Some(false)),
            Some(_) => Err(wrong(Some(row))),
        };
        return texts.iter().enumerate().map(word).collect();
    }
    let numbers = values.numbers().ok_or_else(|| wrong(None))?;
    let one = |(row, value): (usize, f64)| match value {
        v if v.is_nan() => Ok(None),
        1.0 => Ok(Some(true)),
        0.0 => Ok(Some(false)),
        _ => Err(wrong(Some(row))),
    };
    numbers.into_iter().enumerate().map(one).collect()
}

impl TableStep for Treatment {
    fn schema(&self, schema: &SchemaRef) -> Result<SchemaRef> {
        let places = self.places(schema)?;
        let batch = RecordBatch::new_empty(schema.clone());
        let column: DataType = Periods::of(&batch, places.time)?.column(&[]).data_type().clone();
        Ok(with_column(schema, &self.names.cohort, column))
    }

    fn apply(&self, table: &Table, out: &mut Output<'_>) -> Result<Vec<String>> {
        let places = self.places(table.schema())?;
        let states = table.fold(Units::default, |units, batch| self.collect(units, &places, batch))?;
        let mut units = Units::default();
        for state in states {
            units.missing += state.missing;
            for (id, unit) in state.units {
                match units.units.entry(id) {
                    Entry::Vacant(slot) => {
                        slot.insert(unit);
                    }
                    Entry::Occupied(mut known) => known.get_mut().merge(unit),
                }
            }
        }
        if !self.names.absorbing && units.units.values().any(Unit::switches_off) {
            self.refuse(table, &places, &units.units)?;
        }
        table.in_order(&mut |batch| {
            let (ids, periods) = (places.id.of(batch)?, Periods::of(batch, places.time)?);
            let cohort = |row| units.units.get(&ids.digest(row)).and_then(|unit| unit.first_on.clone());
            let cohorts: Vec<Option<Period>> = (0..batch.num_rows()).map(cohort).collect();
            out(&put_column(batch, &self.names.cohort, periods.column(&cohorts))?)
        })?;
        Ok(self.notes(&units))
    }
}
