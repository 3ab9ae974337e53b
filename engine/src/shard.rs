//! A shard: units of a range of hash prefixes as columns, in the canonical order; or rows of a cross section.

use std::sync::Arc;

use stagger_estimator::columns::AlignedVec;

/// Units of one stratum inside a shard; in cross sections the rows of one stratum and period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Index of the stratum.
    pub stratum: usize,
    /// Index of the period of all rows, in cross sections.
    pub period: Option<usize>,
    /// First row; a whole number of lanes.
    pub start: usize,
    /// Units; rows after them, up to the next whole lane, are padding.
    pub units: usize,
}

/// A variable that may vary in time.
#[derive(Clone, Debug)]
pub enum ShardColumn {
    /// One value a unit.
    Constant(Arc<AlignedVec>),
    /// One column a period.
    ByPeriod(Vec<Arc<AlignedVec>>),
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
#[derive(Clone, Debug, PartialEq, Eq)]
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

    /// Sets the bits that `other`, of the same shape, has.
    pub fn add(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a |= b);
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
///
/// A row of a cross section is a unit with one period, the segment's. Columns are shared by the specifications of a run.
#[derive(Clone, Debug)]
pub struct Shard {
    /// Strata, ascending.
    pub segments: Vec<Segment>,
    /// Rows, padding included.
    pub rows: usize,
    /// Multiplier key of every unit: the lower half of its hash.
    pub keys: Arc<Vec<u64>>,
    /// One column a period; one in all in cross sections.
    pub outcomes: Vec<Arc<AlignedVec>>,
    /// One an atom of the formula: its value, or the code of its level.
    pub atoms: Vec<ShardColumn>,
    /// Sampling weights.
    pub weights: Option<ShardColumn>,
    /// Cluster keys, one vector a cluster variable.
    pub clusters: Vec<Arc<Vec<u64>>>,
    /// Units × periods without a complete row; `None` if all are complete.
    pub incomplete: Option<PeriodBits>,
}

impl Shard {
    /// Units, or rows of a cross section.
    pub fn units(&self) -> usize {
        self.segments.iter().map(|segment| segment.units).sum()
    }

    /// Outcomes of a segment's units in a period.
    #[inline]
    pub fn outcome(&self, segment: &Segment, period: usize) -> &[f64] {
        &self.outcomes[if segment.period.is_some() { 0 } else { period }]
    }

    /// Whether the row of a unit and period is there and complete.
    #[inline]
    pub fn observed(&self, segment: &Segment, row: usize, period: usize) -> bool {
        match segment.period {
            Some(own) => own == period && self.incomplete.as_ref().is_none_or(|bits| !bits.get(row, 0)),
            None => self.incomplete.as_ref().is_none_or(|bits| !bits.get(row, period)),
        }
    }
}
