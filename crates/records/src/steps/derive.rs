//! `--let`: columns that expressions make.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use stagger_model::error::Result;

use super::{RowStep, put_column, with_column};
use crate::expression::{Expression, no_rows};

/// Adds columns, or replaces them. Each expression sees the columns of those before it.
pub(super) struct Derive {
    columns: Vec<(String, Expression)>,
}

impl Derive {
    pub(super) fn new(columns: Vec<(String, Expression)>) -> Self {
        Self { columns }
    }
}

impl RowStep for Derive {
    fn schema(&self, schema: &SchemaRef) -> Result<SchemaRef> {
        let mut schema = schema.clone();
        for (name, expression) in &self.columns {
            let array = expression.array(&no_rows(&schema)).map_err(|error| error.in_context("let"))?;
            schema = with_column(&schema, name, array.data_type().clone());
        }
        Ok(schema)
    }

    fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut batch = batch.clone();
        for (name, expression) in &self.columns {
            let array = expression.array(&batch).map_err(|error| error.in_context("let"))?;
            batch = put_column(&batch, name, array)?;
        }
        Ok(batch)
    }
}
