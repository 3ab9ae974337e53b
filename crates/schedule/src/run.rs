//! The run: its stage under way, its limits, and the wishes of the user.

use std::time::Duration;

use stagger_model::cost::{Cost, UnitPrices};
use stagger_protocol::messages::{TaskFailure, Work};

use super::attempts::Attempts;
use super::concurrency::ConcurrencyLimit;
use super::function::Function;
use super::policy::Policy;
use super::pricing::{Budget, Pricing};
use super::stage::StageState;

/// Why a run ends before its time.
#[derive(Clone, Debug, PartialEq)]
pub enum Stop {
    /// A task can't be done.
    Failed {
        /// The task.
        work: Work,
        /// Why.
        failure: TaskFailure,
    },
    /// Another attempt could pass the cap, and none is under way that could free some of it.
    Cost,
    /// Credentials were not renewed in time.
    Credentials(TaskFailure),
    /// No worker takes tasks, and nothing else could.
    Absent(TaskFailure),
    /// The user said so.
    Cancelled,
}

/// Reasons to start nothing for a time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Holds {
    /// No attempt before the first time: credentials are being renewed, since the second.
    pub(super) credentials: Option<(Duration, Duration)>,
    /// No attempt until the user says so.
    pub(super) paused: bool,
    /// Nothing is sent to the pool before this time: no worker was there.
    pub(super) pool_absent: Option<Duration>,
}

/// A run: its functions, its limits, the stage under way.
#[derive(Clone, Debug)]
pub struct Run {
    pub(super) pricing: Pricing,
    pub(super) budget: Budget,
    pub(super) concurrency: ConcurrencyLimit,
    pub(super) attempts: Attempts,
    /// Number of the stage under way.
    pub(super) number: u64,
    pub(super) stage: Option<StageState>,
    /// Earlier attempts may have left results everywhere: the run was resumed.
    pub(super) resumed: bool,
    pub(super) stop: Option<Stop>,
    pub(super) holds: Holds,
}

impl Run {
    /// Makes a run on functions of ascending memory.
    pub fn new(
        functions: Vec<Function>,
        rates: UnitPrices,
        concurrency: usize,
        cost: Cost,
        policy: Policy,
    ) -> Self {
        let pricing = Pricing::new(functions, rates, policy);
        Self {
            budget: pricing.budget(cost),
            pricing,
            concurrency: ConcurrencyLimit::new(concurrency),
            attempts: Attempts::default(),
            number: 0,
            stage: None,
            resumed: false,
            stop: None,
            holds: Holds::default(),
        }
    }

    /// The same, taken up after a controller that is gone: every task looks for a result first.
    #[must_use]
    pub fn resumed(mut self) -> Self {
        self.resumed = true;
        self
    }

    /// Numbers its attempts from here: those of earlier controllers keep theirs.
    pub fn number_from(&mut self, attempt: u64) {
        self.attempts.number_from(attempt);
    }

    /// Returns the dollars so far.
    pub fn cost(&self) -> Cost {
        self.budget.cost
    }

    /// Adds dollars that no attempt accounts for: the controller's own requests.
    pub fn spend(&mut self, dollars: f64) {
        self.budget.cost.spent += dollars;
    }

    /// Returns the number of attempts that may be under way.
    pub fn limit(&self) -> usize {
        self.concurrency.limit()
    }

    /// Returns the number of attempts under way.
    pub fn under_way(&self) -> usize {
        self.attempts.len()
    }

    /// Returns the number of tasks that are done, and of all, of the stage under way.
    pub fn progress(&self) -> (usize, usize) {
        self.stage.as_ref().map_or((0, 0), |stage| (stage.done, stage.total))
    }

    /// Returns the reason why the run ends, if it does.
    pub fn stopped(&self) -> Option<&Stop> {
        self.stop.as_ref()
    }

    /// Returns the functions.
    pub fn functions(&self) -> &[Function] {
        &self.pricing.functions
    }

    /// Begins a stage; the one before must be done. `sets`: into how many sets the columns can be cut (1 where they can't).
    pub fn begin(&mut self, works: Vec<Work>, expected: Option<Duration>, sets: usize) {
        self.begin_on(0, works, expected, sets);
    }

    /// The same, with tasks on a function that has the memory for them.
    pub fn begin_on(&mut self, function: usize, works: Vec<Work>, expected: Option<Duration>, sets: usize) {
        self.begin_routed(function, works, expected, sets, |_| false);
    }

    /// The same, with those tasks on the pool beside the functions that `heavy` says by their position, if there is a pool.
    pub fn begin_routed(
        &mut self,
        function: usize,
        works: Vec<Work>,
        expected: Option<Duration>,
        sets: usize,
        heavy: impl Fn(usize) -> bool,
    ) {
        self.number += 1;
        let largest = self.pricing.sizes().saturating_sub(1);
        let mut stage = StageState::new(sets, expected);
        for (index, work) in works.into_iter().enumerate() {
            let pool = self.pricing.pool.is_some() && heavy(index);
            stage.push(work, function.min(largest), pool);
        }
        self.stage = Some(stage);
    }

    /// Starts nothing, or goes on.
    pub fn pause(&mut self, paused: bool) {
        self.holds.paused = paused;
    }

    /// Ends every wait of tasks that are to be tried again.
    pub fn retry_now(&mut self) {
        self.holds.credentials = None;
        if let Some(stage) = &mut self.stage {
            stage.retry_now();
        }
    }

    /// Starts nothing more.
    pub fn cancel(&mut self) {
        self.stop.get_or_insert(Stop::Cancelled);
    }
}
