//! The statistics of staggered difference-in-differences as pure functions over slices.
#![allow(missing_docs)]

pub mod formula;
pub mod options;
