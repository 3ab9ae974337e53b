//! The run as a state machine: it decides which task to invoke next, on which function, and how to answer every
//! result. It is pure: it does no I/O, and time and random numbers are arguments, so that a simulation drives it
//! through years of faults in a minute.
//!
//! - [`Run`] (`run`): the stage under way, the limits, the wishes of the user. `dispatch`: the next attempt. `backups`: a second attempt at
//!   a late task. `answers`: reports and failures. `attempts`: the attempts under way.
//! - `stage`: the tasks of one stage. `durations`: the median of how long they took.
//! - `function`: functions and pools. `pricing`: function, time limit and dollars of an attempt. [`concurrency`]: additive increase,
//!   multiplicative decrease (AIMD).
//! - [`policy`]: retry, escalation, splitting, backup, quarantine, with every constant.
//!
//! # The run
//!
//! [`Run::next`] names the state; the first line that holds counts.
//!
//! ```text
//!               begin                 the last task is done
//!  no stage ────────────▶ stage under way ────────────────▶ stage done
//!  (Done)                     │      ▲                      (Done)
//!                             │      └──── begin ───────────────┘
//!                             │            on_damaged: a sum that was reported can't be read
//!                             │ a stop
//!                             ▼
//!                          stopped (Stopped): attempts under way still answer, which may yet end the stage
//!
//!  under way, in this order:
//!    paused                          Wait(no time)        pause(true) … pause(false)
//!    credentials are renewed         Wait(until)          failure Credentials … its time, any report, or retry_now
//!    a task waits for the pool       Invoke               it takes no place of others
//!    limit of attempts is reached    Wait(next delayed)   an answer ends it
//!    a task waits for a function     Invoke
//!    a task under way is late        Invoke, as backup
//!    nothing of these                Wait(next delayed or next late)
//!    … and where the cap forbids an attempt: Wait(no time), or a stop if none is under way
//!
//!  stops (the first one counts):
//!    Cancelled     cancel
//!    Cost          the cap forbids the next attempt, and none is under way that could free some of it
//!    Credentials   a failure Credentials, longer after the first one than the policy waits
//!    Absent        a failure Absent, without functions beside the pool
//!    Failed        a task is given up
//! ```
//!
//! # A task
//!
//! ```text
//!                     an attempt starts                    report
//!       ┌─────────┐ ──────────────────────▶ ┌─────────┐ ──────────▶ ┌──────┐
//!  ●──▶ │ Waiting │                         │ Running │             │ Done │
//!       └─────────┘ ◀────────────────────── └─────────┘ ◀────────── └──────┘
//!          │  │       failure, and no other   │  │  │   on_damaged,    │
//!          │  │       attempt under way:      │  │  │   at once        │
//!          │  │       again, larger,          │  │  │   answered as    │
//!          │  │       elsewhere               │  │  │   a failure      │
//!          │  │                               │  │  └──▶ given up: stays Running, and the run stops (Failed)
//!          │  │                               │  │                     │
//!          │  └── report of a backup of a ────│──│──────▶ Done         │
//!          │      task that was damaged       │  │ failure: split,     │ a finer cut takes
//!          │                                  │  │ into new tasks      │ the place of this
//!          │  a finer cut takes its place     ▼  ▼ that wait           ▼ column part
//!          └──────────────────────────────▶ ┌───────┐ ◀───────────────┘
//!                                           │ Split │
//!                                           └───────┘
//!
//!  failure (Policy::remedy)            remedy
//!    Throttled, Credentials, Returned  again, after a pause; does not count against the task
//!    Absent                            from the pool: elsewhere; from a pool alone: again, and the run stops (Absent)
//!    OutOfMemory, on the pool          elsewhere: on a function
//!    OutOfMemory                       larger; on the largest function: split; without pieces: as Lost
//!    TimedOut                          split; without pieces: larger; on the largest function: as Lost
//!    Lost, Corrupt                     again, up to three attempts; then elsewhere (from the pool), split, or given up
//!    Data, Permanent                   given up at once, even beside another attempt
//!
//!  A report or failure of an attempt changes nothing but the bill where its task is Done or Split, or its stage is over; so does a
//!  failure while another attempt at its task is under way. The last of a subtree's tasks to be done adds a task that waits: the
//!  sum of its column parts, or, in a large stage, of its children.
//! ```

mod answers;
mod attempts;
mod backups;
pub mod concurrency;
mod dispatch;
mod durations;
mod function;
pub mod policy;
mod pricing;
mod run;
mod stage;
#[cfg(test)]
mod tests;

pub use dispatch::{NewAttempt, Next};
pub use function::{Function, Place};
pub use policy::Policy;
pub use run::{Run, Stop};
pub use stage::{Completion, FailureResponse, reduce_level};
