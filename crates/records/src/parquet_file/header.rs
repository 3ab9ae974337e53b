//! Headers of pages.

use super::thrift::{I32, STRUCT, ThriftError, ThriftParser, ThriftResult};

/// The type of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Values with their levels, compressed together.
    Data,
    /// Values, preceded by their levels, which are never compressed.
    DataV2,
    /// Dictionary entries, which indices in other pages refer to.
    Dictionary,
    /// Another page, which is not read.
    Other,
}

/// The header of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageHeader {
    /// The type of the page.
    pub(super) kind: Kind,
    /// The length of the header in bytes.
    pub(super) length: usize,
    /// The size of the page in bytes before compression.
    pub(super) size: u64,
    /// The size of the page in the file, in bytes.
    pub(super) stored: u64,
    /// The number of values, missing ones included, or of dictionary entries.
    pub(super) values: u64,
    /// The number of bytes at the start that are not compressed.
    pub(super) levels: usize,
    /// `true` if the remaining bytes are compressed.
    pub(super) compressed: bool,
}

/// The examined fields of a struct within the header.
#[derive(Default)]
struct Inner {
    values: u64,
    levels: [i32; 2],
    plain: bool,
}

impl PageHeader {
    /// Parses a header from the start of `bytes`.
    ///
    /// # Errors
    /// [`ThriftError::Short`] if the bytes end within it.
    pub(super) fn read(bytes: &[u8]) -> ThriftResult<Self> {
        let (mut reader, mut last) = (ThriftParser::new(bytes), 0);
        let (mut kind, mut sizes) = (-1, [-1, -1]);
        let (mut data, mut dictionary, mut data_v2) = (None, None, None);
        while let Some((number, type_)) = reader.field(&mut last)? {
            match (number, type_) {
                (1, I32) => kind = reader.int32()?,
                (2 | 3, I32) => sizes[number as usize - 2] = reader.int32()?,
                (5, STRUCT) => data = Some(inner(&mut reader, false)?),
                (7, STRUCT) => dictionary = Some(inner(&mut reader, false)?),
                (8, STRUCT) => data_v2 = Some(inner(&mut reader, true)?),
                (_, type_) => reader.skip(type_)?,
            }
        }
        let (kind, inner) = match kind {
            0 => (Kind::Data, data),
            2 => (Kind::Dictionary, dictionary),
            3 => (Kind::DataV2, data_v2),
            _ => (Kind::Other, Some(Inner::default())),
        };
        let inner = inner.ok_or(ThriftError::Wrong)?;
        let [size, stored] = sizes.map(u64::try_from);
        let levels: i64 = inner.levels.iter().map(|&length| i64::from(length)).sum();
        let (Ok(size), Ok(stored)) = (size, stored) else { return Err(ThriftError::Wrong) };
        if inner.levels.iter().any(|length| *length < 0) || levels.unsigned_abs() > size.min(stored) {
            return Err(ThriftError::Wrong);
        }
        Ok(Self {
            kind,
            length: reader.position(),
            size,
            stored,
            values: inner.values,
            levels: usize::try_from(levels).map_err(|_| ThriftError::Wrong)?,
            compressed: !inner.plain,
        })
    }
}

/// Parses the struct of a page's type. Field 1 is the number of values; in pages of the second version fields 5 and 6
/// are the lengths of levels, and field 7 says whether the rest is compressed.
fn inner(reader: &mut ThriftParser<'_>, second: bool) -> ThriftResult<Inner> {
    /// The type of a logical field that is false.
    const FALSE: u8 = 2;
    let (mut out, mut last) = (Inner::default(), 0);
    while let Some((number, type_)) = reader.field(&mut last)? {
        match (number, type_) {
            (1, I32) => out.values = u64::try_from(reader.int32()?).map_err(|_| ThriftError::Wrong)?,
            (5 | 6, I32) if second => out.levels[number as usize - 5] = reader.int32()?,
            (7, FALSE) if second => out.plain = true,
            (_, type_) => reader.skip(type_)?,
        }
    }
    Ok(out)
}
