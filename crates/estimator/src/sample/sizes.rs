//! Groups too small to estimate from (FORMULAS §1.8).

use super::{CohortRole, SampleError};
use crate::label::label;
use crate::options::ControlGroup;

/// Covariates aside, R wants this many units of a group.
pub(super) const UNITS_BEYOND_COVARIATES: u64 = 5;

/// Groups named in a warning.
const NAMED: usize = 10;

/// Check the sizes of the groups that are left after balancing (FORMULAS §1.8).
///
/// `units` are units per cohort (rows ÷ periods, rounded down, where the panel is not balanced: the bound is whole, so
/// rounding down decides the same). `n_covariates` is the number of variables named in `xformla`. Groups below
/// `n_covariates + 5` give one warning; a never-treated group below it that is the only control group is an error.
pub fn check_group_sizes(
    table_cohorts: &[f64],
    roles: &[CohortRole],
    units: &[u64],
    n_covariates: usize,
    control_group: ControlGroup,
) -> Result<Vec<String>, SampleError> {
    let required = UNITS_BEYOND_COVARIATES.saturating_add(n_covariates as u64);
    let of = |role| roles.iter().zip(units).filter(move |(r, _)| **r == role).map(|(_, units)| *units);
    if of(CohortRole::Estimated).sum::<u64>() == 0 {
        let cohorts = of(CohortRole::Estimated).count();
        return Err(SampleError::NoTreatedLeft { cohorts, units: units.iter().sum() });
    }
    let never: u64 = of(CohortRole::NeverTreated).sum();
    if control_group == ControlGroup::NeverTreated && never < required {
        let treated = |role: &&CohortRole| matches!(role, CohortRole::Estimated | CohortRole::ControlOnly);
        let not_yet = roles.iter().filter(treated).count() > 1;
        return Err(SampleError::NeverTreatedTooSmall { units: never, required, not_yet });
    }
    let mut small = small_cohorts(table_cohorts, roles, units, required);
    if roles.contains(&CohortRole::NeverTreated) && never < required {
        small.push(format!("never treated ({never})"));
    }
    if small.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![format!(
        "some groups have very few units, which may cause estimation problems; check groups (units, wanted at least \
         {required}): {}",
        shortened(&small)
    )])
}

/// The first names of a list that may be long.
fn shortened(names: &[String]) -> String {
    match names.len().checked_sub(NAMED) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..NAMED].join(", ")),
    }
}

fn small_cohorts(cohorts: &[f64], roles: &[CohortRole], units: &[u64], required: u64) -> Vec<String> {
    let treated = |role: CohortRole| matches!(role, CohortRole::Estimated | CohortRole::ControlOnly);
    let groups = cohorts.iter().zip(roles).zip(units);
    let small = groups.filter(|((_, role), units)| treated(**role) && **units < required);
    small.map(|((cohort, _), units)| format!("{} ({units})", label(*cohort))).collect()
}

#[cfg(test)]
mod tests {
    use CohortRole::*;

    use super::*;

    const COHORTS: [f64; 4] = [2.0, 3.0, 9.0, f64::INFINITY];
    const ROLES: [CohortRole; 4] = [Estimated, Dropped, NeverTreated, NeverTreated];

    #[test]
    fn small_groups_are_named_with_their_size() {
        let check =
            |units: [u64; 4], k| check_group_sizes(&COHORTS, &ROLES, &units, k, ControlGroup::NotYetTreated);
        assert!(check([5, 0, 3, 2], 0).unwrap().is_empty());
        let warnings = check([5, 0, 3, 2], 1).unwrap();
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].ends_with("at least 6): 2 (5), never treated (5)"), "{warnings:?}");
    }

    #[test]
    fn a_small_only_control_group_is_an_error() {
        let check =
            |units: [u64; 4]| check_group_sizes(&COHORTS, &ROLES, &units, 1, ControlGroup::NeverTreated);
        assert!(check([5, 0, 4, 2]).unwrap()[0].contains("2 (5)"));
        assert_eq!(
            check([5, 0, 3, 2]).unwrap_err(),
            SampleError::NeverTreatedTooSmall { units: 5, required: 6, not_yet: false }
        );
        assert_eq!(check([0, 9, 3, 2]).unwrap_err(), SampleError::NoTreatedLeft { cohorts: 1, units: 14 });
    }
}
