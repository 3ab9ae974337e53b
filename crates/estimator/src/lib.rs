//! The statistics of staggered difference-in-differences as pure functions over slices.
#![allow(missing_docs)]

pub mod aggregate;
pub mod block;
pub mod cells;
pub mod columns;
pub mod comparison;
pub mod cross_products;
pub mod diagnostics;
pub mod dispatch;
pub mod factor;
pub mod formula;
pub mod inference;
pub mod influence;
pub mod label;
pub mod lanes;
pub mod linear;
mod matrix;
pub mod moments;
pub mod multipliers;
pub mod options;
pub mod outcome;
pub mod pretrends;
pub mod propensity;
mod root;
pub mod sample;
pub mod sensitivity;
pub mod slopes;
pub mod subset_sums;
pub mod symmetric;
