//! The work of each second: rows, bytes, requests, refusals, attempts under way, dollars.

use std::collections::VecDeque;

use stagger_model::error::FailureClass;
use stagger_model::events::TaskDone;

/// Seconds that are remembered.
const MOST: usize = 3_600;

/// One second of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Second {
    /// Attempts that ended well.
    pub tasks: u64,
    /// Rows that these read.
    pub rows: u64,
    /// Bytes that these read.
    pub bytes: u64,
    /// Requests to storage that these sent.
    pub requests: u64,
    /// Attempts that were turned away (429).
    pub throttled: u64,
    /// Answers of storage to slow down (503).
    pub slowed: u64,
    /// Most attempts under way.
    pub under_way: usize,
    /// Dollars so far.
    pub dollars: f64,
}

/// The seconds of a run, the last one at the back.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    seconds: VecDeque<Second>,
    /// Whole second since 1970 of the back.
    newest: i64,
    /// Attempts under way now.
    current: usize,
    /// The sums over the whole run.
    pub total: Second,
}

impl Rates {
    fn at(&mut self, at: f64) -> &mut Second {
        let whole = at.floor() as i64;
        if self.seconds.is_empty() {
            self.newest = whole;
            self.seconds.push_back(Second::default());
        }
        if whole.saturating_sub(self.newest) > MOST as i64 {
            // A run that was left for hours: nothing happened in between.
            self.seconds.clear();
            self.seconds.push_back(self.quiet());
            self.newest = whole;
        }
        while self.newest < whole {
            self.seconds.push_back(self.quiet());
            self.newest += 1;
        }
        while self.seconds.len() > MOST {
            self.seconds.pop_front();
        }
        let back = self.newest.saturating_sub(whole);
        let index = (self.seconds.len() as i64 - 1).saturating_sub(back).max(0) as usize;
        &mut self.seconds[index]
    }

    /// A second in which nothing happens.
    fn quiet(&self) -> Second {
        Second { under_way: self.current, dollars: self.total.dollars, ..Second::default() }
    }

    pub(super) fn set_running(&mut self, at: f64, under_way: usize) {
        self.current = under_way;
        let second = self.at(at);
        second.under_way = second.under_way.max(under_way);
        self.total.under_way = self.total.under_way.max(under_way);
    }

    pub(super) fn add_done(&mut self, at: f64, done: &TaskDone, under_way: usize) {
        let add = |second: &mut Second| {
            second.tasks += 1;
            second.rows += done.rows;
            second.bytes += done.bytes_read;
            second.requests += done.requests;
            second.slowed += done.throttles;
        };
        add(self.at(at));
        add(&mut self.total);
        self.set_running(at, under_way);
    }

    pub(super) fn add_failure(&mut self, at: f64, class: FailureClass, under_way: usize) {
        if class == FailureClass::Throttled {
            self.at(at).throttled += 1;
            self.total.throttled += 1;
        }
        self.set_running(at, under_way);
    }

    pub(super) fn set_dollars(&mut self, at: f64, dollars: f64) {
        self.at(at).dollars = dollars;
        self.total.dollars = dollars;
    }

    /// The last `count` seconds up to `now`, the newest last; what has not been told of is quiet.
    pub fn last(&self, count: usize, now: f64) -> Vec<Second> {
        let quiet = ((now.floor() as i64).saturating_sub(self.newest).max(0) as usize).min(count);
        let told = self.seconds.len().min(count - quiet);
        let mut out: Vec<Second> = self.seconds.iter().skip(self.seconds.len() - told).copied().collect();
        out.extend(std::iter::repeat_n(self.quiet(), quiet));
        out
    }
}
