//! Stages that are two passes over the same shards: a device's and another of its own or of the processor.

use stagger_estimation::kernel::{KernelPass, NamedShard};
use stagger_estimation::partial::{ClosingPartial, Partial, StartPartial};
use stagger_estimation::passes::start_rows;
use stagger_estimation::plan::Plan;
use stagger_estimator::outcome::GramPartial;
use stagger_estimator::subset_sums::BitMemory;
use stagger_model::error::{Result, StaggerError};
use stagger_model::reduction::{SubtreeStack, TreeNode};

/// Two passes over the same shards, whose partials are joined.
pub(super) struct PairedPass<'a> {
    /// The first.
    pub(super) device: Box<dyn KernelPass + 'a>,
    /// The second.
    pub(super) other: Box<dyn KernelPass + 'a>,
    /// Makes one partial of two; `None` for partials of other stages.
    pub(super) join: fn(Partial, Partial) -> Option<Partial>,
}

impl KernelPass for PairedPass<'_> {
    fn add(&mut self, index: usize, shard: NamedShard<'_>, memory: &mut Option<BitMemory>) -> Result<()> {
        self.device.add(index, shard, memory)?;
        self.other.add(index, shard, memory)
    }

    fn finish(self: Box<Self>) -> Result<Vec<(TreeNode, Partial)>> {
        let Self { device, other, join } = *self;
        let wrong = || StaggerError::failed("two passes over the same shards have other partials");
        let both = device.finish()?.into_iter().zip(other.finish()?);
        both.map(|((node, a), (own, b))| {
            let joined = join(a, b).filter(|_| node == own);
            joined.map(|partial| (node, partial)).ok_or_else(wrong)
        })
        .collect()
    }
}

/// Joins cross products and rows of a sample.
pub(super) fn join_starts(gram: Partial, rows: Partial) -> Option<Partial> {
    match (gram, rows) {
        (Partial::Gram(gram), Partial::Starts(StartPartial { rows, .. })) => {
            Some(Partial::Starts(StartPartial { gram, rows }))
        }
        _ => None,
    }
}

/// Joins a round of the logits and moments.
pub(super) fn join_closing(logits: Partial, moments: Partial) -> Option<Partial> {
    match (logits, moments) {
        (Partial::Propensity(logits), Partial::Moments(moments)) => {
            Some(Partial::Closing(ClosingPartial { logits, moments }))
        }
        _ => None,
    }
}

/// Rows of the sample on which logits are started, taken by the processor: they are few.
pub(super) struct StartRowsPass<'a> {
    plan: &'a Plan,
    rows: usize,
    stack: SubtreeStack<Partial>,
}

impl<'a> StartRowsPass<'a> {
    /// Begins a pass that takes up to `rows` rows of each pair of stratum and frame in a shard.
    pub(super) fn begin(plan: &'a Plan, rows: usize) -> Box<dyn KernelPass + 'a> {
        Box::new(Self { plan, rows, stack: SubtreeStack::default() })
    }
}

impl KernelPass for StartRowsPass<'_> {
    fn add(&mut self, index: usize, shard: NamedShard<'_>, _memory: &mut Option<BitMemory>) -> Result<()> {
        let rows = start_rows(self.plan, shard.shard, self.rows);
        let gram = GramPartial::new(0, self.plan.gram_shape());
        self.stack.push(index, Partial::Starts(StartPartial { gram, rows }));
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<(TreeNode, Partial)>> {
        Ok(self.stack.into_nodes())
    }
}
