//! Formats that are recognised but not read: their names, their first bytes, and a command that converts them.

use std::path::Path;

use stagger_model::error::StaggerError;

/// A format that is not read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnsupportedFormat {
    /// The format's name.
    pub(super) name: &'static str,
    /// The extensions that identify the format if the first bytes do not.
    endings: &'static [&'static str],
    /// The command that makes a readable file of `{in}`; `{out}` is the name of that file without an extension.
    command: &'static str,
}

macro_rules! formats {
    ($($id:ident: $name:literal, [$($ending:literal),*], $command:literal;)*) => {
        $(pub(super) static $id: UnsupportedFormat = UnsupportedFormat { name: $name, endings: &[$($ending),*], command: $command };)*
        static ALL: &[&UnsupportedFormat] = &[$(&$id),*];
    };
}

formats! {
    R_TEXT: "R object as text (ascii = TRUE)", [], "Rscript -e 'saveRDS(readRDS(\"{in}\"), \"{out}.binary.rds\")'";
    RDA: "R data (.rda) compressed by bzip2 or xz", ["rda", "rdata"], "Rscript -e 'arrow::write_parquet(get(load(\"{in}\")), \"{out}.parquet\")'";
    RDS: "R object (.rds) compressed by bzip2 or xz", ["rds"], "Rscript -e 'arrow::write_parquet(readRDS(\"{in}\"), \"{out}.parquet\")'";
    QS: "R object (.qs)", ["qs", "qs2"], "Rscript -e 'arrow::write_parquet(qs2::qs_read(\"{in}\"), \"{out}.parquet\")'";
    FST: "fst", ["fst"], "Rscript -e 'arrow::write_parquet(fst::read_fst(\"{in}\"), \"{out}.parquet\")'";
    FEATHER1: "Feather (version 1)", [], "python3 -c \"import pandas; pandas.read_feather('{in}').to_parquet('{out}.parquet')\"";
    ODS: "OpenDocument spreadsheet", ["ods"], "python3 -c \"import pandas; pandas.read_excel('{in}', engine='odf').to_parquet('{out}.parquet')\"";
    SAS: "SAS", ["sas7bdat"], "Rscript -e 'arrow::write_parquet(haven::zap_labels(haven::read_sas(\"{in}\")), \"{out}.parquet\")'";
    XPORT: "SAS transport", ["xpt", "xport"], "Rscript -e 'arrow::write_parquet(haven::zap_labels(haven::read_xpt(\"{in}\")), \"{out}.parquet\")'";
    SPSS: "SPSS", ["sav", "zsav"], "Rscript -e 'arrow::write_parquet(haven::zap_labels(haven::read_sav(\"{in}\")), \"{out}.parquet\")'";
    POR: "SPSS portable", ["por"], "Rscript -e 'arrow::write_parquet(haven::zap_labels(haven::read_por(\"{in}\")), \"{out}.parquet\")'";
    ORC: "ORC", ["orc"], "python3 -c \"import pandas; pandas.read_orc('{in}').to_parquet('{out}.parquet')\"";
    ENCRYPTED: "encrypted Parquet", [], "ask whoever wrote the file for one without encryption";
    GZIP: "gzip file", [], "gzip -dc '{in}' > '{out}'";
    ZSTD: "zstd file", [], "zstd -dc '{in}' > '{out}'";
    BZIP2: "bzip2 file", ["bz2"], "bzip2 -dc '{in}' > '{out}'";
    XZ: "xz file", ["xz", "lzma"], "xz -dc '{in}' > '{out}'";
    LZ4: "lz4 file", ["lz4"], "lz4 -dc '{in}' > '{out}'";
    ZIP: "zip archive", ["zip"], "unzip '{in}'";
    SEVEN_ZIP: "7-Zip archive", ["7z"], "7z x '{in}'";
    RAR: "RAR archive", ["rar"], "unrar x '{in}'";
    TAR: "tar archive", ["tar", "tgz"], "tar -xf '{in}'";
    HTML: "HTML page", ["html", "htm"], "most likely an error page in place of the data: download the file again";
    XML: "XML document", ["xml"], "if it is an error message in place of the data, download the file again";
    LFS: "Git LFS pointer", [], "git lfs pull --include '{in}'";
    ANNEX: "git-annex pointer", [], "git annex get '{in}'";
    PDF: "PDF document", ["pdf"], "name the file with the data";
    PICTURE: "picture", ["png", "jpg", "jpeg"], "name the file with the data";
    HDF5: "HDF5", ["h5", "hdf5", "hdf"], "python3 -c \"import pandas; pandas.read_hdf('{in}').to_parquet('{out}.parquet')\"";
    NETCDF: "NetCDF", ["nc"], "python3 -c \"import xarray; xarray.open_dataset('{in}').to_dataframe().reset_index().to_parquet('{out}.parquet')\"";
    NUMPY: "NumPy array", ["npy", "npz"], "write it as Parquet or CSV with the names of the columns";
    PICKLE: "Python pickle", ["pkl", "pickle"], "python3 -c \"import pandas; pandas.read_pickle('{in}').to_parquet('{out}.parquet')\"";
    SQLITE: "SQLite database", ["sqlite", "sqlite3", "db"], "sqlite3 -header -csv '{in}' 'SELECT * FROM panel' > '{out}.csv'";
    DUCKDB: "DuckDB database", ["duckdb"], "duckdb '{in}' \"COPY (FROM panel) TO '{out}.parquet'\"";
    MATLAB: "MATLAB", ["mat"], "write it from MATLAB with parquetwrite";
    DBASE: "dBase", ["dbf"], "Rscript -e 'arrow::write_parquet(foreign::read.dbf(\"{in}\"), \"{out}.parquet\")'";
    ACCESS: "Access database", ["mdb", "accdb"], "write the table as CSV from Access";
    HIVE_TEXT: "Hive text table, which has ^A between its fields and no names of columns", [], "write it again as Parquet: CREATE TABLE panel STORED AS PARQUET AS SELECT * FROM the_table";
}

/// First bytes that identify a format by themselves.
static MAGIC: &[(&[u8], &UnsupportedFormat)] = &[
    (b"RDA2\n", &R_TEXT),
    (b"RDA3\n", &R_TEXT),
    (b"A\n2\n", &R_TEXT),
    (b"A\n3\n", &R_TEXT),
    (b"\x0b\x0e\x0a\x0c", &QS),
    (b"\x0b\x0e\x0a\xc1", &QS),
    (b"FEA1", &FEATHER1),
    (b"\0\0\0\0\0\0\0\0\0\0\0\0\xc2\xea\x81\x60\xb3\x14\x11\xcf\xbd\x92\x08\0", &SAS),
    (b"HEADER RECORD*******LIB", &XPORT),
    (b"$FL2", &SPSS),
    (b"$FL3", &SPSS),
    (b"ORC", &ORC),
    (b"PARE", &ENCRYPTED),
    (b"\x04\x22\x4d\x18", &LZ4),
    (b"7z\xbc\xaf\x27\x1c", &SEVEN_ZIP),
    (b"Rar!\x1a\x07", &RAR),
    (b"version https://git-lfs.github.com/spec", &LFS),
    (b"/annex/objects/", &ANNEX),
    (b"%PDF-", &PDF),
    (b"\x89PNG\r\n", &PICTURE),
    (b"\xff\xd8\xff", &PICTURE),
    (b"\x89HDF\r\n\x1a\n", &HDF5),
    (b"CDF\x01", &NETCDF),
    (b"CDF\x02", &NETCDF),
    (b"\x93NUMPY", &NUMPY),
    (b"SQLite format 3\0", &SQLITE),
    (b"MATLAB 5.0 MAT-file", &MATLAB),
    (b"\0\x01\0\0Standard ", &ACCESS),
];

/// Returns the format that a file's first bytes identify.
pub(super) fn by_bytes(name: &str, head: &[u8]) -> Option<&'static UnsupportedFormat> {
    // A few letters may also begin the column names of a table.
    let text = head.iter().take(128).all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    let begins = |magic: &[u8]| {
        let letters = magic.len() <= 4 && magic.iter().all(u8::is_ascii_graphic);
        head.starts_with(magic) && !(letters && text)
    };
    let known = MAGIC.iter().find(|(magic, _)| begins(magic)).map(|(_, foreign)| *foreign);
    known.or_else(|| archive(name, head)).or_else(|| binary(head)).or_else(|| markup(head))
}

/// Returns the format of a file's extension, for files whose bytes tell nothing.
pub(super) fn by_ending(name: &str) -> Option<&'static UnsupportedFormat> {
    let ending = Path::new(name).extension()?.to_str()?.to_lowercase();
    ALL.iter().find(|foreign| foreign.endings.contains(&ending.as_str())).copied()
}

/// Recognises archives and compressed files, which may hold other formats.
fn archive(name: &str, head: &[u8]) -> Option<&'static UnsupportedFormat> {
    if head.starts_with(b"BZh") || head.starts_with(b"\xfd7zXZ") {
        // R writes its own files in this way.
        let r = by_ending(name).filter(|foreign| [&RDA, &RDS].contains(foreign));
        return Some(r.unwrap_or(if head.starts_with(b"BZh") { &BZIP2 } else { &XZ }));
    }
    if head.get(257..262) == Some(b"ustar") {
        return Some(&TAR);
    }
    if !head.starts_with(b"PK\x03\x04") {
        return None;
    }
    let holds = |text: &[u8]| head.windows(text.len()).any(|window| window == text);
    if holds(b"opendocument.spreadsheet") {
        Some(&ODS)
    } else if holds(b".npy") {
        Some(&NUMPY)
    } else {
        Some(&ZIP)
    }
}

/// Recognises formats that need more than their first bytes.
fn binary(head: &[u8]) -> Option<&'static UnsupportedFormat> {
    match head {
        [0x80, 2..=5, ..] => Some(&PICKLE),
        _ if head.get(8..12) == Some(b"DUCK") => Some(&DUCKDB),
        _ if head.iter().take(400).filter(|b| **b == 1).count() > 1 && !head.contains(&0) => Some(&HIVE_TEXT),
        _ => None,
    }
}

/// Recognises HTML and the like: text that is not a table.
fn markup(head: &[u8]) -> Option<&'static UnsupportedFormat> {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let text = head.trim_ascii_start();
    let lower: Vec<u8> = text.iter().take(16).map(u8::to_ascii_lowercase).collect();
    if lower.starts_with(b"<!doctype html") || lower.starts_with(b"<html") || lower.starts_with(b"<head") {
        Some(&HTML)
    } else if lower.starts_with(b"<?xml") || lower.starts_with(b"<error>") {
        Some(&XML)
    } else if text.get(..200).is_some_and(|start| start.windows(14).any(|w| w == b"SPSS PORT FILE")) {
        Some(&POR)
    } else {
        None
    }
}

impl UnsupportedFormat {
    /// Returns the error for a file in this format.
    pub(super) fn unsupported_error(&self, path: &str) -> StaggerError {
        StaggerError::input(format!("`{path}`: its format is {}, which is not read", self.name))
            .with_hint(self.hint(path))
    }

    /// Returns the hint for the file `path`: the command that converts it.
    pub(super) fn hint(&self, path: &str) -> String {
        let path = if is_simple(path) { path } else { "FILE" };
        let stem = Path::new(path).with_extension("");
        let command = self.command.replace("{in}", path).replace("{out}", &stem.display().to_string());
        match self.command.contains("{in}") {
            true => format!("convert it first: {command}"),
            false => command,
        }
    }
}

/// Returns `true` if a path can be quoted in a command.
fn is_simple(path: &str) -> bool {
    path.chars().all(|c| c.is_alphanumeric() || "/._-+=, @:".contains(c))
        && !path.starts_with('-')
        && !path.contains("://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_the_file() {
        let hint = SPSS.hint("data/my panel.sav");
        assert_eq!(
            hint,
            "convert it first: Rscript -e 'arrow::write_parquet(haven::zap_labels(haven::read_sav(\"data/my panel.sav\")), \"data/my panel.parquet\")'"
        );
        assert!(ORC.hint("it's.orc").contains("'FILE'"));
        assert!(ORC.hint("s3://b/x.orc").contains("'FILE'"));
    }
}
