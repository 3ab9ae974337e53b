//! The data-generating process, every part of it a pure function of the seed, the unit and the period.
//!
//! With periods numbered k = 0, 1, … and cohorts j = 1 … K (0 is never treated):
//!
//! ```text
//! xᵢ   ~ N(0, I)                           covariates of unit i
//! P(Gᵢ = j | xᵢ) ∝ πⱼ exp(βⱼ·xᵢ), β₀ = 0   π gives the shares asked for; |βⱼ| is 0.5 at most
//! Yᵢₖ  = αᵢ + δₖ + k (γ·xᵢ) + ATT(Gᵢ, k) + noise · (c(i) + 0.1 k s(i) + εᵢₖ)
//! αᵢ   ~ N(0.2 Gᵢ's rank, 1)               later cohorts start from a higher level
//! ATT(gⱼ, k) = effect · (1 − (j−1)/2K) · (k − k(gⱼ) + 1) from k(gⱼ) on, 0 before
//! ```
//!
//! c and s are the level and the trend of the unit's cluster. βⱼ and γ point in similar directions, so trends are
//! parallel given x only: an estimate without covariates is biased, by design. Outcome regression and the
//! propensity score against the never treated are correctly specified. Effects are the same for all units of a cell,
//! so the true ATT(g,t) does not depend on weights or on who was drawn.
//!
//! With eligible units, Qᵢ = 1 with the probability asked for, whatever x and G are, and
//!
//! ```text
//! Yᵢₖ gains k (0.3 Gᵢ's rank / K + Qᵢ (0.2 + ½ γ·xᵢ)) and ATT(Gᵢ, k) only where Qᵢ = 1
//! ```
//!
//! The first term differs between cohorts and is the same for both values of Q, so comparing cohorts is biased. The
//! second differs between the values of Q and, given x, is the same for all cohorts, so comparing those is biased
//! too. The triple difference given x takes out both.
//!
//! In cross sections each row draws a unit of its own; a row that is missing is so by chance alone. Neither changes
//! the truth.

use super::args::SimulateArgs;
use super::random::{Purpose, Stream, normal_quantile};

/// Trend of the last cohort beyond that of the never treated, where there are eligible units.
const COHORT_TREND: f64 = 0.3;
/// Trend of the eligible units beyond that of the others, at x = 0.
const ELIGIBLE_TREND: f64 = 0.2;
/// Units of a weight: weights are whole 1024ths, so that their sums are exact in any order.
pub(super) const WEIGHT_UNIT: f64 = 1.0 / 1024.0;

/// The process with its parameters.
pub(super) struct Model {
    design: Design,
    /// Period number at which each treated cohort is first treated, rising.
    starts: Vec<usize>,
    /// πⱼ of the never treated and of every cohort.
    odds: Vec<f64>,
    /// |βⱼ| of the never treated and of every cohort.
    selection: Vec<f64>,
    /// Direction of every βⱼ, of length 1.
    direction: Vec<f64>,
    /// γ.
    trends: Vec<f64>,
    /// δₖ.
    period_effects: Vec<f64>,
    /// ATT of every cohort in its first treated period.
    effects: Vec<f64>,
}

/// The arguments that the process needs as they were given.
struct Design {
    seed: u64,
    periods: usize,
    first_period: i32,
    clusters: u64,
    noise: f64,
    covariates_vary: bool,
    /// Share of eligible units; all are where there is none.
    eligible_share: Option<f64>,
    /// Each row is another unit.
    cross_sections: bool,
    missing_share: f64,
}

impl Design {
    fn new(args: &SimulateArgs) -> Self {
        Self {
            seed: args.seed,
            periods: args.periods as usize,
            first_period: args.first_period,
            clusters: u64::from(args.clusters()),
            noise: args.noise,
            covariates_vary: args.time_varying_covariates,
            eligible_share: args.eligible_share,
            cross_sections: args.cross_sections,
            missing_share: args.missing_share,
        }
    }
}

/// The draws of a unit that are the same in every period.
#[derive(Default)]
pub(super) struct Unit {
    /// 1 … N.
    pub(super) id: u64,
    /// x at the first period.
    pub(super) covariates: Vec<f64>,
    /// 0 for the never treated, else the rank of the cohort from 1.
    pub(super) cohort: usize,
    /// 1 … C.
    pub(super) cluster: i32,
    /// Weight in [`WEIGHT_UNIT`]s, 512 … 1536.
    pub(super) weight: u32,
    /// Treatment has an effect on the unit.
    pub(super) eligible: bool,
    level: f64,
    slope: f64,
}

impl Model {
    /// The process of checked arguments.
    pub(super) fn new(args: &SimulateArgs) -> Self {
        let (periods, cohorts, covariates) =
            (args.periods as usize, args.cohorts as usize, args.covariates as usize);
        let starts = cohort_starts(periods, cohorts);
        let treated_share = (1.0 - args.never_share) / cohorts as f64;
        let sign = |p: usize| if p.is_multiple_of(2) { 1.0 } else { -1.0 };
        let length = (covariates.max(1) as f64).sqrt();
        let shares: Vec<f64> =
            std::iter::once(args.never_share).chain(std::iter::repeat_n(treated_share, cohorts)).collect();
        let selection: Vec<f64> =
            (0..=cohorts).map(|j| if j == 0 { 0.0 } else { 0.2 + 0.3 * j as f64 / cohorts as f64 }).collect();
        Self {
            design: Design::new(args),
            starts,
            odds: if covariates == 0 { shares } else { odds(&shares, &selection) },
            selection,
            direction: (0..covariates).map(|p| sign(p) / length).collect(),
            trends: (0..covariates)
                .map(|p| sign(p) * 0.4 * (covariates - p) as f64 / covariates as f64 / length)
                .collect(),
            period_effects: (0..periods)
                .map(|k| 0.1 * k as f64 + 0.5 * Stream::new(args.seed, Purpose::Period, k as u64, 0).normal())
                .collect(),
            effects: (0..cohorts).map(|j| args.effect * (1.0 - j as f64 / (2 * cohorts) as f64)).collect(),
        }
    }

    /// The number of periods.
    pub(super) fn periods(&self) -> usize {
        self.design.periods
    }

    /// The value of `time` in period number k.
    pub(super) fn time(&self, period: usize) -> i32 {
        self.design.first_period + period as i32
    }

    /// The value of `group`: the time of first treatment, 0 for the never treated.
    pub(super) fn group(&self, cohort: usize) -> i32 {
        if cohort == 0 { 0 } else { self.time(self.starts[cohort - 1]) }
    }

    /// Period number at which a treated cohort is first treated.
    pub(super) fn start(&self, cohort: usize) -> usize {
        self.starts[cohort - 1]
    }

    /// The unit, from 1, whose row belongs at unit `index`, from 0, and a period: in cross sections each has its own.
    pub(super) fn id(&self, index: u64, period: usize) -> u64 {
        if self.design.cross_sections {
            index * self.design.periods as u64 + period as u64 + 1
        } else {
            index + 1
        }
    }

    /// Returns true if the row of a unit in a period is left out.
    pub(super) fn is_missing(&self, id: u64, period: usize) -> bool {
        let draw = || Stream::new(self.design.seed, Purpose::Missing, id, period as u64).uniform();
        self.design.missing_share > 0.0 && draw() < self.design.missing_share
    }

    /// Returns true if a row that is there is the first of its unit.
    pub(super) fn is_first_row(&self, id: u64, period: usize) -> bool {
        self.design.cross_sections || (0..period).all(|earlier| self.is_missing(id, earlier))
    }

    /// The true ATT(g,t) of a treated cohort, of its eligible units.
    pub(super) fn att(&self, cohort: usize, period: usize) -> f64 {
        let start = self.starts[cohort - 1];
        if period < start { 0.0 } else { self.effects[cohort - 1] * (period - start + 1) as f64 }
    }

    /// Draws unit `id` into `unit`, whose buffer is used again.
    pub(super) fn draw(&self, id: u64, unit: &mut Unit) {
        let mut stream = Stream::new(self.design.seed, Purpose::Unit, id, 0);
        unit.id = id;
        unit.covariates.clear();
        unit.covariates.extend((0..self.direction.len()).map(|_| stream.normal()));
        unit.cohort = self.cohort(dot(&self.direction, &unit.covariates), stream.uniform());
        let cluster = stream.below(self.design.clusters) + 1;
        unit.cluster = cluster as i32;
        unit.weight = 512 + stream.below(1025) as u32;
        unit.level = 0.2 * unit.cohort as f64 + stream.normal();
        unit.slope = dot(&self.trends, &unit.covariates);
        self.draw_eligibility(unit);
        if self.design.noise > 0.0 {
            let mut stream = Stream::new(self.design.seed, Purpose::Cluster, cluster, 0);
            unit.level += self.design.noise * 0.5 * stream.normal();
            unit.slope += self.design.noise * 0.1 * stream.normal();
        }
    }

    /// Draws whether the unit is eligible, and gives it the trends of its cohort and of the eligible.
    fn draw_eligibility(&self, unit: &mut Unit) {
        unit.eligible = true;
        let Some(share) = self.design.eligible_share else { return };
        unit.eligible = Stream::new(self.design.seed, Purpose::Eligible, unit.id, 0).uniform() < share;
        if unit.eligible {
            unit.slope += ELIGIBLE_TREND + 0.5 * unit.slope;
        }
        unit.slope += COHORT_TREND * unit.cohort as f64 / self.starts.len() as f64;
    }

    /// The outcome of a unit in period number k.
    pub(super) fn outcome(&self, unit: &Unit, period: usize) -> f64 {
        let untreated = unit.level + self.period_effects[period] + unit.slope * period as f64;
        let treated = unit.cohort > 0 && unit.eligible;
        let expected = if treated { untreated + self.att(unit.cohort, period) } else { untreated };
        if self.design.noise > 0.0 {
            expected
                + self.design.noise
                    * Stream::new(self.design.seed, Purpose::Row, unit.id, period as u64).normal()
        } else {
            expected
        }
    }

    /// Covariate `p` of a unit in period number k.
    ///
    /// A covariate that varies does so along a line that is the same for all units: whichever period an estimator
    /// takes it from, it carries the same information, so that the truth stays the truth.
    pub(super) fn covariate(&self, unit: &Unit, p: usize, period: usize) -> f64 {
        let first = unit.covariates[p];
        if self.design.covariates_vary {
            first * (1.0 + 0.1 * period as f64) + 0.05 * period as f64
        } else {
            first
        }
    }

    /// The cohort of a unit whose x points `score` along the direction of selection.
    fn cohort(&self, score: f64, uniform: f64) -> usize {
        // Without covariates the score is 0, and exp(0) is 1.
        let odds = |cohort: usize| self.odds[cohort] * libm::exp(self.selection[cohort] * score);
        let total: f64 = (0..self.odds.len()).map(odds).sum();
        let mut left = uniform * total;
        for cohort in 0..self.starts.len() {
            left -= odds(cohort);
            if left < 0.0 {
                return cohort;
            }
        }
        self.starts.len()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The π for which P(G = j), averaged over a standard normal score, is `shares[j]`.
///
/// Found by scaling each π by the share wanted over the share it gives, over quantiles of the normal.
fn odds(shares: &[f64], selection: &[f64]) -> Vec<f64> {
    const NODES: usize = 101;
    const ROUNDS: usize = 25;
    let scores: Vec<f64> = (0..NODES).map(|i| normal_quantile((i as f64 + 0.5) / NODES as f64)).collect();
    let tilts: Vec<Vec<f64>> =
        scores.iter().map(|score| selection.iter().map(|size| libm::exp(size * score)).collect()).collect();
    let mut odds = shares.to_vec();
    for _ in 0..ROUNDS {
        let mut given = vec![0.0; shares.len()];
        for tilt in &tilts {
            let total = dot(&odds, tilt);
            for ((given, odds), tilt) in given.iter_mut().zip(&odds).zip(tilt) {
                *given += odds * tilt / total / NODES as f64;
            }
        }
        for ((odds, share), given) in odds.iter_mut().zip(shares).zip(given) {
            if *share > 0.0 {
                *odds *= share / given;
            }
        }
    }
    odds
}

/// Spreads the cohorts evenly over the periods from the third on, or from the second where they need it.
fn cohort_starts(periods: usize, cohorts: usize) -> Vec<usize> {
    let first = if cohorts + 2 <= periods { 2 } else { 1 };
    (0..cohorts).map(|j| first + j * (periods - first) / cohorts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odds_give_the_shares_asked_for() {
        let (shares, selection) = ([0.1, 0.3, 0.3, 0.3], [0.0, 0.3, 0.4, 0.5]);
        let odds = odds(&shares, &selection);
        let n = 20_000;
        let mut given = [0.0; 4];
        for i in 0..n {
            let score = normal_quantile((f64::from(i) + 0.5) / f64::from(n));
            let parts: Vec<f64> = (0..4).map(|j| odds[j] * libm::exp(selection[j] * score)).collect();
            let total: f64 = parts.iter().sum();
            given.iter_mut().zip(parts).for_each(|(given, part)| *given += part / total / f64::from(n));
        }
        assert!(given.iter().zip(shares).all(|(given, share)| (given - share).abs() < 1e-4), "{given:?}");
    }

    #[test]
    fn cohorts_are_spread_after_the_first_period() {
        assert_eq!(cohort_starts(10, 8), [2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(cohort_starts(10, 9), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(cohort_starts(10, 3), [2, 4, 7]);
        assert_eq!(cohort_starts(2, 1), [1]);
        for periods in 2..30 {
            for cohorts in 1..periods {
                let starts = cohort_starts(periods, cohorts);
                assert!(starts[0] >= 1 && starts[cohorts - 1] < periods, "{periods} periods: {starts:?}");
                assert!(starts.windows(2).all(|pair| pair[0] < pair[1]), "{periods} periods: {starts:?}");
            }
        }
    }
}
