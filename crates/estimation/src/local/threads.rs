//! Passes on the threads of this process: the tasks of a stage are computed and their partials reduced. Estimations
//! that need a pass at the same time share it.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use stagger_estimator::subset_sums::take_draw_time;
use stagger_model::error::{Result, StaggerError};
use stagger_model::events::RunEvent;
use stagger_model::parallel;
use stagger_model::progress::{StageObserver, StageProgress};
use stagger_model::reduction::{Reduction, TreeNode};
use stagger_panel::panel::{Panel, Shards};
use stagger_panel::shard::Shard;
use stagger_panel::strata::NeededColumns;

use crate::estimate::sequence::{NextPass, PassRunner};
use crate::estimate::steps::Estimation;
use crate::kernel::task::TaskSums;
use crate::kernel::{CpuKernel, NamedShard};
use crate::partial::Partial;
use crate::plan::Plan;
use crate::stage::StageInput;

/// Runner of passes on the threads of this process.
pub struct ThreadRunner<'a, 'b> {
    /// Number of threads.
    pub threads: usize,
    /// Number of tasks in a stage, if the user sets it.
    pub tasks: Option<usize>,
    /// The panel of each estimation.
    pub panels: &'a [Panel],
    /// The progress that stages are told to.
    pub progress: &'a mut StageProgress<'b>,
}

/// Part of one estimation in a pass.
struct Share<'a> {
    plan: &'a Plan,
    input: &'a StageInput,
    panel: &'a Panel,
}

impl PassRunner for ThreadRunner<'_, '_> {
    type Error = StaggerError;

    fn run(&mut self, pass: &NextPass, estimations: &[Estimation]) -> Result<Vec<Partial>> {
        let share = |&i: &usize| {
            let input = &estimations[i].next_pass()?.input;
            Some(Share { plan: estimations[i].plan(), input, panel: &self.panels[i] })
        };
        let shares: Vec<Share<'_>> = pass.distinct.iter().filter_map(share).collect();
        let tasks = cut(pass.shards, self.tasks);
        // A sample is too small to be a stage of its own.
        if pass.sample {
            return reduce(&shares, &tasks, (self.threads, pass.stride), None);
        }
        let stage = pass.stage(estimations);
        self.progress.stage(&stage, tasks.len(), |watch| {
            reduce(&shares, &tasks, (self.threads, 1), Some((watch, &stage)))
        })
    }

    fn passed(&mut self, _: &[Estimation], events: Vec<RunEvent>) -> Result<()> {
        events.iter().for_each(self.progress.observer);
        Ok(())
    }
}

/// Cuts the shards of a pass into tasks; one task per shard if the user does not say otherwise.
fn cut(shards: usize, tasks: Option<usize>) -> Vec<Range<usize>> {
    let tasks = tasks.unwrap_or(shards).clamp(1, shards);
    (0..tasks).map(|t| shards * t / tasks..shards * (t + 1) / tasks).collect()
}

/// Computes the tasks of all shares over every `stride`-th shard, and reduces the partials of each share along its tree.
fn reduce(
    shares: &[Share<'_>],
    tasks: &[Range<usize>],
    (threads, stride): (usize, usize),
    watch: Option<(&StageObserver<'_>, &str)>,
) -> Result<Vec<Partial>> {
    let shards = tasks.last().map_or(0, |range| range.end);
    let root = shards.next_power_of_two().trailing_zeros();
    let reductions: Vec<Reduction<Partial>> = shares.iter().map(|_| Reduction::default()).collect();
    let run = |range: &Range<usize>| -> Result<((), u64)> {
        let begin = Instant::now();
        take_draw_time();
        let (sums, rows) = compute(shares, range.clone(), stride)?;
        let draws = take_draw_time();
        if let Some((watch, stage)) = watch.filter(|_| !draws.is_zero()) {
            watch.record_part(stage, begin.elapsed().saturating_sub(draws));
            watch.record_part("draws", draws);
        }
        for (reduction, nodes) in reductions.iter().zip(sums) {
            nodes.into_iter().for_each(|(node, partial)| reduction.add(node, partial, root));
        }
        Ok(((), rows))
    };
    parallel::for_each(
        threads,
        tasks.len(),
        || (),
        |(), index| match watch {
            Some((watch, _)) => watch.task(index, named(&tasks[index]), || run(&tasks[index])),
            None => run(&tasks[index]).map(|_| ()),
        },
    )?;
    let roots = reductions.into_iter().zip(shares).map(|(reduction, share)| {
        let lost = || StaggerError::failed(format!("stage {} lost a partial", share.input.stage()));
        reduction.into_root().ok_or_else(lost)
    });
    roots.collect()
}

/// The subtrees of each share, and the number of rows that were read.
type Computed = (Vec<Vec<(TreeNode, Partial)>>, u64);

/// Computes one task. Several specifications read a shard one after the other while it is in the cache.
fn compute(shares: &[Share<'_>], range: Range<usize>, stride: usize) -> Result<Computed> {
    let needs =
        shares.iter().map(|share| share.input.needs()).fold(NeededColumns::default(), NeededColumns::or);
    let mut sums = TaskSums::begin(&CpuKernel, shares.iter().map(|share| (share.plan, share.input)))?;
    let (mut rows, mut loaded) = (0, Loaded::default());
    for index in range {
        for (place, share) in shares.iter().enumerate() {
            let shard = loaded.shard(share.panel, index * stride, needs)?;
            rows += shard.unit_count() as u64;
            sums.add(index, place, NamedShard { shard: &shard, name: None })?;
        }
    }
    Ok((sums.finish()?, rows))
}

/// Returns the name of a task in events, the same as on workers.
fn named(shards: &Range<usize>) -> String {
    match shards.len() {
        1 => format!("shard {}", shards.start),
        _ => format!("shards {} to {}", shards.start, shards.end.saturating_sub(1)),
    }
}

/// The stored shard that was read last: specifications that share a pass read it in turn.
#[derive(Default)]
struct Loaded {
    last: Option<(usize, Arc<Vec<Shard>>)>,
}

impl Loaded {
    fn shard<'a>(&mut self, panel: &'a Panel, index: usize, needs: NeededColumns) -> Result<Cow<'a, Shard>> {
        let (shards, specification) = match &panel.shards {
            Shards::Memory(shards) => return Ok(Cow::Borrowed(&shards[index])),
            Shards::Stored { shards, specification } => (shards, *specification),
        };
        let all = match &self.last {
            Some((last, all)) if *last == index => Arc::clone(all),
            _ => {
                // The shard read before is freed before the next one is read.
                self.last = None;
                shards.load_shard(index, needs)?
            }
        };
        let own = all[specification].clone();
        self.last = Some((index, all));
        Ok(Cow::Owned(own))
    }
}
