//! Helpers of the end-to-end tests: they drive the `stagger` program as a user does and read R's reference values.
//!
//! - [`cli`]: find and run the program.
//! - [`golden`]: the reference cases of `fixtures/golden`, read at run time.
//! - [`compare`] and [`tolerance`]: a result against its reference, and how close is close enough.
//! - [`judge`]: which of R's numbers has which counterpart.
//! - [`mod@bench`]: one table in many layouts, and results that must be the same bytes.
//! - [`lab`]: estimates on tables in memory, and whether two results are the same.
//! - [`layouts`]: the same rows in other files, orders, encodings and types.
//! - [`spoiled`]: panels that something is wrong with.
//! - [`mod@reference`]: estimates without covariates by plain loops over rows.
//! - [`scores`]: propensity scores, odds weights and balance by plain loops over rows.
//! - [`diagnosed`]: the diagnostics of a result against these.
//! - [`matrix`]: the little linear algebra that properties of covariances need.
//! - [`stores`]: prepared stores, byte by byte.
//! - [`localstack`]: S3 and Lambda on this machine, for the time of a test process.
//! - [`simulation`]: controller, workers, storage and Lambda under one seed, in virtual time.
//! - [`scale`]: runs on Lambda at scale, simulated.
//! - [`proxy`]: a proxy that injects the faults of S3 and of networks, by a plan.

pub mod bench;
pub mod cli;
pub mod compare;
pub mod diagnosed;
pub mod golden;
pub mod judge;
pub mod lab;
pub mod layouts;
pub mod localstack;
pub mod matrix;
pub mod proxy;
pub mod pty;
pub mod queue;
pub mod reference;
pub mod scale;
pub mod scores;
pub mod simulation;
pub mod spoiled;
pub mod stack;
pub mod stores;
pub mod tolerance;
