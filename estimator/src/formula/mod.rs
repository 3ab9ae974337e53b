//! R formulas.
