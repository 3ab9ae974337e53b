//! A panel in memory: shards and what is known of them all.

use std::sync::Arc;

use crate::shard::Shard;

/// Counts of rows by raw cohort and period, filled while shards are built; the partial of the census.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Census {
    /// `cohorts × periods`: rows of the input.
    pub present: Vec<u64>,
    /// `cohorts × periods`: rows without a missing value.
    pub complete: Vec<u64>,
    /// Units of each cohort with at least one complete row.
    pub units: Vec<u64>,
    /// Σ weights over complete rows.
    pub weight: f64,
    /// Smallest weight of a complete row.
    pub least_weight: f64,
}

impl Census {
    /// Zero counts.
    pub fn new(cohorts: usize, periods: usize) -> Self {
        Self {
            present: vec![0; cohorts * periods],
            complete: vec![0; cohorts * periods],
            units: vec![0; cohorts],
            weight: 0.0,
            least_weight: f64::INFINITY,
        }
    }

    /// Adds the counts of another part of the data.
    pub fn merge(&mut self, other: &Self) {
        // A shard counts the cohorts up to its last one.
        let add = |a: &mut [u64], b: &[u64]| a.iter_mut().zip(b).for_each(|(x, y)| *x += y);
        add(&mut self.present, &other.present);
        add(&mut self.complete, &other.complete);
        add(&mut self.units, &other.units);
        self.weight += other.weight;
        self.least_weight = self.least_weight.min(other.least_weight);
    }
}

/// A panel in memory.
#[derive(Debug)]
pub struct Panel {
    /// Shards by hash prefix; a power of two of them.
    pub shards: Vec<Shard>,
    /// Periods of the input, ascending.
    pub periods: Vec<f64>,
    /// Raw cohorts, ascending; infinity for never treated.
    pub cohorts: Vec<f64>,
    /// Units of the input.
    pub units: u64,
    /// Rows of the input.
    pub input_rows: u64,
    /// Rows without id or period.
    pub keyless_rows: u64,
    /// Rows whose missing cohort was read as never treated.
    pub cohortless_rows: u64,
    /// Row counts.
    pub census: Census,
    /// Whether some atom of the formula varies in time.
    pub atoms_vary: bool,
    /// Whether weights vary in time.
    pub weights_vary: bool,
    /// Per atom: whether its values are codes of `interned` text, still in the order met.
    pub text_atoms: Vec<bool>,
    /// Text values of factors, by code.
    pub interned: Arc<Vec<String>>,
    /// Path, bytes and rows of every input file.
    pub files: Vec<(String, u64, u64)>,
}
