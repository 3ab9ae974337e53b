//! The kinds of charts.

mod balance;
mod cohorts;
mod effects;
mod estimates;
mod event_study;
mod overlap;
mod robust;
mod timeline;

pub use balance::{Balance, Covariate, balance};
pub use cohorts::{Cohort, Cohorts, MOST_COHORTS, cohorts};
pub use effects::{Effects, effects};
pub use estimates::Estimate;
pub use event_study::{EventStudy, Series, event_study};
pub use overlap::{MOST_SCORES, Overlap, Score, overlap};
pub use robust::{Robust, RobustEffect, robust};
pub use timeline::{Outcome, Span, Timeline, timeline};
