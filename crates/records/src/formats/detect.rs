//! Recognition of these formats by their first bytes.

use std::path::Path;

use super::TableFormat;

/// First bytes that identify a format by themselves.
const MAGIC: [(&[u8], TableFormat); 13] = [
    (b"<stata_dta>", TableFormat::Stata),
    (b"RDX2\nX\n", TableFormat::RData),
    (b"RDX3\nX\n", TableFormat::RData),
    (b"X\n\0\0\0\x02", TableFormat::RObject),
    (b"X\n\0\0\0\x03", TableFormat::RObject),
    (b"ARROW1\0\0", TableFormat::ArrowFile),
    (b"Obj\x01", TableFormat::Avro),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", TableFormat::Workbook),
    // Stata before version 13: the release, then the byte order, 1 for a data set, and a zero.
    (b"\x72\x01\x01\0", TableFormat::Stata),
    (b"\x72\x02\x01\0", TableFormat::Stata),
    (b"\x73\x01\x01\0", TableFormat::Stata),
    (b"\x73\x02\x01\0", TableFormat::Stata),
    (b"\x71\x02\x01\0", TableFormat::Stata),
];

/// The extensions under which files of a folder are tables of these formats.
const ENDINGS: [&str; 15] = [
    "json", "jsonl", "ndjson", "avro", "feather", "arrow", "arrows", "ipc", "dta", "rds", "rda", "rdata",
    "xlsx", "xlsm", "xls",
];

/// The first bytes of a zip archive.
const ZIP: &[u8] = b"PK\x03\x04";
/// The largest header of an Arrow stream's first message, in bytes.
const LARGEST_SCHEMA: u32 = 64 << 20;

/// Recognises a table by the first bytes of its file, unpacked.
pub(crate) fn detect_table(name: &str, head: &[u8]) -> Option<TableFormat> {
    let known = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, format)| *format);
    known
        .or_else(|| old_stata(head))
        .or_else(|| arrow_stream(head))
        .or_else(|| workbook(name, head))
        .or_else(|| json(head))
}

/// Returns `true` if a folder's files of this extension are read.
pub(crate) fn is_table_ending(ending: &str) -> bool {
    ENDINGS.contains(&ending)
}

fn old_stata(head: &[u8]) -> Option<TableFormat> {
    matches!(head, [105 | 108 | 110..=115, 1 | 2, 1, 0, ..]).then_some(TableFormat::Stata)
}

/// A stream begins with a mark and the length of its schema.
fn arrow_stream(head: &[u8]) -> Option<TableFormat> {
    let [0xff, 0xff, 0xff, 0xff, a, b, c, d, ..] = *head else { return None };
    let length = u32::from_le_bytes([a, b, c, d]);
    (length > 0 && length.is_multiple_of(8) && length < LARGEST_SCHEMA).then_some(TableFormat::ArrowStream)
}

fn workbook(name: &str, head: &[u8]) -> Option<TableFormat> {
    if !head.starts_with(ZIP) {
        return None;
    }
    let ending = Path::new(name).extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
    let holds = |text: &[u8]| head.windows(text.len()).any(|window| window == text);
    let named = ["xlsx", "xlsm", "xlsb"].contains(&ending.as_str());
    (named || holds(b"[Content_Types].xml") || holds(b"xl/")).then_some(TableFormat::Workbook)
}

/// A record is an object, and a table a sequence or an array of them.
fn json(head: &[u8]) -> Option<TableFormat> {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let second = text.get(1..).unwrap_or_default().trim_ascii_start().first();
    let object = text.starts_with(b"{") && matches!(second, Some(b'"' | b'}'));
    let array = text.starts_with(b"[") && matches!(second, Some(b'{' | b'[' | b'"' | b'0'..=b'9' | b']'));
    (object || array).then_some(TableFormat::Json)
}
