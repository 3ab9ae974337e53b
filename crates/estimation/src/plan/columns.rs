//! What the passes of a plan sum: features, or the extended columns that each stratum enters.

use stagger_estimator::influence::{Membership, Role};
use stagger_estimator::sample::CohortRole;

use super::{Plan, features};

impl Plan {
    /// Decides what is summed: the features, or else the extended columns.
    pub(super) fn with_features(mut self) -> Self {
        self.features = features::plan_features(&self);
        if self.features.is_none() {
            return self.with_columns();
        }
        self.sums.stratum_parts = vec![Vec::new(); self.sample.units.len()];
        self.sums.stratum_columns = vec![Vec::new(); self.sample.units.len()];
        self
    }

    /// Returns the plan that sums the extended columns even where features are fewer; its results agree to rounding.
    #[must_use]
    pub fn summing_columns(self) -> Self {
        Self { features: None, ..self }.with_columns()
    }

    /// Returns the plan that starts logits on a sample from this number of shards on.
    #[must_use]
    pub fn starting_from(mut self, shards: usize) -> Self {
        self.regression.started_from = shards;
        self
    }

    /// Sets the extended columns that each stratum enters, from the comparisons.
    fn with_columns(mut self) -> Self {
        let fixed = 1 + self.targets.groups.len();
        self.sums.stratum_parts =
            self.sides_by_stratum(&|estimate| Some(fixed + self.comparisons.estimates[estimate]));
        self.sums.stratum_columns = self.columns();
        self
    }

    /// Returns, for each stratum, the sides of comparisons that it enters. `column` gives the extended column of an
    /// estimate; estimates without one are left out.
    pub fn sides_by_stratum(&self, column: &dyn Fn(usize) -> Option<usize>) -> Vec<Vec<Membership>> {
        let mut out: Vec<Vec<Membership>> = self.sample.units.iter().map(|_| Vec::new()).collect();
        for (comparison, c) in self.comparisons.comparisons.iter().enumerate() {
            let Some(column) = column(c.estimate) else { continue };
            for side in 0..c.sides.len() {
                out[c.treated].push(Membership { column, comparison, side, treated: true });
                for &stratum in &self.comparisons.sets[c.controls] {
                    out[stratum].push(Membership { column, comparison, side, treated: false });
                }
            }
        }
        out
    }

    fn columns(&self) -> Vec<Vec<(usize, Role)>> {
        let of = |stratum: usize| {
            if self.sample.mask.roles[stratum] == CohortRole::Dropped {
                return Vec::new();
            }
            let mut columns = vec![(0, Role::Ones)];
            let label = self.sample.strata[stratum].cohort;
            let group = self.targets.groups.iter().position(|&g| g == label);
            if let (CohortRole::Estimated, Some(group)) = (self.sample.mask.roles[stratum], group) {
                columns.push((1 + group, Role::Share));
            }
            let mut estimates: Vec<usize> =
                self.sums.stratum_parts[stratum].iter().map(|p| p.column).collect();
            estimates.sort_unstable();
            estimates.dedup();
            columns.extend(estimates.into_iter().map(|column| (column, Role::Estimate)));
            columns
        };
        (0..self.sample.units.len()).map(of).collect()
    }
}
