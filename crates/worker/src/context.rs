//! The objects of a run that tasks have in common: the panel as its specifications see it, and the input of a stage.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde::Deserialize;
use stagger_estimation::plan::Plan;
use stagger_model::error::{FailureClass, StaggerError};
use stagger_model::events::ObjectRef;
use stagger_panel::panel_store::PanelStore;
use stagger_panel::stored::StoredShards;
use stagger_protocol::messages::TaskFailure;
use stagger_protocol::objects::checksum;

use super::places::check_common_object;
use super::shards::ShardCache;
use super::{TaskAttempt, TaskResult, Worker};
use stagger_protocol::objects::{PanelObject, StageObject};

/// A panel that is open, with its specifications' plans.
#[derive(Debug)]
pub(crate) struct OpenPanel {
    /// The store's shards as the specifications see them.
    pub shards: Arc<StoredShards>,
    /// The plan of each specification; `None` before it is planned.
    pub plans: Vec<Option<Plan>>,
    /// Decoded shards of this panel that are kept between tasks.
    pub cache: ShardCache,
}

/// The objects that an environment keeps between invocations: the last panel and the last stage.
#[derive(Debug, Default)]
pub(super) struct WorkerCache {
    panel: Option<CachedObject<OpenPanel>>,
    stage: Option<CachedObject<StageObject>>,
}

/// An object that was read, and the run that it was read in. The checksum alone would let a run use an object that it
/// does not hold.
#[derive(Debug)]
struct CachedObject<T> {
    run: String,
    checksum: String,
    value: Arc<T>,
}

impl<T> CachedObject<T> {
    fn new(attempt: &TaskAttempt<'_>, object: &ObjectRef, value: &Arc<T>) -> Self {
        Self {
            run: attempt.invocation.run.clone(),
            checksum: object.checksum.clone(),
            value: Arc::clone(value),
        }
    }

    /// Returns the value if it is the wanted object. A value that was read in another run is used only if this run
    /// holds the object as well.
    fn get(
        known: &mut Option<Self>,
        attempt: &TaskAttempt<'_>,
        wanted: &ObjectRef,
    ) -> TaskResult<Option<Arc<T>>> {
        let Some(known) = known.as_mut().filter(|known| known.checksum == wanted.checksum) else {
            return Ok(None);
        };
        if known.run != attempt.invocation.run {
            read_object_bytes(attempt, wanted)?;
            known.run.clone_from(&attempt.invocation.run);
        }
        Ok(Some(Arc::clone(&known.value)))
    }
}

impl Worker {
    /// Returns the stage's common object, read or kept from an earlier invocation.
    pub(super) fn open_stage(&self, attempt: &mut TaskAttempt<'_>) -> TaskResult<Arc<StageObject>> {
        let wanted = &attempt.invocation.stage;
        if let Some(stage) = CachedObject::get(&mut self.kept().stage, attempt, wanted)? {
            return Ok(stage);
        }
        let begin = Instant::now();
        let stage: Arc<StageObject> = Arc::new(read_object(attempt, wanted)?);
        self.kept().stage = Some(CachedObject::new(attempt, wanted, &stage));
        attempt.phases.open += begin.elapsed().as_secs_f64();
        Ok(stage)
    }

    /// Returns the panel, open.
    pub(super) fn open_panel(
        &self,
        attempt: &mut TaskAttempt<'_>,
        wanted: &ObjectRef,
    ) -> TaskResult<Arc<OpenPanel>> {
        if let Some(panel) = CachedObject::get(&mut self.kept().panel, attempt, wanted)? {
            attempt.count_requests(panel.shards.storage());
            return Ok(panel);
        }
        // Another panel's memory is freed before this one is opened.
        self.kept().panel = None;
        let begin = Instant::now();
        let object: PanelObject = read_object(attempt, wanted)?;
        let store = PanelStore::open(attempt.open(&object.store)?)?;
        let shards = object.open_shards(store)?;
        let plans = object.specs.into_iter().map(|spec| spec.plan).collect();
        let cache = ShardCache::new(attempt.options.cache);
        let panel = Arc::new(OpenPanel { shards, plans, cache });
        self.kept().panel = Some(CachedObject::new(attempt, wanted, &panel));
        attempt.phases.open += begin.elapsed().as_secs_f64();
        Ok(panel)
    }
}

/// Reads and decodes an object that a message names.
fn read_object<T: for<'de> Deserialize<'de>>(attempt: &TaskAttempt<'_>, wanted: &ObjectRef) -> TaskResult<T> {
    let bytes = read_object_bytes(attempt, wanted)?;
    postcard::from_bytes(&bytes).map_err(|e| damaged(wanted, &format!("can't be read: {e}")))
}

/// Reads the bytes of an object, which must have the checksum that the message gives.
fn read_object_bytes(attempt: &TaskAttempt<'_>, wanted: &ObjectRef) -> TaskResult<Bytes> {
    check_common_object(wanted)?;
    let (bytes, _) = attempt.run.get(&wanted.key, None).map_err(StaggerError::from)?;
    match checksum(&bytes) == wanted.checksum {
        true => Ok(bytes),
        false => Err(damaged(wanted, "has another checksum than the controller says")),
    }
}

fn damaged(object: &ObjectRef, why: &str) -> TaskFailure {
    TaskFailure::new(FailureClass::Corrupt, format!("`{}` of the run {why}", object.key))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use stagger_model::events::PhaseSeconds;
    use stagger_protocol::messages::{Invocation, PROTOCOL, VERSION, Work};
    use stagger_storage::{Condition, MemoryStore, Storage};

    use super::*;
    use crate::{AllowedStorage, MemoryGuard, WorkerOptions};

    fn invocation(run: &str, stage: &ObjectRef) -> Invocation {
        Invocation {
            protocol: PROTOCOL,
            version: VERSION.to_owned(),
            run: run.to_owned(),
            stage: stage.clone(),
            work: Work::Scan(0),
            look: false,
            seconds: 60,
            kind: None,
        }
    }

    #[test]
    fn what_a_warm_worker_keeps_is_used_by_runs_that_hold_it_alone() {
        let bytes = b"a stage";
        let sum = checksum(bytes);
        let object = ObjectRef { key: stagger_protocol::keys::shared_object(&sum), checksum: sum };
        let options =
            WorkerOptions { places: AllowedStorage::unrestricted(), ..WorkerOptions::with_memory(None) };
        let (holds, empty) =
            (Storage::new(Arc::new(MemoryStore::default())), Storage::new(Arc::new(MemoryStore::default())));
        holds.put(&object.key, Bytes::from_static(bytes), Condition::Always).unwrap();
        let mut known =
            Some(CachedObject { run: "a".to_owned(), checksum: object.checksum.clone(), value: Arc::new(7) });
        for (run, storage, expected) in [("a", &empty, true), ("b", &empty, false), ("b", &holds, true)] {
            let invocation = invocation(run, &object);
            let attempt = TaskAttempt {
                options: &options,
                invocation: &invocation,
                before: storage.stats(),
                run: storage.clone(),
                guard: MemoryGuard::new(None),
                begin: Instant::now(),
                others: Mutex::default(),
                phases: PhaseSeconds::default(),
                rows: 0,
                cached: 0,
            };
            let found = CachedObject::get(&mut known, &attempt, &object);
            assert_eq!(found.is_ok_and(|value| value == Some(Arc::new(7))), expected, "{run}");
        }
    }
}
