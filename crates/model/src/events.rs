//! The events of a run, for its listeners: the journal, the progress line, the dashboard and the event log. All of them
//! read the same events, so the dashboard can replay a journal. `docs/events.md` describes them for other programs.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stagger_estimator::options::EstMethod;

use crate::cost::Cost;
use crate::error::FailureClass;
use crate::result::{Aggte, AttGt, Num, RunResult};

/// The version of the event log. Readers skip unknown events and fields, so only a change of existing ones counts.
pub const EVENT_LOG_VERSION: u32 = 1;

/// The number of cells up to which events carry plans and estimates; beyond it they carry only the number.
pub const MOST_CELLS: usize = 5_000;

/// An event of a run. Listeners can't slow or change a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RunEvent {
    /// A controller took over the run.
    Opened {
        /// The version of the program.
        version: String,
    },
    /// The workers of the run are known.
    Workers {
        /// The kind of workers: `threads`, `lambda`, `queue` or `both`.
        backend: String,
        /// The functions, by ascending memory.
        functions: Vec<FunctionFacts>,
        /// The largest number of concurrent tasks.
        concurrency: usize,
    },
    /// The input was opened.
    InputFound {
        /// The number of files.
        files: usize,
        /// The number of rows in all files.
        rows: u64,
        /// The size of all files in bytes.
        bytes: u64,
    },
    /// The estimations are planned.
    Planned {
        /// The outline of each specification.
        specs: Vec<SpecOutline>,
    },
    /// A stage began.
    StageStarted {
        /// The number of the stage in the run.
        number: u64,
        /// The name of the stage.
        stage: String,
        /// The number of its tasks at first.
        tasks: usize,
        /// The object that its tasks share, on workers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        object: Option<ObjectRef>,
    },
    /// An attempt started.
    Invoked {
        /// The number of the attempt in the run.
        attempt: u64,
        /// The task, in words.
        task: String,
        /// The number of attempts at the task, this one included.
        number: u32,
        /// The function; empty for threads of the controller.
        function: String,
        /// `true` if another attempt at the task is running.
        backup: bool,
    },
    /// An attempt completed its task.
    Done(TaskDone),
    /// An attempt failed.
    Failed {
        /// The attempt; 0 for a result that proved damaged when it was read.
        attempt: u64,
        /// The class of the failure.
        class: FailureClass,
        /// The message.
        message: String,
        /// The shard, or the file and row group, if known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<String>,
        /// The hint for the user.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        /// The reaction of the run.
        remedy: String,
        /// The duration in seconds as the controller measured it.
        took: f64,
    },
    /// A stage is complete.
    StageDone {
        /// The number of the stage.
        number: u64,
        /// The name of the stage.
        stage: String,
        /// The wall time in seconds.
        seconds: f64,
    },
    /// An iteration of the propensity scores is complete (FORMULAS §3.1).
    Logits {
        /// The specification, from 0.
        spec: usize,
        /// The number of iterations so far over all shards.
        round: usize,
        /// The number of logits that need another iteration.
        active: usize,
        /// The number of logits that have converged.
        converged: usize,
        /// The number of logits that can't be fitted.
        failed: usize,
    },
    /// Point estimates are known.
    Solved {
        /// The specification, from 0.
        spec: usize,
        /// ATT(g,t) of each cell of the plan; `null` if it can't be estimated.
        att: Vec<Num>,
    },
    /// Standard errors and bands are known.
    Estimated(Box<Estimated>),
    /// The state of the estimations was saved as this object, and nothing before it needs to be repeated.
    State {
        /// The object.
        object: ObjectRef,
    },
    /// A note on what the run does, where a user may wonder.
    Note {
        /// The text.
        text: String,
    },
    /// A warning for the user.
    Warning {
        /// The text.
        text: String,
    },
    /// The progress of the run, from time to time. In a journal every entry has one instead.
    Summary(Summary),
    /// The run stopped before its end.
    Stopped {
        /// The reason.
        reason: String,
        /// The hint for the user.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        /// `true` if the run can be resumed.
        resumable: bool,
    },
    /// The run has its result.
    Finished,
    /// An event of a later version.
    #[serde(other)]
    Unknown,
}

/// A function that receives events; any thread may call it.
pub type Observer<'a> = &'a (dyn Fn(&RunEvent) + Sync);

/// The state of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Under way, if its controller is.
    #[default]
    Running,
    /// Stopped by a person, the cap or credentials.
    Stopped,
    /// A task can't be done.
    Failed,
    /// It has its result.
    Finished,
}

/// A run in a few numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The state.
    pub state: RunState,
    /// Stage under way.
    pub stage: String,
    /// Tasks done of it.
    pub done: usize,
    /// Tasks in all of it.
    pub tasks: usize,
    /// Attempts under way.
    pub under_way: usize,
    /// Dollars.
    pub cost: Cost,
    /// Bytes that workers read, in all.
    pub bytes_read: u64,
    /// Attempts in all.
    pub attempts: u64,
    /// Attempts that failed, but for those that were turned away.
    pub failures: u64,
    /// Attempts that were turned away, as too many ran.
    #[serde(default)]
    pub throttled: u64,
    /// Nothing is started until a person goes on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

/// A Lambda function that tasks run on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionFacts {
    /// The name.
    pub name: String,
    /// The memory in Lambda's megabytes (MiB).
    pub memory_mb: u32,
    /// The time limit of an invocation, in seconds.
    pub timeout: u64,
}

/// The facts of an attempt that completed its task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskDone {
    /// The attempt.
    pub attempt: u64,
    /// The seconds by phase.
    pub seconds: PhaseSeconds,
    /// The duration in seconds as the controller measured it.
    pub took: f64,
    /// The billed seconds, if known.
    pub billed: Option<f64>,
    /// The number of units or rows.
    pub rows: u64,
    /// The number of bytes read.
    pub bytes_read: u64,
    /// The size of the result in bytes.
    pub bytes: u64,
    /// The number of requests to storage.
    pub requests: u64,
    /// The number of requests that storage throttled.
    pub throttles: u64,
    /// The peak memory of the worker in bytes.
    pub peak_memory: u64,
    /// The number of shards that the worker still had in memory.
    pub cached: u64,
    /// `true` if the result existed already.
    pub found: bool,
    /// `true` if another attempt had completed the task already.
    pub ignored: bool,
    /// The number of completed tasks of the stage.
    pub done: usize,
    /// The number of tasks of the stage, which grows when tasks are split or workers add sums.
    pub tasks: usize,
}

/// The outline of a specification's estimation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpecOutline {
    /// The name of the specification, if it has one.
    pub name: Option<String>,
    /// The estimator, as computed.
    pub method: EstMethod,
    /// `true` for triple differences.
    pub triple: bool,
    /// The number of units used (rows in cross sections).
    pub units: u64,
    /// The number of shards of the panel.
    pub shards: usize,
    /// The number of cells; `group`, `time` and `kind` are empty if there are more than 5,000.
    pub cells: usize,
    /// The number of bootstrap draws.
    pub draws: usize,
    /// The first treated period of each cell.
    pub group: Vec<Num>,
    /// The period of each cell.
    pub time: Vec<Num>,
    /// The labels of the groups if periods are dates; empty otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub group_label: Vec<String>,
    /// The labels of the periods if they are dates; empty otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub time_label: Vec<String>,
    /// The kind of each cell.
    pub kind: Vec<CellKind>,
}

/// The kind of a cell, known before any estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CellKind {
    /// The cell is to be estimated.
    Estimate,
    /// The cell is the base period of a universal base: zero by definition.
    Reference,
    /// The cell has no control units.
    NoControls,
}

/// The estimates of a specification.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Estimated {
    /// The specification, from 0.
    pub spec: usize,
    /// The significance level.
    pub alp: f64,
    /// The estimates of the cells; empty if there are too many cells.
    pub att_gt: AttGt,
    /// The simple aggregate, if there is one.
    pub simple: Option<Aggte>,
    /// The event study, if there is one.
    pub dynamic: Option<Aggte>,
}

impl Estimated {
    /// Returns the estimates of a result that listeners need.
    pub fn new(spec: usize, result: &RunResult) -> Self {
        let told = result.att_gt.att.len() <= MOST_CELLS;
        Self {
            spec,
            alp: result.alp,
            att_gt: if told { result.att_gt.clone() } else { AttGt::default() },
            simple: result.aggte.get("simple").cloned(),
            dynamic: result.aggte.get("dynamic").cloned(),
        }
    }
}

/// An object that a message names instead of holding it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Its key below the run's address.
    pub key: String,
    /// XXH3-128 of its bytes, as 32 hexadecimal digits.
    pub checksum: String,
}

/// Seconds of a task by what they were spent on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PhaseSeconds {
    /// Opening the objects that the stage's tasks have in common.
    pub open: f64,
    /// Waiting for bytes and decoding them.
    pub read: f64,
    /// Computing.
    pub compute: f64,
    /// Writing the result.
    pub write: f64,
}

impl PhaseSeconds {
    /// Returns the sum of all phases.
    pub fn total(&self) -> Duration {
        let seconds = self.open + self.read + self.compute + self.write;
        Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }
}
