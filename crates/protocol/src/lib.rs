//! What controller and worker say to each other: messages, keys of a run's objects, and the objects that tasks share.

pub mod bundle;
pub mod keys;
pub mod messages;
pub mod objects;
