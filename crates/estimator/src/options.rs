//! The options that define an estimate, under R `did`'s names and with R's defaults.

use serde::{Deserialize, Serialize};

/// Two-by-two estimator of every cell (FORMULAS §3.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EstMethod {
    /// Doubly robust (Sant'Anna & Zhao 2020, traditional form).
    #[default]
    Dr,
    /// Outcome regression (Heckman, Ichimura & Todd 1997).
    Reg,
    /// Hájek-normalised inverse probability weighting (Abadie 2005).
    Ipw,
}

/// The units that a treated cohort is compared with (FORMULAS §2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ControlGroup {
    /// Units that are never treated.
    #[default]
    NeverTreated,
    /// Units not treated yet by the later of the cell's two periods.
    NotYetTreated,
}

/// Base period of pre-treatment cells (FORMULAS §2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BasePeriod {
    /// The immediately preceding observed period.
    #[default]
    Varying,
    /// The last period before treatment (and anticipation), for every cell.
    Universal,
}

/// The period that a unit's weight is taken from (FORMULAS §2.3); absent = the cell's earlier period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FixWeights {
    /// The cohort's base period.
    BasePeriod,
    /// The first period of the sample.
    FirstPeriod,
    /// Each row its own weight; the cell is estimated as a repeated cross section.
    Varying,
}

/// Two-point distribution of the bootstrap multipliers (DESIGN §3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Multiplier {
    /// ±1 with probability one half, as R `did`.
    #[default]
    Rademacher,
    /// (1−√5)/2 with probability (√5+1)/(2√5), else (1+√5)/2 (Mammen 1993).
    Mammen,
}

/// The scale of the draws of an estimate (FORMULAS §5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DrawScale {
    /// Their interquartile range, or their standard deviation where the two differ by more than 25 %: few units carry the
    /// estimate then, and the draws are too discrete for quartiles.
    #[default]
    Auto,
    /// Their interquartile range always, as R `did`.
    Iqr,
}
