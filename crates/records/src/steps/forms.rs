//! One type for each column over all files of an input, and the conversion of each file's columns to it.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, new_null_array};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use stagger_model::error::{Result, StaggerError};

use crate::expression::Values;
use crate::source::{ColumnKind, Source, kind_of};
use crate::types::FileColumnType;

/// The columns of a source, each with its type over all files.
pub(super) struct Forms {
    pub(super) schema: SchemaRef,
}

impl Forms {
    /// Finds the types of columns.
    ///
    /// # Errors
    /// A column that a file lacks, and types that do not fit together.
    pub(super) fn find(source: &Source, columns: &[String]) -> Result<Self> {
        let mut fields = Vec::with_capacity(columns.len());
        for column in columns {
            source.require_column("steps", column)?;
            fields.push(Field::new(column, form(source, column)?, true));
        }
        Ok(Self { schema: Arc::new(Schema::new(fields)) })
    }

    /// Converts the columns of a file.
    ///
    /// # Errors
    /// Values that do not have the type.
    pub(super) fn convert(&self, arrays: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        self.schema.fields().iter().zip(arrays).map(|(field, array)| convert(field, array)).collect()
    }
}

/// Returns the type of a column over all files.
fn form(source: &Source, column: &str) -> Result<DataType> {
    let mut found: Option<DataType> = None;
    for file in &source.files {
        let own = match file.column(column) {
            Some(FileColumnType::InFile(data_type)) => plain(data_type),
            Some(FileColumnType::InFolderName(value)) => folder_type(value),
            None => continue,
        };
        found = Some(match found {
            None => own,
            Some(known) => joined(&known, &own).ok_or_else(|| {
                let (known, own) = (known.to_string(), own.to_string());
                StaggerError::input(format!(
                    "column `{column}` has type {known} in some files and {own} in others"
                ))
                .with_hint("write the files with one schema")
            })?,
        });
    }
    Ok(found.unwrap_or(DataType::Null))
}

/// Returns the type of a column without its encoding.
fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => plain(values),
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        other => other.clone(),
    }
}

/// The value of a folder's name is a whole number if it is written as one.
fn folder_type(value: Option<&str>) -> DataType {
    match value {
        None => DataType::Null,
        Some(text) if text.parse::<i64>().is_ok_and(|number| number.to_string() == text) => DataType::Int64,
        Some(_) => DataType::Utf8,
    }
}

/// Returns the type that holds the values of both.
pub(super) fn joined(a: &DataType, b: &DataType) -> Option<DataType> {
    let numeric = |t: &DataType| t.is_numeric() || *t == DataType::Boolean;
    let date = |t: &DataType| matches!(t, DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _));
    match (a, b) {
        (a, b) if a == b => Some(a.clone()),
        (DataType::Null, other) | (other, DataType::Null) => Some(other.clone()),
        (a, b) if a.is_signed_integer() && b.is_signed_integer() => Some(DataType::Int64),
        (DataType::UInt64, _) | (_, DataType::UInt64) => None,
        (a, b) if a.is_integer() && b.is_integer() => Some(DataType::Int64),
        (a, b) if numeric(a) && numeric(b) => Some(DataType::Float64),
        (a, b) if date(a) && date(b) => Some(DataType::Timestamp(TimeUnit::Millisecond, None)),
        // A folder's value is digits in one folder and letters in another.
        (DataType::Int64, DataType::Utf8) | (DataType::Utf8, DataType::Int64) => Some(DataType::Utf8),
        _ => None,
    }
}

fn convert(field: &Field, array: &ArrayRef) -> Result<ArrayRef> {
    if array.data_type() == field.data_type() {
        return Ok(Arc::clone(array));
    }
    if *array.data_type() == DataType::Null {
        return Ok(new_null_array(field.data_type(), array.len()));
    }
    converted(field.data_type(), array).ok_or_else(|| {
        StaggerError::input(format!(
            "column `{}` of type {} has no place in a table of several steps",
            field.name(),
            array.data_type()
        ))
        .with_hint("leave it out, or write it with a plain type")
    })
}

fn converted(wanted: &DataType, array: &ArrayRef) -> Option<ArrayRef> {
    let values = Values::of(array)?;
    Some(match (wanted, values) {
        (DataType::Int64, Values::Text(texts)) => {
            Values::Integer(texts.iter().map(|text| text.and_then(|text| text.parse().ok())).collect())
                .into_array()
        }
        (DataType::Utf8, Values::Integer(values)) => {
            let texts = values.iter().map(|value| value.map(|value| value.to_string()));
            Arc::new(texts.collect::<arrow_array::StringArray>())
        }
        (DataType::Float64, values) => Values::Number(values.numbers()?).into_array(),
        (DataType::Int64, values) => Values::Integer(values.integers()?).into_array(),
        (DataType::Timestamp(TimeUnit::Millisecond, None), Values::Date(days)) => {
            let time = |day: i32| i64::from(day) * crate::expression::DAY;
            Values::Instant(days.into_iter().map(|day| day.map(time)).collect()).into_array()
        }
        (DataType::Utf8, values @ Values::Text(_)) => values.into_array(),
        (wanted, values) => {
            let out = values.into_array();
            if out.data_type() != wanted && kind_of(wanted) != ColumnKind::Other {
                return None;
            }
            out
        }
    })
}
