//! Compressed text, unpacked while it is read, and only as far as a table of its size can go.

use std::io::{self, BufReader, ErrorKind, Read};

use super::format::Packing;

/// A file may unpack to so many bytes whatever its size …
const FREE: u64 = 1 << 30;
/// … and beyond to so many times its size. Tables that repeat themselves come to a tenth of that; a bomb has 1,000 times and more.
const TIMES: u64 = 500;

/// Bytes read at a time.
const BLOCK: usize = 256 << 10;

/// The bytes that a file is compressed of, from the beginning of what `packed` still has.
pub(super) fn unpack<'a>(
    packing: Packing,
    packed: impl Read + Send + 'a,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    Ok(match packing {
        Packing::Plain => Box::new(packed),
        // A gzip file may be several, one after the other.
        Packing::Gzip => Box::new(flate2::read::MultiGzDecoder::new(packed)),
        Packing::Zstd => Box::new(zstd::Decoder::new(packed)?),
    })
}

/// The bytes that a file of `size` bytes is compressed of, from byte `position` of them on; what is before is unpacked and left out.
///
/// # Errors
/// Damage before `position`; the reader's own are damage behind it, and more bytes than a table of this size can have.
pub(super) fn unpacked(
    packing: Packing,
    packed: impl Read + Send + 'static,
    size: u64,
    position: u64,
) -> io::Result<Box<dyn Read + Send>> {
    // Records are cut from large blocks; decoders ask for less.
    let reader = unpack(packing, BufReader::with_capacity(BLOCK, packed))?;
    let mut bounded = Bounded { reader, given: 0, most: size.saturating_mul(TIMES).max(FREE) };
    io::copy(&mut (&mut bounded).take(position), &mut io::sink())?;
    Ok(Box::new(bounded))
}

/// Unpacked bytes, up to a number of them.
struct Bounded {
    reader: Box<dyn Read + Send>,
    given: u64,
    most: u64,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.given += read as u64;
        match self.given > self.most {
            true => Err(io::Error::new(
                ErrorKind::InvalidData,
                format!("it unpacks to more than {} bytes, {TIMES} times its own: no table does", self.most),
            )),
            false => Ok(read),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn several_members_are_one_file_that_is_entered_anywhere() {
        let bytes = [gzip(b"id,t\n1,"), gzip(b"2\n")].concat();
        for position in 0..10 {
            let mut text = String::new();
            let packed = Cursor::new(bytes.clone());
            unpacked(Packing::Gzip, packed, 50, position).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, &"id,t\n1,2\n"[(position as usize).min(9)..]);
        }
    }

    #[test]
    fn a_bomb_is_not_unpacked_to_its_end() {
        let mut reader = Bounded { reader: Box::new(io::repeat(b'0')), given: 0, most: 64 << 20 };
        let error = io::copy(&mut reader, &mut io::sink()).unwrap_err();
        assert!(error.to_string().contains("500 times"), "{error}");
        assert!(reader.given < 65 << 20);
    }

    #[test]
    fn cut_files_are_errors() {
        let mut bytes = gzip(b"id,t\n1,2\n");
        bytes.truncate(bytes.len() - 3);
        let mut reader = unpacked(Packing::Gzip, Cursor::new(bytes), 50, 0).unwrap();
        assert!(io::copy(&mut reader, &mut io::sink()).is_err());
    }
}
