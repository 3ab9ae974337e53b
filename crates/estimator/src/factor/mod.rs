//! The covariance of thousands of cells as a factor: sums over a few features of the data, and linear maps of them.
//!
//! Without a propensity score the influence of a unit on every cell is linear in a few *features* of the unit: its weight, and
//! the weighted products of covariates with covariates and with outcomes. With Ψ = ΦB, features Φ and coefficients B, the
//! covariance is ΨᵀΨ = Σ Bᵀ(ΦᵀΦ)B over the groups of units that have features in common (strata; in cross sections a stratum's
//! rows of a period). A panel of T periods without covariates has T features a group, whatever the number of cells: neither
//! the n × cells matrix nor the cells × cells matrix ever exists, and the features are known before any estimate, so that their
//! sums are taken in the first pass over the data.
//!
//! Outcomes that persist would cost digits if ΦᵀΦ were summed as it is: what a cell looks at is the difference of two periods.
//! The sums are therefore taken over *changes* from period to period less a constant near their mean, the pivot of a group.

mod covariance;
mod draws;
mod layout;
mod matrix;
mod sums;

pub use covariance::{Factor, FactorSpace, GroupMoments, Link, Term};
pub use draws::{FeatureDraws, draw_matrix, round_draw};
pub use layout::{Feature, FeatureLayout};
pub use matrix::{Entered, symmetric_of};
pub use sums::{ClusterMoments, FeatureSpace, FeatureSums, GroupSums};
