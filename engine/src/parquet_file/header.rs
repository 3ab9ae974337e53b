//! The header of a page.

use super::thrift::{I32, Read, Reader, STRUCT, Unsound};

/// What a page holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Values, with their levels, compressed as a whole.
    Data,
    /// Values, with their levels before them, which are never compressed.
    DataV2,
    /// Entries that indices of other pages mean.
    Dictionary,
    /// Nothing that is read.
    Other,
}

/// What the header of a page says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageHeader {
    pub(super) kind: Kind,
    /// Bytes of the header.
    pub(super) length: usize,
    /// Bytes of the page before it was compressed.
    pub(super) size: u64,
    /// Bytes of the page in the file.
    pub(super) stored: u64,
    /// Values, missing ones included, or entries.
    pub(super) values: u64,
    /// Bytes in front that are not compressed.
    pub(super) levels: usize,
    /// Whether the rest is.
    pub(super) compressed: bool,
}

/// Of a struct within the header, what is looked at.
#[derive(Default)]
struct Inner {
    values: u64,
    levels: [i32; 2],
    plain: bool,
}

impl PageHeader {
    /// Reads a header from the start of `bytes`.
    ///
    /// # Errors
    /// [`Unsound::Short`] if the bytes end within it.
    pub(super) fn read(bytes: &[u8]) -> Read<Self> {
        let (mut reader, mut last) = (Reader::new(bytes), 0);
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
        let inner = inner.ok_or(Unsound::Wrong)?;
        let [size, stored] = sizes.map(u64::try_from);
        let levels: i64 = inner.levels.iter().map(|&length| i64::from(length)).sum();
        let (Ok(size), Ok(stored)) = (size, stored) else { return Err(Unsound::Wrong) };
        if inner.levels.iter().any(|length| *length < 0) || levels.unsigned_abs() > size.min(stored) {
            return Err(Unsound::Wrong);
        }
        Ok(Self {
            kind,
            length: reader.position(),
            size,
            stored,
            values: inner.values,
            levels: usize::try_from(levels).map_err(|_| Unsound::Wrong)?,
            compressed: !inner.plain,
        })
    }
}

/// A page's own struct: values come first, in pages of the second version lengths of levels are 5 and 6, and 7 says whether the rest
/// is compressed.
fn inner(reader: &mut Reader<'_>, second: bool) -> Read<Inner> {
    /// Type of a logical that is false.
    const FALSE: u8 = 2;
    let (mut out, mut last) = (Inner::default(), 0);
    while let Some((number, type_)) = reader.field(&mut last)? {
        match (number, type_) {
            (1, I32) => out.values = u64::try_from(reader.int32()?).map_err(|_| Unsound::Wrong)?,
            (5 | 6, I32) if second => out.levels[number as usize - 5] = reader.int32()?,
            (7, FALSE) if second => out.plain = true,
            (_, type_) => reader.skip(type_)?,
        }
    }
    Ok(out)
}
