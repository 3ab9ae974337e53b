//! Data that the tests of several crates make up.
//!
//! - [`panels`] and [`tables`]: small simulated panels; tables are read, reshaped and written.
//! - [`manifests`]: manifests of prepared stores that do not exist, of any size.
//! - [`results`]: saved results with R's own numbers.
//! - [`runs`]: specifications, and requests of runs.
//! - [`system`]: signals and named pipes.
//! - [`fuzz`]: mutated files, and the limits within which reading them must stay.
//!
//! Manifests, results and requests are made as the JSON of their file formats and returned as the type that the caller names. So
//! this crate uses none of the workspace, and the unit tests of every crate may use it: a type of the crate under test would be
//! another one here, since cargo compiles such a crate twice.

pub mod fuzz;
pub mod manifests;
pub mod panels;
pub mod results;
pub mod runs;
pub mod system;
pub mod tables;

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;

/// The root of the repository.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("this crate is tests/support")
}

/// County employment and minimum wages, the example of R's `did`: 500 counties over 5 years.
pub fn mpdta() -> PathBuf {
    workspace().join("examples/mpdta.parquet")
}

/// The value as a type of its file format.
#[track_caller]
fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap_or_else(|error| panic!("made-up JSON of another format: {error}"))
}
