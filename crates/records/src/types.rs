//! One type for a column over all files of a data set. Compatible types are read in one way; incompatible ones are
//! refused with both files and types.

use arrow_schema::DataType;
use stagger_model::error::{Result, StaggerError};

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
pub(crate) enum FileColumnType<'a> {
    /// A column of the file, with its Arrow type.
    InFile(&'a DataType),
    /// A value that the name of the file's folder gives; `None` for Hive's null.
    InFolderName(Option<&'a str>),
}

/// Classes of types that are read in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum TypeClass {
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

impl FileColumnType<'_> {
    /// Returns the class of the type.
    fn base(self) -> TypeClass {
        match self {
            Self::InFile(data_type) => base_of(data_type),
            Self::InFolderName(None) => TypeClass::Nothing,
            Self::InFolderName(Some(text)) if is_plain_integer(text) => TypeClass::Number,
            Self::InFolderName(Some(_)) => TypeClass::Text,
        }
    }

    /// Returns `true` if every value is a number.
    fn is_number(self) -> bool {
        match self {
            Self::InFile(data_type) => super::source::kind_of(data_type) == ColumnKind::Number,
            Self::InFolderName(value) => value.is_none_or(|text| text.trim().parse::<f64>().is_ok()),
        }
    }

    /// Returns the way in which periods or cohorts of this type are read; `None` if the type can't hold them.
    fn period(self) -> Option<PeriodType> {
        match self {
            Self::InFolderName(_) if self.is_number() => Some(PeriodType::Exact),
            Self::InFolderName(_) => Some(PeriodType::Calendar),
            Self::InFile(DataType::Dictionary(_, values)) => FileColumnType::InFile(values).period(),
            Self::InFile(data_type) => match data_type {
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
                    TypeClass::Text | TypeClass::Date => Some(PeriodType::Calendar),
                    TypeClass::Bytes | TypeClass::Fixed | TypeClass::Other => None,
                    _ => Some(PeriodType::Exact),
                },
            },
        }
    }

    /// Formats the type, or the folder's value, for a message.
    pub(crate) fn show(self) -> String {
        match self {
            Self::InFile(data_type) => format!("type {data_type}"),
            Self::InFolderName(Some(value)) => format!("the folder value `{value}`"),
            Self::InFolderName(None) => "Hive's null".to_owned(),
        }
    }
}

/// Returns the class of an Arrow type.
fn base_of(data_type: &DataType) -> TypeClass {
    match data_type {
        DataType::Dictionary(_, values) => base_of(values),
        DataType::Null => TypeClass::Nothing,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => TypeClass::Text,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => TypeClass::Bytes,
        DataType::FixedSizeBinary(_) => TypeClass::Fixed,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => TypeClass::ShortUnsigned,
        DataType::UInt64 => TypeClass::Unsigned,
        t if is_whole(t) || t.is_floating() || *t == DataType::Boolean => TypeClass::Number,
        t if t.is_numeric() => TypeClass::Decimal,
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _) => TypeClass::Date,
        _ => TypeClass::Other,
    }
}

/// Returns `true` if text is the canonical spelling of a whole number.
fn is_plain_integer(text: &str) -> bool {
    text.parse::<i64>().is_ok_and(|value| value.to_string() == text)
}

impl SourceFile {
    /// Returns the type of a column in this file.
    pub(crate) fn column(&self, name: &str) -> Option<FileColumnType<'_>> {
        match self.schema.field_with_name(name) {
            Ok(field) => Some(FileColumnType::InFile(field.data_type())),
            Err(_) => self.hive(name).map(|value| FileColumnType::InFolderName(value.as_deref())),
        }
    }
}

impl Source {
    /// Returns the files that have a column, with its type in each.
    fn parts<'a>(&'a self, column: &'a str) -> impl Iterator<Item = (&'a SourceFile, FileColumnType<'a>)> {
        self.files.iter().filter_map(move |file| Some((file, file.column(column)?)))
    }

    /// Returns the classes of a column's types over all files, each once.
    fn bases(&self, argument: &str, column: &str) -> Result<Vec<TypeClass>> {
        self.require_column(argument, column)?;
        let mut bases: Vec<TypeClass> = self.parts(column).map(|(_, part)| part.base()).collect();
        bases.sort_unstable();
        bases.dedup();
        bases.retain(|base| *base != TypeClass::Nothing);
        Ok(bases)
    }

    /// Refuses a column that is not numeric in some file.
    ///
    /// # Errors
    /// A file that lacks the column, one in which it is not numeric, or two whose types are incompatible.
    pub fn require_number(&self, argument: &str, column: &str) -> Result<()> {
        self.require_column(argument, column)?;
        self.require_only_numbers(argument, column)?;
        let Some((file, part)) = self.parts(column).find(|(_, part)| !part.is_number()) else {
            return Ok(());
        };
        let is_sure = |part: &FileColumnType<'_>| part.is_number() && part.base() != TypeClass::Nothing;
        match self.parts(column).find(|(_, other)| is_sure(other)) {
            Some(other) => Err(type_mismatch_error(column, other, (file, part))),
            None => Err(self.wrong_type_error(argument, column)),
        }
    }

    /// Returns the way in which the periods or cohorts of a column are read: the file that needs most care decides.
    ///
    /// # Errors
    /// A file that lacks the column, or in which it can't hold periods.
    pub fn period_type(&self, argument: &str, column: &str) -> Result<PeriodType> {
        self.require_column(argument, column)?;
        let types: Option<Vec<PeriodType>> = self.parts(column).map(|(_, part)| part.period()).collect();
        match types {
            Some(types) => Ok(types.into_iter().max().unwrap_or(PeriodType::Exact)),
            None => Err(self.wrong_type_error(argument, column)),
        }
    }

    /// Returns the kind of a formula's variable: a number, or text, which is a factor.
    ///
    /// # Errors
    /// A column that some file lacks, or that has another type.
    pub fn variable_kind(&self, argument: &str, column: &str) -> Result<ColumnKind> {
        self.require_column(argument, column)?;
        if self.parts(column).all(|(_, part)| part.is_number()) {
            return Ok(ColumnKind::Number);
        }
        self.as_text(argument, column)?;
        Ok(ColumnKind::Text)
    }

    /// Returns the type of a factor's levels.
    ///
    /// # Errors
    /// Those of [`Source::variable_kind`].
    pub fn level_kind(&self, argument: &str, column: &str) -> Result<LevelKind> {
        let bases = self.bases(argument, column)?;
        if bases.iter().any(|base| *base > TypeClass::Decimal) {
            self.as_text(argument, column)?;
            return Ok(LevelKind::Text);
        }
        Ok(if self.fits_doubles(column) { LevelKind::Number } else { LevelKind::Code })
    }

    /// Returns the type of a column's identifiers.
    ///
    /// # Errors
    /// Those of [`Source::variable_kind`].
    pub fn key_kind(&self, argument: &str, column: &str) -> Result<KeyKind> {
        let bases = self.bases(argument, column)?;
        if bases.iter().any(|base| *base > TypeClass::Decimal) {
            self.as_text(argument, column)?;
            return Ok(KeyKind::Text);
        }
        Ok(match bases.last() {
            Some(TypeClass::Decimal) => KeyKind::Decimal,
            Some(TypeClass::Unsigned) if !bases.contains(&TypeClass::Number) => KeyKind::Unsigned,
            _ => KeyKind::Integer,
        })
    }

    /// Refuses a column that can't be read as text, or as bytes, in all files.
    fn as_text(&self, argument: &str, column: &str) -> Result<()> {
        if self.parts(column).any(|(_, part)| part.base() == TypeClass::Other) {
            return Err(self.wrong_type_error(argument, column));
        }
        let clash = |a: TypeClass, b: TypeClass| match (a, b) {
            (TypeClass::Fixed, other) | (other, TypeClass::Fixed) => {
                !matches!(other, TypeClass::Fixed | TypeClass::Bytes)
            }
            (TypeClass::Bytes, other) | (other, TypeClass::Bytes) => {
                !matches!(other, TypeClass::Bytes | TypeClass::Text)
            }
            (TypeClass::Date, other) | (other, TypeClass::Date) => {
                !matches!(other, TypeClass::Date | TypeClass::Text)
            }
            _ => false,
        };
        let known: Vec<_> =
            self.parts(column).filter(|(_, part)| part.base() != TypeClass::Nothing).collect();
        let Some(&first) = known.first() else { return Ok(()) };
        match known.iter().find(|(_, part)| clash(first.1.base(), part.base())) {
            Some(&second) => Err(type_mismatch_error(column, first, second)),
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
            Some(FileColumnType::InFile(DataType::Dictionary(_, values))) => short(values),
            Some(FileColumnType::InFile(data_type)) => short(data_type),
            Some(FileColumnType::InFolderName(value)) => {
                value.is_none_or(|text| text.parse::<i64>().is_ok_and(|v| i128::from(v).abs() <= WHOLE))
            }
            None => true,
        };
        let bounded = |chunk: &super::Chunk| {
            let bounds = self.integer_bounds(chunk, column);
            bounds.is_some_and(|(least, most)| least.abs() <= WHOLE && most.abs() <= WHOLE)
        };
        self.chunks.iter().all(|chunk| fits(chunk.file) || bounded(chunk))
    }

    /// Returns the error for a column whose type does not fit an argument.
    pub fn wrong_type_error(&self, argument: &str, column: &str) -> StaggerError {
        let found = self.parts(column).find(|(_, part)| part.base() != TypeClass::Nothing);
        let (shown, base) =
            found.map_or((String::new(), TypeClass::Other), |(_, part)| (part.show(), part.base()));
        let hint = match (argument, base) {
            ("idname" | "clustervars", _) => "identifiers must be numbers, text or bytes",
            ("xformla", TypeClass::Date) => {
                "convert dates to numbers first, or take them as levels by factor()"
            }
            (_, TypeClass::Date) => "convert dates to numbers first, for instance to days since a start",
            _ => MUST_BE_NUMERIC,
        };
        StaggerError::input(format!("{argument}: column `{column}` has {shown}, which can't be used here"))
            .with_hint(hint)
    }
}

/// Returns the error for two files in which a column has incompatible types.
pub(crate) fn type_mismatch_error(
    column: &str,
    (first, of_first): (&SourceFile, FileColumnType<'_>),
    (second, of_second): (&SourceFile, FileColumnType<'_>),
) -> StaggerError {
    StaggerError::input(format!(
        "column `{column}` has {} in `{}` but {} in `{}`",
        of_first.show(),
        first.input.name(),
        of_second.show(),
        second.input.name()
    ))
    .with_hint("write the files with one schema")
}
