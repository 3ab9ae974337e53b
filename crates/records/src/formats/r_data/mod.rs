//! Data frames that R wrote by `saveRDS` or `save`, uncompressed inside (gzip around it is unpacked before).
//!
//! Factors are text, `Date` and `POSIXct` are dates, `integer64` of the package bit64 are integers, and `NA` is a missing
//! value. A file must hold one data frame.

mod item;

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, Date32Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    RecordBatchOptions, StringArray, TimestampMillisecondArray,
};
use arrow_schema::{Field, Schema, SchemaRef};
use stagger_model::error::{Result, StaggerError};

use super::{Decoder, TableBytes, TableFormat};
use item::{Item, Value, read_items};

/// `NA` of integers and logical values.
const NA: i32 = i32::MIN;

/// The columns of a data frame, delivered as one batch.
pub(super) struct RDecoder {
    names: Vec<String>,
    schema: SchemaRef,
    batch: Option<RecordBatch>,
}

impl RDecoder {
    pub(super) fn open(bytes: &TableBytes<'_>) -> Result<Self> {
        let items = read_items(bytes.stream()?, bytes.format == TableFormat::RData);
        let items = items.map_err(|reason| bytes.damaged(reason))?;
        let mut frames: Vec<(String, Item)> =
            items.into_iter().filter(|(_, item)| item.is_data_frame()).collect();
        if frames.len() > 1 {
            let names: Vec<String> = frames.iter().map(|(name, _)| format!("`{name}`")).collect();
            return Err(StaggerError::input(format!(
                "`{}`: holds several data frames: {}",
                bytes.name,
                names.join(", ")
            ))
            .with_hint("write the one to read by itself: saveRDS(PANEL, 'panel.rds')"));
        }
        let Some((_, frame)) = frames.pop() else {
            return Err(StaggerError::input(format!("`{}`: holds no data frame", bytes.name))
                .with_hint("write one: saveRDS(as.data.frame(PANEL), 'panel.rds')"));
        };
        let names = frame.texts("names");
        let Value::List(columns) = frame.value else { return Err(bytes.damaged("a data frame is no list")) };
        let mut read: Vec<(Field, ArrayRef)> = Vec::new();
        for (name, column) in names.iter().zip(columns) {
            if bytes.selection.role(name).is_some()
                && let Some(array) = array(column)
            {
                read.push((Field::new(name, array.data_type().clone(), true), array));
            }
        }
        let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = read.into_iter().unzip();
        let schema = Arc::new(Schema::new(fields));
        let options =
            RecordBatchOptions::new().with_row_count(Some(arrays.first().map_or(0, |array| array.len())));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &options);
        let batch = batch.map_err(|_| bytes.damaged("its columns differ in length"))?;
        Ok(Self { names, schema, batch: Some(batch) })
    }
}

impl Decoder for RDecoder {
    fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn next(&mut self) -> Result<Option<RecordBatch>> {
        Ok(self.batch.take())
    }
}

/// Returns a column, or `None` if it is a list or another object that is no column.
fn array(item: Item) -> Option<ArrayRef> {
    let (levels, classes) = (item.texts("levels"), item.texts("class"));
    let is = |class: &str| classes.iter().any(|own| own == class);
    Some(match item.value {
        Value::Integers(codes) if is("factor") => {
            let level =
                |code: &i32| levels.get(usize::try_from(*code).ok()?.checked_sub(1)?).map(String::as_str);
            Arc::new(codes.iter().map(level).collect::<StringArray>())
        }
        Value::Integers(values) if is("Date") => {
            Arc::new(values.into_iter().map(|v| (v != NA).then_some(v)).collect::<Date32Array>())
        }
        Value::Integers(values) => {
            Arc::new(values.into_iter().map(|v| (v != NA).then_some(v)).collect::<Int32Array>())
        }
        Value::Logicals(values) => {
            Arc::new(values.into_iter().map(|v| (v != NA).then_some(v != 0)).collect::<BooleanArray>())
        }
        Value::Reals(values) if is("integer64") => {
            let long = |v: f64| Some(v.to_bits().cast_signed()).filter(|v| *v != i64::MIN);
            Arc::new(values.into_iter().map(long).collect::<Int64Array>())
        }
        Value::Reals(values) if is("Date") => Arc::new(
            values.into_iter().map(|v| v.is_finite().then_some(v.floor() as i32)).collect::<Date32Array>(),
        ),
        Value::Reals(values) if is("POSIXct") => {
            let time = |v: f64| v.is_finite().then_some((v * 1000.0).floor() as i64);
            Arc::new(values.into_iter().map(time).collect::<TimestampMillisecondArray>())
        }
        Value::Reals(values) => {
            Arc::new(values.into_iter().map(|v| (!v.is_nan()).then_some(v)).collect::<Float64Array>())
        }
        Value::Texts(values) => Arc::new(values.into_iter().collect::<StringArray>()),
        Value::Null | Value::Name(_) | Value::Pairs(_) | Value::List(_) | Value::Other => return None,
    })
}
