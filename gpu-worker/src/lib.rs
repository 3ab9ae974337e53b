//! Passes on an NVIDIA GPU, for the worker in a container.

pub mod cuda;
