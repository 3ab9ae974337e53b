//! Mutated files, thousands of each, handed to the code that reads them: a panic, a hang, memory beyond a bound or the end of the
//! process is a fault, an error is none.
//!
//! A test names [`Target`]s and calls [`fuzz`]. It starts itself again, a target a process, two at a time; the process tells by a file
//! which mutation it is at, so that what ends it is known by its number. Mutations depend on target and number alone:
//!
//! ```sh
//! STAGGER_FUZZ_ONLY=snappy:1234 cargo test --workspace --test fuzz   # one again
//! STAGGER_FUZZ_MUTATIONS=20000 cargo test --workspace --test fuzz    # as CI does
//! ```

mod mutation;
mod process;

pub use mutation::{Random, mutated};
pub use process::{Bounded, fuzz, fuzz_within, scratch};

/// What reads bytes; true if it found nothing wrong with them.
pub type Reader = Box<dyn Fn(&[u8]) -> bool>;

/// A file, and what reads it.
pub struct Target {
    /// Its name, for the command that repeats a mutation.
    pub name: &'static str,
    /// The sound file.
    pub sound: Vec<u8>,
    /// Makes the mutated bytes reach further: checksums that fit again.
    pub mend: Box<dyn Fn(Vec<u8>) -> Vec<u8>>,
    /// Reads bytes; errors are as they should be. True if there was none.
    pub read: Reader,
}

impl Target {
    /// A target whose mutations are handed on as they are.
    pub fn new(name: &'static str, sound: Vec<u8>, read: impl Fn(&[u8]) -> bool + 'static) -> Self {
        Self { name, sound, mend: Box::new(|bytes| bytes), read: Box::new(read) }
    }

    /// The mutation of this number.
    pub fn mutation(&self, number: u64) -> Vec<u8> {
        (self.mend)(mutated(&self.sound, self.name, number))
    }
}
