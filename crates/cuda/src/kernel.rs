//! The kernel of a device: the stages that it computes, and the shards that it keeps between them.

use std::sync::Arc;

use stagger_estimation::kernel::expanded::InfluenceColumns;
use stagger_estimation::kernel::{CpuKernel, DeviceMemory, Kernel, KernelKind, KernelPass};
use stagger_estimation::plan::Plan;
use stagger_estimation::stage::StageInput;
use stagger_model::error::Result as EngineResult;

use super::batch::{DevicePass, DeviceStage};
use super::device::{BoundedDevice, Device};
use super::driver::Gpu;
use super::error::CudaError;
use super::influence::InfluenceStage;
use super::memory::{DeviceShards, checksum};
use super::paired::{PairedPass, StartRowsPass, join_closing, join_starts};
use super::stages::{GramStage, MomentsStage, PassLogits, PropensityStage};

/// Passes on a device. `Gram`, `Propensity`, `Moments`, and `Influence` over units are its own; `Omega`, `Overlap`,
/// counts, and `Influence` with clusters, whose keys a device has no use for, are [`CpuKernel`]'s.
#[derive(Debug)]
pub struct CudaKernel {
    bounded: BoundedDevice,
    shards: DeviceShards,
}

impl CudaKernel {
    /// Opens the first GPU of this machine, for passes in at most `limit` bytes of its memory.
    ///
    /// # Errors
    /// No driver, no device, no compiler for the kernels: each with a hint. Never a panic.
    pub fn open(limit: Option<u64>) -> Result<Self, CudaError> {
        Ok(Self::new(Arc::new(Gpu::open(0)?), limit))
    }

    /// Returns the kernel of a device, for passes in at most `limit` bytes of its memory; in all that is free where
    /// absent.
    pub fn new(device: Arc<dyn Device>, limit: Option<u64>) -> Self {
        let bounded = BoundedDevice::new(device, limit);
        Self { shards: DeviceShards::new(&bounded), bounded }
    }

    fn device_pass<'a, S: DeviceStage + 'a>(
        &'a self,
        plan: &'a Plan,
        stage: S,
    ) -> EngineResult<Box<dyn KernelPass + 'a>> {
        let memory = (&self.bounded, &self.shards);
        Ok(Box::new(DevicePass::new(memory, plan, checksum(plan)?, stage)))
    }
}

impl Kernel for CudaKernel {
    fn kind(&self) -> KernelKind {
        KernelKind::Cuda
    }

    fn device(&self) -> String {
        self.bounded.device.name()
    }

    fn memory(&self) -> Option<DeviceMemory> {
        let BoundedDevice { usage, limit, .. } = &self.bounded;
        let (used, peak, kept) = (usage.used(), usage.peak(), self.shards.hits());
        Some(DeviceMemory { used, peak, limit: *limit, kept })
    }

    fn pass<'a>(&'a self, plan: &'a Plan, input: &'a StageInput) -> EngineResult<Box<dyn KernelPass + 'a>> {
        match input {
            StageInput::Gram => self.device_pass(plan, GramStage { plan }),
            StageInput::Starts { rows } => {
                let gram = self.device_pass(plan, GramStage { plan })?;
                Ok(Box::new(PairedPass {
                    device: gram,
                    other: StartRowsPass::begin(plan, *rows),
                    join: join_starts,
                }))
            }
            StageInput::Propensity { betas, curved } => {
                let logits = PassLogits::new(plan, betas);
                self.device_pass(plan, PropensityStage { logits, curved: *curved, with_outcomes: false })
            }
            StageInput::Closing { betas, weighing } => {
                let (own, others) = (PassLogits::new(plan, betas), PassLogits::new(plan, weighing));
                let round = PropensityStage { logits: own, curved: true, with_outcomes: true };
                let device = self.device_pass(plan, round)?;
                let other = self.device_pass(plan, MomentsStage { logits: others, sloped: true })?;
                Ok(Box::new(PairedPass { device, other, join: join_closing }))
            }
            StageInput::Moments { betas } => {
                let logits = PassLogits::new(plan, betas);
                self.device_pass(plan, MomentsStage { logits, sloped: false })
            }
            StageInput::Influence { corrections, betas, columns, draws, clusters: None } => {
                let columns = InfluenceColumns { corrections, betas, columns };
                self.device_pass(plan, InfluenceStage::new(plan, columns, *draws))
            }
            StageInput::Features { .. }
            | StageInput::Influence { .. }
            | StageInput::Overlap { .. }
            | StageInput::Omega { .. }
            | StageInput::Survey(_) => CpuKernel.pass(plan, input),
        }
    }
}
