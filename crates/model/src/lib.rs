//! The vocabulary of a run, known to every other room: specification and its check, result, facts, events and the event log, errors
//! and failure classes, cost, calendar, signals, exact sums, and the reduction tree.

pub mod as_json;
pub mod calendar;
pub mod cell_names;
pub mod contrast;
pub mod cost;
pub mod csv_options;
pub mod error;
pub mod event_log;
pub mod events;
pub mod exact_sum;
pub mod facts;
pub mod failure;
pub mod few_units;
pub mod logs;
pub mod numbers;
pub mod parallel;
pub mod printable;
pub mod progress;
pub mod record_options;
pub mod reduction;
pub mod result;
pub mod sensitivity;
pub mod signal;
pub mod sizes;
pub mod sound;
pub mod spec;
pub mod spec_check;
