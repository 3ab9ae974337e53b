//! Confidence bands of a result: simultaneous or pointwise, and how tables name them.

use stagger_model::numbers::percent;
use stagger_model::result::Num;

use super::text::{field, significant_digits};

/// The line that R prints below every table of estimates.
pub const SIGNIFICANCE: &str = "---\nSignif. codes: '*' confidence band does not cover 0\n";

/// The coverage of confidence bands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bands {
    /// All at once, from the bootstrap.
    Simultaneous,
    /// Each by itself.
    Pointwise,
}

impl Bands {
    /// Returns simultaneous bands if they were asked for and did not fall back to the normal quantile; `crit` is the critical value of the
    /// result.
    pub fn of(simultaneous: bool, crit: Option<Num>, alp: f64) -> Self {
        // The quantile itself is not needed: bands over several cells are wider than it, or equal to it after a fall-back.
        let pointwise = crit.is_none_or(|crit| crit.is_na() || upper_tail(crit.0) >= alp / 2.0 - 1e-12);
        if simultaneous && !pointwise { Self::Simultaneous } else { Self::Pointwise }
    }
}

/// P(Z > x) of the standard normal distribution.
fn upper_tail(x: f64) -> f64 {
    0.5 * libm::erfc(x / std::f64::consts::SQRT_2)
}

/// Returns the heading of the bands of a table: `[95% Simult. Conf. Band]`.
pub fn band_heading(alp: f64, bands: Bands) -> String {
    let kind = match bands {
        Bands::Simultaneous => "Simult.",
        Bands::Pointwise => "Pointwise",
    };
    format!("[{}% {kind} Conf. Band]", percent(alp))
}

/// Returns the line of the critical value of the bands over `what`: all cells, event times, groups or periods.
pub fn critical_value(crit: f64, bands: Bands, what: &str, alp: f64) -> String {
    let kind = match bands {
        Bands::Simultaneous => format!("simultaneous over all {what}"),
        Bands::Pointwise => "pointwise".to_owned(),
    };
    field(
        "Critical value:",
        &format!("{}, {kind}, at the {}% level", significant_digits(crit), percent(1.0 - alp)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_fall_back() {
        let quantile = Some(Num(1.959963984540054));
        assert_eq!(Bands::of(true, quantile, 0.05), Bands::Pointwise);
        assert_eq!(Bands::of(true, Some(Num(2.5)), 0.05), Bands::Simultaneous);
        assert_eq!(Bands::of(false, Some(Num(2.5)), 0.05), Bands::Pointwise);
        assert_eq!(Bands::of(true, None, 0.05), Bands::Pointwise);
    }
}
