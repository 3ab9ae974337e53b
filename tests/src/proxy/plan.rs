//! Which request gets which fault: decided by counting, so that a plan and an order of requests give the same faults.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// What can go wrong with a request to S3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// 503 with S3's `SlowDown`; the request is not forwarded.
    SlowDown,
    /// 500 with S3's `InternalError`; the request is not forwarded.
    InternalError,
    /// 200 with an error as the body; the request is not forwarded.
    ErrorIn200,
    /// The connection is reset; the request is not forwarded.
    ResetBefore,
    /// The request is forwarded and succeeds; then the connection is reset in place of the reply.
    ResetAfterCommit,
    /// The whole length is announced, half of the body is sent, and the connection ends.
    TruncatedBody,
    /// Half of the body is sent, and its length announced: well-formed, but not what was asked for.
    ShortBody,
    /// The head comes at once, the body after the rule's delay.
    SlowBody,
    /// The request is forwarded after the rule's delay.
    SlowStart,
}

impl Fault {
    /// Every one.
    pub const ALL: [Fault; 9] = [
        Fault::SlowDown,
        Fault::InternalError,
        Fault::ErrorIn200,
        Fault::ResetBefore,
        Fault::ResetAfterCommit,
        Fault::TruncatedBody,
        Fault::ShortBody,
        Fault::SlowBody,
        Fault::SlowStart,
    ];

    /// The methods that it makes sense for; none stands for all.
    fn methods(self) -> &'static [&'static str] {
        match self {
            Fault::ErrorIn200 | Fault::ResetAfterCommit => &["PUT", "POST"],
            Fault::TruncatedBody | Fault::ShortBody | Fault::SlowBody => &["GET"],
            Fault::SlowDown | Fault::InternalError | Fault::ResetBefore | Fault::SlowStart => &[],
        }
    }
}

/// A fault and the requests that it befalls.
#[derive(Clone, Debug)]
pub struct Rule {
    fault: Fault,
    methods: Vec<String>,
    prefix: String,
    every: u64,
    budget: u64,
    delay: Duration,
}

impl Rule {
    /// Every request of the methods that the fault makes sense for, without end, with a delay of 200 ms.
    pub fn new(fault: Fault) -> Self {
        let methods = fault.methods().iter().map(|&method| method.to_owned()).collect();
        let delay = Duration::from_millis(200);
        Self { fault, methods, prefix: String::new(), every: 1, budget: u64::MAX, delay }
    }

    /// Only one in so many of the requests it matches; the plan's seed says which is the first.
    pub fn every(self, every: u64) -> Self {
        Self { every: every.max(1), ..self }
    }

    /// Only these methods.
    pub fn on(self, methods: &[&str]) -> Self {
        Self { methods: methods.iter().map(|&method| method.to_owned()).collect(), ..self }
    }

    /// Only paths that start so: `/BUCKET/PREFIX`, encoded as on the wire.
    pub fn under(self, prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), ..self }
    }

    /// At most so often.
    pub fn at_most(self, budget: u64) -> Self {
        Self { budget, ..self }
    }

    /// The delay of slow faults.
    pub fn lasting(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    fn matches(&self, request: &Asked) -> bool {
        (self.methods.is_empty() || self.methods.contains(&request.method))
            && request.target.starts_with(&self.prefix)
    }
}

/// Rules and how they go together.
#[derive(Clone, Debug)]
pub struct Plan {
    rules: Vec<Rule>,
    seed: u64,
    in_a_row: u32,
}

impl Plan {
    /// No faults yet; at most two in a row for one and the same request.
    pub fn new(seed: u64) -> Self {
        Self { rules: Vec::new(), seed, in_a_row: 2 }
    }

    /// Every fault, so often, on one in ten of the requests under this prefix that it makes sense for.
    pub fn storm(seed: u64, prefix: &str, budget: u64) -> Self {
        let rule = |&fault: &Fault| Rule::new(fault).under(prefix).every(10).at_most(budget);
        Self { rules: Fault::ALL.iter().map(rule).collect(), ..Self::new(seed) }
    }

    /// Adds a rule. Where several are due, the first takes the request and the others wait for the next.
    pub fn with(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// How many faults one and the same request (method, path, query, range) may meet in a row. Bounded, so that whether
    /// a client with more attempts succeeds does not depend on chance.
    pub fn in_a_row(self, most: u32) -> Self {
        Self { in_a_row: most, ..self }
    }
}

/// What a decision looks at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    pub(super) range: String,
}

/// A fault that befalls a request.
#[derive(Clone, Debug)]
pub(super) struct Hit {
    pub(super) fault: Fault,
    pub(super) delay: Duration,
    rule: usize,
    request: Asked,
}

/// A plan being carried out.
#[derive(Debug)]
pub(super) struct Ledger {
    plan: Plan,
    counts: Vec<Count>,
    streaks: HashMap<Asked, u32>,
}

#[derive(Debug)]
struct Count {
    /// Requests that the rule matched.
    seen: u64,
    /// How many it must have matched before it is due again.
    due: u64,
    fired: u64,
}

impl Ledger {
    pub(super) fn new(plan: Plan) -> Self {
        let first = |(i, rule): (usize, &Rule)| 1 + scramble(plan.seed, i as u64) % rule.every;
        let counts = plan.rules.iter().enumerate().map(first).map(|due| Count { seen: 0, due, fired: 0 });
        Self { counts: counts.collect(), streaks: HashMap::new(), plan }
    }

    /// Counts a request, and says what befalls it.
    pub(super) fn decide(&mut self, request: Asked) -> Option<Hit> {
        let spared = self.streaks.get(&request).is_some_and(|&streak| streak >= self.plan.in_a_row);
        let mut hit = None;
        for (i, (rule, count)) in self.plan.rules.iter().zip(&mut self.counts).enumerate() {
            if !rule.matches(&request) {
                continue;
            }
            count.seen += 1;
            if hit.is_none() && !spared && count.seen >= count.due && count.fired < rule.budget {
                count.due = count.seen + rule.every;
                count.fired += 1;
                hit = Some(i);
            }
        }
        match hit {
            None => drop(self.streaks.remove(&request)),
            Some(_) => *self.streaks.entry(request.clone()).or_default() += 1,
        }
        hit.map(|rule| {
            let Rule { fault, delay, .. } = self.plan.rules[rule];
            Hit { fault, delay, rule, request }
        })
    }

    /// Takes a fault back that could not happen, such as a truncated body where the reply had none: the next matching
    /// request gets it.
    pub(super) fn take_back(&mut self, hit: &Hit) {
        let count = &mut self.counts[hit.rule];
        count.fired -= 1;
        count.due = count.seen + 1;
        self.streaks.remove(&hit.request);
    }

    /// How often each fault of the plan has happened, those that have not yet among them.
    pub(super) fn fired(&self) -> BTreeMap<Fault, u64> {
        let mut fired = BTreeMap::new();
        for (rule, count) in self.plan.rules.iter().zip(&self.counts) {
            *fired.entry(rule.fault).or_default() += count.fired;
        }
        fired
    }
}

/// A well mixed hash of two numbers (the finaliser of SplitMix64).
fn scramble(seed: u64, i: u64) -> u64 {
    let mut z = seed.wrapping_add((i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &str, target: &str) -> Asked {
        Asked { method: method.to_owned(), target: target.to_owned(), range: String::new() }
    }

    /// Which of so many distinct GETs are hit, and by what.
    fn faults(plan: Plan, requests: usize) -> Vec<Option<Fault>> {
        let mut ledger = Ledger::new(plan);
        (0..requests).map(|i| ledger.decide(asked("GET", &format!("/b/{i}"))).map(|hit| hit.fault)).collect()
    }

    #[test]
    fn a_rule_hits_one_in_so_many_within_its_budget() {
        for seed in 0..20 {
            let hits = faults(Plan::new(seed).with(Rule::new(Fault::SlowDown).every(4).at_most(3)), 40);
            let at: Vec<usize> = (0..40).filter(|&i| hits[i].is_some()).collect();
            assert_eq!(at.len(), 3, "{at:?}");
            assert!(at[0] < 4 && at[1] == at[0] + 4 && at[2] == at[1] + 4, "{at:?}");
        }
    }

    #[test]
    fn the_seed_decides_and_nothing_else() {
        let plan = |seed| Plan::storm(seed, "/b/", 3);
        assert_eq!(faults(plan(1), 200), faults(plan(1), 200));
        assert_ne!(faults(plan(1), 200), faults(plan(2), 200));
    }

    #[test]
    fn rules_that_are_due_together_take_turns() {
        let plan = Fault::ALL
            .iter()
            .fold(Plan::new(0), |plan, &fault| plan.with(Rule::new(fault).on(&[]).at_most(1)));
        let hits: Vec<Fault> = faults(plan, 20).into_iter().flatten().collect();
        assert_eq!(hits, Fault::ALL);
    }

    #[test]
    fn methods_and_prefixes_select() {
        let rule = Rule::new(Fault::ResetAfterCommit).under("/b/runs/");
        let mut ledger = Ledger::new(Plan::new(0).with(rule));
        assert!(ledger.decide(asked("GET", "/b/runs/1")).is_none());
        assert!(ledger.decide(asked("PUT", "/b/data/1")).is_none());
        assert!(ledger.decide(asked("PUT", "/b/runs/1")).is_some());
        assert_eq!(ledger.fired(), BTreeMap::from([(Fault::ResetAfterCommit, 1)]));
    }

    #[test]
    fn the_same_request_is_spared_after_two_faults() {
        let mut ledger = Ledger::new(Plan::new(0).with(Rule::new(Fault::SlowDown)));
        let hits: Vec<bool> = (0..6).map(|_| ledger.decide(asked("GET", "/b/k")).is_some()).collect();
        assert_eq!(hits, [true, true, false, true, true, false]);
    }

    #[test]
    fn a_fault_taken_back_comes_later() {
        let mut ledger = Ledger::new(Plan::new(0).with(Rule::new(Fault::ShortBody).every(5).at_most(1)));
        let hit = (0..5).find_map(|i| ledger.decide(asked("GET", &format!("/b/{i}")))).expect("one in five");
        ledger.take_back(&hit);
        assert_eq!(ledger.fired(), BTreeMap::from([(Fault::ShortBody, 0)]));
        assert!(ledger.decide(asked("GET", "/b/next")).is_some());
        assert!(ledger.decide(asked("GET", "/b/later")).is_none());
    }
}
