//! Outcome regressions of all cells from cross products of strata (FORMULAS §3.2–§3.3).

mod fit;
mod partial;

pub use fit::{OutcomeFit, fit_outcome, group_sums};
pub use partial::{GramPartial, GramShape, GramSums, GramWorkspace};
