//! The cleaning steps on a table of counts, one method a step (FORMULAS §1.3-1.5).

use super::{CohortRole, CohortTable, SampleError, SamplePlan, SampleRules};
use crate::label::label;
use crate::options::ControlGroup;

/// A sample in the making: live periods and roles, narrowed step by step.
pub(super) struct Draft<'a> {
    table: &'a CohortTable,
    anticipation: f64,
    live: Vec<bool>,
    plan: SamplePlan,
    already: u64,
}

impl<'a> Draft<'a> {
    /// Every cohort with rows is never treated or estimated; treated after the end counts as never (§1.2, §1.3).
    pub(super) fn new(table: &'a CohortTable, anticipation: f64) -> Result<Self, SampleError> {
        let live: Vec<bool> = (0..table.periods.len()).map(|t| table.rows.iter().any(|r| r[t] > 0)).collect();
        let plan = SamplePlan {
            periods: Vec::new(),
            roles: vec![CohortRole::Estimated; table.cohorts.len()],
            warnings: Vec::new(),
            dropped_rows: Vec::new(),
            dropped_units: 0,
        };
        let mut draft = Self { table, anticipation, live, plan, already: 0 };
        let Some(last) = draft.last_period() else {
            return Err(SampleError::Empty { cohorts: table.cohorts.len(), periods: table.periods.len() });
        };
        if let [period] = draft.live_periods()[..] {
            return Err(SampleError::OnePeriod { found: 1, period: table.periods[period] });
        }
        draft.drop_empty_cohorts();
        for (cohort, role) in table.cohorts.iter().zip(&mut draft.plan.roles) {
            let never = *cohort == 0.0 || *cohort > last + anticipation;
            if never && *role != CohortRole::Dropped {
                *role = CohortRole::NeverTreated;
            }
        }
        match draft.plan.roles.contains(&CohortRole::Estimated) {
            true => Ok(draft),
            false => Err(SampleError::NoneTreated { units: draft.units_of(CohortRole::NeverTreated), last }),
        }
    }

    /// The sample after balancing, whose cohorts had these roles: those that lost all their units are gone (§1.6).
    pub(super) fn again(
        table: &'a CohortTable,
        anticipation: f64,
        roles: &[CohortRole],
    ) -> Result<Self, SampleError> {
        let plan = SamplePlan {
            periods: Vec::new(),
            roles: roles.to_vec(),
            warnings: Vec::new(),
            dropped_rows: Vec::new(),
            dropped_units: 0,
        };
        let mut draft = Self { table, anticipation, live: vec![true; table.periods.len()], plan, already: 0 };
        draft.drop_empty_cohorts();
        if draft.plan.roles.contains(&CohortRole::Estimated) {
            return Ok(draft);
        }
        let cohorts = roles.iter().filter(|role| **role == CohortRole::Estimated).count();
        Err(SampleError::NoTreatedLeft { cohorts, units: table.units.iter().sum() })
    }

    /// Without never-treated units the last cohort becomes the control, before its own treatment (§1.4).
    pub(super) fn close_control_group(&mut self, rules: &SampleRules) -> Result<(), SampleError> {
        let control = rules.control_group;
        let closes = |role: &CohortRole| matches!(role, CohortRole::NeverTreated | CohortRole::ControlOnly);
        if self.plan.roles.iter().any(closes) {
            return Ok(());
        }
        let Some(last) = self.last_cohort() else {
            return Ok(());
        };
        let last_cohort = self.table.cohorts[last];
        if rules.needs_never_treated && control == ControlGroup::NeverTreated {
            let estimated = self.plan.roles.iter().filter(|role| **role == CohortRole::Estimated);
            return Err(SampleError::NoNeverTreated { last_cohort, others: estimated.count() > 1 });
        }
        let units = self.units_of(CohortRole::Estimated);
        let cut = last_cohort - self.anticipation;
        let first = self.first_period().unwrap_or(f64::NAN);
        let rows = self.drop_periods_from(cut);
        if self.plan.roles[last] == CohortRole::Dropped {
            return Err(SampleError::NoControlRows { cut, first, last_cohort });
        }
        self.plan.roles[last] = match control {
            ControlGroup::NeverTreated => CohortRole::NeverTreated,
            ControlGroup::NotYetTreated => CohortRole::ControlOnly,
        };
        self.say_last_cohort(last, control, cut, rows);
        match self.plan.roles.contains(&CohortRole::Estimated) {
            true => Ok(()),
            false => Err(SampleError::NoValidGroup { units, last_cohort }),
        }
    }

    /// Cohorts treated by the first period have no untreated one; repeated, as the first period may go with them (§1.5).
    pub(super) fn drop_already_treated(&mut self, keep: bool) {
        let Some(first) = self.first_period() else {
            return;
        };
        let (mut units, mut rows, mut labels) = (0, 0, Vec::new());
        while let Some(cohort) = self.treated_from_the_start() {
            if keep {
                self.plan.roles[cohort] = CohortRole::Bystander;
                continue;
            }
            units += self.table.units[cohort];
            rows += self.rows_of(cohort);
            labels.push(label(self.table.cohorts[cohort]));
            self.plan.roles[cohort] = CohortRole::Dropped;
            self.drop_empty_periods();
        }
        if labels.is_empty() {
            return;
        }
        self.already = units;
        self.plan.dropped_units += units;
        self.plan.dropped_rows.push(("already treated in the first period".to_owned(), rows));
        self.plan.warnings.push(format!(
            "dropped {units} units ({rows} rows) that were already treated in the first period, {} \
             (anticipation = {}; cohorts: {})",
            label(first),
            self.anticipation,
            labels.join(", ")
        ));
    }

    /// The plan, if two periods and one group are left.
    pub(super) fn finish(mut self) -> Result<SamplePlan, SampleError> {
        if !self.plan.roles.contains(&CohortRole::Estimated) {
            let first = self.table.periods.first().copied().unwrap_or(f64::NAN);
            let (units, anticipation) = (self.already, self.anticipation);
            return Err(SampleError::AlreadyTreated { units, first, anticipation });
        }
        self.plan.periods = self.live_periods();
        match self.plan.periods[..] {
            [] => Err(SampleError::OnePeriod { found: 0, period: f64::NAN }),
            [only] => Err(SampleError::OnePeriod { found: 1, period: self.table.periods[only] }),
            _ => Ok(self.plan),
        }
    }

    fn say_last_cohort(&mut self, last: usize, control: ControlGroup, cut: f64, rows: u64) {
        let (label, units, cut) = (label(self.table.cohorts[last]), self.table.units[last], label(cut));
        let duty = match control {
            ControlGroup::NeverTreated => "is taken as never treated",
            ControlGroup::NotYetTreated => "serves only as a control",
        };
        self.plan.warnings.push(format!(
            "no never-treated units: the last treated cohort ({label}, {units} units) {duty}, and {rows} rows from \
             period {cut} on were dropped, as they have no comparison group"
        ));
    }

    fn rows_of(&self, cohort: usize) -> u64 {
        let counts = self.table.rows[cohort].iter().zip(&self.live);
        counts.filter(|(_, live)| **live).map(|(rows, _)| rows).sum()
    }

    fn units_of(&self, role: CohortRole) -> u64 {
        self.plan
            .roles
            .iter()
            .zip(&self.table.units)
            .filter(|(r, _)| **r == role)
            .map(|(_, units)| units)
            .sum()
    }

    fn live_periods(&self) -> Vec<usize> {
        (0..self.live.len()).filter(|&t| self.live[t]).collect()
    }

    fn first_period(&self) -> Option<f64> {
        self.live.iter().position(|live| *live).map(|t| self.table.periods[t])
    }

    fn last_period(&self) -> Option<f64> {
        self.live.iter().rposition(|live| *live).map(|t| self.table.periods[t])
    }

    fn last_cohort(&self) -> Option<usize> {
        let estimated = (0..self.plan.roles.len()).filter(|&c| self.plan.roles[c] == CohortRole::Estimated);
        estimated.max_by(|&a, &b| self.table.cohorts[a].total_cmp(&self.table.cohorts[b]))
    }

    fn treated_from_the_start(&self) -> Option<usize> {
        let bound = self.first_period()? + self.anticipation;
        let roles = self.plan.roles.iter().enumerate();
        let mut estimated =
            roles.filter(|(_, role)| **role == CohortRole::Estimated).map(|(cohort, _)| cohort);
        estimated.find(|&cohort| self.table.cohorts[cohort] <= bound)
    }

    /// Rows at `cut` and later go; so do cohorts left without rows. Returns the rows given up.
    fn drop_periods_from(&mut self, cut: f64) -> u64 {
        let before: u64 = (0..self.table.cohorts.len()).map(|c| self.rows_of(c)).sum();
        for (live, period) in self.live.iter_mut().zip(&self.table.periods) {
            *live &= *period < cut;
        }
        let after: u64 = (0..self.table.cohorts.len()).map(|c| self.rows_of(c)).sum();
        self.plan
            .dropped_rows
            .push((format!("no comparison group from period {} on", label(cut)), before - after));
        self.plan.dropped_units += self.drop_empty_cohorts();
        self.drop_empty_periods();
        before - after
    }

    fn drop_empty_cohorts(&mut self) -> u64 {
        let mut units = 0;
        for cohort in 0..self.plan.roles.len() {
            if self.plan.roles[cohort] != CohortRole::Dropped && self.rows_of(cohort) == 0 {
                self.plan.roles[cohort] = CohortRole::Dropped;
                units += self.table.units[cohort];
            }
        }
        units
    }

    fn drop_empty_periods(&mut self) {
        for (period, live) in self.live.iter_mut().enumerate() {
            let kept = self
                .plan
                .roles
                .iter()
                .zip(&self.table.rows)
                .filter(|(role, _)| **role != CohortRole::Dropped);
            *live &= kept.map(|(_, rows)| rows[period]).sum::<u64>() > 0;
        }
    }
}
