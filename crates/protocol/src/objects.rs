//! Objects of a run that its tasks share: the panel as its specifications see it, and the input of a stage.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stagger_estimation::plan::Plan;
use stagger_estimation::stage::StageInput;
use stagger_estimator::linear::Standardization;
use stagger_model::error::{Result, StaggerError};
use stagger_model::events::ObjectRef;
use stagger_model::spec::RunSpec;
use stagger_model::spec_check::CheckedSpec;
use stagger_panel::panel_store::PanelStore;
use stagger_panel::prepare::stage::PrepareStage;
use stagger_panel::recode::LevelCodes;
use stagger_panel::stored::StoredShards;
use xxhash_rust::xxh3::xxh3_128;
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
    pub shares: Vec<SpecPass>,
    /// The distance between the shards that are read: 1 for all of them, more for a sample.
    pub stride: usize,
}

/// One specification's part in a pass.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SpecPass {
    /// The index of the specification in the panel object.
    pub spec: usize,
    /// The stage's input: which sums to take, at which coefficients.
    pub input: StageInput,
    /// Centres and scales of the design's columns, which a run determines in its first passes.
    pub standardization: Standardization,
    /// See [`Plan`].
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
    pub fn new(name: Option<&str>, spec: &RunSpec, plan: Option<Plan>, recodes: &LevelCodes) -> Result<Self> {
        let json = serde_json::to_string(spec).map_err(|e| StaggerError::failed(e.to_string()))?;
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
    pub fn parse_spec(&self) -> Result<RunSpec> {
        serde_json::from_str(&self.spec)
            .map_err(|e| StaggerError::failed(format!("a damaged specification: {e}")))
    }
}

impl PanelObject {
    /// Opens the store's shards as these specifications see them.
    ///
    /// # Errors
    /// A store that was prepared again since, or a specification that does not fit it.
    pub fn open_shards(&self, store: PanelStore) -> Result<Arc<StoredShards>> {
        if store.fingerprint() != self.manifest {
            return Err(StaggerError::input(format!(
                "the store `{}` is another one than when the run began",
                self.store
            ))
            .with_hint("it was prepared again since: start a new run"));
        }
        let checked = |object: &SpecObject| CheckedSpec::new(object.name.as_deref(), object.parse_spec()?);
        let wanted = self.specs.iter().map(checked).collect::<Result<Vec<_>>>()?;
        let shards = StoredShards::new(store, &wanted)?;
        for (index, spec) in self.specs.iter().enumerate() {
            let codes = |(atom, codes): &(usize, Vec<(u64, f64)>)| (*atom, codes.iter().copied().collect());
            shards.set_level_codes(index, spec.recodes.iter().map(codes).collect());
        }
        Ok(Arc::new(shards))
    }
}

/// Returns the XXH3-128 of bytes as 32 hexadecimal digits.
pub fn checksum(bytes: &[u8]) -> String {
    format!("{:032x}", xxh3_128(bytes))
}

/// Encodes an object of the run (postcard).
pub fn encode_object<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    postcard::to_stdvec(value)
        .map_err(|e| StaggerError::failed(format!("an object of the run can't be written: {e}")))
}
