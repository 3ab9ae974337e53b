//! The sums of a stage as they come: read from storage a few at a time, added along the tree, never many in memory at once.

use std::collections::BTreeMap;

use crate::reduce::{Node, Reduction};
use crate::worker::Bundle;

/// Reads under way at a time.
const READS: usize = 128;
/// Bytes of sums that wait for their neighbours, about.
const HELD: u64 = 64 << 20;

/// The sum over a stage's shards, under way.
#[derive(Debug)]
pub(super) struct Fold {
    root: u32,
    /// Subtrees whose sum is in storage and not read yet, by first shard; their bytes.
    ready: BTreeMap<usize, (Node, u64)>,
    reduction: Reduction<Bundle>,
    reading: usize,
}

impl Fold {
    pub(super) fn new(shards: usize) -> Self {
        Self {
            root: shards.next_power_of_two().trailing_zeros(),
            ready: BTreeMap::new(),
            reduction: Reduction::default(),
            reading: 0,
        }
    }

    /// A subtree's sum can be read.
    pub(super) fn ready(&mut self, node: Node, bytes: u64) {
        self.ready.insert(node.shards().start, (node, bytes));
    }

    /// The sum to read next, in the order of the shards: neighbours meet soon, and few wait.
    pub(super) fn next(&mut self) -> Option<Node> {
        let (&first, &(node, bytes)) = self.ready.first_key_value()?;
        let held = (self.reduction.len() + self.reading + 1) as u64 * bytes.max(1);
        if self.reading > 0 && (self.reading >= READS || held > HELD) {
            return None;
        }
        self.ready.remove(&first);
        self.reading += 1;
        Some(node)
    }

    /// A sum was read.
    pub(super) fn add(&mut self, node: Node, bundle: Bundle) {
        self.reading -= 1;
        self.reduction.add(node, bundle, self.root);
    }

    /// A sum could not be read; it will be ready again.
    pub(super) fn failed(&mut self) {
        self.reading -= 1;
    }

    /// Whether nothing is left to read.
    pub(super) fn is_idle(&self) -> bool {
        self.reading == 0 && self.ready.is_empty()
    }

    pub(super) fn into_root(self) -> Option<Bundle> {
        self.reduction.into_root()
    }
}
