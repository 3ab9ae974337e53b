//! Reports of the fixtures.
