//! What a run tells its listeners: the journal, the progress line, the dashboard, the event log. All of them read the same events, so
//! what the dashboard shows live it can show again from a journal. `docs/events.md` describes them for other programs.

use serde::{Deserialize, Serialize};
use stagger_estimator::cells::Cell;
use stagger_estimator::options::EstMethod;

use crate::plan::Plan;
use crate::result::{Aggte, AttGt, Num, RunResult};
use crate::schedule::Cost;
use crate::worker::protocol::{FailureClass, ObjectRef, Phases};

/// Version of the event log. A reader skips events and fields that it does not know, so only a change of what is there counts.
pub const EVENTS: u32 = 1;

/// Cells up to which plans and estimates are told; of more, only the numbers are.
const MOST_CELLS: usize = 5_000;

/// One event. Listeners can't slow or change a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RunEvent {
    /// A controller took the run.
    Opened {
        /// Version of the program.
        version: String,
    },
    /// What the tasks run on.
    Workers {
        /// `threads`, `lambda`, `queue` or `both`.
        backend: String,
        /// By ascending memory.
        functions: Vec<FunctionFacts>,
        /// Tasks at a time, at most.
        concurrency: usize,
    },
    /// The input was opened.
    InputFound {
        /// Number of files.
        files: usize,
        /// Rows in all files.
        rows: u64,
        /// Bytes of all files.
        bytes: u64,
    },
    /// What is to be estimated is known.
    Planned {
        /// One a specification.
        specs: Vec<Outline>,
    },
    /// A stage began.
    StageStarted {
        /// Number of the stage in the run.
        number: u64,
        /// Its name.
        stage: String,
        /// Its tasks at first.
        tasks: usize,
        /// What they have in common, on workers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        object: Option<ObjectRef>,
    },
    /// An attempt started.
    Invoked {
        /// Attempt, numbered over the run.
        attempt: u64,
        /// Task, in words.
        task: String,
        /// How many attempts there were, this one included.
        number: u32,
        /// Function; empty for threads of the controller.
        function: String,
        /// Another one is under way.
        backup: bool,
    },
    /// An attempt has done its task.
    Done(TaskDone),
    /// An attempt failed.
    Failed {
        /// Attempt; 0 for a result that turned out to be damaged when it was read.
        attempt: u64,
        /// Why.
        class: FailureClass,
        /// What happened.
        message: String,
        /// Shard or file and row group, if known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<String>,
        /// What a person can do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        /// What is done about it.
        remedy: String,
        /// Seconds that it took as the controller saw it.
        took: f64,
    },
    /// A stage is done.
    StageDone {
        /// Number.
        number: u64,
        /// Name.
        stage: String,
        /// Wall seconds.
        seconds: f64,
    },
    /// A round of the propensity scores is done (FORMULAS §2.3).
    Logits {
        /// Specification, from 0.
        spec: usize,
        /// Rounds so far over all shards.
        round: usize,
        /// Logits that want another round.
        active: usize,
        /// Logits that have converged.
        converged: usize,
        /// Logits that can't be fitted.
        failed: usize,
    },
    /// Point estimates are known.
    Solved {
        /// Specification, from 0.
        spec: usize,
        /// ATT(g,t) of each cell of the plan; `null` where it can't be estimated.
        att: Vec<Num>,
    },
    /// Standard errors and bands are known.
    Estimated(Box<Estimated>),
    /// The estimations are as in this object; nothing before it needs to be done again.
    State {
        /// The object.
        object: ObjectRef,
    },
    /// What the run does, where a user may wonder.
    Note {
        /// Text.
        text: String,
    },
    /// Something the user should know.
    Warning {
        /// Text.
        text: String,
    },
    /// Where the run is; now and then. In a journal every entry has one instead.
    Summary(Summary),
    /// The run stopped before its end.
    Stopped {
        /// Why.
        reason: String,
        /// What a person can do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        /// Whether it can go on.
        resumable: bool,
    },
    /// The run has its result.
    Finished,
    /// An event of a later version.
    #[serde(other)]
    Unknown,
}

/// Receives events; called from any thread.
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

/// A function that tasks run on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionFacts {
    /// Name.
    pub name: String,
    /// Memory, in Lambda's megabytes (MiB).
    pub memory_mb: u32,
    /// Seconds that an invocation may take.
    pub timeout: u64,
}

/// An attempt that has done its task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskDone {
    /// Attempt.
    pub attempt: u64,
    /// Seconds by phase.
    pub seconds: Phases,
    /// Seconds that it took as the controller saw it.
    pub took: f64,
    /// Seconds billed, if known.
    pub billed: Option<f64>,
    /// Units or rows.
    pub rows: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Bytes of the result.
    pub bytes: u64,
    /// Requests sent to storage.
    pub requests: u64,
    /// Answers of storage to slow down.
    pub throttles: u64,
    /// Peak memory of the worker, bytes.
    pub peak_memory: u64,
    /// Shards it still had.
    pub cached: u64,
    /// The result was there already.
    pub found: bool,
    /// The task was done by another attempt already.
    pub ignored: bool,
    /// Tasks of the stage that are done now.
    pub done: usize,
    /// Tasks of the stage now: it has more where tasks were split or sums are added by workers.
    pub tasks: usize,
}

/// What a specification will estimate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outline {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Estimator, as computed.
    pub method: EstMethod,
    /// Triple differences.
    pub triple: bool,
    /// Units used (rows in cross sections).
    pub units: u64,
    /// Shards of the panel.
    pub shards: usize,
    /// Number of cells; `group`, `time` and `kind` are empty where they are too many to tell.
    pub cells: usize,
    /// Draws of the bootstrap.
    pub draws: usize,
    /// First treated period of each cell.
    pub group: Vec<Num>,
    /// Period of each cell.
    pub time: Vec<Num>,
    /// Groups as they are written, where periods are dates; empty otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub group_label: Vec<String>,
    /// Periods as they are written, where they are dates; empty otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub time_label: Vec<String>,
    /// What each cell is.
    pub kind: Vec<CellKind>,
}

/// What is known of a cell before any estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CellKind {
    /// To be estimated.
    Estimate,
    /// The base period of a universal base: zero by definition.
    Reference,
    /// It has no control units.
    NoControls,
}

impl CellKind {
    fn of(cell: &Cell) -> Self {
        match (cell.reference, cell.controls.is_empty()) {
            (true, _) => Self::Reference,
            (false, true) => Self::NoControls,
            (false, false) => Self::Estimate,
        }
    }
}

impl Outline {
    /// The outline of a plan.
    pub(crate) fn new(name: Option<&str>, plan: &Plan, shards: usize) -> Self {
        let told: &[Cell] = if plan.cells.len() > MOST_CELLS { &[] } else { &plan.cells };
        Self {
            name: name.map(str::to_owned),
            method: plan.method,
            triple: plan.triple,
            units: plan.n,
            shards,
            cells: plan.cells.len(),
            draws: plan.draws,
            group: told.iter().map(|cell| Num(cell.group)).collect(),
            group_label: labels(told, plan, &|cell| cell.group),
            time_label: labels(told, plan, &|cell| plan.period_labels[cell.time]),
            time: told.iter().map(|cell| Num(plan.period_labels[cell.time])).collect(),
            kind: told.iter().map(CellKind::of).collect(),
        }
    }
}

/// Labels of cells, where periods are dates.
fn labels(cells: &[Cell], plan: &Plan, of: &dyn Fn(&Cell) -> f64) -> Vec<String> {
    match &plan.calendar {
        Some(calendar) => cells.iter().map(|cell| calendar.label(of(cell))).collect(),
        None => Vec::new(),
    }
}

/// What a specification has estimated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Estimated {
    /// Specification, from 0.
    pub spec: usize,
    /// Significance level.
    pub alp: f64,
    /// Cells; empty where they are too many to tell.
    pub att_gt: AttGt,
    /// The simple aggregate, if there is one.
    pub simple: Option<Aggte>,
    /// The event study, if there is one.
    pub dynamic: Option<Aggte>,
}

impl Estimated {
    /// The estimates of a result, without what only its files need.
    pub(crate) fn new(spec: usize, result: &RunResult) -> Self {
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

/// Point estimates, or nothing where the cells are too many to tell.
pub(crate) fn solved(spec: usize, att: &[f64]) -> Option<RunEvent> {
    let told = att.len() <= MOST_CELLS;
    told.then(|| RunEvent::Solved { spec, att: att.iter().map(|&att| Num(att)).collect() })
}
