//! The errors of aggregations.

use thiserror::Error;

use super::{AggregateKind, AggregateOptions};
use crate::label::label;

/// An aggregation that has no answer (FORMULAS §6).
#[derive(Clone, Debug, PartialEq, Error)]
pub enum AggregateError {
    /// Not one of the four kinds.
    #[error("no such aggregation (given: {given:?}, known: simple, dynamic, group, calendar, eventstudy)")]
    UnknownKind { given: String },
    /// NA cells among those that it is taken over, and `na_rm` is off.
    #[error("{} of {cells} ATT(g,t) are missing", missing.len())]
    MissingCells { missing: Vec<usize>, cells: usize },
    /// Nothing but NA cells.
    #[error("all {cells} ATT(g,t) of the {kind} aggregation are missing")]
    AllMissing { kind: AggregateKind, cells: usize },
    /// No cell lies in the window.
    #[error("no cell to aggregate for type {kind} among {cells}{}", limits(options))]
    EmptyWindow {
        kind: AggregateKind,
        cells: usize,
        options: AggregateOptions,
        /// Smallest and largest event time of the cells.
        within: (f64, f64),
    },
    /// A cell's group has no share.
    #[error("group {group} of a cell is not among the {groups} estimated groups")]
    UnknownGroup { group: f64, groups: usize },
    /// The input's parts do not fit together.
    #[error("aggregation input of uneven shape (cells: {cells:?}, groups: {groups}, shares: {shares})")]
    Shape { cells: [usize; 3], groups: usize, shares: usize },
}

impl AggregateError {
    /// Returns what the user can do about it, if something can be done.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownKind { .. } => Some("use one of simple, dynamic, group, calendar".to_owned()),
            Self::MissingCells { .. } => Some("--na-rm leaves them out".to_owned()),
            Self::EmptyWindow { options, within: (low, high), .. } if !limits(options).is_empty() => {
                Some(format!("the cells have event times from {} to {}", label(*low), label(*high)))
            }
            Self::AllMissing { .. } | Self::EmptyWindow { .. } => None,
            Self::UnknownGroup { .. } | Self::Shape { .. } => {
                Some("this is a defect of the program: please report it".to_owned())
            }
        }
    }
}

/// The limits that are given, as they are typed.
fn limits(options: &AggregateOptions) -> String {
    let given = [
        ("--min-e", Some(options.min_e)),
        ("--max-e", Some(options.max_e)),
        ("--balance-e", options.balance_e),
    ];
    let given = given.into_iter().filter_map(|(flag, limit)| Some((flag, limit.filter(|e| e.is_finite())?)));
    let named: Vec<String> = given.map(|(flag, limit)| format!("{flag} {}", label(limit))).collect();
    if named.is_empty() { String::new() } else { format!(" ({})", named.join(", ")) }
}
