//! From partials to estimates: the sequence of passes, the systems solved between them, and the result at the end.

pub mod cause;
pub mod diagnostics;
mod feature_passes;
mod feature_terms;
#[cfg(test)]
mod feature_tests;
pub mod fit;
pub mod influence_passes;
mod logits;
pub mod reasons;
pub mod result;
pub mod saved;
pub mod sequence;
pub mod shared_sums;
#[cfg(test)]
mod start_tests;
mod starts;
pub mod steps;
pub mod sums;
