//! The hybrid of run lengths and bit packing in which Parquet keeps dictionary indices and definition levels
//! (parquet-format, `Encodings.md`, "RLE / Bit-Packing Hybrid").
//!
//! The parquet crate has a decoder that expands runs. This one hands them on, so that a value that a unit repeats in
//! all its rows is looked up and compared once.

use bytes::Bytes;

/// Values in a group of bit-packed values.
const GROUP: usize = 8;

/// A stream of numbers of at most 32 bits.
#[derive(Debug, Default)]
pub(super) struct Hybrid {
    bytes: Bytes,
    /// The next byte that no run has taken.
    at: usize,
    /// Bits of a number.
    width: u32,
    run: Run,
}

/// The rest of the run that is being read.
#[derive(Clone, Copy, Debug)]
enum Run {
    Repeated {
        value: u32,
        left: usize,
    },
    Packed {
        /// First bit of the next value, from the start of the bytes.
        bit: usize,
        left: usize,
    },
}

impl Default for Run {
    fn default() -> Self {
        Self::Repeated { value: 0, left: 0 }
    }
}

impl Hybrid {
    /// Returns a stream of numbers of `width` bits; `None` for more than 32.
    pub(super) fn new(bytes: Bytes, width: u32) -> Option<Self> {
        (width <= u32::BITS).then_some(Self { bytes, at: 0, width, run: Run::default() })
    }

    /// Calls `each(number, repetitions)` for the next `count` numbers; `None` if the stream ends before, or `each` has
    /// returned `None`.
    pub(super) fn take(
        &mut self,
        mut count: usize,
        mut each: impl FnMut(u32, usize) -> Option<()>,
    ) -> Option<()> {
        while count > 0 {
            match &mut self.run {
                Run::Repeated { left: 0, .. } | Run::Packed { left: 0, .. } => self.begin_run()?,
                Run::Repeated { value, left } => {
                    let own = count.min(*left);
                    each(*value, own)?;
                    *left -= own;
                    count -= own;
                }
                Run::Packed { bit, left } => {
                    let own = count.min(*left);
                    let width = self.width as usize;
                    for at in (*bit..).step_by(width.max(1)).take(own) {
                        each(unpack(&self.bytes, at, self.width), 1)?;
                    }
                    *bit += own * width;
                    *left -= own;
                    count -= own;
                }
            }
        }
        Some(())
    }

    /// Reads the header of the next run. A run of packed values may end with the stream, as some writers leave out the
    /// last values of its last group.
    fn begin_run(&mut self) -> Option<()> {
        let header = self.varint()?;
        let length = usize::try_from(header >> 1).ok()?;
        if header & 1 == 0 {
            let bytes = self.width.div_ceil(u8::BITS) as usize;
            let stored = self.bytes.get(self.at..self.at.checked_add(bytes)?)?;
            let value = stored.iter().rev().fold(0, |value, byte| (value << 8) | u32::from(*byte));
            self.at += bytes;
            self.run = Run::Repeated { value, left: length };
            return Some(());
        }
        let size = length.checked_mul(self.width as usize)?;
        let there = size.min(self.bytes.len() - self.at);
        let values = match self.width {
            0 => length.checked_mul(GROUP)?,
            width => there * GROUP / width as usize,
        };
        self.run = Run::Packed { bit: self.at.checked_mul(GROUP)?, left: values };
        self.at += there;
        Some(())
    }

    /// Reads a number in groups of seven bits, the lowest first.
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

/// Returns the number of `width` bits that begins with bit `bit`, the lowest of its byte first.
#[inline]
fn unpack(bytes: &[u8], bit: usize, width: u32) -> u32 {
    let (first, shift) = (bit / 8, bit % 8);
    let word = match bytes.get(first..first + 8) {
        Some(whole) => whole.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte)),
        None => {
            bytes[first.min(bytes.len())..].iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte))
        }
    };
    let mask = (1u64 << width) - 1;
    ((word >> shift) & mask) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Collects `count` numbers in pieces of `piece`.
    fn read(bytes: &[u8], width: u32, count: usize, piece: usize) -> Option<Vec<u32>> {
        let mut stream = Hybrid::new(Bytes::copy_from_slice(bytes), width)?;
        let mut out = Vec::new();
        for first in (0..count).step_by(piece) {
            stream.take(piece.min(count - first), |value, times| {
                out.extend(std::iter::repeat_n(value, times));
                Some(())
            })?;
        }
        Some(out)
    }

    #[test]
    fn runs_and_packed_groups_are_read_in_any_pieces() {
        // The example of the format's specification: 0 to 7 in three bits each; before it five times the number 4.
        let bytes = [5 << 1, 4, (1 << 1) | 1, 0b1000_1000, 0b1100_0110, 0b1111_1010];
        let wanted: Vec<u32> = [4; 5].into_iter().chain(0..8).collect();
        for piece in 1..14 {
            assert_eq!(read(&bytes, 3, 13, piece).as_ref(), Some(&wanted), "{piece}");
        }
        assert_eq!(read(&bytes, 3, 14, 1), None);
    }

    #[test]
    fn numbers_of_every_width_are_unpacked() {
        for width in 1..=32u32 {
            let mask = (1u64 << width) - 1;
            let values: Vec<u32> =
                (0..24u64).map(|at| ((at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7) & mask) as u32).collect();
            let mut bytes = vec![(3 << 1) | 1];
            let mut packed = vec![0u8; 3 * width as usize];
            for (at, value) in values.iter().enumerate() {
                for bit in 0..width as usize {
                    let to = at * width as usize + bit;
                    packed[to / 8] |= (((value >> bit) & 1) as u8) << (to % 8);
                }
            }
            bytes.extend(packed);
            assert_eq!(read(&bytes, width, 24, 5), Some(values), "{width}");
        }
    }

    #[test]
    fn streams_that_end_or_lie_give_nothing() {
        assert!(Hybrid::new(Bytes::new(), 33).is_none());
        assert_eq!(read(&[], 1, 1, 1), None);
        // Runs of nothing, a run without its value, a length of more than 64 bits, more groups than bytes.
        assert_eq!(read(&[0, 0, 0, 0], 1, 1, 1), None);
        assert_eq!(read(&[2], 8, 1, 1), None);
        assert_eq!(read(&[0xff; 16], 8, 1, 1), None);
        assert_eq!(read(&[0xff, 0xff, 0x03, 1], 32, 1, 1), None);
        // A width of nothing is a run of zeros.
        assert_eq!(read(&[6], 0, 3, 3), Some(vec![0; 3]));
        assert_eq!(read(&[3], 0, 8, 3), Some(vec![0; 8]));
        // The last group may be cut short.
        assert_eq!(read(&[3, 7, 9], 8, 2, 2), Some(vec![7, 9]));
    }
}
