//! One type for a column over all files of a data set: parts that were written with other types are read alike, and what can't be is
//! refused with both files and types.

use arrow::datatypes::DataType;

use super::file::SourceFile;
use super::keys::KeyKind;
use super::source::{ColumnKind, Source};
use crate::error::{EngineError, Result};

/// Decimal digits that 64 bits always hold.
pub(super) const SHORT: u8 = 18;
/// Decimal digits that a double tells apart.
const EXACT: u8 = 15;
/// Whole numbers up to this one are doubles.
const WHOLE: i128 = 1 << 53;

/// What a column is in one file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ColumnType<'a> {
    /// A column of the file.
    Own(&'a DataType),
    /// The value that the file's folder has for it; `None` for Hive's null.
    Folder(Option<&'a str>),
}

/// Types that are read alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Base {
    /// Missing in every row: goes with everything.
    Nothing,
    /// Whole numbers that fit 64 bits with a sign, logicals and floats.
    Number,
    /// Whole numbers without a sign, of up to 32 bits.
    ShortUnsigned,
    /// Whole numbers of 64 bits without a sign.
    Unsigned,
    /// Decimal numbers of more digits.
    Decimal,
    /// Text.
    Text,
    /// Bytes of any length.
    Bytes,
    /// As many bytes in every row.
    Fixed,
    /// Dates and times.
    Date,
    /// Lists, structs and the like.
    Other,
}

/// How periods and cohorts are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PeriodType {
    /// Numbers that are what they are.
    Exact,
    /// Numbers of a type that does not hold fractions exactly.
    Inexact,
    /// Dates, or text that may be dates.
    Calendar,
}

/// How the levels of a factor are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LevelKind {
    /// Numbers that doubles hold exactly.
    Number,
    /// Numbers that they don't.
    Code,
    /// Text.
    Text,
}

/// Whether a type is one of whole numbers.
pub(super) fn is_whole(data_type: &DataType) -> bool {
    match data_type {
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) => *scale == 0,
        DataType::Decimal128(precision, scale) => *scale == 0 && *precision <= SHORT,
        other => other.is_integer(),
    }
}

impl ColumnType<'_> {
    fn base(self) -> Base {
        match self {
            Self::Own(data_type) => base_of(data_type),
            Self::Folder(None) => Base::Nothing,
            Self::Folder(Some(text)) if is_plain_integer(text) => Base::Number,
            Self::Folder(Some(_)) => Base::Text,
        }
    }

    /// Whether every value is a number.
    fn is_number(self) -> bool {
        match self {
            Self::Own(data_type) => super::source::kind_of(data_type) == ColumnKind::Number,
            Self::Folder(value) => value.is_none_or(|text| text.trim().parse::<f64>().is_ok()),
        }
    }

    /// How a period or cohort of this type is read; `None` if it is none.
    fn period(self) -> Option<PeriodType> {
        match self {
            Self::Folder(_) if self.is_number() => Some(PeriodType::Exact),
            Self::Folder(_) => Some(PeriodType::Calendar),
            Self::Own(DataType::Dictionary(_, values)) => ColumnType::Own(values).period(),
            Self::Own(data_type) => match data_type {
                DataType::Float16 | DataType::Float32 => Some(PeriodType::Inexact),
                DataType::Decimal32(_, scale)
                | DataType::Decimal64(_, scale)
                | DataType::Decimal128(_, scale)
                | DataType::Decimal256(_, scale)
                    if *scale > 0 =>
                {
                    Some(PeriodType::Inexact)
                }
                _ => match self.base() {
                    Base::Text | Base::Date => Some(PeriodType::Calendar),
                    Base::Bytes | Base::Fixed | Base::Other => None,
                    _ => Some(PeriodType::Exact),
                },
            },
        }
    }

    /// The type for a message, or the folder's value.
    pub(crate) fn show(self) -> String {
        match self {
            Self::Own(data_type) => format!("type {data_type}"),
            Self::Folder(Some(value)) => format!("the folder value `{value}`"),
            Self::Folder(None) => "Hive's null".to_owned(),
        }
    }
}

fn base_of(data_type: &DataType) -> Base {
    match data_type {
        DataType::Dictionary(_, values) => base_of(values),
        DataType::Null => Base::Nothing,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Base::Text,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Base::Bytes,
        DataType::FixedSizeBinary(_) => Base::Fixed,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => Base::ShortUnsigned,
        DataType::UInt64 => Base::Unsigned,
        t if is_whole(t) || t.is_floating() || *t == DataType::Boolean => Base::Number,
        t if t.is_numeric() => Base::Decimal,
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _) => Base::Date,
        _ => Base::Other,
    }
}

/// Whether text is a whole number as it would be written again.
fn is_plain_integer(text: &str) -> bool {
    text.parse::<i64>().is_ok_and(|value| value.to_string() == text)
}

impl SourceFile {
    /// What a column is in this file.
    pub(crate) fn column(&self, name: &str) -> Option<ColumnType<'_>> {
        match self.schema.field_with_name(name) {
            Ok(field) => Some(ColumnType::Own(field.data_type())),
            Err(_) => self.hive(name).map(|value| ColumnType::Folder(value.as_deref())),
        }
    }
}

impl Source {
    /// A column in every file that has it.
    fn parts<'a>(&'a self, column: &'a str) -> impl Iterator<Item = (&'a SourceFile, ColumnType<'a>)> {
        self.files.iter().filter_map(move |file| Some((file, file.column(column)?)))
    }

    /// The bases of a column over all files, each once.
    fn bases(&self, argument: &str, column: &str) -> Result<Vec<Base>> {
        self.all_have(argument, column)?;
        let mut bases: Vec<Base> = self.parts(column).map(|(_, part)| part.base()).collect();
        bases.sort_unstable();
        bases.dedup();
        bases.retain(|base| *base != Base::Nothing);
        Ok(bases)
    }

    /// Refuses a column that is no number in some file.
    ///
    /// # Errors
    /// A file without the column, one in which it is no number, or two that disagree.
    pub fn number(&self, argument: &str, column: &str) -> Result<()> {
        self.all_have(argument, column)?;
        self.numbers_alone(argument, column)?;
        let Some((file, part)) = self.parts(column).find(|(_, part)| !part.is_number()) else {
            return Ok(());
        };
        let is_sure = |part: &ColumnType<'_>| part.is_number() && part.base() != Base::Nothing;
        match self.parts(column).find(|(_, other)| is_sure(other)) {
            Some(other) => Err(differ(column, other, (file, part))),
            None => Err(self.wrong_type(argument, column)),
        }
    }

    /// How the periods or cohorts of a column are read: as the part that needs most care asks.
    ///
    /// # Errors
    /// A file without the column, or in which it can't be a period.
    pub fn periods(&self, argument: &str, column: &str) -> Result<PeriodType> {
        self.all_have(argument, column)?;
        let types: Option<Vec<PeriodType>> = self.parts(column).map(|(_, part)| part.period()).collect();
        match types {
            Some(types) => Ok(types.into_iter().max().unwrap_or(PeriodType::Exact)),
            None => Err(self.wrong_type(argument, column)),
        }
    }

    /// What a variable of a formula is by itself: a number, or text, which is a factor.
    ///
    /// # Errors
    /// A column that some file lacks, or that is neither.
    pub fn variable(&self, argument: &str, column: &str) -> Result<ColumnKind> {
        self.all_have(argument, column)?;
        if self.parts(column).all(|(_, part)| part.is_number()) {
            return Ok(ColumnKind::Number);
        }
        self.as_text(argument, column)?;
        Ok(ColumnKind::Text)
    }

    /// How the levels of a factor are told apart.
    ///
    /// # Errors
    /// As [`Source::variable`].
    pub fn levels(&self, argument: &str, column: &str) -> Result<LevelKind> {
        let bases = self.bases(argument, column)?;
        if bases.iter().any(|base| *base > Base::Decimal) {
            self.as_text(argument, column)?;
            return Ok(LevelKind::Text);
        }
        Ok(if self.fits_doubles(column) { LevelKind::Number } else { LevelKind::Code })
    }

    /// How identifiers are compared.
    ///
    /// # Errors
    /// As [`Source::variable`].
    pub fn keys(&self, argument: &str, column: &str) -> Result<KeyKind> {
        let bases = self.bases(argument, column)?;
        if bases.iter().any(|base| *base > Base::Decimal) {
            self.as_text(argument, column)?;
            return Ok(KeyKind::Text);
        }
        Ok(match bases.last() {
            Some(Base::Decimal) => KeyKind::Decimal,
            Some(Base::Unsigned) if !bases.contains(&Base::Number) => KeyKind::Unsigned,
            _ => KeyKind::Integer,
        })
    }

    /// Refuses a column whose files can't all be read as text, or as bytes.
    fn as_text(&self, argument: &str, column: &str) -> Result<()> {
        if self.parts(column).any(|(_, part)| part.base() == Base::Other) {
            return Err(self.wrong_type(argument, column));
        }
        let clash = |a: Base, b: Base| match (a, b) {
            (Base::Fixed, other) | (other, Base::Fixed) => !matches!(other, Base::Fixed | Base::Bytes),
            (Base::Bytes, other) | (other, Base::Bytes) => !matches!(other, Base::Bytes | Base::Text),
            (Base::Date, other) | (other, Base::Date) => !matches!(other, Base::Date | Base::Text),
            _ => false,
        };
        let known: Vec<_> = self.parts(column).filter(|(_, part)| part.base() != Base::Nothing).collect();
        let Some(&first) = known.first() else { return Ok(()) };
        match known.iter().find(|(_, part)| clash(first.1.base(), part.base())) {
            Some(&second) => Err(differ(column, first, second)),
            None => Ok(()),
        }
    }

    /// Whether all whole and decimal numbers of a column are doubles, by their type or the footers.
    fn fits_doubles(&self, column: &str) -> bool {
        let short = |data_type: &DataType| match data_type {
            DataType::Int64 | DataType::UInt64 => false,
            DataType::Decimal32(_, _) => true,
            DataType::Decimal64(precision, _)
            | DataType::Decimal128(precision, _)
            | DataType::Decimal256(precision, _) => *precision <= EXACT,
            _ => true,
        };
        let fits = |file: usize| match self.files[file].column(column) {
            Some(ColumnType::Own(DataType::Dictionary(_, values))) => short(values),
            Some(ColumnType::Own(data_type)) => short(data_type),
            Some(ColumnType::Folder(value)) => {
                value.is_none_or(|text| text.parse::<i64>().is_ok_and(|v| i128::from(v).abs() <= WHOLE))
            }
            None => true,
        };
        let bounded = |chunk: &super::Chunk| {
            let bounds = self.statistics(chunk, column);
            bounds.is_some_and(|(least, most)| least.abs() <= WHOLE && most.abs() <= WHOLE)
        };
        self.chunks.iter().all(|chunk| fits(chunk.file) || bounded(chunk))
    }

    /// The error for a column that has a type which can't be used for an argument.
    pub(crate) fn wrong_type(&self, argument: &str, column: &str) -> EngineError {
        let found = self.parts(column).find(|(_, part)| part.base() != Base::Nothing);
        let (shown, base) =
            found.map_or((String::new(), Base::Other), |(_, part)| (part.show(), part.base()));
        let hint = match (argument, base) {
            ("idname" | "clustervars", _) => "identifiers must be numbers, text or bytes",
            ("xformla", Base::Date) => "convert dates to numbers first, or take them as levels by factor()",
            (_, Base::Date) => "convert dates to numbers first, for instance to days since a start",
            _ => "it must be numeric",
        };
        EngineError::input(format!("{argument}: column `{column}` has {shown}, which can't be used here"))
            .with_hint(hint)
    }
}

/// The error for two files in which a column has types that can't be read alike.
pub(crate) fn differ(
    column: &str,
    (first, of_first): (&SourceFile, ColumnType<'_>),
    (second, of_second): (&SourceFile, ColumnType<'_>),
) -> EngineError {
    EngineError::input(format!(
        "column `{column}` has {} in `{}` but {} in `{}`",
        of_first.show(),
        first.input.name(),
        of_second.show(),
        second.input.name()
    ))
    .with_hint("write the files with one schema")
}
