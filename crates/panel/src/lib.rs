//! A panel: input columns become strata and shards, in memory or in a store on disk or S3.
//!
//! - `load` builds panels from input files in memory; `prepare` builds a panel store from them, by tasks of an executor.
//! - `panel_store` reads and writes the store's format; `panel`, `shard` and `survey` are the data that estimations read.

pub mod build;
pub mod cluster_keys;
pub mod columns;
pub mod describe;
pub mod fields;
pub mod gaps;
pub mod levels;
pub mod load;
pub mod open;
pub mod panel;
pub mod panel_store;
pub mod prepare;
pub mod recode;
pub mod sample_mask;
pub mod shard;
pub mod slot;
pub mod slots;
pub mod stored;
pub mod strata;
pub mod survey;
