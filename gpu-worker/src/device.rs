//! The kernel that the arguments ask for.

use std::sync::Arc;

use stagger_cuda::CudaKernel;
use stagger_estimation::kernel::{CpuKernel, Kernel};
use stagger_model::error::StaggerError;

use crate::args::{Args, Device};

/// Returns the kernel that the arguments ask for.
///
/// # Errors
/// No driver, no device, or no compiler for its kernels: each by name.
pub(crate) fn open_kernel(args: &Args) -> Result<Arc<dyn Kernel>, StaggerError> {
    Ok(match args.device {
        Device::Cpu => Arc::new(CpuKernel),
        Device::Cuda => Arc::new(CudaKernel::open(args.device_memory)?),
    })
}
