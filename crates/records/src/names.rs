//! Classification of files by name: data, files beside data, and files whose bytes must tell.

use super::format::{DetectedFormat, FileCompression, Format};
use super::formats::{TableFormat, is_table_ending};
use crate::prepared::MANIFEST;

/// Extensions of Parquet files.
const PARQUET: [&str; 4] = ["parquet", "parq", "pq", "pqt"];
/// Extensions of text tables; those of a compression may follow.
const TEXT: [&str; 5] = ["csv", "tsv", "txt", "tab", "psv"];
/// Extensions of compressed files.
const PACKED: [&str; 5] = [".gz", ".gzip", ".bgz", ".zst", ".zstd"];
/// Extensions that writers of Parquet add for the codec of the pages.
const CODECS: [&str; 10] =
    ["gz", "gzip", "snappy", "zst", "zstd", "lz4", "lz4_raw", "br", "brotli", "uncompressed"];
/// Extensions of files about data.
const BESIDE: [&str; 24] = [
    "md", "rst", "sql", "crc", "md5", "sha1", "sha256", "sha512", "sig", "r", "rmd", "qmd", "py", "ipynb",
    "jl", "do", "ado", "sh", "toml", "yaml", "yml", "bib", "docx", "pdf",
];
/// Names that start with one of these are documents, whatever their extension.
const DOCUMENTS: [&str; 8] =
    ["readme", "license", "licence", "copying", "notice", "changelog", "citation", "contributing"];
/// Lists of checksums, and files that desktop systems leave.
const LISTS: [&str; 7] =
    ["md5sum", "sha1sum", "sha256sum", "sha512sum", "checksum", "thumbs.db", "desktop.ini"];
/// Files that writers of tables leave beside data, under a name that begins with `_`.
const MARKS: [&str; 5] = ["_success", "_metadata", "_common_metadata", "_committed_", "_started_"];

/// The class of a file by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameClass {
    /// Data in this format.
    Data(Format),
    /// No data: the file is skipped.
    NoData,
    /// Unknown: the file's bytes must tell.
    Unknown,
}

/// Classifies a file of `bytes` bytes in a folder by its name.
pub(super) fn by_name(name: &str, bytes: u64) -> NameClass {
    let lower = name.to_lowercase();
    if is_beside(&lower) {
        return NameClass::NoData;
    }
    let format = format_of(&lower);
    match format {
        // Hive leaves empty parts; markers of folders on S3 are empty too.
        None if bytes == 0 && (ending(&lower).is_none() || lower.ends_with("_$folder$")) => NameClass::NoData,
        Some(format) if !lower.starts_with('_') => NameClass::Data(format),
        _ => NameClass::Unknown,
    }
}

/// Returns the format that a name's extension promises.
pub(super) fn format_of(name: &str) -> Option<Format> {
    let lower = name.to_lowercase();
    let inside = unpacked(&lower);
    let ending = ending(inside)?;
    if PARQUET.contains(&ending) && inside == lower {
        return Some(Format::Parquet);
    }
    let packing = match lower.rsplit('.').next() {
        _ if inside == lower => FileCompression::Plain,
        Some(last) if last.starts_with('z') => FileCompression::Zstd,
        _ => FileCompression::Gzip,
    };
    TEXT.contains(&ending).then_some(Format::Text(packing))
}

/// Returns the extension of a name in lower case, without that of a compression.
pub(super) fn plain_ending(name: &str) -> String {
    let lower = name.to_lowercase();
    ending(unpacked(&lower)).unwrap_or_default().to_owned()
}

/// Returns the format of a file in a folder whose name tells nothing, by its bytes, or the reason why it is not read. A
/// copy of a part under another name (`part.parquet.bak`) is not read: its rows would count twice.
pub(super) fn by_bytes(name: &str, recognised: DetectedFormat) -> Result<Format, &'static str> {
    let lower = name.to_lowercase();
    let hidden = lower.starts_with('_');
    let bare = ending(unpacked(&lower)).is_none();
    match recognised {
        DetectedFormat::Foreign(foreign) => Err(foreign.name),
        DetectedFormat::Bytes => Err("of an unknown format"),
        DetectedFormat::Known(_) if hidden => Err("data under a name that begins with `_`"),
        DetectedFormat::Known(Format::Parquet) if bare || is_codec(&lower) => Ok(Format::Parquet),
        DetectedFormat::Known(Format::Text(packing)) if bare => Ok(Format::Text(packing)),
        DetectedFormat::Known(Format::Table(TableFormat::PackedParquet, packing)) => {
            let plain = plain_ending(&lower);
            match PARQUET.contains(&plain.as_str()) || bare {
                true => Ok(Format::Table(TableFormat::PackedParquet, packing)),
                false => Err("Parquet under an ending of something else"),
            }
        }
        // The manifest of a store is JSON, and no data.
        DetectedFormat::Known(Format::Table(table, packing))
            if bare || (is_table_ending(&plain_ending(&lower)) && lower != MANIFEST) =>
        {
            Ok(Format::Table(table, packing))
        }
        DetectedFormat::Known(Format::Table(table, _)) => Err(table.name()),
        DetectedFormat::Known(Format::Parquet) => Err("Parquet under an ending of something else"),
        DetectedFormat::Known(Format::Text(_)) => Err("text"),
    }
}

/// Returns `true` if folders of this name hold no data: hidden ones, and those in which writers keep their own files.
pub(super) fn is_skipped_folder(name: &str) -> bool {
    name.starts_with('.') || (name.starts_with('_') && !name.contains('='))
}

fn is_beside(lower: &str) -> bool {
    let table = format_of(lower).is_some() && !lower.ends_with(".txt");
    let begins = |names: &[&str]| !table && names.iter().any(|name| lower.starts_with(name));
    lower.starts_with('.')
        || ending(lower).is_some_and(|ending| BESIDE.contains(&ending))
        || begins(&MARKS)
        || begins(&LISTS)
        || begins(&DOCUMENTS)
}

/// Returns `true` if the last extension is a codec's or a writer's counter (`part.c000`).
fn is_codec(lower: &str) -> bool {
    let last = lower.rsplit('.').next().unwrap_or_default();
    let counter = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    CODECS.contains(&last) || last.strip_prefix('c').is_some_and(counter)
}

fn unpacked(lower: &str) -> &str {
    PACKED.iter().find_map(|packed| lower.strip_suffix(packed)).unwrap_or(lower)
}

fn ending(name: &str) -> Option<&str> {
    name.rsplit_once('.').map(|(_, ending)| ending)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_data_from_what_stands_beside_it() {
        let text = |packing| NameClass::Data(Format::Text(packing));
        for (name, bytes, named) in [
            ("a.parquet", 9, NameClass::Data(Format::Parquet)),
            ("part-0.gz.parquet", 9, NameClass::Data(Format::Parquet)),
            ("A.CSV", 0, text(FileCompression::Plain)),
            ("a.csv.gz", 9, text(FileCompression::Gzip)),
            ("a.tsv.zst", 9, text(FileCompression::Zstd)),
            ("a.parquet.gzip", 9, NameClass::Unknown),
            ("000000_0", 9, NameClass::Unknown),
            ("000001_0", 0, NameClass::NoData),
            ("a.json", 9, NameClass::Unknown),
            ("_part.csv", 9, NameClass::Unknown),
            ("README.txt", 9, NameClass::NoData),
            ("readme.csv", 9, text(FileCompression::Plain)),
            ("a.csv.sha256", 9, NameClass::NoData),
            ("SHA256SUMS", 9, NameClass::NoData),
            (".part-0.parquet.crc", 9, NameClass::NoData),
            ("_SUCCESS", 0, NameClass::NoData),
            ("_metadata", 9, NameClass::NoData),
            ("LICENSE", 9, NameClass::NoData),
            ("year=2004_$folder$", 0, NameClass::NoData),
        ] {
            assert_eq!(by_name(name, bytes), named, "{name}");
        }
    }

    #[test]
    fn bytes_tell_where_names_don_t() {
        let parquet = DetectedFormat::Known(Format::Parquet);
        let text = DetectedFormat::Known(Format::Text(FileCompression::Plain));
        for name in ["a.parquet.gzip", "a.parquet.snappy", "part-00000-c000", "000003_0", "part.c000"] {
            assert_eq!(by_bytes(name, parquet), Ok(Format::Parquet), "{name}");
        }
        assert_eq!(by_bytes("part-00000", text), Ok(Format::Text(FileCompression::Plain)));
        for name in ["a.parquet.bak", "a.parquet.tmp", "a.parquet~", "_a.parquet"] {
            assert!(by_bytes(name, parquet).is_err(), "{name}");
        }
        assert!(by_bytes("a.log", text).is_err() && by_bytes("x", DetectedFormat::Bytes).is_err());
    }
}
