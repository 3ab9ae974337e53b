//! Tables of descriptors, whose addresses are known only when all of them are written.

use std::collections::HashMap;

use super::device::WORD;

/// A field of a descriptor, 8 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Word {
    /// A number.
    Count(usize),
    /// A truth value: 0 or 1.
    Flag(bool),
    /// A double.
    Float(f64),
    /// An address that is known.
    Address(u64),
    /// A word of the batch's scratch memory.
    Scratch(usize),
    /// A word of the batch's sums.
    Sums(usize),
    /// A word of the batch's constants.
    Constant(usize),
    /// The address 0.
    Null,
}

impl Word {
    /// Returns the address `words` words further.
    pub(super) fn after(self, words: usize) -> Self {
        match self {
            Self::Address(address) => Self::Address(address + words as u64 * WORD),
            Self::Scratch(at) => Self::Scratch(at + words),
            Self::Sums(at) => Self::Sums(at + words),
            Self::Constant(at) => Self::Constant(at + words),
            other => other,
        }
    }
}

/// A table of descriptors: rows of words.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// The words of all rows.
    pub(super) words: Vec<Word>,
    /// The number of rows.
    pub(super) rows: usize,
}

impl Table {
    /// Adds a descriptor and returns its index.
    pub(super) fn push(&mut self, row: &[Word]) -> usize {
        self.words.extend_from_slice(row);
        self.rows += 1;
        self.rows - 1
    }

    /// Adds descriptors of the tiles of `rows` rows of item `of`, `each` rows per tile, and returns their number;
    /// `out` gives each tile's place.
    pub(super) fn tiles(
        &mut self,
        of: usize,
        rows: usize,
        each: usize,
        mut out: impl FnMut(usize) -> Word,
    ) -> usize {
        let tiles = rows.div_ceil(each);
        for tile in 0..tiles {
            let first = tile * each;
            let own = each.min(rows - first);
            self.push(&[Word::Count(of), Word::Count(first), Word::Count(own), out(tile)]);
        }
        tiles
    }
}

/// Constants of a batch, each held once.
#[derive(Debug, Default)]
pub(super) struct Constants {
    words: Vec<u64>,
    /// The first word of runs of words that are held.
    known: HashMap<Vec<u64>, usize>,
    /// Constants by their names.
    named: HashMap<[usize; 3], Word>,
}

impl Constants {
    /// Returns all words.
    pub(super) fn words(&self) -> &[u64] {
        &self.words
    }

    fn add(&mut self, words: Vec<u64>) -> Word {
        let Self { words: all, known, .. } = self;
        let at = *known.entry(words).or_insert_with_key(|words| {
            all.extend(words);
            all.len() - words.len()
        });
        Word::Constant(at)
    }

    /// Adds numbers, and returns their place; equal ones are held once.
    pub(super) fn floats(&mut self, values: &[f64]) -> Word {
        self.add(values.iter().map(|v| v.to_bits()).collect())
    }

    /// Does the same by a name that stands for the same numbers each time; `make` is called at its first use.
    pub(super) fn floats_of(&mut self, name: [usize; 3], make: impl FnOnce() -> Vec<f64>) -> Word {
        if let Some(known) = self.named.get(&name) {
            return *known;
        }
        let made = self.floats(&make());
        self.named.insert(name, made);
        made
    }

    /// Adds places.
    pub(super) fn places(&mut self, values: &[usize]) -> Word {
        self.add(values.iter().map(|&v| v as u64).collect())
    }
}

/// The addresses at which the kinds of memory start.
pub(super) struct Bases {
    /// Of constants.
    pub(super) constants: u64,
    /// Of scratch memory.
    pub(super) scratch: u64,
    /// Of sums.
    pub(super) sums: u64,
}

impl Bases {
    /// Returns a word with its address.
    pub(super) fn word(&self, word: Word) -> u64 {
        let place = |base: u64, at: usize| base + at as u64 * WORD;
        match word {
            Word::Count(value) => value as u64,
            Word::Flag(value) => u64::from(value),
            Word::Float(value) => value.to_bits(),
            Word::Address(address) => address,
            Word::Scratch(at) => place(self.scratch, at),
            Word::Sums(at) => place(self.sums, at),
            Word::Constant(at) => place(self.constants, at),
            Word::Null => 0,
        }
    }
}
