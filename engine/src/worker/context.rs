//! The objects of a run that tasks have in common: the panel as its specifications see it, and the input of a stage.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stagger_estimator::linear::Standardization;

use super::places::check_object;
use super::protocol::TaskFailure;
use super::shards::ShardCache;
use super::{Attempt, Outcome, Worker, checksum};
use crate::error::{EngineError, FailureClass, Result};
use crate::events::ObjectRef;
use crate::levels::Recodes;
use crate::load::{StoredShards, Wanted};
use crate::panel_store::PanelStore;
use crate::plan::Plan;
use crate::prepare::PrepareStage;
use crate::spec::RunSpec;
use crate::spec_check::check;
use crate::task::StageInput;

/// The common object of a stage's tasks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum StageObject {
    /// A pass of an estimation.
    Estimate(EstimateStage),
    /// A step of a preparation.
    Prepare(Box<PrepareStage>),
}

/// A pass over the shards for every specification that takes part.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EstimateStage {
    /// The panel ([`PanelObject`]).
    pub panel: ObjectRef,
    /// The input of each specification that takes part.
    pub shares: Vec<Share>,
    /// The distance between the shards that are read: 1 for all of them, more for a sample.
    pub stride: usize,
}

/// One specification's part in a pass.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Share {
    /// The index of the specification in the panel object.
    pub spec: usize,
    /// The stage's input: which sums to take, at which coefficients.
    pub input: StageInput,
    /// Centres and scales of the design's columns, which a run determines in its first passes.
    pub standardization: Standardization,
    /// See [`Plan::outcome_center`].
    pub outcome_center: f64,
    /// The number of leading extended columns that every task takes: ones and cohort shares.
    pub fixed: usize,
}

/// A panel and the specifications that read it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PanelObject {
    /// The address of the panel store.
    pub store: String,
    /// The fingerprint of its manifest.
    pub manifest: String,
    /// The specifications, in order.
    pub specs: Vec<SpecObject>,
}

/// A specification and its plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SpecObject {
    /// Its name, where there are several specifications.
    pub name: Option<String>,
    /// The specification as JSON, which leaves out every option that is not set.
    pub spec: String,
    /// Its plan; absent while the counts that planning needs are being taken.
    pub plan: Option<Plan>,
    /// Levels of its factors: by atom, the bits of each value and the code that replaces it.
    pub recodes: Vec<(usize, Vec<(u64, f64)>)>,
}

impl SpecObject {
    /// Returns the object of a specification.
    ///
    /// # Errors
    /// A specification that can't be written as JSON.
    pub fn new(name: Option<&str>, spec: &RunSpec, plan: Option<Plan>, recodes: &Recodes) -> Result<Self> {
        let json = serde_json::to_string(spec).map_err(|e| EngineError::failed(e.to_string()))?;
        let sorted = |codes: &HashMap<u64, f64>| {
            let mut codes: Vec<(u64, f64)> = codes.iter().map(|(bits, code)| (*bits, *code)).collect();
            codes.sort_unstable_by_key(|(bits, _)| *bits);
            codes
        };
        let recodes = recodes.iter().map(|(atom, codes)| (*atom, sorted(codes))).collect();
        Ok(Self { name: name.map(str::to_owned), spec: json, plan, recodes })
    }

    /// Parses the specification.
    ///
    /// # Errors
    /// JSON that is no specification.
    pub fn spec(&self) -> Result<RunSpec> {
        serde_json::from_str(&self.spec)
            .map_err(|e| EngineError::failed(format!("a damaged specification: {e}")))
    }
}

/// A panel that is open, with its specifications' plans.
#[derive(Debug)]
pub struct OpenPanel {
    /// The store's shards as the specifications see them.
    pub shards: Arc<StoredShards>,
    /// The plan of each specification; `None` before it is planned.
    pub plans: Vec<Option<Plan>>,
    /// Decoded shards of this panel that are kept between tasks.
    pub cache: ShardCache,
}

impl PanelObject {
    /// Opens the store's shards as these specifications see them.
    ///
    /// # Errors
    /// A store that was prepared again since, or a specification that does not fit it.
    pub fn shards(&self, store: PanelStore) -> Result<Arc<StoredShards>> {
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

/// The objects that an environment keeps between invocations: the last panel and the last stage.
#[derive(Debug, Default)]
pub(super) struct Kept {
    panel: Option<Known<OpenPanel>>,
    stage: Option<Known<StageObject>>,
}

/// An object that was read, and the run that it was read in. The checksum alone would let a run use an object that it
/// does not hold.
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

    /// Returns the value if it is the wanted object. A value that was read in another run is used only if this run
    /// holds the object as well.
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
    /// Returns the stage's common object, read or kept from an earlier invocation.
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

    /// Returns the panel, open.
    pub(super) fn panel(&self, attempt: &mut Attempt<'_>, wanted: &ObjectRef) -> Outcome<Arc<OpenPanel>> {
        if let Some(panel) = Known::of(&mut self.kept().panel, attempt, wanted)? {
            attempt.count(panel.shards.storage());
            return Ok(panel);
        }
        // Another panel's memory is freed before this one is opened.
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

/// Reads and decodes an object that a message names.
fn object<T: for<'de> Deserialize<'de>>(attempt: &Attempt<'_>, wanted: &ObjectRef) -> Outcome<T> {
    let bytes = bytes(attempt, wanted)?;
    postcard::from_bytes(&bytes).map_err(|e| damaged(wanted, &format!("can't be read: {e}")))
}

/// Reads the bytes of an object, which must have the checksum that the message gives.
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
    use crate::events::Phases;
    use crate::store::{Condition, MemoryStore, Storage};
    use crate::worker::protocol::{Invocation, PROTOCOL, VERSION, Work};
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
