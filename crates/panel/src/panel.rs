//! The panel: shards, and the counts and facts about all of them.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stagger_model::calendar::Calendar;
use stagger_model::error::{EngineError, Result};
use stagger_model::parallel;

use crate::load::{Remarks, StoredShards};
use crate::shard::{Shard, ShardColumn};
use crate::survey::Surveyor;

/// A set of units with the same cohort and eligibility.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stratum {
    /// Cohort as the data have it: the first treated period; infinity for never treated.
    #[serde(with = "cohort")]
    pub cohort: f64,
    /// Eligibility in triple differences; `true` without.
    pub eligible: bool,
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
    pub fn weigh(&mut self, weight: f64) {
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
pub struct Needs {
    /// Outcomes.
    pub outcomes: bool,
    /// Multiplier keys of units.
    pub keys: bool,
    /// Cluster keys.
    pub clusters: bool,
}

impl Needs {
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

/// The shards of a panel, a power of two of them: ranges of hash prefixes, or of row numbers in cross sections.
#[derive(Debug)]
pub enum Shards {
    /// All shards, in memory.
    Memory(Vec<Shard>),
    /// Shards of a panel store, read whenever they are needed.
    Stored {
        /// The shards of all specifications that read the store together.
        shards: Arc<StoredShards>,
        /// Index of this panel's specification among them.
        specification: usize,
    },
}

/// A panel: its shards, and the counts and facts about all of them.
#[derive(Debug)]
pub struct Panel {
    /// Meaning of a shard's row.
    pub rows: RowKind,
    /// The shards.
    pub shards: Shards,
    /// Periods of the input, ascending.
    pub periods: Vec<f64>,
    /// Strata, by cohort and eligibility, ascending.
    pub strata: Vec<Stratum>,
    /// Number of units in the input; of rows in cross sections.
    pub units: u64,
    /// Number of rows in the input.
    pub input_rows: u64,
    /// Number of rows without unit, period or eligibility.
    pub keyless_rows: u64,
    /// Number of rows whose missing cohort was read as never treated.
    pub cohortless_rows: u64,
    /// Counts of rows by stratum and period.
    pub census: Census,
    /// True if some atom of the formula varies in time.
    pub atoms_vary: bool,
    /// True if weights vary in time.
    pub weights_vary: bool,
    /// By atom: true if its values are codes of `interned` texts, in order of appearance until levels are known.
    pub text_atoms: Vec<bool>,
    /// By atom: true if these texts are numbers of many digits, whose levels sort as numbers.
    pub code_atoms: Vec<bool>,
    /// Texts of factors, by code.
    pub interned: Arc<Vec<String>>,
    /// Findings about the input that are reported to the user.
    pub remarks: Remarks,
    /// Calendar of periods and cohorts, where they are dates.
    pub calendar: Option<Calendar>,
    /// Path, bytes and rows of every input file.
    pub files: Vec<(String, u64, u64)>,
    /// The one who computes counts over the shards: this process or workers.
    pub surveyor: Surveyor,
}

impl Panel {
    /// Returns the number of shards.
    pub fn shard_count(&self) -> usize {
        match &self.shards {
            Shards::Memory(shards) => shards.len(),
            Shards::Stored { shards, .. } => shards.count(),
        }
    }

    /// Writes the periods and cohorts in a message as the data have them.
    pub fn relabel(&self, text: &str) -> String {
        let Some(calendar) = &self.calendar else { return text.to_owned() };
        let cohorts = self.strata.iter().map(|stratum| stratum.cohort);
        let known: Vec<f64> = self.periods.iter().copied().chain(cohorts).collect();
        calendar.relabel(text, &known)
    }

    /// Does the same as [`relabel`](Self::relabel) in an error.
    pub fn rewrite(&self, error: EngineError) -> EngineError {
        error.rewritten(|text| self.relabel(text))
    }

    /// Returns a shard that has at least the columns of `needs`.
    ///
    /// # Errors
    /// A stored shard that can't be read.
    pub fn shard(&self, index: usize, needs: Needs) -> Result<Cow<'_, Shard>> {
        match &self.shards {
            Shards::Memory(shards) => Ok(Cow::Borrowed(&shards[index])),
            Shards::Stored { shards, specification } => {
                shards.load(index, needs).map(|loaded| Cow::Owned(loaded[*specification].clone()))
            }
        }
    }

    /// Returns `each(shard)` for all shards, in their order.
    ///
    /// # Errors
    /// A stored shard that can't be read.
    pub fn map_shards<T: Send>(
        &self,
        threads: usize,
        needs: Needs,
        each: impl Fn(&Shard) -> T + Sync,
    ) -> Result<Vec<T>> {
        parallel::map(threads, self.shard_count(), |index| Ok(each(&*self.shard(index, needs)?)))
    }

    /// Tells for each atom of the formula if it varies in time; empty without shards.
    pub fn varying_atoms(&self) -> Vec<bool> {
        match &self.shards {
            Shards::Memory(shards) => {
                shards.first().map(|s| s.atoms.iter().map(ShardColumn::varies).collect()).unwrap_or_default()
            }
            Shards::Stored { shards, specification } => shards.varying_atoms(*specification),
        }
    }

    /// Tells if every existing row has all its values.
    pub fn is_whole(&self) -> bool {
        match &self.shards {
            Shards::Memory(shards) => shards.iter().all(|s| s.incomplete.is_none()),
            Shards::Stored { shards, specification } => shards.is_whole(*specification),
        }
    }

    /// Tells if the panel has sampling weights.
    pub fn has_weights(&self) -> bool {
        match &self.shards {
            Shards::Memory(shards) => shards.first().is_some_and(|s| s.weights.is_some()),
            Shards::Stored { shards, specification } => shards.has_weights(*specification),
        }
    }

    /// Adds a shard in memory and its counts.
    pub fn add(&mut self, census: Census, shard: Shard) {
        self.census.merge(&census);
        if let Shards::Memory(shards) = &mut self.shards {
            shards.push(shard);
        }
    }

    /// Sets `atoms_vary` and `weights_vary` from the shards in memory.
    pub fn note_variation(&mut self) {
        if let Shards::Memory(shards) = &self.shards {
            let first = shards.first();
            self.atoms_vary = first.is_some_and(|s| s.atoms.iter().any(ShardColumn::varies));
            self.weights_vary = first.is_some_and(|s| s.weights.as_ref().is_some_and(ShardColumn::varies));
        }
    }

    /// Tells if another specification's panel of the same data leaves out the same rows.
    pub fn same_rows(&self, other: &Self) -> bool {
        match (&self.shards, &other.shards) {
            (Shards::Memory(own), Shards::Memory(others)) => {
                own.len() == others.len() && own.iter().zip(others).all(|(a, b)| a.incomplete == b.incomplete)
            }
            (Shards::Stored { shards, specification: a }, Shards::Stored { specification: b, .. }) => {
                shards.same_rows(*a, *b)
            }
            _ => false,
        }
    }
}
