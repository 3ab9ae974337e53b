//! A panel in memory: shards and what is known of them all.

use std::sync::Arc;

use crate::shard::Shard;

/// Units that share cohort and eligibility.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stratum {
    /// Raw cohort; infinity for never treated.
    pub cohort: f64,
    /// Eligibility of triple differences; `true` without.
    pub eligible: bool,
}

/// What a row of the shards is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowKind {
    /// A unit with all its periods.
    Unit,
    /// A row of the input: repeated cross sections.
    Observation,
}

/// Counts of rows by stratum and period, filled while shards are built; the partial of the census.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Census {
    /// `strata × periods`: rows of the input.
    pub present: Vec<u64>,
    /// `strata × periods`: rows without a missing value.
    pub complete: Vec<u64>,
    /// Units of each stratum with at least one complete row.
    pub units: Vec<u64>,
    /// Σ weights over complete rows.
    pub weight: f64,
    /// Smallest weight of a complete row.
    pub least_weight: f64,
}

impl Census {
    /// Zero counts.
    pub fn new(strata: usize, periods: usize) -> Self {
        Self {
            present: vec![0; strata * periods],
            complete: vec![0; strata * periods],
            units: vec![0; strata],
            weight: 0.0,
            least_weight: f64::INFINITY,
        }
    }

    /// Adds the counts of another part of the data.
    pub fn merge(&mut self, other: &Self) {
        // A shard counts the strata up to its last one.
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
    /// What a row of the shards is.
    pub rows: RowKind,
    /// Shards by hash prefix, or by row number; a power of two of them.
    pub shards: Vec<Shard>,
    /// Periods of the input, ascending.
    pub periods: Vec<f64>,
    /// Strata, by cohort and eligibility ascending.
    pub strata: Vec<Stratum>,
    /// Units of the input; rows in cross sections.
    pub units: u64,
    /// Rows of the input.
    pub input_rows: u64,
    /// Rows without unit, period or eligibility.
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

impl Panel {
    /// Whether another specification's panel of the same data leaves out the same rows.
    pub(crate) fn same_rows(&self, other: &Self) -> bool {
        self.shards.len() == other.shards.len()
            && self.shards.iter().zip(&other.shards).all(|(a, b)| a.incomplete == b.incomplete)
    }
}
