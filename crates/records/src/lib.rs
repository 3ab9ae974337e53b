//! Input files as chunks of rows: Parquet row groups, or lines of CSV files.

mod contradiction;
mod convert;
mod csv;
mod fetched;
mod file;
mod files;
mod folder;
mod footer;
mod foreign;
mod format;
mod keys;
mod names;
mod notes;
mod part;
mod peek;
pub mod prepared;
mod read;
mod remote;
mod source;
mod tables;
mod text;
mod twins;
mod types;
mod unpack;

pub use convert::{hash_bytes, hash_integer, with_f64};
pub use fetched::Fetched;
pub use files::{InputPath, expand};
pub use keys::{IdColumn, KeyKind, with_ids};
pub use part::Described;
pub use source::{Chunk, ColumnKind, InputFileInfo, Source};
pub use text::{Texts, as_texts as with_bytes, compare_decimals, show_bytes, with_texts};
pub use types::{LevelKind, PeriodType};

pub mod parquet_file;
#[cfg(test)]
mod tests;
