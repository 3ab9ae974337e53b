//! An estimation: the plan of its cells, passes over shards, partials, kernels, estimates, and runs on the threads of one process.

pub mod aggregate;
pub mod block;
pub mod estimate;
pub mod kernel;
pub mod local;
pub mod outline;
pub mod partial;
pub mod passes;
pub mod plan;
pub mod robustness;
pub mod stage;
