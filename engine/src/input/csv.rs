//! CSV and TSV files, read whole: the types are known only after the last row.

use std::io::{BufReader, Read, Seek};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, RecordBatch, StringArray};
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use regex::Regex;

use crate::error::{EngineError, Result};

/// Reads the columns `needed` (all of them if empty), separated by commas or `tabs`; returns the schema of the whole file and the batches.
pub(super) fn read(
    name: &str,
    tabs: bool,
    file: impl Read + Seek,
    needed: &[String],
) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let broken = |e: &dyn std::fmt::Display| {
        EngineError::input(format!("`{name}`: not a readable CSV file: {e}"))
            .with_hint("the first line must hold the column names; .tsv files are read with tabs")
    };
    let delimiter = if tabs { b'\t' } else { b',' };
    let nulls = Regex::new("^(NA|NaN|nan|NULL|null|\\.)?$").map_err(|e| broken(&e))?;
    let format = Format::default().with_header(true).with_delimiter(delimiter).with_null_regex(nulls);
    let mut file = BufReader::new(file);
    let (schema, _) = format.infer_schema(&mut file, None).map_err(|e| broken(&e))?;
    file.rewind().map_err(|e| broken(&e))?;
    let keep: Vec<usize> = (0..schema.fields().len())
        .filter(|&i| needed.is_empty() || needed.contains(schema.field(i).name()))
        .collect();
    let schema = Arc::new(schema);
    let reader = ReaderBuilder::new(Arc::clone(&schema))
        .with_format(format)
        .with_projection(keep)
        .with_batch_size(65_536)
        .build(file)
        .map_err(|e| broken(&e))?;
    let batches = reader.collect::<std::result::Result<Vec<_>, _>>().map_err(|e| broken(&e))?;
    numbers_in_text(&schema, batches).map_err(|e| broken(&e))
}

/// Columns with entries like `Inf` are inferred as text; where every entry is a number they become numbers.
fn numbers_in_text(
    schema: &SchemaRef,
    batches: Vec<RecordBatch>,
) -> std::result::Result<(SchemaRef, Vec<RecordBatch>), arrow::error::ArrowError> {
    let Some(first) = batches.first() else { return Ok((Arc::clone(schema), batches)) };
    let numeric: Vec<bool> = (0..first.num_columns())
        .map(|i| batches.iter().all(|batch| parse(batch.column(i)).is_some()))
        .collect();
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| match first.schema().index_of(field.name()) {
            Ok(i) if numeric[i] => Field::new(field.name(), DataType::Float64, true),
            _ => field.as_ref().clone(),
        })
        .collect();
    let converted = batches
        .into_iter()
        .map(|batch| {
            let columns = batch.columns().iter().enumerate();
            let columns: Vec<(&str, ArrayRef)> = columns
                .map(|(i, array)| {
                    let parsed = if numeric[i] { parse(array) } else { None };
                    (i, parsed.map_or_else(|| Arc::clone(array), |a| Arc::new(a) as ArrayRef))
                })
                .zip(first_names(&batch))
                .map(|((_, array), name)| (name, array))
                .collect();
            RecordBatch::try_from_iter_with_nullable(
                columns.into_iter().map(|(n, a)| (n.to_owned(), a, true)),
            )
        })
        .collect::<std::result::Result<Vec<_>, _>>()?;
    Ok((Arc::new(Schema::new(fields)), converted))
}

fn first_names(batch: &RecordBatch) -> Vec<&str> {
    batch.schema_ref().fields().iter().map(|f| f.name().as_str()).collect()
}

/// The numbers of a text column, `None` if it is not text or some entry is no number.
fn parse(array: &ArrayRef) -> Option<Float64Array> {
    let text = array.as_any().downcast_ref::<StringArray>()?;
    text.iter()
        .map(|entry| match entry.map(str::trim) {
            None => Some(None),
            Some(entry) => entry.parse::<f64>().ok().map(Some),
        })
        .collect()
}
