//! Assembly of records to one row of slots for each unit, in whichever order long or wide records come.

use crate::slot::{MISSING, UNSET};

/// Positions of a unit's values in its row of slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowLayout {
    /// Number of periods.
    pub periods: usize,
    /// By field: true for one slot in each period, false for a single slot.
    pub by_period: Vec<bool>,
    /// By field: position of its first slot.
    pub offsets: Vec<usize>,
    /// Number of slots in a row.
    pub stride: usize,
}

impl RowLayout {
    /// Lays out the fields, one after the other.
    pub fn new(periods: usize, by_period: &[bool]) -> Self {
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

    /// Returns the position of a field's slot for a period.
    #[inline]
    pub fn slot(&self, field: usize, period: usize) -> usize {
        self.offsets[field] + if self.by_period[field] { period } else { 0 }
    }
}

/// Rows of slots, one for each unit. Field 0 is an outcome: its slot tells if the unit has a row in a period.
pub struct AssembledRows {
    /// Positions of the values in a row.
    pub shape: RowLayout,
    /// Slots of all units: units × stride, row-major.
    pub slots: Vec<u64>,
    /// By field with a single slot: true if a second value or a missing one was found.
    pub differs: Vec<bool>,
}

/// Two rows of one unit in one period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DuplicateRow {
    /// Index of the unit.
    pub unit: usize,
    /// Index of the period.
    pub period: usize,
}

impl AssembledRows {
    /// Allocates rows for this number of units; no slot is set.
    pub fn new(shape: RowLayout, units: usize) -> Self {
        Self { slots: vec![UNSET; units * shape.stride], differs: vec![false; shape.by_period.len()], shape }
    }

    /// Returns the slots of a unit.
    #[inline]
    pub fn row(&self, unit: usize) -> &[u64] {
        &self.slots[unit * self.shape.stride..(unit + 1) * self.shape.stride]
    }

    /// Writes one field of records `(unit, period, value)`.
    ///
    /// # Errors
    /// A second row of a unit in a period, found for field 0.
    #[inline]
    pub fn place_field(
        &mut self,
        field: usize,
        records: impl Iterator<Item = (usize, usize, u64)>,
    ) -> Result<(), DuplicateRow> {
        let (stride, offset) = (self.shape.stride, self.shape.offsets[field]);
        if self.shape.by_period[field] {
            for (unit, period, value) in records {
                let slot = &mut self.slots[unit * stride + offset + period];
                if field == 0 && *slot != UNSET {
                    return Err(DuplicateRow { unit, period });
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

    /// Tells if a unit has a row in a period.
    #[inline]
    pub fn has_row(&self, unit: usize, period: usize) -> bool {
        self.slots[unit * self.shape.stride + self.shape.offsets[0] + period] != UNSET
    }

    /// Tells if every unit has the same value of a field in all its rows.
    pub fn is_constant(&self, field: usize, units: usize) -> bool {
        if !self.shape.by_period[field] {
            return true;
        }
        (0..units).all(|unit| {
            let row = self.row(unit);
            let mut values = (0..self.shape.periods)
                .filter(|&period| self.has_row(unit, period))
                .map(|period| row[self.shape.offsets[field] + period]);
            values.next().is_none_or(|first| first != MISSING && values.all(|value| value == first))
        })
    }

    /// Tells if some unit has two different values, missing ones aside.
    pub fn varies(&self, field: usize, units: usize) -> bool {
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
