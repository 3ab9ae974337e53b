//! The functions and pools that tasks can run on.

use std::time::Duration;

use stagger_model::cost::UnitPrices;
use stagger_model::events::FunctionFacts;

/// A function that tasks can run on.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Memory, in Lambda's megabytes.
    pub memory_mb: u32,
    /// Time that an invocation may take.
    pub timeout: Duration,
    /// Place of its machines, which says how it is paid for.
    pub place: Place,
}

/// The place of a function's machines.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    /// Paid by the gigabyte-second ([`UnitPrices`]).
    Lambda,
    /// Containers behind a queue, each paid by the hour.
    Pool {
        /// Dollars an hour of one container; 0 for machines that are there anyway.
        hourly: f64,
    },
}

/// The longest that Lambda lets an invocation take.
const LAMBDA: Duration = Duration::from_secs(900);

impl Function {
    /// A function of this name and memory, which may take as long as any.
    pub fn lambda(name: &str, memory_mb: u32) -> Self {
        Self { name: name.to_owned(), memory_mb, timeout: LAMBDA, place: Place::Lambda }
    }

    /// Returns true if it is a pool of containers.
    pub fn is_pool(&self) -> bool {
        matches!(self.place, Place::Pool { .. })
    }

    /// Returns the dollars of an invocation of this many seconds.
    pub fn dollars(&self, rates: &UnitPrices, seconds: f64) -> f64 {
        match self.place {
            Place::Lambda => rates.price_invocation(self.memory_mb, seconds),
            Place::Pool { hourly } => hourly * seconds / 3600.0,
        }
    }
}

impl From<&Function> for FunctionFacts {
    fn from(function: &Function) -> Self {
        let Function { name, memory_mb, timeout, .. } = function;
        Self { name: name.clone(), memory_mb: *memory_mb, timeout: timeout.as_secs() }
    }
}
