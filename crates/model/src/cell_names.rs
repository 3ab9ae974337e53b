//! Names of cells in messages: one by one if they are few, by cohort if they are many.

use stagger_estimator::label::label;

/// The number of cells up to which each is named.
const FEW: usize = 6;

/// Names the cells `cells` (ascending indices into the labels `group` and `time`): `(3, 2), (3, 3)`, or `cohort 3 in 2
/// to 6; cohorts 5, 7 in 2, 4 to 6`. All of them are named.
pub fn name_cells(group: &[f64], time: &[f64], cells: &[usize]) -> String {
    if cells.len() <= FEW {
        let one = |&k: &usize| format!("({}, {})", label(group[k]), label(time[k]));
        return cells.iter().map(one).collect::<Vec<_>>().join(", ");
    }
    let mut by_periods: Vec<(String, Vec<String>)> = Vec::new();
    for own in cells.chunk_by(|a, b| group[*a] == group[*b]) {
        let periods = spans(time, own);
        let cohort = label(group[own[0]]);
        match by_periods.iter_mut().find(|(known, _)| *known == periods) {
            Some((_, cohorts)) => cohorts.push(cohort),
            None => by_periods.push((periods, vec![cohort])),
        }
    }
    let phrase = |(periods, cohorts): &(String, Vec<String>)| {
        let noun = if cohorts.len() == 1 { "cohort" } else { "cohorts" };
        format!("{noun} {} in {periods}", cohorts.join(", "))
    };
    by_periods.iter().map(phrase).collect::<Vec<_>>().join("; ")
}

/// Formats the periods of one cohort's cells: `2, 4 to 6`. Consecutive cells have consecutive periods.
fn spans(time: &[f64], cells: &[usize]) -> String {
    let span = |cells: &[usize]| match cells {
        [one] => label(time[*one]),
        [a, b] => format!("{}, {}", label(time[*a]), label(time[*b])),
        [first, .., last] => format!("{} to {}", label(time[*first]), label(time[*last])),
        [] => String::new(),
    };
    cells.chunk_by(|a, b| a + 1 == *b).map(span).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_cells_are_named_one_by_one_and_many_by_cohort() {
        let group = [3.0, 3.0, 3.0, 3.0, 5.0, 5.0, 5.0, 5.0, 7.0, 7.0, 7.0, 7.0];
        let time = [2.0, 3.0, 4.0, 5.0, 2.0, 3.0, 4.0, 5.0, 2.0, 3.0, 4.0, 5.0];
        let name = |cells: &[usize]| name_cells(&group, &time, cells);
        assert_eq!(name(&[0, 5]), "(3, 2), (5, 3)");
        let all: Vec<usize> = (0..12).collect();
        assert_eq!(name(&all), "cohorts 3, 5, 7 in 2 to 5");
        assert_eq!(name(&[0, 1, 2, 3, 4, 6, 7]), "cohort 3 in 2 to 5; cohort 5 in 2, 4, 5");
        assert_eq!(name(&[]), "");
    }
}
