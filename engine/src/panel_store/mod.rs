//! A panel store: shards of wide rows as Parquet files in the canonical order, and a manifest (DESIGN §4, docs/guide).

pub mod keys;
mod manifest;
pub(crate) mod read;
pub(crate) mod write;

pub use manifest::{
    FORMAT, Field, FieldKind, InputEntry, KeyColumns, Manifest, ShardEntry, StratumEntry,
};
