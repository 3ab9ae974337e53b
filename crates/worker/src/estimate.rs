//! A task of a pass: reads the shards of a subtree in order, the next one while it computes, and sums them.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use bytes::Bytes;
use stagger_estimation::kernel::task::TaskSums;
use stagger_estimation::kernel::{KernelKind, NamedShard, ShardName};
use stagger_estimation::partial::Partial;
use stagger_estimation::plan::Plan;
use stagger_estimation::stage::StageInput;
use stagger_model::error::StaggerError;
use stagger_model::reduction::{ColumnPair, SubtreeStack, TreeNode};
use stagger_panel::panel_store::keys;
use stagger_panel::shard::Shard;
use stagger_panel::strata::NeededColumns;
use stagger_panel::survey::Survey;
use stagger_protocol::bundle::{KernelKinds, PartialBundle};
use stagger_protocol::messages::TaskFailure;
use stagger_protocol::objects::{EstimateStage, SpecPass};

use super::context::OpenPanel;
use super::{TaskAttempt, TaskResult};

/// The index of a shard, the shard as each specification of the panel sees it, whether it was kept from an earlier
/// task, and the seconds that it took.
type LoadedShard = TaskResult<(usize, Arc<Vec<Shard>>, bool, f64)>;

/// Computes the partials of a subtree, one per share of the stage, and returns them as an encoded [`PartialBundle`].
///
/// # Errors
/// A shard that can't be read, or a limit of time or memory; the shard is the failure's place.
pub(super) fn run(
    attempt: &mut TaskAttempt<'_>,
    panel: &OpenPanel,
    stage: &EstimateStage,
    node: TreeNode,
    part: Option<ColumnPair>,
) -> TaskResult<Bytes> {
    if let [SpecPass { spec, input: StageInput::Survey(survey), .. }] = stage.shares.as_slice() {
        return take_counts(attempt, panel, (*spec, survey, stage.stride), node);
    }
    let shares =
        stage.shares.iter().map(|share| resolve_share(panel, share, part)).collect::<TaskResult<Vec<_>>>()?;
    let needs =
        shares.iter().map(|(_, _, input)| input.needs()).fold(NeededColumns::default(), NeededColumns::or);
    let kernel = attempt.kernel()?;
    let mut sums = TaskSums::begin(kernel.as_ref(), shares.iter().map(|(_, plan, input)| (plan, input)))?;
    let each = panel.shards.mean_shard_bytes();
    let load = |index: usize| -> LoadedShard {
        let begin = Instant::now();
        let place = || keys::shard(index * stage.stride);
        let (shards, kept) = panel
            .cache
            .load(&panel.shards, index * stage.stride, needs)
            .map_err(|e| TaskFailure::from(e).at(place()))?;
        Ok((index, shards, kept, begin.elapsed().as_secs_f64()))
    };
    let mut sum = |loaded: LoadedShard| -> TaskResult<()> {
        let (index, shards, kept, seconds) = loaded?;
        let at = |failure: TaskFailure| failure.at(keys::shard(index * stage.stride));
        attempt.phases.read += seconds;
        attempt.cached += u64::from(kept);
        attempt.check_deadline().map_err(at)?;
        // The next shard is under way; decoding holds it twice.
        attempt.guard.check(2 * each).map_err(at)?;
        let begin = Instant::now();
        for (place, (spec, _, _)) in shares.iter().enumerate() {
            let name =
                ShardName { panel: stage.panel.checksum.clone(), spec: *spec, index: index * stage.stride };
            sums.add(index, place, NamedShard { shard: &shards[*spec], name: Some(&name) })?;
        }
        attempt.rows += shards.first().map_or(0, |shard| shard.unit_count() as u64);
        attempt.phases.compute += begin.elapsed().as_secs_f64();
        attempt.guard.check(0).map_err(at)
    };
    let ahead = panel.shards.storage().is_remote() && node.shards().len() > 1;
    for_each_shard(node, ahead, load, &mut sum)?;
    let begin = Instant::now();
    let lost = || StaggerError::failed("a task over no shards");
    let roots = sums.finish()?.into_iter().map(|mut nodes| Ok(nodes.pop().ok_or_else(lost)?.1));
    let partials = roots.collect::<Result<Vec<Partial>, StaggerError>>()?;
    attempt.phases.compute += begin.elapsed().as_secs_f64();
    Ok(PartialBundle { kinds: KernelKinds::of(kernel.kind()), partials }.encode())
}

/// Loads the shards of a subtree one after the other and passes each to `sum`; while one is computed the next one is
/// fetched, if `ahead` says so.
fn for_each_shard(
    node: TreeNode,
    ahead: bool,
    load: impl Fn(usize) -> LoadedShard + Send,
    mut sum: impl FnMut(LoadedShard) -> TaskResult<()>,
) -> TaskResult<()> {
    if !ahead {
        return node.shards().try_for_each(|index| sum(load(index)));
    }
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(0);
        scope.spawn(move || {
            for index in node.shards() {
                let loaded = load(index);
                let failed = loaded.is_err();
                // Nobody listens any more after a failure.
                if sender.send(loaded).is_err() || failed {
                    break;
                }
            }
        });
        receiver.into_iter().try_for_each(sum)
    })
}

/// Returns a share's specification, its plan with the constants that the run has determined by now, and its input
/// restricted to the task's columns.
fn resolve_share(
    panel: &OpenPanel,
    share: &SpecPass,
    part: Option<ColumnPair>,
) -> TaskResult<(usize, Plan, StageInput)> {
    let unplanned = || StaggerError::failed("a pass of a specification that has no plan");
    let mut plan = panel.plans[share.spec].clone().ok_or_else(unplanned)?;
    plan.regression.standardization = share.standardization.clone();
    plan.regression.outcome_center = share.outcome_center;
    let input = match part {
        Some(part) => share.input.restrict_columns(part, share.fixed),
        None => share.input.clone(),
    };
    Ok((share.spec, plan, input))
}

/// Takes counts for a specification that has no plan yet.
fn take_counts(
    attempt: &mut TaskAttempt<'_>,
    panel: &OpenPanel,
    (spec, survey, stride): (usize, &Survey, usize),
    node: TreeNode,
) -> TaskResult<Bytes> {
    let mut stack = SubtreeStack::default();
    for index in node.shards() {
        let at = |failure: TaskFailure| failure.at(keys::shard(index * stride));
        attempt.check_deadline().map_err(at)?;
        attempt.guard.check(2 * panel.shards.mean_shard_bytes()).map_err(at)?;
        let begin = Instant::now();
        let counts = panel.shards.count_shard(index * stride, spec, survey).map_err(|e| at(e.into()))?;
        attempt.phases.read += begin.elapsed().as_secs_f64();
        stack.push(index, Partial::Survey(counts));
    }
    let lost = || StaggerError::failed("a task over no shards");
    let (_, partial) = stack.into_nodes().pop().ok_or_else(lost)?;
    Ok(PartialBundle { kinds: KernelKinds::of(KernelKind::Cpu), partials: vec![partial] }.encode())
}
