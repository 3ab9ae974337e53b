//! Input files as chunks of rows: Parquet row groups, or lines of CSV files. Other formats are decoded once, into a
//! temporary Parquet file.

mod clock;
mod contradiction;
mod convert;
mod csv;
mod display;
mod expression;
mod fetched;
mod file;
mod files;
mod folder;
mod footer;
mod foreign;
mod format;
mod formats;
mod keys;
mod names;
mod notes;
mod part;
mod peek;
pub mod prepared;
mod read;
mod remote;
mod run_array;
mod source;
mod spool;
mod stdin;
mod steps;
mod tables;
mod text;
mod types;
mod unpack;

pub use clock::ReadTimes;
pub use convert::{hash_integer, hash_text, with_f64};
pub use fetched::FetchedParts;
pub use files::{InputPath, list_input_files};
pub use formats::MARK as PANEL_MARK;
pub use keys::{KeyColumn, KeyKind, with_key_column};
pub use part::FileDescription;
pub use run_array::split_runs;
pub use source::{Chunk, ColumnKind, InputFileInfo, Source};
pub use steps::{StepReport, write_panel};
pub use text::{ByteValues, compare_decimals, show_bytes, with_bytes, with_texts};
pub use types::{LevelKind, PeriodType};

mod ambiguous_names;
mod bad_lines;
pub mod parquet_file;
#[cfg(test)]
mod tests;
