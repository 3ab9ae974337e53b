//! Decoding of text in other encodings to UTF-8, as a stream.

use std::io::{self, Read};

use stagger_model::csv_options::Encoding;

/// The number of bytes read at once.
const BLOCK: usize = 64 << 10;

/// The characters of windows-1252 at 0x80 to 0x9f. Where it has none, those of Latin-1 stay.
const WINDOWS: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}',
    '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// Returns the encoding that a byte order mark at the start names, and the mark's length.
pub(super) fn encoding_of_mark(start: &[u8]) -> Option<(Encoding, usize)> {
    match start {
        [0xef, 0xbb, 0xbf, ..] => Some((Encoding::Utf8, 3)),
        [0xff, 0xfe, ..] => Some((Encoding::Utf16Le, 2)),
        [0xfe, 0xff, ..] => Some((Encoding::Utf16Be, 2)),
        _ => None,
    }
}

/// Recognises UTF-16 without a byte order mark: every second byte of plain text is zero.
pub(super) fn guess_utf16(start: &[u8]) -> Option<Encoding> {
    let zeros = |from: usize| start.iter().skip(from).step_by(2).take(32).filter(|byte| **byte == 0).count();
    match (zeros(0), zeros(1)) {
        (even, odd) if odd > 8 && even == 0 => Some(Encoding::Utf16Le),
        (even, odd) if even > 8 && odd == 0 => Some(Encoding::Utf16Be),
        _ => None,
    }
}

/// A stream of text that decodes another encoding to UTF-8. Invalid sequences become U+FFFD.
pub(super) struct Decoded<R> {
    input: R,
    encoding: Encoding,
    raw: Vec<u8>,
    /// The bytes of an incomplete character.
    rest: Vec<u8>,
    out: Vec<u8>,
    at: usize,
}

impl<R: Read> Decoded<R> {
    pub(super) fn new(input: R, encoding: Encoding) -> Self {
        Self { input, encoding, raw: vec![0; BLOCK], rest: Vec::new(), out: Vec::new(), at: 0 }
    }

    /// Decodes the next block; returns `false` at the end.
    fn refill(&mut self) -> io::Result<bool> {
        (self.at, self.out) = (0, std::mem::take(&mut self.out));
        self.out.clear();
        let read = self.input.read(&mut self.raw)?;
        if read == 0 {
            let cut = !self.rest.is_empty();
            self.rest.clear();
            if cut {
                push(&mut self.out, char::REPLACEMENT_CHARACTER);
            }
            return Ok(cut);
        }
        let mut bytes = std::mem::take(&mut self.rest);
        bytes.extend_from_slice(&self.raw[..read]);
        match self.encoding {
            Encoding::Utf8 => self.out.extend_from_slice(&bytes),
            Encoding::Latin1 => bytes.iter().for_each(|&byte| push(&mut self.out, latin(byte))),
            Encoding::Utf16Le => self.rest = utf16(&bytes, u16::from_le_bytes, &mut self.out),
            Encoding::Utf16Be => self.rest = utf16(&bytes, u16::from_be_bytes, &mut self.out),
        }
        Ok(true)
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.out.len() {
            if !self.refill()? {
                return Ok(0);
            }
        }
        let count = into.len().min(self.out.len() - self.at);
        into[..count].copy_from_slice(&self.out[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

fn latin(byte: u8) -> char {
    match byte {
        0x80..=0x9f => WINDOWS[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

fn push(out: &mut Vec<u8>, letter: char) {
    out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Decodes whole characters, and returns the bytes of an incomplete one.
fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16, out: &mut Vec<u8>) -> Vec<u8> {
    let mut units: Vec<u16> = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
    let mut rest = bytes[2 * units.len()..].to_vec();
    // The first half of a surrogate pair waits for the second.
    if units.last().is_some_and(|last| (0xd800..0xdc00).contains(last)) {
        units.pop();
        rest = bytes[2 * units.len()..].to_vec();
    }
    for letter in char::decode_utf16(units) {
        push(out, letter.unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out a byte at a time.
    struct Drops<'a>(&'a [u8]);

    impl Read for Drops<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            (into[0], self.0) = (*first, rest);
            Ok(1)
        }
    }

    fn decoded(bytes: &[u8], encoding: Encoding) -> String {
        let mut out = String::new();
        Decoded::new(Drops(bytes), encoding).read_to_string(&mut out).unwrap();
        out
    }

    #[test]
    fn letters_of_every_encoding() {
        let text = "größe;€;𝄞\n";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(decoded(&little, Encoding::Utf16Le), text);
        assert_eq!(decoded(&big, Encoding::Utf16Be), text);
        assert_eq!(decoded(b"gr\xf6\xdfe;\x80", Encoding::Latin1), "größe;€");
        assert_eq!(decoded(&little[..little.len() - 1], Encoding::Utf16Le), "größe;€;𝄞\u{fffd}");
        assert_eq!(encoding_of_mark(&[0xff, 0xfe, 0x41]), Some((Encoding::Utf16Le, 2)));
        let plain: Vec<u8> = "id;t;g;y;x and more".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!((guess_utf16(&plain), guess_utf16(text.as_bytes())), (Some(Encoding::Utf16Be), None));
    }
}
