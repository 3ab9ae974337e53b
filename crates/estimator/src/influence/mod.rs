//! Influence values inside blocks: ΨᵀΨ, bootstrap sums and cluster sums; the n × cells matrix never exists.

mod block;
mod clusters;
mod partial;

pub use block::{BlockRole, InfluenceSpace, Membership, Role, add_influence};
pub use clusters::{ClusterPartial, clusters_to_sums};
pub use partial::{InfluencePartial, StratumSums};
