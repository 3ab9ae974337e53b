//! `--where`: the rows for which a condition holds.

use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::SchemaRef;
use arrow_select::filter::filter_record_batch;
use stagger_model::error::{Result, StaggerError};

use super::RowStep;
use crate::expression::{Expression, no_rows};

/// Keeps the rows for which a condition is `TRUE`; rows for which it is missing go, as in R's `subset`.
pub(super) struct Filter {
    condition: Expression,
}

impl Filter {
    pub(super) fn new(condition: Expression) -> Self {
        Self { condition }
    }
}

impl RowStep for Filter {
    fn schema(&self, schema: &SchemaRef) -> Result<SchemaRef> {
        self.condition.condition(&no_rows(schema)).map_err(|error| error.in_context("where"))?;
        Ok(schema.clone())
    }

    fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let kept = self.condition.condition(batch).map_err(|error| error.in_context("where"))?;
        let kept = BooleanArray::from(kept);
        filter_record_batch(batch, &kept).map_err(|error| StaggerError::failed(format!("where: {error}")))
    }
}
