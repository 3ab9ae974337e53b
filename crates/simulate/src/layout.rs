//! The place of each row: file, row group and position, for each layout.

use std::ops::Range;

use super::args::{Layout, SimulateArgs};
use super::random::Permutation;

/// Parquet numbers the row groups of a file with 16 bits.
const ROW_GROUPS_PER_FILE: u64 = i16::MAX as u64;

/// The order of the rows over all files.
pub(super) struct RowOrder {
    units: u64,
    periods: u64,
    layout: Layout,
    shuffle: Permutation,
}

/// One row group to be made: rows `rows` of the order, in file `file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RowGroup {
    pub(super) file: usize,
    pub(super) rows: Range<u64>,
}

impl RowOrder {
    /// The order of checked arguments.
    pub(super) fn new(args: &SimulateArgs) -> Self {
        let (units, periods) = (args.units, u64::from(args.periods));
        Self { units, periods, layout: args.layout, shuffle: Permutation::new(args.seed, units * periods) }
    }

    /// The rows of all files.
    pub(super) fn rows(&self) -> u64 {
        self.units * self.periods
    }

    /// The unit, from 0, and the period number of the row at a position.
    pub(super) fn locate(&self, position: u64) -> (u64, usize) {
        let (unit, period) = match self.layout {
            Layout::Sorted => (position / self.periods, position % self.periods),
            Layout::ByPeriod => (position % self.units, position / self.units),
            Layout::Shuffled => {
                let row = self.shuffle.apply(position);
                (row / self.periods, row % self.periods)
            }
        };
        (unit, period as usize)
    }

    /// Cuts the rows into files of nearly equal size, and those into row groups.
    ///
    /// Sorted files and row groups hold whole units; files by period hold whole periods unless there are more files
    /// than periods. Returns the number of row groups of the largest file where Parquet could not count them.
    pub(super) fn row_groups(&self, files: u64, rows: u64) -> Result<Vec<RowGroup>, u64> {
        // What is cut into `files` parts, and the rows that each of it has.
        let (things, size) = match self.layout {
            Layout::Sorted => (self.units, self.periods),
            Layout::ByPeriod if files <= self.periods => (self.periods, self.units),
            Layout::ByPeriod | Layout::Shuffled => (self.rows(), 1),
        };
        let cut = |file: u64| (u128::from(things) * u128::from(file) / u128::from(files)) as u64 * size;
        let step = match self.layout {
            Layout::Sorted => (rows / self.periods).max(1) * self.periods,
            Layout::ByPeriod | Layout::Shuffled => rows,
        };
        let most = (cut(1).max(self.rows() - cut(files - 1))).div_ceil(step);
        if most > ROW_GROUPS_PER_FILE {
            return Err(most);
        }
        let of_file = |file: u64| {
            let (start, end) = (cut(file), cut(file + 1));
            (start..end)
                .step_by(step as usize)
                .map(move |row| RowGroup { file: file as usize, rows: row..(row + step).min(end) })
        };
        Ok((0..files).flat_map(of_file).collect())
    }
}
