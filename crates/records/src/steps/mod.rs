//! Steps from records to a panel, applied as the records are read.
//!
//! A [`RowStep`] makes rows of rows, batch by batch, wherever a batch is read. A [`TableStep`] needs all rows, and writes
//! a table. [`make_panel`] runs the steps in order: row steps join the reading of what is before them, and the last table
//! is a temporary Parquet file, from which everything else reads.

mod cast;
mod collapse;
mod dedupe;
mod derive;
mod fill;
mod filter;
mod forms;
mod keys;
mod lookup;
mod periods;
mod plan;
mod reshape;
mod table;
mod treatment;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use serde::Serialize;
use stagger_model::error::Result;

pub(super) use plan::make_panel;
pub use plan::write_panel;
use table::Table;

/// A step that makes rows of rows.
trait RowStep: Send + Sync {
    /// Returns the columns that the step makes of `schema`.
    ///
    /// # Errors
    /// Columns that are not there, and wrong types.
    fn schema(&self, schema: &SchemaRef) -> Result<SchemaRef>;

    /// Returns the rows that the step makes of a batch.
    ///
    /// # Errors
    /// Values that the step can't use.
    fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch>;
}

/// A step that needs all rows.
trait TableStep {
    /// Reads a table, once or several times, and calls `out` with each batch of the table that the step makes. Returns
    /// notes for the user.
    ///
    /// # Errors
    /// Values that the step can't use, and those of reading and of `out`.
    fn apply(&self, table: &Table, out: &mut Output<'_>) -> Result<Vec<String>>;

    /// Returns the columns that the step makes of `schema`.
    ///
    /// # Errors
    /// Columns that are not there, and wrong types.
    fn schema(&self, schema: &SchemaRef) -> Result<SchemaRef>;
}

/// Takes the batches of a table, in the order of its rows.
type Output<'a> = dyn FnMut(&RecordBatch) -> Result<()> + Send + 'a;

/// What a step did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepReport {
    /// The step, as it was given.
    pub step: String,
    /// The number of rows before it.
    pub rows_in: u64,
    /// The number of rows after it.
    pub rows_out: u64,
    /// Remarks for the user.
    pub notes: Vec<String>,
}

/// The count of a step's rows, over all threads.
#[derive(Debug, Default)]
struct StepCount {
    rows_in: AtomicU64,
    rows_out: AtomicU64,
}

impl StepCount {
    fn add(&self, rows_in: usize, rows_out: usize) {
        self.rows_in.fetch_add(rows_in as u64, Ordering::Relaxed);
        self.rows_out.fetch_add(rows_out as u64, Ordering::Relaxed);
    }

    /// Forgets all rows, before the table is read once more.
    fn clear(&self) {
        self.rows_in.store(0, Ordering::Relaxed);
        self.rows_out.store(0, Ordering::Relaxed);
    }

    fn report(&self, step: &str) -> StepReport {
        StepReport {
            step: step.to_owned(),
            rows_in: self.rows_in.load(Ordering::Relaxed),
            rows_out: self.rows_out.load(Ordering::Relaxed),
            notes: Vec::new(),
        }
    }
}

/// Returns the place of a column.
///
/// # Errors
/// A column that is not there, with similar names.
fn place(schema: &Schema, argument: &str, name: &str) -> Result<usize> {
    use stagger_model::error::{StaggerError, closest_names};
    schema.index_of(name).map_err(|_| {
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let error = StaggerError::input(format!("{argument}: there is no column `{name}` at this step"));
        match closest_names(name, names.iter().copied()).first() {
            Some(near) => error.with_hint(format!("did you mean `{near}`?")),
            None => error.with_hint(format!("the columns are {}", names.join(", "))),
        }
    })
}

/// Returns a schema in which the column `name` has a type; a column of this name is replaced at its place.
fn with_column(schema: &Schema, name: &str, data_type: arrow_schema::DataType) -> SchemaRef {
    let mut fields: Vec<arrow_schema::Field> =
        schema.fields().iter().map(|field| field.as_ref().clone()).collect();
    let field = arrow_schema::Field::new(name, data_type, true);
    match fields.iter().position(|own| own.name() == name) {
        Some(place) => fields[place] = field,
        None => fields.push(field),
    }
    Arc::new(Schema::new(fields))
}

/// Returns a batch in which the column `name` has these values.
fn put_column(batch: &RecordBatch, name: &str, array: arrow_array::ArrayRef) -> Result<RecordBatch> {
    let schema = with_column(&batch.schema(), name, array.data_type().clone());
    let mut columns = batch.columns().to_vec();
    match batch.schema().index_of(name) {
        Ok(place) => columns[place] = array,
        Err(_) => columns.push(array),
    }
    new_batch(schema, columns, batch.num_rows())
}

fn new_batch(schema: SchemaRef, columns: Vec<arrow_array::ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(|error| {
        stagger_model::error::StaggerError::failed(format!("rows of a step are no batch: {error}"))
    })
}
