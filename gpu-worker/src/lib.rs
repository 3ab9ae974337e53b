//! The passes of a run on an NVIDIA GPU.

pub mod cuda;
