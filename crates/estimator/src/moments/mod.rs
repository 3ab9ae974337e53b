//! From fitted nuisances to ATT(g,t) and the vectors that correct its influence function (FORMULAS §3.3–§3.4).

mod fit;
mod partial;

pub use fit::{Arm, Correction, Nuisances, SideSums, fit_comparison};
pub use partial::{LogitMoments, MomentsPartial, MomentsShape, MomentsSpace, add_moments};
pub(crate) use partial::{TRIM, score_rows};
