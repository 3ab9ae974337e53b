//! Shard: the columns of units in a range of hash prefixes, in the canonical order; or of rows in a cross section.

use std::sync::Arc;

use stagger_estimator::columns::AlignedVec;

/// Consecutive units of one stratum in a shard; in cross sections the rows of one stratum and period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Index of the stratum.
    pub stratum: usize,
    /// Index of the period of all its rows, in cross sections.
    pub period: Option<usize>,
    /// Index of the first row, a multiple of the lanes.
    pub start: usize,
    /// Number of units. The rows after them, up to a multiple of the lanes, are padding.
    pub units: usize,
}

/// A variable that may vary in time; values by row.
#[derive(Clone, Debug)]
pub enum ShardColumn {
    /// One value for each unit.
    Constant(Arc<AlignedVec>),
    /// One column for each period.
    ByPeriod(Vec<Arc<AlignedVec>>),
}

impl ShardColumn {
    /// Returns the values in a period.
    #[inline]
    pub fn at(&self, period: usize) -> &[f64] {
        match self {
            ShardColumn::Constant(values) => values,
            ShardColumn::ByPeriod(periods) => &periods[period],
        }
    }

    /// Returns the variable with each of its columns replaced.
    pub fn map(self, mut each: impl FnMut(Arc<AlignedVec>) -> Arc<AlignedVec>) -> Self {
        match self {
            Self::Constant(values) => Self::Constant(each(values)),
            Self::ByPeriod(periods) => Self::ByPeriod(periods.into_iter().map(each).collect()),
        }
    }

    /// Tells if the variable varies in time.
    pub fn varies(&self) -> bool {
        matches!(self, ShardColumn::ByPeriod(_))
    }
}

/// One bit for each unit and period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeriodBits {
    words: Vec<u64>,
    per_row: usize,
}

impl PeriodBits {
    /// Returns bits that are all 0, rows × periods.
    pub fn new(rows: usize, periods: usize) -> Self {
        let per_row = periods.div_ceil(64);
        Self { words: vec![0; rows * per_row], per_row }
    }

    /// Sets the bit of a row and period.
    pub fn set(&mut self, row: usize, period: usize) {
        self.words[row * self.per_row + period / 64] |= 1 << (period % 64);
    }

    /// Sets the bits that are set in `other`, which has the same shape.
    pub fn set_all(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a |= b);
    }

    /// Returns the bit of a row and period.
    #[inline]
    pub fn get(&self, row: usize, period: usize) -> bool {
        self.words[row * self.per_row + period / 64] >> (period % 64) & 1 == 1
    }

    /// Returns the words of a row: period p is bit p mod 64 of word p / 64.
    #[inline]
    pub fn row_words(&self, row: usize) -> &[u64] {
        &self.words[row * self.per_row..(row + 1) * self.per_row]
    }
}

/// The units of one shard as columns. Missing values are stored as 0 and marked in `incomplete`; padding is 0.
///
/// A row of a cross section is a unit with one period, that of its segment. The specifications of a run share the
/// columns.
#[derive(Clone, Debug)]
pub struct Shard {
    /// Segments, by stratum and period ascending.
    pub segments: Vec<Segment>,
    /// Number of rows, padding included.
    pub rows: usize,
    /// Multiplier key of every unit: the lower half of its hash.
    pub keys: Arc<Vec<u64>>,
    /// Outcomes, one column for each period; a single one in cross sections.
    pub outcomes: Vec<Arc<AlignedVec>>,
    /// Atoms of the formula: their values, or the codes of their levels.
    pub atoms: Vec<ShardColumn>,
    /// Sampling weights.
    pub weights: Option<ShardColumn>,
    /// Cluster keys, one vector for each cluster variable.
    pub clusters: Vec<Arc<Vec<u64>>>,
    /// Units × periods without a complete row; `None` if all are complete.
    pub incomplete: Option<PeriodBits>,
}

impl Shard {
    /// Returns the number of units; of rows in a cross section.
    pub fn unit_count(&self) -> usize {
        self.segments.iter().map(|segment| segment.units).sum()
    }

    /// Returns the outcomes of all rows in a period; in cross sections in the period of the segment.
    #[inline]
    pub fn outcomes_in(&self, segment: &Segment, period: usize) -> &[f64] {
        &self.outcomes[if segment.period.is_some() { 0 } else { period }]
    }

    /// Tells if the row of a unit and period exists and is complete.
    #[inline]
    pub fn is_observed(&self, segment: &Segment, row: usize, period: usize) -> bool {
        match segment.period {
            Some(own) => own == period && self.incomplete.as_ref().is_none_or(|bits| !bits.get(row, 0)),
            None => self.incomplete.as_ref().is_none_or(|bits| !bits.get(row, period)),
        }
    }
}
