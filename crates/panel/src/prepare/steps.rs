//! Tasks of a preparation, the same for every executor. Each task stores its result below
//! the store, under a name that its content decides, and returns a short report.

use std::ops::Range;

use bytes::Bytes;
use serde::Serialize;
use stagger_model::error::{Result, StaggerError};
use stagger_model::parallel;
use stagger_records::Source;
use stagger_storage::open::is_absent_or_denied;
use stagger_storage::{Condition, Storage};

use super::block::{ObjectHeader, PREAMBLE, decode_header, header_length};
use super::combine;
use super::executor::PrepareTask;
use super::gather::{GatherContext, PrepareTaskError, ScatterObject, ShardReport};
use super::rows::{CrossSectionContext, CrossSectionShards};
use super::scatter::ScatterContext;
use super::shuffle::ShufflePlan;
use crate::panel_store::keys;
use crate::prepare::PrepareStage;
use crate::prepare::stage::{Objects, Step, StoreFacts};

/// Number of bytes at the start of a scatter object that hold most headers.
pub const HEADER_BYTES: u64 = 64 << 10;
/// Number of headers read at the same time: each is a request that waits.
pub const CONCURRENT_READS: usize = 16;
/// Number of shards that one task of cross sections builds.
pub const SHARDS_PER_ROW_TASK: usize = 32;

/// Returns the header of a scatter object and the length of its JSON.
pub(super) fn read_header(storage: &Storage, key: &str) -> Result<(ObjectHeader, usize)> {
    let size = storage.head(key)?.size;
    let read = |end: u64| -> Result<Bytes> {
        let range = 0..end.min(size);
        let mut bytes = storage.get_ranges(key, None, std::slice::from_ref(&range))?;
        Ok(bytes.pop().unwrap_or_default())
    };
    let mut start = read(HEADER_BYTES)?;
    let length = header_length(&start, key)?;
    if PREAMBLE + length > start.len() {
        start = read((PREAMBLE + length) as u64)?;
    }
    Ok((decode_header(&start, key)?, length))
}

/// Returns the headers of objects, in the order of `keys`.
pub(super) fn read_headers(
    storage: &Storage,
    keys: &[String],
    threads: usize,
) -> Result<Vec<(ObjectHeader, usize)>> {
    let threads = if storage.is_remote() { threads.max(CONCURRENT_READS) } else { threads };
    parallel::map(threads, keys.len(), |index| read_header(storage, &keys[index]))
}

/// Returns the partitions of a gather task.
pub(super) fn partitions_of(partitions: usize, shards: usize, task: usize) -> Range<usize> {
    let each = partitions / partitions.min(shards).max(1);
    task * each..(task + 1) * each
}

/// Returns the number of threads that read objects of a storage at the same time: requests wait, not the processor.
pub(super) fn readers(storage: &Storage) -> usize {
    if storage.is_remote() { CONCURRENT_READS } else { 1 }
}

/// Tells if an object exists. Without the right to list, S3 answers 403 for one that does not.
pub(super) fn exists(storage: &Storage, key: &str) -> Result<bool> {
    match storage.head(key) {
        Ok(_) => Ok(true),
        Err(error) if is_absent_or_denied(error.kind) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Runs one mapper, unless its object exists; returns the object's key.
pub(super) fn scatter(
    scatter: &ScatterContext<'_>,
    storage: &Storage,
    (shuffle, digest): (&ShufflePlan, &str),
    mapper: usize,
) -> std::result::Result<String, PrepareTaskError> {
    let key = keys::scatter_object(digest, mapper);
    if !exists(storage, &key)? {
        let object = scatter.run_mapper(&shuffle.mappers[mapper])?;
        storage.put(&key, object, Condition::Always).map_err(StaggerError::from)?;
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
    let key = keys::combined_object(digest, task);
    if !exists(storage, &key)? {
        let tasks = combine::plan_combiners(mappers, partitions, cut);
        let keys = Objects::Scattered(mappers).keys(digest);
        let object = combine::combine_blocks(storage, &keys, &tasks[task])?;
        storage.put(&key, object, Condition::Always)?;
    }
    Ok(key)
}

/// Runs one gather task, unless its report exists; returns the reports on its shards.
pub(super) fn gather(
    gather: &GatherContext<'_>,
    storage: &Storage,
    digest: &str,
    task: usize,
) -> std::result::Result<Vec<ShardReport>, PrepareTaskError> {
    let key = keys::gather_report(digest, task);
    if let Some(known) = report(storage, &key)? {
        return Ok(known);
    }
    let reports = gather.build_shards(storage, task, |shard, bytes| put_shard(storage, shard, bytes))?;
    put_report(storage, &key, &reports)?;
    Ok(reports)
}

/// Runs one task of cross sections, unless its report exists; returns the reports on its shards.
pub(super) fn rows(
    rows: &CrossSectionContext<'_>,
    all: &CrossSectionShards<'_>,
    storage: &Storage,
    (fingerprint, shards): (&str, usize),
    task: usize,
) -> Result<Vec<ShardReport>> {
    let key = keys::gather_report(fingerprint, task);
    if let Some(known) = report(storage, &key)? {
        return Ok(known);
    }
    let range = task * SHARDS_PER_ROW_TASK..((task + 1) * SHARDS_PER_ROW_TASK).min(shards);
    let reports = rows.build_shards(all, range, |shard, bytes| put_shard(storage, shard, bytes))?;
    put_report(storage, &key, &reports)?;
    Ok(reports)
}

fn put_shard(storage: &Storage, shard: usize, bytes: Bytes) -> Result<()> {
    storage.put(&keys::shard(shard), bytes, Condition::Always)?;
    Ok(())
}

fn put_report(storage: &Storage, key: &str, reports: &[ShardReport]) -> Result<()> {
    let json = serde_json::to_vec(reports).map_err(|e| StaggerError::failed(e.to_string()))?;
    storage.put(key, Bytes::from(json), Condition::Always)?;
    Ok(())
}

/// Returns the report of an earlier attempt; one that can't be read is made again.
fn report(storage: &Storage, key: &str) -> Result<Option<Vec<ShardReport>>> {
    match storage.get(key, None) {
        Ok((bytes, _)) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if is_absent_or_denied(error.kind) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Returns the cut of cross sections into shards.
pub(super) fn row_shards(common: &StoreFacts, rows: u64, shards: usize) -> CrossSectionShards<'_> {
    CrossSectionShards {
        strata: &common.strata,
        periods: &common.periods,
        texts: &common.texts,
        per_shard: rows.div_ceil(shards as u64).max(1),
    }
}

/// Parts of a step that are open already: its input, and the objects of a gather step.
#[derive(Clone, Copy)]
pub struct OpenedInputs<'a> {
    /// The input, or the chunks that the task reads.
    pub source: Option<&'a Source>,
    /// The objects that gather tasks read; `None`: each task reads the headers itself.
    pub scattered: Option<&'a [ScatterObject]>,
}

/// Computes one task of a step; returns its report as JSON.
///
/// # Errors
/// Rows that contradict each other, invalid input, storage that fails, and a task of another step.
pub fn compute_task(
    stage: &PrepareStage,
    task: PrepareTask,
    opened: OpenedInputs<'_>,
    storage: &Storage,
) -> std::result::Result<Bytes, PrepareTaskError> {
    let source = || opened.source.ok_or_else(|| StaggerError::failed(format!("{task} has no input")));
    match (&stage.step, task) {
        (Step::Scatter { input, shuffle, digest, text_ids }, PrepareTask::Scatter(mapper)) => {
            let mapping = ScatterContext {
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
            json(&stage.reading(input, source()?).scan_chunk(chunk)?)
        }
        (Step::Rows { input, common, fingerprint }, PrepareTask::Rows(task)) => {
            let (total, shards) = input.row_shards();
            let reading = stage.reading(input, source()?);
            json(&rows(&reading, &row_shards(common, total, shards), storage, (fingerprint, shards), task)?)
        }
        (_, task) => Err(StaggerError::failed(format!("{task} is no task of this step")).into()),
    }
}

fn gather_task(
    stage: &PrepareStage,
    task: usize,
    opened: OpenedInputs<'_>,
    storage: &Storage,
) -> std::result::Result<Bytes, PrepareTaskError> {
    let Step::Gather { digest, objects, common, partitions, .. } = &stage.step else {
        return Err(StaggerError::failed(format!("partition {task} is no task of this step")).into());
    };
    let shards = super::panel_shard_count(common.rows, common.periods.len());
    let own: Vec<ScatterObject>;
    let scattered = match opened.scattered {
        Some(all) => all,
        None => {
            // Most combined objects hold other partitions: reading their headers would waste requests.
            let keys = objects.keys_of(digest, &partitions_of(*partitions, shards, task));
            let headers = read_headers(storage, &keys, 1)?;
            own = keys.into_iter().zip(headers).map(|(key, header)| common.scattered(key, header)).collect();
            &own
        }
    };
    let gathering = GatherContext {
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

fn json<T: Serialize>(value: &T) -> std::result::Result<Bytes, PrepareTaskError> {
    let bytes = serde_json::to_vec(value).map_err(|e| StaggerError::failed(e.to_string()))?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use stagger_model::calendar::{Calendar, LabelFormat, TimeUnit};
    use stagger_records::KeyKind;

    use super::*;
    use crate::prepare::KeyColumns;

    #[test]
    fn workers_get_all_that_keys_say() {
        let calendar = Some(Calendar { unit: TimeUnit::Month, labels: LabelFormat::Unit });
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
            assert_eq!(read.keys.ids.is_implied_by_type(), ids.is_implied_by_type());
        }
    }
}
