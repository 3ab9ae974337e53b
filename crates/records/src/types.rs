//! One type for a column over all files of a data set. Compatible types are read in one way; incompatible ones are
//! refused with both files and types.

use arrow::datatypes::DataType;
use stagger_model::error::{EngineError, Result};

use super::file::SourceFile;
use super::keys::KeyKind;
use super::source::{ColumnKind, Source};

/// The hint for a column that is not numeric.
pub(super) const MUST_BE_NUMERIC: &str = "it must be numeric";
/// The number of decimal digits that 64 bits always hold.
pub(super) const SHORT: u8 = 18;
/// The number of decimal digits that an `f64` distinguishes.
const EXACT: u8 = 15;
/// The largest whole number up to which all whole numbers are exact as `f64`.
const WHOLE: i128 = 1 << 53;

/// The type of a column in one file.
#[derive(Clone, Copy, Debug)]
pub enum ColumnType<'a> {
    /// A column of the file, with its Arrow type.
    Own(&'a DataType),
    /// A value that the name of the file's folder gives; `None` for Hive's null.
    Folder(Option<&'a str>),
}

/// Classes of types that are read in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Base {
    /// Every row is missing: compatible with all types.
    Nothing,
    /// Signed integers of up to 64 bits, logicals and floats.
    Number,
    /// Unsigned integers of up to 32 bits.
    ShortUnsigned,
    /// Unsigned integers of 64 bits.
    Unsigned,
    /// Decimal numbers of more digits.
    Decimal,
    /// Text.
    Text,
    /// Bytes of variable length.
    Bytes,
    /// Bytes of fixed length.
    Fixed,
    /// Dates and times.
    Date,
    /// Lists, structs and the like.
    Other,
}

/// The way in which periods and cohorts are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PeriodType {
    /// Exact numbers.
    Exact,
    /// Numbers of a type that does not hold fractions exactly.
    Inexact,
    /// Dates, or text that may hold dates.
    Calendar,
}

/// The type of a factor's levels, which decides how they are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LevelKind {
    /// Numbers that are exact as `f64`.
    Number,
    /// Numbers that are not exact as `f64`, compared by their digits.
    Code,
    /// Text.
    Text,
}

/// Returns `true` for types of whole numbers that fit 64 bits.
pub(super) fn is_whole(data_type: &DataType) -> bool {
    match data_type {
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) => *scale == 0,
        DataType::Decimal128(precision, scale) => *scale == 0 && *precision <= SHORT,
        other => other.is_integer(),
    }
}

impl ColumnType<'_> {
    /// Returns the class of the type.
    fn base(self) -> Base {
        match self {
            Self::Own(data_type) => base_of(data_type),
            Self::Folder(None) => Base::Nothing,
            Self::Folder(Some(text)) if is_plain_integer(text) => Base::Number,
            Self::Folder(Some(_)) => Base::Text,
        }
    }

    /// Returns `true` if every value is a number.
    fn is_number(self) -> bool {
        match self {
            Self::Own(data_type) => super::source::kind_of(data_type) == ColumnKind::Number,
            Self::Folder(value) => value.is_none_or(|text| text.trim().parse::<f64>().is_ok()),
        }
    }

    /// Returns the way in which periods or cohorts of this type are read; `None` if the type can't hold them.
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

    /// Formats the type, or the folder's value, for a message.
    pub fn show(self) -> String {
        match self {
            Self::Own(data_type) => format!("type {data_type}"),
            Self::Folder(Some(value)) => format!("the folder value `{value}`"),
            Self::Folder(None) => "Hive's null".to_owned(),
        }
    }
}

/// Returns the class of an Arrow type.
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

/// Returns `true` if text is the canonical spelling of a whole number.
fn is_plain_integer(text: &str) -> bool {
    text.parse::<i64>().is_ok_and(|value| value.to_string() == text)
}

impl SourceFile {
    /// Returns the type of a column in this file.
    pub fn column(&self, name: &str) -> Option<ColumnType<'_>> {
        match self.schema.field_with_name(name) {
            Ok(field) => Some(ColumnType::Own(field.data_type())),
            Err(_) => self.hive(name).map(|value| ColumnType::Folder(value.as_deref())),
        }
    }
}

impl Source {
    /// Returns the files that have a column, with its type in each.
    fn parts<'a>(&'a self, column: &'a str) -> impl Iterator<Item = (&'a SourceFile, ColumnType<'a>)> {
        self.files.iter().filter_map(move |file| Some((file, file.column(column)?)))
    }

    /// Returns the classes of a column's types over all files, each once.
    fn bases(&self, argument: &str, column: &str) -> Result<Vec<Base>> {
        self.all_have(argument, column)?;
        let mut bases: Vec<Base> = self.parts(column).map(|(_, part)| part.base()).collect();
        bases.sort_unstable();
        bases.dedup();
        bases.retain(|base| *base != Base::Nothing);
        Ok(bases)
    }

    /// Refuses a column that is not numeric in some file.
    ///
    /// # Errors
    /// A file that lacks the column, one in which it is not numeric, or two whose types are incompatible.
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

    /// Returns the way in which the periods or cohorts of a column are read: the file that needs most care decides.
    ///
    /// # Errors
    /// A file that lacks the column, or in which it can't hold periods.
    pub fn periods(&self, argument: &str, column: &str) -> Result<PeriodType> {
        self.all_have(argument, column)?;
        let types: Option<Vec<PeriodType>> = self.parts(column).map(|(_, part)| part.period()).collect();
        match types {
            Some(types) => Ok(types.into_iter().max().unwrap_or(PeriodType::Exact)),
            None => Err(self.wrong_type(argument, column)),
        }
    }

    /// Returns the kind of a formula's variable: a number, or text, which is a factor.
    ///
    /// # Errors
    /// A column that some file lacks, or that has another type.
    pub fn variable(&self, argument: &str, column: &str) -> Result<ColumnKind> {
        self.all_have(argument, column)?;
        if self.parts(column).all(|(_, part)| part.is_number()) {
            return Ok(ColumnKind::Number);
        }
        self.as_text(argument, column)?;
        Ok(ColumnKind::Text)
    }

    /// Returns the type of a factor's levels.
    ///
    /// # Errors
    /// Those of [`Source::variable`].
    pub fn levels(&self, argument: &str, column: &str) -> Result<LevelKind> {
        let bases = self.bases(argument, column)?;
        if bases.iter().any(|base| *base > Base::Decimal) {
            self.as_text(argument, column)?;
            return Ok(LevelKind::Text);
        }
        Ok(if self.fits_doubles(column) { LevelKind::Number } else { LevelKind::Code })
    }

    /// Returns the type of a column's identifiers.
    ///
    /// # Errors
    /// Those of [`Source::variable`].
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

    /// Refuses a column that can't be read as text, or as bytes, in all files.
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

    /// Returns `true` if all whole and decimal numbers of a column are exact as `f64`, by their type or the footers.
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

    /// Returns the error for a column whose type does not fit an argument.
    pub fn wrong_type(&self, argument: &str, column: &str) -> EngineError {
        let found = self.parts(column).find(|(_, part)| part.base() != Base::Nothing);
        let (shown, base) =
            found.map_or((String::new(), Base::Other), |(_, part)| (part.show(), part.base()));
        let hint = match (argument, base) {
            ("idname" | "clustervars", _) => "identifiers must be numbers, text or bytes",
            ("xformla", Base::Date) => "convert dates to numbers first, or take them as levels by factor()",
            (_, Base::Date) => "convert dates to numbers first, for instance to days since a start",
            _ => MUST_BE_NUMERIC,
        };
        EngineError::input(format!("{argument}: column `{column}` has {shown}, which can't be used here"))
            .with_hint(hint)
    }
}

/// Returns the error for two files in which a column has incompatible types.
pub fn differ(
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
