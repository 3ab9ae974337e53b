//! A run in one process: stage after stage, each a set of tasks whose partials are added along a fixed tree.

mod cause;
mod check;
mod data;
mod diagnostics;
mod estimates;
mod fit;
mod progress;
mod reasons;
mod stages;
mod steps;
mod sums;

use std::time::Instant;

use faer::Mat;
use serde::Serialize;
use stagger_estimator::formula::Formula;

use crate::error::{EngineError, Result};
use crate::events::{Estimated, Observer, Outline, RunEvent};
use crate::forecast::check_memory;
use crate::load::Wanted;
use crate::panel::Panel;
use crate::plan::Plan;
use crate::result::SavedResult;
use crate::spec::RunSpec;
use crate::survey::{Counts, Survey};

pub(crate) use check::check;
pub use data::PREPARED_FIRST;
pub(crate) use data::{Input, direct_memory};
pub(crate) use fit::wants_standardization;
pub(crate) use progress::{Progress, Watch};
pub(crate) use stages::twins;
pub(crate) use steps::{CLUSTER_BYTES, SAMPLE, SCALE_SHARDS, column_passes};
pub(crate) use steps::{Estimation, Scale};

/// How to run; no option changes a bit of the result.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Threads; all cores if absent.
    pub threads: Option<usize>,
    /// Tasks of a stage; as many as shards if absent.
    pub n_partitions: Option<usize>,
    /// Cells of an `Influence` task; all of them if absent.
    pub max_cohorts: Option<usize>,
    /// Bytes that the process may use; most of the machine's if absent. Input beyond it is prepared first.
    pub memory_limit: Option<u64>,
    /// Where prepared stores of such input are kept, a folder or `s3://` prefix; the user's cache folder if absent.
    pub stores: Option<String>,
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
    /// The workers, if the run was not one of this process alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<WorkerFacts>,
}

/// What workers did for a run.
#[derive(Clone, Debug, Serialize)]
pub struct WorkerFacts {
    /// What they were.
    pub backend: String,
    /// Tasks, those done again included.
    pub attempts: u64,
    /// Of these, those that failed.
    pub failures: u64,
    /// Of these, those that were turned away, as too many ran.
    pub throttled: u64,
    /// Of these, those beside a slow one.
    pub backups: u64,
    /// Highest peak of a worker's memory, bytes.
    pub peak_memory: u64,
    /// Bytes that they read.
    pub bytes_read: u64,
    /// Cost.
    pub dollars: f64,
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

/// Estimates several specifications on the same files. Those that name the same units, periods, cohorts and eligibility read
/// the data together and share every pass. Every result has the bits of its own run.
///
/// # Errors
/// As [`run`]; the message names the specification, where it has a name.
pub fn run_all(
    inputs: &[String],
    specs: &[(Option<&str>, &RunSpec)],
    options: &RunOptions,
    observer: Observer<'_>,
) -> Result<RunsOutput> {
    let found = run_groups(inputs, specs, options, observer);
    observer(&match &found {
        Ok(_) => RunEvent::Finished,
        Err(error) => RunEvent::Stopped { reason: error.to_string(), hint: error.hint(), resumable: false },
    });
    found
}

fn run_groups(
    inputs: &[String],
    specs: &[(Option<&str>, &RunSpec)],
    options: &RunOptions,
    observer: Observer<'_>,
) -> Result<RunsOutput> {
    let source = Input::open(inputs)?;
    let completed: Vec<RunSpec> = specs
        .iter()
        .map(|(name, spec)| source.complete(spec).map_err(|e| of_specifications(e, &[*name])))
        .collect::<Result<_>>()?;
    let specs: Vec<(Option<&str>, &RunSpec)> =
        specs.iter().zip(&completed).map(|((name, _), spec)| (*name, spec)).collect();
    let formulas: Vec<Formula> = specs
        .iter()
        .map(|(name, spec)| check(spec).map_err(|e| of_specifications(e, &[*name])))
        .collect::<Result<_>>()?;
    let wanted: Vec<Wanted<'_>> =
        specs.iter().zip(&formulas).map(|(&(name, spec), formula)| Wanted { name, spec, formula }).collect();
    let mut outputs: Vec<Option<RunOutput>> = specs.iter().map(|_| None).collect();
    let (mut passes, mut separate_passes) = (0, 0);
    for group in sharing(&wanted) {
        let members: Vec<Wanted<'_>> = group.iter().map(|&index| wanted[index]).collect();
        let shared = run_group(&source, &members, options, observer)?;
        passes += shared.passes;
        separate_passes += shared.separate_passes;
        for (index, output) in group.into_iter().zip(shared.outputs) {
            outputs[index] = Some(output);
        }
    }
    Ok(RunsOutput { outputs: outputs.into_iter().flatten().collect(), passes, separate_passes })
}

/// Specifications that can read the data together, by their numbers.
fn sharing(wanted: &[Wanted<'_>]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (index, own) in wanted.iter().enumerate() {
        match groups.iter_mut().find(|group| wanted[group[0]].shares_keys(own)) {
            Some(group) => group.push(index),
            None => groups.push(vec![index]),
        }
    }
    groups
}

/// Specifications named in an error.
const MOST_NAMES: usize = 8;

/// The error of the named ones of several specifications.
pub(crate) fn of_specifications(error: EngineError, names: &[Option<&str>]) -> EngineError {
    let known: Vec<String> = names.iter().flatten().map(|name| format!("`{name}`")).collect();
    match known.as_slice() {
        [] => error,
        [one] => error.in_context(&format!("specification {one}")),
        several if several.len() <= MOST_NAMES => {
            error.in_context(&format!("specifications {}, which read the same rows", several.join(", ")))
        }
        [first, rest @ ..] => {
            error.in_context(&format!("specification {first} and {} that read the same rows", rest.len()))
        }
    }
}

/// Reads of the input for keys, then for values.
const LOADING_PASSES: usize = 2;

pub(crate) fn run_group(
    input: &Input<'_>,
    wanted: &[Wanted<'_>],
    options: &RunOptions,
    observer: Observer<'_>,
) -> Result<RunsOutput> {
    let begin = Instant::now();
    let threads = options.threads.unwrap_or_else(cores).max(1);
    let mut progress = Progress::new(observer);
    let mut panels = input.load(wanted, threads, options, &mut progress)?;
    let plans = progress.stage("plan", 1, |_| {
        let plan = |(panel, wanted): (&mut Panel, &Wanted<'_>)| {
            Plan::new(panel, wanted.spec, wanted.formula, threads)
                .map_err(|e| of_specifications(e, &[wanted.name]))
        };
        panels.iter_mut().zip(wanted).map(plan).collect::<Result<Vec<Plan>>>()
    })?;
    let max_cells = check_memory(input, wanted, &plans, options)?;
    for text in plans.iter().flat_map(|plan| &plan.warnings) {
        observer(&RunEvent::Warning { text: text.clone() });
    }
    let outlines = plans.iter().zip(&panels).zip(wanted);
    let specs =
        outlines.map(|((plan, panel), own)| Outline::new(own.name, plan, panel.shard_count())).collect();
    observer(&RunEvent::Planned { specs });
    let mut estimations: Vec<Estimation> = plans
        .into_iter()
        .zip(&panels)
        .map(|(plan, panel)| {
            let clusters = if plan.cluster_variables > 0 { cluster_bound(panel, threads)? } else { 0 };
            let scale = Scale { shards: panel.shard_count(), clusters, max_cells };
            Ok(Estimation::new(plan, scale))
        })
        .collect::<Result<_>>()?;
    let invoker = stages::Threads { threads, tasks: options.n_partitions };
    let driven = invoker.drive(&mut estimations, &panels, &mut progress)?;
    let separate_passes = estimations.iter().map(|e| LOADING_PASSES + e.passes()).sum();
    let mut saved = Vec::new();
    for ((estimation, panel), wanted) in estimations.into_iter().zip(&panels).zip(wanted) {
        let found = estimates::estimate(panel, wanted.spec, estimation.finish(), &mut progress)?;
        observer(&RunEvent::Estimated(Box::new(Estimated::new(saved.len(), &found.0.result))));
        saved.push(found);
    }
    let stages = progress.stages;
    let outputs = saved
        .into_iter()
        .zip(&panels)
        .map(|((saved, draws), panel)| {
            let facts = facts(panel, threads, &stages, begin.elapsed().as_secs_f64());
            RunOutput { saved, draws, facts }
        })
        .collect();
    Ok(RunsOutput { outputs, passes: LOADING_PASSES + driven, separate_passes })
}

fn facts(panel: &Panel, threads: usize, stages: &[StageFacts], seconds: f64) -> RunFacts {
    RunFacts {
        inputs: panel
            .files
            .iter()
            .map(|(path, bytes, rows)| InputFile { path: path.clone(), bytes: *bytes, rows: *rows })
            .collect(),
        rows: panel.input_rows,
        units: panel.units,
        shards: panel.shard_count(),
        threads,
        stages: stages.to_vec(),
        seconds,
        workers: None,
    }
}

/// Standard errors, bands and aggregations of estimations that are done.
pub(crate) fn saved_results(
    panels: &[Panel],
    specs: &[RunSpec],
    estimations: Vec<Estimation>,
    progress: &mut Progress<'_>,
) -> Result<Vec<(SavedResult, Option<Mat<f64>>)>> {
    let all = estimations.into_iter().zip(panels).zip(specs);
    all.map(|((estimation, panel), spec)| estimates::estimate(panel, spec, estimation.finish(), progress))
        .collect()
}

/// Upper bound of the number of clusters in any way of clustering.
pub(crate) fn cluster_bound(panel: &Panel, threads: usize) -> Result<u64> {
    match panel.survey(threads, &Survey::Clusters)? {
        Counts::Clusters(Some(keys)) => Ok(keys.len() as u64),
        _ => Ok(panel.units),
    }
}

/// Estimates a specification on files or a prepared store.
///
/// # Errors
/// Bad arguments or input ([`EngineError::is_input`]), named with file, column and values.
pub fn run(
    inputs: &[String],
    spec: &RunSpec,
    options: &RunOptions,
    observer: Observer<'_>,
) -> Result<RunOutput> {
    let mut all = run_all(inputs, &[(None, spec)], options, observer)?;
    all.outputs.pop().ok_or_else(|| EngineError::failed("the run gave no result"))
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
