//! A run in one process: stages in sequence, each a set of tasks whose partials are added along a fixed tree.

mod data;
pub mod threads;

use std::time::Instant;

use stagger_model::error::{Result, StaggerError, name_specifications};
use stagger_model::events::{Estimated, Observer, RunEvent};
use stagger_model::facts::{InputFile, RunFacts, RunOutput, SharedRunsOutput, StageFacts};
use stagger_model::parallel::available_cores;
use stagger_model::progress::StageProgress;
use stagger_model::spec::RunSpec;
use stagger_model::spec_check::CheckedSpec;
use stagger_panel::panel::Panel;

use crate::estimate::saved::bound_clusters;
use crate::estimate::sequence::run_passes;

use crate::local::threads::ThreadRunner;
use crate::outline::outline;
use crate::plan::Plan;

use crate::estimate::steps::{Estimation, PassLimits};
pub use data::{PREPARES_FIRST_NOTE, RunInput, estimate_direct_memory};

/// Options of a run; none of them changes a bit of the result.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Number of threads; `None`: all cores.
    pub threads: Option<usize>,
    /// Number of tasks in a stage; `None`: as many as shards.
    pub n_partitions: Option<usize>,
    /// Largest number of cells in an `Influence` task; `None`: all of them.
    pub max_cohorts: Option<usize>,
    /// Number of bytes that the process may use; `None`: most of the memory that the machine has available. Larger
    /// input is prepared first.
    pub memory_limit: Option<u64>,
    /// Folder or `s3://` prefix for the prepared stores of such input; `None`: the user's cache folder.
    pub stores: Option<String>,
    /// Asked once the plans are known, before the first pass; every run passes where it is absent.
    pub check_memory: Option<MemoryCheck>,
}

/// Refuses a run that takes more memory than its limit, or returns the number of cells that its `Influence` passes may take at a time.
pub type MemoryCheck = fn(&RunInput<'_>, &[CheckedSpec], &[Plan], &RunOptions) -> Result<Option<usize>>;

/// Estimates several specifications on the same files. Those with the same units, periods, cohorts and eligibility read
/// the data together and share every pass. Every result has the bits of a run of its own.
///
/// # Errors
/// Those of [`run`]; the message names the specification, where it has a name.
pub fn run_all(
    inputs: &[String],
    specs: &[(Option<&str>, &RunSpec)],
    options: &RunOptions,
    observer: Observer<'_>,
) -> Result<SharedRunsOutput> {
    let span = tracing::debug_span!("run", specifications = specs.len()).entered();
    let found = run_groups(inputs, specs, options, observer);
    drop(span);
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
) -> Result<SharedRunsOutput> {
    let source = RunInput::open(inputs)?;
    let wanted = CheckedSpec::complete_all(specs, |spec| source.complete_spec(spec))?;
    let mut outputs: Vec<Option<RunOutput>> = specs.iter().map(|_| None).collect();
    let (mut passes, mut separate_passes) = (0, 0);
    for group in sharing(&wanted) {
        let members: Vec<CheckedSpec> = group.iter().map(|&index| wanted[index].clone()).collect();
        let shared = run_sharing(&source, &members, options, observer)?;
        passes += shared.passes;
        separate_passes += shared.separate_passes;
        for (index, output) in group.into_iter().zip(shared.outputs) {
            outputs[index] = Some(output);
        }
    }
    Ok(SharedRunsOutput { outputs: outputs.into_iter().flatten().collect(), passes, separate_passes })
}

/// Groups the specifications, by index, that can read the data together.
fn sharing(wanted: &[CheckedSpec]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (index, own) in wanted.iter().enumerate() {
        match groups.iter_mut().find(|group| wanted[group[0]].shares_keys(own)) {
            Some(group) => group.push(index),
            None => groups.push(vec![index]),
        }
    }
    groups
}

/// Number of passes for loading: one for keys, one for values.
const LOADING_PASSES: usize = 2;

/// Runs specifications that share their keys.
///
/// # Errors
/// Those of [`run_all`].
pub fn run_sharing(
    input: &RunInput<'_>,
    wanted: &[CheckedSpec],
    options: &RunOptions,
    observer: Observer<'_>,
) -> Result<SharedRunsOutput> {
    let begin = Instant::now();
    let threads = options.threads.unwrap_or_else(available_cores).max(1);
    let mut progress = StageProgress::new(observer);
    let mut panels = input.load_panels(wanted, threads, options, &mut progress)?;
    let plans = progress.stage("plan", 1, |_| {
        let plan = |(panel, wanted): (&mut Panel, &CheckedSpec)| {
            Plan::new(panel, &wanted.spec, &wanted.formula, threads)
                .map_err(|e| name_specifications(e, &[wanted.name()]))
        };
        panels.iter_mut().zip(wanted).map(plan).collect::<Result<Vec<Plan>>>()
    })?;
    let max_cells = match options.check_memory {
        Some(check) => check(input, wanted, &plans, options)?,
        None => options.max_cohorts,
    };
    for text in plans.iter().flat_map(|plan| &plan.warnings) {
        observer(&RunEvent::Warning { text: text.clone() });
    }
    let outlines = plans.iter().zip(&panels).zip(wanted);
    let specs = outlines.map(|((plan, panel), own)| outline(own.name(), plan, panel.shard_count())).collect();
    observer(&RunEvent::Planned { specs });
    let mut estimations: Vec<Estimation> = plans
        .into_iter()
        .zip(&panels)
        .map(|(plan, panel)| {
            let clusters =
                if plan.inference.cluster_variables > 0 { bound_clusters(panel, threads)? } else { 0 };
            let scale = PassLimits { shards: panel.shard_count(), clusters, max_cells };
            Ok(Estimation::new(plan, scale))
        })
        .collect::<Result<_>>()?;
    let shards = panels.first().map_or(0, Panel::shard_count);
    let mut runner =
        ThreadRunner { threads, tasks: options.n_partitions, panels: &panels, progress: &mut progress };
    let driven = run_passes(&mut runner, &mut estimations, &panels, shards)?;
    let separate_passes = estimations.iter().map(|e| LOADING_PASSES + e.pass_count()).sum();
    let mut saved = Vec::new();
    for ((estimation, panel), wanted) in estimations.into_iter().zip(&panels).zip(wanted) {
        let found =
            crate::estimate::result::estimate(panel, &wanted.spec, estimation.finish(), &mut progress)?;
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
    Ok(SharedRunsOutput { outputs, passes: LOADING_PASSES + driven, separate_passes })
}

fn facts(panel: &Panel, threads: usize, stages: &[StageFacts], seconds: f64) -> RunFacts {
    RunFacts {
        inputs: panel
            .source
            .files
            .iter()
            .map(|(path, bytes, rows)| InputFile { path: path.clone(), bytes: *bytes, rows: *rows })
            .collect(),
        rows: panel.counts.input_rows,
        units: panel.counts.units,
        shards: panel.shard_count(),
        threads,
        stages: stages.to_vec(),
        seconds,
        workers: None,
    }
}

/// Estimates a specification on files or on a prepared store.
///
/// # Errors
/// Invalid arguments or input ([`StaggerError::is_input`]), named with file, column and values.
pub fn run(
    inputs: &[String],
    spec: &RunSpec,
    options: &RunOptions,
    observer: Observer<'_>,
) -> Result<RunOutput> {
    let mut all = run_all(inputs, &[(None, spec)], options, observer)?;
    all.outputs.pop().ok_or_else(|| StaggerError::failed("the run gave no result"))
}
