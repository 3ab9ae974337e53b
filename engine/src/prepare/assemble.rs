//! Long or wide records of units side by side: one row of slots a unit, whatever the order the records come in.

use crate::load::slots::{MISSING, UNSET};

/// Where a unit's values lie in its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) periods: usize,
    /// By field: one slot a period.
    pub(crate) by_period: Vec<bool>,
    /// By field: first slot.
    pub(crate) offsets: Vec<usize>,
    pub(crate) stride: usize,
}

impl Shape {
    /// Fields side by side.
    pub(crate) fn new(periods: usize, by_period: &[bool]) -> Self {
        let mut stride = 0;
        let offsets = by_period
            .iter()
            .map(|&own| {
                let offset = stride;
                stride += if own { periods } else { 1 };
                offset
            })
            .collect();
        Self { periods, by_period: by_period.to_vec(), offsets, stride }
    }

    /// The slot of a field in a period.
    #[inline]
    pub(crate) fn slot(&self, field: usize, period: usize) -> usize {
        self.offsets[field] + if self.by_period[field] { period } else { 0 }
    }
}

/// Rows of slots, one a unit. Field 0 is an outcome: its slot says whether a unit has a row in a period.
pub(crate) struct Assembly {
    pub(crate) shape: Shape,
    pub(crate) slots: Vec<u64>,
    /// By field taken for constant: a second value or a missing one was met.
    pub(crate) differs: Vec<bool>,
}

/// Two rows of one unit in one period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Twice {
    pub(crate) unit: usize,
    pub(crate) period: usize,
}

impl Assembly {
    /// Rows without values.
    pub(crate) fn new(shape: Shape, units: usize) -> Self {
        Self { slots: vec![UNSET; units * shape.stride], differs: vec![false; shape.by_period.len()], shape }
    }

    /// Units × slots of a unit.
    #[inline]
    pub(crate) fn row(&self, unit: usize) -> &[u64] {
        &self.slots[unit * self.shape.stride..(unit + 1) * self.shape.stride]
    }

    /// Places one field of records `(unit, period, value)`.
    #[inline]
    pub(crate) fn place(
        &mut self,
        field: usize,
        records: impl Iterator<Item = (usize, usize, u64)>,
    ) -> Result<(), Twice> {
        let (stride, offset) = (self.shape.stride, self.shape.offsets[field]);
        if self.shape.by_period[field] {
            for (unit, period, value) in records {
                let slot = &mut self.slots[unit * stride + offset + period];
                if field == 0 && *slot != UNSET {
                    return Err(Twice { unit, period });
                }
                *slot = value;
            }
            return Ok(());
        }
        let mut same = true;
        for (unit, _, value) in records {
            let slot = &mut self.slots[unit * stride + offset];
            same &= value != MISSING && (*slot == UNSET || *slot == value);
            *slot = value;
        }
        self.differs[field] |= !same;
        Ok(())
    }

    /// Whether a unit has a row in a period.
    #[inline]
    pub(crate) fn present(&self, unit: usize, period: usize) -> bool {
        self.slots[unit * self.shape.stride + self.shape.offsets[0] + period] != UNSET
    }

    /// Whether every unit has one value of a field in all its rows.
    pub(crate) fn is_constant(&self, field: usize, units: usize) -> bool {
        if !self.shape.by_period[field] {
            return true;
        }
        (0..units).all(|unit| {
            let row = self.row(unit);
            let mut values = (0..self.shape.periods)
                .filter(|&period| self.present(unit, period))
                .map(|period| row[self.shape.offsets[field] + period]);
            values.next().is_none_or(|first| first != MISSING && values.all(|value| value == first))
        })
    }

    /// Whether some unit has two different values, missing ones aside.
    pub(crate) fn varies(&self, field: usize, units: usize) -> bool {
        self.shape.by_period[field]
            && (0..units).any(|unit| {
                let start = self.shape.offsets[field];
                let mut values = self.row(unit)[start..start + self.shape.periods]
                    .iter()
                    .filter(|&&v| v != UNSET && v != MISSING);
                values.next().is_some_and(|first| values.any(|value| value != first))
            })
    }
}
