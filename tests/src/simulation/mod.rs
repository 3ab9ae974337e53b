//! Controller, workers, storage and Lambda under one seed and in virtual time: years of faults in a minute, and every one of them
//! again by its seed.
//!
//! A seed decides what is estimated, what goes wrong how often, when controllers die and meet (`faults`). The controller is the
//! real one, on a runtime whose clock stands still while there is something to do; workers are the real ones, called at a moment of
//! that clock and answered after the time that they would have taken (`lambda`). Storage is in memory, and fails as S3 does
//! (`store`). The run must end with the bits of a run on one process, or with the refusal that fits what was done to it (`drive`).
//!
//! - `pool`: containers at a queue beside the functions. `panel`: what is estimated. `world`: what processes share. `turns`: two controllers in one order. `clock`: virtual time.
//!   `bundle`: partials made wrong with checksums that fit.

mod bundle;
mod clock;
mod drive;
mod faults;
mod lambda;
mod panel;
mod pool;
mod store;
mod turns;
mod world;

pub use drive::{Changes, Outcome, case_count, simulate, simulate_plan};
pub use faults::{Ending, Fault, Plan, PoolPlan, Second, Seen};
pub use world::{Counts, Guard};
