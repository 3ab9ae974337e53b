//! The bytes of column chunks on their way to the parquet crate. The crate asks for the header of a page, then for the
//! page. In between, the header is checked against the rows and the type of its column, so that no page takes more
//! memory than its rows can need.

use std::collections::HashMap;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes};
use parquet::basic::{Compression, Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, Length};

use super::footer::TAIL_BYTES;
use super::header::{Kind, PageHeader};
use super::thrift::ThriftError;
use super::{Damage, out_of_range};

/// The size of the first read of a header; headers with statistics of long texts are longer.
const HEADER: usize = 256;
/// The largest header, in bytes.
const LONGEST_HEADER: usize = 1 << 20;
/// The number of bytes that a page may take beside its values: encodings pad their blocks, and levels have lengths.
const BESIDE: u64 = 64 << 10;
/// The largest number of bytes of levels, indices and lengths for one value.
const A_VALUE: u64 = 16;
/// The number of bytes of texts that every page may hold.
const TEXTS: u64 = 16 << 20;
/// The number of further bytes of texts for each value, or each compressed byte if those are fewer.
const A_TEXT: u64 = 1 << 10;
/// The largest value of fixed length, in bytes: decimals have 32, UUIDs 16.
const WIDEST: i32 = 1 << 10;
/// The number of entries that every dictionary may have. A column has no more entries than values, except for
/// categories that occur in no row.
const ENTRIES: u64 = 1 << 20;
/// The number of bytes by which compressed data may exceed the original.
const OVERHEAD: u64 = 1 << 10;
/// The number of bytes up to which an unbounded decoder may expand a page unchecked.
const UNWATCHED: u64 = 16 << 20;

/// A column chunk that is read.
#[derive(Clone, Debug)]
struct Column {
    range: Range<u64>,
    values: u64,
    /// The size of a value in bytes; `None` for texts.
    width: Option<u64>,
    codec: Compression,
    name: String,
}

/// The claim of a header about a page whose decoder has no bound.
#[derive(Clone, Copy, Debug)]
struct Claim {
    size: u64,
    /// The number of bytes at the start that are not compressed.
    levels: usize,
    codec: Compression,
}

/// The column chunks of a row group, whose pages are checked as they are read.
pub(super) struct CheckedChunks<R> {
    bytes: Arc<R>,
    columns: Arc<[Column]>,
    claims: Arc<Mutex<HashMap<u64, Claim>>>,
    /// The first damage that was found: errors lose their structure on their way through the decoders.
    found: Arc<Mutex<Option<Damage>>>,
}

impl<R> Clone for CheckedChunks<R> {
    fn clone(&self) -> Self {
        Self {
            bytes: Arc::clone(&self.bytes),
            columns: Arc::clone(&self.columns),
            claims: Arc::clone(&self.claims),
            found: Arc::clone(&self.found),
        }
    }
}

/// Returns the byte range of a column chunk in a file of `size` bytes.
pub fn chunk_range(column: &ColumnChunkMetaData, size: u64) -> Result<Range<u64>, Damage> {
    let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
    let length = column.compressed_size();
    let range = u64::try_from(start).ok().zip(u64::try_from(length).ok());
    let range = range.and_then(|(start, length)| Some(start..start.checked_add(length)?));
    match range.filter(|range| range.end <= size.saturating_sub(TAIL_BYTES) && range.start >= 4) {
        Some(range) => Ok(range),
        None => Err(Damage::of_column(
            &column.column_path().string(),
            format!("it claims {length} bytes at {start} of a file with {size}"),
        )),
    }
}

impl<R: ChunkReader> CheckedChunks<R> {
    /// Returns the columns `leaves` of a row group in a file of `size` bytes.
    ///
    /// # Errors
    /// A footer with impossible places, sizes or counts of these columns.
    pub(super) fn new(
        bytes: Arc<R>,
        group: &RowGroupMetaData,
        leaves: &[usize],
        size: u64,
    ) -> Result<Self, Damage> {
        let columns = leaves.iter().map(|&leaf| Column::new(group, leaf, size));
        let mut columns = columns.collect::<Result<Vec<Column>, Damage>>()?;
        columns.sort_by_key(|column| column.range.start);
        for pair in columns.windows(2) {
            if pair[0].range.end > pair[1].range.start {
                let reason = format!("its bytes are those of column `{}`, too", pair[1].name);
                return Err(Damage::of_column(&pair[0].name, reason));
            }
        }
        Ok(Self { bytes, columns: columns.into(), claims: Arc::default(), found: Arc::default() })
    }

    /// Returns the damage that was found here, if any.
    pub(super) fn found(&self) -> Option<Damage> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records damage, and returns the error that passes it through the decoders.
    fn broken(&self, column: &Column, reason: impl Into<String>) -> ParquetError {
        let damage = Damage::of_column(&column.name, reason);
        let text = damage.to_string();
        self.found.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(damage);
        ParquetError::General(text)
    }

    /// Returns the column chunk that holds the byte `start`.
    fn column(&self, start: u64) -> Option<&Column> {
        let after = self.columns.partition_point(|column| column.range.start <= start);
        self.columns.get(after.checked_sub(1)?).filter(|column| start < column.range.end)
    }

    /// Checks the header of the page at `start`; returns bytes that begin with it.
    fn checked(&self, start: u64) -> parquet::errors::Result<Bytes> {
        let Some(column) = self.column(start) else {
            return Err(out_of_range(start));
        };
        let (bytes, header) = self.header(column, start)?;
        let body = start + header.length as u64;
        let room = column.range.end.saturating_sub(body);
        column.check(&header, room).map_err(|why| self.broken(column, why))?;
        if let Some(claim) = column.claim(&header) {
            self.claims.lock().unwrap_or_else(PoisonError::into_inner).insert(body, claim);
        }
        Ok(bytes)
    }

    /// Returns the bytes from a page's start to at least the end of its header, and the header.
    fn header(&self, column: &Column, start: u64) -> parquet::errors::Result<(Bytes, PageHeader)> {
        let room = usize::try_from(column.range.end - start).unwrap_or(usize::MAX);
        let mut length = HEADER.min(room);
        loop {
            let bytes = self.bytes.get_bytes(start, length)?;
            match PageHeader::read(&bytes) {
                Ok(header) => return Ok((bytes, header)),
                Err(ThriftError::Short) if length < room.min(LONGEST_HEADER) => {
                    length = (length * 8).min(room).min(LONGEST_HEADER);
                }
                Err(_) => return Err(self.broken(column, "the header of a page is damaged")),
            }
        }
    }
}

impl Column {
    fn new(group: &RowGroupMetaData, leaf: usize, size: u64) -> Result<Self, Damage> {
        let column = group.column(leaf);
        let name = column.column_path().string();
        let broken = |reason: String| Damage::of_column(&name, reason);
        if column.file_path().is_some() {
            return Err(broken("its values are in another file".into()));
        }
        let description = column.column_descr();
        let (values, rows) = (column.num_values(), group.num_rows());
        if values < 0 || (description.max_rep_level() == 0 && values != rows) {
            return Err(broken(format!("it claims {values} values for {rows} rows")));
        }
        let width = match description.physical_type() {
            Type::BOOLEAN => Some(1),
            Type::INT32 | Type::FLOAT => Some(4),
            Type::INT64 | Type::DOUBLE => Some(8),
            Type::INT96 => Some(12),
            Type::BYTE_ARRAY => None,
            Type::FIXED_LEN_BYTE_ARRAY => match description.type_length() {
                length @ 0..=WIDEST => Some(u64::from(length.unsigned_abs())),
                length => return Err(broken(format!("it claims values of {length} bytes"))),
            },
        };
        let range = chunk_range(column, size)?;
        Ok(Self { range, values: values.unsigned_abs(), width, codec: column.compression(), name })
    }

    /// Checks the header of a page; `room` is the number of bytes from the page to the end of the chunk.
    fn check(&self, header: &PageHeader, room: u64) -> Result<(), String> {
        let (size, stored) = (header.size, header.stored);
        if header.kind == Kind::Other {
            return Ok(());
        }
        if stored > room {
            return Err(format!("a page claims {stored} bytes, its column has {room} left"));
        }
        let most = match header.kind {
            Kind::Dictionary => self.values.max(ENTRIES),
            _ => self.values,
        };
        let values = header.values;
        if values > most {
            return Err(format!("a page claims {values} values, its column has {}", self.values));
        }
        let bound = self.bound(values, stored);
        if size > bound {
            return Err(format!(
                "a page claims {size} bytes for {values} values, which take {bound} at most"
            ));
        }
        let compressed = self.codec != Compression::UNCOMPRESSED;
        if compressed && stored > size + size / 4 + OVERHEAD {
            return Err(format!("a page of {stored} bytes claims {size} bytes before it was compressed"));
        }
        Ok(())
    }

    /// Returns the largest size of a page of `values` values that takes `stored` bytes in the file.
    fn bound(&self, values: u64, stored: u64) -> u64 {
        match self.width {
            Some(width) => BESIDE + values * (2 * width + A_VALUE),
            None => TEXTS + A_TEXT * values.min(stored),
        }
    }

    /// Returns the claim to check when a page is decompressed; `None` if its decoder respects the size that it is
    /// given.
    fn claim(&self, header: &PageHeader) -> Option<Claim> {
        let (expands, codec) = match self.codec {
            // One byte of deflate expands to 1,032 at most, one of LZ4 to 255.
            Compression::GZIP(_) => (1_032, self.codec),
            Compression::LZ4 => (255, self.codec),
            Compression::BROTLI(_) => (u64::MAX, self.codec),
            _ => return None,
        };
        let most = header.stored.saturating_mul(expands);
        let watched =
            header.kind != Kind::Other && header.compressed && most > UNWATCHED.max(2 * header.size);
        watched.then_some(Claim { size: header.size, levels: header.levels, codec })
    }
}

impl<R: ChunkReader> Length for CheckedChunks<R> {
    fn len(&self) -> u64 {
        self.bytes.len()
    }
}

impl<R: ChunkReader> ChunkReader for CheckedChunks<R> {
    type T = Header<R>;

    /// Returns a reader of a page's header. Nothing is checked before it is read, as the crate may ask for other places
    /// without reading them.
    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(Header { file: self.clone(), start, bytes: None })
    }

    /// Returns a page.
    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let column = self.column(start).filter(|column| length as u64 <= column.range.end - start);
        let empty = length == 0 && start <= self.bytes.len();
        let Some(column) = column else {
            return match empty {
                true => Ok(Bytes::new()),
                false => Err(out_of_range(start)),
            };
        };
        let bytes = self.bytes.get_bytes(start, length)?;
        let claim = self.claims.lock().unwrap_or_else(PoisonError::into_inner).remove(&start);
        match claim {
            Some(claim) if claim.is_exceeded(&bytes) => {
                let size = claim.size;
                Err(self.broken(column, format!("a page holds more than the {size} bytes that it claims")))
            }
            _ => Ok(bytes),
        }
    }
}

/// The header of a page, which is fetched and checked when its first byte is read.
pub(super) struct Header<R> {
    file: CheckedChunks<R>,
    start: u64,
    bytes: Option<Bytes>,
}

impl<R: ChunkReader> Read for Header<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let bytes = match &mut self.bytes {
            Some(bytes) => bytes,
            none => none.insert(self.file.checked(self.start).map_err(io::Error::other)?),
        };
        let count = out.len().min(bytes.len());
        bytes.copy_to_slice(&mut out[..count]);
        Ok(count)
    }
}

impl Claim {
    /// Decompresses a page, discarding the result, and returns `true` if it is longer than it claims.
    fn is_exceeded(&self, page: &[u8]) -> bool {
        let Some(packed) = page.get(self.levels..) else { return false };
        let room = self.size - (self.levels as u64).min(self.size);
        let counted = match self.codec {
            Compression::GZIP(_) => count(flate2::read::MultiGzDecoder::new(packed), room),
            Compression::BROTLI(_) => count(brotli::Decompressor::new(packed, 4096), room),
            _ => count(lz4_flex::frame::FrameDecoder::new(packed), room),
        };
        counted > room
    }
}

/// Counts the bytes of a stream to a little over `most`, or to the first that can't be decoded.
fn count(mut stream: impl Read, most: u64) -> u64 {
    let (mut buffer, mut counted) = ([0; 16 << 10], 0u64);
    while counted <= most {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(read) => counted += read as u64,
        }
    }
    counted
}
