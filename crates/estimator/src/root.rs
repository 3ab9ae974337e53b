//! The zero of a function that decreases.

/// Steps after which it is close enough in any case.
const STEPS: usize = 60;

/// The zero of a decreasing function between two points by the false position rule of Illinois; the nearer end if there is none.
pub(crate) fn root(f: &dyn Fn(f64) -> f64, (mut low, mut high): (f64, f64), precision: f64) -> f64 {
    let (mut at_low, mut at_high) = (f(low), f(high));
    if at_low <= 0.0 {
        return low;
    }
    if at_high >= 0.0 {
        return high;
    }
    let mut last = 0.0;
    for _ in 0..STEPS {
        let secant = high - at_high * (high - low) / (at_high - at_low);
        let next = if secant > low && secant < high { secant } else { 0.5 * (low + high) };
        let value = f(next);
        // An end that stays for a second time counts half.
        let stays = if value * last > 0.0 { 0.5 } else { 1.0 };
        if value > 0.0 {
            (low, at_low) = (next, value);
            at_high *= stays;
        } else {
            (high, at_high) = (next, value);
            at_low *= stays;
        }
        last = value;
        if high - low <= precision || value == 0.0 {
            break;
        }
    }
    if at_high.abs() < at_low.abs() { high } else { low }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots() {
        assert!((root(&|x| 2.0 - x * x, (0.0, 5.0), 1e-12) - 2.0f64.sqrt()).abs() < 1e-9);
        assert_eq!([root(&|_| -1.0, (0.0, 5.0), 1e-9), root(&|_| 1.0, (0.0, 5.0), 1e-9)], [0.0, 5.0]);
    }
}
