//! A run in virtual time: the real state machine decides what starts when and on what; everything that would take time is an event.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use stagger_forecast::{CloudRates, FunctionFleet, Prices, StageLoad, TaskLoad, vcpus};
use stagger_model::cost::{Cost, UnitPrices};
use stagger_model::error::FailureClass;
use stagger_model::reduction::TreeNode;
use stagger_protocol::messages::{TaskFailure, TaskReport, Work};
use stagger_schedule::{Completion, Function, NewAttempt, Next, Policy, Run};
use stagger_storage::{Policy as StorePolicy, StoreError, StoreErrorKind};

use super::model::{Bucket, Chance, Environment, Environments, Server};

/// Reads that the controller has under way (`coordinator::fold`).
const READS: usize = 128;
/// Events of a journal entry, and seconds between two (`journal/mod.rs`).
const ENTRY: (usize, f64) = (2_000, 1.0);
/// How many times as long a straggler takes.
const SLOW: f64 = 5.0;

/// What a simulated run took.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Stages in order.
    pub stages: Vec<StageOutcome>,
    /// Seconds of all.
    pub seconds: f64,
    /// Dollars of all.
    pub dollars: f64,
}

/// What a stage took.
#[derive(Clone, Debug, Default)]
pub struct StageOutcome {
    /// Name.
    pub stage: String,
    /// Tasks, reduce tasks included.
    pub tasks: usize,
    /// Reduce tasks.
    pub reduce: usize,
    /// Attempts, backups included.
    pub attempts: u64,
    /// Backup attempts.
    pub backups: u64,
    /// Wall seconds, what the controller does afterwards included.
    pub seconds: f64,
    /// Seconds until the last task was invoked for the first time.
    pub started: f64,
    /// Seconds after the last task of the pass: reduce tasks, sums on the controller's line, objects written.
    pub ended: f64,
    /// Bytes that tasks read.
    pub bytes: f64,
    /// Reads and writes.
    pub requests: f64,
    /// Answers to slow down.
    pub refused: u64,
    /// Seconds billed.
    pub billed: f64,
    /// Dollars.
    pub dollars: f64,
}

/// Which of the models' ends, and what is varied.
#[derive(Clone, Copy, Debug)]
pub struct Assumptions {
    /// Rates of the cloud.
    pub rates: CloudRates,
    /// Seed of chance.
    pub seed: u64,
}

impl Assumptions {
    /// All of them at an end: 0 low, 1 likely, 2 high.
    pub fn of(end: usize) -> Self {
        Self { rates: CloudRates::of(end), seed: 20_261_121 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    /// An invocation reaches Lambda.
    Arrives(u64),
    /// A task asks for what comes next.
    Asks(u64),
    /// A handler has ended.
    Ends(u64),
    /// The answer is at the controller.
    Answers(u64),
    /// A sum was read by the controller.
    Read,
    /// The state machine wants to be asked.
    Wakes,
}

/// A heap's entry: by time, then in the order in which it was put there.
type Entry = (Reverse<u64>, Reverse<u64>, usize);

/// A task under way.
struct Attempt {
    load: TaskLoad,
    /// Seconds of reading, decoding and computing a part.
    part: [f64; 3],
    begun: f64,
    asked: usize,
    /// When the part before will be computed.
    computed: f64,
    refusals: u32,
    writing: bool,
    throttled: bool,
    cold: bool,
}

struct Simulation<'a> {
    assumed: Assumptions,
    functions: FunctionFleet,
    prices: &'a Prices,
    run: Run,
    now: f64,
    heap: BinaryHeap<Entry>,
    events: Vec<Event>,
    environments: Environments,
    gets: Bucket,
    puts: Bucket,
    chance: Chance,
    attempts: BTreeMap<u64, Attempt>,
    sender: Server,
    line: Server,
    sums: VecDeque<f64>,
    reading: usize,
    journal: (usize, f64),
    /// When the last task of the pass, reduce tasks aside, was answered.
    passed: f64,
    /// When the state machine is to be asked again.
    wakes: f64,
    out: StageOutcome,
}

/// Goes through the stages of a run.
pub fn simulate(
    loads: &[StageLoad],
    functions: FunctionFleet,
    prices: &Prices,
    assumed: Assumptions,
) -> Outcome {
    let rates = UnitPrices {
        gb_second: prices.gb_second,
        invocation: prices.invocation,
        get: prices.get,
        put: prices.put,
    };
    let function = Function::lambda("worker", functions.megabytes as u32);
    let policy = Policy::default();
    let mut simulation = Simulation {
        run: Run::new(vec![function], rates, functions.concurrency, Cost::default(), policy),
        assumed,
        functions,
        prices,
        now: 0.0,
        heap: BinaryHeap::new(),
        events: Vec::new(),
        environments: Environments::new(functions.concurrency, assumed.rates.functions),
        gets: Bucket::new(assumed.rates.storage.gets),
        puts: Bucket::new(assumed.rates.storage.puts),
        chance: Chance::new(assumed.seed),
        attempts: BTreeMap::new(),
        sender: Server::default(),
        line: Server::default(),
        sums: VecDeque::new(),
        reading: 0,
        journal: (0, 0.0),
        passed: 0.0,
        wakes: 0.0,
        out: StageOutcome::default(),
    };
    let stages: Vec<StageOutcome> = loads.iter().map(|load| simulation.stage(load)).collect();
    Outcome { seconds: simulation.now, dollars: stages.iter().map(|s| s.dollars).sum(), stages }
}

fn works(load: &StageLoad) -> Vec<Work> {
    let level = load.shards.map_or(0, |shards| (shards / load.tasks.max(1)).trailing_zeros());
    let work = |index| match load.shards {
        Some(_) => Work::Shards { node: TreeNode { level, index }, part: None },
        None => Work::Gather(index),
    };
    (0..load.tasks).map(work).collect()
}

impl Simulation<'_> {
    fn stage(&mut self, load: &StageLoad) -> StageOutcome {
        self.out = StageOutcome { stage: load.stage.clone(), ..StageOutcome::default() };
        let begun = self.now;
        let refused = self.gets.refused + self.puts.refused;
        let expected = load.each.seconds(&self.assumed.rates, vcpus(self.functions.megabytes));
        self.run.begin(
            works(load),
            Some(Duration::from_secs_f64(expected + self.assumed.rates.functions.invoke)),
            1,
        );
        self.passed = begun;
        while !self.drive(load, begun) {
            // What happens at workers is no news for the state machine.
            while let Some((Reverse(at), _, event)) = self.heap.pop() {
                self.now = self.now.max(at as f64 * 1e-9);
                let event = self.events[event];
                self.happens(event, load);
                if matches!(event, Event::Answers(_) | Event::Read | Event::Wakes) {
                    break;
                }
            }
        }
        self.after(load);
        let mut out = std::mem::take(&mut self.out);
        out.seconds = self.now - begun;
        out.ended = self.now - self.passed;
        out.tasks = load.tasks + out.reduce;
        out.refused = self.gets.refused + self.puts.refused - refused;
        out.dollars += out.billed * self.functions.megabytes / 1024.0 * self.prices.gb_second
            + out.attempts as f64 * self.prices.invocation;
        out
    }

    /// Starts what is to be started; whether the stage is done.
    fn drive(&mut self, load: &StageLoad, begun: f64) -> bool {
        loop {
            match self.run.next(Duration::from_secs_f64(self.now)) {
                Next::Invoke(order) => {
                    self.invoke(order, load);
                    self.out.started = self.out.started.max(self.now - begun);
                }
                Next::Wait(until) => {
                    if let Some(until) = until.map(|until| until.as_secs_f64())
                        && (self.wakes <= self.now || until < self.wakes)
                    {
                        self.wakes = until;
                        self.at(until, Event::Wakes);
                    }
                    return false;
                }
                Next::Done => return self.sums.is_empty() && self.reading == 0,
                Next::Stopped => panic!("the run stopped: {:?}", self.run.stopped()),
            }
        }
    }

    fn at(&mut self, time: f64, event: Event) {
        let number = self.events.len();
        self.events.push(event);
        self.heap.push((Reverse((time * 1e9) as u64), Reverse(number as u64), number));
    }

    /// Noted in the journal, whose entries are written while nothing is sent.
    fn note(&mut self) {
        self.journal.0 += 1;
        if self.journal.0 >= ENTRY.0 || self.now - self.journal.1 >= ENTRY.1 {
            self.journal = (0, self.now);
            self.sender.serve(self.now, self.assumed.rates.storage.write);
            self.out.dollars += self.prices.put;
        }
    }

    fn invoke(&mut self, order: NewAttempt, stage: &StageLoad) {
        self.note();
        let load = match &order.work {
            Work::Reduce { children, .. } => {
                self.out.reduce += usize::from(order.number == 1);
                stage.reduce_load(children.len())
            }
            _ => stage.each,
        };
        self.out.attempts += 1;
        self.out.backups += u64::from(order.backup);
        let slow = if self.chance.fraction() < self.assumed.rates.attempts.stragglers { SLOW } else { 1.0 };
        let part = load.part_seconds(&self.assumed.rates, vcpus(self.functions.megabytes)).map(|s| s * slow);
        let attempt = Attempt {
            load,
            part,
            begun: 0.0,
            asked: 0,
            computed: 0.0,
            refusals: 0,
            writing: false,
            throttled: false,
            cold: false,
        };
        self.attempts.insert(order.attempt, attempt);
        let sent = self.sender.serve(self.now, 1.0 / self.assumed.rates.controller.invocations);
        self.at(sent + self.assumed.rates.functions.invoke / 2.0, Event::Arrives(order.attempt));
    }

    fn happens(&mut self, event: Event, load: &StageLoad) {
        match event {
            Event::Arrives(attempt) => self.arrives(attempt),
            Event::Asks(attempt) => self.asks(attempt),
            Event::Ends(attempt) => self.ends(attempt),
            Event::Answers(attempt) => self.answers(attempt, load),
            Event::Read => {
                self.reading -= 1;
                self.read();
            }
            Event::Wakes => {}
        }
    }

    fn arrives(&mut self, number: u64) {
        let environment = self.environments.take(self.now);
        let rates = self.assumed.rates;
        let Some(attempt) = self.attempts.get_mut(&number) else { return };
        attempt.cold = environment == Environment::Cold;
        let cold = if attempt.cold { rates.functions.cold } else { 0.0 };
        attempt.begun = self.now + cold;
        attempt.computed = attempt.begun + attempt.load.opening_seconds(&rates);
        let (begun, throttled) = (attempt.computed, environment == Environment::None);
        attempt.throttled = throttled;
        if throttled {
            self.at(self.now + rates.functions.invoke / 2.0, Event::Answers(number));
        } else {
            self.gets.admits(self.now, self.attempts[&number].load.opening.gets);
            self.at(begun, Event::Asks(number));
        }
    }

    /// A task asks for its next part, or for its result to be written; the part before is being computed meanwhile.
    fn asks(&mut self, number: u64) {
        let rates = self.assumed.rates;
        let now = self.now;
        let Some(attempt) = self.attempts.get_mut(&number) else { return };
        attempt.writing = attempt.asked == attempt.load.parts;
        let admitted = match attempt.writing {
            true => self.puts.admits(now, attempt.load.puts),
            false => self.gets.admits(now, attempt.load.part.gets),
        };
        if !admitted {
            attempt.refusals += 1;
            let error = StoreError::new(StoreErrorKind::Throttled, "slow down");
            let fraction = self.chance.fraction();
            let pause =
                StorePolicy::remote().backoff(&error, attempt.refusals.min(9), Duration::ZERO, fraction);
            let pause = pause.map_or(1.0, |pause| pause.as_secs_f64());
            self.at(now + rates.storage.latency + pause, Event::Asks(number));
            return;
        }
        attempt.refusals = 0;
        if attempt.writing {
            let ends = now + attempt.load.writing_seconds(&rates);
            self.at(ends, Event::Ends(number));
            return;
        }
        let [read, decode, compute] = attempt.part;
        let fetched = now + read + decode;
        // Decoding takes the core from the part that is being computed.
        let overlap = (attempt.computed - now).clamp(0.0, decode);
        let starts = fetched.max(attempt.computed + overlap);
        attempt.computed = starts + compute;
        attempt.asked += 1;
        let next = if attempt.asked == attempt.load.parts { attempt.computed } else { starts };
        self.at(next, Event::Asks(number));
    }

    fn ends(&mut self, number: u64) {
        self.environments.give_back();
        let Some(attempt) = self.attempts.get(&number) else { return };
        let cold = if attempt.cold { self.assumed.rates.functions.cold_billed } else { 0.0 };
        self.out.billed += ceil_ms(self.now - attempt.begun + cold);
        self.out.bytes += attempt.load.bytes_read();
        let (gets, puts) = (attempt.load.gets(), attempt.load.puts);
        self.out.requests += gets + puts;
        self.out.dollars += gets * self.prices.get + puts * self.prices.put;
        self.at(self.now + self.assumed.rates.functions.invoke / 2.0, Event::Answers(number));
    }

    fn answers(&mut self, number: u64, load: &StageLoad) {
        let Some(attempt) = self.attempts.remove(&number) else { return };
        self.note();
        let now = Duration::from_secs_f64(self.now);
        if attempt.throttled {
            let failure = TaskFailure::new(FailureClass::Throttled, "too many requests");
            let fraction = self.chance.fraction();
            self.run.on_failure(number, failure, 0.0, now, fraction);
            return;
        }
        if self.run.progress().0 < load.tasks {
            self.passed = self.now;
        }
        let report = TaskReport { bytes: load.sum_bytes() as u64, ..TaskReport::default() };
        if let Completion::SumReady(_) = self.run.on_report(number, &report, 0.0, now) {
            self.sums.push_back(load.sum_bytes());
            self.read();
        }
    }

    /// The controller reads sums, so many at a time, over its one line.
    fn read(&mut self) {
        while self.reading < READS {
            let Some(bytes) = self.sums.pop_front() else { return };
            self.reading += 1;
            self.out.requests += 1.0;
            self.out.dollars += self.prices.get;
            let first = self.now + self.assumed.rates.storage.latency;
            let done = self.line.serve(first, bytes / self.assumed.rates.controller.bandwidth);
            self.at(done, Event::Read);
        }
    }

    /// What the controller does before the next stage.
    fn after(&mut self, load: &StageLoad) {
        let mut rest = load.clone();
        // Sums were read already.
        rest.shards = None;
        self.now += rest.controller_seconds(&self.assumed.rates);
        self.out.requests += load.controller.gets + load.controller_writes;
        self.out.dollars += load.controller.gets * self.prices.get + load.controller_writes * self.prices.put;
    }
}

/// Lambda bills milliseconds.
fn ceil_ms(seconds: f64) -> f64 {
    (seconds * 1e3).ceil() * 1e-3
}
