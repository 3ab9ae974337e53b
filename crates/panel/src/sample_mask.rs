//! The units of a panel that a specification uses, as masks, so that shards stay the same for all specifications.

use serde::{Deserialize, Serialize};
use stagger_estimator::sample::CohortRole;

use crate::shard::{Segment, Shard};

/// Units of a panel that a specification uses, as masks over strata and periods, so that all specifications share the
/// shards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleMask {
    /// Role of each stratum.
    pub roles: Vec<CohortRole>,
    /// Kept periods, as bits.
    pub periods: Vec<u64>,
    /// True if a unit must be observed in every needed period.
    pub whole: bool,
    /// Periods that a unit needs then, as bits: the kept ones, and those that were given up after balancing.
    pub needed: Vec<u64>,
}

impl SampleMask {
    /// Tells if some unit of the segment can be used.
    pub fn uses_segment(&self, segment: &Segment) -> bool {
        self.roles[segment.stratum] != CohortRole::Dropped
            && segment.period.is_none_or(|period| self.periods[period / 64] >> (period % 64) & 1 == 1)
    }

    /// Tells if a unit of a used segment is used: observed in every needed period if `whole`, else in some kept one.
    #[inline]
    pub fn uses_unit(&self, shard: &Shard, segment: &Segment, row: usize) -> bool {
        if let Some(period) = segment.period {
            return shard.is_observed(segment, row, period);
        }
        shard.incomplete.as_ref().is_none_or(|bits| {
            let own = bits.row_words(row).iter();
            match self.whole {
                true => own.zip(&self.needed).all(|(b, p)| b & p == 0),
                false => own.zip(&self.periods).any(|(b, p)| !b & p != 0),
            }
        })
    }
}
