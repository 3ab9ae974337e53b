//! The steps of a preparation and what the tasks of a step share: the input, the objects of the step before, the facts of the store.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use stagger_model::error::{Result, StaggerError};
use stagger_records::{Chunk, FileDescription, Source};
use stagger_storage::{Storage, StoreResult};

use super::rows::CrossSectionContext;
use crate::columns::resolved_names;
use crate::gaps::Gaps;
use crate::load::{distinct_periods, period_codes};
use crate::prepare::block::MapperHeader;
use crate::prepare::fields::check_text_count;
use crate::prepare::gather::{CodeTranslation, ScatterObject};
use crate::prepare::handout::{BlockTable, ObjectReport};
use crate::prepare::rows::ScanResult;
use crate::prepare::steps::row_shards;
use crate::prepare::{
    Columns, KeyColumns, PreparationInput, PrepareTask, SHARDS_PER_ROW_TASK, ShufflePlan, StoreField,
};
use crate::strata::{Stratum, distinct_strata, stratum_codes};

/// Input that the tasks of one step of a preparation share.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PrepareStage {
    /// Address of the store.
    pub store: String,
    /// The step.
    pub step: Step,
    /// Columns that form the panel.
    #[serde(with = "stagger_model::as_json")]
    pub keys: KeyColumns,
    /// Variables of the store.
    pub fields: Vec<StoreField>,
}

/// A step of a preparation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Step {
    /// Mappers read the input and sort its rows into partitions.
    Scatter {
        /// The input.
        input: Input,
        /// Plan of the shuffle.
        shuffle: ShufflePlan,
        /// Digest of the plan.
        digest: String,
        /// True if identifiers of units are texts.
        text_ids: bool,
    },
    /// Combiners put the blocks of several mappers into one object.
    Combine {
        /// Digest of the plan.
        digest: String,
        /// Number of mappers.
        mappers: usize,
        /// Number of partitions.
        partitions: usize,
        /// Numbers of mappers and of partitions that one combiner takes.
        cut: (usize, usize),
        /// Blocks of the mappers.
        blocks: HandedBlocks,
    },
    /// Gather tasks build the shards of a panel.
    Gather {
        /// Digest of the plan.
        digest: String,
        /// Blocks of the step before.
        blocks: HandedBlocks,
        /// Facts that all shards share.
        common: StoreFacts,
        /// Number of partitions.
        partitions: usize,
    },
    /// Chunks of cross sections are read for strata, periods and texts.
    Scan {
        /// The input.
        input: Input,
    },
    /// Shards of cross sections are built.
    Rows {
        /// The input.
        input: Input,
        /// Facts that all shards share.
        common: StoreFacts,
        /// Digest of inputs and columns.
        fingerprint: String,
    },
}

/// The input in a form that workers can open.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Input {
    files: Vec<FileDescription>,
    chunks: Vec<Chunk>,
    /// Columns that are read, by role.
    pub columns: Columns,
}

impl Input {
    /// Describes the input of an order.
    pub fn new(order: &PreparationInput) -> Self {
        Self {
            files: order.source.describe_files(),
            chunks: order.source.chunks().to_vec(),
            columns: order.columns.clone(),
        }
    }

    /// Opens the files of some chunks; `open` opens storage by its address.
    ///
    /// # Errors
    /// Storage that can't be opened.
    pub fn open(&self, chunks: Vec<usize>, open: &dyn Fn(&str) -> StoreResult<Storage>) -> Result<Source> {
        Source::open_part(&self.files, &self.chunks, chunks, &resolved_names(&self.columns), open)
    }

    /// The path of the file of a chunk.
    pub fn path(&self, chunk: usize) -> &str {
        self.files[self.chunks[chunk].file].path()
    }
}

/// The blocks of the step before, as they are handed to the tasks of a step.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct HandedBlocks {
    /// The table of the blocks, for tasks on workers.
    pub table: Option<BlockTable>,
    /// The reports themselves, for tasks in the process that has them.
    #[serde(skip)]
    pub reports: Vec<ObjectReport>,
}

impl HandedBlocks {
    /// Returns the table that a task reads.
    ///
    /// # Errors
    /// Blocks that were not handed to workers.
    pub(super) fn table(&self, task: usize) -> Result<&BlockTable> {
        let none = || StaggerError::failed(format!("task {task} was handed no table of blocks"));
        self.table.as_ref().ok_or_else(none)
    }
}

/// Facts that all shards share, known once all rows have been read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoreFacts {
    /// Strata, by cohort and eligibility.
    pub strata: Vec<Stratum>,
    /// Periods, ascending.
    pub periods: Vec<f64>,
    /// Texts, ascending.
    pub texts: Vec<String>,
    /// Number of rows with unit, period and eligibility.
    pub rows: u64,
    /// Number of rows without one of them.
    pub keyless_rows: u64,
    /// Number of rows whose missing cohort was read as never treated.
    pub cohortless_rows: u64,
    /// Rows of panels without a value, by column; for cross sections the reports on shards hold them.
    #[serde(default)]
    pub gaps: Gaps,
}

impl StoreFacts {
    /// Collects the facts from the reports of all objects.
    ///
    /// # Errors
    /// No row with unit and period, and too many texts.
    pub fn from_reports(objects: &[ObjectReport]) -> Result<Self> {
        let members = || objects.iter().flat_map(|object| &object.contents.members);
        let strata = distinct_strata(members().flat_map(|h| h.strata.iter().map(stratum)));
        let periods = distinct_periods(members().flat_map(|h| h.periods.iter().copied()));
        let texts: BTreeSet<&String> = members().flat_map(|h| &h.texts).collect();
        let texts: Vec<String> = texts.into_iter().cloned().collect();
        check_text_count(texts.len())?;
        if periods.is_empty() {
            return Err(StaggerError::input("no row has both a unit and a period")
                .with_hint("name the columns of unit and period: --idname COLUMN --tname COLUMN"));
        }
        // The header of a combined mapper is in one object for every run of partitions; it counts once.
        let sum = |of: fn(&MapperHeader) -> u64| -> u64 {
            let first = objects.iter().filter(|object| object.contents.first == 0);
            first.flat_map(|object| &object.contents.members).map(of).sum()
        };
        let mut gaps = Gaps::default();
        let first = objects.iter().filter(|object| object.contents.first == 0);
        first.flat_map(|object| &object.contents.members).for_each(|header| gaps.merge(&header.gaps));
        Ok(Self {
            rows: sum(|h| h.rows),
            keyless_rows: sum(|h| h.keyless_rows),
            cohortless_rows: sum(|h| h.cohortless_rows),
            gaps,
            strata,
            periods,
            texts,
        })
    }

    /// Collects the facts from the scans of all chunks of cross sections; `rows` is the number of input rows.
    ///
    /// # Errors
    /// No row with a period, and too many texts.
    pub fn from_scans(scanned: &[ScanResult], rows: u64) -> Result<Self> {
        let periods = distinct_periods(scanned.iter().flat_map(|s| s.periods.iter().copied()));
        if periods.is_empty() {
            return Err(StaggerError::input("no row has a period")
                .with_hint("name the period column: --tname COLUMN"));
        }
        let keyless_rows = scanned.iter().map(|s| s.keyless_rows).sum();
        let texts: BTreeSet<&String> = scanned.iter().flat_map(|s| &s.texts).collect();
        let texts: Vec<String> = texts.into_iter().cloned().collect();
        check_text_count(texts.len())?;
        Ok(Self {
            strata: distinct_strata(scanned.iter().flat_map(|s| s.strata.iter().copied())),
            periods,
            texts,
            rows: rows - keyless_rows,
            keyless_rows,
            cohortless_rows: scanned.iter().map(|s| s.cohortless_rows).sum(),
            gaps: Gaps::default(),
        })
    }

    /// Returns an object with the translation of its mappers' codes.
    pub fn scattered(&self, object: ObjectReport) -> ScatterObject {
        let codes = object.contents.members.iter().map(|member| self.codes_of(member)).collect();
        ScatterObject { object, codes }
    }

    fn codes_of(&self, header: &MapperHeader) -> CodeTranslation {
        let local: Vec<Stratum> = header.strata.iter().map(stratum).collect();
        let text = |text: &String| self.texts.partition_point(|known| known < text) as u32;
        CodeTranslation {
            strata: stratum_codes(&local, &self.strata),
            periods: period_codes(&header.periods, &self.periods),
            texts: header.texts.iter().map(text).collect(),
        }
    }
}

fn stratum(&(cohort, eligible): &(Option<f64>, bool)) -> Stratum {
    Stratum { cohort: cohort.unwrap_or(f64::INFINITY), eligible }
}

impl PrepareStage {
    /// Returns the reader of cross sections for an input that is open.
    pub fn reading<'a>(&'a self, input: &'a Input, source: &'a Source) -> CrossSectionContext<'a> {
        CrossSectionContext { source, columns: &input.columns, keys: &self.keys, fields: &self.fields }
    }

    /// The input that a task reads, with the numbers of its chunks; `None` for tasks that read no input.
    pub fn input_of(&self, task: PrepareTask) -> Option<(&Input, Vec<usize>)> {
        match (&self.step, task) {
            (Step::Scatter { input, shuffle, .. }, PrepareTask::Scatter(mapper)) => {
                let pieces = &shuffle.mappers.get(mapper)?.pieces;
                Some((input, pieces.iter().map(|piece| piece.chunk).collect()))
            }
            (Step::Scan { input }, PrepareTask::Scan(chunk)) => Some((input, vec![chunk])),
            (Step::Rows { input, common, .. }, PrepareTask::Rows(task)) => {
                let (total, shards) = input.row_shards();
                let per_shard = row_shards(common, total, shards).per_shard;
                let own = task * SHARDS_PER_ROW_TASK..((task + 1) * SHARDS_PER_ROW_TASK).min(shards);
                Some((input, input.chunks_of(own.start as u64 * per_shard..own.end as u64 * per_shard)))
            }
            _ => None,
        }
    }

    /// Files and row groups at which a task of scattered or counted rows has failed, for messages.
    pub fn place(&self, task: PrepareTask) -> Option<String> {
        match task {
            PrepareTask::Scatter(_) | PrepareTask::Scan(_) => {
                self.input_of(task).map(|(input, chunks)| input.place(chunks))
            }
            _ => None,
        }
    }
}

impl Input {
    /// Rows of cross sections, and shards that they are cut into.
    pub fn row_shards(&self) -> (u64, usize) {
        let total = self.chunks.iter().map(|chunk| chunk.rows as u64).sum();
        (total, super::cross_section_shard_count(total))
    }

    /// Returns the chunks that hold some of the rows, which are counted over all chunks.
    fn chunks_of(&self, rows: std::ops::Range<u64>) -> Vec<usize> {
        let mut first = 0;
        let mut out = Vec::new();
        for (index, chunk) in self.chunks.iter().enumerate() {
            let end = first + chunk.rows as u64;
            if first < rows.end && rows.start < end {
                out.push(index);
            }
            first = end;
        }
        out
    }

    /// Names files and row groups, for messages.
    fn place(&self, chunks: impl IntoIterator<Item = usize>) -> String {
        let named = chunks.into_iter().map(|index| {
            let chunk = &self.chunks[index];
            format!("`{}` row group {}", self.files[chunk.file].path(), chunk.row_group)
        });
        named.collect::<Vec<_>>().join(", ")
    }
}
