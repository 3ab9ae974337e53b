//! Merges and cuts byte ranges into requests: near ranges are read together, very large ones in pieces.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

/// Returns the requests that cover `ranges`, ascending and disjoint. Ranges less than `gap` bytes apart are read as
/// one; those of `2 * piece` bytes or more are cut evenly into pieces of at least `piece` bytes.
pub fn coalesce_ranges(ranges: &[Range<u64>], gap: u64, piece: u64) -> Vec<Range<u64>> {
    let mut sorted: Vec<&Range<u64>> = ranges.iter().filter(|range| range.start < range.end).collect();
    sorted.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in sorted {
        match merged.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(gap) => last.end = last.end.max(range.end),
            _ => merged.push(range.clone()),
        }
    }
    merged.into_iter().flat_map(|range| pieces(range, piece)).collect()
}

/// Cuts a range evenly into pieces of at least `piece` bytes.
fn pieces(range: Range<u64>, piece: u64) -> impl Iterator<Item = Range<u64>> {
    let length = range.end - range.start;
    let count = (length / piece.max(1)).max(1);
    // The product of a length and a count may exceed 64 bits.
    let edge = move |i: u64| range.start + (u128::from(length) * u128::from(i) / u128::from(count)) as u64;
    (0..count).map(move |i| edge(i)..edge(i + 1))
}

/// Returns the bytes of `range` out of the answers to `requests`. They share memory with the answer if one answer holds
/// them all, and are copied together otherwise.
pub(super) fn assemble(range: &Range<u64>, requests: &[Range<u64>], answers: &[Bytes]) -> Bytes {
    if range.start >= range.end {
        return Bytes::new();
    }
    let first = requests.partition_point(|request| request.end <= range.start);
    let part = |i: usize| {
        let (request, answer) = (&requests[i], &answers[i]);
        let start = range.start.max(request.start) - request.start;
        let end = range.end.min(request.end) - request.start;
        answer.slice(start as usize..end as usize)
    };
    if range.end <= requests[first].end {
        return part(first);
    }
    let mut whole = BytesMut::with_capacity((range.end - range.start) as usize);
    let mut at = first;
    while at < requests.len() && requests[at].start < range.end {
        whole.extend_from_slice(&part(at));
        at += 1;
    }
    whole.freeze()
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init, reason = "one range is what is meant")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn near_ranges_are_read_together_and_far_ones_apart() {
        assert_eq!(coalesce_ranges(&[30..40, 0..10, 12..20], 5, 100), [0..20, 30..40]);
        assert_eq!(coalesce_ranges(&[0..10, 0..4, 3..3], 0, 100), [0..10]);
        assert!(coalesce_ranges(&[], 5, 100).is_empty());
    }

    #[test]
    fn large_ranges_are_cut_evenly() {
        assert_eq!(coalesce_ranges(&[0..19], 0, 10), [0..19]);
        assert_eq!(coalesce_ranges(&[0..35], 0, 10), [0..11, 11..23, 23..35]);
    }

    proptest! {
        #[test]
        fn every_range_comes_back_as_asked(
            asked in prop::collection::vec((0u64..2000, 0u64..300), 0..12),
            gap in 0u64..100,
            piece in 1u64..200,
        ) {
            let object: Vec<u8> = (0..2300u32).map(|i| (i * 7 % 251) as u8).collect();
            let ranges: Vec<Range<u64>> = asked.into_iter().map(|(start, length)| start..start + length).collect();
            let requests = coalesce_ranges(&ranges, gap, piece);
            prop_assert!(requests.windows(2).all(|pair| pair[0].end <= pair[1].start));
            prop_assert!(requests.iter().all(|r| r.start < r.end && r.end - r.start < 2 * piece));
            let answers: Vec<Bytes> = requests
                .iter()
                .map(|r| Bytes::copy_from_slice(&object[r.start as usize..r.end as usize]))
                .collect();
            for range in &ranges {
                let got = assemble(range, &requests, &answers);
                prop_assert_eq!(&got[..], &object[range.start as usize..range.end as usize]);
            }
        }
    }
}
