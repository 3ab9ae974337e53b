//! Reading of Parquet files from untrusted sources: every footer and every page that the program reads passes through
//! here.
//!
//! Footers are examined before they are decoded and checked afterwards (`footer`), headers of pages are checked before
//! their pages are decompressed (`pages`), and panics of the decoders are caught (`caught`). Any bytes thus lead to an
//! error or to values, in memory proportional to the rows.

mod caught;
mod decode;
mod footer;
mod header;
mod hybrid;
mod pages;
mod runs;
mod thrift;

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::sync::Arc;

use bytes::buf::Reader;
use bytes::{Buf, Bytes};

use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use rustix::buffer::spare_capacity;
use rustix::io::Errno;

use crate::clock::Clock;

pub(crate) use caught::catch_panic;
pub use caught::is_catching_panics;
pub use decode::{RowRequest, decode_rows};
pub use footer::{TAIL_BYTES, footer_length, parse_footer, read_footer};
pub use pages::chunk_range;

/// Damage of a file: the reason, and the column if it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    column: Option<String>,
    reason: String,
}

impl Damage {
    fn new(reason: impl Into<String>) -> Self {
        Self { column: None, reason: reason.into() }
    }

    fn of_column(name: &str, reason: impl Into<String>) -> Self {
        Self { column: Some(name.to_owned()), reason: reason.into() }
    }

    /// Returns the damage that a decoder reports, without the prefixes that errors collect on their way.
    fn of(error: &dyn std::error::Error) -> Self {
        let text = error.to_string();
        let text = text.lines().next().unwrap_or_default();
        let text = text.rsplit("rror: ").next().unwrap_or(text);
        match text.contains("CRC checksum") {
            true => Self::new("the checksum of a page does not fit"),
            false => Self::new(lower(text)),
        }
    }
}

/// Returns a text with its first letter in lower case.
fn lower(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => "it can't be decoded".to_owned(),
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            Some(column) => write!(f, "column `{column}`: {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

impl std::error::Error for Damage {}

/// Returns the error for a byte of a file that was not asked for.
pub(crate) fn out_of_range(start: u64) -> ParquetError {
    ParquetError::EOF(format!("byte {start} lies outside of the columns read"))
}

/// A local file that is read at given positions, in one call for each read: threads share no file position.
#[derive(Clone, Debug)]
pub struct LocalFile {
    file: Arc<File>,
    size: u64,
    clock: Clock,
}

impl LocalFile {
    /// Returns a file of `size` bytes.
    pub fn new(file: File, size: u64) -> Self {
        Self { file: Arc::new(file), size, clock: Clock::default() }
    }

    /// Returns the same file, whose reads are timed by `clock`.
    pub(crate) fn timed(self, clock: &Clock) -> Self {
        Self { clock: clock.clone(), ..self }
    }

    /// Returns the size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl Length for LocalFile {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for LocalFile {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        const AHEAD: u64 = 8 << 10;
        let length = self.size.saturating_sub(start).min(AHEAD);
        Ok(self.get_bytes(start, length as usize)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let end = start.checked_add(length as u64);
        if end.is_none_or(|end| end > self.size) {
            let size = self.size;
            return Err(ParquetError::EOF(format!("{length} bytes at {start} of a file with {size}")));
        }
        self.clock.time(|| {
            // Memory that is read over need not be cleared before.
            let mut bytes = Vec::with_capacity(length);
            while bytes.len() < length {
                let at = start + bytes.len() as u64;
                match rustix::io::pread(&self.file, spare_capacity(&mut bytes), at) {
                    Ok(0) => return Err(ParquetError::EOF(format!("the file ends at byte {at}"))),
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => return Err(std::io::Error::from(error).into()),
                }
            }
            bytes.truncate(length);
            Ok(bytes.into())
        })
    }
}
