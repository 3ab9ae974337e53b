//! The choice between a quick run and a cheap one.

use serde::{Deserialize, Serialize};

/// The aim when a stage is cut into tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Prefer {
    /// As few seconds as possible.
    #[default]
    Time,
    /// As few dollars as possible.
    Cost,
}
