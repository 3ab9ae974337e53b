//! What a column of a CSV file is, from its cells: guessed while the file is looked through once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cell::{Number, boolean, canonical, decimal, integer};
use super::options::Role;

/// Spellings of a missing value where no option names others.
const MISSING: [&[u8]; 6] = [b"NA", b"NaN", b"nan", b"NULL", b"null", b"."];

/// Whole numbers up to this one are told apart as floats.
const EXACT: u64 = 1 << 53;

/// How the cells of a column are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// All are missing.
    Nothing,
    Boolean,
    Integer,
    /// Whole numbers, some of which need 64 bits without a sign.
    Unsigned,
    Float,
    Text,
}

/// A cell, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cell {
    /// Row of the data, from 1.
    pub(crate) row: u64,
    /// Line of the file, from 1.
    pub(crate) line: u64,
    pub(crate) text: String,
}

/// A column of the file that is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// Place among the fields of a record.
    pub(crate) field: usize,
    /// It is computed with, where it is a number.
    pub(crate) computed: bool,
    pub(crate) kind: Kind,
    /// Whole numbers are all written as `1.0`, others as they are shortest with a decimal point.
    pub(crate) pointed: bool,
    /// The first cell that is no number.
    pub(crate) odd: Option<Cell>,
    /// Cells that are numbers.
    pub(crate) numbers: u64,
    /// Rows of a column of text in which a spelling of a missing value stands without quotes, by spelling.
    pub(crate) taken: BTreeMap<String, u64>,
    /// By chunk: least and largest of whole numbers.
    pub(crate) bounds: Vec<Option<(i64, i64)>>,
}

/// Which cells are missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Missing {
    /// Texts that were given; `None` for the usual ones.
    pub(crate) given: Option<Vec<String>>,
}

impl Missing {
    /// Whether a cell is missing in a column of numbers.
    pub(super) fn number(&self, cell: &[u8]) -> bool {
        cell.is_empty() || self.spelled(cell)
    }

    /// Whether a cell is missing in a column of text: empty, or of the texts that were given.
    pub(super) fn text(&self, cell: &[u8]) -> bool {
        cell.is_empty() || (self.given.is_some() && self.spelled(cell.trim_ascii()))
    }

    fn spelled(&self, cell: &[u8]) -> bool {
        match &self.given {
            None => MISSING.contains(&cell),
            Some(given) => given.iter().any(|text| text.as_bytes() == cell),
        }
    }
}

/// What is known of a column so far.
#[derive(Debug)]
pub(super) struct Guess {
    role: Role,
    name: String,
    field: usize,
    any: bool,
    integers: bool,
    /// All are whole numbers without a sign.
    unsigned: bool,
    /// All are numbers with a decimal point, or a decimal comma.
    pub(super) point: bool,
    pub(super) comma: bool,
    /// A number that has one.
    pub(super) with_point: Option<Cell>,
    pub(super) with_comma: Option<Cell>,
    booleans: Option<[bool; 2]>,
    /// All numbers are written as they would be again, whole ones without or with `.0`.
    shortest: bool,
    pointed: bool,
    /// All are whole and tell themselves from their neighbours as floats.
    whole: bool,
    /// Some whole number does not, as a float.
    beyond: bool,
    odd: [Option<Cell>; 2],
    numbers: [u64; 2],
    taken: BTreeMap<String, u64>,
    bounds: Vec<Option<(i64, i64)>>,
}

impl Guess {
    pub(super) fn new(name: &str, field: usize, role: Role) -> Self {
        Self {
            role,
            name: name.to_owned(),
            field,
            any: false,
            integers: true,
            unsigned: true,
            point: true,
            comma: true,
            with_point: None,
            with_comma: None,
            booleans: Some([false; 2]),
            shortest: true,
            pointed: true,
            whole: true,
            beyond: false,
            odd: [None, None],
            numbers: [0; 2],
            taken: BTreeMap::new(),
            bounds: Vec::new(),
        }
    }

    pub(super) fn role(&self) -> Role {
        self.role
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn field(&self) -> usize {
        self.field
    }

    /// Begins the next chunk.
    pub(super) fn begin_chunk(&mut self) {
        self.bounds.push(None);
    }

    /// Looks at the cell of the next row; `at` makes the place for a message.
    pub(super) fn add(&mut self, raw: &[u8], quoted: bool, missing: &Missing, at: &dyn Fn() -> Cell) {
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
            // In quotes it is text, if the column turns out to be.
            return;
        }
        self.any = true;
        match integer(cell) {
            Some(Number { value, canonical }) => self.whole_number(cell, value, canonical),
            None => self.other(cell, at),
        }
    }

    fn whole_number(&mut self, cell: &[u8], value: Option<i64>, canonical: bool) {
        self.booleans = None;
        self.pointed = false;
        self.shortest &= canonical;
        self.unsigned &= canonical && cell.first() != Some(&b'-');
        self.numbers.iter_mut().for_each(|count| *count += 1);
        self.beyond |= value.is_none_or(|value| value.unsigned_abs() > EXACT);
        let Some(value) = value else {
            self.integers = false;
            self.unsigned &= std::str::from_utf8(cell).is_ok_and(|text| text.parse::<u64>().is_ok());
            return;
        };
        if let Some(bounds) = self.bounds.last_mut() {
            *bounds = Some(bounds.map_or((value, value), |(a, b)| (a.min(value), b.max(value))));
        }
    }

    fn other(&mut self, cell: &[u8], at: &dyn Fn() -> Cell) {
        (self.integers, self.unsigned) = (false, false);
        if let (Some(seen), true) = (&mut self.booleans, boolean(cell).is_some()) {
            // `true` beside `TRUE` is one spelling more than there are values.
            seen[usize::from(cell[0].is_ascii_uppercase())] = true;
            self.odd.iter_mut().for_each(|odd| *odd = odd.take().or_else(|| Some(at())));
            (self.point, self.comma) = (false, false);
            return;
        }
        self.booleans = None;
        let (point, comma) = (decimal(cell, b'.'), decimal(cell, b','));
        for (slot, number) in [point.is_some(), comma.is_some()].into_iter().enumerate() {
            self.numbers[slot] += u64::from(number);
            if !number && self.odd[slot].is_none() {
                self.odd[slot] = Some(at());
            }
        }
        self.point &= point.is_some();
        self.comma &= comma.is_some();
        if point.is_some() && comma.is_none() && self.with_point.is_none() {
            self.with_point = Some(at());
        }
        if comma.is_some() && point.is_none() && self.with_comma.is_none() {
            self.with_comma = Some(at());
        }
        self.spelling(cell, point);
    }

    /// How codes that are no plain whole numbers are written.
    fn spelling(&mut self, cell: &[u8], point: Option<f64>) {
        if self.role == Role::Number {
            return;
        }
        let (shortest, pointed) = point.map_or((false, false), |value| canonical(cell, value));
        self.shortest &= shortest;
        self.pointed &= pointed;
        self.whole &= point.is_some_and(|value| value == value.trunc() && value.abs() < EXACT as f64);
    }

    /// What the column is, with numbers written with `,` or `.` before their decimals.
    pub(super) fn finish(self, comma: bool) -> Column {
        let kind = self.kind(comma);
        let slot = usize::from(comma);
        let [point_odd, comma_odd] = self.odd;
        Column {
            kind,
            computed: self.role == Role::Number,
            pointed: self.pointed && !self.shortest && kind == Kind::Float,
            odd: if comma { comma_odd } else { point_odd },
            numbers: self.numbers[slot],
            taken: if kind == Kind::Text { self.taken } else { BTreeMap::new() },
            bounds: if kind == Kind::Integer { self.bounds } else { Vec::new() },
            name: self.name,
            field: self.field,
        }
    }

    fn kind(&self, comma: bool) -> Kind {
        let booleans = self.booleans.is_some_and(|seen| seen != [true; 2]);
        let number = if comma { self.comma } else { self.point };
        match self.role {
            _ if !self.any => Kind::Nothing,
            Role::Number if self.booleans.is_some() => Kind::Boolean,
            _ if booleans => Kind::Boolean,
            Role::Number if self.integers => Kind::Integer,
            Role::Number if number => Kind::Float,
            Role::Number => Kind::Text,
            _ if self.integers && self.shortest => Kind::Integer,
            _ if self.unsigned => Kind::Unsigned,
            Role::Key if self.point && self.pointed && self.whole => Kind::Float,
            Role::Level if self.point && !self.beyond && (self.shortest || self.pointed) => Kind::Float,
            Role::Key | Role::Level => Kind::Text,
        }
    }
}
