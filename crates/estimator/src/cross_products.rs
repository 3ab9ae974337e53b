//! AᵀB of two sets of columns over one block, in register tiles; the heart of every pass.

use crate::columns::View;
use crate::dispatch::multiversion;
use crate::lanes::{F64x8, LANES};

#[inline(always)]
fn tile<const M: usize, const N: usize>(a: [&[f64]; M], b: [&[f64]; N]) -> [[f64; N]; M] {
    let rows = a[0].len();
    let (a, b) = (a.map(|column| &column[..rows]), b.map(|column| &column[..rows]));
    let mut acc = [[F64x8::ZERO; N]; M];
    let mut row = 0;
    while row + LANES <= rows {
        let right: [F64x8; N] = std::array::from_fn(|j| F64x8::load(b[j], row));
        for i in 0..M {
            let left = F64x8::load(a[i], row);
            for j in 0..N {
                acc[i][j] = left.fma(right[j], acc[i][j]);
            }
        }
        row += LANES;
    }
    std::array::from_fn(|i| std::array::from_fn(|j| acc[i][j].sum()))
}

#[inline(always)]
fn tile_into<const M: usize, const N: usize>(
    a: &View<'_>,
    i: usize,
    b: &View<'_>,
    j: usize,
    out: &mut [f64],
) {
    let sums = tile::<M, N>(std::array::from_fn(|d| a.col(i + d)), std::array::from_fn(|d| b.col(j + d)));
    for (di, row) in sums.iter().enumerate() {
        for (dj, sum) in row.iter().enumerate() {
            out[(i + di) * b.count() + j + dj] += sum;
        }
    }
}

#[inline(always)]
fn row_of_tiles<const M: usize>(a: &View<'_>, i: usize, b: &View<'_>, from: usize, out: &mut [f64]) {
    let mut j = from;
    while j < b.count() {
        match b.count() - j {
            1 => tile_into::<M, 1>(a, i, b, j, out),
            2 => tile_into::<M, 2>(a, i, b, j, out),
            3 => tile_into::<M, 3>(a, i, b, j, out),
            _ => tile_into::<M, 4>(a, i, b, j, out),
        }
        j += 4;
    }
}

#[inline(always)]
fn all_tiles(a: &View<'_>, b: &View<'_>, upper: bool, out: &mut [f64]) {
    let mut i = 0;
    while i < a.count() {
        let from = if upper { i } else { 0 };
        match a.count() - i {
            1 => row_of_tiles::<1>(a, i, b, from, out),
            2 => row_of_tiles::<2>(a, i, b, from, out),
            3 => row_of_tiles::<3>(a, i, b, from, out),
            _ => row_of_tiles::<4>(a, i, b, from, out),
        }
        i += 4;
    }
}

multiversion! {
    /// Adds AᵀB to `out` (`a.count() × b.count()`, row by row). Rows must be whole lanes and equal in number.
    pub fn add_cross(a: View<'_>, b: View<'_>, out: &mut [f64]) {
        all_tiles(&a, &b, false, out);
    }
}

multiversion! {
    /// Adds AᵀB where it is known to be symmetric (B = diag(w)·A): the upper triangle of `out` is right, below it is
    /// partly filled; [`mirror`] completes it.
    pub fn add_cross_symmetric(a: View<'_>, b: View<'_>, out: &mut [f64]) {
        all_tiles(&a, &b, true, out);
    }
}

/// Copies the upper triangle of a `n × n` matrix to the lower one.
pub fn mirror(matrix: &mut [f64], n: usize) {
    for i in 0..n {
        for j in 0..i {
            matrix[i * n + j] = matrix[j * n + i];
        }
    }
}

multiversion! {
    /// Multiplies every column of `a` by `weights` into `out` (same shape).
    pub fn scale_columns(a: View<'_>, weights: &[f64], out: &mut crate::columns::Columns) {
        for j in 0..a.count() {
            let source = a.col(j);
            let target = &mut out.col_mut(j)[..source.len()];
            let weights = &weights[..source.len()];
            for ((t, s), w) in target.iter_mut().zip(source).zip(weights) {
                *t = s * w;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::columns::Columns;
    use crate::dispatch::{self, InstructionSet};

    fn filled(rows: usize, count: usize, seed: u64) -> Columns {
        let mut columns = Columns::zeros(rows, count);
        let mut state = seed | 1;
        for j in 0..count {
            for value in columns.col_mut(j) {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *value = (state >> 40) as f64 / 1e6 - 8.0;
            }
        }
        columns
    }

    proptest! {
        #[test]
        fn tiles_equal_the_plain_sum_and_every_level_gives_the_same_bits(
            blocks in 1usize..6, m in 1usize..10, n in 1usize..10, seed in any::<u64>()
        ) {
            let rows = blocks * LANES;
            let (a, b) = (filled(rows, m, seed), filled(rows, n, seed ^ 99));
            let before = dispatch::level();
            let mut results = Vec::new();
            for level in [InstructionSet::Portable, InstructionSet::Avx2, InstructionSet::Avx512] {
                dispatch::force(level);
                let mut out = vec![0.0; m * n];
                add_cross(a.view(rows, m), b.view(rows, n), &mut out);
                results.push(out);
            }
            dispatch::force(before);
            prop_assert_eq!(&results[0], &results[1]);
            prop_assert_eq!(&results[0], &results[2]);
            for i in 0..m {
                for j in 0..n {
                    let plain: f64 = a.col(i).iter().zip(b.col(j)).map(|(x, y)| x * y).sum();
                    prop_assert!((results[0][i * n + j] - plain).abs() < 1e-6);
                }
            }
        }
    }
}
