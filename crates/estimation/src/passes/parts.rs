//! `Influence` tasks over some of the extended columns. Columns are cut into sets, and a task takes a pair of sets,
//! since cells share controls and the products between two sets are not zero (DESIGN §3). Tasks are cut like this when
//! even one shard's partial is too large for a worker.

use stagger_estimator::influence::{ClusterPartial, InfluencePartial};
use stagger_model::error::{Result, StaggerError};
use stagger_model::reduction::ColumnPair;

use crate::partial::{InfluenceSums, Partial};
use crate::stage::StageInput;

impl StageInput {
    /// Returns the largest number of sets that the columns can be cut into; `fixed` is the number of columns that every
    /// pair includes.
    pub fn max_sets(&self, fixed: usize) -> usize {
        match self {
            Self::Influence { columns, .. } => columns.iter().filter(|&&c| c >= fixed).count(),
            _ => 1,
        }
    }

    /// Returns the same input restricted to the columns of a pair of sets. The first `fixed` extended columns belong to
    /// every pair. Stages without columns stay whole.
    pub fn restrict_columns(&self, part: ColumnPair, fixed: usize) -> Self {
        let mut out = self.clone();
        if let Self::Influence { columns, draws, .. } = &mut out {
            let taken = positions(columns, part, fixed);
            *columns = taken.iter().map(|&at| columns[at]).collect();
            // The draws of a set belong to the pair of the set with itself.
            *draws = if part.a == part.b { *draws } else { 0 };
        }
        out
    }

    /// Assembles the whole partial from those of all pairs of sets; in a stage without columns each of them is whole.
    ///
    /// # Errors
    /// Partials of another stage, and no partial.
    pub fn assemble_partial<'a>(
        &self,
        mut parts: impl Iterator<Item = (ColumnPair, &'a Partial)>,
        fixed: usize,
    ) -> Result<Partial> {
        let Self::Influence { columns, draws, .. } = self else {
            let first = parts.next().map(|(_, partial)| partial.clone());
            return first.ok_or_else(|| StaggerError::failed("a partial without parts"));
        };
        let mut whole: Option<InfluenceSums> = None;
        for (part, partial) in parts {
            let Partial::Influence(sums) = partial else {
                return Err(StaggerError::failed("a part of another stage's partial"));
            };
            let taken = positions(columns, part, fixed);
            let whole = whole.get_or_insert_with(|| empty(columns.len(), *draws, sums));
            place_sums(&mut whole.units, &sums.units, &taken);
            for (all, own) in whole.clusters.iter_mut().zip(&sums.clusters) {
                place_clusters(all, own, &taken);
            }
        }
        whole.map(Partial::Influence).ok_or_else(|| StaggerError::failed("a partial without parts"))
    }
}

/// Positions of the columns that a pair of sets includes, ascending.
fn positions(columns: &[usize], part: ColumnPair, fixed: usize) -> Vec<usize> {
    let first = columns.iter().position(|&c| c >= fixed).unwrap_or(columns.len());
    let own = columns.len() - first;
    let each = own.div_ceil(usize::from(part.sets)).max(1);
    let set = |index: u16| {
        let start = first + (usize::from(index) * each).min(own);
        start..(start + each).min(columns.len())
    };
    let second = if part.a == part.b { 0..0 } else { set(part.b) };
    (0..first).chain(set(part.a)).chain(second).collect()
}

fn empty(columns: usize, draws: usize, like: &InfluenceSums) -> InfluenceSums {
    let clusters = |own: &ClusterPartial| ClusterPartial {
        columns,
        keys: own.keys.clone(),
        sums: vec![0.0; own.keys.len() * columns],
    };
    InfluenceSums {
        units: InfluencePartial::new(columns, draws),
        clusters: like.clusters.iter().map(clusters).collect(),
    }
}

/// Writes the sums of some columns to their places in the sums of all columns.
pub(super) fn place_sums(all: &mut InfluencePartial, part: &InfluencePartial, columns: &[usize]) {
    for (i, &row) in columns.iter().enumerate() {
        for (j, &column) in columns.iter().enumerate() {
            all.cross[row * all.columns + column] = part.cross[i * part.columns + j];
        }
    }
    for draw in 0..part.draws {
        for (j, &column) in columns.iter().enumerate() {
            all.bit_sums[draw * all.columns + column] = part.bit_sums[draw * part.columns + j];
        }
    }
}

fn place_clusters(all: &mut ClusterPartial, part: &ClusterPartial, columns: &[usize]) {
    for cluster in 0..part.keys.len() {
        for (j, &column) in columns.iter().enumerate() {
            all.sums[cluster * all.columns + column] = part.sums[cluster * part.columns + j];
        }
    }
}
