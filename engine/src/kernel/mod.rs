//! What computes the sums of a pass over shards: the processor's kernels, or those of a device behind the same trait.
//!
//! A kernel's own bits never change: they depend on the plan, the stage and the shard alone. Those of two kinds of kernels agree to
//! 1e-12, relative to the size of what is summed; results in storage say which kinds made them.

#[doc(hidden)]
pub mod conformance;
pub mod expanded;

use std::fmt;

use serde::{Deserialize, Serialize};
use stagger_estimator::subset_sums::BitMemory;

use crate::error::Result;
use crate::partial::Partial;
use crate::plan::Plan;
use crate::reduce::{Node, SubtreeStack};
use crate::shard::Shard;
use crate::task::{StageInput, shard_partial};

/// Whose bits a partial has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A processor's, whichever.
    #[default]
    Cpu,
    /// An NVIDIA GPU's.
    Cuda,
}

impl Kind {
    /// Name, as in `--device`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }
}

/// A shard by its content: what a device may keep of it across stages and rounds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardName {
    /// Checksum of the panel as its specifications see it.
    pub panel: String,
    /// Which specification sees it.
    pub spec: usize,
    /// Which shard of the panel.
    pub index: usize,
}

/// A shard, and its name where it has one.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// Its columns; those that the stage needs are there.
    pub shard: &'a Shard,
    /// Under which a device may keep it.
    pub name: Option<&'a ShardName>,
}

/// Memory of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceMemory {
    /// Bytes in use by shards and sums.
    pub used: u64,
    /// Most bytes that were in use.
    pub peak: u64,
    /// Bytes that may be in use.
    pub limit: u64,
    /// Shards that were there already when they were wanted, since the kernel was made.
    pub kept: u64,
}

/// Computes passes.
pub trait Kernel: fmt::Debug + Send + Sync {
    /// Whose bits they are.
    fn kind(&self) -> Kind;

    /// What it runs on, for logs.
    fn device(&self) -> String;

    /// Memory of its device, where that is not the process's.
    fn memory(&self) -> Option<DeviceMemory> {
        None
    }

    /// Begins a pass of a stage.
    ///
    /// # Errors
    /// A device that fails.
    fn pass<'a>(&'a self, plan: &'a Plan, input: &'a StageInput) -> Result<Box<dyn Pass + 'a>>;
}

/// A pass under way: shards in, sums out.
pub trait Pass {
    /// Adds shard number `index` of the pass; indices ascend without gaps. `memory` keeps multiplier bits for the next
    /// specification on the same shard, and may be left alone.
    ///
    /// # Errors
    /// A device that fails, or whose memory one shard does not fit.
    fn add(&mut self, index: usize, shard: Named<'_>, memory: &mut Option<BitMemory>) -> Result<()>;

    /// The sums, merged to maximal aligned subtrees of the reduction tree.
    ///
    /// # Errors
    /// A device that fails.
    fn finish(self: Box<Self>) -> Result<Vec<(Node, Partial)>>;
}

/// The kernels of `estimator`, on the thread that calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuKernel;

struct CpuPass<'a> {
    plan: &'a Plan,
    input: &'a StageInput,
    stack: SubtreeStack,
}

impl Kernel for CpuKernel {
    fn kind(&self) -> Kind {
        Kind::Cpu
    }

    fn device(&self) -> String {
        "cpu".to_owned()
    }

    fn pass<'a>(&'a self, plan: &'a Plan, input: &'a StageInput) -> Result<Box<dyn Pass + 'a>> {
        Ok(Box::new(CpuPass { plan, input, stack: SubtreeStack::default() }))
    }
}

impl Pass for CpuPass<'_> {
    fn add(&mut self, index: usize, shard: Named<'_>, memory: &mut Option<BitMemory>) -> Result<()> {
        self.stack.push(index, shard_partial(self.plan, self.input, shard.shard, memory));
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<(Node, Partial)>> {
        Ok(self.stack.into_nodes())
    }
}
