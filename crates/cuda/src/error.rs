//! Errors of a device, each with a hint.

use stagger_model::error::{FailureClass, StaggerError};
use thiserror::Error;

/// The result of a call to a device.
pub type Result<T> = std::result::Result<T, CudaError>;

/// An error of a device or of the libraries that drive it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CudaError {
    /// No NVIDIA driver on this machine.
    #[error("the NVIDIA driver library libcuda was not found")]
    NoDriver,
    /// A driver, but no device that it drives.
    #[error("the NVIDIA driver found no device: {0}")]
    NoDevice(String),
    /// No compiler for the kernels, and no earlier result of one.
    #[error("the CUDA compiler library libnvrtc was not found")]
    NoCompiler,
    /// Kernels that do not compile for the device.
    #[error("the kernels do not compile for {architecture}: {log}")]
    Compile {
        /// The architecture that they were compiled for.
        architecture: String,
        /// The compiler's messages.
        log: String,
    },
    /// Not enough device memory.
    #[error("the device has no {wanted} bytes left for {what}: {used} of {limit} are in use")]
    OutOfMemory {
        /// The use that it was wanted for.
        what: &'static str,
        /// Bytes wanted.
        wanted: u64,
        /// Bytes in use.
        used: u64,
        /// Bytes that may be in use.
        limit: u64,
    },
    /// Any other failure of the driver.
    #[error("{what} failed on the device: {reason}")]
    Failed {
        /// The action that failed.
        what: &'static str,
        /// The driver's reason.
        reason: String,
    },
}

impl CudaError {
    /// Returns the next step for a person.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoDriver => {
                "--device cpu computes without a GPU; in a container, start it with the NVIDIA container toolkit (--gpus all)"
            }
            Self::NoDevice(_) => {
                "--device cpu computes without a GPU; nvidia-smi and CUDA_VISIBLE_DEVICES tell what there is"
            }
            Self::NoCompiler => {
                "install CUDA's libnvrtc 12 (pip: nvidia-cuda-nvrtc-cu12) and name its folder in LD_LIBRARY_PATH, or --device cpu"
            }
            Self::Compile { .. } => {
                "this is a bug of stagger: please report it; --device cpu computes without a GPU"
            }
            Self::OutOfMemory { .. } => {
                "let the worker use more of the device (--device-memory), cut the data into more shards, or lower --max-cohorts"
            }
            Self::Failed { .. } => {
                "see whether nvidia-smi still lists the device; other processes on it may have filled it"
            }
        }
    }
}

impl From<CudaError> for StaggerError {
    fn from(error: CudaError) -> Self {
        // Another machine may do better: a function has more memory than a shard needs, and another device may be whole.
        let class = match error {
            CudaError::OutOfMemory { .. } => FailureClass::OutOfMemory,
            CudaError::Failed { .. } => FailureClass::Lost,
            _ => FailureClass::Permanent,
        };
        StaggerError::failed(error.to_string()).with_hint(error.hint()).with_failure_class(class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_device_can_not_do_another_machine_may() {
        let class = |error: CudaError| StaggerError::from(error).failure_class();
        assert_eq!(class(CudaError::NoDriver), Some(FailureClass::Permanent));
        let full = CudaError::OutOfMemory { what: "a shard", wanted: 2, used: 0, limit: 1 };
        assert_eq!(class(full), Some(FailureClass::OutOfMemory));
    }
}
