//! Passes on an NVIDIA GPU, through the driver's library as it is found at run time; no part of CUDA is needed to
//! build this.
//!
//! ```text
//! Shard ── memory ──► expanded columns on the device, kept under the shard's name
//!                       │ stages, influence   what a batch of shards sums, as tables of descriptors (program)
//!                       ▼ batch               a few launches a batch; sums added along the tree on the device
//!                     Partial
//! ```
//!
//! The kernels are C that both NVRTC and a C compiler understand (`kernels/`); [`device::Device`] is the driver or,
//! for tests, the processor.

mod batch;
mod compile;
pub mod device;
pub mod driver;
#[cfg(feature = "emulated")]
pub mod emulated;
mod error;
mod influence;
mod kernel;
mod memory;
mod paired;
mod program;
pub mod source;
mod stages;
mod table;

pub use error::{CudaError, Result};
pub use kernel::CudaKernel;
