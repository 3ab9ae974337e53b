//! Facts of a run: its input, its stages, its workers, and the result that they accompany.

use faer::Mat;
use serde::Serialize;

use crate::result::SavedResult;

/// One input file.
#[derive(Clone, Debug, Serialize)]
pub struct InputFile {
    /// Path as it was opened.
    pub path: String,
    /// Number of bytes.
    pub bytes: u64,
    /// Number of rows.
    pub rows: u64,
}

/// Facts about one stage.
#[derive(Clone, Debug, Serialize)]
pub struct StageFacts {
    /// Name of the stage.
    pub stage: String,
    /// Number of tasks.
    pub tasks: usize,
    /// Wall time in seconds.
    pub seconds: f64,
    /// Processor time of this process in seconds, over all threads; `None` for stages on workers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// Seconds of the stage's threads by what they were spent on, where a stage does several things at once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<StagePart>,
}

/// The time that the threads of a stage spent on one part of its work.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StagePart {
    /// Name of the part.
    pub part: String,
    /// Seconds, summed over the threads.
    pub seconds: f64,
}

/// Facts about a run; none of them is part of the result.
#[derive(Clone, Debug, Serialize)]
pub struct RunFacts {
    /// Input files.
    pub inputs: Vec<InputFile>,
    /// Number of rows in the input.
    pub rows: u64,
    /// Number of units in the input.
    pub units: u64,
    /// Number of shards.
    pub shards: usize,
    /// Number of threads.
    pub threads: usize,
    /// Stages in order.
    pub stages: Vec<StageFacts>,
    /// Wall time of the whole run in seconds.
    pub seconds: f64,
    /// Facts about the workers, if the run used any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<WorkerFacts>,
}

/// Facts about the work of workers for a run.
#[derive(Clone, Debug, Serialize)]
pub struct WorkerFacts {
    /// Name of the service that ran them.
    pub backend: String,
    /// Number of attempts, retries included.
    pub attempts: u64,
    /// Number of attempts that failed.
    pub failures: u64,
    /// Number of attempts that were turned away because too many were running.
    pub throttled: u64,
    /// Number of attempts that backed up a slow one.
    pub backups: u64,
    /// Highest peak of a worker's memory, in bytes.
    pub peak_memory: u64,
    /// Number of bytes that they read.
    pub bytes_read: u64,
    /// Cost in US dollars.
    pub dollars: f64,
}

/// Result of a run, with its draws and facts.
#[derive(Debug)]
pub struct RunOutput {
    /// The result.
    pub saved: SavedResult,
    /// Σ v Ψ of every draw, `draws × (1 + groups + cells)`; `None` without bootstrap.
    pub draws: Option<Mat<f64>>,
    /// Facts about the run.
    pub facts: RunFacts,
}

/// Results of several specifications, and the passes that sharing saved.
#[derive(Debug)]
pub struct SharedRunsOutput {
    /// Results, one for each specification, in their order.
    pub outputs: Vec<RunOutput>,
    /// Number of passes over the data that were made for all of them together.
    pub passes: usize,
    /// Number of passes that a run of its own for each would have made.
    pub separate_passes: usize,
}
