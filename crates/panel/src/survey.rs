//! Surveys: counts over all shards that planning needs and the manifest does not have, of rows without missing values,
//! used units, factor levels and clusters. Counts are mergeable, so that workers can compute them where the panel is
//! too large for this process.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use stagger_model::reduction::Merge;

use crate::cluster_keys::cluster_keys;
use crate::sample_mask::SampleMask;
use crate::shard::{Shard, ShardColumn};
use crate::strata::{Census, NeededColumns};

/// Largest number of clusters that are counted; beyond it the number of units serves as the bound.
const MOST_CLUSTERS: usize = 4_000_000;

/// A count over all shards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Survey {
    /// Rows and weights by stratum and period.
    Census,
    /// Units of each stratum that a specification uses.
    Units {
        /// Units that the specification uses.
        mask: SampleMask,
    },
    /// Distinct values of an atom of the formula.
    Levels {
        /// Units that the specification uses.
        mask: SampleMask,
        /// Kept periods, as indices into the panel's.
        periods: Vec<usize>,
        /// Index of the atom.
        atom: usize,
    },
    /// Distinct clusters in all ways of clustering together.
    Clusters,
}

/// Result of a [`Survey`], one variant for each kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Counts {
    /// Rows and weights by stratum and period.
    Census(Census),
    /// Number of used units in each stratum.
    Units(Vec<u64>),
    /// Bits of the distinct values.
    Levels(BTreeSet<u64>),
    /// Keys of the clusters; `None` where there are too many to count.
    Clusters(Option<BTreeSet<u64>>),
}

impl Merge for Counts {
    fn merge(&mut self, next: &Self) {
        match (self, next) {
            (Self::Census(own), Self::Census(next)) => own.merge(next),
            (Self::Units(own), Self::Units(next)) => own.iter_mut().zip(next).for_each(|(a, b)| *a += b),
            (Self::Levels(own), Self::Levels(next)) => own.extend(next),
            (Self::Clusters(own), Self::Clusters(next)) => {
                if let (Some(keys), Some(more)) = (own.as_mut(), next) {
                    keys.extend(more);
                }
                if next.is_none() || own.as_ref().is_some_and(|keys| keys.len() > MOST_CLUSTERS) {
                    *own = None;
                }
            }
            // All tasks of a stage compute one kind.
            _ => {}
        }
    }
}

impl Survey {
    /// Returns the columns of a shard that the survey reads.
    pub fn needs(&self) -> NeededColumns {
        NeededColumns { clusters: matches!(self, Self::Clusters), ..NeededColumns::default() }
    }

    /// Counts one shard of a panel with this number of strata. A census is taken where shards are built
    /// (`load/finish.rs`), which knows the absent rows.
    pub fn count_shard(&self, shard: &Shard, strata: usize) -> Counts {
        match self {
            Self::Census => Counts::Census(Census::default()),
            Self::Units { mask } => Counts::Units(units(shard, mask, strata)),
            Self::Levels { mask, periods, atom } => Counts::Levels(levels(shard, mask, periods, *atom)),
            Self::Clusters => Counts::Clusters(Some(cluster_keys(shard).into_iter().flatten().collect())),
        }
    }
}

fn units(shard: &Shard, mask: &SampleMask, strata: usize) -> Vec<u64> {
    let mut counts = vec![0u64; strata];
    for segment in shard.segments.iter().filter(|s| mask.uses_segment(s)) {
        let rows = segment.start..segment.start + segment.units;
        counts[segment.stratum] += match shard.incomplete {
            None => segment.units as u64,
            Some(_) => rows.filter(|&row| mask.uses_unit(shard, segment, row)).count() as u64,
        };
    }
    counts
}

fn levels(shard: &Shard, mask: &SampleMask, periods: &[usize], atom: usize) -> BTreeSet<u64> {
    let column = &shard.atoms[atom];
    let mut values = BTreeSet::new();
    for segment in shard.segments.iter().filter(|s| mask.uses_segment(s)) {
        let periods = segment.period.as_ref().map_or(periods, std::slice::from_ref);
        for row in segment.start..segment.start + segment.units {
            if !mask.uses_unit(shard, segment, row) {
                continue;
            }
            match column {
                ShardColumn::Constant(column) => {
                    values.insert(column[row].to_bits());
                }
                ShardColumn::ByPeriod(_) => {
                    let observed = periods.iter().filter(|&&p| shard.is_observed(segment, row, p));
                    values.extend(observed.map(|&p| column.at(p)[row].to_bits()));
                }
            }
        }
    }
    values
}

/// Place where counts are computed.
#[derive(Debug, Default)]
pub enum Surveyor {
    /// The threads of this process.
    #[default]
    Local,
    /// Workers: planning stops at the first unknown count, and starts again once it is known.
    Remote(Mutex<KnownCounts>),
}

/// Counts that are known, and the one that planning stopped at.
#[derive(Debug, Default)]
pub struct KnownCounts {
    /// Counts that workers have taken.
    pub known: Vec<(Survey, Counts)>,
    /// The count that planning stopped at.
    pub wanted: Option<Survey>,
}

impl Surveyor {
    /// Returns the surveyor for workers, with the counts known so far.
    pub fn remote(known: Vec<(Survey, Counts)>) -> Self {
        Self::Remote(Mutex::new(KnownCounts { known, wanted: None }))
    }

    /// Returns the count that planning stopped at.
    pub fn pending(&self) -> Option<Survey> {
        match self {
            Self::Local => None,
            Self::Remote(answers) => answers.lock().unwrap_or_else(PoisonError::into_inner).wanted.clone(),
        }
    }
}
