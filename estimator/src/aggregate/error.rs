//! What cannot be aggregated.

use thiserror::Error;

use super::AggregateKind;

/// An aggregation that has no answer (FORMULAS §6).
#[derive(Clone, Debug, PartialEq, Error)]
pub enum AggregateError {
    /// Not one of the four kinds.
    #[error("no such aggregation (given: {given:?}, known: simple, dynamic, group, calendar, eventstudy)")]
    UnknownKind { given: String },
    /// NA cells, and `na_rm` is off.
    #[error("{missing} of {cells} ATT(g,t) are missing")]
    MissingCells { missing: usize, cells: usize },
    /// No cell lies in the window.
    #[error(
        "no cell to aggregate for type {kind} (cells: {cells}, min_e: {min_e}, max_e: {max_e}{})",
        balance_e.map(|e| format!(", balance_e: {e}")).unwrap_or_default()
    )]
    EmptyWindow { kind: AggregateKind, cells: usize, min_e: f64, max_e: f64, balance_e: Option<f64> },
    /// A cell's group has no share.
    #[error("group {group} of a cell is not among the {groups} estimated groups")]
    UnknownGroup { group: f64, groups: usize },
    /// The input's parts do not fit together.
    #[error("aggregation input of uneven shape (cells: {cells:?}, groups: {groups}, shares: {shares})")]
    Shape { cells: [usize; 3], groups: usize, shares: usize },
}

impl AggregateError {
    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::UnknownKind { .. } => "use one of simple, dynamic, group, calendar",
            Self::MissingCells { .. } => "set na_rm = true to leave them out",
            Self::EmptyWindow { .. } => "widen min_e, max_e or balance_e",
            Self::UnknownGroup { .. } | Self::Shape { .. } => {
                "this is a defect of the program: please report it"
            }
        }
    }
}
