//! Losses by balancing, and the second choice of controls and cohorts after it (FORMULAS §1.6).

use stagger_estimator::sample::{CohortRole, CohortTable, plan_balanced};
use stagger_model::error::{Result, input_error};
use stagger_model::spec::RunSpec;
use stagger_panel::panel::Panel;
use stagger_panel::sample_mask::SampleMask;

use super::sample::{Sample, bits_of, distinct_cohorts, rules, strata_of};

/// The cohorts before units were dropped to balance the panel, and the rows that were dropped.
#[derive(Clone, Debug, Default)]
pub(super) struct Balance {
    /// Role of each stratum before.
    roles: Vec<CohortRole>,
    /// Number of complete rows in the kept periods, by stratum.
    complete: Vec<u64>,
    /// Number of rows of units that are not observed in every kept period.
    pub(super) rows: u64,
}

impl Balance {
    pub(super) fn of(panel: &Panel, mask: &SampleMask, periods: &[usize]) -> Self {
        let all = panel.periods.len();
        let rows = |s: usize| periods.iter().map(|&p| panel.counts.census.complete[s * all + p]).sum();
        Self { roles: mask.roles.clone(), complete: (0..panel.strata.len()).map(rows).collect(), rows: 0 }
    }

    /// Strata that were used before.
    fn used(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.roles.len()).filter(|&s| self.roles[s] != CohortRole::Dropped)
    }
}

impl Sample {
    /// Counts the rows that balancing removed, warns of cohorts that it removed as a whole, and chooses controls and
    /// cohorts again.
    pub(super) fn settle_balance(
        &mut self,
        panel: &Panel,
        spec: &RunSpec,
        reasons: &mut Vec<(String, u64)>,
    ) -> Result<()> {
        self.warn_of_missing(panel);
        if !self.mask.whole || self.unbalanced || panel.rows == stagger_panel::strata::RowKind::Observation {
            return Ok(());
        }
        let complete: u64 = self.balance.used().map(|s| self.balance.complete[s]).sum();
        self.balance.rows = complete.saturating_sub(self.n * self.periods.len() as u64);
        if self.balance.rows == 0 {
            return Ok(());
        }
        let before: u64 = self.balance.used().map(|s| panel.counts.census.units[s]).sum();
        self.warnings.push(format!(
            "dropped {} units ({} rows) that are not observed in every period",
            before.saturating_sub(self.n),
            self.balance.rows
        ));
        let lost = self.lost(panel);
        if lost.is_empty() {
            return Ok(());
        }
        let named: Vec<String> =
            lost.iter().map(|&(cohort, units)| format!("{} ({units} units)", label(cohort))).collect();
        self.warnings.push(format!(
            "left out as a whole, since none of their units is observed in every period without missing values: cohort {}",
            named.join(", cohort ")
        ));
        self.look_again(panel, spec, reasons)
    }

    /// Cohorts that were used and have no unit left, each with the number of units that it had.
    fn lost(&self, panel: &Panel) -> Vec<(f64, u64)> {
        let lost = |&cohort: &f64| {
            let used = |s: &usize| self.balance.roles[*s] != CohortRole::Dropped;
            let own: Vec<usize> = strata_of(panel, cohort).into_iter().filter(used).collect();
            let units = own.iter().map(|&s| panel.counts.census.units[s]).sum();
            (units > 0 && own.iter().all(|&s| self.units[s] == 0)).then_some((cohort, units))
        };
        distinct_cohorts(panel).iter().filter_map(lost).collect()
    }

    /// Steps 4 and 5 of FORMULAS §1 on the units that are left. These stay the units that are observed in every period
    /// kept so far, though some of the periods may go.
    fn look_again(&mut self, panel: &Panel, spec: &RunSpec, reasons: &mut Vec<(String, u64)>) -> Result<()> {
        let raw = distinct_cohorts(panel);
        let units: Vec<u64> =
            raw.iter().map(|&c| strata_of(panel, c).into_iter().map(|s| self.units[s]).sum()).collect();
        let table = CohortTable {
            periods: self.periods.iter().map(|&p| panel.periods[p]).collect(),
            rows: units.iter().map(|&units| vec![units; self.periods.len()]).collect(),
            units,
            cohorts: raw.clone(),
        };
        let roles: Vec<CohortRole> = raw.iter().map(|&cohort| self.role_before(panel, cohort)).collect();
        let planned =
            plan_balanced(&table, &roles, &rules(panel, spec)).map_err(|e| input_error(&e, e.hint()))?;
        self.warnings.extend(planned.warnings);
        reasons.extend(planned.dropped_rows.into_iter().filter(|(_, rows)| *rows > 0));
        self.periods = planned.periods.iter().map(|&p| self.periods[p]).collect();
        self.mask.periods = bits_of(&self.periods, panel.periods.len());
        for (stratum, own) in panel.strata.iter().enumerate() {
            let cohort = raw.iter().position(|&known| known == own.cohort);
            let role = cohort.map_or(CohortRole::Dropped, |c| planned.roles[c]);
            if role == CohortRole::Dropped || self.units[stratum] == 0 {
                (self.mask.roles[stratum], self.units[stratum]) = (CohortRole::Dropped, 0);
            } else {
                self.mask.roles[stratum] = role;
            }
        }
        self.n = self.units.iter().sum();
        Ok(())
    }

    fn role_before(&self, panel: &Panel, cohort: f64) -> CohortRole {
        let roles = strata_of(panel, cohort).into_iter().map(|s| self.balance.roles[s]);
        roles.into_iter().find(|role| *role != CohortRole::Dropped).unwrap_or(CohortRole::Dropped)
    }

    /// Warns of cohorts that have rows, but no complete one.
    fn warn_of_missing(&mut self, panel: &Panel) {
        let all = panel.periods.len();
        let sum = |counts: &[u64], cohort: f64| -> u64 {
            strata_of(panel, cohort)
                .into_iter()
                .map(|s| counts[s * all..(s + 1) * all].iter().sum::<u64>())
                .sum()
        };
        let named: Vec<String> = distinct_cohorts(panel)
            .iter()
            .map(|&cohort| {
                (
                    cohort,
                    sum(&panel.counts.census.present, cohort),
                    sum(&panel.counts.census.complete, cohort),
                )
            })
            .filter(|&(_, present, complete)| present > 0 && complete == 0)
            .map(|(cohort, present, _)| format!("{} ({present} rows)", label(cohort)))
            .collect();
        if !named.is_empty() {
            self.warnings.push(format!(
                "left out as a whole, since each of their rows has a missing value: cohort {}",
                named.join(", cohort ")
            ));
        }
    }

    /// Explains a sub-group without units by its losses in balancing; empty if it had none.
    pub(super) fn lost_in_balancing(&self, panel: &Panel, cohort: f64, eligible: bool) -> String {
        let own = strata_of(panel, cohort).into_iter().filter(|&s| panel.strata[s].eligible == eligible);
        let (mut had, mut left) = (0, 0);
        for stratum in own {
            had += panel.counts.census.units[stratum];
            left += self.units[stratum];
        }
        if self.balance.rows > 0 && had > left {
            format!(" ({} of its {had} units are not observed in every period)", had - left)
        } else {
            String::new()
        }
    }
}

fn label(cohort: f64) -> String {
    if cohort.is_infinite() { "of the never treated".to_owned() } else { cohort.to_string() }
}
