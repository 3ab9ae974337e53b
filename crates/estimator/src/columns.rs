//! Column storage: 64-byte aligned, every column a whole number of lanes, padding zero.

use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

use crate::lanes::LANES;

/// Rounds up to whole lanes.
pub fn padded(rows: usize) -> usize {
    rows.div_ceil(LANES) * LANES
}

/// Memory of its own that starts on a cache line.
#[derive(Debug, Default)]
struct OwnMemory {
    values: Vec<f64>,
    start: usize,
    len: usize,
}

impl OwnMemory {
    fn zeros(len: usize) -> Self {
        let values = vec![0.0; len + LANES - 1];
        let start = values.as_ptr().align_offset(64).min(LANES - 1);
        Self { values, start, len }
    }

    fn copy_of(slice: &[f64]) -> Self {
        let mut out = Self::zeros(slice.len());
        out.copy_from_slice(slice);
        out
    }
}

impl Clone for OwnMemory {
    fn clone(&self) -> Self {
        Self::copy_of(self)
    }
}

impl Deref for OwnMemory {
    type Target = [f64];
    #[inline(always)]
    fn deref(&self) -> &[f64] {
        &self.values[self.start..self.start + self.len]
    }
}

impl DerefMut for OwnMemory {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [f64] {
        &mut self.values[self.start..self.start + self.len]
    }
}

/// `f64` values that start on a cache line: memory of their own, or a part of memory that others share and that is
/// copied before a write.
#[derive(Debug)]
pub struct AlignedVec(Values);

#[derive(Debug)]
enum Values {
    Own(OwnMemory),
    Part(Arc<AlignedVec>, Range<usize>),
}

impl AlignedVec {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        Self(Values::Own(OwnMemory::zeros(len)))
    }

    /// The values `range` of memory that others share; its start is a whole number of lanes.
    pub fn part(memory: &Arc<AlignedVec>, range: Range<usize>) -> Self {
        Self(Values::Part(Arc::clone(memory), range))
    }

    /// Copy of a slice.
    pub fn from_slice(slice: &[f64]) -> Self {
        Self(Values::Own(OwnMemory::copy_of(slice)))
    }
}

impl Default for AlignedVec {
    fn default() -> Self {
        Self(Values::Own(OwnMemory::default()))
    }
}

impl Clone for AlignedVec {
    fn clone(&self) -> Self {
        Self::from_slice(self)
    }
}

impl Deref for AlignedVec {
    type Target = [f64];
    #[inline]
    fn deref(&self) -> &[f64] {
        match &self.0 {
            Values::Own(memory) => memory,
            Values::Part(memory, range) => &memory[range.clone()],
        }
    }
}

impl DerefMut for AlignedVec {
    fn deref_mut(&mut self) -> &mut [f64] {
        if let Values::Part(..) = self.0 {
            *self = Self::from_slice(self);
        }
        match &mut self.0 {
            Values::Own(memory) => memory,
            Values::Part(..) => &mut [],
        }
    }
}

/// A few columns of equal length, column after column; the work space of one block of units.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    values: OwnMemory,
    stride: usize,
    count: usize,
}

impl Columns {
    /// `count` zero columns of `rows` rows (a whole number of lanes).
    pub fn zeros(rows: usize, count: usize) -> Self {
        Self { values: OwnMemory::zeros(rows * count), stride: rows, count }
    }

    /// Column `index`.
    #[inline(always)]
    pub fn col(&self, index: usize) -> &[f64] {
        &self.values[index * self.stride..(index + 1) * self.stride]
    }

    /// Column `index`, to write.
    #[inline(always)]
    pub fn col_mut(&mut self, index: usize) -> &mut [f64] {
        &mut self.values[index * self.stride..(index + 1) * self.stride]
    }

    /// Number of columns.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Rows of a column.
    pub fn rows(&self) -> usize {
        self.stride
    }

    /// The first `rows` rows of the first `N` columns.
    #[inline(always)]
    pub fn first_mut<const N: usize>(&mut self, rows: usize) -> [&mut [f64]; N] {
        let mut columns = self.values.chunks_exact_mut(self.stride.max(1));
        std::array::from_fn(|_| &mut columns.next().unwrap_or_default()[..rows])
    }

    /// The first `rows` rows of some consecutive columns.
    pub fn view_of(&self, rows: usize, columns: std::ops::Range<usize>) -> View<'_> {
        let values = &self.values[columns.start * self.stride..columns.end * self.stride];
        View::new(values, self.stride, rows, columns.len())
    }

    /// A view of the first `count` columns and `rows` rows.
    #[inline(always)]
    pub fn view(&self, rows: usize, count: usize) -> View<'_> {
        View { values: &self.values[..count * self.stride], stride: self.stride, rows, count }
    }
}

/// Borrowed columns of equal length.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    values: &'a [f64],
    stride: usize,
    rows: usize,
    count: usize,
}

impl<'a> View<'a> {
    /// Columns `count` of `rows` rows each, `stride` values apart.
    pub fn new(values: &'a [f64], stride: usize, rows: usize, count: usize) -> Self {
        debug_assert!(count == 0 || (count - 1) * stride + rows <= values.len());
        Self { values, stride, rows, count }
    }

    /// Column `index`.
    #[inline(always)]
    pub fn col(&self, index: usize) -> &'a [f64] {
        &self.values[index * self.stride..index * self.stride + self.rows]
    }

    /// The columns from `first` on.
    #[inline(always)]
    pub fn from_column(&self, first: usize) -> View<'a> {
        let values = self.values.get(first * self.stride..).unwrap_or(&[]);
        View { values, count: self.count.saturating_sub(first), ..*self }
    }

    /// The values that the first `count` columns span.
    #[inline(always)]
    pub fn col_span(&self, count: usize) -> &'a [f64] {
        if count == 0 { &[] } else { &self.values[..(count - 1) * self.stride + self.rows] }
    }

    /// Distance between columns.
    #[inline(always)]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Number of columns.
    #[inline(always)]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Rows of a column.
    #[inline(always)]
    pub fn rows(&self) -> usize {
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_start_on_cache_lines() {
        for len in [1, 7, 64, 1000] {
            let values = AlignedVec::zeros(len);
            assert_eq!(values.as_ptr() as usize % 64, 0);
            assert_eq!(values.len(), len);
        }
    }

    #[test]
    fn a_part_is_copied_before_it_is_written() {
        let all = Arc::new(AlignedVec::from_slice(&(0..24).map(f64::from).collect::<Vec<_>>()));
        let mut part = AlignedVec::part(&all, 8..12);
        assert_eq!(&*part, &[8.0, 9.0, 10.0, 11.0]);
        part[1] = -1.0;
        assert_eq!((&*part, all[9]), (&[8.0, -1.0, 10.0, 11.0][..], 9.0));
    }
}
