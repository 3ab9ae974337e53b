//! Thrift's compact protocol, as far as footers and page headers must be examined before the parquet crate decodes
//! them: it reserves memory and recurses as they say.

/// The deepest nesting of structs and lists in a footer or a header; valid ones have six levels.
const DEEPEST: usize = 24;

/// The reason why bytes are not a valid structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ThriftError {
    /// The bytes end within the structure.
    Short,
    /// The bytes contradict the protocol.
    Wrong,
}

/// The result of parsing a structure.
pub(super) type ThriftResult<T> = Result<T, ThriftError>;

/// The types of fields and elements, with their numbers in the protocol.
pub(super) const I32: u8 = 5;
const BINARY: u8 = 8;
pub(super) const LIST: u8 = 9;
pub(super) const STRUCT: u8 = 12;

/// A parser over bytes.
#[derive(Clone, Debug)]
pub(super) struct ThriftParser<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> ThriftParser<'a> {
    /// Returns a parser at the first byte.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Returns the number of bytes parsed so far.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    fn byte(&mut self) -> ThriftResult<u8> {
        let byte = *self.bytes.get(self.at).ok_or(ThriftError::Short)?;
        self.at += 1;
        Ok(byte)
    }

    fn pass(&mut self, count: usize) -> ThriftResult<()> {
        let end = self.at.checked_add(count).ok_or(ThriftError::Wrong)?;
        if end > self.bytes.len() {
            return Err(ThriftError::Short);
        }
        self.at = end;
        Ok(())
    }

    /// Parses an unsigned number of variable length.
    fn varint(&mut self) -> ThriftResult<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ThriftError::Wrong)
    }

    /// Parses a signed number of variable length.
    pub(super) fn integer(&mut self) -> ThriftResult<i64> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// Parses a signed 32-bit number.
    pub(super) fn int32(&mut self) -> ThriftResult<i32> {
        i32::try_from(self.integer()?).map_err(|_| ThriftError::Wrong)
    }

    /// Parses the head of a struct's next field: its number and type, or `None` at the end. `last` is the number of the
    /// previous field.
    pub(super) fn field(&mut self, last: &mut i16) -> ThriftResult<Option<(i16, u8)>> {
        let head = self.byte()?;
        let kind = head & 0x0f;
        if kind == 0 {
            return Ok(None);
        }
        let number = match head >> 4 {
            0 => i16::try_from(self.integer()?).map_err(|_| ThriftError::Wrong)?,
            step => last.checked_add(i16::from(step)).ok_or(ThriftError::Wrong)?,
        };
        *last = number;
        Ok(Some((number, kind)))
    }

    /// Parses the head of a list: the type and number of its elements.
    pub(super) fn list(&mut self) -> ThriftResult<(u8, usize)> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => usize::try_from(self.varint()?).map_err(|_| ThriftError::Wrong)?,
            short => usize::from(short),
        };
        // Every element takes at least one byte.
        if count > self.bytes.len() - self.at {
            return Err(ThriftError::Short);
        }
        Ok((head & 0x0f, count))
    }

    /// Skips a field's value.
    pub(super) fn skip(&mut self, kind: u8) -> ThriftResult<()> {
        self.skip_within(kind, DEEPEST)
    }

    fn skip_within(&mut self, kind: u8, deep: usize) -> ThriftResult<()> {
        let deeper = deep.checked_sub(1).ok_or(ThriftError::Wrong)?;
        match kind {
            // A struct's logical fields are part of the field's type.
            1 | 2 => Ok(()),
            3 => self.pass(1),
            4..=6 => self.varint().map(|_| ()),
            7 => self.pass(8),
            BINARY => {
                let length = usize::try_from(self.varint()?).map_err(|_| ThriftError::Wrong)?;
                self.pass(length)
            }
            LIST | 10 => {
                let (kind, count) = self.list()?;
                (0..count).try_for_each(|_| self.skip_element(kind, deeper))
            }
            11 => self.skip_map(deeper),
            STRUCT => self.skip_struct(deeper),
            13 => self.pass(16),
            _ => Err(ThriftError::Wrong),
        }
    }

    fn skip_element(&mut self, kind: u8, deep: usize) -> ThriftResult<()> {
        match kind {
            // Logical elements of a list are bytes.
            1 | 2 => self.pass(1),
            other => self.skip_within(other, deep),
        }
    }

    fn skip_map(&mut self, deep: usize) -> ThriftResult<()> {
        let count = self.varint()?;
        if count == 0 {
            return Ok(());
        }
        let kinds = self.byte()?;
        for _ in 0..count {
            self.skip_element(kinds >> 4, deep)?;
            self.skip_element(kinds & 0x0f, deep)?;
        }
        Ok(())
    }

    fn skip_struct(&mut self, deep: usize) -> ThriftResult<()> {
        let mut last = 0;
        while let Some((_, kind)) = self.field(&mut last)? {
            self.skip_within(kind, deep)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_is_bounded() {
        // A list of lists of lists …: one byte a level.
        let nested = vec![0x19; 100_000];
        assert_eq!(ThriftParser::new(&nested).skip(LIST), Err(ThriftError::Wrong));
        // A list that says it has more elements than there are bytes.
        assert_eq!(ThriftParser::new(&[0xf8, 0xff, 0xff, 0xff, 0x0f]).list(), Err(ThriftError::Short));
        assert_eq!(ThriftParser::new(&[0x80; 20]).integer(), Err(ThriftError::Wrong));
    }

    #[test]
    fn fields_are_told_and_passed_over() {
        // 1: i32 = -3, 4: binary "ab", 20: list of two logicals, end.
        let bytes = [0x15, 0x05, 0x38, 0x02, b'a', b'b', 0x09, 40, 0x22, 1, 2, 0x00];
        let (mut reader, mut last) = (ThriftParser::new(&bytes), 0);
        assert_eq!(reader.field(&mut last), Ok(Some((1, I32))));
        assert_eq!(reader.int32(), Ok(-3));
        assert_eq!(reader.field(&mut last), Ok(Some((4, BINARY))));
        reader.skip(BINARY).unwrap();
        assert_eq!(reader.field(&mut last), Ok(Some((20, LIST))));
        reader.skip(LIST).unwrap();
        assert_eq!(reader.field(&mut last), Ok(None));
        assert_eq!(reader.position(), bytes.len());
    }
}
