//! What tasks are computed on.

use std::sync::Arc;

use stagger_engine::error::EngineError;
use stagger_engine::kernel::{CpuKernel, Kernel};

use crate::args::{Args, Device};

/// The kernels that the arguments ask for.
///
/// # Errors
/// No driver, no device, no compiler for its kernels: each by name.
pub(crate) fn kernel(args: &Args) -> Result<Arc<dyn Kernel>, EngineError> {
    match args.device {
        Device::Cpu => Ok(Arc::new(CpuKernel)),
        Device::Cuda => Err(EngineError::failed("kernels for GPUs are not part of this build")
            .with_hint("--device cpu computes without a GPU")),
    }
}
