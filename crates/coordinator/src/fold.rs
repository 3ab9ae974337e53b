//! The sums of a stage as they come: read from storage a few at a time and added along the tree, so that never many
//! are in memory at once.

use std::collections::BTreeMap;

use stagger_model::reduction::{Merge, Reduction, TreeNode};

/// Reads under way at a time.
const READS: usize = 128;
/// Bytes, about, of sums that wait for their neighbours. Beyond them only the leftmost missing sum is read, which
/// leaves one per level.
const HELD: u64 = 32 << 20;

/// The sum over a stage's shards, under way.
#[derive(Debug)]
pub struct TreeSum<T> {
    root: u32,
    /// Subtrees whose sum is in storage and not read yet, by first shard, with its bytes.
    ready: BTreeMap<usize, (TreeNode, u64)>,
    reduction: Reduction<T>,
    reading: usize,
    /// The shard before which all sums were taken.
    frontier: usize,
    /// Runs of shards after the frontier whose sums were taken too: end by start.
    ahead: BTreeMap<usize, usize>,
}

impl<T: Merge> TreeSum<T> {
    /// Returns the empty sum over `shards` shards.
    pub fn new(shards: usize) -> Self {
        Self {
            root: shards.next_power_of_two().trailing_zeros(),
            ready: BTreeMap::new(),
            reduction: Reduction::default(),
            reading: 0,
            frontier: 0,
            ahead: BTreeMap::new(),
        }
    }

    /// Adds a subtree whose sum of `bytes` bytes is in storage.
    pub fn add_ready(&mut self, node: TreeNode, bytes: u64) {
        self.ready.insert(node.shards().start, (node, bytes));
    }

    /// Returns the sum to read next, in the order of the shards, so that neighbours meet soon and few wait; `None`
    /// while enough are being read.
    pub fn next_read(&mut self) -> Option<TreeNode> {
        let (&first, &(node, bytes)) = self.ready.first_key_value()?;
        let held = (self.reduction.len() + self.reading + 1) as u64 * bytes.max(1);
        // Sums that come in no order would pile up: of a thousand under way most wait for one another.
        let waits = held > HELD && (self.reading > 0 || first > self.frontier);
        if self.reading >= READS || waits {
            return None;
        }
        self.ready.remove(&first);
        self.ahead.insert(first, node.shards().end);
        while let Some(end) = self.ahead.remove(&self.frontier) {
            self.frontier = end;
        }
        self.reading += 1;
        Some(node)
    }

    /// Adds a sum that was read.
    pub fn add(&mut self, node: TreeNode, bundle: T) {
        self.reading -= 1;
        self.reduction.add(node, bundle, self.root);
    }

    /// Notes that a sum could not be read; the caller makes it ready again.
    pub fn read_failed(&mut self) {
        self.reading -= 1;
    }

    /// Returns whether nothing is left to read.
    pub fn is_idle(&self) -> bool {
        self.reading == 0 && self.ready.is_empty()
    }

    /// Returns the sum over all shards, once every one was added.
    pub fn into_root(self) -> Option<T> {
        self.reduction.into_root()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Count(usize);

    impl Merge for Count {
        fn merge(&mut self, next: &Self) {
            self.0 += next.0;
        }
    }

    #[test]
    fn sums_that_come_from_the_right_stay_in_storage_once_enough_wait() {
        let (shards, bytes) = (1024, 1 << 20);
        let mut fold = TreeSum::new(shards);
        let mut most = 0;
        for index in (0..shards).rev() {
            fold.add_ready(TreeNode { level: 0, index }, bytes);
            while let Some(node) = fold.next_read() {
                fold.add(node, Count(1));
                most = most.max(fold.reduction.len());
            }
        }
        assert!(fold.is_idle());
        assert!(most <= 32 + 10, "{most} sums waited");
        assert_eq!(fold.into_root().map(|count| count.0), Some(shards));
    }

    #[test]
    fn a_sum_that_could_not_be_read_is_read_again() {
        let mut fold = TreeSum::new(2);
        let nodes = [0, 1].map(|index| TreeNode { level: 0, index });
        nodes.iter().for_each(|node| fold.add_ready(*node, 1 << 30));
        assert_eq!(fold.next_read(), Some(nodes[0]));
        assert_eq!(fold.next_read(), None, "it would be too much at a time");
        fold.read_failed();
        fold.add_ready(nodes[0], 1 << 30);
        for node in nodes {
            assert_eq!(fold.next_read(), Some(node));
            fold.add(node, Count(1));
        }
        assert_eq!(fold.into_root().map(|count| count.0), Some(2));
    }
}
