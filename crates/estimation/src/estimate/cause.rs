//! Cause of a comparison that can't be estimated, found in the cross products of its arms: a column that is constant or
//! repeats others, or an arm with too few rows.
//!
//! The guards of FORMULAS §2.4 report a singular system or scores near 1; this module looks for the reason in the data.

use std::borrow::Cow;

use stagger_estimator::comparison::{Comparison, RowModel};
use stagger_estimator::label::label;
use stagger_estimator::linear::{Standardization, leading};
use stagger_estimator::outcome::GramSums;

use super::fit::{GramFits, set_sums, stratum_sums};
use crate::plan::Plan;

/// Largest variance of a column, relative to its mean square, that counts as rounding.
const CONSTANT: f64 = 1e-12;
/// Largest squared part of a column beyond the others, relative to the column, that counts as rounding.
const DEPENDENT: f64 = 1e-12;
/// Largest coefficient of a dependent column that counts as rounding.
const NO_PART: f64 = 1e-6;

/// Returns the cause of a failure in place of its symptom, where one is found; other reasons stay as they are.
pub(super) fn cause(
    plan: &Plan,
    fits: &GramFits,
    comparison: usize,
    reason: Cow<'static, str>,
) -> Cow<'static, str> {
    let overlap = reason.starts_with("overlap") || reason.contains("separate");
    let singular = reason.contains("singular") || reason.contains("collinear");
    if !(overlap || singular) || plan.regressor_count() < 2 {
        return reason;
    }
    let arms = Arms::new(plan, fits, &plan.comparisons.comparisons[comparison]);
    let found = match overlap {
        true => arms.few_controls().or_else(|| arms.same_controls().map(|c| format!("{reason}: {c}"))),
        false => arms.singular(),
    };
    found.map_or(reason, Cow::Owned)
}

/// Cross products of the two arms of a comparison, by its sides.
struct Arms<'a> {
    plan: &'a Plan,
    comparison: &'a Comparison,
    sample: Option<GramSums>,
    treated: Vec<GramSums>,
    controls: Vec<GramSums>,
}

impl<'a> Arms<'a> {
    fn new(plan: &'a Plan, fits: &GramFits, comparison: &'a Comparison) -> Self {
        let of = |sums: &dyn Fn(usize) -> Option<GramSums>| -> Vec<GramSums> {
            comparison.sides.iter().filter_map(|side| sums(side.frame)).collect()
        };
        Self {
            plan,
            comparison,
            sample: total((0..plan.sums.gram_keys.len()).map(|key| fits.gram.key(key))),
            treated: of(&|frame| stratum_sums(plan, &fits.gram, comparison.treated, frame)),
            controls: of(&|frame| set_sums(plan, &fits.gram, comparison.controls, frame)),
        }
    }

    /// Reports fewer controls than columns; where each row has one period, of the controls in a period.
    fn few_controls(&self) -> Option<String> {
        let columns = self.plan.regressor_count();
        let least = self.controls.iter().map(|sums| self.rows(sums)).min_by(f64::total_cmp)?;
        let what = if self.levels() { "rows of controls in a period" } else { "controls" };
        (least < columns as f64).then(|| format!("{least} {what} for {columns} columns"))
    }

    /// Reports fewer treated than columns, where the treated have a regression of their own.
    fn few_treated(&self) -> Option<String> {
        self.comparison.sides.iter().find(|side| side.treated_fit.is_some())?;
        let columns = self.plan.regressor_count();
        let least = |arm: &[GramSums]| arm.iter().map(|sums| self.rows(sums)).min_by(f64::total_cmp);
        let (treated, controls) = (least(&self.treated)?, least(&self.controls)?);
        let cohort = label(self.plan.sample.strata[self.comparison.treated].cohort);
        let rows = if treated == 1.0 { "row" } else { "rows" };
        (treated < columns as f64).then(|| {
            format!(
                "the treated are too few: cohort {cohort} has {treated} {rows} in a period for {columns} columns \
                 (controls: {controls})"
            )
        })
    }

    /// Reports columns that are the same for all controls while the treated have other values.
    fn same_controls(&self) -> Option<String> {
        let (controls, treated) =
            (total(self.controls.iter().cloned())?, total(self.treated.iter().cloned())?);
        let named: Vec<String> = self
            .columns()
            .filter(|&j| self.constant(&controls, j).is_some() && !self.alike(&controls, &treated, j))
            .map(|j| self.constant_phrase(&controls, j))
            .collect();
        (!named.is_empty()).then(|| format!("{} for all controls", named.join(", ")))
    }

    fn alike(&self, controls: &GramSums, treated: &GramSums, j: usize) -> bool {
        match (self.constant(controls, j), self.constant(treated, j)) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * (a.abs() + b.abs()),
            _ => false,
        }
    }

    fn singular(&self) -> Option<String> {
        let controls = total(self.controls.iter().cloned());
        let treated = total(self.treated.iter().cloned());
        let pooled = total(controls.iter().chain(&treated).cloned());
        let (units, of_controls, of_treated) = match self.levels() {
            true => ("every row", "all rows of the controls", "all rows of the treated"),
            false => ("every unit", "all controls", "all treated"),
        };
        self.found(self.sample.as_ref(), units)
            .or_else(|| self.found(pooled.as_ref(), "all treated and controls of the cell"))
            .or_else(|| self.few_controls())
            .or_else(|| self.controls.iter().find_map(|sums| self.found(Some(sums), of_controls)))
            .or_else(|| self.few_treated())
            .or_else(|| {
                let fitted = self.comparison.sides.iter().any(|side| side.treated_fit.is_some());
                self.treated.iter().filter(|_| fitted).find_map(|sums| self.found(Some(sums), of_treated))
            })
    }

    /// Reports the columns that are constant among some rows, or else one that is a combination of others.
    fn found(&self, sums: Option<&GramSums>, whom: &str) -> Option<String> {
        let sums = sums?;
        if self.rows(sums) < 2.0 {
            return None;
        }
        let constant: Vec<String> =
            self.columns().filter(|&j| self.spoils(sums, j)).map(|j| self.constant_phrase(sums, j)).collect();
        if !constant.is_empty() {
            let noun = if constant.len() == 1 { "column" } else { "columns" };
            return Some(format!("{noun} {} for {whom}", constant.join(", ")));
        }
        if self.rows(sums) < self.plan.regressor_count() as f64 {
            return None;
        }
        self.dependent(sums).map(|phrase| format!("{phrase} for {whom}"))
    }

    /// Tells if a column makes the system singular: a constant one repeats the intercept; without an intercept a column
    /// of zeros does.
    fn spoils(&self, sums: &GramSums, j: usize) -> bool {
        let constant = self.constant(sums, j);
        if self.plan.regression.standardization.intercept.is_some() {
            constant.is_some()
        } else {
            constant == Some(0.0)
        }
    }

    /// Reports a column that is a combination of the columns before it, with their names.
    fn dependent(&self, sums: &GramSums) -> Option<String> {
        let k = self.plan.regressor_count();
        let gram =
            raw(&leading(&sums.unweighted, sums.shape.columns, k), k, &self.plan.regression.standardization);
        let (column, parts) = combination(&gram, k, self.plan.regression.standardization.intercept)?;
        let intercept = self.plan.regression.standardization.intercept;
        let named: Vec<String> =
            parts.iter().filter(|j| Some(**j) != intercept).map(|&j| self.name(j)).collect();
        let own = self.name(column);
        Some(match named.as_slice() {
            [] => format!("column {own} is constant"),
            [one] => format!("column {own} repeats {one}"),
            several => format!("column {own} is a combination of {}", several.join(", ")),
        })
    }

    fn constant_phrase(&self, sums: &GramSums, j: usize) -> String {
        format!("{} is {}", self.name(j), label(self.constant(sums, j).unwrap_or(f64::NAN)))
    }

    /// Returns the value of a column that is the same in all rows.
    fn constant(&self, sums: &GramSums, j: usize) -> Option<f64> {
        let (columns, ones) = (sums.shape.columns, self.plan.ones_column());
        let rows = self.rows(sums);
        let (mean, square) =
            (sums.unweighted[ones * columns + j] / rows, sums.unweighted[j * columns + j] / rows);
        let Standardization { center, scale, .. } = &self.plan.regression.standardization;
        let constant = rows >= 1.0 && square - mean * mean <= CONSTANT * square;
        let value = center[j] + scale[j] * mean;
        // A difference of two numbers that cancel leaves rounding.
        let noise = 1e-9 * (center[j].abs() + (scale[j] * mean).abs());
        constant.then(|| if value.abs() <= noise { 0.0 } else { value })
    }

    fn rows(&self, sums: &GramSums) -> f64 {
        let ones = self.plan.ones_column();
        sums.unweighted[ones * sums.shape.columns + ones]
    }

    fn levels(&self) -> bool {
        self.plan.model != RowModel::Differences
    }

    fn columns(&self) -> impl Iterator<Item = usize> {
        let intercept = self.plan.regression.standardization.intercept;
        (0..self.plan.regressor_count()).filter(move |j| Some(*j) != intercept)
    }

    fn name(&self, j: usize) -> String {
        format!("`{}`", self.plan.regression.design.columns[j].name)
    }
}

fn total(all: impl Iterator<Item = GramSums>) -> Option<GramSums> {
    all.reduce(|mut sum, next| {
        sum.add(&next);
        sum
    })
}

/// XᵀX of the columns before standardization, each divided by its length.
fn raw(gram: &[f64], k: usize, standardization: &Standardization) -> Vec<f64> {
    let raw = standardization.raw_gram(gram, k);
    let length = |j: usize| raw[(j, j)].sqrt();
    (0..k * k).map(|at| raw[(at / k, at % k)] / (length(at / k) * length(at % k))).collect()
}

/// Finds the first column that is a combination of columns before it, with these columns; the intercept comes before
/// all others. `gram` is k × k with a unit diagonal.
fn combination(gram: &[f64], k: usize, intercept: Option<usize>) -> Option<(usize, Vec<usize>)> {
    let mut order: Vec<usize> = (0..k).collect();
    order.sort_by_key(|&j| (Some(j) != intercept, j));
    let mut rest = gram.to_vec();
    // By column: its coefficients on the columns before it.
    let mut parts: Vec<Vec<f64>> = vec![vec![0.0; k]; k];
    for (place, &j) in order.iter().enumerate() {
        let left = rest[j * k + j];
        if left.is_nan() || left <= DEPENDENT {
            let made = order[..place].iter().copied().filter(|&i| parts[j][i].abs() > NO_PART);
            return Some((j, made.collect()));
        }
        let pivot: Vec<f64> = (0..k).map(|i| rest[j * k + i]).collect();
        for &later in &order[place + 1..] {
            let factor = pivot[later] / left;
            let own = parts[j].clone();
            parts[later][j] += factor;
            for i in 0..k {
                parts[later][i] -= factor * own[i];
            }
            for i in 0..k {
                rest[later * k + i] -= factor * pivot[i];
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_combination_is_named_with_its_parts() {
        // 1, x, z, 2x − z + 1, with rows of four.
        let rows: Vec<[f64; 4]> = [(1.0, 0.5), (2.0, -1.0), (-0.5, 3.0), (4.0, 1.0), (0.2, 0.9), (1.7, 2.0)]
            .iter()
            .map(|&(x, z)| [1.0, x, z, 2.0 * x - z + 1.0])
            .collect();
        let plain = Standardization { center: vec![0.0; 4], scale: vec![1.0; 4], intercept: Some(0) };
        let gram: Vec<f64> = (0..16).map(|at| rows.iter().map(|r| r[at / 4] * r[at % 4]).sum()).collect();
        let gram = raw(&gram, 4, &plain);
        assert_eq!(combination(&gram, 4, Some(0)), Some((3, vec![0, 1, 2])));
        let three: Vec<f64> = leading(&gram, 4, 3);
        assert_eq!(combination(&three, 3, Some(0)), None);
    }

    #[test]
    fn a_repeated_column_names_the_one_it_repeats() {
        let rows: Vec<[f64; 3]> = [1.0, 2.0, 5.0, -3.0].iter().map(|&x| [1.0, x, 7.0 * x]).collect();
        let gram: Vec<f64> = (0..9).map(|at| rows.iter().map(|r| r[at / 3] * r[at % 3]).sum()).collect();
        let plain = Standardization { center: vec![0.0; 3], scale: vec![1.0; 3], intercept: Some(0) };
        assert_eq!(combination(&raw(&gram, 3, &plain), 3, Some(0)), Some((2, vec![1])));
    }
}
