//! A pass on a device: shards are gathered into batches, a batch's sums are made by a few launches and added along
//! the reduction tree on the device.
//!
//! The rows that a launch sums over depend on the shard alone, and each sum has its place and order; so neither the
//! size of batches nor the shards that stay on the device change a bit.

use std::sync::Arc;

use stagger_estimation::kernel::{KernelPass, NamedShard};
use stagger_estimation::partial::Partial;
use stagger_estimation::plan::Plan;
use stagger_estimator::subset_sums::BitMemory;
use stagger_model::error::Result as EngineResult;
use stagger_model::reduction::{SubtreeStack, TreeNode};
use stagger_panel::strata::NeededColumns;

use super::device::{BoundedDevice, Buffer, DeviceFunction, LaunchWork, Stream, THREADS, WORD};
use super::error::Result;
use super::memory::{DeviceShards, ResidentShard};
use super::program::Program;

/// Rows of a batch whose shards are all on the device: a launch of them fills it several times over.
const ROWS: usize = 1 << 20;
/// Rows of a batch of shards that come from the host: while one is computed the next is copied.
const COPIED_ROWS: usize = 1 << 18;
/// Values that a block of `merge` and `fill` handles.
const VALUES_OF_BLOCK: usize = 4 * THREADS as usize;

/// The sizes of a shard's sums, in values of 8 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct SumShape {
    /// Values that are added.
    pub(super) sums: usize,
    /// Values after them, of which the greatest is kept.
    pub(super) maxima: usize,
}

impl SumShape {
    fn values(self) -> usize {
        self.sums + self.maxima
    }
}

/// A stage of an estimation, as a device sums it.
pub(super) trait DeviceStage {
    /// Returns the sizes of its sums.
    fn shape(&self) -> SumShape;

    /// Returns the columns of a shard that it reads.
    fn needs(&self) -> NeededColumns;

    /// Returns a program without shards.
    fn program(&self) -> Program;

    /// Adds a shard, whose sums start at word `sums` of the batch's.
    fn add(&self, program: &mut Program, shard: &ResidentShard, sums: usize);

    /// Returns the partial of `values` that the device summed.
    fn partial(&self, values: Vec<f64>) -> Partial;
}

/// Sums of a subtree on the device.
#[derive(Debug)]
struct SubtreeSums {
    batch: Arc<Buffer>,
    at: usize,
}

impl SubtreeSums {
    fn address(&self) -> u64 {
        self.batch.at(self.at)
    }
}

/// A pass under way.
pub(super) struct DevicePass<'a, S> {
    bounded: &'a BoundedDevice,
    memory: &'a DeviceShards,
    plan: &'a Plan,
    checksum: u128,
    stage: S,
    batch: Vec<(usize, ResidentShard)>,
    /// True if all shards of the batch were on the device.
    kept: bool,
    stack: SubtreeStack<SubtreeSums>,
}

impl<'a, S: DeviceStage> DevicePass<'a, S> {
    /// Returns a pass without shards; `checksum` names the expanded values of shards under the plan.
    pub(super) fn new(
        (bounded, memory): (&'a BoundedDevice, &'a DeviceShards),
        plan: &'a Plan,
        checksum: u128,
        stage: S,
    ) -> Self {
        let (batch, stack) = (Vec::new(), SubtreeStack::default());
        Self { bounded, memory, plan, checksum, stage, batch, kept: true, stack }
    }

    fn take(&mut self, index: usize, shard: NamedShard<'_>) -> Result<()> {
        let (resident, kept) = self.memory.resident(self.plan, shard, (self.checksum, self.stage.needs()))?;
        self.batch.push((index, resident));
        self.kept &= kept;
        if self.is_full() { self.flush() } else { Ok(()) }
    }

    fn is_full(&self) -> bool {
        let rows: usize = self.batch.iter().map(|(_, shard)| shard.rows()).sum();
        let bytes: u64 = self.batch.iter().map(|(_, shard)| shard.bytes()).sum();
        let sums = (self.batch.len() * self.stage.shape().values()) as u64 * WORD;
        // Everything that a batch holds besides the shards that stay is a quarter of the limit.
        rows >= if self.kept { ROWS } else { COPIED_ROWS } || bytes + 8 * sums > self.bounded.limit / 8
    }

    /// Queues all work of the batch.
    fn flush(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        self.kept = true;
        if batch.is_empty() {
            return Ok(());
        }
        self.bounded.device.wait_for_copies()?;
        let mut from = 0;
        while from < batch.len() {
            from += self.sum(&batch[from..])?;
        }
        Ok(())
    }

    /// Sums the first shards of a batch, as many as scratch memory has room for, at least one; returns their number.
    fn sum(&mut self, batch: &[(usize, ResidentShard)]) -> Result<usize> {
        let values = self.stage.shape().values();
        let room = (self.bounded.limit / 8 / WORD) as usize;
        let mut program = self.stage.program();
        let mut count = 0;
        for (_, shard) in batch {
            self.stage.add(&mut program, shard, count * values);
            count += 1;
            let each = program.scratch_words() / count;
            if program.scratch_words() + each > room {
                break;
            }
        }
        let sums = Arc::new(self.bounded.buffer(Stream::Compute, count * values, "sums of shards")?);
        self.fill(&sums, count)?;
        program.launch(self.bounded, &sums)?;
        let leaves = batch[..count].iter().enumerate().map(|(place, (index, _))| {
            let node = TreeNode { level: 0, index: *index };
            (node, SubtreeSums { batch: Arc::clone(&sums), at: place * values })
        });
        self.merge_leaves(leaves.collect())?;
        Ok(count)
    }

    /// Sets sums to 0 and maxima to −∞.
    fn fill(&self, sums: &Buffer, count: usize) -> Result<()> {
        let shape = self.stage.shape();
        let all = count * shape.values();
        let words = [
            sums.address(),
            0f64.to_bits(),
            f64::NEG_INFINITY.to_bits(),
            shape.sums as u64,
            shape.values().max(1) as u64,
            all as u64,
        ];
        let grid = all.div_ceil(VALUES_OF_BLOCK).clamp(1, 4096) as u32;
        let mut work = LaunchWork::default();
        work.add(all, 0);
        self.bounded.device.launch(DeviceFunction::Fill, grid, &words, work)
    }

    /// Adds siblings level by level, as long as both are there, with one launch per level. Nodes that are left go
    /// onto the stack.
    fn merge_leaves(&mut self, mut nodes: Vec<(TreeNode, SubtreeSums)>) -> Result<()> {
        loop {
            let (mut next, mut pairs) = (Vec::with_capacity(nodes.len()), Vec::new());
            let mut rest = nodes.into_iter().peekable();
            while let Some((node, left)) = rest.next() {
                let right = rest.next_if(|(other, _)| node.index % 2 == 0 && *other == node.sibling());
                match right {
                    Some((_, right)) => {
                        pairs.extend([left.address(), right.address()]);
                        next.push((node.parent(), left));
                    }
                    None => next.push((node, left)),
                }
            }
            nodes = next;
            if pairs.is_empty() {
                break;
            }
            self.merge(&pairs)?;
        }
        let mut stack = std::mem::take(&mut self.stack);
        for (node, sums) in nodes {
            stack.push_with(node, sums, |left, right| {
                self.merge(&[left.address(), right.address()]).map(|()| left)
            })?;
        }
        self.stack = stack;
        Ok(())
    }

    /// Adds right sums to left ones; `pairs` holds their addresses in turns.
    fn merge(&self, pairs: &[u64]) -> Result<()> {
        let shape = self.stage.shape();
        let table = self.bounded.buffer(Stream::Compute, pairs.len(), "descriptors")?;
        let device = &self.bounded.device;
        device
            .upload(Stream::Compute, table.address(), pairs.len(), &mut |out| out.copy_from_slice(pairs))?;
        let blocks = shape.values().div_ceil(VALUES_OF_BLOCK).max(1);
        let words = [table.address(), blocks as u64, shape.sums as u64, shape.values() as u64];
        let mut work = LaunchWork::default();
        work.add(pairs.len() / 2 * 3 * shape.values(), pairs.len() / 2 * shape.values());
        device.launch(DeviceFunction::Merge, (pairs.len() / 2 * blocks) as u32, &words, work)
    }

    fn download(&self, sums: &SubtreeSums) -> Result<Vec<f64>> {
        let mut values = vec![0.0; self.stage.shape().values()];
        self.bounded.device.download(sums.address(), &mut values)?;
        Ok(values)
    }
}

impl<S: DeviceStage> KernelPass for DevicePass<'_, S> {
    fn add(
        &mut self,
        index: usize,
        shard: NamedShard<'_>,
        _memory: &mut Option<BitMemory>,
    ) -> EngineResult<()> {
        Ok(self.take(index, shard)?)
    }

    fn finish(mut self: Box<Self>) -> EngineResult<Vec<(TreeNode, Partial)>> {
        self.flush()?;
        let nodes = std::mem::take(&mut self.stack).into_nodes();
        let partial =
            |(node, sums): (TreeNode, SubtreeSums)| Ok((node, self.stage.partial(self.download(&sums)?)));
        nodes.into_iter().map(partial).collect()
    }
}
