//! The terms of an attempt: function, time limit and dollars, from the policies, the functions and the prices.

use std::time::Duration;

use stagger_model::cost::{Cost, UnitPrices};

use super::function::Function;
use super::policy::Policy;
use super::stage::StageState;

/// Requests that a task is thought to make before any has told.
const TASK_GETS: f64 = 100.0;
const TASK_PUTS: f64 = 2.0;

/// The policies, functions and prices of a run: nothing in here changes while it runs.
#[derive(Clone, Debug)]
pub(super) struct Pricing {
    pub(super) policy: Policy,
    /// By ascending memory.
    pub(super) functions: Vec<Function>,
    rates: UnitPrices,
    /// The pool beside the functions, if there are both.
    pub(super) pool: Option<usize>,
}

/// The terms of an attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quote {
    pub(super) function: usize,
    /// Time after which the worker gives up.
    pub(super) limit: Duration,
    /// Dollars that it may cost, its requests aside.
    pub(super) dollars: f64,
}

impl Pricing {
    pub(super) fn new(functions: Vec<Function>, rates: UnitPrices, policy: Policy) -> Self {
        let pool = functions.iter().position(Function::is_pool).filter(|_| functions.len() > 1);
        Self { policy, functions, rates, pool }
    }

    /// Returns the number of functions that tasks climb: all but a pool beside others.
    pub(super) fn sizes(&self) -> usize {
        self.functions.len() - usize::from(self.pool.is_some())
    }

    /// Returns the terms of the next attempt at a task.
    pub(super) fn quote(&self, stage: &StageState, task: usize) -> Quote {
        let own = &stage.tasks[task];
        let function = self.pool.filter(|_| own.pool).unwrap_or(own.function);
        let took = stage.durations[usize::from(own.pool)].median().or(stage.expected);
        let limit = self.policy.timeout(took, self.functions[function].timeout);
        let dollars = self.functions[function].dollars(&self.rates, limit.as_secs_f64());
        Quote { function, limit, dollars }
    }

    /// Returns the dollars of requests to storage.
    pub(super) fn requests(&self, gets: f64, puts: f64) -> f64 {
        gets * self.rates.get + puts * self.rates.put
    }

    /// Returns the budget of a run on these functions.
    pub(super) fn budget(&self, cost: Cost) -> Budget {
        let longest = self.functions.iter().map(|f| f.timeout.as_secs_f64()).fold(0.0, f64::max);
        Budget {
            cost,
            task_requests: self.requests(TASK_GETS, TASK_PUTS),
            controller_requests: longest * (self.rates.get + self.rates.put),
        }
    }
}

/// The cost of a run, and the requests that the cap must leave room for.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    pub(super) cost: Cost,
    /// Dollars that the requests of a task cost, at most so far.
    pub(super) task_requests: f64,
    /// Dollars that the controller's own requests cost while the longest attempt is under way: entries of the journal, and looks
    /// for the wish to cancel.
    pub(super) controller_requests: f64,
}

impl Budget {
    /// Returns the dollars of an attempt with its requests.
    pub(super) fn most(&self, quote: &Quote) -> f64 {
        quote.dollars + self.task_requests
    }

    /// Returns true if an attempt on these terms can't pass the cap.
    pub(super) fn allows(&self, quote: &Quote) -> bool {
        self.cost.allows(self.most(quote) + self.controller_requests)
    }

    /// Notes the dollars of an attempt that the cap does not allow.
    pub(super) fn refuse(&mut self, quote: &Quote) {
        self.cost.refused = self.most(quote) + self.controller_requests;
    }

    /// Adds the dollars of a task's requests.
    pub(super) fn add_requests(&mut self, dollars: f64) {
        self.cost.spent += dollars;
        self.task_requests = self.task_requests.max(2.0 * dollars);
    }
}
