//! The cohorts and periods that enter the estimate, decided from counts alone (FORMULAS §1.2-1.5).
//!
//! The data are counted once, by raw cohort and period. Every specification's cleaning is then a mask over periods
//! and a role per cohort, so a grid of specifications shares one reading of the data.

mod draft;
mod error;
mod sizes;

use draft::Draft;

use serde::{Deserialize, Serialize};

use crate::options::ControlGroup;

pub use error::SampleError;
pub use sizes::check_group_sizes;

/// Rows left after missing values were dropped, by raw cohort × period (FORMULAS §1.1).
#[derive(Clone, Debug, PartialEq)]
pub struct CohortTable {
    /// All periods with at least one complete row, ascending.
    pub periods: Vec<f64>,
    /// Raw cohort labels, ascending; 0 and `f64::INFINITY` = never treated.
    pub cohorts: Vec<f64>,
    /// Complete rows, `[cohort][period]`.
    pub rows: Vec<Vec<u64>>,
    /// Units with at least one complete row, per cohort (rows where every row is its own unit).
    pub units: Vec<u64>,
}

/// The options that decide who is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleRules {
    /// The units that serve as controls.
    pub control_group: ControlGroup,
    /// Periods before treatment in which units may already react, ≥ 0.
    pub anticipation: f64,
    /// Without never-treated units `nevertreated` is an error (triple differences, FORMULAS §7.3).
    pub needs_never_treated: bool,
    /// Cohorts treated from the start stay in the sample, though neither estimated nor controls (triple differences of
    /// cross sections, FORMULAS §7.3).
    pub keeps_already_treated: bool,
}

/// The role of a raw cohort in one specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CohortRole {
    /// Never treated within the sample, or relabelled so: a control in every cell.
    NeverTreated,
    /// Gets its own ATTs; under not-yet-treated also a control until treated.
    Estimated,
    /// The last cohort where nobody is never treated: a control without ATTs of its own.
    ControlOnly,
    /// In the sample, though neither estimated nor a control.
    Bystander,
    /// Not used at all.
    Dropped,
}

/// The sample of one specification.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplePlan {
    /// Kept periods, as ascending indices into [`CohortTable::periods`].
    pub periods: Vec<usize>,
    /// Role of each cohort of the table.
    pub roles: Vec<CohortRole>,
    /// Warnings for the user, with numbers.
    pub warnings: Vec<String>,
    /// Rows given up, by reason.
    pub dropped_rows: Vec<(String, u64)>,
    /// Units of dropped cohorts.
    pub dropped_units: u64,
}

impl SamplePlan {
    /// Returns true if a simultaneous band makes sense: with two periods left `cband` is off (FORMULAS §1.7).
    pub fn allows_band(&self) -> bool {
        self.periods.len() > 2
    }
}

/// Decide periods and roles in R's order: relabel cohorts treated after the end, find a control group, drop the
/// already treated (FORMULAS §1.2-1.5).
pub fn plan_sample(table: &CohortTable, rules: &SampleRules) -> Result<SamplePlan, SampleError> {
    validate(table, rules)?;
    let mut draft = Draft::new(table, rules.anticipation)?;
    draft.close_control_group(rules)?;
    draft.drop_already_treated(rules.keeps_already_treated);
    draft.finish()
}

/// Look at steps 4 and 5 again after balancing, with the units that it left and the roles that cohorts had (FORMULAS §1.6).
///
/// `table` holds the periods kept so far and, by cohort, as many rows in each as units are left; cohorts without any lose their
/// role. Rows and units given up are those beyond the cohorts that balancing removed.
pub fn plan_balanced(
    table: &CohortTable,
    roles: &[CohortRole],
    rules: &SampleRules,
) -> Result<SamplePlan, SampleError> {
    validate(table, rules)?;
    let mut draft = Draft::again(table, rules.anticipation, roles)?;
    draft.close_control_group(rules)?;
    draft.drop_already_treated(rules.keeps_already_treated);
    draft.finish()
}

fn validate(table: &CohortTable, rules: &SampleRules) -> Result<(), SampleError> {
    let given = rules.anticipation;
    if !(given.is_finite() && given >= 0.0 && given.fract() == 0.0) {
        return Err(SampleError::Anticipation { given });
    }
    let (cohorts, rows, units) = (table.cohorts.len(), table.rows.len(), table.units.len());
    if cohorts != rows || cohorts != units || table.rows.iter().any(|r| r.len() != table.periods.len()) {
        return Err(SampleError::Shape { cohorts, rows, units });
    }
    if let Some(position) = table.periods.iter().position(|t| !t.is_finite()) {
        let (periods, found) = (table.periods.len(), table.periods[position]);
        return Err(SampleError::Period { position, periods, found });
    }
    match table.cohorts.iter().zip(&table.units).find(|(g, _)| g.is_nan() || **g < 0.0) {
        Some((&cohort, &units)) => Err(SampleError::Cohort { cohort, units }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INF: f64 = f64::INFINITY;

    /// A balanced table: every unit is seen in periods 1..=m.
    fn balanced(m: u32, cohorts: &[(f64, u64)]) -> CohortTable {
        CohortTable {
            periods: (1..=m).map(f64::from).collect(),
            cohorts: cohorts.iter().map(|c| c.0).collect(),
            rows: cohorts.iter().map(|c| vec![c.1; m as usize]).collect(),
            units: cohorts.iter().map(|c| c.1).collect(),
        }
    }

    fn rules(control_group: ControlGroup, anticipation: f64) -> SampleRules {
        SampleRules { control_group, anticipation, needs_never_treated: false, keeps_already_treated: false }
    }

    use CohortRole::*;
    use ControlGroup::{NeverTreated as Nt, NotYetTreated as Nyt};

    #[test]
    fn zero_and_infinity_and_late_cohorts_are_never_treated() {
        let table = balanced(4, &[(0.0, 5), (3.0, 5), (5.0, 5), (6.0, 5), (INF, 5)]);
        let plan = plan_sample(&table, &rules(Nt, 1.0)).unwrap();
        assert_eq!(plan.roles, [NeverTreated, Estimated, Estimated, NeverTreated, NeverTreated]);
        assert_eq!(plan.periods, [0, 1, 2, 3]);
        assert!(plan.warnings.is_empty() && plan.allows_band());
    }

    #[test]
    fn without_never_treated_the_last_cohort_is_relabelled_and_its_periods_dropped() {
        let table = balanced(8, &[(4.0, 10), (6.0, 20), (7.0, 30)]);
        let plan = plan_sample(&table, &rules(Nt, 0.0)).unwrap();
        assert_eq!(plan.periods, [0, 1, 2, 3, 4, 5]);
        assert_eq!(plan.roles, [Estimated, Estimated, NeverTreated]);
        assert_eq!(plan.dropped_rows.iter().map(|d| d.1).sum::<u64>(), 120);
        assert!(plan.warnings[0].contains("no never-treated") && plan.warnings[0].contains("30 units"));
        let plan = plan_sample(&table, &rules(Nyt, 1.0)).unwrap();
        assert_eq!(plan.periods, [0, 1, 2, 3, 4]);
        assert_eq!(plan.roles, [Estimated, Estimated, ControlOnly]);
    }

    #[test]
    fn already_treated_cohorts_go_with_their_rows() {
        let table = balanced(5, &[(1.0, 7), (2.0, 20), (4.0, 9), (INF, 9)]);
        let plan = plan_sample(&table, &rules(Nt, 1.0)).unwrap();
        assert_eq!(plan.roles, [Dropped, Dropped, Estimated, NeverTreated]);
        assert_eq!(plan.dropped_units, 27);
        assert_eq!(plan.dropped_rows[0].1, 135);
        assert!(plan.warnings[0].contains("27 units") && plan.warnings[0].contains("anticipation = 1"));
    }

    #[test]
    fn a_first_period_seen_only_in_a_dropped_cohort_disappears() {
        let mut table = balanced(4, &[(1.0, 3), (2.0, 3), (4.0, 3), (INF, 3)]);
        for cohort in 1..4 {
            table.rows[cohort][0] = 0;
        }
        let plan = plan_sample(&table, &rules(Nt, 0.0)).unwrap();
        assert_eq!(plan.periods, [1, 2, 3]);
        assert_eq!(plan.roles, [Dropped, Dropped, Estimated, NeverTreated]);
        assert_eq!(plan.dropped_units, 6);
    }

    #[test]
    fn after_balancing_the_last_cohort_takes_the_place_of_the_never_treated() {
        let left = balanced(6, &[(3.0, 20), (5.0, 9), (INF, 0)]);
        let roles = [Estimated, Estimated, NeverTreated];
        let plan = plan_balanced(&left, &roles, &rules(Nt, 0.0)).unwrap();
        assert_eq!(plan.roles, [Estimated, NeverTreated, Dropped]);
        assert_eq!(plan.periods, [0, 1, 2, 3]);
        assert_eq!(plan.dropped_rows[0].1, 58);
        assert!(plan.warnings[0].contains("no never-treated") && plan.warnings[0].contains("9 units"));
        let plan = plan_balanced(&left, &roles, &rules(Nyt, 1.0)).unwrap();
        assert_eq!((plan.roles, plan.periods), (vec![Estimated, ControlOnly, Dropped], vec![0, 1, 2]));
    }

    #[test]
    fn after_balancing_a_control_that_is_left_stays() {
        let left = balanced(4, &[(3.0, 20), (4.0, 0), (5.0, 9)]);
        let plan = plan_balanced(&left, &[Estimated, Estimated, ControlOnly], &rules(Nyt, 0.0)).unwrap();
        assert_eq!(plan.roles, [Estimated, Dropped, ControlOnly]);
        assert!(plan.warnings.is_empty() && plan.periods.len() == 4);
        let none = balanced(4, &[(3.0, 0), (INF, 9)]);
        let error = plan_balanced(&none, &[Estimated, NeverTreated], &rules(Nt, 0.0)).unwrap_err();
        assert_eq!(error, SampleError::NoTreatedLeft { cohorts: 1, units: 9 });
        let alone = balanced(4, &[(3.0, 7), (INF, 0)]);
        let error = plan_balanced(&alone, &[Estimated, NeverTreated], &rules(Nt, 0.0)).unwrap_err();
        assert_eq!(error, SampleError::NoValidGroup { units: 7, last_cohort: 3.0 });
    }

    #[test]
    fn each_hopeless_sample_has_its_own_error() {
        let plan = |table: &CohortTable, c, a| plan_sample(table, &rules(c, a)).unwrap_err();
        let all_at_once = balanced(4, &[(3.0, 8)]);
        assert_eq!(plan(&all_at_once, Nt, 0.0), SampleError::NoValidGroup { units: 8, last_cohort: 3.0 });
        assert_eq!(plan(&all_at_once, Nyt, 0.0), SampleError::NoValidGroup { units: 8, last_cohort: 3.0 });
        let none = balanced(4, &[(9.0, 2), (INF, 8)]);
        assert_eq!(plan(&none, Nt, 0.0), SampleError::NoneTreated { units: 10, last: 4.0 });
        let always = balanced(4, &[(1.0, 2), (INF, 8)]);
        assert_eq!(
            plan(&always, Nt, 0.0),
            SampleError::AlreadyTreated { units: 2, first: 1.0, anticipation: 0.0 }
        );
        let single = balanced(1, &[(2.0, 2), (INF, 8)]);
        assert!(matches!(plan(&single, Nt, 1.0), SampleError::OnePeriod { found: 1, .. }));
        let late = balanced(4, &[(1.0, 2)]);
        assert!(matches!(plan(&late, Nt, 0.0), SampleError::NoControlRows { .. }));
        assert!(matches!(plan(&none, Nt, -1.0), SampleError::Anticipation { .. }));
        assert!(matches!(plan(&none, Nt, 0.5), SampleError::Anticipation { .. }));
        assert!(matches!(plan(&balanced(4, &[(-2.0, 2), (INF, 8)]), Nt, 0.0), SampleError::Cohort { .. }));
        assert!(matches!(plan(&balanced(4, &[]), Nt, 0.0), SampleError::Empty { .. }));
    }

    proptest! {
        #[test]
        fn plans_are_consistent(
            cohorts in proptest::collection::btree_set(0u32..12, 0..8),
            counts in proptest::collection::vec(0u64..4, 64),
            m in 0usize..8,
            a in 0u32..4,
            nyt: bool,
        ) {
            let cohorts: Vec<f64> = cohorts.iter().map(|g| if *g == 11 { INF } else { f64::from(*g) }).collect();
            let rows: Vec<Vec<u64>> = (0..cohorts.len()).map(|c| counts[c * 8..c * 8 + m].to_vec()).collect();
            let units = rows.iter().map(|r| r.iter().copied().max().unwrap_or(0)).collect();
            let periods: Vec<f64> = (1..=m).map(|t| t as f64).collect();
            let table = CohortTable { periods, cohorts, rows, units };
            let rules = rules(if nyt { Nyt } else { Nt }, f64::from(a));
            let Ok(plan) = plan_sample(&table, &rules) else { return Ok(()) };
            prop_assert!(plan.periods.len() >= 2 && plan.periods.is_sorted());
            let first = table.periods[plan.periods[0]];
            let mut kept = 0;
            for (c, role) in plan.roles.iter().enumerate() {
                if *role == Estimated {
                    prop_assert!(table.cohorts[c] > first + f64::from(a));
                }
                if *role != Dropped {
                    kept += plan.periods.iter().map(|&t| table.rows[c][t]).sum::<u64>();
                }
            }
            let given_up: u64 = plan.dropped_rows.iter().map(|d| d.1).sum();
            prop_assert_eq!(kept + given_up, table.rows.iter().flatten().sum::<u64>());
        }
    }
}
