//! Splitting of text into records and fields, as a stream.

use std::borrow::Cow;
use std::io::Read;

use serde::{Deserialize, Serialize};

/// The largest record, in bytes: longer ones come from a quote that is never closed.
const LONGEST: usize = 64 << 20;
/// The number of bytes read at once, and the initial size of the buffer.
const BLOCK: usize = 1 << 20;

/// The characters with a meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    pub(super) quote: u8,
}

impl Dialect {
    /// Returns `true` if consecutive separators count as one.
    fn joins(self) -> bool {
        self.delimiter == b' '
    }
}

/// A field of the current record.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Field {
    start: usize,
    end: usize,
    /// `true` if the field stands in quotes.
    pub(super) quoted: bool,
    /// `true` if the field holds doubled quotes.
    doubled: bool,
}

/// The reason why a record can't be read.
#[derive(Debug)]
pub(super) enum RecordError {
    /// Reading failed.
    Io(std::io::Error),
    /// A record exceeds the largest size.
    Endless,
    /// A quote that opens in this line is never closed.
    Open(u64),
}

/// The records of a stream of UTF-8 text.
pub(super) struct Records<R> {
    input: R,
    marks: Dialect,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    finished: bool,
    /// The number of bytes of the stream before the buffer.
    before: u64,
    /// The number of lines before the next record.
    lines: u64,
    /// `true` if the last line ended in CR: a following LF belongs to it.
    after_cr: bool,
    /// The line in which the current record starts.
    pub(super) line: u64,
    /// The position of the byte at which the current record starts.
    pub(super) position: u64,
    pub(super) fields: Vec<Field>,
}

/// The result of looking for the end of a record in the buffer.
enum Cut {
    /// The record ends before this place in the buffer.
    At(usize),
    /// The buffer ends within the record.
    Incomplete,
    /// A quote is not closed before the end of the file.
    Open,
}

impl<R: Read> Records<R> {
    /// Returns the records of `input`, which starts at byte `position` of the file.
    pub(super) fn new(input: R, marks: Dialect, position: u64) -> Self {
        Self {
            input,
            marks,
            buffer: vec![0; BLOCK],
            start: 0,
            end: 0,
            finished: false,
            before: position,
            lines: 0,
            after_cr: false,
            line: 0,
            position,
            fields: Vec::new(),
        }
    }

    /// Reads the next record into `fields`, skipping empty lines; returns `false` at the end.
    pub(super) fn next(&mut self) -> Result<bool, RecordError> {
        loop {
            if self.skip_empty_lines() {
                match self.cut() {
                    Cut::At(end) => {
                        self.line = self.lines + 1;
                        self.position = self.before + self.start as u64;
                        self.count_lines(end);
                        self.start = end;
                        return Ok(true);
                    }
                    Cut::Open => return Err(RecordError::Open(self.lines + 1)),
                    Cut::Incomplete if self.end - self.start > LONGEST => return Err(RecordError::Endless),
                    Cut::Incomplete => {}
                }
            } else if self.finished {
                return Ok(false);
            }
            self.fill().map_err(RecordError::Io)?;
        }
    }

    /// Skips line ends; returns `false` if nothing follows them in the buffer.
    fn skip_empty_lines(&mut self) -> bool {
        while self.start < self.end {
            match self.buffer[self.start] {
                b'\n' if self.after_cr => self.after_cr = false,
                b'\n' => self.lines += 1,
                b'\r' => (self.lines, self.after_cr) = (self.lines + 1, true),
                _ => {
                    self.after_cr = false;
                    return true;
                }
            }
            self.start += 1;
        }
        false
    }

    /// Counts the lines of the current record.
    fn count_lines(&mut self, end: usize) {
        let record = &self.buffer[self.start..end];
        self.after_cr = record.last() == Some(&b'\r');
        let quoted = self.fields.iter().any(|field| field.quoted);
        self.lines += match quoted {
            true => record.iter().filter(|byte| **byte == b'\n').count().max(1) as u64,
            false => 1,
        };
    }

    /// Reads more bytes into the buffer, which grows if a record fills it.
    fn fill(&mut self) -> std::io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.before += self.start as u64;
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() - self.end < BLOCK / 2 {
            self.buffer.resize(2 * self.buffer.len(), 0);
        }
        let read = loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.end += read;
        self.finished |= read == 0;
        Ok(())
    }

    /// Splits the record at the start of the buffer into fields.
    fn cut(&mut self) -> Cut {
        let Dialect { delimiter, quote } = self.marks;
        let bytes = &self.buffer[..self.end];
        let mut at = self.start;
        self.fields.clear();
        loop {
            if self.marks.joins() {
                at += bytes[at..].iter().take_while(|byte| **byte == b' ').count();
                match bytes.get(at) {
                    Some(b'\n' | b'\r') if !self.fields.is_empty() => return Cut::At(at + 1),
                    None if !self.finished => return Cut::Incomplete,
                    None if !self.fields.is_empty() => return Cut::At(at),
                    _ => {}
                }
            }
            let mut field = Field { start: at, end: at, quoted: false, doubled: false };
            if bytes.get(at) == Some(&quote) {
                match close(bytes, at + 1, quote, self.finished) {
                    Some((end, doubled)) => {
                        field = Field { start: at + 1, end, quoted: true, doubled };
                        at = end + 1;
                    }
                    None if self.finished => return Cut::Open,
                    None => return Cut::Incomplete,
                }
            }
            let rest = bytes[at..].iter().position(|&b| b == delimiter || b == b'\n' || b == b'\r');
            let end = match rest {
                Some(length) => at + length,
                None if self.finished => self.end,
                None => return Cut::Incomplete,
            };
            if !field.quoted {
                field.end = end;
            }
            self.fields.push(field);
            match bytes.get(end) {
                Some(&byte) if byte == delimiter => at = end + 1,
                Some(_) => return Cut::At(end + 1),
                None => return Cut::At(end),
            }
        }
    }

    /// Returns the text of a field of the current record, with doubled quotes resolved.
    pub(super) fn bytes(&self, index: usize) -> Cow<'_, [u8]> {
        let field = self.fields[index];
        let bytes = &self.buffer[field.start..field.end];
        if !field.doubled {
            return Cow::Borrowed(bytes);
        }
        let mut out = Vec::with_capacity(bytes.len());
        let mut quotes = false;
        for &byte in bytes {
            quotes = byte == self.marks.quote && !quotes;
            if !quotes {
                out.push(byte);
            }
        }
        Cow::Owned(out)
    }

    /// Returns the current record as it stands in the file, for messages.
    pub(super) fn text(&self) -> String {
        let (first, last) = (self.fields.first(), self.fields.last());
        let start = first.map_or(0, |field| field.start - usize::from(field.quoted));
        let end = last.map_or(0, |field| field.end + usize::from(field.quoted)).min(self.end);
        String::from_utf8_lossy(&self.buffer[start..end.max(start)]).into_owned()
    }
}

/// Returns the place of the quote that closes a field, and `true` if the field holds doubled quotes.
fn close(bytes: &[u8], from: usize, quote: u8, finished: bool) -> Option<(usize, bool)> {
    let (mut at, mut doubled) = (from, false);
    loop {
        at += bytes[at..].iter().position(|byte| *byte == quote)?;
        match bytes.get(at + 1) {
            Some(next) if *next == quote => (at, doubled) = (at + 2, true),
            Some(_) => return Some((at, doubled)),
            // The next byte decides whether the quote closes the field; at the end of the file it does.
            None => return finished.then_some((at, doubled)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str, delimiter: u8) -> Vec<(u64, Vec<String>)> {
        let marks = Dialect { delimiter, quote: b'"' };
        let mut records = Records::new(text.as_bytes(), marks, 0);
        let mut out = Vec::new();
        while records.next().unwrap() {
            let text = |at: usize| String::from_utf8(records.bytes(at).into_owned()).unwrap();
            out.push((records.line, (0..records.fields.len()).map(text).collect()));
        }
        out
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&w| w.to_owned()).collect()
    }

    #[test]
    fn fields_quotes_and_line_ends() {
        let expected = vec![
            (1, words(&["a", "b", "c"])),
            (2, words(&["1", "x,\"y\"\nz", ""])),
            (5, words(&["2", "", "end"])),
        ];
        assert_eq!(all("a,b,c\n1,\"x,\"\"y\"\"\nz\",\n\n2,,\"end\"", b','), expected);
        let rows = vec![(1, words(&["a", "b"])), (2, words(&["1", "2"])), (3, words(&["3", "4"]))];
        for text in ["a;b\r\n1;2\r\n3;4\r\n", "a;b\r1;2\r3;4", "a;b\n1;2\n3;4\n"] {
            assert_eq!(all(text, b';'), rows, "{text:?}");
        }
        assert_eq!(all("  a   b \n 1 2\n3  4 ", b' '), rows);
        assert_eq!(all("a\n\"end\"", b','), [(1, words(&["a"])), (2, words(&["end"]))]);
        assert_eq!(all("", b','), []);
        let mut records =
            Records::new("a\n\"b\nc,d\n".as_bytes(), Dialect { delimiter: b',', quote: b'"' }, 0);
        assert!(records.next().unwrap() && matches!(records.next(), Err(RecordError::Open(2))));
    }

    #[test]
    fn a_position_is_where_a_record_starts() {
        let text = "a,b\r\n\"ü\",2\r\n3,4\n";
        let mut records = Records::new(text.as_bytes(), Dialect { delimiter: b',', quote: b'"' }, 3);
        let mut starts = Vec::new();
        while records.next().unwrap() {
            starts.push(records.position);
        }
        assert_eq!(starts, [3, 8, 16]);
    }
}
