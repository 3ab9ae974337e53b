//! Sequence of a preparation: its steps, and the results that a step takes from the one before.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use stagger_model::error::{Result, StaggerError};
use stagger_model::events::{Observer, RunEvent};
use stagger_model::parallel;
use stagger_records::prepared::MANIFEST;
use stagger_storage::open::is_on_s3;
use stagger_storage::{Condition, Storage, StoreErrorKind};
use xxhash_rust::xxh3::xxh3_64;

use super::executor::{Executor, PrepareTask, StepFailure, decode};
use super::gather::ShardReport;
use super::handout::{BlockTable, ObjectReport};
use super::rows::ScanResult;
use super::shuffle::{ShuffleInputs, ShufflePlan, units_together};
use super::steps::{SHARDS_PER_ROW_TASK, readers};
use super::{PreparationInput, PrepareOptions, combine, space};
use crate::gaps::InputRemarks;
use crate::load::shard_count;
use crate::panel_store::fields::StoreField;
use crate::panel_store::{FORMAT, Field, Manifest, StratumEntry, keys};
use crate::prepare::stage::{HandedBlocks, Input, PrepareStage, Step, StoreFacts};
use crate::strata::Stratum;

pub(super) struct Driver<'a> {
    pub(super) order: &'a PreparationInput,
    pub(super) storage: &'a Storage,
    pub(super) options: &'a PrepareOptions,
    pub(super) threads: usize,
    pub(super) executor: &'a dyn Executor,
}

impl Driver<'_> {
    pub(super) fn run(&self, observer: Observer<'_>) -> Result<Manifest> {
        let source = &self.order.source;
        observer(&RunEvent::InputFound {
            files: source.file_infos().len(),
            rows: source.rows(),
            bytes: source.bytes(),
        });
        self.only_ours()?;
        self.claim()?;
        let (common, reports) =
            if self.order.cross_sections { self.cross_sections()? } else { self.panel(observer)? };
        let manifest = self.manifest(common, reports);
        let bytes = Bytes::from(manifest.encode()?);
        self.storage.put(MANIFEST, bytes, Condition::Always)?;
        clean(self.storage)?;
        Ok(manifest)
    }

    fn panel(&self, observer: Observer<'_>) -> Result<(StoreFacts, Vec<ShardReport>)> {
        let shuffle = self.shuffle()?;
        space::check_disk_space(self.storage, &shuffle, self.order.source.bytes())?;
        if let Some(limit) =
            self.options.memory_limit.filter(|&limit| limit < shuffle.process_bytes(self.threads))
        {
            let text = format!(
                "a memory limit of {} MB is less than {} threads take, about {} MB",
                limit / 1_000_000,
                self.threads,
                shuffle.process_bytes(self.threads) / 1_000_000
            );
            observer(&RunEvent::Note { text });
        }
        let digest = digest(&shuffle)?;
        let mappers = shuffle.mappers.len();
        let mut objects = self.scatter(&shuffle, &digest)?;
        if let Some(cut) = shuffle.combine {
            objects = self.combine(objects, (mappers, shuffle.partitions, cut), &digest)?;
        }
        self.gather((&shuffle, &digest), objects)
    }

    /// Returns the plan of the shuffle: that of a preparation under way if it has the same inputs and columns and fits the
    /// memory, otherwise a new one.
    fn shuffle(&self) -> Result<ShufflePlan> {
        let source = &self.order.source;
        let id = &self.order.columns.id;
        let chunks: Vec<usize> = source.chunks().iter().map(|chunk| chunk.rows).collect();
        let shape = ShuffleInputs {
            chunks: &chunks,
            together: units_together(source, id),
            fields: self.order.fields.len(),
            text_ids: self.order.columns.kind(id).is_text(),
            threads: self.threads,
            memory_limit: self.options.memory_limit.unwrap_or_else(space::default_memory),
            remote: is_on_s3(&self.storage.url()),
            partitions: self.options.partitions,
            combine: self.options.combine,
            input_bytes: source.bytes(),
            workers: self.options.workers,
        };
        let own = shape.plan_shuffle(&self.order.fingerprint);
        let key = keys::shuffle_plan(&self.order.fingerprint);
        match self.storage.get(&key, None) {
            Ok((bytes, _)) => {
                if let Ok(known) = serde_json::from_slice::<ShufflePlan>(&bytes)
                    && known.mapper_memory <= own.mapper_memory
                    && known.gather_memory <= own.gather_memory
                {
                    return Ok(known);
                }
            }
            Err(error) if error.kind == StoreErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        let json = serde_json::to_vec(&own).map_err(|e| StaggerError::failed(e.to_string()))?;
        self.storage.put(&key, Bytes::from(json), Condition::Always)?;
        Ok(own)
    }

    /// Marks the place as taken. Of two preparations of different inputs or columns the first one gets it.
    fn claim(&self) -> Result<()> {
        let mark = Bytes::from(format!("{{\"fingerprint\":\"{}\"}}\n", self.order.fingerprint));
        match self.storage.put(keys::IN_PROGRESS, mark.clone(), Condition::IfAbsent) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind == StoreErrorKind::Exists => {}
            Err(error) => return Err(error.into()),
        }
        match self.storage.get(keys::IN_PROGRESS, None) {
            Ok((known, _)) if known == mark => Ok(()),
            // It has completed since: there is a store now.
            Err(error) if error.kind == StoreErrorKind::NotFound => self.claim(),
            Err(error) => Err(error.into()),
            Ok(_) => Err(StaggerError::input(format!(
                "in `{}` a store of other inputs or other columns is under way, or was not finished",
                self.storage.url()
            ))
            .with_hint("choose another place, finish that one with its own command, or remove it")),
        }
    }

    /// Refuses a place that holds objects which are not part of a store.
    fn only_ours(&self) -> Result<()> {
        let ours = |key: &str| key.starts_with(keys::TEMPORARY) || key.starts_with(keys::SHARDS);
        match self.storage.list("")?.into_iter().find(|object| !ours(&object.key)) {
            None => Ok(()),
            Some(other) => Err(StaggerError::input(format!(
                "`{}` holds `{}`, which is no part of a store",
                self.storage.url(),
                other.key
            ))
            .with_hint("choose an empty place for the store")),
        }
    }

    fn scatter(&self, shuffle: &ShufflePlan, digest: &str) -> Result<Vec<ObjectReport>> {
        let text_ids = self.order.columns.kind(&self.order.columns.id).is_text();
        let tasks = shuffle.mappers.len();
        let (input, shuffle, digest) = (Input::new(self.order), shuffle.clone(), digest.to_owned());
        let step = Step::Scatter { input, shuffle, digest, text_ids };
        self.results("scatter", step, &tasks_of(tasks, PrepareTask::Scatter))
    }

    fn combine(
        &self,
        objects: Vec<ObjectReport>,
        (mappers, partitions, cut): (usize, usize, (usize, usize)),
        digest: &str,
    ) -> Result<Vec<ObjectReport>> {
        let tasks = combine::plan_combiners(mappers, partitions, cut).len();
        let blocks = self.hand_out(objects, keys::block_table(digest, "scatter"), partitions)?;
        let step = Step::Combine { digest: digest.to_owned(), mappers, partitions, cut, blocks };
        self.results("combine", step, &tasks_of(tasks, PrepareTask::Combine))
    }

    /// Tells the tasks of the next step of the blocks in some objects: workers by a table, threads by the reports.
    fn hand_out(&self, reports: Vec<ObjectReport>, key: String, partitions: usize) -> Result<HandedBlocks> {
        if !self.executor.is_remote() {
            return Ok(HandedBlocks { table: None, reports });
        }
        let table = BlockTable::write(self.storage, key, &reports, partitions)?;
        Ok(HandedBlocks { table: Some(table), reports: Vec::new() })
    }

    fn gather(
        &self,
        (shuffle, digest): (&ShufflePlan, &str),
        objects: Vec<ObjectReport>,
    ) -> Result<(StoreFacts, Vec<ShardReport>)> {
        let common = StoreFacts::from_reports(&objects)?;
        let partitions = shuffle.partitions;
        let tasks = partitions.min(panel_shard_count(common.rows, common.periods.len()));
        let before = if shuffle.combine.is_some() { "combine" } else { "scatter" };
        let blocks = self.hand_out(objects, keys::block_table(digest, before), partitions)?;
        let step = Step::Gather { digest: digest.to_owned(), blocks, common: common.clone(), partitions };
        let reports: Vec<Vec<ShardReport>> =
            self.results("gather", step, &tasks_of(tasks, PrepareTask::Gather))?;
        Ok((common, reports.into_iter().flatten().collect()))
    }

    fn cross_sections(&self) -> Result<(StoreFacts, Vec<ShardReport>)> {
        let source = &self.order.source;
        let input = Input::new(self.order);
        let chunks = tasks_of(source.chunks().len(), PrepareTask::Scan);
        let scanned: Vec<ScanResult> = self.results("scan", Step::Scan { input: input.clone() }, &chunks)?;
        let common = StoreFacts::from_scans(&scanned, source.rows())?;
        let tasks = cross_section_shard_count(source.rows()).div_ceil(SHARDS_PER_ROW_TASK);
        let fingerprint = self.order.fingerprint.clone();
        let step = Step::Rows { input, common: common.clone(), fingerprint };
        let reports: Vec<Vec<ShardReport>> =
            self.results("rows", step, &tasks_of(tasks, PrepareTask::Rows))?;
        Ok((common, reports.into_iter().flatten().collect()))
    }

    /// Runs a step on the executor.
    fn execute(&self, name: &str, step: Step, tasks: &[PrepareTask]) -> Result<()> {
        let stage = PrepareStage {
            store: self.storage.url(),
            step,
            keys: self.order.keys.clone(),
            fields: self.order.fields.clone(),
        };
        self.executor.execute(name, stage, tasks).map_err(|failure| match failure {
            StepFailure::Conflict(conflict) => conflict.to_error(&self.order.source, &self.order.columns),
            StepFailure::Other(error) => error,
        })
    }

    /// Runs a step on the executor and returns the reports of its tasks.
    fn results<T: DeserializeOwned>(&self, name: &str, step: Step, tasks: &[PrepareTask]) -> Result<Vec<T>> {
        self.execute(name, step, tasks)?;
        self.executor.results(tasks)?.iter().map(|bytes| decode(name, bytes)).collect()
    }

    fn manifest(&self, common: StoreFacts, reports: Vec<ShardReport>) -> Manifest {
        let periods = common.periods.len();
        let mut strata = empty_strata(&common);
        let mut fields = empty_fields(&self.order.fields);
        let (mut units, mut id_bytes, mut unbalanced) = (0, 0, false);
        let mut shards = Vec::with_capacity(reports.len());
        let mut remarks = InputRemarks { gaps: common.gaps, notes: self.order.source.notes() };
        for report in reports {
            remarks.gaps.merge(&report.gaps);
            for (index, stratum) in strata.iter_mut().enumerate() {
                stratum.units += report.units[index];
                let own = &report.rows[index * periods..(index + 1) * periods];
                stratum.rows.iter_mut().zip(own).for_each(|(all, rows)| *all += rows);
            }
            for (field, own) in fields.iter_mut().zip(&report.fields) {
                field.varies |= own.varies;
                field.missing |= own.missing;
                field.bytes += own.bytes;
            }
            units += report.entry.units;
            id_bytes += report.id_bytes;
            unbalanced |= report.unbalanced;
            shards.push(report.entry);
        }
        Manifest {
            format: FORMAT,
            fingerprint: self.order.fingerprint.clone(),
            cross_sections: self.order.cross_sections,
            columns: self.order.keys.clone(),
            periods: common.periods,
            strata,
            fields,
            texts: common.texts,
            units,
            input_rows: self.order.source.rows(),
            keyless_rows: common.keyless_rows,
            cohortless_rows: common.cohortless_rows,
            remarks,
            id_bytes,
            unbalanced,
            inputs: self.order.inputs(),
            shards,
        }
    }
}

/// Returns the number of shards of a panel, which depends on its rows and periods alone.
pub fn panel_shard_count(rows: u64, periods: usize) -> usize {
    shard_count(rows.div_ceil(periods as u64))
}

/// Returns the number of shards of cross sections, which depends on their rows alone.
pub fn cross_section_shard_count(rows: u64) -> usize {
    shard_count(rows)
}

fn tasks_of(count: usize, task: fn(usize) -> PrepareTask) -> Vec<PrepareTask> {
    (0..count).map(task).collect()
}

/// Strata with counts of 0.
fn empty_strata(common: &StoreFacts) -> Vec<StratumEntry> {
    let entry = |s: &Stratum| StratumEntry {
        cohort: s.cohort.is_finite().then_some(s.cohort),
        eligible: s.eligible,
        units: 0,
        rows: vec![0; common.periods.len()],
    };
    common.strata.iter().map(entry).collect()
}

/// Fields before any of their values is known.
fn empty_fields(fields: &[StoreField]) -> Vec<Field> {
    let field = |f: &StoreField| Field {
        name: f.name.clone(),
        kind: f.kind,
        outcome: f.outcome,
        varies: false,
        missing: false,
        bytes: 0,
    };
    fields.iter().map(field).collect()
}

fn digest(shuffle: &ShufflePlan) -> Result<String> {
    let json = serde_json::to_vec(shuffle).map_err(|e| StaggerError::failed(e.to_string()))?;
    Ok(format!("{:016x}", xxh3_64(&json)))
}

/// Removes the objects that only the preparation needed.
pub(super) fn clean(storage: &Storage) -> Result<()> {
    let mut objects = storage.list(keys::TEMPORARY)?;
    // The mark is removed last: as long as it exists, so do the objects that belong to it.
    objects.sort_by_key(|object| object.key == keys::IN_PROGRESS);
    let marks = objects.split_off(objects.partition_point(|object| object.key != keys::IN_PROGRESS));
    let threads = if storage.is_remote() { 4 * readers(storage) } else { 1 };
    parallel::map(threads, objects.len(), |index| Ok(storage.delete(&objects[index].key)?))?;
    for mark in marks {
        storage.delete(&mark.key)?;
    }
    storage.sweep();
    Ok(())
}

/// Removes the objects of a preparation that failed because of its input: corrected input will have another fingerprint.
/// Objects of other preparations stay.
pub(super) fn forget(storage: &Storage, order: &PreparationInput, error: &StaggerError) {
    let own = storage
        .get(keys::IN_PROGRESS, None)
        .is_ok_and(|(mark, _)| String::from_utf8_lossy(&mark).contains(&order.fingerprint));
    if error.is_input() && own {
        // The first error is reported, not one of the removal.
        let _ = clean(storage);
    }
}
