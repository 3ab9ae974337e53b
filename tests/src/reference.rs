//! Estimates without covariates by plain loops over rows, written from the formulas alone.
//!
//! With X = 1 the outcome regressions are means, the propensity score is a share, and all methods coincide. The
//! formulas for cross sections (FORMULAS §3.4) then are signed sums of weighted means of groups of rows,
//! ATT = Σ ±ȳ_s, with the influence ±n·w(y − ȳ_s)/Σ_s w of a row in group s: the shares N/N_j and n/N of §3.5 and §7.1
//! cancel. A balanced panel with weights that are constant in time has the same numbers, summed by unit.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use serde_json::Value;
use stagger_test_support::tables::numbers;

use crate::compare::{assert_close, floats};
use crate::tolerance::CLOSED_FORM;

/// Rows and what is to be estimated from them.
#[derive(Clone, Debug)]
pub struct Sample {
    y: Vec<f64>,
    time: Vec<f64>,
    group: Vec<f64>,
    eligible: Option<Vec<f64>>,
    weight: Vec<f64>,
    key: Vec<f64>,
    universal: bool,
    notyettreated: bool,
}

/// An estimate and its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// ATT.
    pub att: f64,
    /// √Σ S², S the sums of influence/n over the rows of one key; NaN in a base cell.
    pub se: f64,
}

impl Sample {
    /// Rows of one weight, each a unit of its own. `gname` 0 is never treated.
    pub fn new(table: &RecordBatch, yname: &str, tname: &str, gname: &str) -> Self {
        let rows = table.num_rows();
        Self {
            y: numbers(table, yname),
            time: numbers(table, tname),
            group: numbers(table, gname),
            eligible: None,
            weight: vec![1.0; rows],
            key: (0..rows).map(|row| row as f64).collect(),
            universal: false,
            notyettreated: false,
        }
    }

    /// Triple differences, by this column of zeros and ones.
    pub fn eligible(mut self, table: &RecordBatch, pname: &str) -> Self {
        self.eligible = Some(numbers(table, pname));
        self
    }

    /// Each row with the weight in this column.
    pub fn weighted(mut self, table: &RecordBatch, weightsname: &str) -> Self {
        self.weight = numbers(table, weightsname);
        self
    }

    /// Influence is summed over the rows that have one value in this column: a unit or a cluster.
    pub fn summed_by(mut self, table: &RecordBatch, name: &str) -> Self {
        self.key = numbers(table, name);
        self
    }

    /// With the base period and the controls that the options name; R `did`'s where they name none.
    pub fn designed(mut self, options: &str) -> Self {
        self.universal = options.contains("universal");
        self.notyettreated = options.contains("notyettreated");
        self
    }

    /// ATT(g, t), NaN as standard error of the base cell.
    pub fn cell(&self, group: f64, time: f64) -> Estimate {
        let base = self.base(group, time);
        if base == time {
            return Estimate { att: 0.0, se: f64::NAN };
        }
        self.contrast(group, time, base)
    }

    /// The effect on a cohort between two periods.
    pub fn contrast(&self, group: f64, time: f64, base: f64) -> Estimate {
        let places: Vec<Option<Place>> =
            (0..self.y.len()).map(|row| self.place(row, group, time, base)).collect();
        let (mut weights, mut sums) = ([0.0; 8], [0.0; 8]);
        for (row, place) in places.iter().enumerate() {
            if let Some(place) = place {
                weights[place.index()] += self.weight[row];
                sums[place.index()] += self.weight[row] * self.y[row];
            }
        }
        let (mut att, mut seen) = (0.0, [false; 8]);
        let mut influence: BTreeMap<u64, f64> = BTreeMap::new();
        for (row, place) in places.iter().enumerate() {
            let Some(place) = place else { continue };
            let index = place.index();
            let mean = sums[index] / weights[index];
            if !seen[index] {
                seen[index] = true;
                att += place.sign(self.eligible.is_some()) * mean;
            }
            let share = self.weight[row] * (self.y[row] - mean) / weights[index];
            *influence.entry(self.key[row].to_bits()).or_default() +=
                place.sign(self.eligible.is_some()) * share;
        }
        Estimate { att, se: influence.values().map(|sum| sum * sum).sum::<f64>().sqrt() }
    }

    /// Base period of a cell (FORMULAS §2.1, without anticipation).
    fn base(&self, group: f64, time: f64) -> f64 {
        let before = if self.universal || time >= group { group } else { time };
        self.time.iter().copied().filter(|t| *t < before).fold(f64::NEG_INFINITY, f64::max)
    }

    /// Where a row stands in a cell, if it has a part in it (FORMULAS §2.2).
    fn place(&self, row: usize, group: f64, time: f64, base: f64) -> Option<Place> {
        let (g, t) = (self.group[row], self.time[row]);
        let later = self.notyettreated && g > time.max(base);
        let treated = g == group;
        let used = treated || g == 0.0 || later;
        let eligible = self.eligible.as_ref().is_none_or(|eligible| eligible[row] == 1.0);
        (used && (t == time || t == base)).then_some(Place { treated, eligible, post: t == time })
    }

    /// Every cell of a result has these numbers.
    #[track_caller]
    pub fn assert_cells(&self, what: &str, result: &Value) {
        let cells = &result["att_gt"];
        let (groups, times) = (floats(&cells["group"]), floats(&cells["time"]));
        let (att, se) = (floats(&cells["att"]), floats(&cells["se"]));
        assert!(!att.is_empty(), "{what}: no cells");
        for i in 0..att.len() {
            let expected = self.cell(groups[i], times[i]);
            let place = format!("{what} ({}, {})", groups[i], times[i]);
            let scale = if expected.se.is_nan() { 0.0 } else { expected.se };
            assert_close(&format!("{place} att"), att[i], expected.att, CLOSED_FORM, scale);
            assert_close(&format!("{place} se"), se[i], expected.se, CLOSED_FORM, 0.0);
        }
    }
}

/// One of the groups of rows whose means are compared.
#[derive(Clone, Copy, Debug)]
struct Place {
    treated: bool,
    eligible: bool,
    post: bool,
}

impl Place {
    fn index(self) -> usize {
        usize::from(self.treated) + 2 * usize::from(self.eligible) + 4 * usize::from(self.post)
    }

    /// Plus for the treated after treatment; every difference that is taken turns the sign.
    fn sign(self, triple: bool) -> f64 {
        let turns = [!self.treated, !self.post, triple && !self.eligible];
        turns.into_iter().filter(|turn| *turn).fold(1.0, |sign, _| -sign)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use stagger_test_support::tables::{floats as number_column, ints, read_parquet, table};

    use super::*;
    use crate::golden::case;

    #[test]
    fn four_means() {
        let rows = table(vec![
            ("id", ints([1, 1, 2, 2, 3, 3])),
            ("time", ints([1, 2, 1, 2, 1, 2])),
            ("group", ints([2, 2, 0, 0, 0, 0])),
            ("y", number_column([1.0, 5.0, 1.0, 2.0, 1.0, 4.0])),
        ]);
        let by_row = Sample::new(&rows, "y", "time", "group").cell(2.0, 2.0);
        // 4 − (1 + 3)/2; the influences are ∓1/2 of the last period's controls.
        assert_eq!(by_row, Estimate { att: 2.0, se: 0.5_f64.sqrt() });
        let by_unit = Sample::new(&rows, "y", "time", "group").summed_by(&rows, "id").cell(2.0, 2.0);
        assert_eq!(by_unit, by_row);
    }

    /// R's own numbers, so that what these loops are compared with is compared with the right thing.
    #[test]
    fn plain_loops_are_r() {
        for (name, pname, key) in [
            ("panel_unbal:att_unbrc_dr_nyt_uni_a0_x0", None, None),
            ("rc_w:att_rc_dr_nyt_var_a0_x0", None, None),
            ("ddd_w:ddd_mp_clus_noboot", Some("partition"), Some("state")),
        ] {
            let case = case(name);
            let table = read_parquet(&case.data);
            let mut sample = Sample::new(&table, "y", "time", "group").designed(&case.options().join(" "));
            sample = pname.map_or(sample.clone(), |pname| sample.eligible(&table, pname));
            sample = key.map_or(sample.clone(), |key| sample.summed_by(&table, key));
            let r = &case.result;
            let cells = json!({"group": r["groups"], "time": r["times"], "att": r["att"], "se": r["se"]});
            sample.assert_cells(name, &json!({ "att_gt": cells }));
        }
    }

    #[test]
    fn signs_of_triple_differences() {
        let sign = |treated, eligible, post| Place { treated, eligible, post }.sign(true);
        assert_eq!(sign(true, true, true), 1.0);
        assert_eq!(sign(false, false, true), 1.0);
        assert_eq!(sign(false, false, false), -1.0);
        assert_eq!(sign(true, false, true), -1.0);
    }
}
