//! Bootstrap draws of the extended columns from those of the features.

use faer::Mat;

use super::covariance::Factor;

/// Draws Σ v Φ of the features, by group, and summed over runs of groups: a power of two of them that starts at a multiple of
/// it. The controls of a cell are a run of cohorts less a few, which a dozen sums make up however many they are.
#[derive(Clone, Debug, Default)]
pub struct FeatureDraws {
    draws: usize,
    /// By level, then run: `features × draws`, the draws of a feature one after the other; `None` for groups whose features
    /// differ.
    levels: Vec<Vec<Option<Vec<f64>>>>,
}

/// Length of a run of groups from which on sums over several groups are made.
const LONG: u32 = 16;

impl FeatureDraws {
    /// Takes the draws of all groups, `features × draws` each.
    pub fn new(factor: &Factor, groups: Vec<Vec<f64>>, draws: usize) -> Self {
        let longest = factor.sets.iter().flatten().map(|range| range.end - range.start).max().unwrap_or(0);
        let mut out = Self { draws, levels: vec![groups.into_iter().map(Some).collect()] };
        while longest >= LONG && out.levels.last().is_some_and(|level| level.len() > 1) {
            out.add_level(factor);
        }
        out
    }

    fn add_level(&mut self, factor: &Factor) {
        let Some(below) = self.levels.last() else { return };
        let size = 1 << (self.levels.len() - 1);
        let layout = |run: usize| factor.groups[run * size].layout;
        let pair = |at: usize| {
            let (left, right) = (below[2 * at].as_ref()?, below[2 * at + 1].as_ref()?);
            let sum = || left.iter().zip(right).map(|(a, b)| a + b).collect();
            (layout(2 * at) == layout(2 * at + 1)).then(sum)
        };
        let level = (0..below.len() / 2).map(pair).collect();
        self.levels.push(level);
    }

    /// Returns the longest run that starts at group `first` and ends before `end`: its level and its draws.
    fn run(&self, first: usize, end: usize) -> Option<(usize, &[f64])> {
        let fits = |level: &usize| first.is_multiple_of(1 << level) && first + (1 << level) <= end;
        let found = |level: usize| Some((level, self.levels[level].get(first >> level)?.as_deref()?));
        (0..self.levels.len()).rev().filter(fits).find_map(found)
    }

    /// Adds the draws of an extended column to `sums`.
    fn add_column(&self, factor: &Factor, column: usize, sums: &mut [f64]) {
        for term in &factor.columns[column] {
            for range in &factor.sets[term.set as usize] {
                let (mut first, end) = (range.start as usize, range.end as usize);
                while let Some((level, own)) = self.run(first, end).filter(|_| first < end) {
                    let layout = &factor.layouts[factor.groups[first].layout];
                    for (id, coefficient) in &term.coefficients {
                        let Some(at) = layout.position(*id) else { continue };
                        let own = &own[at * self.draws..(at + 1) * self.draws];
                        sums.iter_mut().zip(own).for_each(|(sum, value)| *sum += coefficient * value);
                    }
                    first += 1 << level;
                }
            }
        }
    }
}

/// Bits of a draw's mantissa that are kept of thousands of cells: ten digits, which leaves standard errors within 6e-11 of
/// those of all bits. The draws are most of a saved result, and
/// what lies beyond is noise of the summation to those who read them.
const MANTISSA: u32 = 33;

/// Rounds a draw to 33 bits.
pub fn round_draw(value: f64) -> f64 {
    let dropped = 52 - MANTISSA;
    let half = 1u64 << (dropped - 1);
    let rounded = f64::from_bits((value.to_bits().wrapping_add(half)) & !((1 << dropped) - 1));
    if value.is_finite() && rounded.is_finite() { rounded } else { value }
}

/// Returns the draws of some extended columns, `draws × columns`. `round` is applied to each.
pub fn draw_matrix(
    factor: &Factor,
    features: &FeatureDraws,
    columns: std::ops::Range<usize>,
    round: fn(f64) -> f64,
) -> Mat<f64> {
    let mut out = Mat::zeros(features.draws, columns.len());
    let mut sums = vec![0.0; features.draws];
    for (place, column) in columns.enumerate() {
        sums.fill(0.0);
        features.add_column(factor, column, &mut sums);
        for (draw, sum) in sums.iter().enumerate() {
            out[(draw, place)] = round(*sum);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounded_draws_have_ten_digits() {
        for value in [1.0, -0.1, 123_456.789, 1e-300, -7.25e8] {
            let rounded = round_draw(value);
            assert!((rounded / value - 1.0).abs() < 6e-11, "{value} {rounded}");
            assert_eq!(rounded.to_bits() & 0xffff, 0);
            assert_eq!(round_draw(rounded), rounded);
        }
        assert!(round_draw(f64::NAN).is_nan());
        assert_eq!(round_draw(f64::INFINITY), f64::INFINITY);
        assert_eq!(round_draw(f64::MAX), f64::MAX);
        assert_eq!(round_draw(0.0), 0.0);
    }
}
