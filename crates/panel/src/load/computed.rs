//! Covariates that can't be computed from existing values, like the logarithm of 0. Their rows are looked up in the
//! input, because the panel no longer knows rows.

use stagger_estimator::formula::{Atom, Expr};
use stagger_model::error::Result;
use stagger_model::parallel;
use stagger_model::spec_check::CheckedSpec;
use stagger_records::{Source, with_f64};

use crate::gaps::Gap;
use crate::panel::Panel;

/// Adds the rows in which a computed covariate has no value to the panel's remarks, for each covariate with such rows.
pub(super) fn locate(panel: &mut Panel, wanted: &CheckedSpec, source: &Source, threads: usize) -> Result<()> {
    for (atom, &[rows, _]) in wanted.formula.atoms().iter().zip(&panel.counts.census.computed) {
        if let (Atom::Numeric(expression), true) = (atom, rows > 0) {
            let gap = look_up(expression, source, threads)?;
            panel.source.remarks.gaps.merge_column(&expression.to_string(), &gap);
        }
    }
    Ok(())
}

/// Finds the rows in which all columns of an expression have values, but the expression itself has none.
fn look_up(expression: &Expr, source: &Source, threads: usize) -> Result<Gap> {
    let names: Vec<String> = expression.columns().into_iter().map(str::to_owned).collect();
    let workers = parallel::for_each(threads, source.chunks().len(), Gap::default, |gap, index| {
        let chunk = &source.chunks()[index];
        source.read(chunk, &names, |first, arrays| {
            let mut columns: Vec<Vec<f64>> = Vec::with_capacity(names.len());
            for (name, array) in names.iter().zip(arrays) {
                columns.push(with_f64(array, name, &mut Vec::new(), |values| Ok(values.to_vec()))?);
            }
            for row in 0..arrays.first().map_or(0, |array| array.len()) {
                if columns.iter().any(|column| !column[row].is_finite()) {
                    continue;
                }
                let value = |name: &str| {
                    names.iter().position(|known| known == name).map_or(f64::NAN, |at| columns[at][row])
                };
                let result = expression.eval(&value);
                if !result.is_finite() {
                    gap.add(result.is_infinite(), (chunk.file, chunk.first_row + (first + row) as u64 + 1));
                }
            }
            Ok(())
        })
    })?;
    Ok(workers.iter().fold(Gap::default(), |mut sum, gap| {
        sum.merge(gap);
        sum
    }))
}
