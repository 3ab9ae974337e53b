//! Drives a preparation on the threads of this process.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::block::{Contents, Header, PREAMBLE, decode_header, header_length};
use super::conflict::Conflict;
use super::gather::{Codes, Gather, GatherError, Scattered, ShardReport};
use super::rows::{RowShards, Rows, Scanned};
use super::scatter::Scatter;
use super::shuffle::{SHARD_UNITS, Shape, Shuffle, units_together};
use super::{Order, PrepareOptions, combine, space};
use crate::error::{EngineError, Result};
use crate::events::RunEvent;
use crate::input::ColumnKind;
use crate::load::{codes, distinct, distinct_strata, stratum_codes};
use crate::panel::Stratum;
use crate::panel_store::{FORMAT, Field, Manifest, StratumEntry, keys};
use crate::parallel;
use crate::run::{Progress, cores};
use crate::store::{Condition, Storage, StoreErrorKind};

/// Bytes of a scatter object's start that hold the header of most.
const HEADER: u64 = 64 << 10;
/// Shards that a task of cross sections makes.
pub(crate) const ROW_TASK: usize = 32;

pub(super) struct Driver<'a> {
    order: &'a Order,
    storage: &'a Storage,
    options: &'a PrepareOptions,
    threads: usize,
}

/// What the shards have in common, once all rows were seen.
struct Common {
    strata: Vec<Stratum>,
    periods: Vec<f64>,
    texts: Vec<String>,
    rows: u64,
    keyless_rows: u64,
    cohortless_rows: u64,
}

impl<'a> Driver<'a> {
    pub(super) fn new(order: &'a Order, storage: &'a Storage, options: &'a PrepareOptions) -> Self {
        Self { order, storage, options, threads: options.threads.unwrap_or_else(cores).max(1) }
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
        let keys = tracked(progress, "scatter", mappers, |done| self.scatter(&shuffle, &digest, done))?;
        let keys = match shuffle.combine {
            None => keys,
            Some(cut) => {
                let objects = combine::tasks(mappers, shuffle.partitions, cut);
                tracked(progress, "combine", objects.len(), |done| {
                    parallel::map(self.threads, objects.len(), |task| {
                        let key = keys::combined(&digest, task);
                        if !self.exists(&key)? {
                            let object = combine::run(self.storage, &keys, &objects[task])?;
                            self.storage.put(&key, object, Condition::Always)?;
                        }
                        done();
                        Ok(key)
                    })
                })?
            }
        };
        let (common, scattered) = self.common(keys)?;
        let shards = shard_count(common.rows, common.periods.len());
        let gather = Gather {
            keys: &self.order.keys,
            fields: &self.order.fields,
            strata: &common.strata,
            periods: &common.periods,
            texts: &common.texts,
            partitions: shuffle.partitions,
            shards,
            scattered: &scattered,
        };
        let tasks = gather.tasks();
        let reports = tracked(progress, "gather", tasks, |done| self.gather(&gather, &digest, done))?;
        drop(scattered);
        Ok((common, reports))
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
            text_ids: source.kind("idname", id)? == ColumnKind::Text,
            threads: self.threads,
            memory_limit: self.options.memory_limit.unwrap_or_else(space::default_memory),
            remote: self.storage.url().starts_with("s3:"),
            partitions: self.options.partitions,
            combine: self.options.combine,
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

    fn exists(&self, key: &str) -> Result<bool> {
        match self.storage.head(key) {
            Ok(_) => Ok(true),
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
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

    fn scatter(&self, shuffle: &Shuffle, digest: &str, done: &(dyn Fn() + Sync)) -> Result<Vec<String>> {
        let source = &self.order.source;
        let scatter = Scatter {
            source,
            columns: &self.order.columns,
            fields: &self.order.fields,
            partitions: shuffle.partitions,
            pivot: shuffle.pivot,
            text_ids: source.kind("idname", &self.order.columns.id)? == ColumnKind::Text,
        };
        self.tell_conflicts(|told| {
            parallel::map(self.threads, shuffle.mappers.len(), |mapper| {
                let key = keys::scattered(digest, mapper);
                if !self.exists(&key)? {
                    let object = scatter.run(&shuffle.mappers[mapper]).map_err(|e| told(mapper, e))?;
                    self.storage.put(&key, object, Condition::Always)?;
                }
                done();
                Ok(key)
            })
        })
    }

    /// Reads all headers: strata, periods and texts of all rows.
    fn common(&self, keys: Vec<String>) -> Result<(Common, Vec<Scattered>)> {
        let headers = parallel::map(self.threads, keys.len(), |index| header(self.storage, &keys[index]))?;
        let members = || headers.iter().flat_map(|(contents, _)| &contents.members);
        let strata = distinct_strata(members().flat_map(|h| h.strata.iter().map(stratum)));
        let periods = distinct(members().flat_map(|h| h.periods.iter().copied()));
        let texts: BTreeSet<&String> = members().flat_map(|h| &h.texts).collect();
        let texts: Vec<String> = texts.into_iter().cloned().collect();
        super::fields::check_texts(texts.len())?;
        if periods.is_empty() {
            return Err(
                EngineError::input("no row has both a unit and a period").with_hint("check idname and tname")
            );
        }
        // A combined mapper is in one object for every run of partitions; it counts once.
        let sum = |of: fn(&Header) -> u64| -> u64 {
            let first = headers.iter().filter(|(contents, _)| contents.first == 0);
            first.flat_map(|(contents, _)| &contents.members).map(of).sum()
        };
        let common = Common {
            rows: sum(|h| h.rows),
            keyless_rows: sum(|h| h.keyless_rows),
            cohortless_rows: sum(|h| h.cohortless_rows),
            strata,
            periods,
            texts,
        };
        let scattered = keys
            .into_iter()
            .zip(headers)
            .map(|(key, (contents, length))| {
                let codes = contents.members.iter().map(|member| codes_of(member, &common)).collect();
                Scattered { key, contents, length, codes }
            })
            .collect();
        Ok((common, scattered))
    }

    fn gather(
        &self,
        gather: &Gather<'_>,
        digest: &str,
        done: &(dyn Fn() + Sync),
    ) -> Result<Vec<ShardReport>> {
        let reports = self.tell_conflicts(|told| {
            parallel::map(self.threads, gather.tasks(), |task| {
                let key = keys::gathered(digest, task);
                if let Some(known) = self.report(&key)? {
                    done();
                    return Ok(known);
                }
                let put = |shard: usize, bytes| self.put_shard(shard, bytes);
                let reports = gather.run(self.storage, task, put).map_err(|e| told(task, e))?;
                self.put_report(&key, &reports)?;
                done();
                Ok(reports)
            })
        })?;
        Ok(reports.into_iter().flatten().collect())
    }

    fn put_shard(&self, shard: usize, bytes: Bytes) -> Result<()> {
        self.storage.put(&keys::shard(shard), bytes, Condition::Always)?;
        Ok(())
    }

    fn put_report(&self, key: &str, reports: &[ShardReport]) -> Result<()> {
        let json = serde_json::to_vec(reports).map_err(|e| EngineError::failed(e.to_string()))?;
        self.storage.put(key, Bytes::from(json), Condition::Always)?;
        Ok(())
    }

    /// What an earlier attempt has made; one that can't be read is made again.
    fn report(&self, key: &str) -> Result<Option<Vec<ShardReport>>> {
        match self.storage.get(key, None) {
            Ok((bytes, _)) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn cross_sections(&self, progress: &mut Progress<'_>) -> Result<(Common, Vec<ShardReport>)> {
        let Order { source, columns, keys, fields, .. } = self.order;
        let rows = Rows { source, columns, keys, fields };
        let chunks = source.chunks().len();
        let scanned = tracked(progress, "scan", chunks, |done| {
            parallel::map(self.threads, chunks, |chunk| {
                let found = rows.scan(chunk)?;
                done();
                Ok(found)
            })
        })?;
        let common = gather_scans(scanned, source.rows())?;
        let shards = row_shard_count(source.rows());
        let all = RowShards {
            strata: &common.strata,
            periods: &common.periods,
            texts: &common.texts,
            per_shard: source.rows().div_ceil(shards as u64).max(1),
        };
        let tasks = shards.div_ceil(ROW_TASK);
        let digest = &self.order.fingerprint;
        let reports = tracked(progress, "rows", tasks, |done| {
            parallel::map(self.threads, tasks, |task| {
                let key = keys::gathered(digest, task);
                let reports = match self.report(&key)? {
                    Some(known) => known,
                    None => {
                        let range = task * ROW_TASK..((task + 1) * ROW_TASK).min(shards);
                        let made = rows.shards(&all, range, |shard, bytes| self.put_shard(shard, bytes))?;
                        self.put_report(&key, &made)?;
                        made
                    }
                };
                done();
                Ok(reports)
            })
        })?;
        Ok((common, reports.into_iter().flatten().collect()))
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
        for report in reports {
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
            id_bytes,
            unbalanced,
            inputs: self.order.inputs(),
            shards,
        }
    }
}

fn stratum(&(cohort, eligible): &(Option<f64>, bool)) -> Stratum {
    Stratum { cohort: cohort.unwrap_or(f64::INFINITY), eligible }
}

/// What a mapper's codes are among all.
fn codes_of(header: &Header, common: &Common) -> Codes {
    let local: Vec<Stratum> = header.strata.iter().map(stratum).collect();
    let text = |text: &String| common.texts.partition_point(|known| known < text) as u32;
    Codes {
        strata: stratum_codes(&local, &common.strata),
        periods: codes(&header.periods, &common.periods),
        texts: header.texts.iter().map(text).collect(),
    }
}

/// Shards of a panel: as many for these data, whoever cuts them.
pub(crate) fn shard_count(rows: u64, periods: usize) -> usize {
    rows.div_ceil(periods as u64).div_ceil(SHARD_UNITS).max(1).next_power_of_two() as usize
}

/// The same of cross sections.
pub(crate) fn row_shard_count(rows: u64) -> usize {
    rows.div_ceil(crate::load::SHARD_ROWS).max(1).next_power_of_two() as usize
}

fn gather_scans(scanned: Vec<Scanned>, rows: u64) -> Result<Common> {
    let periods = distinct(scanned.iter().flat_map(|s| s.periods.iter().copied()));
    if periods.is_empty() {
        return Err(EngineError::input("no row has a period").with_hint("check tname"));
    }
    let keyless_rows = scanned.iter().map(|s| s.keyless_rows).sum();
    let texts: BTreeSet<&String> = scanned.iter().flat_map(|s| &s.texts).collect();
    let texts: Vec<String> = texts.into_iter().cloned().collect();
    super::fields::check_texts(texts.len())?;
    Ok(Common {
        strata: distinct_strata(scanned.iter().flat_map(|s| s.strata.iter().copied())),
        periods,
        texts,
        rows: rows - keyless_rows,
        keyless_rows,
        cohortless_rows: scanned.iter().map(|s| s.cohortless_rows).sum(),
    })
}

/// Runs a stage and tells of every task that is done.
fn tracked<T>(
    progress: &mut Progress<'_>,
    stage: &str,
    tasks: usize,
    work: impl FnOnce(&(dyn Fn() + Sync)) -> Result<T>,
) -> Result<T> {
    progress.stage(stage, tasks, |observer| {
        let count = AtomicUsize::new(0);
        work(&|| {
            let done = count.fetch_add(1, Ordering::Relaxed) + 1;
            observer(&RunEvent::TaskDone { stage: stage.to_owned(), done, tasks });
        })
    })
}

fn digest(shuffle: &Shuffle) -> Result<String> {
    let json = serde_json::to_vec(shuffle).map_err(|e| EngineError::failed(e.to_string()))?;
    Ok(format!("{:016x}", xxh3_64(&json)))
}

/// The contents of a scatter object and the length of its header's JSON.
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

/// Removes what a preparation needed on its way.
pub(super) fn clean(storage: &Storage) -> Result<()> {
    let mut objects = storage.list(keys::WORK)?;
    // The mark goes last: whoever finds it finds all that belongs to it.
    objects.sort_by_key(|object| object.key == keys::UNDER_WAY);
    for object in objects {
        storage.delete(&object.key)?;
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
