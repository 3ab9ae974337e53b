//! From fitted nuisances to ATT(g,t) and the vectors that correct its influence function (FORMULAS §3.3).

mod fit;
mod partial;

pub use fit::{Correction, Nuisances, fit_comparison};
pub(crate) use partial::score_rows;
pub use partial::{LogitMoments, MomentsPartial, MomentsShape, MomentsSpace, add_moments};
