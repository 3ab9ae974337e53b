//! The subcommands.

pub(crate) mod agg;
pub(crate) mod demo;
pub(crate) mod describe;
pub(crate) mod doctor;
pub(crate) mod janitor;
pub(crate) mod plan;
pub(crate) mod plot;
pub(crate) mod prepare;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod simulate;
pub(crate) mod watch;
pub(crate) mod workers;
