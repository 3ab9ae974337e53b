//! A panel: input columns become strata and shards, in memory or in a store on disk or S3.
//!
//! - `load`: from input files in memory. `prepare`: from input files to a panel store, by tasks that an executor does.
//! - `panel_store`: the store's format, read and written. `shard`, `panel`, `survey`: what estimations go through.

pub mod cluster_keys;
pub mod describe;
pub mod levels;
pub mod load;
pub mod panel;
pub mod panel_store;
pub mod prepare;
pub mod sample_mask;
pub mod shard;
pub mod survey;
