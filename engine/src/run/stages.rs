//! Runs the tasks of one stage on threads and reduces their partials.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{EngineError, Result};
use crate::events::RunEvent;
use crate::parallel;
use crate::partial::Partial;
use crate::plan::Plan;
use crate::reduce::Reduction;
use crate::shard::Shard;
use crate::task::{StageInput, Task, run_task};

use super::Progress;

/// The invoker of this process: tasks go to its threads.
pub(crate) struct Threads<'a> {
    pub(crate) shards: &'a [Shard],
    pub(crate) threads: usize,
    /// Tasks a stage is cut into, if the user says.
    pub(crate) tasks: Option<usize>,
}

impl Threads<'_> {
    /// Runs a stage over all shards.
    pub(crate) fn stage(
        &self,
        plan: &Plan,
        input: &StageInput,
        progress: &mut Progress<'_>,
    ) -> Result<Partial> {
        let tasks = self.cut(self.shards.len());
        progress.stage(input.stage(), tasks.len(), |observer| {
            let done = AtomicUsize::new(0);
            self.reduce(plan, input, &tasks, &|| {
                let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                observer(&RunEvent::TaskDone { stage: input.stage().to_owned(), done, tasks: tasks.len() });
            })
        })
    }

    /// Runs a stage over the first `shards` shards (a power of two): a random sample of the units, as shards are ranges
    /// of hashes.
    pub(crate) fn sample(&self, plan: &Plan, input: &StageInput, shards: usize) -> Result<Partial> {
        self.reduce(plan, input, &self.cut(shards), &|| {})
    }

    fn cut(&self, shards: usize) -> Vec<Range<usize>> {
        let tasks = self.tasks.unwrap_or(shards).clamp(1, shards);
        (0..tasks).map(|t| shards * t / tasks..shards * (t + 1) / tasks).collect()
    }

    fn reduce(
        &self,
        plan: &Plan,
        input: &StageInput,
        tasks: &[Range<usize>],
        done: &(dyn Fn() + Sync),
    ) -> Result<Partial> {
        let shards = tasks.last().map_or(0, |range| range.end);
        let root = shards.next_power_of_two().trailing_zeros();
        let reduction = Reduction::default();
        parallel::for_each(
            self.threads,
            tasks.len(),
            || (),
            |(), index| {
                let range = tasks[index].clone();
                let task = Task { input, shards: range.clone() };
                for (node, partial) in run_task(plan, &task, &self.shards[range]) {
                    reduction.add(node, partial, root);
                }
                done();
                Ok(())
            },
        )?;
        reduction
            .into_root()
            .ok_or_else(|| EngineError::failed(format!("stage {} lost a partial", input.stage())))
    }
}
