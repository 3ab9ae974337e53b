//! Values of formats that have types by cell: the type of a column is the narrowest that holds all its cells.

use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, UInt64Builder};
use arrow_array::{ArrayRef, NullArray};
use arrow_schema::Field;

use crate::csv::CsvType;

/// The largest whole number up to which all whole numbers are exact as `f64`.
const EXACT: u64 = 1 << 53;

/// A cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Cell {
    #[default]
    Missing,
    Boolean(bool),
    Integer(i64),
    /// A whole number beyond the signed ones.
    Unsigned(u64),
    Float(f64),
    Text(String),
}

impl Cell {
    fn kind(&self) -> CsvType {
        match self {
            Self::Missing => CsvType::Nothing,
            Self::Boolean(_) => CsvType::Boolean,
            Self::Integer(_) => CsvType::Integer,
            Self::Unsigned(_) => CsvType::Unsigned,
            Self::Float(_) => CsvType::Float,
            Self::Text(_) => CsvType::Text,
        }
    }

    /// Returns `true` for whole numbers that `f64` does not hold exactly.
    fn is_beyond(&self) -> bool {
        match self {
            Self::Integer(value) => value.unsigned_abs() > EXACT,
            Self::Unsigned(value) => *value > EXACT,
            _ => false,
        }
    }

    /// Returns the cell in a column of text.
    fn text(&self) -> Option<String> {
        match self {
            Self::Missing => None,
            Self::Boolean(value) => Some(value.to_string()),
            Self::Integer(value) => Some(value.to_string()),
            Self::Unsigned(value) => Some(value.to_string()),
            Self::Float(value) => Some(value.to_string()),
            Self::Text(text) => Some(text.clone()),
        }
    }

    fn float(&self) -> Option<f64> {
        match self {
            Self::Integer(value) => Some(*value as f64),
            Self::Unsigned(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }
}

/// The type of a column, cell by cell. The order of cells does not matter.
#[derive(Clone, Debug)]
pub(super) struct CellType {
    kind: CsvType,
    negative: bool,
    /// `true` once a whole number is not exact as `f64`.
    beyond: bool,
    fraction: bool,
    unsigned: bool,
}

impl CellType {
    pub(super) fn new() -> Self {
        Self { kind: CsvType::Nothing, negative: false, beyond: false, fraction: false, unsigned: false }
    }

    /// Takes a cell.
    pub(super) fn add(&mut self, cell: &Cell) {
        use CsvType::{Boolean, Float, Integer, Nothing, Text, Unsigned};
        let own = cell.kind();
        self.negative |= matches!(cell, Cell::Integer(value) if *value < 0);
        self.beyond |= cell.is_beyond();
        self.fraction |= own == Float;
        self.unsigned |= own == Unsigned;
        self.kind = match (self.kind, own) {
            (kind, Nothing) | (Nothing, kind) => kind,
            (a, b) if a == b => a,
            (Text, _) | (_, Text) | (Boolean, _) | (_, Boolean) => Text,
            // Two whole numbers must not become one decimal, nor a negative one an unsigned one.
            _ if self.fraction && self.beyond => Text,
            _ if self.unsigned && self.negative => Text,
            (Float, _) | (_, Float) => Float,
            (Unsigned, _) | (_, Unsigned) => Unsigned,
            (Integer, Integer) => Integer,
        };
    }

    /// Returns the field of the column.
    pub(super) fn field(&self, name: &str) -> Field {
        Field::new(name, self.kind.data_type(), true)
    }

    /// Returns a builder of the column's arrays.
    pub(super) fn builder(&self) -> CellBuilder {
        match self.kind {
            CsvType::Nothing => CellBuilder::Nothing(0),
            CsvType::Boolean => CellBuilder::Boolean(BooleanBuilder::new()),
            CsvType::Integer => CellBuilder::Integer(Int64Builder::new()),
            CsvType::Unsigned => CellBuilder::Unsigned(UInt64Builder::new()),
            CsvType::Float => CellBuilder::Float(Float64Builder::new()),
            CsvType::Text => CellBuilder::Text(StringBuilder::new()),
        }
    }
}

/// The builder of a column.
pub(super) enum CellBuilder {
    Nothing(usize),
    Boolean(BooleanBuilder),
    Integer(Int64Builder),
    Unsigned(UInt64Builder),
    Float(Float64Builder),
    Text(StringBuilder),
}

impl CellBuilder {
    /// Appends a cell; returns `None` if it does not fit the column's type.
    pub(super) fn add(&mut self, cell: &Cell) -> Option<()> {
        match (self, cell) {
            (Self::Nothing(rows), Cell::Missing) => *rows += 1,
            (Self::Nothing(_), _) => return None,
            (Self::Text(out), cell) => out.append_option(cell.text()),
            (Self::Boolean(out), Cell::Missing) => out.append_null(),
            (Self::Integer(out), Cell::Missing) => out.append_null(),
            (Self::Unsigned(out), Cell::Missing) => out.append_null(),
            (Self::Float(out), Cell::Missing) => out.append_null(),
            (Self::Boolean(out), Cell::Boolean(value)) => out.append_value(*value),
            (Self::Integer(out), Cell::Integer(value)) => out.append_value(*value),
            (Self::Unsigned(out), Cell::Unsigned(value)) => out.append_value(*value),
            (Self::Unsigned(out), Cell::Integer(value)) => out.append_value(u64::try_from(*value).ok()?),
            (Self::Float(out), cell) => out.append_value(cell.float()?),
            _ => return None,
        }
        Some(())
    }

    /// Returns the cells so far as an array, and begins a new one.
    pub(super) fn take(&mut self) -> ArrayRef {
        match self {
            Self::Nothing(rows) => Arc::new(NullArray::new(std::mem::take(rows))),
            Self::Boolean(out) => Arc::new(out.finish()),
            Self::Integer(out) => Arc::new(out.finish()),
            Self::Unsigned(out) => Arc::new(out.finish()),
            Self::Float(out) => Arc::new(out.finish()),
            Self::Text(out) => Arc::new(out.finish()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(cells: &[Cell]) -> CsvType {
        let mut found = CellType::new();
        cells.iter().for_each(|cell| found.add(cell));
        found.kind
    }

    #[test]
    fn types_hold_all_cells_in_any_order() {
        use Cell::{Boolean, Float, Integer, Missing, Text, Unsigned};
        let long = (1 << 60) + 1;
        for (cells, kind) in [
            (vec![Missing, Integer(-3), Float(0.5)], CsvType::Float),
            (vec![Integer(1), Unsigned(u64::MAX)], CsvType::Unsigned),
            (vec![Integer(-1), Unsigned(u64::MAX), Missing], CsvType::Text),
            (vec![Integer(long), Float(0.5), Integer(2)], CsvType::Text),
            (vec![Boolean(true), Integer(1)], CsvType::Text),
            (vec![Text("a".into()), Float(1.0), Missing], CsvType::Text),
            (vec![Boolean(true), Missing], CsvType::Boolean),
        ] {
            for turn in 0..cells.len() {
                let mut turned = cells.clone();
                turned.rotate_left(turn);
                assert_eq!(kind_of(&turned), kind, "{turned:?}");
                turned.reverse();
                assert_eq!(kind_of(&turned), kind, "{turned:?}");
                let mut found = CellType::new();
                turned.iter().for_each(|cell| found.add(cell));
                let mut builder = found.builder();
                assert!(turned.iter().all(|cell| builder.add(cell).is_some()));
                assert_eq!(builder.take().len(), turned.len());
            }
        }
    }
}
