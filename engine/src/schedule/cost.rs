//! What a run has cost, what the attempts under way may cost yet, and whether another one would pass the cap.

use serde::{Deserialize, Serialize};

/// Prices of what a run pays for, in dollars.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// A gigabyte of memory for a second.
    pub gb_second: f64,
    /// An invocation.
    pub invocation: f64,
    /// A read of storage.
    pub get: f64,
    /// A write of storage.
    pub put: f64,
}

impl Rates {
    /// Threads of this machine, folders of this machine.
    pub const FREE: Self = Self { gb_second: 0.0, invocation: 0.0, get: 0.0, put: 0.0 };

    /// Dollars of an invocation of a function of `memory_mb` megabytes.
    pub fn invocation(&self, memory_mb: u32, seconds: f64) -> f64 {
        self.invocation + f64::from(memory_mb) / 1024.0 * seconds * self.gb_second
    }
}

/// Dollars of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Invocations that ended, as billed where the bill is known.
    pub spent: f64,
    /// What those under way may cost at most, each until it gives up by itself.
    pub reserved: f64,
    /// The cap; none where absent.
    pub cap: Option<f64>,
    /// What the attempt may cost that the cap did not allow.
    #[serde(default)]
    pub refused: f64,
}

impl Cost {
    /// Whether an attempt that may cost `most` can start without the cap ever being passed.
    pub fn allows(&self, most: f64) -> bool {
        self.cap.is_none_or(|cap| self.spent + self.reserved + most <= cap)
    }

    /// An attempt that may cost `most` starts.
    pub fn reserve(&mut self, most: f64) {
        self.reserved += most;
    }

    /// It ended and cost `dollars`.
    pub fn settle(&mut self, most: f64, dollars: f64) {
        // Floating point must not leave a rest below zero once nothing is under way.
        self.reserved = (self.reserved - most).max(0.0);
        self.spent += dollars;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_counts_what_is_under_way_at_its_worst() {
        let mut cost = Cost { cap: Some(1.0), ..Cost::default() };
        assert!(cost.allows(0.6));
        cost.reserve(0.6);
        assert!(!cost.allows(0.6), "both could cost 1.2");
        cost.settle(0.6, 0.1);
        assert!(cost.allows(0.6));
        assert!((cost.spent - 0.1).abs() < 1e-12 && cost.reserved.abs() < 1e-12);
        assert!(Cost::default().allows(f64::MAX));
    }

    #[test]
    fn a_gigabyte_second_is_billed_by_memory() {
        let rates = Rates { gb_second: 1e-5, invocation: 2e-7, get: 0.0, put: 0.0 };
        assert!((rates.invocation(2048, 3.0) - (6e-5 + 2e-7)).abs() < 1e-18);
    }
}
