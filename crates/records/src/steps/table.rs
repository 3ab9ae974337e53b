//! A table that steps read: an opened source, and the row steps that join its reading.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use stagger_model::error::Result;
use stagger_model::parallel::{available_cores, for_each};

use super::forms::Forms;
use super::{Output, RowStep, StepCount, new_batch};
use crate::source::{Chunk, Source};

/// A table: rows in a fixed order, which can be read several times.
pub(super) struct Table {
    source: Source,
    columns: Vec<String>,
    forms: Forms,
    steps: Vec<(Box<dyn RowStep>, StepCount)>,
    /// The columns behind all steps.
    schema: SchemaRef,
}

impl Table {
    /// Returns the table of these columns of a source.
    ///
    /// # Errors
    /// Columns that are not there, or whose types do not fit together.
    pub(super) fn new(source: Source, columns: Vec<String>) -> Result<Self> {
        let forms = Forms::find(&source, &columns)?;
        let schema = forms.schema.clone();
        Ok(Self { source, columns, forms, steps: Vec::new(), schema })
    }

    /// Adds a step.
    ///
    /// # Errors
    /// Columns or types that the step has no use for.
    pub(super) fn push(&mut self, step: Box<dyn RowStep>) -> Result<()> {
        self.schema = step.schema(&self.schema)?;
        self.steps.push((step, StepCount::default()));
        Ok(())
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// Returns the rows that each step has seen and made.
    pub(super) fn counts(&self) -> impl Iterator<Item = &StepCount> {
        self.steps.iter().map(|(_, count)| count)
    }

    /// Calls `each` with every batch, on all cores and in no order, and returns the states of the threads.
    ///
    /// # Errors
    /// Those of reading, of the steps and of `each`.
    pub(super) fn fold<S: Send>(
        &self,
        state: impl Fn() -> S + Sync,
        each: impl Fn(&mut S, &RecordBatch) -> Result<()> + Sync,
    ) -> Result<Vec<S>> {
        self.begin();
        let chunks = self.source.chunks();
        for_each(available_cores(), chunks.len(), state, |state, at| {
            self.read(&chunks[at], &mut |batch| each(state, batch))
        })
    }

    /// Calls `out` with every batch in the order of the rows, on one thread at a time; the batches are made on all cores.
    ///
    /// # Errors
    /// As [`Table::fold`].
    pub(super) fn in_order(&self, out: &mut Output<'_>) -> Result<()> {
        self.begin();
        let chunks = self.source.chunks();
        let (turn, taken) = (Mutex::new((0usize, out)), Condvar::new());
        let failed = AtomicBool::new(false);
        let work = |(): &mut (), at: usize| {
            let mut batches = Vec::new();
            let made = self.read(&chunks[at], &mut |batch| {
                batches.push(batch.clone());
                Ok(())
            });
            if made.is_err() {
                failed.store(true, Ordering::Relaxed);
                taken.notify_all();
                return made;
            }
            let mut turn = turn.lock().unwrap_or_else(|error| error.into_inner());
            // Items are started in order, so that the thread with the first one never waits.
            while turn.0 != at && !failed.load(Ordering::Relaxed) {
                let waited = taken.wait_timeout(turn, WAIT).unwrap_or_else(|error| error.into_inner());
                turn = waited.0;
            }
            if failed.load(Ordering::Relaxed) {
                return Ok(());
            }
            let written = batches.iter().try_for_each(|batch| (turn.1)(batch));
            if written.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            turn.0 += 1;
            taken.notify_all();
            written
        };
        for_each(available_cores(), chunks.len(), || (), work)?;
        Ok(())
    }

    fn begin(&self) {
        self.counts().for_each(StepCount::clear);
    }

    /// Reads a chunk, and applies the steps to its batches.
    fn read(&self, chunk: &Chunk, each: &mut dyn FnMut(&RecordBatch) -> Result<()>) -> Result<()> {
        self.source.read(chunk, &self.columns, |_, arrays| {
            let rows = arrays.first().map_or(0, arrow_array::Array::len);
            let mut batch = new_batch(self.forms.schema.clone(), self.forms.convert(arrays)?, rows)?;
            for (step, count) in &self.steps {
                let before = batch.num_rows();
                batch = step.apply(&batch)?;
                count.add(before, batch.num_rows());
            }
            if batch.num_rows() == 0 { Ok(()) } else { each(&batch) }
        })
    }
}

/// A thread that waits for its turn looks for failures of others this often.
const WAIT: std::time::Duration = std::time::Duration::from_millis(50);
