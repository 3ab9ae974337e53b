//! The fetched parts of a remote Parquet file, presented to the parquet crate as a file.

use bytes::buf::Reader;
use bytes::{Buf, Bytes};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use crate::parquet_file::out_of_range;

/// The fetched parts of a file.
#[derive(Clone, Debug)]
pub struct FetchedParts {
    size: u64,
    /// The parts: position and bytes, ascending.
    parts: Vec<(u64, Bytes)>,
}

impl FetchedParts {
    /// Returns a file of `size` bytes of which `parts` were fetched, ascending by position.
    pub fn new(size: u64, parts: Vec<(u64, Bytes)>) -> Self {
        Self { size, parts }
    }

    /// Returns the bytes from `start` to the end of the part that holds it.
    fn from(&self, start: u64) -> parquet::errors::Result<Bytes> {
        let after = self.parts.partition_point(|(first, _)| *first <= start);
        let part = after.checked_sub(1).map(|at| &self.parts[at]);
        match part.map(|(first, bytes)| (usize::try_from(start - first), bytes)) {
            Some((Ok(skip), bytes)) if skip <= bytes.len() => Ok(bytes.slice(skip..)),
            _ => Err(out_of_range(start)),
        }
    }
}

impl Length for FetchedParts {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for FetchedParts {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let bytes = self.from(start)?;
        if bytes.len() < length {
            let message = format!("{length} bytes at {start} reach beyond the columns read");
            return Err(ParquetError::EOF(message));
        }
        Ok(bytes.slice(..length))
    }
}
