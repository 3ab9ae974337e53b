//! What is done to a file: bits, bytes, blocks, lengths, numbers.

/// Numbers that code counts to, adds or multiplies.
const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "1",
    "1e300",
    "-1e300",
    "1e-300",
    "9007199254740993",
    "9223372036854775807",
    "18446744073709551615",
    "4294967295",
    "null",
    "0.5",
];
/// Bytes at the ends of what a byte can say, to Thrift and to encodings.
const BYTES: [u8; 10] = [0x00, 0x01, 0x7f, 0x80, 0xff, 0xfe, 0x15, 0x19, 0x1c, 0x0c];

/// A small generator (SplitMix64): the same numbers for the same seed, everywhere and always.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts with a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.draw() % end.max(1) as u64) as usize
    }
}

/// The mutation of a file by its number: one to three changes.
pub fn mutated(sound: &[u8], name: &str, number: u64) -> Vec<u8> {
    let seed = name.bytes().fold(number, |seed, byte| seed.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte));
    let mut random = Random::new(seed);
    let mut out = sound.to_vec();
    for _ in 0..=random.below(3) {
        change(&mut out, &mut random);
    }
    out
}

fn change(bytes: &mut Vec<u8>, random: &mut Random) {
    if bytes.is_empty() {
        return;
    }
    // Footers are at the end: half of all changes are there.
    let from = if random.below(2) == 0 { bytes.len() / 2 } else { 0 };
    let at = from + random.below(bytes.len() - from);
    match random.below(10) {
        0 | 1 => bytes[at] ^= 1 << random.below(8),
        2 => bytes[at] = random.draw() as u8,
        3 => bytes[at] = BYTES[random.below(BYTES.len())],
        4 => bytes.truncate(at),
        5 => insert(bytes, at, random),
        6 => swap(bytes, at, random),
        7 => lengthen(bytes, at, random),
        _ => number(bytes, at, random),
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, random: &mut Random) {
    let new: Vec<u8> = (0..=random.below(12)).map(|_| random.draw() as u8).collect();
    bytes.splice(at..at, new);
}

/// A block is written over another one.
fn swap(bytes: &mut [u8], at: usize, random: &mut Random) {
    let from = random.below(bytes.len());
    let length = (1 + random.below(32)).min(bytes.len() - at).min(bytes.len() - from);
    let block = bytes[from..from + length].to_vec();
    bytes[at..at + length].copy_from_slice(&block);
}

/// A number of variable length, larger or of more bytes than it needs, in the same place.
fn lengthen(bytes: &mut [u8], at: usize, random: &mut Random) {
    let length = (1 + random.below(5)).min(bytes.len() - at);
    bytes[at..at + length].fill(if random.below(2) == 0 { 0xff } else { 0x80 });
    bytes[at + length - 1] = [0x0f, 0x01, 0x07, 0x7f, 0x00][random.below(5)];
}

/// A number of a text, replaced; a byte where there is none.
fn number(bytes: &mut Vec<u8>, at: usize, random: &mut Random) {
    let is_part = |byte: &u8| byte.is_ascii_digit() || b".-+eE".contains(byte);
    let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit).map(|found| at + found) else {
        bytes[at] = bytes[at].wrapping_add(1);
        return;
    };
    let start = bytes[..start].iter().rposition(|byte| !is_part(byte)).map_or(0, |before| before + 1);
    let end =
        bytes[start..].iter().position(|byte| !is_part(byte)).map_or(bytes.len(), |length| start + length);
    bytes.splice(start..end, NUMBERS[random.below(NUMBERS.len())].bytes());
}
