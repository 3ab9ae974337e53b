//! Recognition of a file's format by its bytes. Extensions are habits that downloads, partial copies and other programs
//! don't keep.

use std::io::Read;

use super::foreign::{self, UnsupportedFormat};
use super::formats::{TableFormat, detect_table};

/// The number of first bytes that are examined: they hold a tar header, and the start of a gzip file's content.
pub(super) const HEAD: usize = 4096;
/// The number of first bytes that are examined of a file that is compressed in blocks, of which one must be whole.
pub(super) const PACKED_HEAD: usize = 160 << 10;
/// The number of last bytes that are examined.
pub(super) const TAIL: usize = 4;

/// The format of a data file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Parquet,
    /// Text tables.
    Text(FileCompression),
    /// A format that is decoded when the file is opened.
    Table(TableFormat, FileCompression),
}

impl Format {
    /// Returns the compression of the whole file.
    pub(super) fn packing(self) -> FileCompression {
        match self {
            Self::Parquet => FileCompression::Plain,
            Self::Text(packing) | Self::Table(_, packing) => packing,
        }
    }
}

/// The compression of a whole file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileCompression {
    Plain,
    Gzip,
    Zstd,
}

/// The format that a file's bytes show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DetectedFormat {
    /// A format that is read.
    Known(Format),
    /// A format that is not read, but known by name.
    Foreign(&'static UnsupportedFormat),
    /// Neither text nor a known format.
    Bytes,
}

/// Recognises a file by its first and last bytes. A file that begins or ends as Parquet is Parquet, possibly damaged.
pub(super) fn detect_format(name: &str, head: &[u8], tail: &[u8]) -> DetectedFormat {
    if head.starts_with(b"PAR1") || tail.ends_with(b"PAR1") {
        return DetectedFormat::Known(Format::Parquet);
    }
    match packing(head) {
        FileCompression::Plain => plain(name, head).unwrap_or(DetectedFormat::Bytes),
        packing => packed(name, packing, head),
    }
}

fn plain(name: &str, head: &[u8]) -> Option<DetectedFormat> {
    if let Some(table) = detect_table(name, head) {
        return Some(DetectedFormat::Known(Format::Table(table, FileCompression::Plain)));
    }
    if let Some(foreign) = foreign::by_bytes(name, head) {
        return Some(DetectedFormat::Foreign(foreign));
    }
    if is_text(head) {
        return Some(DetectedFormat::Known(Format::Text(FileCompression::Plain)));
    }
    foreign::by_ending(name).map(DetectedFormat::Foreign)
}

/// Recognises the content of a compressed file: text is read, other formats are named.
fn packed(name: &str, packing: FileCompression, head: &[u8]) -> DetectedFormat {
    let inside = beginning(packing, head);
    if inside.starts_with(b"PAR1") {
        return DetectedFormat::Known(Format::Table(TableFormat::PackedParquet, packing));
    }
    match plain(name, &inside) {
        Some(DetectedFormat::Known(Format::Text(FileCompression::Plain))) => {
            DetectedFormat::Known(Format::Text(packing))
        }
        Some(DetectedFormat::Known(Format::Table(table, _))) => {
            DetectedFormat::Known(Format::Table(table, packing))
        }
        Some(other) => other,
        None => DetectedFormat::Foreign(if packing == FileCompression::Gzip {
            &foreign::GZIP
        } else {
            &foreign::ZSTD
        }),
    }
}

/// Returns `true` if more of the first bytes, [`PACKED_HEAD`], are needed to recognise what is compressed.
pub(super) fn needs_more(head: &[u8]) -> bool {
    packing(head) == FileCompression::Zstd
}

fn packing(head: &[u8]) -> FileCompression {
    if head.starts_with(&[0x1f, 0x8b]) {
        FileCompression::Gzip
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        FileCompression::Zstd
    } else {
        FileCompression::Plain
    }
}

/// Decompresses the first bytes of a file; returns none if it is damaged.
fn beginning(packing: FileCompression, head: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    // The input is cut off, which is an error after the bytes that it holds.
    let _ = match super::unpack::decompress(packing, head) {
        Ok(reader) => reader.take(HEAD as u64).read_to_end(&mut out),
        Err(error) => Err(error),
    };
    out
}

/// Returns `true` if bytes could begin a text table: UTF-8, UTF-16 with its byte order mark, or an encoding with one
/// byte for each character.
fn is_text(head: &[u8]) -> bool {
    let marked = head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]);
    let control = |byte: &u8| matches!(byte, 0..=8 | 14..=31 | 127);
    marked || (!head.is_empty() && !head.iter().any(control))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn name_of(name: &str, head: &[u8]) -> &'static str {
        match detect_format(name, head, &head[head.len().saturating_sub(TAIL)..]) {
            DetectedFormat::Foreign(foreign) => foreign.name,
            DetectedFormat::Known(Format::Parquet) => "Parquet",
            DetectedFormat::Known(Format::Text(FileCompression::Plain)) => "text",
            DetectedFormat::Known(Format::Text(FileCompression::Gzip)) => "gzip text",
            DetectedFormat::Known(Format::Text(FileCompression::Zstd)) => "zstd text",
            DetectedFormat::Known(Format::Table(table, _)) => table.name(),
            DetectedFormat::Bytes => "bytes",
        }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn bytes_tell_formats_whatever_the_ending() {
        let sas = b"\0\0\0\0\0\0\0\0\0\0\0\0\xc2\xea\x81\x60\xb3\x14\x11\xcf\xbd\x92\x08\0\x09\xc7\x31\x8c\x18\x1f\x10\x11";
        let cases: [(&[u8], &str); 25] = [
            (b"PAR1\x15\x04 and more", "Parquet"),
            (b"id,t\n1,2\n", "text"),
            (b"\xff\xfei\0d\0", "text"),
            (b"stra\xdfe,t\n", "text"),
            (b"<stata_dta><header>", "Stata"),
            (b"\x73\x02\x01\0\x05\0", "Stata"),
            (b"RDX3\nX\n\0\0\0\x03", "R data (.rda)"),
            (b"X\n\0\0\0\x03\0\x04", "R object (.rds)"),
            (b"ARROW1\0\0\xff\xff\xff\xff", "Arrow IPC (Feather)"),
            (b"\xff\xff\xff\xff\x58\x05\0\0\x10\0", "Arrow stream"),
            (b"FEA1\0\0\0\0", "Feather (version 1)"),
            (b"ORC\x08\x03\x10", "ORC"),
            (b"Obj\x01\x04\x14", "Avro"),
            (b"$FL2@(#) SPSS DATA FILE\x02\0\0\0", "SPSS"),
            (sas, "SAS"),
            (b"HEADER RECORD*******LIBRARY HEADER RECORD!!!!!!!", "SAS transport"),
            (b"PK\x03\x04\x14\0\0\0\x08\0[Content_Types].xml xl/workbook.xml", "workbook"),
            (b"PK\x03\x04\x14\0\0\0\x08\0panel.csv", "zip archive"),
            (b"{\"id\": 1, \"t\": 2}\n", "JSON"),
            (b" [\n {\"id\":1}]", "JSON"),
            (b"<!DOCTYPE html><html>", "HTML page"),
            (b"<?xml version=\"1.0\"?><Error><Code>NoSuchKey", "XML document"),
            (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer"),
            (b"SQLite format 3\0", "SQLite database"),
            (b"\x00\x00\x00\x00\x00\x00", "bytes"),
        ];
        for (head, name) in cases {
            assert_eq!(name_of("panel.csv", head), name, "{}", String::from_utf8_lossy(head));
            if name != "Parquet" && name != "bytes" {
                let wanted = if name == "text" { "gzip text" } else { name };
                assert_eq!(name_of("panel.csv.gz", &gzip(head)), wanted);
            }
        }
        assert_eq!(name_of("x", b"....PAR1"), "Parquet");
        assert_eq!(name_of("x.parquet.gz", &gzip(b"PAR1\x15")), "Parquet");
        assert_eq!(name_of("a", &zstd::encode_all(&b"id,t\n1,2\n"[..], 1).unwrap()), "zstd text");
        assert_eq!(name_of("x.gz", &gzip(&[0; 90])), "gzip file");
        assert_eq!(name_of("x.rds", b"BZh91AY&SY\x01\x02"), "R object (.rds) compressed by bzip2 or xz");
        assert_eq!(name_of("x.csv.bz2", b"BZh91AY&SY\x01\x02"), "bzip2 file");
        assert_eq!(name_of("x.fst", &[2; 40]), "fst");
    }

    #[test]
    fn tables_of_text_are_no_other_format() {
        for head in [
            "{x},y\n1,2\n",
            "[id],[t]\n1,2\n",
            "<id>;<t>\n1;2\n",
            "\"id\",\"t\"\n",
            "id\tt\n",
            "#id,t\n1,2\n",
            "PARENT,t\n1,2\n",
            "ORC,t\n1,2\n",
        ] {
            assert_eq!(name_of("x.csv", head.as_bytes()), "text", "{head}");
        }
    }
}
