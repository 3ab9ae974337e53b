//! The runs of rows of one unit in a chunk, as the first pass has found them.

use super::keys::{ChunkKeys, NO_UNIT, PeriodCodes};

/// One run of rows of a unit within a chunk.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub(super) unit: u32,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Cursor over the runs of a chunk.
#[derive(Clone)]
pub(super) struct Runs<'a> {
    keys: &'a ChunkKeys,
    run: usize,
    row: usize,
}

impl<'a> Runs<'a> {
    pub(super) fn new(keys: &'a ChunkKeys) -> Self {
        Self { keys, run: 0, row: 0 }
    }

    #[inline]
    pub(super) fn current(&self) -> Run {
        let unit = self.keys.units.get(self.run).copied().unwrap_or(NO_UNIT);
        if self.keys.starts.is_empty() {
            return Run { unit, start: self.run, end: self.run + 1 };
        }
        let start = self.keys.starts.get(self.run).map_or(usize::MAX, |&s| s as usize);
        let end = self.keys.starts.get(self.run + 1).map_or(usize::MAX, |&s| s as usize);
        Run { unit, start, end }
    }

    /// Returns the unit of the run that is `runs` runs ahead.
    #[inline]
    pub(super) fn unit_ahead(&self, runs: usize) -> Option<u32> {
        self.keys.units.get(self.run + runs).copied()
    }

    #[inline]
    pub(super) fn next(&mut self) {
        self.run += 1;
    }

    /// Moves on by `rows` rows.
    pub(super) fn advance(&mut self, rows: usize) {
        self.row += rows;
        while self.current().end <= self.row && self.run < self.keys.units.len() {
            self.run += 1;
        }
    }
}

impl PeriodCodes {
    /// Returns the first period of all runs if they have the same consecutive periods.
    pub(super) fn consecutive(&self, periods: &[u16]) -> Option<u16> {
        let PeriodCodes::Pattern(pattern) = self else { return None };
        let first = *periods.get(*pattern.first()? as usize)?;
        let steps = |(step, &code): (usize, &u16)| periods.get(code as usize) == Some(&(first + step as u16));
        pattern.iter().enumerate().all(steps).then_some(first)
    }

    /// Returns the code of a row, for a run that starts at `run_start`.
    #[inline]
    pub(super) fn at(&self, row: usize, run_start: usize) -> u16 {
        match self {
            PeriodCodes::Pattern(pattern) => pattern[row - run_start],
            PeriodCodes::Rows(rows) => rows[row],
        }
    }
}
