//! The run as a state machine: it decides which task to invoke next, on which function, and how to answer every
//! result. It is pure: it does no I/O, and time and random numbers are arguments, so that a simulation drives it
//! through years of faults in a minute.
//!
//! - [`Run`]: one stage after the other, its tasks, attempts under way, the cap.
//! - [`policy`]: retry, escalation, splitting, backup, quarantine, with every constant. [`concurrency`]: additive
//!   increase, multiplicative decrease (AIMD). [`cost`]: dollars.

pub mod concurrency;
mod durations;
pub mod policy;
mod run;
mod stage;
#[cfg(test)]
mod tests;

pub use policy::Policy;
pub use run::{Function, Next, Order, Place, Run, Stop};
pub use stage::{Effect, Handled, reduce_level};
