//! Splitting of a text into records: one in each line, or objects that follow each other, in an array or not.

use std::io::{self, Read};

/// The largest record, in bytes.
const LONGEST: usize = 64 << 20;
/// The number of bytes read at once, and the initial size of the buffer.
const BLOCK: usize = 1 << 20;

/// The reason why there is no next record.
#[derive(Debug)]
pub(super) enum SplitError {
    Io(io::Error),
    /// The record that begins in this line is too long.
    Endless(u64),
    /// The record that begins in this line is not closed.
    Open(u64),
}

/// The way in which records follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// One in each line.
    Lines,
    /// Objects, over several lines or in an array.
    Objects,
}

/// The records of a text.
pub(super) struct JsonRecords<R> {
    input: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    finished: bool,
    /// The number of line ends before `start`.
    lines: u64,
    layout: Option<Layout>,
}

impl<R: Read> JsonRecords<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, buffer: vec![0; BLOCK], start: 0, end: 0, finished: false, lines: 0, layout: None }
    }

    /// Returns the next record with the line in which it begins.
    pub(super) fn next(&mut self) -> Result<Option<(u64, &[u8])>, SplitError> {
        if self.layout.is_none() {
            self.begin()?;
        }
        let objects = self.layout == Some(Layout::Objects);
        if !self.skip(objects)? {
            return Ok(None);
        }
        let line = self.lines + 1;
        let length = loop {
            let bytes = &self.buffer[self.start..self.end];
            let found = if objects { object_length(bytes) } else { line_length(bytes) };
            match found {
                Some(length) => break length,
                None if self.finished && objects && bytes.first() == Some(&b'{') => {
                    return Err(SplitError::Open(line));
                }
                None if self.finished => break bytes.len(),
                None if bytes.len() > LONGEST => return Err(SplitError::Endless(line)),
                None => self.fill()?,
            }
        };
        let record = self.start..self.start + length;
        self.lines += self.buffer[record.clone()].iter().filter(|byte| **byte == b'\n').count() as u64;
        self.start = record.end;
        Ok(Some((line, self.buffer[record].trim_ascii_end())))
    }

    /// Reads the first block, and finds out how records follow each other.
    fn begin(&mut self) -> Result<(), SplitError> {
        self.fill()?;
        if self.buffer[..self.end].starts_with(b"\xef\xbb\xbf") {
            self.start = 3;
        }
        self.layout = Some(Layout::Lines);
        if self.skip(false)? {
            self.layout = Some(layout_of(&self.buffer[self.start..self.end]));
        }
        Ok(())
    }

    /// Skips white space, and between `objects` the marks of an array; returns `false` at the end.
    fn skip(&mut self, objects: bool) -> Result<bool, SplitError> {
        loop {
            while self.start < self.end {
                match self.buffer[self.start] {
                    b'\n' => self.lines += 1,
                    b' ' | b'\t' | b'\r' => {}
                    b',' | b'[' | b']' if objects => {}
                    _ => return Ok(true),
                }
                self.start += 1;
            }
            if self.finished {
                return Ok(false);
            }
            self.fill()?;
        }
    }

    /// Reads more bytes into the buffer, which grows if a record fills it.
    fn fill(&mut self) -> Result<(), SplitError> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() - self.end < BLOCK / 2 {
            self.buffer.resize(2 * self.buffer.len(), 0);
        }
        let read = loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other.map_err(SplitError::Io)?,
            }
        };
        self.end += read;
        self.finished |= read == 0;
        Ok(())
    }
}

/// Decides by the first lines. A record over several lines goes on in the second line with a field.
fn layout_of(bytes: &[u8]) -> Layout {
    if bytes.first() == Some(&b'[') {
        return Layout::Objects;
    }
    let mut lines =
        bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    let whole = object_length(first) == Some(first.len());
    let lines_follow = lines.next().is_some_and(|second| second.starts_with(b"{"));
    if whole || lines_follow { Layout::Lines } else { Layout::Objects }
}

/// Returns the length of the line at the start, with its end.
fn line_length(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1)
}

/// Returns the length of the object at the start, or of the line if no object begins there.
fn object_length(bytes: &[u8]) -> Option<usize> {
    if bytes.first() != Some(&b'{') {
        return line_length(bytes);
    }
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out a few bytes at a time.
    struct Drops<'a>(&'a [u8]);

    impl Read for Drops<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(3);
            into[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn records(text: &str) -> Result<Vec<(u64, String)>, SplitError> {
        let mut all = JsonRecords::new(text.as_bytes());
        let mut out = Vec::new();
        while let Some((line, record)) = all.next()? {
            out.push((line, String::from_utf8(record.to_vec()).unwrap()));
        }
        let mut drops = JsonRecords::new(Drops(text.as_bytes()));
        // The layout is decided by the first block, which holds enough of every file that is longer than a drop.
        drops.layout = all.layout;
        for (line, record) in &out {
            assert_eq!(drops.next().unwrap(), Some((*line, record.as_bytes())), "{text}");
        }
        Ok(out)
    }

    #[test]
    fn lines_arrays_and_objects_give_the_same_records() {
        let (a, b) = (r#"{"a": "}{\"", "b": [1]}"#.to_owned(), r#"{"a": 2}"#.to_owned());
        let lines = [(1, a.clone()), (2, b.clone())];
        assert_eq!(records(&format!("{a}\n{b}\n")).unwrap(), lines);
        assert_eq!(records(&format!("{a}\r\n{b}")).unwrap(), lines);
        assert_eq!(records(&format!("[{a},\n{b}]\n")).unwrap(), lines);
        assert_eq!(records(&format!("[\n{a},\n{b}\n]")).unwrap(), [(2, a.clone()), (3, b.clone())]);
        let pretty = "{\n  \"a\": 1\n}\n{\n  \"a\": 2\n}\n";
        assert_eq!(
            records(pretty).unwrap(),
            [(1, "{\n  \"a\": 1\n}".to_owned()), (4, "{\n  \"a\": 2\n}".to_owned())]
        );
        assert_eq!(records("\n\n").unwrap(), []);
    }

    #[test]
    fn a_broken_first_line_is_a_line() {
        let found = records("{\"a\": 1,\n{\"a\": 2}\n").unwrap();
        assert_eq!(found, [(1, "{\"a\": 1,".to_owned()), (2, "{\"a\": 2}".to_owned())]);
        assert!(matches!(records("[{\"a\": 1}, {\"a\": "), Err(SplitError::Open(1))));
    }
}
