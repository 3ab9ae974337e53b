//! Input files as chunks of rows: Parquet row groups, or tables read from CSV.

mod convert;
#[cfg_attr(not(feature = "csv"), path = "csv_missing.rs")]
mod csv;
mod fetched;
mod file;
mod files;
mod footer;
mod keys;
mod part;
mod read;
mod remote;
mod source;
mod text;
mod types;

pub use convert::{hash_bytes, hash_integer, with_f64};
pub(crate) use fetched::Fetched;
pub use files::{InputPath, expand};
pub use keys::{IdColumn, KeyKind, with_ids};
pub(crate) use part::Described;
pub use source::{Chunk, ColumnKind, InputFileInfo, Source};
pub use text::{Texts, with_texts};
pub(crate) use text::{compare_decimals, show_bytes};
pub use types::LevelKind;

#[cfg(test)]
mod tests;
