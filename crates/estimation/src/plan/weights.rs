//! Scale of sampling weights: no result depends on it, and products of weights must neither overflow nor vanish.

use stagger_model::error::{Result, StaggerError};
use stagger_model::spec::RunSpec;
use stagger_panel::panel::Panel;

/// Binary exponents of the largest weight for which weights stay as they are.
const PLAIN: std::ops::RangeInclusive<i32> = -10..=10;
/// Largest difference between the binary exponents of the largest and the smallest weight, so that squares of their
/// ratio are finite.
const WIDEST: i32 = 450;
/// Largest binary exponent of a factor; smaller weights have few digits, and stay as they are.
const LARGEST_FACTOR: i32 = 1000;

/// Returns the power of two that brings the largest weight near 1; 1 without weights, or where the largest is near 1
/// already. It depends on the extremes of the whole input only, not on the cut into shards.
///
/// # Errors
/// Weights that are negative, all zero, or too far apart.
pub(super) fn factor(panel: &Panel, spec: &RunSpec) -> Result<f64> {
    let Some(name) = &spec.weightsname else { return Ok(1.0) };
    let census = &panel.counts.census;
    if census.least_weight < 0.0 {
        return Err(StaggerError::input(format!(
            "the weights in `{name}` go down to {}",
            census.least_weight
        ))
        .with_hint("sampling weights can't be negative"));
    }
    if census.least_weight.is_finite() && census.weight <= 0.0 {
        return Err(StaggerError::input(format!("the mean of the weights in `{name}` is {}", census.weight))
            .with_hint("at least some weights must be positive"));
    }
    let (least, greatest) = (census.least_positive_weight, census.greatest_weight);
    if !(greatest > 0.0 && least.is_finite()) {
        return Ok(1.0);
    }
    let (low, high) = (libm::ilogb(least), libm::ilogb(greatest));
    if high - low > WIDEST {
        return Err(StaggerError::input(format!(
            "the weights in `{name}` run from {least:e} to {greatest:e}, too far apart to be added up"
        ))
        .with_hint("set the smallest ones to 0: beside the largest they count for nothing"));
    }
    Ok(if PLAIN.contains(&high) { 1.0 } else { power_of_two(-high) })
}

fn power_of_two(exponent: i32) -> f64 {
    libm::scalbn(1.0, exponent.clamp(-LARGEST_FACTOR, LARGEST_FACTOR))
}
