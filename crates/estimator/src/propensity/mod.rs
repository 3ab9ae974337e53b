//! Propensity scores: all distinct logits at once, one Newton round a pass (FORMULAS §3.1).

mod fit;
mod partial;
mod start;

pub use fit::{LogitFit, LogitState, ODDS_LIMIT_SCORE, fit_step};
pub use partial::{LogitSums, MOST_CURVED, PropensityPartial, PropensitySpace, add_logit, slope_shape};
pub(crate) use partial::{linear_index, linear_indices, logistic};
pub use start::{StartPart, StartRows, StartSample};
