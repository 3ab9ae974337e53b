//! Input files as chunks of rows: Parquet row groups, or tables read from CSV.

mod convert;
#[cfg_attr(not(feature = "csv"), path = "csv_missing.rs")]
mod csv;
mod fetched;
mod file;
mod files;
mod footer;
mod part;
mod read;
mod remote;
mod source;

pub use convert::{IdColumn, Texts, hash_bytes, hash_integer, with_f64, with_ids, with_texts};
pub(crate) use fetched::Fetched;
pub use files::{InputPath, expand};
pub(crate) use part::Described;
pub use source::{Chunk, ColumnKind, InputFileInfo, Source};

#[cfg(test)]
mod tests;
