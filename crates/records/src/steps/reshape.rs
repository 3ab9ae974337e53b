//! `--reshape-long`: columns such as `lemp2003` and `lemp2004` become rows, by Stata's stubs.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, UInt32Array, new_null_array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::take::take;
use stagger_model::error::{Result, StaggerError};

use super::cast::cast;
use super::forms::joined;
use super::{RowStep, new_batch};

/// The step: the stubs, and the column of what follows them.
pub(super) struct Reshape {
    stubs: Vec<String>,
    column: String,
}

/// The columns of a table by their use.
struct Layout {
    /// The columns that every row keeps.
    kept: Vec<usize>,
    /// For each text behind a stub, the column of every stub.
    suffixes: BTreeMap<Suffix, Vec<Option<usize>>>,
    /// The types of the stubs.
    types: Vec<DataType>,
}

/// What follows a stub. Whole numbers sort as numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Suffix {
    Number(i64),
    Text(String),
}

impl Suffix {
    /// Reads what follows a stub; `_` and `.` may stand between.
    fn of(name: &str, stub: &str) -> Option<Self> {
        let rest = name.strip_prefix(stub)?;
        let rest = rest.strip_prefix(['_', '.']).unwrap_or(rest);
        if rest.is_empty() {
            return None;
        }
        Some(rest.parse().map_or_else(|_| Self::Text(rest.to_owned()), Self::Number))
    }
}

impl Reshape {
    pub(super) fn new(stubs: Vec<String>, column: String) -> Self {
        Self { stubs, column }
    }

    fn layout(&self, schema: &Schema) -> Result<Layout> {
        let mut suffixes: BTreeMap<Suffix, Vec<Option<usize>>> = BTreeMap::new();
        let mut kept = Vec::new();
        let mut types: Vec<Option<DataType>> = vec![None; self.stubs.len()];
        for (place, field) in schema.fields().iter().enumerate() {
            // Of two stubs that fit the longer one is meant.
            let fits = |at: &usize| Suffix::of(field.name(), &self.stubs[*at]);
            let stub =
                (0..self.stubs.len()).filter(|at| fits(at).is_some()).max_by_key(|at| self.stubs[*at].len());
            let Some((stub, suffix)) = stub.and_then(|at| Some((at, fits(&at)?))) else {
                kept.push(place);
                continue;
            };
            types[stub] = Some(match &types[stub] {
                None => field.data_type().clone(),
                Some(known) => joined(known, field.data_type()).ok_or_else(|| {
                    StaggerError::input(format!(
                        "reshape-long: the columns of `{}` have types {known} and {}",
                        self.stubs[stub],
                        field.data_type()
                    ))
                    .with_hint("give them one type before: --let 'NAME = as.numeric(NAME)'")
                })?,
            });
            suffixes.entry(suffix).or_insert_with(|| vec![None; self.stubs.len()])[stub] = Some(place);
        }
        self.check(schema, &types, &suffixes)?;
        Ok(Layout { kept, suffixes, types: types.into_iter().flatten().collect() })
    }

    /// Refuses stubs without columns, columns of one stub with text and numbers behind it, and names that are taken.
    fn check(
        &self,
        schema: &Schema,
        types: &[Option<DataType>],
        suffixes: &BTreeMap<Suffix, Vec<Option<usize>>>,
    ) -> Result<()> {
        if let Some(at) = types.iter().position(Option::is_none) {
            let names: Vec<&str> =
                schema.fields().iter().take(30).map(|field| field.name().as_str()).collect();
            return Err(StaggerError::input(format!(
                "reshape-long: no column begins with `{}`",
                self.stubs[at]
            ))
            .with_hint(format!("the columns are {}", names.join(", "))));
        }
        let texts: Vec<&String> = suffixes
            .keys()
            .filter_map(|s| if let Suffix::Text(text) = s { Some(text) } else { None })
            .collect();
        if let (Some(text), true) = (texts.first(), texts.len() < suffixes.len()) {
            return Err(StaggerError::input(format!(
                "reshape-long: `{text}` follows a stub where numbers follow it elsewhere"
            ))
            .with_hint("name longer stubs, or give columns that stay another name"));
        }
        match schema.field_with_name(&self.column) {
            Ok(_) => {
                Err(StaggerError::input(format!("reshape-long: there is a column `{}` already", self.column))
                    .with_hint("give another name: --reshape-j NAME"))
            }
            Err(_) => Ok(()),
        }
    }
}

impl Layout {
    fn are_numbers(&self) -> bool {
        self.suffixes.keys().all(|suffix| matches!(suffix, Suffix::Number(_)))
    }
}

impl RowStep for Reshape {
    fn schema(&self, schema: &SchemaRef) -> Result<SchemaRef> {
        let layout = self.layout(schema)?;
        let mut fields: Vec<Field> = layout.kept.iter().map(|place| schema.field(*place).clone()).collect();
        let column = if layout.are_numbers() { DataType::Int64 } else { DataType::Utf8 };
        fields.push(Field::new(&self.column, column, true));
        fields.extend(
            self.stubs.iter().zip(&layout.types).map(|(stub, own)| Field::new(stub, own.clone(), true)),
        );
        Ok(Arc::new(Schema::new(fields)))
    }

    fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let failed = |error: arrow_schema::ArrowError| StaggerError::failed(format!("reshape-long: {error}"));
        let layout = self.layout(&batch.schema())?;
        let (rows, times) = (batch.num_rows(), layout.suffixes.len());
        // The rows that are made of a row follow each other.
        let repeat: UInt32Array = (0..rows * times).map(|at| (at / times) as u32).collect();
        let mut columns: Vec<ArrayRef> = Vec::new();
        for &place in &layout.kept {
            columns.push(take(batch.column(place), &repeat, None).map_err(failed)?);
        }
        columns.push(suffix_column(&layout, rows));
        for (stub, wanted) in layout.types.iter().enumerate() {
            let own = layout.suffixes.values().map(|places| match places[stub] {
                None => Some(new_null_array(wanted, rows)),
                Some(place) => cast(batch.column(place), wanted),
            });
            let own: Option<Vec<ArrayRef>> = own.collect();
            let own = own
                .ok_or_else(|| StaggerError::failed("reshape-long: columns of a stub have no common type"))?;
            let parts: Vec<&dyn Array> = own.iter().map(AsRef::as_ref).collect();
            let order: Vec<(usize, usize)> = (0..rows * times).map(|at| (at % times, at / times)).collect();
            columns.push(arrow_select::interleave::interleave(&parts, &order).map_err(failed)?);
        }
        new_batch(self.schema(&batch.schema())?, columns, rows * times)
    }
}

/// Returns what follows the stubs, for each row that is made.
fn suffix_column(layout: &Layout, rows: usize) -> ArrayRef {
    let all = (0..rows).flat_map(|_| layout.suffixes.keys());
    match layout.are_numbers() {
        true => {
            let numbers = all.map(|suffix| if let Suffix::Number(number) = suffix { *number } else { 0 });
            Arc::new(Int64Array::from_iter_values(numbers))
        }
        false => {
            let texts = all.map(|suffix| match suffix {
                Suffix::Text(text) => text.clone(),
                Suffix::Number(number) => number.to_string(),
            });
            Arc::new(StringArray::from_iter_values(texts))
        }
    }
}
