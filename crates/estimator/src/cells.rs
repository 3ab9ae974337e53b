//! The (g,t) cells of a specification: periods compared and cohorts compared with (FORMULAS §2.1, §2.2).

use serde::{Deserialize, Serialize};

use crate::options::{BasePeriod, ControlGroup};
use crate::sample::CohortRole;

/// The options that decide a cell's base period and controls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CellRules {
    /// The units that serve as controls.
    pub control_group: ControlGroup,
    /// Base period of pre-treatment cells.
    pub base_period: BasePeriod,
    /// Periods before treatment in which units may already react, ≥ 0.
    pub anticipation: f64,
}

/// One ATT(g,t): cohort g between the base period and t, against its controls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Index of the treated cohort.
    pub cohort: usize,
    /// Label g of the treated cohort.
    pub group: f64,
    /// Index of period t.
    pub time: usize,
    /// Index of the base period: the last one with `T_k + a < g`, or under a varying base the preceding one where t itself lies
    /// before g − a.
    pub base: usize,
    /// g ≤ t; anticipation does not enter.
    pub post: bool,
    /// Universal base and t is the base period: ATT 0, influence 0, standard error NA.
    pub reference: bool,
    /// Indices of the control cohorts; empty = the cell cannot be estimated.
    pub controls: Vec<usize>,
}

impl Cell {
    /// Index of the earlier of the two periods, where covariates and weights are taken from (FORMULAS §2.3).
    pub fn earlier(&self) -> usize {
        self.time.min(self.base)
    }
}

/// All cells in R's order: g ascending, then t ascending (FORMULAS §2.1).
///
/// `periods` are the kept periods, ascending; `cohorts` label and role of each cohort. A cohort without an untreated
/// period gets no cell ([`crate::sample::plan_sample`] leaves none).
pub fn cells(periods: &[f64], cohorts: &[(f64, CohortRole)], rules: &CellRules) -> Vec<Cell> {
    let mut estimated: Vec<usize> =
        (0..cohorts.len()).filter(|&c| cohorts[c].1 == CohortRole::Estimated).collect();
    estimated.sort_by(|&a, &b| cohorts[a].0.total_cmp(&cohorts[b].0));
    let mut all = Vec::new();
    for cohort in estimated {
        let Some(last_untreated) = last_untreated(periods, cohorts[cohort].0, rules.anticipation) else {
            continue;
        };
        let start = usize::from(rules.base_period == BasePeriod::Varying);
        all.extend(
            (start..periods.len()).map(|time| cell(periods, cohorts, rules, (cohort, last_untreated), time)),
        );
    }
    all
}

/// p_g: the largest index k with `T_k + a < g` (FORMULAS §2.1).
fn last_untreated(periods: &[f64], group: f64, anticipation: f64) -> Option<usize> {
    periods.iter().rposition(|t| t + anticipation < group)
}

fn cell(
    periods: &[f64],
    cohorts: &[(f64, CohortRole)],
    rules: &CellRules,
    (cohort, last_untreated): (usize, usize),
    time: usize,
) -> Cell {
    let group = cohorts[cohort].0;
    let post = group <= periods[time];
    let universal = rules.base_period == BasePeriod::Universal;
    // From g − a on, every cell compares with the last period before the window, whether it is after treatment or inside.
    let window = time > last_untreated;
    let base = if window || universal { last_untreated } else { time.saturating_sub(1) };
    let clean_until = periods[time.max(base)] + rules.anticipation;
    Cell {
        cohort,
        group,
        time,
        base,
        post,
        reference: universal && time == last_untreated,
        controls: controls(cohorts, rules.control_group, group, clean_until),
    }
}

/// Never-treated cohorts; under not-yet-treated also those treated after `clean_until`, bar g itself (FORMULAS §2.2).
fn controls(
    cohorts: &[(f64, CohortRole)],
    control_group: ControlGroup,
    group: f64,
    clean_until: f64,
) -> Vec<usize> {
    let nyt = control_group == ControlGroup::NotYetTreated;
    let serves = |&(label, role): &(f64, CohortRole)| match role {
        CohortRole::NeverTreated => true,
        CohortRole::Bystander | CohortRole::Dropped => false,
        CohortRole::Estimated | CohortRole::ControlOnly => nyt && label > clean_until && label != group,
    };
    (0..cohorts.len()).filter(|&c| serves(&cohorts[c])).collect()
}

#[cfg(test)]
mod tests {
    use CohortRole::*;
    use proptest::prelude::*;

    use super::*;

    const T: [f64; 5] = [1.0, 2.0, 3.0, 4.0, 6.0];

    fn rules(control_group: ControlGroup, base_period: BasePeriod, anticipation: f64) -> CellRules {
        CellRules { control_group, base_period, anticipation }
    }

    fn at(cells: &[Cell], group: f64, time: usize) -> &Cell {
        cells.iter().find(|c| c.group == group && c.time == time).unwrap()
    }

    #[test]
    fn varying_bases_are_the_preceding_period_before_treatment() {
        let cohorts = [(6.0, Estimated), (3.0, Estimated), (f64::INFINITY, NeverTreated)];
        let cells = cells(&T, &cohorts, &rules(ControlGroup::NeverTreated, BasePeriod::Varying, 1.0));
        assert_eq!(cells.len(), 8);
        assert_eq!(
            cells.iter().map(|c| c.group).collect::<Vec<_>>(),
            [3.0, 3.0, 3.0, 3.0, 6.0, 6.0, 6.0, 6.0]
        );
        // p_3 = period 1 (2 is inside the anticipation window), p_6 = period 4
        let of = |g, t| (at(&cells, g, t).base, at(&cells, g, t).post);
        assert_eq!([of(3.0, 1), of(3.0, 2), of(3.0, 4)], [(0, false), (0, true), (0, true)]);
        assert_eq!([of(6.0, 2), of(6.0, 3), of(6.0, 4)], [(1, false), (2, false), (3, true)]);
        assert!(cells.iter().all(|c| c.controls == [2] && !c.reference));
    }

    #[test]
    fn cells_inside_the_anticipation_window_compare_with_the_period_before_it() {
        let cohorts = [(6.0, Estimated), (f64::INFINITY, NeverTreated)];
        let bases = |base, a| {
            let cells = cells(&T, &cohorts, &rules(ControlGroup::NeverTreated, base, a));
            cells.iter().map(|c| (T[c.time], T[c.base])).collect::<Vec<_>>()
        };
        // g − a = 3: period 2 is the last before the window of 3 and 4
        let varying = bases(BasePeriod::Varying, 3.0);
        assert_eq!(varying, [(2.0, 1.0), (3.0, 2.0), (4.0, 2.0), (6.0, 2.0)]);
        assert_eq!(bases(BasePeriod::Universal, 3.0)[2..], varying[1..]);
        assert_eq!(bases(BasePeriod::Varying, 0.0), [(2.0, 1.0), (3.0, 2.0), (4.0, 3.0), (6.0, 4.0)]);
    }

    #[test]
    fn universal_base_has_one_reference_cell_a_group() {
        let cohorts = [(3.0, Estimated), (6.0, Estimated), (f64::INFINITY, NeverTreated)];
        let cells = cells(&T, &cohorts, &rules(ControlGroup::NeverTreated, BasePeriod::Universal, 0.0));
        assert_eq!(cells.len(), 10);
        let references: Vec<_> = cells.iter().filter(|c| c.reference).map(|c| (c.group, c.time)).collect();
        assert_eq!(references, [(3.0, 1), (6.0, 3)]);
        assert!(cells.iter().filter(|c| c.group == 3.0).all(|c| c.base == 1));
        assert_eq!(at(&cells, 3.0, 0).earlier(), 0);
    }

    #[test]
    fn not_yet_treated_controls_start_after_the_later_period_and_anticipation() {
        let cohorts =
            [(3.0, Estimated), (4.0, Estimated), (6.0, ControlOnly), (2.0, Dropped), (9.0, NeverTreated)];
        let nyt = |a| cells(&T, &cohorts, &rules(ControlGroup::NotYetTreated, BasePeriod::Varying, a));
        assert_eq!(at(&nyt(0.0), 3.0, 2).controls, [1, 2, 4]);
        assert_eq!(at(&nyt(0.0), 3.0, 3).controls, [2, 4]);
        assert_eq!(at(&nyt(0.0), 3.0, 4).controls, [4]);
        assert_eq!(at(&nyt(1.0), 3.0, 2).controls, [2, 4]);
        // own cohort never serves, even before its treatment
        assert_eq!(at(&nyt(0.0), 4.0, 1).controls, [0, 2, 4]);
    }

    #[test]
    fn a_cell_without_controls_is_still_listed() {
        let cohorts = [(3.0, Estimated)];
        let cells = cells(&T, &cohorts, &rules(ControlGroup::NotYetTreated, BasePeriod::Varying, 0.0));
        assert!(cells.len() == 4 && cells.iter().all(|c| c.controls.is_empty()));
        assert!(
            super::cells(&[], &cohorts, &rules(ControlGroup::NeverTreated, BasePeriod::Universal, 0.0))
                .is_empty()
        );
    }

    proptest! {
        #[test]
        fn bases_precede_treatment_and_controls_are_untreated(
            labels in proptest::collection::vec((0u32..14, 0u8..4), 0..8),
            m in 0u32..9, a in 0u32..3, nyt: bool, universal: bool,
        ) {
            let role = |r| [NeverTreated, Estimated, ControlOnly, Dropped][usize::from(r)];
            let cohorts: Vec<_> = labels.iter().map(|&(g, r)| (f64::from(g), role(r))).collect();
            let periods: Vec<f64> = (1..=m).map(f64::from).collect();
            let control = if nyt { ControlGroup::NotYetTreated } else { ControlGroup::NeverTreated };
            let base = if universal { BasePeriod::Universal } else { BasePeriod::Varying };
            let cells = cells(&periods, &cohorts, &rules(control, base, f64::from(a)));
            prop_assert!(cells.is_sorted_by(|x, y| x.group < y.group || (x.group == y.group && x.time <= y.time)
                || x.cohort != y.cohort));
            for cell in &cells {
                prop_assert!(cell.reference == (cell.base == cell.time));
                if periods[cell.time] + f64::from(a) >= cell.group || universal {
                    prop_assert!(periods[cell.base] + f64::from(a) < cell.group);
                }
                for &c in &cell.controls {
                    prop_assert!(c != cell.cohort && cohorts[c].1 != Dropped);
                    prop_assert!(cohorts[c].1 == NeverTreated || cohorts[c].0 > periods[cell.time]);
                }
            }
        }
    }
}
