//! The request of a run, which is saved so that another controller can take the run up, and the options of how it runs.

use bytes::Bytes;
use faer::Mat;
use serde::{Deserialize, Serialize};
use stagger_estimation::kernel::KernelKind;
use stagger_forecast::Prefer;
use stagger_forecast::heavy::HeavyRule;
use stagger_model::error::{Result, StaggerError};
use stagger_model::events::Summary;
use stagger_model::result::SavedResult;
use stagger_model::spec::RunSpec;
use stagger_panel::prepare::Prepared;
use stagger_protocol::keys;
use stagger_schedule::Policy;
use stagger_storage::{Condition, Storage, StoreErrorKind};

use crate::journal::{ControllerId, Takeover, name_taken_error};

/// The limits that a run was started with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunLimits {
    /// Tasks at a time.
    pub concurrency: Option<usize>,
    /// Tasks of a stage.
    pub n_partitions: Option<usize>,
    /// The aim: few seconds or few dollars.
    pub prefer: Prefer,
    /// The most dollars that the run may cost.
    pub max_cost: Option<f64>,
}

/// The request of a run; with it alone the run can be resumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRequest {
    /// The version of the program that started it.
    pub version: String,
    /// Files or a prepared store, as given.
    pub inputs: Vec<String>,
    /// Specifications and their names.
    pub specs: Vec<(Option<String>, RunSpec)>,
    /// The address below which stores of input files are made.
    pub stores: String,
    /// The words of the command that started it.
    pub command: Vec<String>,
    /// The names of the functions, by ascending memory; empty for threads.
    pub functions: Vec<String>,
    /// Limits of its first start, which a resume keeps unless it is told otherwise.
    #[serde(default)]
    pub limits: RunLimits,
    /// The address of the store, where the run only prepares one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepare: Option<String>,
    /// Containers behind a queue, beside the functions or instead of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolRequest>,
}

impl RunRequest {
    /// Returns the specifications with their names.
    pub fn named_specs(&self) -> Vec<(Option<&str>, &RunSpec)> {
        self.specs.iter().map(|(name, spec)| (name.as_deref(), spec)).collect()
    }
}

/// Containers that a run may use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolRequest {
    /// The URL of the queue.
    pub queue: String,
    /// The kind of processor that its workers compute on.
    pub kind: KernelKind,
    /// The rule for the tasks that they get, beside functions.
    pub heavy: HeavyRule,
    /// Seconds that a task waits while no worker takes any.
    pub patience: f64,
    /// Dollars per hour of one worker.
    pub hourly: f64,
    /// Megabytes of memory of one worker.
    pub memory_mb: u32,
    /// True if all results must have the bits of one kind of processor.
    pub strict: bool,
    /// Workers that AWS Batch starts for the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchRequest>,
}

/// Workers that AWS Batch starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchRequest {
    /// The job queue.
    pub queue: String,
    /// The job definition, with or without a revision.
    pub definition: String,
    /// The number of workers.
    pub workers: usize,
}

/// The options of how a run is executed; none of them changes a bit of the result.
#[derive(Clone, Debug)]
pub struct CloudOptions {
    /// Tasks at a time.
    pub concurrency: usize,
    /// Tasks of a stage; chosen by the forecast if absent.
    pub n_partitions: Option<usize>,
    /// The most cells of an `Influence` pass; all if absent.
    pub max_cohorts: Option<usize>,
    /// The aim: few seconds or few dollars.
    pub prefer: Prefer,
    /// The most dollars that the run may cost; unlimited if absent.
    pub max_cost: Option<f64>,
    /// Threads of this process, for the work that it does itself.
    pub threads: Option<usize>,
    /// The rule for tasks that go to a pool beside functions.
    pub heavy: HeavyRule,
    /// The policies for failures.
    pub policy: Policy,
    /// The identity of this controller.
    pub writer: ControllerId,
    /// The rule for a run that another controller holds.
    pub takeover: Takeover,
}

/// The output of a run on workers.
#[derive(Debug)]
pub struct CloudOutput {
    /// Results and draws, one per specification.
    pub outputs: Vec<(SavedResult, Option<Mat<f64>>)>,
    /// Attempts, dollars, bytes.
    pub summary: Summary,
    /// Attempts still under way although nothing waits for them, and dollars that they may cost yet.
    pub left: (usize, f64),
    /// Inputs: path, bytes, rows.
    pub files: Vec<(String, u64, u64)>,
    /// Rows of the input, units, shards.
    pub sizes: (u64, u64, usize),
    /// The store, if only that was asked for.
    pub prepared: Option<Prepared>,
}

/// Saves the request of a run that is started.
///
/// # Errors
/// A run of this name that is there already.
pub(super) async fn save_request(
    storage: &Storage,
    runs: &str,
    name: &str,
    request: &RunRequest,
) -> Result<()> {
    let json = serde_json::to_vec_pretty(request).map_err(|e| StaggerError::failed(e.to_string()))?;
    match storage.put_async(keys::RUN, Bytes::from(json), Condition::IfAbsent).await {
        Ok(_) => Ok(()),
        Err(e) if e.kind == StoreErrorKind::Exists => Err(name_taken_error(runs, name)),
        Err(e) => Err(e.into()),
    }
}

/// Reads the request that a run was started with.
///
/// # Errors
/// A name that no run has.
pub fn read_request(storage: &Storage, runs: &str, name: &str) -> Result<RunRequest> {
    let (bytes, _) = storage.get(keys::RUN, None).map_err(|e| match e.kind {
        StoreErrorKind::NotFound => StaggerError::input(format!("there is no run `{name}` in `{runs}`"))
            .with_hint("`stagger list` shows the runs there are"),
        _ => e.into(),
    })?;
    serde_json::from_slice(&bytes)
        .map_err(|e| StaggerError::failed(format!("`{}` of the run `{name}` can't be read: {e}", keys::RUN)))
}

/// Returns the address of a run below `runs`, the address of all runs.
pub fn run_url(runs: &str, name: &str) -> String {
    format!("{}/{name}", runs.trim_end_matches('/'))
}
