//! The recorded run: the state machine in virtual time, its events as `coordinator::session` tells them.

mod answers;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use stagger_coordinator::journal::BATCH_SECONDS;
use stagger_forecast::Prices;
use stagger_model::cost::{Cost, UnitPrices};
use stagger_model::events::{FunctionFacts, ObjectRef, RunEvent, RunState, Summary};
use stagger_model::reduction::TreeNode;
use stagger_protocol::keys;
use stagger_protocol::messages::{Answer, VERSION, Work};
use stagger_schedule::{Function, NewAttempt, Next, Policy, Run};
use stagger_test_support::panels::Random;

use super::cloud::{Asked, Cloud, Played};
use super::estimates::{Estimates, estimates};
use super::steps::{CROWDED, Fault, KILLED, KILLED_AFTER, STEPS, Step};
use super::{NAME, milliseconds};

/// Seed of everything that chance decides.
const SEED: u64 = 20_261_121;
/// Tasks at a time.
const CONCURRENCY: usize = 1_000;
/// Dollars that the run may cost.
const CAP: f64 = 2.0;
/// Seconds that the controller takes to send an invocation, that one is on its way, and that one which is turned away takes.
const SEND: f64 = 0.000_4;
const WAY: f64 = 0.02;
const REFUSAL: f64 = 0.15;
/// Seconds between looks at the journal while nothing happens.
const TICK: f64 = 0.2;
/// Seconds that the controller takes between two stages.
const BETWEEN: f64 = 0.35;
/// Seconds after which a sum that was reported is read.
const READ: f64 = 0.3;
/// Seconds without a controller.
const GONE: f64 = 6.0;
/// Seconds from the begin of the crowded stage in which attempts are turned away, and the share of them.
const CROWD: (f64, f64, f64) = (0.1, 0.6, 0.5);
/// Seconds that a worker has at least before it gives up: shorter than a real run's 30, as nobody wants to watch these.
const LIMIT_LEAST: Duration = Duration::from_secs(7);

/// What is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Coming {
    /// An invocation reaches Lambda.
    Arrives(u64),
    /// A worker has ended.
    Ends(u64),
    /// Its answer is at the controller.
    Answers(u64),
    /// A sum is read and turns out to be damaged.
    Damaged(TreeNode),
}

/// An attempt under way.
#[derive(Clone, Debug)]
struct Attempt {
    step: usize,
    work: Work,
    function: usize,
    limit: f64,
    look: bool,
    begun: f64,
    /// What comes of it; nothing if it is turned away.
    played: Option<Played>,
}

struct Session {
    events: Vec<(f64, RunEvent)>,
    estimates: Estimates,
    run: Run,
    rates: UnitPrices,
    now: f64,
    /// By nanosecond, then in the order in which it was put there.
    coming: BinaryHeap<Reverse<(u64, u64, Coming)>>,
    put: u64,
    cloud: Cloud,
    attempts: BTreeMap<u64, Attempt>,
    step: usize,
    begun: f64,
    object: ObjectRef,
    faults: BTreeMap<usize, Fault>,
    /// Tasks of the stage that have left a result.
    results: BTreeSet<String>,
    damaged: Option<TreeNode>,
    number: u64,
    told: Summary,
    /// Sums that were read since the last entry of the journal.
    reads: u64,
    flushed: f64,
}

/// Events of the run with their seconds since its begin.
pub(super) fn play() -> Vec<(f64, RunEvent)> {
    let mut session = Session::new();
    session.opens();
    let url = "s3://stagger-demo/panels/3f9c2b7e41d80a65";
    session.note(RunEvent::Note { text: format!("reading the prepared store `{url}` of this input") });
    session.now += 0.8;
    session.save();
    session.plans();
    let mut random = Random::new(SEED + 1);
    for (index, step) in STEPS.iter().enumerate() {
        (session.step, session.faults) = (index, step.faults(&mut random));
        session.results.clear();
        if !session.stage(step, index == KILLED) {
            session.resumes();
            session.stage(step, false);
        }
        session.accepts(step);
    }
    session.finishes()
}

fn functions() -> Vec<Function> {
    let function = |memory_mb| Function {
        timeout: Duration::from_secs(300),
        ..Function::lambda(&format!("stagger-{memory_mb}"), memory_mb)
    };
    [512, 1_769, 3_008].map(function).into()
}

fn new_run(rates: UnitPrices) -> Run {
    let policy = Policy { limit_least: LIMIT_LEAST, ..Policy::default() };
    let cost = Cost { cap: Some(CAP), ..Cost::default() };
    Run::new(functions(), rates, CONCURRENCY, cost, policy)
}

fn object(name: &str) -> ObjectRef {
    let checksum = format!("{:032x}", xxhash_rust::xxh3::xxh3_128(name.as_bytes()));
    ObjectRef { key: format!("common/{checksum}"), checksum }
}

fn duration(seconds: f64) -> Duration {
    Duration::from_nanos((seconds * 1e9) as u64)
}

impl Session {
    fn new() -> Self {
        let Prices { gb_second, invocation, get, put, .. } = Prices::built_in().expect("the built-in prices");
        let rates = UnitPrices { gb_second, invocation, get, put };
        Self {
            events: Vec::new(),
            estimates: estimates(),
            run: new_run(rates),
            rates,
            now: 0.0,
            coming: BinaryHeap::new(),
            put: 0,
            cloud: Cloud::new(SEED, CONCURRENCY),
            attempts: BTreeMap::new(),
            step: 0,
            begun: 0.0,
            object: object(NAME),
            faults: BTreeMap::new(),
            results: BTreeSet::new(),
            damaged: None,
            number: 0,
            told: Summary::default(),
            reads: 0,
            flushed: 0.0,
        }
    }

    fn note(&mut self, event: RunEvent) {
        self.events.push((self.now, event));
    }

    /// Writes an entry of the journal.
    fn flush(&mut self, state: RunState) {
        self.run.spend(self.reads as f64 * self.rates.get + self.rates.put);
        (self.reads, self.flushed) = (0, self.now);
        let (done, tasks) = self.run.progress();
        let (under_way, cost) = (self.run.under_way(), self.run.cost());
        self.told = Summary { state, done, tasks, under_way, cost, ..self.told.clone() };
        self.note(RunEvent::Summary(self.told.clone()));
    }

    fn save(&mut self) {
        let name = format!("{NAME} {}", self.number);
        let checksum = object(&name).checksum;
        self.note(RunEvent::State { object: ObjectRef { key: keys::state(&checksum), checksum } });
        self.flush(RunState::Running);
    }

    fn opens(&mut self) {
        self.note(RunEvent::Opened { version: VERSION.to_owned() });
        self.now += 0.03;
        self.note(RunEvent::Workers {
            backend: "lambda".to_owned(),
            functions: functions().iter().map(FunctionFacts::from).collect(),
            concurrency: CONCURRENCY,
        });
    }

    fn plans(&mut self) {
        self.note(RunEvent::Planned { specs: vec![self.estimates.outline.clone()] });
        self.now += 0.1;
    }

    /// Another controller takes the run; what the first one had under way has ended meanwhile, unheard.
    fn resumes(&mut self) {
        let coming = std::mem::take(&mut self.coming);
        let running = coming.iter().filter(|Reverse((_, _, coming))| matches!(coming, Coming::Ends(_)));
        running.for_each(|_| self.cloud.give_back());
        for (_, attempt) in std::mem::take(&mut self.attempts) {
            let Some(played) = attempt.played else { continue };
            if matches!(played.answer, Answer::Done(_)) && attempt.step == self.step {
                self.results.insert(attempt.work.to_string());
            }
        }
        self.now += GONE;
        self.run = new_run(self.rates).resumed();
        self.run.number_from(self.told.attempts + 1);
        self.run.spend(self.told.cost.spent + self.told.cost.reserved);
        self.opens();
        self.now += 0.4;
        self.plans();
        let text = format!(
            "taken up where it was: stage {} begins again, and results that are there are not made again",
            self.number
        );
        self.note(RunEvent::Note { text });
    }

    /// Does a stage; false if the controller was killed.
    fn stage(&mut self, step: &'static Step, killed: bool) -> bool {
        self.number += 1;
        step.name.clone_into(&mut self.told.stage);
        self.object = object(&format!("{} {}", step.name, self.step));
        self.begun = self.now;
        self.note(RunEvent::StageStarted {
            number: self.number,
            stage: step.name.to_owned(),
            tasks: step.tasks,
            object: Some(self.object.clone()),
        });
        self.run.begin_on(0, step.works(), Some(duration(step.expected)), step.sets);
        loop {
            if self.now - self.flushed >= BATCH_SECONDS {
                self.flush(RunState::Running);
            }
            // Right after an entry: what is not in the journal would be unknown to the next controller.
            if killed && self.run.progress().0 >= KILLED_AFTER {
                self.flush(RunState::Running);
                return false;
            }
            match self.run.next(duration(self.now)) {
                Next::Invoke(order) => self.invoke(order),
                Next::Wait(until) => self.wait(until),
                Next::Done if self.is_reading() => self.wait(None),
                Next::Done => break,
                Next::Stopped => panic!("the run stopped: {:?}", self.run.stopped()),
            }
        }
        let seconds = milliseconds(self.now - self.begun);
        self.note(RunEvent::StageDone { number: self.number, stage: step.name.to_owned(), seconds });
        true
    }

    /// What the sums of a stage bring.
    fn accepts(&mut self, step: &Step) {
        self.now += BETWEEN;
        if let Some((share, round)) = step.logits {
            let all = self.estimates.logits;
            let converged = (all as f64 * share) as usize;
            self.note(RunEvent::Logits { spec: 0, round, active: all - converged, converged, failed: 0 });
        }
        if step.name == "moments" {
            let att = self.estimates.att.clone();
            self.note(RunEvent::Solved { spec: 0, att });
        }
        self.now += 0.05;
        self.save();
    }

    fn finishes(mut self) -> Vec<(f64, RunEvent)> {
        self.now += 0.9;
        let estimated = std::mem::take(&mut self.estimates.estimated);
        self.note(RunEvent::Estimated(estimated));
        self.note(RunEvent::Finished);
        self.now += 0.04;
        self.flush(RunState::Finished);
        self.events
    }

    fn at(&mut self, time: f64, coming: Coming) {
        self.put += 1;
        self.coming.push(Reverse(((time * 1e9) as u64, self.put, coming)));
    }

    fn is_reading(&self) -> bool {
        self.coming.iter().any(|Reverse((_, _, coming))| matches!(coming, Coming::Damaged(_)))
    }

    /// Waits for what comes next, but not beyond `until`.
    fn wait(&mut self, until: Option<Duration>) {
        let wake = until.map_or(f64::INFINITY, |until| until.as_secs_f64() + 1e-9).min(self.now + TICK);
        match self.coming.peek() {
            Some(Reverse((at, _, _))) if *at as f64 * 1e-9 <= wake => {
                let Some(Reverse((at, _, coming))) = self.coming.pop() else { return };
                self.happens(at as f64 * 1e-9, coming);
            }
            _ => self.now = wake.max(self.now),
        }
    }

    fn happens(&mut self, at: f64, coming: Coming) {
        match coming {
            Coming::Arrives(attempt) => self.arrives(at, attempt),
            Coming::Ends(attempt) => {
                self.cloud.give_back();
                self.at(at + WAY, Coming::Answers(attempt));
            }
            Coming::Answers(attempt) => {
                self.now = self.now.max(at);
                self.answers(attempt);
            }
            Coming::Damaged(node) => {
                self.now = self.now.max(at);
                self.damaged(node);
            }
        }
    }

    fn invoke(&mut self, order: NewAttempt) {
        self.told.attempts += 1;
        let NewAttempt { attempt, work, number, function, limit, look, backup } = order;
        let name = self.run.functions()[function].name.clone();
        let task = self.name(&work);
        self.note(RunEvent::Invoked { attempt, task, number, function: name, backup });
        let (limit, begun, step) = (limit.as_secs_f64(), self.now, self.step);
        self.attempts.insert(attempt, Attempt { step, work, function, limit, look, begun, played: None });
        self.at(self.now + WAY, Coming::Arrives(attempt));
        self.now += SEND;
    }

    fn arrives(&mut self, at: f64, number: u64) {
        let Some(attempt) = self.attempts.get_mut(&number) else { return };
        let (from, to, share) = CROWD;
        let crowded = self.step == CROWDED && (self.begun + from..self.begun + to).contains(&at);
        if crowded && self.cloud.random.uniform() < share {
            return self.at(at + REFUSAL, Coming::Answers(number));
        }
        let task = match attempt.work {
            Work::Shards { node, part: None } if attempt.step == self.step => Some(node.index),
            _ => None,
        };
        let asked = Asked {
            step: &STEPS[attempt.step],
            object: &self.object,
            work: &attempt.work,
            function: &self.run.functions()[attempt.function],
            limit: attempt.limit,
            fault: task.and_then(|task| self.faults.get(&task).copied()),
            found: attempt.look && self.results.contains(&attempt.work.to_string()),
        };
        attempt.played = self.cloud.start(at, &asked);
        let Some(played) = &attempt.played else { return self.at(at + REFUSAL, Coming::Answers(number)) };
        let ends = at + played.seconds;
        // Only the first attempt that starts meets the fault.
        let fault = task.and_then(|task| self.faults.remove(&task));
        if let (Some(Fault::Damaged), Work::Shards { node, .. }) = (fault, &attempt.work) {
            self.damaged = Some(*node);
        }
        self.at(ends, Coming::Ends(number));
    }

    /// A task, with the panel's number of its shard.
    fn name(&self, work: &Work) -> String {
        match work {
            Work::Shards { node, part } => {
                let node = TreeNode { index: node.index * STEPS[self.step].stride(), ..*node };
                Work::Shards { node, part: *part }.to_string()
            }
            _ => work.to_string(),
        }
    }
}
