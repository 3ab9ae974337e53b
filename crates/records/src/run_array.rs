//! Columns whose equal neighbours are stored once.

use arrow_array::ArrayRef;
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;

/// Returns the values of a column of runs, and the row after the last of each run; `None` for a column of values.
pub fn split_runs(array: &ArrayRef) -> Option<(&ArrayRef, &[i32])> {
    let runs = array.as_run_opt::<Int32Type>()?;
    Some((runs.values(), runs.run_ends().values()))
}
