//! A run from its start to its end, through controllers that die, meet each other and take over, and whether it ended as it must.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use stagger_coordinator::journal::{ControllerId, Takeover};
use stagger_coordinator::routed::FunctionsAndPool;
use stagger_coordinator::{CloudOptions, CloudOutput, Invoker, RunRequest, Runtime, Settings, resume, start};
use stagger_forecast::Prefer;
use stagger_forecast::heavy::HeavyRule;
use stagger_model::error::{FailureClass, StaggerError};
use stagger_model::events::{RunEvent, Summary};
use stagger_model::signal::Signal;
use stagger_protocol::messages::VERSION;
use stagger_schedule::Policy;
use stagger_storage::ObjectStore as _;
use stagger_test_support::runs;

use super::clock::{Shared, SimClock};
use super::faults::{Ending, Fault, Plan, Seen};
use super::lambda::{RATES, SIZES, SimLambda};
use super::panel::cases;
use super::pool::SimPool;
use super::store::of_controller;
use super::turns::Turns;
use super::world::{Counts, DEAD, Guard, Process, World, lock};

const RUNS: &str = "sim://runs";
const NAME: &str = "one";
/// Controllers of one run, one after the other.
const CONTROLLERS: usize = 40;
/// No run of a seed takes longer, however much goes wrong.
const LONGEST: Duration = Duration::from_secs(4 * 3600);
/// Nothing that was asked for happens later than this after the run.
const AFTERWARDS: Duration = Duration::from_secs(7200);
/// What a person waits before giving the command again.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a test changes about a run.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Guards that are taken out.
    pub removed: BTreeSet<Guard>,
    /// Other policies.
    pub policy: Option<Policy>,
    /// Another cap, which is not raised.
    pub cap: Option<Option<f64>>,
}

/// How the run of a seed went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The plan.
    pub plan: Plan,
    /// Nothing, or what should not have happened.
    pub verdict: Result<(), String>,
    /// What was counted.
    pub counts: Counts,
    /// Virtual time at which the run ended.
    pub ended: Duration,
    /// Dollars that the last controller told of.
    pub spent: f64,
    /// Controllers.
    pub controllers: usize,
    /// What happened.
    pub trace: Vec<String>,
}

impl Outcome {
    /// Everything that happened, in a few digits: the same for the same seed.
    pub fn digest(&self) -> u64 {
        // Names of objects depend on where the panels were prepared.
        let is_name =
            |word: &str| word.contains("results/") || word.contains("common/") || word.contains("state/");
        let words = self.trace.iter().flat_map(|line| line.split_whitespace());
        let told: Vec<&str> = words.filter(|word| !is_name(word)).collect();
        xxhash_rust::xxh3::xxh3_64(told.join(" ").as_bytes())
    }

    /// The command that shows it.
    pub fn command(&self) -> String {
        format!("cargo run -p stagger-tests --example simulate -- --seed {} --verbose", self.plan.seed)
    }
}

/// Number of cases that a seed chooses from.
pub fn case_count() -> usize {
    cases().len()
}

/// Simulates a seed.
pub fn simulate(seed: u64) -> Outcome {
    simulate_plan(Plan::new(seed, case_count()), Changes::default())
}

/// Simulates a plan, with changes.
pub fn simulate_plan(plan: Plan, changes: Changes) -> Outcome {
    let case = Arc::clone(&cases()[plan.case]);
    let mut plan = plan;
    if case.is_raw && matches!(plan.ending, Ending::Replaced(_)) {
        plan.ending = Ending::Bits;
    }
    let world = World::new(plan.clone(), case, changes.removed.clone());
    let mut driver = Driver {
        world: &world,
        changes,
        at: Duration::ZERO,
        controllers: 0,
        cap: None,
        last: None,
        crashed: false,
    };
    let verdict = driver.run();
    let (ended, spent) = (driver.at, driver.last.as_ref().map_or(0.0, |last| last.cost.spent));
    let controllers = driver.controllers;
    let verdict = verdict.and_then(|()| driver.afterwards());
    Outcome { plan, verdict, counts: world.counts(), ended, spent, controllers, trace: world.trace() }
}

/// How a controller ended.
struct End {
    result: Result<Vec<String>, StaggerError>,
    at: Duration,
    summary: Option<Summary>,
}

/// What a controller is told to do.
#[derive(Clone, Copy)]
struct Command {
    id: usize,
    start: bool,
    takeover: Takeover,
    at: Duration,
    dies: Option<(u64, bool)>,
    cap: Option<f64>,
}

struct Driver<'a> {
    world: &'a Arc<World>,
    changes: Changes,
    at: Duration,
    controllers: usize,
    cap: Option<f64>,
    last: Option<Summary>,
    crashed: bool,
}

impl Driver<'_> {
    fn run(&mut self) -> Result<(), String> {
        self.cap = self.changes.cap.unwrap_or_else(|| first_cap(&self.world.plan));
        let mut crashes = self.world.plan.crashes.clone().into_iter();
        let mut started = false;
        while self.controllers < CONTROLLERS {
            if self.at > LONGEST {
                return Err(format!("{:.0} s of virtual time, and no end", self.at.as_secs_f64()));
            }
            let first = self.command(!started, crashes.next());
            let ends = match self.world.plan.second.filter(|_| first.id == 0) {
                Some(second) => {
                    let takeover = if second.force { Takeover::Force } else { Takeover::IfGone };
                    let second = Command { at: second.at, takeover, ..self.command(false, None) };
                    self.both(first, second)
                }
                None => vec![self.control(first)],
            };
            self.at = ends.iter().map(|end| end.at).max().unwrap_or(self.at);
            let mut done = false;
            for end in ends {
                if let Some(summary) = end.summary {
                    within_cap(&summary)?;
                    self.last = Some(summary);
                }
                match end.result {
                    Ok(results) => {
                        self.compare(&results)?;
                        done = true;
                    }
                    Err(error) => {
                        if self.is_end(&error, &mut started)? {
                            return Ok(());
                        }
                    }
                }
            }
            if done {
                return Ok(());
            }
        }
        Err(format!("{CONTROLLERS} controllers, and no end"))
    }

    fn command(&mut self, start: bool, dies: Option<(u64, bool)>) -> Command {
        let id = self.controllers;
        self.controllers += 1;
        Command { id, start, takeover: Takeover::IfGone, at: self.at, dies, cap: self.cap }
    }

    fn both(&self, first: Command, second: Command) -> Vec<End> {
        for command in [first, second] {
            self.world.turns.enter(command.id, command.at);
        }
        self.world.fire(Fault::SecondController);
        std::thread::scope(|scope| {
            let other = scope.spawn(|| control(self.world, &self.changes, second));
            let own = control(self.world, &self.changes, first);
            vec![own, other.join().expect("the second controller")]
        })
    }

    fn control(&self, command: Command) -> End {
        self.world.turns.enter(command.id, command.at);
        control(self.world, &self.changes, command)
    }

    fn compare(&self, results: &[String]) -> Result<(), String> {
        if results != self.world.case.expected {
            return Err("the results have other bits than those of one process".to_owned());
        }
        if matches!(self.world.plan.ending, Ending::Poison(_))
            && self.world.counts().fired.contains_key(&Fault::Poison)
        {
            return Err("a result without the shard that nobody can read".to_owned());
        }
        self.world.see(Seen::Bits);
        Ok(())
    }

    /// Whether an error is the end that the seed must have; an error that nothing explains is none.
    fn is_end(&mut self, error: &StaggerError, started: &mut bool) -> Result<bool, String> {
        let text = error.to_string();
        let has = |part: &str| text.contains(part);
        let unexplained = || Err(format!("an error that nothing explains: {text}"));
        if has(super::world::HANGS) {
            return Err(format!("a run that hangs: {text}"));
        }
        if has(DEAD) {
            self.crashed = true;
            *started = true;
            self.at += PATIENCE;
            return Ok(false);
        }
        if has("another controller has taken the run") {
            self.world.see(Seen::Fenced);
            *started = true;
            return if self.world.plan.second.is_some() { Ok(false) } else { unexplained() };
        }
        if has("is held by another controller") {
            self.world.see(Seen::Held);
            *started = true;
            self.at += PATIENCE;
            return Ok(false);
        }
        if has("there is no run") {
            // Nothing was written yet: the command is given again.
            *started = !(self.crashed || self.world.plan.second.is_some());
            return if *started { unexplained() } else { Ok(false) };
        }
        if has("there is a run `one`") && self.crashed {
            *started = true;
            return Ok(false);
        }
        *started = true;
        // The other one has finished the store, and has removed what a worker of this one would have read.
        let removed = has("no such object") || has("403");
        if self.world.plan.second.is_some() && self.world.case.is_raw && removed {
            return Ok(false);
        }
        match self.world.plan.ending {
            // The one that raises it has none.
            Ending::Cap(_) if has("that --max-cost allows") => {
                self.world.see(Seen::Capped);
                self.world.fire(Fault::Cap);
                self.cap = None;
                Ok(false)
            }
            Ending::LoggedOut(_) if has("credentials were not renewed in time") => {
                self.world.see(Seen::LoggedOut);
                *lock(&self.world.logged_out) = false;
                Ok(false)
            }
            Ending::Poison(shard) if has("given up after") => {
                let shard = shard % self.world.case.shards;
                if !has(&format!("shard {shard}")) && !has(&format!("{shard:06}")) {
                    return Err(format!("shard {shard} can't be read, but the run says: {text}"));
                }
                self.world.see(Seen::Quarantined);
                Ok(true)
            }
            // Whatever a task was given up for in the end: it could not be done before.
            Ending::Replaced(_)
                if has("is another one than when the run began")
                    || has("is damaged")
                    || (has("given up after")
                        && self.world.counts().fired.contains_key(&Fault::Replaced)) =>
            {
                self.world.see(Seen::Refused);
                Ok(true)
            }
            _ => unexplained(),
        }
    }

    /// What was given up happens after all, and changes nothing.
    fn afterwards(&mut self) -> Result<(), String> {
        let before = self.results();
        let late = lock(&self.world.pending).len();
        if late > 0 {
            let command = Command { at: self.at, ..self.command(false, None) };
            let _leave = Leave(&self.world.turns, command.id);
            let machine = Machine::new(self.world, &command);
            machine.adopt();
            if let Runtime::Own(runtime) = &*machine.runtime {
                runtime.block_on(async { tokio::time::sleep(AFTERWARDS).await });
            }
        }
        let after = self.results();
        let changed = before.iter().find(|(key, bytes)| after.iter().any(|(k, b)| k == key && b != bytes));
        if let Some((key, _)) = changed
            && !self.world.plan.rates.contains_key(&Fault::DamagedAtRest)
        {
            return Err(format!("`{key}` was changed after the run"));
        }
        let (counts, told) = (self.world.counts(), self.last.clone().unwrap_or_default());
        if !self.crashed && self.world.plan.second.is_none() {
            if told.cost.spent < counts.dollars * (1.0 - 1e-9) {
                return Err(format!("{} dollars were spent, but {} told", counts.dollars, told.cost.spent));
            }
            if told.attempts != counts.invocations + counts.turned_away {
                let all = counts.invocations + counts.turned_away;
                return Err(format!("{all} attempts were made, but {} told", told.attempts));
            }
        }
        Ok(())
    }

    fn results(&self) -> Vec<(String, Bytes)> {
        let listed = futures::executor::block_on(self.world.memory.list("runs/")).expect("a store in memory");
        let results = listed.into_iter().filter(|info| info.key.contains("/results/"));
        let read = |key: String| {
            let bytes = futures::executor::block_on(self.world.object(&key)).unwrap_or_default();
            (key, bytes)
        };
        results.map(|info| read(info.key)).collect()
    }
}

/// Dollars that a run keeps for its controller's own requests: five minutes of them.
const OWN_REQUESTS: f64 = 300.0 * (RATES.get + RATES.put);

/// A cap is never passed.
fn within_cap(summary: &Summary) -> Result<(), String> {
    match summary.cost.cap {
        Some(cap) if summary.cost.spent > cap => {
            Err(format!("{} dollars were spent of a cap of {cap}", summary.cost.spent))
        }
        _ => Ok(()),
    }
}

/// A cap that stops the run of a seed somewhere in its midst.
fn first_cap(plan: &Plan) -> Option<f64> {
    let Ending::Cap(share) = plan.ending else { return None };
    // An attempt reserves half a minute or five, and the controller's own requests need some of it.
    Some(OWN_REQUESTS + RATES.price_invocation(SIZES[0], 30.0) * (1.0 + 40.0 * share * share))
}

/// A controller's machine: its runtime, its clock, its functions.
struct Machine {
    process: Arc<Process>,
    lambda: SimLambda,
    runtime: Arc<Runtime>,
}

impl Machine {
    fn new(world: &Arc<World>, command: &Command) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let skew = if command.id % 2 == 1 { world.plan.skew } else { 0.0 };
        if skew != 0.0 {
            world.fire(Fault::Skew);
        }
        let seed = world.plan.seed.wrapping_mul(1000).wrapping_add(command.id as u64);
        let clock = Arc::new(SimClock::new(runtime.handle().clone(), command.at, skew, seed));
        let process = Process::new(world, command.id, clock, command.dies);
        let lambda = SimLambda::new(&process);
        Self { process, lambda, runtime: Arc::new(Runtime::Own(runtime)) }
    }

    /// Executions that an earlier controller asked for go on without it.
    fn adopt(&self) {
        let Runtime::Own(runtime) = &*self.runtime else { return };
        let _context = runtime.enter();
        let left = std::mem::take(&mut *lock(&self.process.world.pending));
        left.into_values().for_each(|pending| self.lambda.later(pending));
    }

    fn settings(&self) -> Settings {
        let process = Arc::clone(&self.process);
        let functions: Arc<dyn Invoker> = Arc::new(self.lambda.clone());
        let invoker = match (&process.world.plan.pool, &*self.runtime) {
            (Some(plan), Runtime::Own(runtime)) => {
                let _context = runtime.enter();
                let pool = SimPool::new(&process, &self.lambda, plan);
                Arc::new(FunctionsAndPool::new(functions, Arc::new(pool))) as Arc<dyn Invoker>
            }
            _ => functions,
        };
        Settings {
            invoker,
            clock: Arc::new(Shared(Arc::clone(&self.process.clock))),
            runtime: Arc::clone(&self.runtime),
            open: Arc::new(move |url: &str| of_controller(&process, url)),
            signal: Signal::default(),
            kind: None,
        }
    }
}

/// Has the other controller go on once this one has ended, however it ends.
struct Leave<'a>(&'a Turns, usize);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.leave(self.1);
    }
}

fn control(world: &Arc<World>, changes: &Changes, command: Command) -> End {
    let _leave = Leave(&world.turns, command.id);
    let machine = Machine::new(world, &command);
    if world.plan.second.is_none() {
        machine.adopt();
    }
    let process = &machine.process;
    // Whatever it does first, an earlier one does before.
    process.turn();
    process.tell(|| {
        let what = if command.start { "starts" } else { "takes the run up" };
        format!("{what}: {}", world.case.name)
    });
    let options = options(world, changes, &command);
    let summary = Mutex::new(None);
    let observer = |event: &RunEvent| observe(process, event, &summary);
    let settings = machine.settings();
    let result = match command.start {
        true => start(RUNS, NAME, &request(world), &settings, &options, &observer),
        false => resume(RUNS, NAME, &settings, &options, &observer).map(|(_, output)| {
            world.see(Seen::Resumed);
            output
        }),
    };
    // Nobody hears what a dead process says last.
    let result = if process.is_dead() { Err(StaggerError::failed(DEAD)) } else { result };
    let at = process.clock.time();
    process.tell(|| match &result {
        Ok(_) => "has the result".to_owned(),
        Err(error) => format!("ends: {error}"),
    });
    let told = lock(&summary).take();
    let told = result.as_ref().map(|output| output.summary.clone()).ok().or(told);
    End { result: result.map(|output| texts(&output)), at, summary: told }
}

fn texts(output: &CloudOutput) -> Vec<String> {
    let json = |saved| serde_json::to_string(saved).expect("JSON");
    output.outputs.iter().map(|(saved, _)| json(&saved.result)).collect()
}

fn request(world: &World) -> RunRequest {
    runs::request(VERSION, &world.case.inputs, &world.case.specs, "sim://stores")
}

fn options(world: &World, changes: &Changes, command: &Command) -> CloudOptions {
    let id = command.id;
    CloudOptions {
        concurrency: world.plan.concurrency,
        n_partitions: world.plan.tasks,
        max_cohorts: None,
        prefer: Prefer::Time,
        max_cost: command.cap,
        // Several would do their requests in an order of their own.
        threads: Some(1),
        heavy: world.plan.pool.as_ref().map_or(HeavyRule::Never, |pool| HeavyRule::Rows(pool.above)),
        policy: changes.policy.clone().unwrap_or_default(),
        writer: ControllerId { host: format!("host-{id}"), pid: 1, mark: format!("mark-{id}") },
        takeover: command.takeover,
    }
}

/// Learns from what a controller tells.
fn observe(process: &Process, event: &RunEvent, last: &Mutex<Option<Summary>>) {
    let world = &process.world;
    match event {
        RunEvent::Summary(summary) => *lock(last) = Some(summary.clone()),
        RunEvent::StageStarted { stage, object: Some(object), tasks, .. } => {
            lock(&world.stages).insert(object.checksum.clone(), stage.clone());
            process.tell(|| format!("stage {stage} of {tasks} tasks"));
        }
        RunEvent::Invoked { task, backup, .. } => {
            if *backup {
                world.see(Seen::Backup);
            }
            if task.contains("column sets") {
                world.see(Seen::Parts);
            }
        }
        RunEvent::Failed { remedy, class, message, .. } => {
            let seen = match remedy.as_str() {
                "again" => Some(Seen::Again),
                other if other.starts_with("again on") => Some(Seen::Larger),
                other if other.starts_with("split") => Some(Seen::Split),
                other if other.starts_with("on function") => Some(Seen::Elsewhere),
                _ => None,
            };
            seen.into_iter().for_each(|seen| world.see(seen));
            if *class == FailureClass::Absent {
                world.fire(Fault::NoContainer);
            }
            process.tell(|| {
                let mut line = format!("{} → {remedy}", class.name());
                let _ = write!(line, " ({message})");
                line
            });
        }
        _ => {}
    }
}
