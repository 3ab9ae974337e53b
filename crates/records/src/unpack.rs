//! Decompression of text as a stream, bounded against decompression bombs.

use std::io::{self, BufReader, ErrorKind, Read};

use super::format::FileCompression;

/// The number of bytes that a file may decompress to whatever its size.
const FREE: u64 = 1 << 30;
/// The largest ratio of decompressed to compressed size beyond [`FREE`]. Repetitive tables reach a tenth of it; a bomb
/// has 1,000 and more.
const TIMES: u64 = 500;

/// The number of bytes read at once.
const BLOCK: usize = 256 << 10;

/// Decompresses a stream from its start.
pub(super) fn decompress<'a>(
    packing: FileCompression,
    packed: impl Read + Send + 'a,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    Ok(match packing {
        FileCompression::Plain => Box::new(packed),
        // A gzip file may consist of several members.
        FileCompression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(packed)),
        FileCompression::Zstd => Box::new(zstd::Decoder::new(packed)?),
    })
}

/// Decompresses a file of `size` bytes, and returns the text from byte `position` on. The bytes before are decompressed
/// and discarded.
///
/// # Errors
/// Damage before `position`. Damage behind it, and more bytes than a table of this size can have, are errors of the
/// returned reader.
pub(super) fn decompress_from(
    packing: FileCompression,
    packed: impl Read + Send + 'static,
    size: u64,
    position: u64,
) -> io::Result<Box<dyn Read + Send>> {
    // The CSV reader takes large blocks; decoders ask for less.
    let reader = decompress(packing, BufReader::with_capacity(BLOCK, packed))?;
    let mut bounded = Bounded { reader, given: 0, most: size.saturating_mul(TIMES).max(FREE) };
    io::copy(&mut (&mut bounded).take(position), &mut io::sink())?;
    Ok(Box::new(bounded))
}

/// A reader that fails beyond a number of bytes.
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
            decompress_from(FileCompression::Gzip, packed, 50, position)
                .unwrap()
                .read_to_string(&mut text)
                .unwrap();
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
        let mut reader = decompress_from(FileCompression::Gzip, Cursor::new(bytes), 50, 0).unwrap();
        assert!(io::copy(&mut reader, &mut io::sink()).is_err());
    }
}
