//! The cost of a run: dollars spent, dollars that running attempts may still cost, and the cap.

use serde::{Deserialize, Serialize};

/// Prices in dollars.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnitPrices {
    /// The price of a gigabyte of memory for a second.
    pub gb_second: f64,
    /// The price of an invocation.
    pub invocation: f64,
    /// The price of a read request to storage.
    pub get: f64,
    /// The price of a write request to storage.
    pub put: f64,
}

impl UnitPrices {
    /// No price at all: threads and folders of this machine.
    pub const FREE: Self = Self { gb_second: 0.0, invocation: 0.0, get: 0.0, put: 0.0 };

    /// Returns the dollars of an invocation of `seconds` seconds of a function with `memory_mb` megabytes.
    pub fn price_invocation(&self, memory_mb: u32, seconds: f64) -> f64 {
        self.invocation + f64::from(memory_mb) / 1024.0 * seconds * self.gb_second
    }
}

/// The cost of a run in dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// The cost of completed invocations, as billed if the bill is known.
    pub spent: f64,
    /// The most that running invocations may cost, each until its time limit.
    pub reserved: f64,
    /// The cap; `None` without a cap.
    pub cap: Option<f64>,
    /// The possible cost of the attempt that the cap refused.
    #[serde(default)]
    pub refused: f64,
}

impl Cost {
    /// Returns `true` if an attempt that may cost `most` can start without any risk of exceeding the cap.
    pub fn allows(&self, most: f64) -> bool {
        self.cap.is_none_or(|cap| self.spent + self.reserved + most <= cap)
    }

    /// Reserves `most` for an attempt that starts.
    pub fn reserve(&mut self, most: f64) {
        self.reserved += most;
    }

    /// Replaces the reserve `most` of an attempt that ended by its cost `dollars`.
    pub fn settle(&mut self, most: f64, dollars: f64) {
        // Rounding must not leave a negative reserve once nothing is running.
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
        let rates = UnitPrices { gb_second: 1e-5, invocation: 2e-7, get: 0.0, put: 0.0 };
        assert!((rates.price_invocation(2048, 3.0) - (6e-5 + 2e-7)).abs() < 1e-18);
    }
}
