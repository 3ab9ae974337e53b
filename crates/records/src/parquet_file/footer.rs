//! Footers. They are examined before the parquet crate decodes them, since it reserves memory and recurses as they say,
//! and are checked once afterwards for all later reads.

use std::sync::Arc;

use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::reader::ChunkReader;

use super::Damage;
use super::caught::catch_panic;
use super::thrift::{I32, LIST, STRUCT, ThriftError, ThriftParser, ThriftResult};

/// The number of bytes of the footer's length and the magic number at the end of a file. The magic number alone is also
/// at its start.
pub const TAIL_BYTES: u64 = 8;
const MAGIC: &[u8; 4] = b"PAR1";
const ENCRYPTED: &[u8; 4] = b"PARE";

/// The largest footer, in bytes: one of 10,000 columns in 50 row groups has about 60 million.
const LONGEST: u64 = 256 << 20;
/// The deepest nesting of columns; the crate's conversions recurse.
const DEEPEST: usize = 64;
/// The largest number of columns and groups of columns.
const WIDEST: usize = 1 << 20;
/// The smallest number of bytes of a row group in a footer: the crate reserves memory by the number of row groups.
const LEAST_ROW_GROUP: usize = 8;
/// The largest number of rows of a row group: positions in it are 32-bit numbers.
const MOST_ROWS: i64 = i32::MAX as i64;
/// The largest number of rows for each byte of their row group. The best compression, of a constant, reaches some
/// thousand.
const ROWS_A_BYTE: i64 = 4_096;
/// The number of rows up to which that ratio is not checked.
const FEW_ROWS: i64 = 1 << 20;

/// Returns the length of the footer before the last eight bytes `tail` of a file of `size` bytes.
///
/// # Errors
/// A file that does not end as Parquet does, or is shorter than its footer.
pub fn footer_length(tail: &[u8], size: u64) -> Result<u64, Damage> {
    let [a, b, c, d, magic @ ..] = tail else { return Err(Damage::new("it is too short")) };
    if magic == ENCRYPTED {
        return Err(Damage::new("its footer is encrypted, which this version can't read"));
    }
    if magic != MAGIC {
        return Err(Damage::new("it does not end with a footer, so it is truncated or no Parquet file"));
    }
    let length = u64::from(u32::from_le_bytes([*a, *b, *c, *d]));
    let room = size.saturating_sub(TAIL_BYTES + MAGIC.len() as u64);
    if length > room {
        return Err(Damage::new(format!(
            "its footer claims {length} bytes, the file has {room} before its end"
        )));
    }
    if length > LONGEST {
        return Err(Damage::new(format!("its footer claims {length} bytes, the most is {LONGEST}")));
    }
    Ok(length)
}

/// Reads and checks the footer of a file.
///
/// # Errors
/// A file that is not Parquet, is truncated or is damaged.
pub fn read_footer(file: &impl ChunkReader) -> Result<ArrowReaderMetadata, Damage> {
    let size = file.len();
    if size < TAIL_BYTES + MAGIC.len() as u64 {
        return Err(Damage::new(format!("it has {size} bytes, which is too short")));
    }
    let read = |start: u64, length: u64| {
        let length = usize::try_from(length).map_err(|_| Damage::new("its footer is too long"))?;
        file.get_bytes(start, length).map_err(|e| Damage::of(&e))
    };
    let length = footer_length(&read(size - TAIL_BYTES, TAIL_BYTES)?, size)?;
    parse_footer(&read(size - TAIL_BYTES - length, length)?, size)
}

/// Decodes and checks the bytes of a footer, without the last eight of the file.
///
/// # Errors
/// A footer that is damaged or contradicts the file.
pub fn parse_footer(footer: &Bytes, size: u64) -> Result<ArrowReaderMetadata, Damage> {
    look(footer).map_err(|trouble| match trouble {
        Trouble::Deep => Damage::new(format!("its columns are nested more than {DEEPEST} deep")),
        Trouble::Wide => Damage::new(format!("it claims more than {WIDEST} columns")),
        Trouble::Unsound(_) => Damage::new("its footer is damaged"),
    })?;
    let decode = || {
        let metadata = ParquetMetaDataReader::decode_metadata(footer)?;
        check(&metadata, size)
            .map_err(|damage| parquet::errors::ParquetError::General(damage.to_string()))?;
        ArrowReaderMetadata::try_new(Arc::new(metadata), ArrowReaderOptions::new())
    };
    catch_panic(decode)?.map_err(|e| Damage::of(&e))
}

/// The reasons why a footer must not be decoded.
#[derive(Debug, PartialEq, Eq)]
enum Trouble {
    Deep,
    Wide,
    Unsound(ThriftError),
}

impl From<ThriftError> for Trouble {
    fn from(unsound: ThriftError) -> Self {
        Self::Unsound(unsound)
    }
}

/// Walks over a footer without reserving memory or recursing as it says.
fn look(footer: &[u8]) -> Result<(), Trouble> {
    let (mut reader, mut last) = (ThriftParser::new(footer), 0);
    while let Some((number, kind)) = reader.field(&mut last)? {
        match (number, kind) {
            (2, LIST) => look_at_schema(&mut reader)?,
            (4, LIST) => {
                let start = reader.clone().position();
                let (_, count) = reader.clone().list()?;
                reader.skip(LIST)?;
                if count.saturating_mul(LEAST_ROW_GROUP) > reader.position() - start {
                    return Err(ThriftError::Wrong.into());
                }
            }
            (_, kind) => reader.skip(kind)?,
        }
    }
    Ok(())
}

/// Follows the tree of the schema, which is a list of nodes that each give the number of their children.
fn look_at_schema(reader: &mut ThriftParser<'_>) -> Result<(), Trouble> {
    let (kind, count) = reader.list()?;
    if kind != STRUCT {
        return Err(ThriftError::Wrong.into());
    }
    if count > WIDEST {
        return Err(Trouble::Wide);
    }
    // The number of nodes still to come, by level.
    let mut open: Vec<usize> = vec![1];
    for left in (0..count).rev() {
        match open.last_mut() {
            Some(expected) => *expected -= 1,
            None => return Err(ThriftError::Wrong.into()),
        }
        let children = children(reader)?;
        if children > left {
            return Err(ThriftError::Wrong.into());
        }
        if children > 0 {
            open.push(children);
        }
        while open.last() == Some(&0) {
            open.pop();
        }
        // The root does not count as a column.
        if open.len() > DEEPEST + 1 {
            return Err(Trouble::Deep);
        }
    }
    if open.is_empty() { Ok(()) } else { Err(ThriftError::Wrong.into()) }
}

/// Returns the number of children of a schema node.
fn children(reader: &mut ThriftParser<'_>) -> ThriftResult<usize> {
    let (mut last, mut children) = (0, 0);
    while let Some((number, kind)) = reader.field(&mut last)? {
        match (number, kind) {
            (5, I32) => children = usize::try_from(reader.int32()?).map_err(|_| ThriftError::Wrong)?,
            (_, kind) => reader.skip(kind)?,
        }
    }
    Ok(children)
}

/// Checks the footer's numbers of rows and bytes against the file. Columns are checked when they are read, so that
/// unused columns refuse no file.
fn check(metadata: &ParquetMetaData, size: u64) -> Result<(), Damage> {
    let mut rows = 0i64;
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let own =
            rows_of(group, size).map_err(|reason| Damage::new(format!("row group {number} {reason}")))?;
        rows = rows.saturating_add(own);
    }
    let told = metadata.file_metadata().num_rows();
    if told != rows {
        return Err(Damage::new(format!("its footer claims {told} rows, its row groups have {rows}")));
    }
    Ok(())
}

/// Returns the number of rows of a row group, if its bytes can hold them.
fn rows_of(group: &RowGroupMetaData, size: u64) -> Result<i64, String> {
    let rows = group.num_rows();
    if !(0..=MOST_ROWS).contains(&rows) {
        return Err(format!("claims {rows} rows, which can't be"));
    }
    let sizes = group.columns().iter().map(|column| column.compressed_size().max(0));
    let bytes = sizes.fold(0i64, i64::saturating_add).min(i64::try_from(size).unwrap_or(i64::MAX));
    if group.num_columns() > 0 && rows > FEW_ROWS && rows / ROWS_A_BYTE > bytes {
        return Err(format!("claims {rows} rows in {bytes} bytes"));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a schema as a list of nodes with these numbers of children.
    fn schema(children: &[u8]) -> Vec<u8> {
        let mut out = vec![0x29, 0xfc];
        let mut count = children.len();
        while count >= 0x80 {
            out.push(count as u8 | 0x80);
            count >>= 7;
        }
        out.push(count as u8);
        for &own in children {
            out.extend([0x48, 1, b'x', 0x15, own * 2, 0]);
        }
        out.push(0);
        out
    }

    #[test]
    fn a_schema_is_followed_without_recursion() {
        assert_eq!(look(&schema(&[2, 0, 1, 0])), Ok(()));
        let nested = |depth: usize| [vec![1; depth], vec![0]].concat();
        assert_eq!(look(&schema(&nested(DEEPEST))), Ok(()));
        assert_eq!(look(&schema(&nested(DEEPEST + 1))), Err(Trouble::Deep));
        assert_eq!(look(&schema(&nested(200_000))), Err(Trouble::Deep));
        assert_eq!(look(&schema(&[2, 0])), Err(ThriftError::Wrong.into()), "a node too few");
        assert_eq!(look(&schema(&[1, 0, 0])), Err(ThriftError::Wrong.into()), "a node too many");
        assert_eq!(look(&schema(&[1, 0])[..6]), Err(ThriftError::Short.into()));
    }

    #[test]
    fn a_tail_is_checked_against_the_file() {
        let tail = |length: u32, magic: &[u8]| [&length.to_le_bytes()[..], magic].concat();
        assert_eq!(footer_length(&tail(100, b"PAR1"), 1000), Ok(100));
        for (tail, size) in
            [(tail(100, b"PAR2"), 1000), (tail(100, b"PARE"), 1000), (tail(989, b"PAR1"), 1000)]
        {
            footer_length(&tail, size).expect_err("refused");
        }
        footer_length(&tail(LONGEST as u32 + 1, b"PAR1"), 1 << 40).expect_err("too long");
    }
}
