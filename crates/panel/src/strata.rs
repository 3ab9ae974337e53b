//! Strata of a panel: cohort and eligibility, the counts of their rows, and the columns that a pass needs.

use serde::{Deserialize, Serialize};
/// A set of units with the same cohort and eligibility.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stratum {
    /// Cohort as the data have it: the first treated period; infinity for never treated.
    #[serde(with = "cohort")]
    pub cohort: f64,
    /// Eligibility in triple differences; `true` without.
    pub eligible: bool,
}

/// Meaning of a shard's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RowKind {
    /// A unit with all its periods.
    Unit,
    /// A row of the input, in repeated cross sections.
    Observation,
}

/// Counts of rows by stratum and period, filled while shards are built; the partial of the census stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Census {
    /// Rows of the input, `strata × periods`, row-major.
    pub present: Vec<u64>,
    /// Rows without a missing value, `strata × periods`, row-major.
    pub complete: Vec<u64>,
    /// Number of units of each stratum with at least one complete row.
    pub units: Vec<u64>,
    /// Sum of the weights of complete rows.
    pub weight: f64,
    /// Smallest weight of a complete row.
    pub least_weight: f64,
    /// By atom of the formula: the number of rows that have all values it is computed from but not the atom's, and the
    /// number of those in which it is infinite.
    #[serde(default)]
    pub computed: Vec<[u64; 2]>,
    /// Smallest positive weight of a complete row.
    pub least_positive_weight: f64,
    /// Largest weight of a complete row.
    pub greatest_weight: f64,
}

impl Census {
    /// Returns counts of zero for this number of strata and periods.
    pub fn new(strata: usize, periods: usize) -> Self {
        Self {
            present: vec![0; strata * periods],
            complete: vec![0; strata * periods],
            units: vec![0; strata],
            weight: 0.0,
            least_weight: f64::INFINITY,
            computed: Vec::new(),
            least_positive_weight: f64::INFINITY,
            greatest_weight: f64::NEG_INFINITY,
        }
    }

    /// Counts the weight of a complete row.
    pub fn add_weight(&mut self, weight: f64) {
        self.weight += weight;
        self.least_weight = self.least_weight.min(weight);
        self.greatest_weight = self.greatest_weight.max(weight);
        if weight > 0.0 {
            self.least_positive_weight = self.least_positive_weight.min(weight);
        }
    }

    /// Adds the counts of another part of the data.
    pub fn merge(&mut self, other: &Self) {
        // A shard counts the strata up to its last one only.
        let add = |a: &mut [u64], b: &[u64]| a.iter_mut().zip(b).for_each(|(x, y)| *x += y);
        add(&mut self.present, &other.present);
        add(&mut self.complete, &other.complete);
        add(&mut self.units, &other.units);
        self.computed.resize(self.computed.len().max(other.computed.len()), [0; 2]);
        self.computed.iter_mut().zip(&other.computed).for_each(|(own, more)| add(own, more));
        self.weight += other.weight;
        self.least_weight = self.least_weight.min(other.least_weight);
        self.least_positive_weight = self.least_positive_weight.min(other.least_positive_weight);
        self.greatest_weight = self.greatest_weight.max(other.greatest_weight);
    }
}

/// Columns of a shard that a pass needs besides covariates, weights and the mask of missing values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeededColumns {
    /// Outcomes.
    pub outcomes: bool,
    /// Multiplier keys of units.
    pub keys: bool,
    /// Cluster keys.
    pub clusters: bool,
}

impl NeededColumns {
    /// All columns.
    pub const ALL: Self = Self { outcomes: true, keys: true, clusters: true };

    /// Tells if these columns include all of the other's.
    pub fn covers(self, other: Self) -> bool {
        self.or(other) == self
    }

    /// Returns the columns of both.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            outcomes: self.outcomes || other.outcomes,
            keys: self.keys || other.keys,
            clusters: self.clusters || other.clusters,
        }
    }
}

/// Returns the distinct strata of all threads, by cohort and eligibility.
pub fn distinct_strata(lists: impl Iterator<Item = Stratum>) -> Vec<Stratum> {
    let mut all: Vec<Stratum> = lists.collect();
    all.sort_by(|a, b| a.cohort.total_cmp(&b.cohort).then(a.eligible.cmp(&b.eligible)));
    all.dedup();
    all
}

/// Returns the index in `global` of each stratum of a thread.
pub fn stratum_codes(local: &[Stratum], global: &[Stratum]) -> Vec<u16> {
    local.iter().map(|s| global.iter().position(|known| known == s).unwrap_or_default() as u16).collect()
}

/// Serialization of a cohort: JSON has no infinity.
mod cohort {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(cohort: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        cohort.is_finite().then_some(*cohort).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::INFINITY))
    }
}
