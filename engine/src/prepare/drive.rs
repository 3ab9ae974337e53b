//! Drives a preparation: on the threads of this process, or on workers.

use std::sync::Mutex;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_64;

use super::conflict::Conflict;
use super::gather::{Gather, GatherError, Scattered, ShardReport};
use super::rows::{Rows, Scanned};
use super::scatter::Scatter;
use super::shuffle::{Shape, Shuffle, units_together};
use super::steps::{self, Common, Input, Objects, PrepareStage, ROW_TASK, Step, readers, row_shards};
use super::{Order, PrepareOptions, combine, space};
use crate::cloud::{WorkerFailure, Workers};
use crate::error::{EngineError, Result};
use crate::events::RunEvent;
use crate::load::{Remarks, shards_of};
use crate::panel_store::{FORMAT, Field, Manifest, StratumEntry, keys};
use crate::parallel;
use crate::run::{Progress, cores};
use crate::store::{Condition, Storage, StoreErrorKind};
use crate::worker::StageObject;
use crate::worker::protocol::{TaskFailure, Work};

pub(super) struct Driver<'a> {
    order: &'a Order,
    storage: &'a Storage,
    options: &'a PrepareOptions,
    threads: usize,
    /// Who does the tasks, if not the threads of this process.
    workers: Option<&'a dyn Workers>,
}

impl<'a> Driver<'a> {
    pub(super) fn new(
        order: &'a Order,
        storage: &'a Storage,
        options: &'a PrepareOptions,
        workers: Option<&'a dyn Workers>,
    ) -> Self {
        Self { order, storage, options, threads: options.threads.unwrap_or_else(cores).max(1), workers }
    }

    pub(super) fn run(&self, progress: &mut Progress<'_>) -> Result<Manifest> {
        let source = &self.order.source;
        (progress.observer)(&RunEvent::InputFound {
            files: source.inputs().len(),
            rows: source.rows(),
            bytes: source.bytes(),
        });
        self.only_ours()?;
        self.claim()?;
        let (common, reports) =
            if self.order.cross_sections { self.cross_sections(progress)? } else { self.panel(progress)? };
        let manifest = self.manifest(common, reports);
        let bytes = Bytes::from(manifest.encode()?);
        self.storage.put(keys::MANIFEST, bytes, Condition::Always)?;
        clean(self.storage)?;
        Ok(manifest)
    }

    fn panel(&self, progress: &mut Progress<'_>) -> Result<(Common, Vec<ShardReport>)> {
        let shuffle = self.shuffle()?;
        space::check(self.storage, &shuffle, self.order.source.bytes())?;
        if let Some(limit) =
            self.options.memory_limit.filter(|&limit| limit < shuffle.least_memory(self.threads))
        {
            let text = format!(
                "a memory limit of {} MB is less than {} threads take, about {} MB",
                limit / 1_000_000,
                self.threads,
                shuffle.least_memory(self.threads) / 1_000_000
            );
            (progress.observer)(&RunEvent::Note { text });
        }
        let digest = digest(&shuffle)?;
        let mappers = shuffle.mappers.len();
        self.scatter(&shuffle, &digest, progress)?;
        let objects = match shuffle.combine {
            None => Objects::Scattered(mappers),
            Some(cut) => self.combine(mappers, shuffle.partitions, cut, &digest, progress)?,
        };
        self.gather((&shuffle, &digest), objects, progress)
    }

    /// The plan: the one under way if it is of the same inputs and columns and fits the memory, else a new one.
    fn shuffle(&self) -> Result<Shuffle> {
        let source = &self.order.source;
        let id = &self.order.columns.id;
        let chunks: Vec<usize> = source.chunks().iter().map(|chunk| chunk.rows).collect();
        let shape = Shape {
            chunks: &chunks,
            together: units_together(source, id),
            fields: self.order.fields.len(),
            text_ids: self.order.columns.kind(id).is_text(),
            threads: self.threads,
            memory_limit: self.options.memory_limit.unwrap_or_else(space::default_memory),
            remote: self.storage.url().starts_with("s3:"),
            partitions: self.options.partitions,
            combine: self.options.combine,
            least_tasks: self.options.least_tasks,
        };
        let own = shape.plan(&self.order.fingerprint);
        let key = keys::plan(&self.order.fingerprint);
        match self.storage.get(&key, None) {
            Ok((bytes, _)) => {
                if let Ok(known) = serde_json::from_slice::<Shuffle>(&bytes)
                    && known.mapper_memory <= own.mapper_memory
                    && known.gather_memory <= own.gather_memory
                {
                    return Ok(known);
                }
            }
            Err(error) if error.kind == StoreErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        let json = serde_json::to_vec(&own).map_err(|e| EngineError::failed(e.to_string()))?;
        self.storage.put(&key, Bytes::from(json), Condition::Always)?;
        Ok(own)
    }

    /// Takes the place: the first of two preparations of different inputs or columns has it.
    fn claim(&self) -> Result<()> {
        let mark = Bytes::from(format!("{{\"fingerprint\":\"{}\"}}\n", self.order.fingerprint));
        match self.storage.put(keys::UNDER_WAY, mark.clone(), Condition::IfAbsent) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind == StoreErrorKind::Exists => {}
            Err(error) => return Err(error.into()),
        }
        match self.storage.get(keys::UNDER_WAY, None) {
            Ok((known, _)) if known == mark => Ok(()),
            // Finished since: there is a store now.
            Err(error) if error.kind == StoreErrorKind::NotFound => self.claim(),
            Err(error) => Err(error.into()),
            Ok(_) => Err(EngineError::input(format!(
                "in `{}` a store of other inputs or other columns is under way, or was not finished",
                self.storage.url()
            ))
            .with_hint("choose another place, finish that one with its own command, or remove it")),
        }
    }

    /// Refuses a place where other things lie.
    fn only_ours(&self) -> Result<()> {
        let ours = |key: &str| key.starts_with(keys::WORK) || key.starts_with(keys::SHARDS);
        match self.storage.list("")?.into_iter().find(|object| !ours(&object.key)) {
            None => Ok(()),
            Some(other) => Err(EngineError::input(format!(
                "`{}` holds `{}`, which is no part of a store",
                self.storage.url(),
                other.key
            ))
            .with_hint("choose an empty place for the store")),
        }
    }

    /// Runs tasks that may find rows which contradict each other; of several such tasks the first one's are told, with their place.
    fn tell_conflicts<T>(
        &self,
        work: impl FnOnce(&(dyn Fn(usize, GatherError) -> EngineError + Sync)) -> Result<T>,
    ) -> Result<T> {
        let conflicts: Mutex<Option<(usize, Conflict)>> = Mutex::new(None);
        let result = work(&|task, error| match error {
            GatherError::Engine(error) => error,
            GatherError::Conflict(conflict) => {
                let mut first = conflicts.lock().unwrap_or_else(|e| e.into_inner());
                if first.as_ref().is_none_or(|(known, _)| task < *known) {
                    *first = Some((task, conflict));
                }
                EngineError::input("rows contradict each other")
            }
        });
        match (result, conflicts.into_inner().unwrap_or_else(|e| e.into_inner())) {
            (Err(_), Some((_, conflict))) => Err(conflict.describe(&self.order.source, &self.order.columns)),
            (result, _) => result,
        }
    }

    fn scatter(&self, shuffle: &Shuffle, digest: &str, progress: &mut Progress<'_>) -> Result<()> {
        let source = &self.order.source;
        let tasks = shuffle.mappers.len();
        let text_ids = self.order.columns.kind(&self.order.columns.id).is_text();
        if let Some(workers) = self.workers {
            let (input, shuffle, digest) = (Input::new(self.order), shuffle.clone(), digest.to_owned());
            let step = Step::Scatter { input, shuffle, digest, text_ids };
            return self.elsewhere(workers, "scatter", step, (0..tasks).map(Work::Scatter).collect());
        }
        let scatter = Scatter {
            source,
            columns: &self.order.columns,
            fields: &self.order.fields,
            partitions: shuffle.partitions,
            pivot: shuffle.pivot,
            text_ids,
        };
        tracked(progress, "scatter", tasks, |done| {
            self.tell_conflicts(|told| {
                parallel::map(self.threads, tasks, |mapper| {
                    let made = steps::scatter(&scatter, self.storage, (shuffle, digest), mapper);
                    made.map_err(|e| told(mapper, e))?;
                    done();
                    Ok(())
                })
            })
        })?;
        Ok(())
    }

    fn combine(
        &self,
        mappers: usize,
        partitions: usize,
        cut: (usize, usize),
        digest: &str,
        progress: &mut Progress<'_>,
    ) -> Result<Objects> {
        let tasks = combine::tasks(mappers, partitions, cut).len();
        if let Some(workers) = self.workers {
            let step = Step::Combine { digest: digest.to_owned(), mappers, partitions, cut };
            self.elsewhere(workers, "combine", step, (0..tasks).map(Work::Combine).collect())?;
        } else {
            tracked(progress, "combine", tasks, |done| {
                parallel::map(self.threads, tasks, |task| {
                    steps::combine(self.storage, digest, (mappers, partitions, cut), task)?;
                    done();
                    Ok(())
                })
            })?;
        }
        Ok(Objects::Combined { mappers, partitions, cut })
    }

    fn gather(
        &self,
        (shuffle, digest): (&Shuffle, &str),
        objects: Objects,
        progress: &mut Progress<'_>,
    ) -> Result<(Common, Vec<ShardReport>)> {
        let keys = objects.keys(digest);
        let headers = steps::headers(self.storage, &keys, self.threads)?;
        let common = Common::of_headers(&headers)?;
        let shards = shard_count(common.rows, common.periods.len());
        let partitions = shuffle.partitions;
        if let Some(workers) = self.workers {
            drop(headers);
            let tasks = partitions.min(shards);
            let step =
                Step::Gather { digest: digest.to_owned(), objects, common: common.clone(), partitions };
            let works: Vec<Work> = (0..tasks).map(Work::Gather).collect();
            let reports: Vec<Vec<ShardReport>> = self.results(workers, "gather", step, works)?;
            return Ok((common, reports.into_iter().flatten().collect()));
        }
        let scattered: Vec<Scattered> =
            keys.into_iter().zip(headers).map(|(key, header)| common.scattered(key, header)).collect();
        let gather = Gather {
            keys: &self.order.keys,
            fields: &self.order.fields,
            strata: &common.strata,
            periods: &common.periods,
            texts: &common.texts,
            partitions,
            shards,
            scattered: &scattered,
        };
        let reports = tracked(progress, "gather", gather.tasks(), |done| {
            self.tell_conflicts(|told| {
                parallel::map(self.threads, gather.tasks(), |task| {
                    let made = steps::gather(&gather, self.storage, digest, task);
                    let reports = made.map_err(|e| told(task, e))?;
                    done();
                    Ok(reports)
                })
            })
        })?;
        drop(scattered);
        Ok((common, reports.into_iter().flatten().collect()))
    }

    fn cross_sections(&self, progress: &mut Progress<'_>) -> Result<(Common, Vec<ShardReport>)> {
        let Order { source, columns, keys, fields, .. } = self.order;
        let chunks = source.chunks().len();
        let shards = row_shard_count(source.rows());
        let tasks = shards.div_ceil(ROW_TASK);
        let fingerprint = &self.order.fingerprint;
        if let Some(workers) = self.workers {
            let input = Input::new(self.order);
            let works = (0..chunks).map(Work::Scan).collect();
            let scanned: Vec<Scanned> =
                self.results(workers, "scan", Step::Scan { input: input.clone() }, works)?;
            let common = Common::of_scans(&scanned, source.rows())?;
            let step = Step::Rows { input, common: common.clone(), fingerprint: fingerprint.clone() };
            let works = (0..tasks).map(Work::Rows).collect();
            let reports: Vec<Vec<ShardReport>> = self.results(workers, "rows", step, works)?;
            return Ok((common, reports.into_iter().flatten().collect()));
        }
        let rows = Rows { source, columns, keys, fields };
        let scanned = tracked(progress, "scan", chunks, |done| {
            parallel::map(self.threads, chunks, |chunk| {
                let found = rows.scan(chunk)?;
                done();
                Ok(found)
            })
        })?;
        let common = Common::of_scans(&scanned, source.rows())?;
        let all = row_shards(&common, source.rows(), shards);
        let reports = tracked(progress, "rows", tasks, |done| {
            parallel::map(self.threads, tasks, |task| {
                let reports = steps::rows(&rows, &all, self.storage, (fingerprint, shards), task)?;
                done();
                Ok(reports)
            })
        })?;
        Ok((common, reports.into_iter().flatten().collect()))
    }

    /// Has workers do a step.
    fn elsewhere(&self, workers: &dyn Workers, name: &str, step: Step, works: Vec<Work>) -> Result<()> {
        let object = StageObject::Prepare(Box::new(PrepareStage {
            store: self.storage.url(),
            step,
            keys: self.order.keys.clone(),
            fields: self.order.fields.clone(),
        }));
        workers.run(name, &object, works).map_err(|failure| self.describe(failure))
    }

    /// The same, and what they tell.
    fn results<T: DeserializeOwned>(
        &self,
        workers: &dyn Workers,
        name: &str,
        step: Step,
        works: Vec<Work>,
    ) -> Result<Vec<T>> {
        self.elsewhere(workers, name, step, works.clone())?;
        let results = workers.results(&works)?;
        let decode = |bytes: &Bytes| {
            serde_json::from_slice(bytes)
                .map_err(|e| EngineError::failed(format!("a result of stage {name} can't be read: {e}")))
        };
        results.iter().map(decode).collect()
    }

    /// The error of a worker's task; rows that contradict each other are looked up in the whole input.
    fn describe(&self, failure: WorkerFailure) -> EngineError {
        match failure {
            WorkerFailure::Task { failure: TaskFailure { conflict: Some(conflict), .. }, .. } => {
                conflict.describe(&self.order.source, &self.order.columns)
            }
            other => other.into(),
        }
    }

    fn manifest(&self, common: Common, reports: Vec<ShardReport>) -> Manifest {
        let periods = common.periods.len();
        let mut strata: Vec<StratumEntry> = common
            .strata
            .iter()
            .map(|s| StratumEntry {
                cohort: s.cohort.is_finite().then_some(s.cohort),
                eligible: s.eligible,
                units: 0,
                rows: vec![0; periods],
            })
            .collect();
        let mut fields: Vec<Field> = self
            .order
            .fields
            .iter()
            .map(|f| Field {
                name: f.name.clone(),
                kind: f.kind,
                outcome: f.outcome,
                varies: false,
                missing: false,
                bytes: 0,
            })
            .collect();
        let (mut units, mut id_bytes, mut unbalanced) = (0, 0, false);
        let mut shards = Vec::with_capacity(reports.len());
        let mut remarks = Remarks { gaps: common.gaps, notes: self.order.source.notes() };
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

/// Shards of a panel: as many for these data, whoever cuts them.
pub fn shard_count(rows: u64, periods: usize) -> usize {
    shards_of(rows.div_ceil(periods as u64))
}

/// The same of cross sections.
pub fn row_shard_count(rows: u64) -> usize {
    shards_of(rows)
}

/// Runs a stage and tells of every task that is done.
fn tracked<T>(
    progress: &mut Progress<'_>,
    stage: &str,
    tasks: usize,
    work: impl FnOnce(&(dyn Fn() + Sync)) -> Result<T>,
) -> Result<T> {
    progress.stage(stage, tasks, |watch| work(&|| watch.tick()))
}

fn digest(shuffle: &Shuffle) -> Result<String> {
    let json = serde_json::to_vec(shuffle).map_err(|e| EngineError::failed(e.to_string()))?;
    Ok(format!("{:016x}", xxh3_64(&json)))
}

/// Removes what a preparation needed on its way.
pub(super) fn clean(storage: &Storage) -> Result<()> {
    let mut objects = storage.list(keys::WORK)?;
    // The mark goes last: whoever finds it finds all that belongs to it.
    objects.sort_by_key(|object| object.key == keys::UNDER_WAY);
    let marks = objects.split_off(objects.partition_point(|object| object.key != keys::UNDER_WAY));
    let threads = if storage.is_remote() { 4 * readers(storage) } else { 1 };
    parallel::map(threads, objects.len(), |index| Ok(storage.delete(&objects[index].key)?))?;
    for mark in marks {
        storage.delete(&mark.key)?;
    }
    storage.sweep();
    Ok(())
}

/// After bad input nothing is worth keeping: it will not be the same input that succeeds. What belongs to others stays.
pub(super) fn forget(storage: &Storage, order: &Order, error: &EngineError) {
    let own = storage
        .get(keys::UNDER_WAY, None)
        .is_ok_and(|(mark, _)| String::from_utf8_lossy(&mark).contains(&order.fingerprint));
    if error.is_input() && own {
        // The error that is told is the first one.
        let _ = clean(storage);
    }
}
