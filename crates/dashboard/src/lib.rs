//! The dashboard of a run: `view` folds events into what is shown, `tui` shows it on a terminal and replays recorded runs.

pub mod tui;
pub mod view;
