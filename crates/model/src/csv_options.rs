//! Options of CSV files. Whatever they leave open is detected.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::record_options::RecordOptions;

/// The character encoding of a CSV file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encoding {
    /// UTF-8, with or without a byte order mark.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// UTF-16, little-endian.
    #[serde(rename = "utf-16le")]
    Utf16Le,
    /// UTF-16, big-endian.
    #[serde(rename = "utf-16be")]
    Utf16Be,
    /// Latin-1 as Windows extends it (windows-1252).
    #[serde(rename = "latin1")]
    Latin1,
}

/// The options of CSV files; `None` where the value is detected. They are part of a specification, since they change
/// what is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CsvOptions {
    /// The character between two fields, of one byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// The decimal mark, `.` or `,`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decimal: Option<char>,
    /// The encoding of the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// The texts that mean a missing value in every column. Without them `NA` and the like do so in numeric columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub na: Option<Vec<String>>,
}

impl CsvOptions {
    /// Returns `true` if no option is set.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The use of a column. It decides the type of the column's cells in a CSV file, which has no types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ColumnRole {
    /// The column is computed with: every cell that can be read as a number is one.
    Number,
    /// The column holds levels of a factor: different spellings are different levels.
    Level,
    /// The column holds identifiers of units or clusters: different spellings are different keys, and numbers are
    /// whole.
    Key,
}

/// The columns to read of an input with the use of each, and the options of its CSV files.
#[derive(Clone, Debug, Default)]
pub struct ColumnSelection {
    /// The use of each column, by name; empty for all columns.
    pub columns: BTreeMap<String, ColumnRole>,
    /// The options of CSV files.
    pub csv: CsvOptions,
    /// The options of records of every format.
    pub records: RecordOptions,
    /// `true` if the other columns are read too, as numbers.
    pub all: bool,
}

impl ColumnSelection {
    /// Selects these columns as numbers, or all columns if there are none.
    pub fn of(columns: &[String]) -> Self {
        let columns: BTreeMap<String, ColumnRole> =
            columns.iter().map(|name| (name.clone(), ColumnRole::Number)).collect();
        Self { all: columns.is_empty(), columns, ..Self::default() }
    }

    /// Adds a column. A column with several uses is a number if one of them computes with it.
    pub fn add(&mut self, name: &str, role: ColumnRole) {
        let known = self.columns.entry(name.to_owned()).or_insert(role);
        *known = match (*known, role) {
            (ColumnRole::Number, _) | (_, ColumnRole::Number) => ColumnRole::Number,
            (ColumnRole::Key, _) | (_, ColumnRole::Key) => ColumnRole::Key,
            _ => ColumnRole::Level,
        };
    }

    /// Returns the use of a column, or `None` if it is not read.
    pub fn role(&self, name: &str) -> Option<ColumnRole> {
        self.columns.get(name).copied().or(self.all.then_some(ColumnRole::Number))
    }
}
