//! Passes on the threads of this process: the tasks of a stage are computed and their partials reduced. Estimations
//! that need a pass at the same time share it.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use stagger_estimator::subset_sums::BitMemory;
use stagger_model::error::{EngineError, Result};
use stagger_model::parallel;
use stagger_model::progress::{Progress, Watch};
use stagger_model::reduction::Reduction;
use stagger_panel::panel::{Needs, Panel, Shards};
use stagger_panel::shard::Shard;

use crate::estimate::steps::Estimation;
use crate::local::twins;
use crate::partial::Partial;
use crate::passes::{StageInput, Task, run_task};

/// Runner of passes on the threads of this process.
pub struct Threads {
    /// Number of threads.
    pub threads: usize,
    /// Number of tasks in a stage, if the user sets it.
    pub tasks: Option<usize>,
}

/// Part of one estimation in a pass.
struct Share<'a> {
    estimation: &'a Estimation,
    input: &'a StageInput,
    panel: &'a Panel,
}

impl Threads {
    /// Makes passes until no estimation needs one; returns the number of passes over all shards.
    pub fn drive(
        &self,
        estimations: &mut [Estimation],
        panels: &[Panel],
        progress: &mut Progress<'_>,
    ) -> Result<usize> {
        let mut passes = 0;
        loop {
            for (estimation, panel) in estimations.iter_mut().zip(panels) {
                self.samples(estimation, panel)?;
            }
            let wanted: Vec<usize> =
                (0..estimations.len()).filter(|&i| estimations[i].request().is_some()).collect();
            if wanted.is_empty() {
                return Ok(passes);
            }
            let partials = self.pass(estimations, panels, &wanted, progress)?;
            for (index, partial) in wanted.into_iter().zip(partials) {
                estimations[index].accept(partial)?;
                estimations[index].news(index).iter().for_each(progress.observer);
            }
            passes += 1;
        }
    }

    /// Makes the passes over samples that an estimation asks for; these are too small to be worth sharing.
    fn samples(&self, estimation: &mut Estimation, panel: &Panel) -> Result<()> {
        while let Some(request) = estimation.request() {
            let Some(count) = request.sample else { return Ok(()) };
            let count = count.next_power_of_two().min(panel.shard_count());
            let stride = panel.shard_count() / count;
            let share = Share { estimation, input: &request.input, panel };
            let mut partials = self.reduce(&[share], &self.cut(count), stride, None)?;
            let partial = partials.pop().ok_or_else(|| EngineError::failed("a sample was lost"))?;
            estimation.accept(partial)?;
        }
        Ok(())
    }

    fn pass(
        &self,
        estimations: &[Estimation],
        panels: &[Panel],
        wanted: &[usize],
        progress: &mut Progress<'_>,
    ) -> Result<Vec<Partial>> {
        let (distinct, twins) = twins(estimations, panels, wanted);
        let shares: Vec<Share<'_>> = distinct
            .iter()
            .filter_map(|&i| {
                let estimation = &estimations[i];
                let input = &estimation.request()?.input;
                Some(Share { estimation, input, panel: &panels[i] })
            })
            .collect();
        let Some(first) = shares.first() else { return Ok(Vec::new()) };
        let tasks = self.cut(first.panel.shard_count());
        let mut names: Vec<&str> = shares.iter().map(|s| s.input.stage()).collect();
        names.dedup();
        let name = names.join(" + ");
        let partials =
            progress.stage(&name, tasks.len(), |watch| self.reduce(&shares, &tasks, 1, Some(watch)))?;
        Ok(handed_out(partials, &twins))
    }

    fn cut(&self, shards: usize) -> Vec<Range<usize>> {
        let tasks = self.tasks.unwrap_or(shards).clamp(1, shards);
        (0..tasks).map(|t| shards * t / tasks..shards * (t + 1) / tasks).collect()
    }

    /// Runs the tasks of all shares over every `stride`-th shard, and reduces the partials of each share along its
    /// tree.
    fn reduce(
        &self,
        shares: &[Share<'_>],
        tasks: &[Range<usize>],
        stride: usize,
        watch: Option<&Watch<'_>>,
    ) -> Result<Vec<Partial>> {
        let shards = tasks.last().map_or(0, |range| range.end);
        let root = shards.next_power_of_two().trailing_zeros();
        let reductions: Vec<Reduction<Partial>> = shares.iter().map(|_| Reduction::default()).collect();
        let needs = shares.iter().map(|share| share.input.needs()).fold(Needs::default(), Needs::or);
        let run = |range: &Range<usize>| -> Result<((), u64)> {
            // Several specifications read a shard one after the other while it is in the cache.
            let ranges = if shares.len() == 1 {
                vec![range.clone()]
            } else {
                range.clone().map(|shard| shard..shard + 1).collect()
            };
            let mut rows = 0;
            for range in ranges {
                let mut memory = (shares.len() > 1).then(BitMemory::default);
                let mut loaded = Loaded::default();
                for (share, reduction) in shares.iter().zip(&reductions) {
                    let task = Task { input: share.input, shards: range.clone() };
                    let shard = |index: usize| {
                        let shard = loaded.shard(share.panel, index * stride, needs)?;
                        rows += shard.units() as u64;
                        Ok(shard)
                    };
                    for (node, partial) in run_task(share.estimation.plan(), &task, shard, &mut memory)? {
                        reduction.add(node, partial, root);
                    }
                }
            }
            Ok(((), rows))
        };
        parallel::for_each(
            self.threads,
            tasks.len(),
            || (),
            |(), index| match watch {
                Some(watch) => watch.task(index, named(&tasks[index]), || run(&tasks[index])),
                None => run(&tasks[index]).map(|_| ()),
            },
        )?;
        let roots = reductions.into_iter().zip(shares).map(|(reduction, share)| {
            let lost = || EngineError::failed(format!("stage {} lost a partial", share.input.stage()));
            reduction.into_root().ok_or_else(lost)
        });
        roots.collect()
    }
}

/// Hands the partials to the estimations; copies one only where several share it.
fn handed_out(partials: Vec<Partial>, twins: &[usize]) -> Vec<Partial> {
    let mut left: Vec<Option<Partial>> = partials.into_iter().map(Some).collect();
    let mut out = Vec::with_capacity(twins.len());
    for (at, &twin) in twins.iter().enumerate() {
        let again = twins[at + 1..].contains(&twin);
        out.extend(if again { left[twin].clone() } else { left[twin].take() });
    }
    out
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
    fn shard<'a>(&mut self, panel: &'a Panel, index: usize, needs: Needs) -> Result<Cow<'a, Shard>> {
        let (shards, specification) = match &panel.shards {
            Shards::Memory(shards) => return Ok(Cow::Borrowed(&shards[index])),
            Shards::Stored { shards, specification } => (shards, *specification),
        };
        let all = match &self.last {
            Some((last, all)) if *last == index => Arc::clone(all),
            _ => {
                // The shard read before is freed before the next one is read.
                self.last = None;
                shards.load(index, needs)?
            }
        };
        let own = all[specification].clone();
        self.last = Some((index, all));
        Ok(Cow::Owned(own))
    }
}
