//! The run: specification, dataset, tasks, partials, reduction, estimates.
#![allow(missing_docs)]

pub mod aggregate;
pub mod calendar;
pub mod cell_names;
pub mod cloud;
pub mod describe;
pub mod disk;
pub mod error;
pub mod events;
mod expand;
mod few_units;
pub mod forecast;
pub mod input;
pub mod journal;
pub mod kernel;
mod levels;
pub mod load;
pub mod panel;
pub mod panel_store;
pub mod parallel;
pub mod parquet_file;
pub mod partial;
pub mod plan;
pub mod pool;
pub mod prepare;
pub mod printable;
pub mod reduce;
pub mod result;
pub mod run;
pub mod schedule;
pub mod shard;
pub mod sizes;
pub mod spec;
pub mod store;
pub mod survey;
pub mod task;
pub mod worker;
