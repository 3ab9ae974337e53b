//! A shard: units of a range of hash prefixes as columns, in the canonical order.

use stagger_estimator::columns::AlignedVec;

/// Units of one raw cohort inside a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Index of the raw cohort.
    pub stratum: usize,
    /// First row; a whole number of lanes.
    pub start: usize,
    /// Units; rows after them, up to the next whole lane, are padding.
    pub units: usize,
}

/// A variable that may vary in time.
#[derive(Clone, Debug)]
pub enum ShardColumn {
    /// One value a unit.
    Constant(AlignedVec),
    /// One column a period.
    ByPeriod(Vec<AlignedVec>),
}

impl ShardColumn {
    /// Values in a period.
    #[inline]
    pub fn at(&self, period: usize) -> &[f64] {
        match self {
            ShardColumn::Constant(values) => values,
            ShardColumn::ByPeriod(periods) => &periods[period],
        }
    }

    /// Whether it varies in time.
    pub fn varies(&self) -> bool {
        matches!(self, ShardColumn::ByPeriod(_))
    }
}

/// One bit a unit and period.
#[derive(Clone, Debug)]
pub struct PeriodBits {
    words: Vec<u64>,
    per_row: usize,
}

impl PeriodBits {
    /// All bits 0.
    pub fn new(rows: usize, periods: usize) -> Self {
        let per_row = periods.div_ceil(64);
        Self { words: vec![0; rows * per_row], per_row }
    }

    /// Sets a bit.
    pub fn set(&mut self, row: usize, period: usize) {
        self.words[row * self.per_row + period / 64] |= 1 << (period % 64);
    }

    /// Reads a bit.
    #[inline]
    pub fn get(&self, row: usize, period: usize) -> bool {
        self.words[row * self.per_row + period / 64] >> (period % 64) & 1 == 1
    }

    /// The words of a row.
    #[inline]
    pub fn row(&self, row: usize) -> &[u64] {
        &self.words[row * self.per_row..(row + 1) * self.per_row]
    }
}

/// Columns of the units of one shard. Missing values are stored as 0 and marked in `incomplete`; padding is 0.
#[derive(Clone, Debug)]
pub struct Shard {
    /// Strata, ascending.
    pub segments: Vec<Segment>,
    /// Rows, padding included.
    pub rows: usize,
    /// Multiplier key of every unit: the lower half of its hash.
    pub keys: Vec<u64>,
    /// One column a period.
    pub outcomes: Vec<AlignedVec>,
    /// One an atom of the formula: its value, or the code of its level.
    pub atoms: Vec<ShardColumn>,
    /// Sampling weights.
    pub weights: Option<ShardColumn>,
    /// Cluster keys, one vector a cluster variable.
    pub clusters: Vec<Vec<u64>>,
    /// Units × periods without a complete row; `None` if all are complete.
    pub incomplete: Option<PeriodBits>,
}
