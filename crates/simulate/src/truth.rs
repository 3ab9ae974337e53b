//! The true effects, written beside the panel.

use std::collections::BTreeMap;
use std::iter;

use serde::Serialize;

use super::args::SimulateArgs;
use super::model::{Model, Unit, WEIGHT_UNIT};

/// Units and weights of every cohort as they were drawn; adding is exact, so the order of adding does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    cohorts: Vec<(u64, u64)>,
}

impl Tally {
    /// Counts a unit.
    pub(super) fn count(&mut self, unit: &Unit) {
        self.grow(unit.cohort + 1);
        let (units, weight) = &mut self.cohorts[unit.cohort];
        *units += 1;
        *weight += u64::from(unit.weight);
    }

    /// Adds the counts of other units.
    pub(super) fn add(&mut self, other: &Self) {
        self.grow(other.cohorts.len());
        for (mine, theirs) in self.cohorts.iter_mut().zip(&other.cohorts) {
            mine.0 += theirs.0;
            mine.1 += theirs.1;
        }
    }

    fn grow(&mut self, len: usize) {
        if self.cohorts.len() < len {
            self.cohorts.resize(len, (0, 0));
        }
    }
}

/// The content of `PATH.truth.json`. Cells and aggregations have the names and the order of `stagger run`'s result.
#[derive(Serialize)]
pub(super) struct Truth<'a> {
    group: Vec<i32>,
    time: Vec<i32>,
    att: Vec<f64>,
    aggte: Aggregations,
    cohorts: Cohorts,
    arguments: &'a SimulateArgs,
}

/// Averages over cells, weighted by the cohorts' shares of units.
#[derive(Serialize)]
struct Aggregations {
    simple: Overall,
    dynamic: Effects,
    group: Effects,
    calendar: Effects,
}

#[derive(Serialize)]
struct Overall {
    overall_att: f64,
}

#[derive(Serialize)]
struct Effects {
    overall_att: f64,
    egt: Vec<i32>,
    att_egt: Vec<f64>,
}

/// The units that were drawn and their weight, by cohort: 0 is never treated.
#[derive(Serialize)]
struct Cohorts {
    group: Vec<i32>,
    units: Vec<u64>,
    weight: Vec<f64>,
}

/// One cell of a cohort that has units.
struct Cell {
    group: i32,
    time: i32,
    treated: bool,
    att: f64,
    units: f64,
}

impl<'a> Truth<'a> {
    /// The true effects, for the cohorts that have units.
    pub(super) fn new(args: &'a SimulateArgs, model: &Model, tally: &Tally) -> Self {
        let drawn = || (0..).zip(&tally.cohorts).filter(|(_, (units, _))| *units > 0);
        let cells: Vec<Cell> = drawn()
            .filter(|(cohort, _)| *cohort > 0)
            .flat_map(|(cohort, (units, _))| {
                (1..model.periods()).map(move |period| Cell {
                    group: model.group(cohort),
                    time: model.time(period),
                    treated: period >= model.start(cohort),
                    att: model.att(cohort, period),
                    units: *units as f64,
                })
            })
            .collect();
        let treated: Vec<&Cell> = cells.iter().filter(|cell| cell.treated).collect();
        let exposure = Effects::by(cells.iter(), |cell| cell.time - cell.group);
        let after: Vec<f64> =
            iter::zip(&exposure.egt, &exposure.att_egt).filter(|(e, _)| **e >= 0).map(|(_, a)| *a).collect();
        let cohort = Effects::by(treated.iter().copied(), |cell| cell.group);
        let calendar = Effects::by(treated.iter().copied(), |cell| cell.time);
        let sizes: Vec<f64> =
            drawn().filter(|(cohort, _)| *cohort > 0).map(|(_, (units, _))| *units as f64).collect();
        Self {
            group: cells.iter().map(|cell| cell.group).collect(),
            time: cells.iter().map(|cell| cell.time).collect(),
            att: cells.iter().map(|cell| cell.att).collect(),
            aggte: Aggregations {
                simple: Overall { overall_att: mean(treated.iter().map(|cell| (cell.att, cell.units))) },
                dynamic: Effects { overall_att: mean(after.iter().map(|att| (*att, 1.0))), ..exposure },
                group: Effects {
                    overall_att: mean(iter::zip(cohort.att_egt.iter().copied(), sizes)),
                    ..cohort
                },
                calendar: Effects {
                    overall_att: mean(calendar.att_egt.iter().map(|att| (*att, 1.0))),
                    ..calendar
                },
            },
            cohorts: Cohorts {
                group: drawn().map(|(cohort, _)| model.group(cohort)).collect(),
                units: drawn().map(|(_, (units, _))| *units).collect(),
                weight: drawn().map(|(_, (_, weight))| *weight as f64 * WEIGHT_UNIT).collect(),
            },
            arguments: args,
        }
    }
}

impl Effects {
    /// Averages the cells of each key; `overall_att` is left to the caller.
    fn by<'a>(cells: impl Iterator<Item = &'a Cell>, key: impl Fn(&Cell) -> i32) -> Self {
        let mut sums: BTreeMap<i32, (f64, f64)> = BTreeMap::new();
        for cell in cells {
            let (sum, weight) = sums.entry(key(cell)).or_default();
            *sum += cell.att * cell.units;
            *weight += cell.units;
        }
        let (egt, att_egt) = sums.into_iter().map(|(e, (sum, weight))| (e, sum / weight)).unzip();
        Self { overall_att: 0.0, egt, att_egt }
    }
}

/// Weighted mean of (value, weight); 0 of nothing.
fn mean(values: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (sum, weight) = values.fold((0.0, 0.0), |(sum, weight), (value, w)| (sum + value * w, weight + w));
    if weight > 0.0 { sum / weight } else { 0.0 }
}
