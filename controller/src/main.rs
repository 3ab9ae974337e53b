//! The `stagger` command.
fn main() {}
