//! Estimates that the cells need: one comparison for each cell, or three for each control cohort of a triple
//! difference.

use stagger_estimator::cells::{Cell, CellRules, cells};
use stagger_estimator::comparison::{Contrast, Target};
use stagger_estimator::options::BasePeriod;
use stagger_estimator::sample::CohortRole;
use stagger_model::error::{Result, StaggerError};
use stagger_model::spec::RunSpec;
use stagger_panel::panel::Panel;

use super::sample::{Sample, distinct_cohorts, strata_of};

/// The cells of a specification and the estimates that they need.
pub(super) struct Targets {
    pub(super) cells: Vec<Cell>,
    pub(super) targets: Vec<Target>,
}

impl Targets {
    pub(super) fn new(panel: &Panel, spec: &RunSpec, sample: &Sample, periods: &[f64]) -> Result<Self> {
        let raw = distinct_cohorts(panel);
        let role = |cohort: f64| {
            let mut roles = strata_of(panel, cohort).into_iter().map(|s| sample.mask.roles[s]);
            roles.find(|role| *role != CohortRole::Dropped).unwrap_or(CohortRole::Dropped)
        };
        let known: Vec<(f64, CohortRole)> = raw.iter().map(|&cohort| (cohort, role(cohort))).collect();
        let rules = CellRules {
            control_group: spec.control_group,
            // The single estimate of two periods has no reference cell beside it.
            base_period: if sample.two_period { BasePeriod::Varying } else { spec.base_period },
            anticipation: spec.anticipation,
        };
        let cells = cells(periods, &known, &rules);
        if cells.is_empty() {
            return Err(StaggerError::input(
                "no valid groups: no cohort is treated within the periods that are left",
            )
            .with_hint(
                "the column of --gname must hold the first treated period of each unit, 0 for never treated",
            ));
        }
        let builder = Builder::new(panel, sample, &raw, &known, spec.pname.is_some());
        let mut targets = Vec::new();
        for (index, cell) in cells.iter().enumerate().filter(|(_, c)| !c.reference && !c.controls.is_empty())
        {
            let last_clean = periods.iter().rposition(|&t| t + spec.anticipation < cell.group).unwrap_or(0);
            for contrasts in builder.estimates(cell) {
                targets.push(Target { cell: index, time: cell.time, base: cell.base, last_clean, contrasts });
            }
        }
        Ok(Self { cells, targets })
    }
}

struct Builder<'a> {
    known: &'a [(f64, CohortRole)],
    triple: bool,
    /// By cohort: its used strata that are not eligible, and those that are.
    strata: Vec<[Vec<usize>; 2]>,
}

impl<'a> Builder<'a> {
    fn new(
        panel: &Panel,
        sample: &Sample,
        raw: &[f64],
        known: &'a [(f64, CohortRole)],
        triple: bool,
    ) -> Self {
        let of = |&cohort: &f64| {
            let used = |eligible: bool| {
                strata_of(panel, cohort)
                    .into_iter()
                    .filter(|&s| {
                        panel.strata[s].eligible == eligible && sample.mask.roles[s] != CohortRole::Dropped
                    })
                    .collect()
            };
            [used(false), used(true)]
        };
        Self { known, triple, strata: raw.iter().map(of).collect() }
    }

    /// Used strata of some cohorts, with one eligibility.
    fn strata(&self, cohorts: &[usize], eligible: bool) -> Vec<usize> {
        cohorts.iter().flat_map(|&cohort| &self.strata[cohort][usize::from(eligible)]).copied().collect()
    }

    /// Contrasts of every estimate of a cell.
    fn estimates(&self, cell: &Cell) -> Vec<Vec<Contrast>> {
        let Some(&treated) = self.strata(&[cell.cohort], true).first() else { return Vec::new() };
        if !self.triple {
            let controls = self.strata(&cell.controls, true);
            return vec![vec![Contrast { treated, controls, sign: 1.0 }]];
        }
        let term = |controls: Vec<usize>, sign: f64| Contrast { treated, controls, sign };
        let triple = |cohorts: Vec<usize>| {
            vec![
                term(self.strata(&[cell.cohort], false), 1.0),
                term(self.strata(&cohorts, true), 1.0),
                term(self.strata(&cohorts, false), -1.0),
            ]
        };
        self.control_cohorts(cell).into_iter().map(triple).collect()
    }

    /// Control cohorts of a cell; all that are never treated count as one.
    fn control_cohorts(&self, cell: &Cell) -> Vec<Vec<usize>> {
        let (never, later): (Vec<usize>, Vec<usize>) =
            cell.controls.iter().partition(|&&c| self.known[c].1 == CohortRole::NeverTreated);
        let never = (!never.is_empty()).then_some(never);
        never.into_iter().chain(later.into_iter().map(|c| vec![c])).collect()
    }
}
