//! Tasks of a preparation, the same for every executor. Each task stores its result below
//! the store, under a name that its content decides, and returns a short report.

use std::collections::BTreeSet;
use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stagger_model::error::{EngineError, Result};
use stagger_model::parallel;
use stagger_records::{Chunk, Described, Source};
use stagger_storage::{Condition, Storage, StoreErrorKind, StoreResult};

use super::block::{Contents, Header, PREAMBLE, decode_header, header_length};
use super::executor::PrepareTask;
use super::fields::check_texts;
use super::gather::{Codes, Gather, GatherError, Scattered, ShardReport};
use super::rows::{RowShards, Rows, Scanned};
use super::scatter::Scatter;
use super::shuffle::Shuffle;
use super::{Order, combine};
use crate::columns::{Columns, needed_names};
use crate::gaps::Gaps;
use crate::load::{codes, distinct};
use crate::panel_store::fields::StoreField;
use crate::panel_store::{KeyColumns, keys};
use crate::strata::{Stratum, distinct_strata, stratum_codes};

/// Number of bytes at the start of a scatter object that hold most headers.
pub const HEADER: u64 = 64 << 10;
/// Number of headers read at the same time: each is a request that waits.
pub const READS_AT_ONCE: usize = 16;
/// Number of shards that one task of cross sections builds.
pub const ROW_TASK: usize = 32;

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
        shuffle: Shuffle,
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
    },
    /// Gather tasks build the shards of a panel.
    Gather {
        /// Digest of the plan.
        digest: String,
        /// Objects of the step before.
        objects: Objects,
        /// Facts that all shards share.
        common: Common,
        /// Number of partitions.
        partitions: usize,
        /// Headers of the objects, for tasks of the process that has read them.
        #[serde(skip)]
        headers: Option<Vec<(Contents, usize)>>,
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
        common: Common,
        /// Digest of inputs and columns.
        fingerprint: String,
    },
}

/// The input in a form that workers can open.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Input {
    files: Vec<Described>,
    chunks: Vec<Chunk>,
    columns: Columns,
}

impl Input {
    /// Describes the input of an order.
    pub fn new(order: &Order) -> Self {
        Self {
            files: order.source.described(),
            chunks: order.source.chunks().to_vec(),
            columns: order.columns.clone(),
        }
    }

    /// Opens the files of some chunks; `open` opens storage by its address.
    ///
    /// # Errors
    /// Storage that can't be opened.
    pub fn open(&self, chunks: Vec<usize>, open: &dyn Fn(&str) -> StoreResult<Storage>) -> Result<Source> {
        Source::part(&self.files, &self.chunks, chunks, &needed_names(&self.columns), open)
    }

    /// The path of the file of a chunk.
    pub fn path(&self, chunk: usize) -> &str {
        self.files[self.chunks[chunk].file].path()
    }
}

/// Objects that gather tasks read: those of the mappers, or those of the combiners.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Objects {
    /// Objects of this number of mappers.
    Scattered(usize),
    /// Objects of the combiners.
    Combined {
        /// Number of mappers.
        mappers: usize,
        /// Number of partitions.
        partitions: usize,
        /// Numbers of mappers and of partitions that one combiner takes.
        cut: (usize, usize),
    },
}

impl Objects {
    /// Returns the keys of all objects; `digest` is that of the shuffle plan.
    pub fn keys(&self, digest: &str) -> Vec<String> {
        self.keys_of(digest, &(0..usize::MAX))
    }

    /// Returns the keys of the objects that hold some of the partitions `wanted`.
    pub fn keys_of(&self, digest: &str, wanted: &Range<usize>) -> Vec<String> {
        match *self {
            Self::Scattered(count) => (0..count).map(|task| keys::scattered(digest, task)).collect(),
            Self::Combined { mappers, partitions, cut } => combine::tasks(mappers, partitions, cut)
                .iter()
                .enumerate()
                .filter(|(_, own)| own.partitions.start < wanted.end && wanted.start < own.partitions.end)
                .map(|(task, _)| keys::combined(digest, task))
                .collect(),
        }
    }
}

/// Facts that all shards share, known once all rows have been read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Common {
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

impl Common {
    /// Collects the facts from the headers of all objects.
    ///
    /// # Errors
    /// No row with unit and period, and too many texts.
    pub fn of_headers(headers: &[(Contents, usize)]) -> Result<Self> {
        let members = || headers.iter().flat_map(|(contents, _)| &contents.members);
        let strata = distinct_strata(members().flat_map(|h| h.strata.iter().map(stratum)));
        let periods = distinct(members().flat_map(|h| h.periods.iter().copied()));
        let texts: BTreeSet<&String> = members().flat_map(|h| &h.texts).collect();
        let texts: Vec<String> = texts.into_iter().cloned().collect();
        check_texts(texts.len())?;
        if periods.is_empty() {
            return Err(EngineError::input("no row has both a unit and a period")
                .with_hint("name the columns of unit and period: --idname COLUMN --tname COLUMN"));
        }
        // The header of a combined mapper is in one object for every run of partitions; it counts once.
        let sum = |of: fn(&Header) -> u64| -> u64 {
            let first = headers.iter().filter(|(contents, _)| contents.first == 0);
            first.flat_map(|(contents, _)| &contents.members).map(of).sum()
        };
        let mut gaps = Gaps::default();
        let first = headers.iter().filter(|(contents, _)| contents.first == 0);
        first.flat_map(|(contents, _)| &contents.members).for_each(|header| gaps.merge(&header.gaps));
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
    pub fn of_scans(scanned: &[Scanned], rows: u64) -> Result<Self> {
        let periods = distinct(scanned.iter().flat_map(|s| s.periods.iter().copied()));
        if periods.is_empty() {
            return Err(
                EngineError::input("no row has a period").with_hint("name the period column: --tname COLUMN")
            );
        }
        let keyless_rows = scanned.iter().map(|s| s.keyless_rows).sum();
        let texts: BTreeSet<&String> = scanned.iter().flat_map(|s| &s.texts).collect();
        let texts: Vec<String> = texts.into_iter().cloned().collect();
        check_texts(texts.len())?;
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
    pub fn scattered(&self, key: String, (contents, length): (Contents, usize)) -> Scattered {
        let codes = contents.members.iter().map(|member| self.codes_of(member)).collect();
        Scattered { key, contents, length, codes }
    }

    fn codes_of(&self, header: &Header) -> Codes {
        let local: Vec<Stratum> = header.strata.iter().map(stratum).collect();
        let text = |text: &String| self.texts.partition_point(|known| known < text) as u32;
        Codes {
            strata: stratum_codes(&local, &self.strata),
            periods: codes(&header.periods, &self.periods),
            texts: header.texts.iter().map(text).collect(),
        }
    }
}

fn stratum(&(cohort, eligible): &(Option<f64>, bool)) -> Stratum {
    Stratum { cohort: cohort.unwrap_or(f64::INFINITY), eligible }
}

/// Returns the header of a scatter object and the length of its JSON.
pub(super) fn header(storage: &Storage, key: &str) -> Result<(Contents, usize)> {
    let size = storage.head(key)?.size;
    let read = |end: u64| -> Result<Bytes> {
        let range = 0..end.min(size);
        let mut bytes = storage.get_ranges(key, None, std::slice::from_ref(&range))?;
        Ok(bytes.pop().unwrap_or_default())
    };
    let mut start = read(HEADER)?;
    let length = header_length(&start, key)?;
    if PREAMBLE + length > start.len() {
        start = read((PREAMBLE + length) as u64)?;
    }
    Ok((decode_header(&start, key)?, length))
}

/// Returns the headers of objects, in the order of `keys`.
pub(super) fn headers(storage: &Storage, keys: &[String], threads: usize) -> Result<Vec<(Contents, usize)>> {
    let threads = if storage.is_remote() { threads.max(READS_AT_ONCE) } else { threads };
    parallel::map(threads, keys.len(), |index| header(storage, &keys[index]))
}

/// Returns the partitions of a gather task.
pub(super) fn partitions_of(partitions: usize, shards: usize, task: usize) -> Range<usize> {
    let each = partitions / partitions.min(shards).max(1);
    task * each..(task + 1) * each
}

/// Returns the number of threads that read objects of a storage at the same time: requests wait, not the processor.
pub(super) fn readers(storage: &Storage) -> usize {
    if storage.is_remote() { READS_AT_ONCE } else { 1 }
}

/// Tells if an object exists. Without the right to list, S3 answers 403 for one that does not.
pub(super) fn exists(storage: &Storage, key: &str) -> Result<bool> {
    match storage.head(key) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind, StoreErrorKind::NotFound | StoreErrorKind::Denied) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Runs one mapper, unless its object exists; returns the object's key.
pub(super) fn scatter(
    scatter: &Scatter<'_>,
    storage: &Storage,
    (shuffle, digest): (&Shuffle, &str),
    mapper: usize,
) -> std::result::Result<String, GatherError> {
    let key = keys::scattered(digest, mapper);
    if !exists(storage, &key)? {
        let object = scatter.run(&shuffle.mappers[mapper])?;
        storage.put(&key, object, Condition::Always).map_err(EngineError::from)?;
    }
    Ok(key)
}

/// Runs one combiner, unless its object exists; returns the object's key.
pub(super) fn combine(
    storage: &Storage,
    digest: &str,
    (mappers, partitions, cut): (usize, usize, (usize, usize)),
    task: usize,
) -> Result<String> {
    let key = keys::combined(digest, task);
    if !exists(storage, &key)? {
        let tasks = combine::tasks(mappers, partitions, cut);
        let keys = Objects::Scattered(mappers).keys(digest);
        let object = combine::run(storage, &keys, &tasks[task])?;
        storage.put(&key, object, Condition::Always)?;
    }
    Ok(key)
}

/// Runs one gather task, unless its report exists; returns the reports on its shards.
pub(super) fn gather(
    gather: &Gather<'_>,
    storage: &Storage,
    digest: &str,
    task: usize,
) -> std::result::Result<Vec<ShardReport>, GatherError> {
    let key = keys::gathered(digest, task);
    if let Some(known) = report(storage, &key)? {
        return Ok(known);
    }
    let reports = gather.run(storage, task, |shard, bytes| put_shard(storage, shard, bytes))?;
    put_report(storage, &key, &reports)?;
    Ok(reports)
}

/// Runs one task of cross sections, unless its report exists; returns the reports on its shards.
pub(super) fn rows(
    rows: &Rows<'_>,
    all: &RowShards<'_>,
    storage: &Storage,
    (fingerprint, shards): (&str, usize),
    task: usize,
) -> Result<Vec<ShardReport>> {
    let key = keys::gathered(fingerprint, task);
    if let Some(known) = report(storage, &key)? {
        return Ok(known);
    }
    let range = task * ROW_TASK..((task + 1) * ROW_TASK).min(shards);
    let reports = rows.shards(all, range, |shard, bytes| put_shard(storage, shard, bytes))?;
    put_report(storage, &key, &reports)?;
    Ok(reports)
}

fn put_shard(storage: &Storage, shard: usize, bytes: Bytes) -> Result<()> {
    storage.put(&keys::shard(shard), bytes, Condition::Always)?;
    Ok(())
}

fn put_report(storage: &Storage, key: &str, reports: &[ShardReport]) -> Result<()> {
    let json = serde_json::to_vec(reports).map_err(|e| EngineError::failed(e.to_string()))?;
    storage.put(key, Bytes::from(json), Condition::Always)?;
    Ok(())
}

/// Returns the report of an earlier attempt; one that can't be read is made again.
fn report(storage: &Storage, key: &str) -> Result<Option<Vec<ShardReport>>> {
    match storage.get(key, None) {
        Ok((bytes, _)) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if matches!(error.kind, StoreErrorKind::NotFound | StoreErrorKind::Denied) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Returns the cut of cross sections into shards.
pub(super) fn row_shards(common: &Common, rows: u64, shards: usize) -> RowShards<'_> {
    RowShards {
        strata: &common.strata,
        periods: &common.periods,
        texts: &common.texts,
        per_shard: rows.div_ceil(shards as u64).max(1),
    }
}

/// Parts of a step that are open already: its input, and the objects of a gather step.
#[derive(Clone, Copy)]
pub struct Opened<'a> {
    /// The input, or the chunks that the task reads.
    pub source: Option<&'a Source>,
    /// The objects that gather tasks read; `None`: each task reads the headers itself.
    pub scattered: Option<&'a [Scattered]>,
}

/// Computes one task of a step; returns its report as JSON.
///
/// # Errors
/// Rows that contradict each other, invalid input, storage that fails, and a task of another step.
pub fn compute(
    stage: &PrepareStage,
    task: PrepareTask,
    opened: Opened<'_>,
    storage: &Storage,
) -> std::result::Result<Bytes, GatherError> {
    let source = || opened.source.ok_or_else(|| EngineError::failed(format!("{task} has no input")));
    match (&stage.step, task) {
        (Step::Scatter { input, shuffle, digest, text_ids }, PrepareTask::Scatter(mapper)) => {
            let mapping = Scatter {
                source: source()?,
                columns: &input.columns,
                fields: &stage.fields,
                partitions: shuffle.partitions,
                pivot: shuffle.pivot,
                text_ids: *text_ids,
            };
            json(&scatter(&mapping, storage, (shuffle, digest), mapper)?)
        }
        (Step::Combine { digest, mappers, partitions, cut }, PrepareTask::Combine(task)) => {
            json(&combine(storage, digest, (*mappers, *partitions, *cut), task)?)
        }
        (Step::Gather { .. }, PrepareTask::Gather(task)) => gather_task(stage, task, opened, storage),
        (Step::Scan { input }, PrepareTask::Scan(chunk)) => {
            json(&stage.reading(input, source()?).scan(chunk)?)
        }
        (Step::Rows { input, common, fingerprint }, PrepareTask::Rows(task)) => {
            let (total, shards) = input.row_shards();
            let reading = stage.reading(input, source()?);
            json(&rows(&reading, &row_shards(common, total, shards), storage, (fingerprint, shards), task)?)
        }
        (_, task) => Err(EngineError::failed(format!("{task} is no task of this step")).into()),
    }
}

fn gather_task(
    stage: &PrepareStage,
    task: usize,
    opened: Opened<'_>,
    storage: &Storage,
) -> std::result::Result<Bytes, GatherError> {
    let Step::Gather { digest, objects, common, partitions, .. } = &stage.step else {
        return Err(EngineError::failed(format!("partition {task} is no task of this step")).into());
    };
    let shards = super::shard_count(common.rows, common.periods.len());
    let own: Vec<Scattered>;
    let scattered = match opened.scattered {
        Some(all) => all,
        None => {
            // Most combined objects hold other partitions: reading their headers would waste requests.
            let keys = objects.keys_of(digest, &partitions_of(*partitions, shards, task));
            let headers = headers(storage, &keys, 1)?;
            own = keys.into_iter().zip(headers).map(|(key, header)| common.scattered(key, header)).collect();
            &own
        }
    };
    let gathering = Gather {
        keys: &stage.keys,
        fields: &stage.fields,
        strata: &common.strata,
        periods: &common.periods,
        texts: &common.texts,
        partitions: *partitions,
        shards,
        scattered,
    };
    json(&gather(&gathering, storage, digest, task)?)
}

impl PrepareStage {
    fn reading<'a>(&'a self, input: &'a Input, source: &'a Source) -> Rows<'a> {
        Rows { source, columns: &input.columns, keys: &self.keys, fields: &self.fields }
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
                let own = task * ROW_TASK..((task + 1) * ROW_TASK).min(shards);
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
    fn row_shards(&self) -> (u64, usize) {
        let total = self.chunks.iter().map(|chunk| chunk.rows as u64).sum();
        (total, super::row_shard_count(total))
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

fn json<T: Serialize>(value: &T) -> std::result::Result<Bytes, GatherError> {
    let bytes = serde_json::to_vec(value).map_err(|e| EngineError::failed(e.to_string()))?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use stagger_model::calendar::{Calendar, Labels, TimeUnit};
    use stagger_records::KeyKind;

    use super::*;

    #[test]
    fn workers_get_all_that_keys_say() {
        let calendar = Some(Calendar { unit: TimeUnit::Month, labels: Labels::Unit });
        for (ids, calendar) in [(KeyKind::Decimal, calendar), (KeyKind::Text, None)] {
            let keys =
                KeyColumns { id: "id".into(), ids, calendar: calendar.clone(), ..KeyColumns::default() };
            let step = Step::Combine { digest: String::new(), mappers: 1, partitions: 1, cut: (1, 1) };
            let stage = PrepareStage { store: "s".into(), step, keys, fields: Vec::new() };
            let bytes = postcard::to_stdvec(&stage).expect("bytes");
            let read: PrepareStage = postcard::from_bytes(&bytes).expect("a stage");
            assert_eq!(
                (read.store.as_str(), read.keys.id.as_str(), read.keys.calendar),
                ("s", "id", calendar)
            );
            assert_eq!(read.keys.ids.is_plain(), ids.is_plain());
        }
    }
}
