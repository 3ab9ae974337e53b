//! Inference of a CSV column's type from its cells, during the one pass over the file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stagger_model::csv_options::ColumnRole;

use super::cell::{Number, boolean, canonical, decimal, integer};

/// The texts that mean a missing value unless an option names others.
const MISSING: [&[u8]; 6] = [b"NA", b"NaN", b"nan", b"NULL", b"null", b"."];

/// The largest whole number up to which all whole numbers are exact as `f64`.
const EXACT: u64 = 1 << 53;

/// The type of a column's cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum CsvType {
    /// Every cell is missing.
    Nothing,
    /// Logical values.
    Boolean,
    /// Signed 64-bit integers.
    Integer,
    /// Whole numbers of which some need an unsigned 64-bit integer.
    Unsigned,
    /// Floating-point numbers.
    Float,
    /// Text.
    Text,
}

/// A cell with its position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CsvCell {
    /// The row of the data, from 1.
    pub row: u64,
    /// The line of the file, from 1.
    pub line: u64,
    /// The cell's text, shortened for messages.
    pub text: String,
}

/// A column that is read, with the facts that the first pass found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CsvColumn {
    /// The column's name.
    pub name: String,
    /// The position among the fields of a record.
    pub field: usize,
    /// `true` if the column is needed as a number.
    pub computed: bool,
    /// The type of its values.
    pub kind: CsvType,
    /// `true` if every number is spelled with a decimal point: whole ones as `1.0`, others in their shortest form.
    pub pointed: bool,
    /// The first cell that is not a number.
    pub odd: Option<CsvCell>,
    /// The number of cells that are numbers.
    pub numbers: u64,
    /// The number of rows of a text column that hold an unquoted spelling of a missing value, by spelling.
    pub taken: BTreeMap<String, u64>,
    /// The smallest and largest whole number of each chunk.
    pub bounds: Vec<Option<(i64, i64)>>,
}

/// The spellings of missing values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MissingSpellings {
    /// The spellings that an option gives; `None` for the usual ones.
    pub given: Option<Vec<String>>,
}

impl MissingSpellings {
    /// Returns `true` if a cell of a numeric column is missing.
    pub(super) fn number(&self, cell: &[u8]) -> bool {
        cell.is_empty() || self.spelled(cell)
    }

    /// Returns `true` if a cell of a text column is missing: if it is empty, or one of the given spellings.
    pub(super) fn text(&self, cell: &[u8]) -> bool {
        cell.is_empty() || (self.given.is_some() && self.spelled(cell.trim_ascii()))
    }

    /// Returns `true` for a spelling of a missing value.
    fn spelled(&self, cell: &[u8]) -> bool {
        match &self.given {
            None => MISSING.contains(&cell),
            Some(given) => given.iter().any(|text| text.as_bytes() == cell),
        }
    }
}

/// The cells of a column as numbers with one decimal mark.
#[derive(Debug)]
struct Decimals {
    /// `true` while every cell is a number.
    all: bool,
    /// The number of cells that are numbers.
    numbers: u64,
    /// The first cell that is not a number.
    odd: Option<CsvCell>,
    /// The first cell that is a number with this mark, but not with the other one.
    distinct: Option<CsvCell>,
}

impl Decimals {
    fn new() -> Self {
        Self { all: true, numbers: 0, odd: None, distinct: None }
    }

    /// Takes a cell that is not a whole number: `own` says that it is a number with this mark, `other` with the other one.
    fn add(&mut self, own: bool, other: bool, at: &dyn Fn() -> CsvCell) {
        self.numbers += u64::from(own);
        if !own {
            self.all = false;
            self.odd.get_or_insert_with(at);
        } else if !other {
            self.distinct.get_or_insert_with(at);
        }
    }
}

/// The spelling of a column's numbers, which decides if codes can be read as numbers.
#[derive(Debug)]
struct Spelling {
    /// `true` while all numbers are canonical, whole ones without `.0`.
    shortest: bool,
    /// `true` while all numbers are canonical, whole ones with `.0`.
    pointed: bool,
    /// `true` while all are whole and exact as `f64`.
    whole: bool,
    /// `true` once some whole number is not exact as `f64`.
    beyond: bool,
}

/// The inference of a column's type, cell by cell.
#[derive(Debug)]
pub(super) struct TypeInference {
    role: ColumnRole,
    name: String,
    field: usize,
    any: bool,
    integers: bool,
    /// `true` while all are canonical whole numbers without a sign.
    unsigned: bool,
    /// The cells as numbers with a decimal point.
    point: Decimals,
    /// The cells as numbers with a decimal comma.
    comma: Decimals,
    /// The spellings of logical values so far, lower and upper case; `None` once another cell was met.
    booleans: Option<[bool; 2]>,
    spelling: Spelling,
    taken: BTreeMap<String, u64>,
    bounds: Vec<Option<(i64, i64)>>,
}

impl TypeInference {
    pub(super) fn new(name: &str, field: usize, role: ColumnRole) -> Self {
        Self {
            role,
            name: name.to_owned(),
            field,
            any: false,
            integers: true,
            unsigned: true,
            point: Decimals::new(),
            comma: Decimals::new(),
            booleans: Some([false; 2]),
            spelling: Spelling { shortest: true, pointed: true, whole: true, beyond: false },
            taken: BTreeMap::new(),
            bounds: Vec::new(),
        }
    }

    pub(super) fn role(&self) -> ColumnRole {
        self.role
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn field(&self) -> usize {
        self.field
    }

    /// Returns the first number with this decimal mark alone, if all cells are numbers with the mark; `comma` selects it.
    pub(super) fn distinct(&self, comma: bool) -> Option<&CsvCell> {
        let decimals = self.decimals(comma);
        decimals.distinct.as_ref().filter(|_| decimals.all)
    }

    fn decimals(&self, comma: bool) -> &Decimals {
        if comma { &self.comma } else { &self.point }
    }

    /// Starts the next chunk.
    pub(super) fn begin_chunk(&mut self) {
        self.bounds.push(None);
    }

    /// Takes the cell of the next row; `at` makes the position for a message.
    pub(super) fn add(
        &mut self,
        raw: &[u8],
        quoted: bool,
        missing: &MissingSpellings,
        at: &dyn Fn() -> CsvCell,
    ) {
        let cell = raw.trim_ascii();
        if missing.number(cell) {
            if !cell.is_empty() && !quoted && missing.given.is_none() {
                let text = String::from_utf8_lossy(cell);
                match self.taken.get_mut(text.as_ref()) {
                    Some(rows) => *rows += 1,
                    None => {
                        self.taken.insert(text.into_owned(), 1);
                    }
                }
            }
            // A quoted spelling is text, if the column turns out to be text.
            return;
        }
        self.any = true;
        match integer(cell) {
            Some(Number { value, canonical }) => self.whole_number(cell, value, canonical),
            None => self.other(cell, at),
        }
    }

    /// Takes a cell that is a whole number.
    fn whole_number(&mut self, cell: &[u8], value: Option<i64>, canonical: bool) {
        self.booleans = None;
        self.spelling.pointed = false;
        self.spelling.shortest &= canonical;
        self.unsigned &= canonical && cell.first() != Some(&b'-');
        self.point.numbers += 1;
        self.comma.numbers += 1;
        self.spelling.beyond |= value.is_none_or(|value| value.unsigned_abs() > EXACT);
        let Some(value) = value else {
            self.integers = false;
            self.unsigned &= std::str::from_utf8(cell).is_ok_and(|text| text.parse::<u64>().is_ok());
            return;
        };
        if let Some(bounds) = self.bounds.last_mut() {
            *bounds = Some(bounds.map_or((value, value), |(a, b)| (a.min(value), b.max(value))));
        }
    }

    /// Takes a cell that is not a whole number.
    fn other(&mut self, cell: &[u8], at: &dyn Fn() -> CsvCell) {
        (self.integers, self.unsigned) = (false, false);
        if let (Some(seen), true) = (&mut self.booleans, boolean(cell).is_some()) {
            // A column with both `true` and `TRUE` has more spellings than values, and is text.
            seen[usize::from(cell[0].is_ascii_uppercase())] = true;
            self.point.add(false, false, at);
            self.comma.add(false, false, at);
            return;
        }
        self.booleans = None;
        let (point, comma) = (decimal(cell, b'.'), decimal(cell, b','));
        self.point.add(point.is_some(), comma.is_some(), at);
        self.comma.add(comma.is_some(), point.is_some(), at);
        self.add_spelling(cell, point);
    }

    /// Tracks the spelling of codes that are not plain whole numbers.
    fn add_spelling(&mut self, cell: &[u8], point: Option<f64>) {
        if self.role == ColumnRole::Number {
            return;
        }
        let (shortest, pointed) = point.map_or((false, false), |value| canonical(cell, value));
        self.spelling.shortest &= shortest;
        self.spelling.pointed &= pointed;
        self.spelling.whole &=
            point.is_some_and(|value| value == value.trunc() && value.abs() < EXACT as f64);
    }

    /// Returns the column with its type; `comma` says that decimals follow a comma.
    pub(super) fn finish(self, comma: bool) -> CsvColumn {
        let kind = self.kind(comma);
        let decimals = if comma { self.comma } else { self.point };
        CsvColumn {
            kind,
            computed: self.role == ColumnRole::Number,
            pointed: self.spelling.pointed && !self.spelling.shortest && kind == CsvType::Float,
            odd: decimals.odd,
            numbers: decimals.numbers,
            taken: if kind == CsvType::Text { self.taken } else { BTreeMap::new() },
            bounds: if kind == CsvType::Integer { self.bounds } else { Vec::new() },
            name: self.name,
            field: self.field,
        }
    }

    /// Returns the type that all cells fit.
    fn kind(&self, comma: bool) -> CsvType {
        let booleans = self.booleans.is_some_and(|seen| seen != [true; 2]);
        let (number, point) = (self.decimals(comma).all, self.point.all);
        let Spelling { shortest, pointed, whole, beyond } = self.spelling;
        match self.role {
            _ if !self.any => CsvType::Nothing,
            ColumnRole::Number if self.booleans.is_some() => CsvType::Boolean,
            _ if booleans => CsvType::Boolean,
            ColumnRole::Number if self.integers => CsvType::Integer,
            ColumnRole::Number if number => CsvType::Float,
            ColumnRole::Number => CsvType::Text,
            _ if self.integers && shortest => CsvType::Integer,
            _ if self.unsigned => CsvType::Unsigned,
            ColumnRole::Key if point && pointed && whole => CsvType::Float,
            ColumnRole::Level if point && !beyond && (shortest || pointed) => CsvType::Float,
            ColumnRole::Key | ColumnRole::Level => CsvType::Text,
        }
    }
}
