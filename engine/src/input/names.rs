//! What names tell: which files of a folder are data, which stand beside data, and which must be looked into.

use super::format::{Format, Packing, Recognised};

/// Endings of Parquet files.
const PARQUET: [&str; 4] = ["parquet", "parq", "pq", "pqt"];
/// Endings of tables as text; those of compression may follow.
const TEXT: [&str; 5] = ["csv", "tsv", "txt", "tab", "psv"];
/// Endings of whole files that are compressed.
const PACKED: [&str; 5] = [".gz", ".gzip", ".bgz", ".zst", ".zstd"];
/// Endings that writers of Parquet add for the codec inside.
const CODECS: [&str; 10] =
    ["gz", "gzip", "snappy", "zst", "zstd", "lz4", "lz4_raw", "br", "brotli", "uncompressed"];
/// Endings of what is written about data, not of data.
const BESIDE: [&str; 24] = [
    "md", "rst", "sql", "crc", "md5", "sha1", "sha256", "sha512", "sig", "r", "rmd", "qmd", "py", "ipynb",
    "jl", "do", "ado", "sh", "toml", "yaml", "yml", "bib", "docx", "pdf",
];
/// Names that begin so are documents, whatever their ending.
const DOCUMENTS: [&str; 8] =
    ["readme", "license", "licence", "copying", "notice", "changelog", "citation", "contributing"];
/// Lists of checksums, and what desktops leave behind.
const LISTS: [&str; 7] =
    ["md5sum", "sha1sum", "sha256sum", "sha512sum", "checksum", "thumbs.db", "desktop.ini"];
/// What writers of tables leave beside them under a name that begins with `_`.
const MARKS: [&str; 5] = ["_success", "_metadata", "_common_metadata", "_committed_", "_started_"];

/// What a file's name says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// Rows in this format.
    Data(Format),
    /// No data: it is passed over.
    Beside,
    /// Nothing: its bytes must tell.
    Unknown,
}

/// What the name of a file of `bytes` bytes in a folder says.
pub(super) fn by_name(name: &str, bytes: u64) -> Named {
    let lower = name.to_lowercase();
    if is_beside(&lower) {
        return Named::Beside;
    }
    let format = format_of(&lower);
    match format {
        // Hive leaves empty parts; marks of folders on S3 are empty too.
        None if bytes == 0 && (ending(&lower).is_none() || lower.ends_with("_$folder$")) => Named::Beside,
        Some(format) if !lower.starts_with('_') => Named::Data(format),
        _ => Named::Unknown,
    }
}

/// The format that a name's ending promises.
pub(super) fn format_of(name: &str) -> Option<Format> {
    let lower = name.to_lowercase();
    let inside = unpacked(&lower);
    let ending = ending(inside)?;
    if PARQUET.contains(&ending) && inside == lower {
        return Some(Format::Parquet);
    }
    let packing = match lower.rsplit('.').next() {
        _ if inside == lower => Packing::Plain,
        Some(last) if last.starts_with('z') => Packing::Zstd,
        _ => Packing::Gzip,
    };
    TEXT.contains(&ending).then_some(Format::Text(packing))
}

/// The ending of a name, without that of compression, in lower case.
pub(super) fn plain_ending(name: &str) -> String {
    let lower = name.to_lowercase();
    ending(unpacked(&lower)).unwrap_or_default().to_owned()
}

/// The format of a file in a folder whose name says nothing, by its bytes; or what it is, where it isn't read. A copy of a part under
/// another name (`part.parquet.bak`) is none: its rows would count twice.
pub(super) fn by_bytes(name: &str, recognised: Recognised) -> Result<Format, &'static str> {
    let lower = name.to_lowercase();
    let hidden = lower.starts_with('_');
    let bare = ending(unpacked(&lower)).is_none();
    match recognised {
        Recognised::Foreign(foreign) => Err(foreign.name),
        Recognised::Bytes => Err("of an unknown format"),
        Recognised::Known(_) if hidden => Err("data under a name that begins with `_`"),
        Recognised::Known(Format::Parquet) if bare || is_codec(&lower) => Ok(Format::Parquet),
        Recognised::Known(Format::Text(packing)) if bare => Ok(Format::Text(packing)),
        Recognised::Known(Format::Parquet) => Err("Parquet under an ending of something else"),
        Recognised::Known(Format::Text(_)) => Err("text"),
    }
}

/// Whether the folders of this name hold no data: hidden ones, and those that writers keep their own things in.
pub(super) fn is_passed_folder(name: &str) -> bool {
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

/// Whether the last ending is a codec's or a writer's counter (`part.c000`).
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
        let text = |packing| Named::Data(Format::Text(packing));
        for (name, bytes, named) in [
            ("a.parquet", 9, Named::Data(Format::Parquet)),
            ("part-0.gz.parquet", 9, Named::Data(Format::Parquet)),
            ("A.CSV", 0, text(Packing::Plain)),
            ("a.csv.gz", 9, text(Packing::Gzip)),
            ("a.tsv.zst", 9, text(Packing::Zstd)),
            ("a.parquet.gzip", 9, Named::Unknown),
            ("000000_0", 9, Named::Unknown),
            ("000001_0", 0, Named::Beside),
            ("a.json", 9, Named::Unknown),
            ("_part.csv", 9, Named::Unknown),
            ("README.txt", 9, Named::Beside),
            ("readme.csv", 9, text(Packing::Plain)),
            ("a.csv.sha256", 9, Named::Beside),
            ("SHA256SUMS", 9, Named::Beside),
            (".part-0.parquet.crc", 9, Named::Beside),
            ("_SUCCESS", 0, Named::Beside),
            ("_metadata", 9, Named::Beside),
            ("LICENSE", 9, Named::Beside),
            ("year=2004_$folder$", 0, Named::Beside),
        ] {
            assert_eq!(by_name(name, bytes), named, "{name}");
        }
    }

    #[test]
    fn bytes_tell_where_names_don_t() {
        let parquet = Recognised::Known(Format::Parquet);
        let text = Recognised::Known(Format::Text(Packing::Plain));
        for name in ["a.parquet.gzip", "a.parquet.snappy", "part-00000-c000", "000003_0", "part.c000"] {
            assert_eq!(by_bytes(name, parquet), Ok(Format::Parquet), "{name}");
        }
        assert_eq!(by_bytes("part-00000", text), Ok(Format::Text(Packing::Plain)));
        for name in ["a.parquet.bak", "a.parquet.tmp", "a.parquet~", "_a.parquet"] {
            assert!(by_bytes(name, parquet).is_err(), "{name}");
        }
        assert!(by_bytes("a.log", text).is_err() && by_bytes("x", Recognised::Bytes).is_err());
    }
}
