//! How close to R is close enough, and why.
//!
//! R's own numbers are not exact, and the tolerances follow what limits each of them (FORMULAS §3.6):
//!
//! - Without covariates, and for outcome regression, every step is a closed form: both sides are right to rounding,
//!   and the reference files hold 15 significant digits. What is left is the conditioning of `X'WX`: [`CLOSED_FORM`].
//! - R's logit stops when the *deviance* changes by less than 1e-8, so its coefficients may be 1e-8 … 1e-6 off the
//!   maximum. Stagger iterates to the maximum. Inverse probability weights pass the error on at first order: [`IPW`].
//!   The doubly robust ATT is insensitive to it at first order: [`DR`].
//! - Aggregates are averages of cells and inherit the tolerance of their cells.
//! - Bootstrap numbers are random on both sides: the standard error is an interquartile range of B draws, whose
//!   relative standard deviation under normality is 1.17/√B. The difference of two independent runs of B draws
//!   has √2 times that, and [`MONTE_CARLO_SDS`] of these are allowed.
//!
//! A difference in an ATT is judged against max(|ATT|, its standard error): an estimate near zero has no more correct
//! digits than its standard error gives it.

/// Relative tolerance where R evaluates a closed form: `reg`, and every method without covariates.
pub const CLOSED_FORM: f64 = 1e-9;
/// Relative tolerance of `dr` with covariates.
pub const DR: f64 = 1e-7;
/// Relative tolerance of `ipw` with covariates.
pub const IPW: f64 = 5e-6;
/// The Wald statistic solves a system in V: errors of V and of the ATTs grow with its condition number.
pub const WALD_FACTOR: f64 = 20.0;
/// Monte-Carlo standard deviations allowed between two bootstrap runs.
pub const MONTE_CARLO_SDS: f64 = 4.0;
/// sd(s)/s·√B of the interquartile-range standard error under normality.
pub const IQR_SE_SD: f64 = 1.17;
/// sd(c)/c·√B of the simultaneous critical value, the error of the standard errors in it included.
pub const CRIT_SD: f64 = 0.85;
/// Two ways to the same number in floating point: sums in another order, a column scaled by a constant.
pub const ROUNDING: f64 = 1e-11;

/// Two fits of one logit from different starting values: the iterations end within this of each other.
pub const REFIT: f64 = 1e-8;

/// Relative tolerance of ATTs, standard errors and aggregates of one case.
pub fn relative(est_method: &str, has_covariates: bool) -> f64 {
    match (est_method, has_covariates) {
        ("reg", _) | (_, false) => CLOSED_FORM,
        ("ipw", true) => IPW,
        (_, true) => DR,
    }
}

/// Relative tolerance between two standard errors of `draws` bootstrap draws each.
pub fn bootstrap_se(draws: f64) -> f64 {
    MONTE_CARLO_SDS * IQR_SE_SD * (2.0 / draws).sqrt()
}

/// Relative tolerance between two critical values of `draws` bootstrap draws each.
pub fn bootstrap_crit(draws: f64) -> f64 {
    MONTE_CARLO_SDS * CRIT_SD * (2.0 / draws).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerance_follows_the_method() {
        assert_eq!(relative("reg", true), CLOSED_FORM);
        assert_eq!(relative("ipw", false), CLOSED_FORM);
        assert_eq!(relative("ipw", true), IPW);
        assert_eq!(relative("dr", true), DR);
    }

    #[test]
    fn five_thousand_draws_give_a_tenth() {
        assert!((bootstrap_se(5000.0) - 0.0936).abs() < 1e-4);
        assert!((bootstrap_crit(5000.0) - 0.068).abs() < 1e-3);
    }
}
