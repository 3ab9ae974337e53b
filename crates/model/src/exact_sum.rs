//! Sums of floats without rounding, so that no order, division or number of threads changes their bits.
//!
//! The sum is kept as floats that do not overlap (J. R. Shewchuk, "Adaptive precision floating-point arithmetic and fast
//! robust geometric predicates", 1997): every addition is split into its rounded value and the exact rest. The value of
//! the sum is its nearest float, rounded once.

/// Numbers from here on are summed at a smaller scale, so that no sum on the way overflows.
const LARGE: f64 = 1e300;
/// The scale of large numbers, a power of two.
const SCALE: f64 = f64::from_bits((1023 - 64) << 52);

/// An exact sum.
#[derive(Clone, Debug, Default)]
pub struct ExactSum {
    /// Parts that do not overlap, the smallest first.
    parts: Vec<f64>,
    /// The parts of large numbers, times [`SCALE`].
    large: Vec<f64>,
    /// The sum of infinities, or NaN; 0 if all numbers are finite.
    infinite: f64,
}

impl ExactSum {
    /// Adds a number.
    pub fn add(&mut self, value: f64) {
        if !value.is_finite() {
            self.infinite += value;
        } else if value.abs() < LARGE {
            add(&mut self.parts, value);
        } else {
            add(&mut self.large, value * SCALE);
        }
    }

    /// Adds the product of two numbers, without rounding it.
    pub fn add_product(&mut self, a: f64, b: f64) {
        let product = a * b;
        self.add(product);
        if product.is_finite() {
            self.add(a.mul_add(b, -product));
        }
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Self) {
        other.parts.iter().for_each(|part| add(&mut self.parts, *part));
        other.large.iter().for_each(|part| add(&mut self.large, *part));
        self.infinite += other.infinite;
    }

    /// Returns the nearest float.
    pub fn value(&self) -> f64 {
        if self.infinite != 0.0 {
            return self.infinite;
        }
        if self.large.is_empty() {
            return nearest(&self.parts);
        }
        let mut all = self.large.clone();
        self.parts.iter().for_each(|part| add(&mut all, part * SCALE));
        nearest(&all) / SCALE
    }

    /// Returns the sum of squared deviations from the mean of `count` numbers, whose sum this is; `squares` is the sum of
    /// their squares.
    pub fn squared_deviations(&self, squares: &Self, count: u64) -> f64 {
        // Σ(x − m)² = Σx² − 2m Σx + n m² for every m; with the rounded mean the last two terms are exact products.
        let mean = self.value() / count as f64;
        let mut out = squares.clone();
        for part in &self.parts {
            out.add_product(-2.0 * mean, *part);
        }
        for part in &self.large {
            out.add_product(-2.0 * mean, *part / SCALE);
        }
        let square = mean * mean;
        let rest = mean.mul_add(mean, -square);
        out.add_product(square, count as f64);
        out.add_product(rest, count as f64);
        out.value().max(0.0)
    }
}

/// Adds a number to parts that do not overlap.
fn add(parts: &mut Vec<f64>, mut value: f64) {
    let mut kept = 0;
    for at in 0..parts.len() {
        let mut part = parts[at];
        if value.abs() < part.abs() {
            std::mem::swap(&mut value, &mut part);
        }
        let sum = value + part;
        let rest = part - (sum - value);
        if rest != 0.0 {
            parts[kept] = rest;
            kept += 1;
        }
        value = sum;
    }
    parts.truncate(kept);
    if value != 0.0 || kept == 0 {
        parts.push(value);
    }
}

/// Returns the float that is nearest to the sum of parts, the even one of two that are equally near.
fn nearest(parts: &[f64]) -> f64 {
    let mut at = parts.len();
    let Some(mut sum) = at.checked_sub(1).map(|last| parts[last]) else { return 0.0 };
    at -= 1;
    let mut rest = 0.0;
    while at > 0 && rest == 0.0 {
        at -= 1;
        let (high, low) = (sum, parts[at]);
        sum = high + low;
        rest = low - (sum - high);
    }
    // Half of the last place: what lies below decides.
    if at > 0 && ((rest < 0.0 && parts[at - 1] < 0.0) || (rest > 0.0 && parts[at - 1] > 0.0)) {
        let twice = rest * 2.0;
        let up = sum + twice;
        if twice == up - sum {
            sum = up;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(values: &[f64]) -> ExactSum {
        let mut out = ExactSum::default();
        values.iter().for_each(|value| out.add(*value));
        out
    }

    #[test]
    fn sums_are_rounded_once() {
        // The values of Python's math.fsum.
        assert_eq!(sum(&[0.1; 10]).value(), 1.0);
        assert_eq!(sum(&[1e16, 1.0, 1e-16]).value(), 1e16 + 2.0);
        assert_eq!(sum(&[1e100, 1.0, -1e100]).value(), 1.0);
        assert_eq!(sum(&[f64::MAX, f64::MAX, -f64::MAX]).value(), f64::MAX);
        assert_eq!(sum(&[f64::MAX, 1.0, -f64::MAX]).value(), 1.0);
        assert_eq!(sum(&[]).value(), 0.0);
        assert!(sum(&[f64::INFINITY, 1.0]).value().is_infinite());
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).value().is_nan());
    }

    #[test]
    fn deviations_do_not_cancel() {
        let values = [1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0];
        let mut squares = ExactSum::default();
        values.iter().for_each(|x| squares.add_product(*x, *x));
        assert_eq!(sum(&values).squared_deviations(&squares, 4), 90.0);
    }

    proptest! {
        #[test]
        fn no_order_and_no_division_changes_a_bit(
            bits in prop::collection::vec(any::<u64>(), 1..60), cut in 0usize..60, seed in any::<u64>()
        ) {
            let values: Vec<f64> = bits.iter().map(|b| f64::from_bits(*b)).filter(|v| v.is_finite()).collect();
            let whole = sum(&values).value();
            let mut turned = values.clone();
            let length = turned.len().max(1);
            turned.rotate_left(seed as usize % length);
            turned.reverse();
            let (left, right) = turned.split_at(cut.min(turned.len()));
            let mut parts = sum(left);
            parts.merge(&sum(right));
            prop_assert_eq!(parts.value().to_bits(), whole.to_bits());
        }

        #[test]
        fn sums_are_those_of_whole_numbers(values in prop::collection::vec(-1_000_000_000_000i64..1_000_000_000_000, 0..50)) {
            let exact: i64 = values.iter().sum();
            let floats: Vec<f64> = values.iter().map(|v| *v as f64 / 1024.0).collect();
            prop_assert_eq!(sum(&floats).value(), exact as f64 / 1024.0);
        }
    }
}
