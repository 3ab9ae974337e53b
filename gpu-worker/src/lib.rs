//! What the worker in a container has besides the engine: passes on an NVIDIA GPU.

pub mod cuda;
