//! A task of a pass under way: shards in, partials out. Threads, functions, queue workers and GPUs all compute their tasks
//! through it; they differ in where a shard comes from and in who takes the partials.

use stagger_estimator::subset_sums::BitMemory;
use stagger_model::error::Result;
use stagger_model::reduction::TreeNode;

use crate::kernel::{Kernel, KernelPass, NamedShard};
use crate::partial::Partial;
use crate::plan::Plan;
use crate::stage::StageInput;

/// The sums of a task so far, one set per specification that shares the pass. They are a pure function of plan, input and
/// shards: the same bytes whatever ran before, and however shards are grouped into tasks.
pub struct TaskSums<'a> {
    passes: Vec<Box<dyn KernelPass + 'a>>,
    /// Multiplier bits of the shard at hand, for the next specification that reads it.
    memory: Option<BitMemory>,
}

impl<'a> TaskSums<'a> {
    /// Begins a task for specifications that share a pass, each given by its plan and the input of its stage.
    ///
    /// # Errors
    /// A device that fails.
    pub fn begin(
        kernel: &'a dyn Kernel,
        shares: impl IntoIterator<Item = (&'a Plan, &'a StageInput)>,
    ) -> Result<Self> {
        let passes =
            shares.into_iter().map(|(plan, input)| kernel.pass(plan, input)).collect::<Result<_>>()?;
        Ok(Self { passes, memory: None })
    }

    /// Adds shard number `index` of the pass as specification `share` sees it. Shards ascend; for each of them the
    /// specifications come in order.
    ///
    /// # Errors
    /// A device that fails, or whose memory one shard does not fit.
    pub fn add(&mut self, index: usize, share: usize, shard: NamedShard<'_>) -> Result<()> {
        if share == 0 {
            self.memory = (self.passes.len() > 1).then(BitMemory::default);
        }
        self.passes[share].add(index, shard, &mut self.memory)
    }

    /// Returns the partials of each specification, merged to maximal aligned subtrees of the reduction tree.
    ///
    /// # Errors
    /// A device that fails.
    pub fn finish(self) -> Result<Vec<Vec<(TreeNode, Partial)>>> {
        self.passes.into_iter().map(KernelPass::finish).collect()
    }
}
