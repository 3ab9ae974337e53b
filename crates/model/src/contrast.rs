//! Numbers made of several estimates of a result.

use serde::{Deserialize, Serialize};

use crate::result::{Num, WaldTest};

/// The difference of two estimates of an aggregation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contrast {
    /// The event time, group or period of the first estimate.
    pub of: Num,
    /// That of the second, which is subtracted.
    pub from: Num,
    /// The difference.
    pub att: Num,
    /// Its standard error.
    pub se: Num,
    /// The lower end of its pointwise confidence interval.
    pub lci: Num,
    /// The upper end.
    pub uci: Num,
    /// The difference over its standard error.
    pub z: Num,
    /// The p-value of the normal test that it is zero.
    pub p: Num,
}

/// A Wald test over chosen event times.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChosenPretest {
    /// The first event time.
    pub first: Num,
    /// The last event time.
    pub last: Num,
    /// The test.
    #[serde(flatten)]
    pub wald: WaldTest,
}
