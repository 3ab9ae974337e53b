//! The `stagger` program as its users meet it, and its documents: one test program for all, since each would link the whole workspace.

mod architecture;
mod bad_files;
mod bad_input;
mod bad_kinds;
mod cases;
mod citations;
mod cli;
#[cfg(unix)]
mod cloud_edges;
mod coverage;
mod csv;
mod dashboard;
mod determinism;
mod determinism_kinds;
mod diagnostics;
mod event_study;
mod formats;
mod inference;
mod kinds;
mod numbers;
mod parity;
mod places;
mod plan;
mod plot;
mod properties;
mod records;
mod robustness;
mod saying;
mod specifications;
mod stores;
mod stores_killed;
mod types;
