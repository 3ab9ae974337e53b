//! How CSV files are written: what is given by options, the rest is found by looking.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Letters of a CSV file as bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encoding {
    /// UTF-8, with or without a byte order mark.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// UTF-16, lower byte first.
    #[serde(rename = "utf-16le")]
    Utf16Le,
    /// UTF-16, higher byte first.
    #[serde(rename = "utf-16be")]
    Utf16Be,
    /// Latin-1 in the form that Windows has: windows-1252.
    #[serde(rename = "latin1")]
    Latin1,
}

/// What is said of CSV files; `None` where it is to be found by looking. Part of a specification: it changes what is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CsvOptions {
    /// Character between two fields, of one byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// Character before the decimals, `.` or `,`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decimal: Option<char>,
    /// Encoding of the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// Texts that stand for a missing value in every column; without them `NA` and its like do in columns of numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub na: Option<Vec<String>>,
}

impl CsvOptions {
    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What a column is read for; decides how its cells are taken in a CSV file, which has no types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// To be computed with: what can be read as a number is one.
    Number,
    /// Levels of a factor: what is written differently differs.
    Level,
    /// Identifiers of units or clusters: the same, and numbers are whole.
    Key,
}

/// The columns to read of an input, what each is for, and how its CSV files are written.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Columns by name; all of them if empty.
    pub(crate) columns: BTreeMap<String, Role>,
    pub(crate) csv: CsvOptions,
    /// Columns that nobody asked for are read too.
    pub(crate) all: bool,
}

impl Selection {
    /// Numbers of these columns; of all if there are none.
    pub fn of(columns: &[String]) -> Self {
        let columns: BTreeMap<String, Role> =
            columns.iter().map(|name| (name.clone(), Role::Number)).collect();
        Self { all: columns.is_empty(), columns, csv: CsvOptions::default() }
    }

    /// Adds a column; one that is computed with anywhere is a number everywhere.
    pub fn add(&mut self, name: &str, role: Role) {
        let known = self.columns.entry(name.to_owned()).or_insert(role);
        *known = match (*known, role) {
            (Role::Number, _) | (_, Role::Number) => Role::Number,
            (Role::Key, _) | (_, Role::Key) => Role::Key,
            _ => Role::Level,
        };
    }

    /// What a column is read for; `None` if it is not read.
    pub(super) fn role(&self, name: &str) -> Option<Role> {
        self.columns.get(name).copied().or(self.all.then_some(Role::Number))
    }
}
