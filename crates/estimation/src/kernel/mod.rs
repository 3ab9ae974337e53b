//! Kernels compute the sums of a pass over shards: on the processor, or on a device behind the same trait.
//!
//! The bits of a kernel depend on the plan, the stage and the shard alone. Two kinds of kernels agree to 1e-12,
//! relative to the size of what is summed; results in storage record the kinds that made them.

#[doc(hidden)]
pub mod conformance;
pub mod expanded;
pub mod task;

use std::fmt;

use serde::{Deserialize, Serialize};
use stagger_estimator::subset_sums::BitMemory;
use stagger_model::error::Result;
use stagger_model::reduction::{SubtreeStack, TreeNode};
use stagger_panel::shard::Shard;

use crate::partial::Partial;
use crate::passes::compute_partial;
use crate::plan::Plan;
use crate::stage::StageInput;

/// Kind of the machine that computed a partial: it decides the bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KernelKind {
    /// Any processor.
    #[default]
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
}

impl KernelKind {
    /// Returns the name, as in `--device`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }
}

/// Identity of a shard's content, under which a device may keep it across stages and rounds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardName {
    /// Checksum of the panel as the run's specifications see it.
    pub panel: String,
    /// Index of the specification that reads it.
    pub spec: usize,
    /// Index of the shard in the panel.
    pub index: usize,
}

/// A shard and, where it has one, its name.
#[derive(Clone, Copy, Debug)]
pub struct NamedShard<'a> {
    /// The shard; it has at least the columns that the stage reads.
    pub shard: &'a Shard,
    /// Name under which a device may keep the shard; `None`: it may not.
    pub name: Option<&'a ShardName>,
}

/// Memory use of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceMemory {
    /// Bytes in use by shards and sums.
    pub used: u64,
    /// Largest number of bytes in use so far.
    pub peak: u64,
    /// Number of bytes that may be in use.
    pub limit: u64,
    /// Number of shards that were found in memory when a pass needed them, since the kernel was made.
    pub kept: u64,
}

/// A way to compute passes.
pub trait Kernel: fmt::Debug + Send + Sync {
    /// Returns the kind, which decides the bits.
    fn kind(&self) -> KernelKind;

    /// Returns the name of the machine it runs on, for logs.
    fn device(&self) -> String;

    /// Returns the memory use of its device; `None` where that is the memory of the process.
    fn memory(&self) -> Option<DeviceMemory> {
        None
    }

    /// Starts a pass of one stage.
    ///
    /// # Errors
    /// A failure of the device.
    fn pass<'a>(&'a self, plan: &'a Plan, input: &'a StageInput) -> Result<Box<dyn KernelPass + 'a>>;
}

/// A pass under way: takes shards, returns sums.
pub trait KernelPass {
    /// Adds shard number `index` of the pass; the indices ascend without gaps. `memory` may keep multiplier bits for
    /// the next specification that reads the same shard.
    ///
    /// # Errors
    /// A failure of the device, or a shard that does not fit its memory.
    fn add(&mut self, index: usize, shard: NamedShard<'_>, memory: &mut Option<BitMemory>) -> Result<()>;

    /// Returns the sums, merged to maximal aligned subtrees of the reduction tree.
    ///
    /// # Errors
    /// A failure of the device.
    fn finish(self: Box<Self>) -> Result<Vec<(TreeNode, Partial)>>;
}

/// The kernels of the crate `estimator`, on the calling thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuKernel;

struct CpuPass<'a> {
    plan: &'a Plan,
    input: &'a StageInput,
    stack: SubtreeStack<Partial>,
}

impl Kernel for CpuKernel {
    fn kind(&self) -> KernelKind {
        KernelKind::Cpu
    }

    fn device(&self) -> String {
        "cpu".to_owned()
    }

    fn pass<'a>(&'a self, plan: &'a Plan, input: &'a StageInput) -> Result<Box<dyn KernelPass + 'a>> {
        Ok(Box::new(CpuPass { plan, input, stack: SubtreeStack::default() }))
    }
}

impl KernelPass for CpuPass<'_> {
    fn add(&mut self, index: usize, shard: NamedShard<'_>, memory: &mut Option<BitMemory>) -> Result<()> {
        self.stack.push(index, compute_partial(self.plan, self.input, shard.shard, memory));
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<(TreeNode, Partial)>> {
        Ok(self.stack.into_nodes())
    }
}
