//! From partials to estimates: which pass comes next, what it solves, and the result at the end.

pub mod cause;
pub mod diagnostics;
pub mod fit;
pub mod reasons;
pub mod result;
pub mod saved;
pub mod sequence;
pub mod shared_sums;
pub mod steps;
pub mod sums;
