//! Tasks of a preparation, the same for every executor. Each task stores its result below
//! the store, under a name that its content decides, and returns a short report.

use std::ops::Range;

use bytes::Bytes;
use serde::Serialize;
use stagger_model::error::{Result, StaggerError};
use stagger_records::Source;
use stagger_storage::open::is_absent_or_denied;
use stagger_storage::{Condition, Storage};

use super::block::{PREAMBLE, decode_header, header_length};
use super::combine;
use super::executor::PrepareTask;
use super::gather::{GatherContext, PrepareTaskError, ScatterObject, ShardReport};
use super::handout::ObjectReport;
use super::rows::{CrossSectionContext, CrossSectionShards};
use super::scatter::ScatterContext;
use super::shuffle::ShufflePlan;
use crate::panel_store::keys;
use crate::prepare::PrepareStage;
use crate::prepare::stage::{Step, StoreFacts};

/// Number of objects read at the same time: each is a request that waits.
pub const CONCURRENT_READS: usize = 16;
/// Number of shards that one task of cross sections builds.
pub const SHARDS_PER_ROW_TASK: usize = 32;

/// Number of bytes at the start of an object of an earlier attempt that hold most headers.
const HEADER_BYTES: u64 = 64 << 10;

/// Returns the report of an object that an earlier attempt has written; `None` if there is none.
fn earlier_report(storage: &Storage, key: &str) -> Result<Option<ObjectReport>> {
    // Without the right to list, S3 answers 403 for an object that is not there.
    let size = match storage.head(key) {
        Ok(object) => object.size,
        Err(error) if is_absent_or_denied(error.kind) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
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
    report_of(key, &start).map(Some)
}

/// Returns the report of an object from its bytes, or the first of them.
fn report_of(key: &str, object: &Bytes) -> Result<ObjectReport> {
    let start = (PREAMBLE + header_length(object, key)?) as u64;
    Ok(ObjectReport { key: key.to_owned(), start, contents: decode_header(object, key)? })
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

/// Runs one mapper, unless its object exists; returns the report of the object.
pub(super) fn scatter(
    scatter: &ScatterContext<'_>,
    storage: &Storage,
    (shuffle, digest): (&ShufflePlan, &str),
    mapper: usize,
) -> std::result::Result<ObjectReport, PrepareTaskError> {
    let key = keys::scatter_object(digest, mapper);
    if let Some(known) = earlier_report(storage, &key)? {
        return Ok(known);
    }
    let object = scatter.run_mapper(&shuffle.mappers[mapper])?;
    let report = report_of(&key, &object)?;
    storage.put(&key, object, Condition::Always).map_err(StaggerError::from)?;
    Ok(report)
}

/// Runs one combiner of the objects `all`, unless its object exists; returns the report of the object. `read` returns the
/// reports of the objects with some partitions.
fn combine(
    storage: &Storage,
    digest: &str,
    (mappers, partitions, cut): (usize, usize, (usize, usize)),
    task: usize,
    read: impl FnOnce(Range<usize>) -> Result<Vec<ObjectReport>>,
) -> Result<ObjectReport> {
    let key = keys::combined_object(digest, task);
    if let Some(known) = earlier_report(storage, &key)? {
        return Ok(known);
    }
    let own = &combine::plan_combiners(mappers, partitions, cut)[task];
    let object = combine::combine_blocks(storage, &read(own.partitions.clone())?, own)?;
    let report = report_of(&key, &object)?;
    storage.put(&key, object, Condition::Always)?;
    Ok(report)
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
    /// The objects that combiners read; `None`: each reads its part of the table.
    pub objects: Option<&'a [ObjectReport]>,
    /// The objects that gather tasks read; `None`: each task reads its part of the table.
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
        (Step::Combine { digest, mappers, partitions, cut, blocks }, PrepareTask::Combine(task)) => {
            let read = |own: Range<usize>| match opened.objects {
                Some(all) => Ok(all.to_vec()),
                None => blocks.table(task)?.read(storage, own),
            };
            json(&combine(storage, digest, (*mappers, *partitions, *cut), task, read)?)
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
    let Step::Gather { digest, blocks, common, partitions } = &stage.step else {
        return Err(StaggerError::failed(format!("partition {task} is no task of this step")).into());
    };
    let shards = super::panel_shard_count(common.rows, common.periods.len());
    let own: Vec<ScatterObject>;
    let scattered = match opened.scattered {
        Some(all) => all,
        None => {
            let partitions = partitions_of(*partitions, shards, task);
            let reports = blocks.table(task)?.read(storage, partitions)?;
            own = reports.into_iter().map(|object| common.scattered(object)).collect();
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
    use crate::prepare::stage::HandedBlocks;

    #[test]
    fn workers_get_all_that_keys_say() {
        let calendar = Some(Calendar { unit: TimeUnit::Month, labels: LabelFormat::Unit });
        for (ids, calendar) in [(KeyKind::Decimal, calendar), (KeyKind::Text, None)] {
            let keys =
                KeyColumns { id: "id".into(), ids, calendar: calendar.clone(), ..KeyColumns::default() };
            let blocks = HandedBlocks::default();
            let step =
                Step::Combine { digest: String::new(), mappers: 1, partitions: 1, cut: (1, 1), blocks };
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
