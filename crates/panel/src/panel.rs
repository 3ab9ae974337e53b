//! The panel: shards, and the counts and facts about all of them.

use std::borrow::Cow;
use std::sync::{Arc, PoisonError};

use stagger_model::calendar::Calendar;
use stagger_model::error::{Result, StaggerError};
use stagger_model::parallel;
use stagger_model::reduction::Merge;

use crate::gaps::InputRemarks;
use crate::shard::{Shard, ShardColumn};
use crate::stored::StoredShards;
use crate::strata::{Census, NeededColumns, RowKind, Stratum};
use crate::survey::{Counts, Survey, Surveyor};

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
    /// Calendar of periods and cohorts, where they are dates.
    pub calendar: Option<Calendar>,
    /// Strata, by cohort and eligibility, ascending.
    pub strata: Vec<Stratum>,
    /// Counts of units and rows.
    pub counts: PanelCounts,
    /// Facts about atoms and weights.
    pub columns: ColumnFacts,
    /// Input files, and findings about them.
    pub source: PanelSource,
    /// The one who computes counts over the shards: this process or workers.
    pub surveyor: Surveyor,
}

/// The counts of a panel's units and rows.
#[derive(Debug)]
pub struct PanelCounts {
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
}

/// The facts about the columns of a panel: atoms of the formula, and weights.
#[derive(Debug)]
pub struct ColumnFacts {
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
}

/// The input of a panel, as it was found.
#[derive(Debug)]
pub struct PanelSource {
    /// Findings about the input that are reported to the user.
    pub remarks: InputRemarks,
    /// Path, bytes and rows of every input file.
    pub files: Vec<(String, u64, u64)>,
}

impl Panel {
    /// Returns the number of shards.
    pub fn shard_count(&self) -> usize {
        match &self.shards {
            Shards::Memory(shards) => shards.len(),
            Shards::Stored { shards, .. } => shards.shard_count(),
        }
    }

    /// Writes the periods and cohorts in a message as the data have them.
    pub fn label_periods(&self, text: &str) -> String {
        let Some(calendar) = &self.calendar else { return text.to_owned() };
        let cohorts = self.strata.iter().map(|stratum| stratum.cohort);
        let known: Vec<f64> = self.periods.iter().copied().chain(cohorts).collect();
        calendar.label_periods_in(text, &known)
    }

    /// Does the same as [`relabel`](Self::label_periods) in an error.
    pub fn label_error(&self, error: StaggerError) -> StaggerError {
        error.map_text(|text| self.label_periods(text))
    }

    /// Returns a shard that has at least the columns of `needs`.
    ///
    /// # Errors
    /// A stored shard that can't be read.
    pub fn shard(&self, index: usize, needs: NeededColumns) -> Result<Cow<'_, Shard>> {
        match &self.shards {
            Shards::Memory(shards) => Ok(Cow::Borrowed(&shards[index])),
            Shards::Stored { shards, specification } => {
                shards.load_shard(index, needs).map(|loaded| Cow::Owned(loaded[*specification].clone()))
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
        needs: NeededColumns,
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
    pub fn has_no_gaps(&self) -> bool {
        match &self.shards {
            Shards::Memory(shards) => shards.iter().all(|s| s.incomplete.is_none()),
            Shards::Stored { shards, specification } => shards.has_no_gaps(*specification),
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
    pub fn add_shard(&mut self, census: Census, shard: Shard) {
        self.counts.census.merge(&census);
        if let Shards::Memory(shards) = &mut self.shards {
            shards.push(shard);
        }
    }

    /// Sets `atoms_vary` and `weights_vary` from the shards in memory.
    pub fn detect_variation(&mut self) {
        if let Shards::Memory(shards) = &self.shards {
            let first = shards.first();
            self.columns.atoms_vary = first.is_some_and(|s| s.atoms.iter().any(ShardColumn::varies));
            self.columns.weights_vary =
                first.is_some_and(|s| s.weights.as_ref().is_some_and(ShardColumn::varies));
        }
    }

    /// Tells if another specification's panel of the same data leaves out the same rows.
    pub fn drops_same_rows(&self, other: &Self) -> bool {
        match (&self.shards, &other.shards) {
            (Shards::Memory(own), Shards::Memory(others)) => {
                own.len() == others.len() && own.iter().zip(others).all(|(a, b)| a.incomplete == b.incomplete)
            }
            (Shards::Stored { shards, specification: a }, Shards::Stored { specification: b, .. }) => {
                shards.drops_same_rows(*a, *b)
            }
            _ => false,
        }
    }
}

impl Panel {
    /// Returns a count over all shards.
    ///
    /// # Errors
    /// Shards that can't be read; with workers also a count that is not known yet, which [`Surveyor::pending`] then
    /// returns.
    pub fn survey(&self, threads: usize, survey: &Survey) -> Result<Counts> {
        let Surveyor::Remote(answers) = &self.surveyor else {
            let strata = self.strata.len();
            let counts =
                self.map_shards(threads, survey.needs(), |shard| survey.count_shard(shard, strata))?;
            let sum = counts.into_iter().reduce(|mut sum, next| {
                sum.merge(&next);
                sum
            });
            return sum.ok_or_else(|| StaggerError::failed("a panel without shards"));
        };
        let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, counts)) = answers.known.iter().find(|(known, _)| known == survey) {
            return Ok(counts.clone());
        }
        answers.wanted = Some(survey.clone());
        Err(StaggerError::failed("a count is not known yet"))
    }
}
