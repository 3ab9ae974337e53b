//! Specifications, and requests of runs.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::read;

/// A specification that names its columns and has the defaults of R otherwise.
///
/// # Panics
/// If `S` is no specification.
#[track_caller]
pub fn spec<S: DeserializeOwned>(outcome: &str, period: &str, unit: &str, cohort: &str) -> S {
    read(json!({ "yname": outcome, "tname": period, "idname": unit, "gname": cohort }))
}

/// The specification of [`crate::mpdta`], without covariates.
///
/// # Panics
/// If `S` is no specification.
#[track_caller]
pub fn mpdta_spec<S: DeserializeOwned>() -> S {
    spec("lemp", "year", "countyreal", "first.treat")
}

/// The request of a run: these specifications, some of them named, on these inputs; stores are made at `stores`.
///
/// # Panics
/// If `R` is no request of a run.
#[track_caller]
pub fn request<R: DeserializeOwned>(
    version: &str,
    inputs: &[String],
    specs: &[(Option<String>, impl Serialize)],
    stores: &str,
) -> R {
    read(json!({
        "version": version, "inputs": inputs, "specs": specs, "stores": stores, "command": [], "functions": []
    }))
}
