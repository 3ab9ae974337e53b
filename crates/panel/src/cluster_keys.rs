//! Keys of the clusters of a shard's units, one vector per way of clustering (FORMULAS §6).

use crate::shard::Shard;

/// Returns the key of the intersection of two clusters.
pub fn intersect_keys(a: u64, b: u64) -> u64 {
    let mut z = a ^ b.rotate_left(29).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    z ^ (z >> 32)
}

/// Returns the cluster keys of every unit, one vector for each way of clustering.
pub fn cluster_keys(shard: &Shard) -> Vec<Vec<u64>> {
    let mut ways: Vec<Vec<u64>> = shard.clusters.iter().map(|keys| keys.to_vec()).collect();
    if let [a, b] = shard.clusters.as_slice() {
        ways.push(a.iter().zip(b.iter()).map(|(a, b)| intersect_keys(*a, *b)).collect());
    }
    ways
}
