//! A run in one process: stage after stage, each a set of tasks whose partials are added along a fixed tree.

mod estimates;
mod fit;
mod stages;

use std::time::Instant;

use faer::Mat;
use serde::Serialize;
use stagger_estimator::formula::{self, Formula};

use crate::error::{EngineError, Result};
use crate::events::{Observer, RunEvent};
use crate::load;
use crate::plan::{Plan, input_error};
use crate::result::SavedResult;
use crate::spec::{FixWeights, RunSpec};

/// How to run; no option changes a bit of the result.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Threads; all cores if absent.
    pub threads: Option<usize>,
    /// Tasks of a stage; as many as shards if absent.
    pub n_partitions: Option<usize>,
    /// Cells of an `Influence` task; all of them if absent.
    pub max_cohorts: Option<usize>,
}

/// One input file.
#[derive(Clone, Debug, Serialize)]
pub struct InputFile {
    /// Path as opened.
    pub path: String,
    /// Size.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
}

/// How one stage went.
#[derive(Clone, Debug, Serialize)]
pub struct StageFacts {
    /// Name.
    pub stage: String,
    /// Tasks.
    pub tasks: usize,
    /// Wall seconds.
    pub seconds: f64,
}

/// How the run went; nothing of it is in the result.
#[derive(Clone, Debug, Serialize)]
pub struct RunFacts {
    /// Input files.
    pub inputs: Vec<InputFile>,
    /// Rows of the input.
    pub rows: u64,
    /// Units of the input.
    pub units: u64,
    /// Shards.
    pub shards: usize,
    /// Threads.
    pub threads: usize,
    /// Stages in order.
    pub stages: Vec<StageFacts>,
    /// Wall seconds in all.
    pub seconds: f64,
}

/// Result of a run, its draws and its facts.
#[derive(Debug)]
pub struct RunOutput {
    /// The result.
    pub saved: SavedResult,
    /// `draws × (1 + groups + cells)`: Σ v Ψ of every draw; `None` without bootstrap.
    pub draws: Option<Mat<f64>>,
    /// How it went.
    pub facts: RunFacts,
}

/// Where a run is: stages so far, and who listens.
pub(crate) struct Progress<'a> {
    pub(crate) observer: Observer<'a>,
    pub(crate) stages: Vec<StageFacts>,
}

impl Progress<'_> {
    /// Runs one stage and records its time.
    pub(crate) fn stage<T>(
        &mut self,
        name: &str,
        tasks: usize,
        work: impl FnOnce(Observer<'_>) -> Result<T>,
    ) -> Result<T> {
        (self.observer)(&RunEvent::StageStarted { stage: name.to_owned(), tasks });
        let begin = Instant::now();
        let out = work(self.observer)?;
        let seconds = begin.elapsed().as_secs_f64();
        self.stages.push(StageFacts { stage: name.to_owned(), tasks, seconds });
        (self.observer)(&RunEvent::StageDone { stage: name.to_owned(), seconds });
        Ok(out)
    }
}

/// Results of several specifications, and what sharing the passes saved.
#[derive(Debug)]
pub struct RunsOutput {
    /// One a specification, in their order.
    pub outputs: Vec<RunOutput>,
    /// Passes over the data that were made for all of them together.
    pub passes: usize,
    /// Passes that their own runs would have made.
    pub separate_passes: usize,
}

/// Estimates several specifications on the same files. Every result has the bits of its own run.
///
/// # Errors
/// As [`run`]; the message names the specification by its number.
pub fn run_all(
    inputs: &[String],
    specs: &[RunSpec],
    options: &RunOptions,
    observer: Observer<'_>,
) -> Result<RunsOutput> {
    let outputs: Vec<RunOutput> =
        specs.iter().map(|spec| run(inputs, spec, options, observer)).collect::<Result<_>>()?;
    let passes = outputs.iter().map(|o| o.facts.stages.len()).sum();
    Ok(RunsOutput { outputs, passes, separate_passes: passes })
}

/// Estimates a specification on local files.
///
/// # Errors
/// Bad arguments or input ([`EngineError::is_input`]), named with file, column and values.
pub fn run(
    inputs: &[String],
    spec: &RunSpec,
    options: &RunOptions,
    observer: Observer<'_>,
) -> Result<RunOutput> {
    let begin = Instant::now();
    let threads = options.threads.unwrap_or_else(cores).max(1);
    let formula = check(spec)?;
    let mut progress = Progress { observer, stages: Vec::new() };
    let mut panel = load::load(inputs, spec, &formula, threads, &mut progress)?;
    let plan = progress.stage("plan", 1, |_| Plan::new(&mut panel, spec, &formula, threads))?;
    for text in &plan.warnings {
        observer(&RunEvent::Warning { text: text.clone() });
    }
    let invoker = stages::Threads { shards: &panel.shards, threads, tasks: options.n_partitions };
    let fitted = fit::fit(plan, &invoker, &mut progress)?;
    let (saved, draws) =
        estimates::estimate(&panel, spec, fitted, &invoker, &mut progress, options.max_cohorts)?;
    let facts = RunFacts {
        inputs: panel
            .files
            .iter()
            .map(|(path, bytes, rows)| InputFile { path: path.clone(), bytes: *bytes, rows: *rows })
            .collect(),
        rows: panel.input_rows,
        units: panel.units,
        shards: panel.shards.len(),
        threads,
        stages: progress.stages,
        seconds: begin.elapsed().as_secs_f64(),
    };
    Ok(RunOutput { saved, draws, facts })
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Arguments that contradict each other or are not there yet; returns the parsed formula.
fn check(spec: &RunSpec) -> Result<Formula> {
    for (argument, value) in [("yname", &spec.yname), ("tname", &spec.tname), ("gname", &spec.gname)] {
        if value.is_empty() {
            return Err(EngineError::input(format!("argument \"{argument}\" is missing, with no default")));
        }
    }
    if !spec.panel {
        return Err(EngineError::input("repeated cross sections (panel = false) are not supported yet"));
    }
    if spec.pname.is_some() {
        return Err(EngineError::input("triple differences (pname) are not supported yet"));
    }
    if spec.idname.is_empty() {
        return Err(EngineError::input("must provide idname when panel is true")
            .with_hint("--idname names the column of the units"));
    }
    if spec.fix_weights == Some(FixWeights::Varying) {
        return Err(EngineError::input("fix_weights = varying is not supported yet")
            .with_hint("base_period, first_period or no fix_weights are"));
    }
    if !(spec.anticipation >= 0.0 && spec.anticipation == spec.anticipation.trunc()) {
        return Err(EngineError::input(format!(
            "anticipation must be a non-negative whole number, not {}",
            spec.anticipation
        )));
    }
    if !(spec.alp > 0.0 && spec.alp < 1.0) {
        return Err(EngineError::input(format!("alp must lie between 0 and 1, not {}", spec.alp)));
    }
    if spec.bstrap && spec.biters == 0 {
        return Err(EngineError::input("biters must be at least 1, not 0")
            .with_hint("--bstrap false turns draws off"));
    }
    let others = spec.clustervars.iter().filter(|c| **c != spec.idname).count();
    if others > 2 {
        return Err(EngineError::input(format!(
            "at most two cluster variables besides the unit, not {others}"
        )));
    }
    let text = spec.xformla.as_deref().unwrap_or("~1");
    formula::parse(text).map_err(|e| input_error(&format!("xformla `{text}`: {e}"), e.hint()))
}
