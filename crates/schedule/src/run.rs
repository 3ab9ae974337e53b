//! The run's state machine.

use std::collections::BTreeMap;
use std::time::Duration;

use stagger_model::cost::{Cost, Rates};
use stagger_model::error::FailureClass;
use stagger_model::events::FunctionFacts;
use stagger_protocol::messages::{TaskFailure, TaskReport, Work};

use super::concurrency::Concurrency;
use super::policy::{Failed, Policy, Remedy};
use super::stage::{Effect, Handled, Stage, Status};

/// Requests that a task is thought to make before any has told.
const TASK_GETS: u32 = 100;
const TASK_PUTS: u32 = 2;

/// A function that tasks can run on.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Memory, in Lambda's megabytes.
    pub memory_mb: u32,
    /// Time that an invocation may take.
    pub timeout: Duration,
    /// Where it is, and so what is paid for it.
    pub place: Place,
}

/// Where a function is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    /// Paid by the gigabyte-second ([`Rates`]).
    Lambda,
    /// Containers behind a queue, each so many dollars an hour.
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

    /// Whether it is a pool of containers.
    pub fn is_pool(&self) -> bool {
        matches!(self.place, Place::Pool { .. })
    }

    /// Dollars of an invocation that takes so many seconds.
    pub fn dollars(&self, rates: &Rates, seconds: f64) -> f64 {
        match self.place {
            Place::Lambda => rates.invocation(self.memory_mb, seconds),
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

/// An attempt to be started.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Number of the attempt, over the whole run.
    pub attempt: u64,
    /// The task.
    pub work: Work,
    /// How many attempts at it there were, this one included.
    pub number: u32,
    /// Function, by size.
    pub function: usize,
    /// Time after which the worker gives up.
    pub limit: Duration,
    /// An earlier attempt may have left a result.
    pub look: bool,
    /// Another attempt is under way.
    pub backup: bool,
}

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

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Start this attempt, then ask again.
    Invoke(Order),
    /// Nothing now; ask again after an answer, or at this time.
    Wait(Option<Duration>),
    /// The stage is done.
    Done,
    /// The run ends here; attempts under way may still answer.
    Stopped,
}

#[derive(Clone, Debug)]
struct Attempt {
    /// Stage that it belongs to.
    stage: u64,
    task: usize,
    begun: Duration,
    /// Dollars that it may cost.
    most: f64,
    backup: bool,
    /// On the pool beside functions.
    pool: bool,
    /// On any pool.
    queued: bool,
    /// When a worker took it: one of a queue, which it may wait in for long, is late from then on.
    taken: Option<Duration>,
}

/// On which terms a task would run.
struct Terms {
    function: usize,
    limit: Duration,
    /// What it may cost, its requests aside.
    dollars: f64,
}

/// What decides them: policies, functions, prices, the pool beside the functions.
type Setting<'a> = (&'a Policy, &'a [Function], Rates, Option<usize>);

fn terms((policy, functions, rates, pool): Setting<'_>, stage: &Stage, task: usize) -> Terms {
    let own = &stage.tasks[task];
    let function = pool.filter(|_| own.pool).unwrap_or(own.function);
    let took = stage.durations[usize::from(own.pool)].median().or(stage.expected);
    let limit = policy.limit(took, functions[function].timeout);
    let dollars = functions[function].dollars(&rates, limit.as_secs_f64());
    Terms { function, limit, dollars }
}

/// A run: its functions, its limits, the stage under way.
#[derive(Clone, Debug)]
pub struct Run {
    policy: Policy,
    functions: Vec<Function>,
    rates: Rates,
    concurrency: Concurrency,
    cost: Cost,
    /// In order of their start.
    attempts: BTreeMap<u64, Attempt>,
    next_attempt: u64,
    /// Number of the stage under way.
    number: u64,
    stage: Option<Stage>,
    /// Earlier attempts may have left results everywhere: the run was resumed.
    resumed: bool,
    stop: Option<Stop>,
    /// Dollars that the requests of a task cost, at most so far.
    requests: f64,
    /// Dollars that the controller's own requests cost while the longest attempt is under way: entries of the journal, and looks
    /// for the wish to cancel.
    own: f64,
    /// No attempt before this time: credentials are being renewed.
    held: Option<(Duration, Duration)>,
    /// No attempt until the user says so.
    paused: bool,
    /// The pool beside the functions, if there are both.
    pool: Option<usize>,
    /// Nothing is sent to the pool before this time: nobody was there.
    absent: Option<Duration>,
}

impl Run {
    /// A run on functions of ascending memory.
    pub fn new(
        functions: Vec<Function>,
        rates: Rates,
        concurrency: usize,
        cost: Cost,
        policy: Policy,
    ) -> Self {
        let pool = functions.iter().position(Function::is_pool).filter(|_| functions.len() > 1);
        let longest = functions.iter().map(|f| f.timeout.as_secs_f64()).fold(0.0, f64::max);
        Self {
            requests: f64::from(TASK_GETS) * rates.get + f64::from(TASK_PUTS) * rates.put,
            own: longest * (rates.get + rates.put),
            policy,
            functions,
            rates,
            concurrency: Concurrency::new(concurrency),
            cost,
            attempts: BTreeMap::new(),
            next_attempt: 1,
            number: 0,
            stage: None,
            resumed: false,
            stop: None,
            held: None,
            paused: false,
            pool,
            absent: None,
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
        self.next_attempt = attempt;
    }

    /// Dollars so far.
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// Adds dollars that no attempt accounts for: the controller's own requests.
    pub fn spend(&mut self, dollars: f64) {
        self.cost.spent += dollars;
    }

    /// Attempts that may be under way.
    pub fn limit(&self) -> usize {
        self.concurrency.limit()
    }

    /// Attempts under way.
    pub fn under_way(&self) -> usize {
        self.attempts.len()
    }

    /// Tasks done, and tasks in all, of the stage under way.
    pub fn progress(&self) -> (usize, usize) {
        self.stage.as_ref().map_or((0, 0), |stage| (stage.done, stage.total))
    }

    /// Why the run ends, if it does.
    pub fn stopped(&self) -> Option<&Stop> {
        self.stop.as_ref()
    }

    /// The functions.
    pub fn functions(&self) -> &[Function] {
        &self.functions
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
        let largest = self.homes().saturating_sub(1);
        let mut stage = Stage::new(sets, expected);
        for (index, work) in works.into_iter().enumerate() {
            let pool = self.pool.is_some() && heavy(index);
            stage.push(work, function.min(largest), pool);
        }
        self.stage = Some(stage);
    }

    /// Functions that tasks climb: all but a pool beside others.
    fn homes(&self) -> usize {
        self.functions.len() - usize::from(self.pool.is_some())
    }

    /// Takes back what waits for the pool, once nobody is there.
    fn home_from_pool(&mut self, now: Duration) {
        let absent = self.absent.is_some_and(|until| now < until);
        if let Some(stage) = self.stage.as_mut().filter(|_| absent) {
            stage.leave_pool(now);
        }
    }

    /// Starts nothing, or goes on.
    pub fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Tasks that wait to be tried again need not wait.
    pub fn retry_now(&mut self) {
        self.held = None;
        if let Some(stage) = &mut self.stage {
            stage.retry_now();
        }
    }

    /// Starts nothing more.
    pub fn cancel(&mut self) {
        self.stop.get_or_insert(Stop::Cancelled);
    }

    /// What to do at time `now`.
    pub fn next(&mut self, now: Duration) -> Next {
        let Some(stage) = &mut self.stage else { return Next::Done };
        if stage.is_done() {
            return Next::Done;
        }
        if self.stop.is_some() {
            return Next::Stopped;
        }
        if self.paused {
            return Next::Wait(None);
        }
        if let Some((until, _)) = self.held.filter(|(until, _)| now < *until) {
            return Next::Wait(Some(until));
        }
        self.home_from_pool(now);
        let Some(stage) = &mut self.stage else { return Next::Done };
        // A queue holds what its workers have no hands for yet, so its tasks take no place of others.
        while let Some(task) = stage.ready(now, true) {
            let terms = terms((&self.policy, &self.functions, self.rates, self.pool), stage, task);
            if self.cost.allows(terms.dollars + self.requests + self.own) {
                return self.start(task, now, false);
            }
            // What the cap does not allow there it may allow on a function.
            stage.home(task);
        }
        let busy = self.attempts.values().filter(|attempt| !attempt.pool).count();
        if busy >= self.concurrency.limit() {
            return Next::Wait(stage.wakes().filter(|at| *at > now));
        }
        if let Some(task) = stage.ready(now, false) {
            return self.start(task, now, false);
        }
        let wakes = stage.wakes();
        match self.late(now) {
            Ok(task) => self.start(task, now, true),
            Err(at) => Next::Wait([wakes, at].into_iter().flatten().min()),
        }
    }

    fn start(&mut self, task: usize, now: Duration, backup: bool) -> Next {
        let Some(stage) = &mut self.stage else { return Next::Done };
        let pool = stage.tasks[task].pool;
        let Terms { function, limit, dollars } =
            terms((&self.policy, &self.functions, self.rates, self.pool), stage, task);
        let queued = self.functions[function].is_pool();
        let most = dollars + self.requests;
        if !self.cost.allows(most + self.own) {
            self.cost.refused = most + self.own;
            if self.attempts.is_empty() {
                self.stop = Some(Stop::Cost);
                return Next::Stopped;
            }
            return Next::Wait(None);
        }
        if !backup {
            stage.take(pool);
        }
        let own = &mut stage.tasks[task];
        own.attempts += 1;
        own.backup |= backup;
        stage.backups += usize::from(backup);
        self.cost.reserve(most);
        let attempt = self.next_attempt;
        self.next_attempt += 1;
        let (stage, taken) = (self.number, (!queued).then_some(now));
        self.attempts.insert(attempt, Attempt { stage, task, begun: now, most, backup, pool, queued, taken });
        Next::Invoke(Order {
            attempt,
            work: own.work.clone(),
            number: own.attempts,
            function,
            limit,
            look: self.resumed || own.attempts > 1,
            backup,
        })
    }

    /// A task under way that deserves a backup, or when the next one will.
    fn late(&self, now: Duration) -> Result<usize, Option<Duration>> {
        let Some(stage) = &self.stage else { return Err(None) };
        // Before enough is done no time makes a task late, and an answer comes first: of tens of thousands none is looked at.
        if !self.policy.may_be_late(stage.done, stage.total) {
            return Err(None);
        }
        if stage.backups as f64 >= libm::ceil(self.policy.backup_most * stage.total as f64) {
            return Err(None);
        }
        let Some(median) = stage.durations[0].median() else { return Err(None) };
        let mut wakes: Option<Duration> = None;
        for attempt in self.attempts.values().filter(|a| a.stage == self.number && !a.backup && !a.pool) {
            let task = &stage.tasks[attempt.task];
            let Some(taken) = attempt.taken.filter(|_| task.status == Status::Running && !task.backup) else {
                continue;
            };
            let age = now.saturating_sub(taken);
            if self.policy.is_late(age, median, stage.done, stage.total) {
                return Ok(attempt.task);
            }
            let late = self.policy.backup_earliest.max(median.mul_f64(self.policy.backup_multiple));
            let at = taken + late + Duration::from_millis(1);
            if at > now {
                wakes = Some(wakes.map_or(at, |known| known.min(at)));
            }
        }
        Err(wakes)
    }

    /// A worker has taken the task of an attempt from a queue.
    pub fn on_taken(&mut self, attempt: u64, now: Duration) {
        if let Some(attempt) = self.attempts.get_mut(&attempt) {
            attempt.taken.get_or_insert(now);
        }
    }

    /// A worker has done its task, for so many dollars.
    pub fn on_report(&mut self, attempt: u64, report: &TaskReport, dollars: f64, now: Duration) -> Effect {
        let Some(ended) = self.settle(attempt, dollars) else { return Effect::Ignored };
        self.held = None;
        self.concurrency.succeeded();
        let requests = report.gets as f64 * self.rates.get + report.puts as f64 * self.rates.put;
        self.cost.spent += requests;
        self.requests = self.requests.max(2.0 * requests);
        let Some(stage) = self.stage.as_mut().filter(|_| ended.stage == self.number) else {
            return Effect::Ignored;
        };
        let task = &stage.tasks[ended.task];
        if matches!(task.status, Status::Done | Status::Split) {
            return Effect::Ignored;
        }
        // What was there already took no time: counted, it would make every task that computes late.
        // Neither did waiting in a queue.
        let took = if ended.queued { report.seconds.all() } else { now.saturating_sub(ended.begun) };
        if !report.found {
            stage.durations[usize::from(ended.pool)].add(took);
        }
        stage.done(ended.task, report.bytes)
    }

    /// An attempt failed; `fraction`, uniform in [0, 1), is the jitter.
    pub fn on_failure(
        &mut self,
        attempt: u64,
        failure: TaskFailure,
        dollars: f64,
        now: Duration,
        fraction: f64,
    ) -> Handled {
        let under_way = self.attempts.len();
        let Some(ended) = self.settle(attempt, dollars) else { return Handled::Ignored };
        if failure.class == FailureClass::Throttled {
            self.concurrency.throttled(now, under_way);
        }
        let Some(stage) = self.stage.as_mut().filter(|_| ended.stage == self.number) else {
            return Handled::Ignored;
        };
        if matches!(stage.tasks[ended.task].status, Status::Done | Status::Split) {
            return Handled::Ignored;
        }
        // While another attempt is under way, it decides: unless nothing can help.
        let others = self.attempts.values().any(|a| a.stage == self.number && a.task == ended.task);
        let hopeless = matches!(failure.class, FailureClass::Data | FailureClass::Permanent);
        if others && !hopeless {
            return Handled::Ignored;
        }
        if failure.class == FailureClass::Credentials && self.hold(now) {
            self.stop.get_or_insert(Stop::Credentials(failure.clone()));
        }
        if failure.class == FailureClass::Absent && self.pool.is_some() {
            self.absent = Some(now + self.policy.absence);
        }
        self.remedy(ended.task, failure, now, fraction)
    }

    fn remedy(&mut self, task: usize, failure: TaskFailure, now: Duration, fraction: f64) -> Handled {
        let (larger, pool) = (self.homes(), self.pool);
        let Some(stage) = &mut self.stage else { return Handled::Ignored };
        let splits = stage.splits(task);
        let own = &mut stage.tasks[task];
        match failure.class {
            FailureClass::Throttled => own.throttles += 1,
            FailureClass::Credentials | FailureClass::Returned => {}
            _ => own.failures += 1,
        }
        own.backup = false;
        if own.pool && self.policy.leaves_pool(failure.class, own.failures) {
            // What a pool could not do counts against the pool, not against the task.
            (own.pool, own.failures) = (false, 0);
            let function = own.function;
            stage.again(task, now);
            return Handled::Elsewhere(function);
        }
        if pool.is_none() && failure.class == FailureClass::Absent {
            own.failures = 0;
            stage.again(task, now);
            self.stop.get_or_insert(Stop::Absent(failure));
            return Handled::Again(now);
        }
        let remedy = self.policy.remedy(Failed {
            class: failure.class,
            failures: own.failures,
            throttles: own.throttles,
            larger: !own.pool && own.function + 1 < larger,
            splits,
        });
        match remedy {
            Remedy::Again(pause) => {
                let at = now + pause.mul_f64(fraction);
                stage.again(task, at);
                Handled::Again(at)
            }
            Remedy::Larger => {
                own.function += 1;
                // What it lacked counts against the smaller function, not against the task.
                own.failures = 0;
                let function = own.function;
                stage.again(task, now);
                Handled::Larger(function)
            }
            Remedy::Split => Handled::Split(stage.split(task)),
            Remedy::Quarantine => {
                let times = own.failures;
                let failure = TaskFailure {
                    message: format!("{} (given up after {times} attempts)", failure.message),
                    ..failure
                };
                self.fatal(task, failure)
            }
            Remedy::GiveUp => self.fatal(task, failure),
        }
    }

    fn fatal(&mut self, task: usize, failure: TaskFailure) -> Handled {
        if let Some(stage) = &self.stage {
            let work = stage.tasks[task].work.clone();
            self.stop.get_or_insert(Stop::Failed { work, failure: failure.clone() });
        }
        Handled::Fatal(failure)
    }

    /// A sum that was reported can't be read: its task is done again.
    pub fn on_damaged(
        &mut self,
        node: stagger_model::reduction::Node,
        failure: TaskFailure,
        now: Duration,
    ) -> Handled {
        let Some(stage) = &mut self.stage else { return Handled::Ignored };
        let of = |work: &Work| match work {
            Work::Shards { node: own, part: None } | Work::Reduce { node: own, .. } => *own == node,
            _ => false,
        };
        let Some(task) = stage.tasks.iter().position(|t| t.status == Status::Done && of(&t.work)) else {
            return Handled::Ignored;
        };
        stage.done -= 1;
        stage.tasks[task].status = Status::Running;
        self.remedy(task, failure, now, 0.0)
    }

    /// Starts nothing for a while; whether that has lasted too long.
    fn hold(&mut self, now: Duration) -> bool {
        let (pause, patience) = self.policy.credentials;
        let since = self.held.map_or(now, |(_, since)| since);
        self.held = Some((now + pause, since));
        now.saturating_sub(since) > patience
    }

    fn settle(&mut self, attempt: u64, dollars: f64) -> Option<Attempt> {
        let ended = self.attempts.remove(&attempt)?;
        self.cost.settle(ended.most, dollars);
        Some(ended)
    }
}
