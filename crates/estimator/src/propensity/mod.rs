//! Propensity scores: all distinct logits at once, one Newton round a pass (FORMULAS §3.1).

mod fit;
mod partial;

pub use fit::{LogitFit, LogitState, ODDS_LIMIT_SCORE, fit_step};
pub use partial::{LogitSums, PropensityPartial, PropensitySpace, add_logit};
pub(crate) use partial::{linear_index, linear_indices, logistic};
