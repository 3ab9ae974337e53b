//! What tasks have in common, as objects of the run: the panel as its specifications see it, and the input of a stage.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stagger_estimator::linear::Standardization;

use super::places::check_object;
use super::protocol::{FailureClass, ObjectRef, TaskFailure};
use super::shards::ShardCache;
use super::{Attempt, Outcome, Worker, checksum};
use crate::error::{EngineError, Result};
use crate::levels::Recodes;
use crate::load::{StoredShards, Wanted};
use crate::panel_store::PanelStore;
use crate::plan::Plan;
use crate::prepare::PrepareStage;
use crate::run::check;
use crate::spec::RunSpec;
use crate::task::StageInput;

/// A stage's common object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum StageObject {
    /// A pass of an estimation.
    Estimate(EstimateStage),
    /// A step of a preparation.
    Prepare(Box<PrepareStage>),
}

/// A pass over the shards for every specification that wants it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct EstimateStage {
    /// The panel ([`PanelObject`]).
    pub(crate) panel: ObjectRef,
    /// What each specification wants.
    pub(crate) shares: Vec<Share>,
    /// Every so many shards one is read: 1 for all, more for a sample.
    pub(crate) stride: usize,
}

/// One specification's part in a pass.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Share {
    /// Which specification of the panel's.
    pub(crate) spec: usize,
    /// What is wanted.
    pub(crate) input: StageInput,
    /// Constants of the design, which a run finds out on its way.
    pub(crate) standardization: Standardization,
    /// See [`Plan::outcome_center`].
    pub(crate) outcome_center: f64,
    /// Extended columns that every task takes: ones and cohort shares.
    pub(crate) fixed: usize,
}

/// A panel and the specifications that read it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PanelObject {
    /// Where the store is.
    pub(crate) store: String,
    /// Fingerprint of it.
    pub(crate) manifest: String,
    /// The specifications, in order.
    pub(crate) specs: Vec<SpecObject>,
}

/// A specification and its plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SpecObject {
    /// Its name among several.
    pub(crate) name: Option<String>,
    /// The specification, as JSON: it leaves out what is not set.
    pub(crate) spec: String,
    /// Its plan; none before there is one, while counts are taken for it.
    pub(crate) plan: Option<Plan>,
    /// Levels of its factors: by atom, code of each value's bits.
    pub(crate) recodes: Vec<(usize, Vec<(u64, f64)>)>,
}

impl SpecObject {
    pub(crate) fn new(
        name: Option<&str>,
        spec: &RunSpec,
        plan: Option<Plan>,
        recodes: &Recodes,
    ) -> Result<Self> {
        let json = serde_json::to_string(spec).map_err(|e| EngineError::failed(e.to_string()))?;
        let sorted = |codes: &HashMap<u64, f64>| {
            let mut codes: Vec<(u64, f64)> = codes.iter().map(|(bits, code)| (*bits, *code)).collect();
            codes.sort_unstable_by_key(|(bits, _)| *bits);
            codes
        };
        let recodes = recodes.iter().map(|(atom, codes)| (*atom, sorted(codes))).collect();
        Ok(Self { name: name.map(str::to_owned), spec: json, plan, recodes })
    }

    pub(crate) fn spec(&self) -> Result<RunSpec> {
        serde_json::from_str(&self.spec)
            .map_err(|e| EngineError::failed(format!("a damaged specification: {e}")))
    }
}

/// A panel that is open.
#[derive(Debug)]
pub(crate) struct OpenPanel {
    pub(crate) shards: Arc<StoredShards>,
    pub(crate) plans: Vec<Option<Plan>>,
    pub(crate) cache: ShardCache,
}

impl PanelObject {
    /// Opens the store's shards as these specifications see them.
    pub(crate) fn shards(&self, store: PanelStore) -> Result<Arc<StoredShards>> {
        if store.checksum() != self.manifest {
            return Err(EngineError::input(format!(
                "the store `{}` is another one than when the run began",
                self.store
            ))
            .with_hint("it was prepared again since: start a new run"));
        }
        let specs = self.specs.iter().map(SpecObject::spec).collect::<Result<Vec<_>>>()?;
        let formulas = specs.iter().map(check).collect::<Result<Vec<_>>>()?;
        let wanted: Vec<Wanted<'_>> = self
            .specs
            .iter()
            .zip(specs.iter().zip(&formulas))
            .map(|(object, (spec, formula))| Wanted { name: object.name.as_deref(), spec, formula })
            .collect();
        let shards = StoredShards::new(store, &wanted)?;
        for (index, spec) in self.specs.iter().enumerate() {
            let codes = |(atom, codes): &(usize, Vec<(u64, f64)>)| (*atom, codes.iter().copied().collect());
            shards.recode(index, spec.recodes.iter().map(codes).collect());
        }
        Ok(Arc::new(shards))
    }
}

/// What an environment keeps: the last panel and the last stage.
#[derive(Debug, Default)]
pub(super) struct Kept {
    panel: Option<Known<OpenPanel>>,
    stage: Option<Known<StageObject>>,
}

/// Something that was read, and whose it is: a checksum alone would let a run use what it doesn't hold.
#[derive(Debug)]
struct Known<T> {
    run: String,
    checksum: String,
    value: Arc<T>,
}

impl<T> Known<T> {
    fn new(attempt: &Attempt<'_>, object: &ObjectRef, value: &Arc<T>) -> Self {
        Self {
            run: attempt.invocation.run.clone(),
            checksum: object.checksum.clone(),
            value: Arc::clone(value),
        }
    }

    /// The value, if it is the object that is wanted; one that was read in another run only if this run holds it as well.
    fn of(known: &mut Option<Self>, attempt: &Attempt<'_>, wanted: &ObjectRef) -> Outcome<Option<Arc<T>>> {
        let Some(known) = known.as_mut().filter(|known| known.checksum == wanted.checksum) else {
            return Ok(None);
        };
        if known.run != attempt.invocation.run {
            bytes(attempt, wanted)?;
            known.run.clone_from(&attempt.invocation.run);
        }
        Ok(Some(Arc::clone(&known.value)))
    }
}

impl Worker {
    /// The stage's common object.
    pub(super) fn stage(&self, attempt: &mut Attempt<'_>) -> Outcome<Arc<StageObject>> {
        let wanted = &attempt.invocation.stage;
        if let Some(stage) = Known::of(&mut self.kept().stage, attempt, wanted)? {
            return Ok(stage);
        }
        let begin = Instant::now();
        let stage: Arc<StageObject> = Arc::new(object(attempt, wanted)?);
        self.kept().stage = Some(Known::new(attempt, wanted, &stage));
        attempt.phases.open += begin.elapsed().as_secs_f64();
        Ok(stage)
    }

    /// The panel, open.
    pub(super) fn panel(&self, attempt: &mut Attempt<'_>, wanted: &ObjectRef) -> Outcome<Arc<OpenPanel>> {
        if let Some(panel) = Known::of(&mut self.kept().panel, attempt, wanted)? {
            attempt.count(panel.shards.storage());
            return Ok(panel);
        }
        // What is kept of another panel makes room first.
        self.kept().panel = None;
        let begin = Instant::now();
        let object: PanelObject = object(attempt, wanted)?;
        let store = PanelStore::open(attempt.open(&object.store)?)?;
        let shards = object.shards(store)?;
        let plans = object.specs.into_iter().map(|spec| spec.plan).collect();
        let cache = ShardCache::new(attempt.options.cache);
        let panel = Arc::new(OpenPanel { shards, plans, cache });
        self.kept().panel = Some(Known::new(attempt, wanted, &panel));
        attempt.phases.open += begin.elapsed().as_secs_f64();
        Ok(panel)
    }
}

/// Reads an object that a message names.
fn object<T: for<'de> Deserialize<'de>>(attempt: &Attempt<'_>, wanted: &ObjectRef) -> Outcome<T> {
    let bytes = bytes(attempt, wanted)?;
    postcard::from_bytes(&bytes).map_err(|e| damaged(wanted, &format!("can't be read: {e}")))
}

/// The bytes of it, which have the checksum that the message says.
fn bytes(attempt: &Attempt<'_>, wanted: &ObjectRef) -> Outcome<Bytes> {
    check_object(wanted)?;
    let (bytes, _) = attempt.run.get(&wanted.key, None).map_err(EngineError::from)?;
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

    use super::*;
    use crate::store::{Condition, MemoryStore, Storage};
    use crate::worker::protocol::{Invocation, PROTOCOL, Phases, VERSION, Work};
    use crate::worker::{Guard, Places, WorkerOptions};

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
        let object = ObjectRef { key: crate::journal::keys::common(&sum), checksum: sum };
        let options = WorkerOptions { places: Places::anywhere(), ..WorkerOptions::with_memory(None) };
        let (holds, empty) =
            (Storage::new(Arc::new(MemoryStore::default())), Storage::new(Arc::new(MemoryStore::default())));
        holds.put(&object.key, Bytes::from_static(bytes), Condition::Always).unwrap();
        let mut known =
            Some(Known { run: "a".to_owned(), checksum: object.checksum.clone(), value: Arc::new(7) });
        for (run, storage, expected) in [("a", &empty, true), ("b", &empty, false), ("b", &holds, true)] {
            let invocation = invocation(run, &object);
            let attempt = Attempt {
                options: &options,
                invocation: &invocation,
                before: storage.stats(),
                run: storage.clone(),
                guard: Guard::new(None),
                begin: Instant::now(),
                others: Mutex::default(),
                phases: Phases::default(),
                rows: 0,
                cached: 0,
            };
            let found = Known::of(&mut known, &attempt, &object);
            assert_eq!(found.is_ok_and(|value| value == Some(Arc::new(7))), expected, "{run}");
        }
    }
}
