//! A number in a slot of a panel's rows: bits that tell a value from a missing one and from none yet.

/// Bits of a NaN that no computation returns. Values are stored after exclusive or with it, so that fresh memory from
/// the system, which is all zero, reads as "not set".
const MARK: u64 = 0xfff4_5354_4147_4752;

/// Content of a slot before anything is written.
pub const UNSET: u64 = 0;

/// Content of a slot for a missing value.
pub const MISSING: u64 = 0x7ff8_0000_0000_0000 ^ MARK;

/// Encodes a value for a slot: NaN and infinities become missing, −0 becomes 0.
#[inline]
pub fn encode(value: f64) -> u64 {
    if value.is_finite() { (value + 0.0).to_bits() ^ MARK } else { MISSING }
}

/// Decodes a slot: its value, NaN if missing or not set.
#[inline]
pub fn decode(slot: u64) -> f64 {
    f64::from_bits(slot ^ MARK)
}

/// Returns the slot's content from its decoded value.
pub fn held(value: f64) -> u64 {
    value.to_bits() ^ MARK
}

/// Returns the slot of a cluster in one dimension, from the lower half of its hash. Two bits are given up so that no
/// key equals the codes for "missing" and "not set" or, decoded as a number, is NaN.
pub fn cluster_key(hash: u64, dimension: usize) -> u64 {
    ((hash ^ (dimension as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)) >> 2) | 1 << 62
}
