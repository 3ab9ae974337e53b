//! The reduction tree. Partials are added along a binary tree whose shape depends only on the number of shards, never
//! on the order of arrival. The sums thus have the same bits whichever worker computes which shard, and whenever
//! (DESIGN §3).

use std::collections::HashMap;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

/// A node of the tree, which covers the shards `index << level .. (index + 1) << level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TreeNode {
    /// The height; 0 for a single shard.
    pub level: u32,
    /// The position among the nodes of its level.
    pub index: usize,
}

impl TreeNode {
    /// Returns the shards below the node.
    pub fn shards(self) -> std::ops::Range<usize> {
        self.index << self.level..(self.index + 1) << self.level
    }

    /// Returns the ancestor at a greater or equal height.
    pub fn ancestor(self, level: u32) -> Self {
        Self { level, index: self.index >> (level - self.level) }
    }

    /// Returns the two children, or `None` for a single shard.
    pub fn children(self) -> Option<[Self; 2]> {
        let level = self.level.checked_sub(1)?;
        Some([0, 1].map(|half| Self { level, index: self.index * 2 + half }))
    }

    /// Returns the parent.
    #[must_use]
    pub fn parent(self) -> Self {
        Self { level: self.level + 1, index: self.index / 2 }
    }

    /// Returns the other child of the parent.
    #[must_use]
    pub fn sibling(self) -> Self {
        Self { index: self.index ^ 1, ..self }
    }
}

/// A value that is added along the tree.
pub trait Merge {
    /// Adds the value of the next subtree on the right.
    fn merge(&mut self, next: &Self);
}

/// A stack that merges consecutive shards of one task to maximal aligned subtrees. The values are partials, or handles
/// of partials on a device.
#[derive(Debug)]
pub struct SubtreeStack<T>(Vec<(TreeNode, T)>);

impl<T> Default for SubtreeStack<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> SubtreeStack<T> {
    /// Adds the sums of a subtree, usually a single shard; subtrees must come in ascending order. `merge` adds the
    /// right subtree's sums to the left one's.
    ///
    /// # Errors
    /// The errors of `merge`; the values that it was given are lost.
    pub fn push_with<E>(
        &mut self,
        node: TreeNode,
        sums: T,
        mut merge: impl FnMut(T, T) -> std::result::Result<T, E>,
    ) -> std::result::Result<(), E> {
        let (mut node, mut sums) = (node, sums);
        while node.index % 2 == 1 && self.0.last().is_some_and(|(n, _)| *n == node.sibling()) {
            if let Some((_, left)) = self.0.pop() {
                sums = merge(left, sums)?;
                node = node.parent();
            }
        }
        self.0.push((node, sums));
        Ok(())
    }

    /// Returns the subtrees, in the order of their shards.
    pub fn into_nodes(self) -> Vec<(TreeNode, T)> {
        self.0
    }
}

impl<T: Merge> SubtreeStack<T> {
    /// Adds the sums of a single shard.
    pub fn push(&mut self, shard: usize, sums: T) {
        let merge = |mut left: T, right: T| {
            left.merge(&right);
            Ok::<T, std::convert::Infallible>(left)
        };
        // Addition can't fail.
        let Ok(()) = self.push_with(TreeNode { level: 0, index: shard }, sums, merge);
    }
}

/// A reduction that takes subtrees in any order and merges siblings as they meet. It holds at most one partial for each
/// level and gap.
#[derive(Debug)]
pub struct Reduction<T> {
    waiting: Mutex<HashMap<TreeNode, T>>,
}

impl<T> Default for Reduction<T> {
    fn default() -> Self {
        Self { waiting: Mutex::default() }
    }
}

impl<T: Merge> Reduction<T> {
    /// Adds a subtree; a second arrival of the same one is ignored.
    pub fn add(&self, node: TreeNode, partial: T, root_level: u32) {
        let (mut node, mut partial) = (node, partial);
        loop {
            let other = {
                let mut waiting = self.waiting.lock().unwrap_or_else(|e| e.into_inner());
                if node.level >= root_level {
                    waiting.insert(node, partial);
                    return;
                }
                match waiting.remove(&node.sibling()) {
                    Some(other) => other,
                    None => {
                        waiting.insert(node, partial);
                        return;
                    }
                }
            };
            let (mut left, right) =
                if node.index.is_multiple_of(2) { (partial, other) } else { (other, partial) };
            left.merge(&right);
            partial = left;
            node = node.parent();
        }
    }

    /// Returns the number of subtrees that wait for their siblings.
    pub fn len(&self) -> usize {
        self.waiting.lock().unwrap_or_else(|e| e.into_inner()).len()
    }

    /// Returns `true` if nothing has arrived yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the sum over all shards, once every subtree has arrived.
    pub fn into_root(self) -> Option<T> {
        let mut waiting = self.waiting.into_inner().unwrap_or_else(|e| e.into_inner());
        if waiting.len() != 1 {
            return None;
        }
        waiting.drain().next().map(|(_, partial)| partial)
    }
}

/// A pair of sets of extended columns; a set with itself where both are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ColumnPair {
    /// The number of sets that the columns are cut into.
    pub sets: u16,
    /// One set, from 0.
    pub a: u16,
    /// The other one, not before it.
    pub b: u16,
}

impl ColumnPair {
    /// Returns all pairs of `sets` sets, ordered: `sets` (`sets` + 1) / 2 of them.
    pub fn all(sets: u16) -> Vec<Self> {
        (0..sets).flat_map(|a| (a..sets).map(move |b| Self { sets, a, b })).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A sum that depends on the order of addition.
    #[derive(Clone, Debug, PartialEq)]
    struct Sum(f64);

    impl Merge for Sum {
        fn merge(&mut self, next: &Self) {
            self.0 += next.0;
        }
    }

    fn leaf(index: usize) -> Sum {
        Sum(if index.is_multiple_of(3) { 1e16 } else { 1.0 + index as f64 })
    }

    fn reduce(level: u32, order: &[usize], cuts: &[usize]) -> Sum {
        let reduction = Reduction::default();
        let mut bounds: Vec<usize> = cuts.iter().map(|c| c % (1 << level)).chain([0, 1 << level]).collect();
        bounds.sort_unstable();
        bounds.dedup();
        let mut tasks: Vec<_> = bounds.windows(2).map(|w| w[0]..w[1]).collect();
        tasks.sort_by_key(|range| order[range.start]);
        for range in tasks {
            let mut stack = SubtreeStack::default();
            range.for_each(|shard| stack.push(shard, leaf(shard)));
            for (node, partial) in stack.into_nodes() {
                reduction.add(node, partial, level);
            }
        }
        reduction.into_root().unwrap()
    }

    proptest! {
        #[test]
        fn any_grouping_in_any_order_gives_the_same_bits(
            level in 0u32..6,
            order in Just((0..32usize).collect::<Vec<_>>()).prop_shuffle(),
            cuts in prop::collection::vec(0usize..32, 0..10),
        ) {
            let plain = reduce(level, &(0..32).collect::<Vec<_>>(), &[]);
            prop_assert_eq!(reduce(level, &order, &cuts), plain);
        }
    }
}
