//! Partials as they lie in storage: made wrong in such a way that their checksums fit.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8] = b"stagger bundle 2";
/// Bytes of a checksum at the end of every partial, and of the length before it.
const WORD: usize = 8;

/// Whether these are partials.
pub(super) fn is_bundle(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// The same partials with another last number, and a checksum that fits: what a worker with a broken processor would write.
pub(super) fn altered(bytes: &Bytes) -> Bytes {
    let mut out = bytes.to_vec();
    let end = out.len();
    let start = last_partial(bytes);
    // The last floating-point number before the checksum: its highest bits of fraction.
    let number = end - WORD - 2;
    if number > start {
        out[number] ^= 0x08;
        let sum = xxh3_64(&out[start..end - WORD]);
        out[end - WORD..].copy_from_slice(&sum.to_le_bytes());
    }
    out.into()
}

/// Where the last partial begins.
fn last_partial(bytes: &[u8]) -> usize {
    let word = |at: usize| {
        let word = bytes[at..at + WORD].try_into().unwrap_or_default();
        u64::from_le_bytes(word) as usize
    };
    // Whose bits they are, and how many.
    let mut at = MAGIC.len() + 2 * WORD;
    loop {
        let next = at + WORD + word(at);
        if next >= bytes.len() {
            return at + WORD;
        }
        at = next;
    }
}
