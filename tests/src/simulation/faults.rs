//! What can go wrong, what came of it, and which of it a seed has.

use std::collections::BTreeMap;
use std::time::Duration;

use stagger_test_support::panels::Random;

/// Something that goes wrong (PLATFORM §5), at the moments and as often as a seed says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Storage says to slow down.
    SlowDown,
    /// Storage fails before it has done anything.
    Unavailable,
    /// Storage does what it was asked, and its reply is lost.
    ReplyLost,
    /// Fewer bytes come than were asked for.
    Truncated,
    /// A bit of what comes is another one.
    Flipped,
    /// A read takes seconds.
    SlowRead,
    /// Workers may not list, so that what is missing is answered by 403.
    Forbidden,
    /// Workers' credentials expire, and are renewed some minutes later.
    Credentials,
    /// A result is damaged where it lies.
    DamagedAtRest,
    /// An invocation is turned away.
    TooMany,
    /// More invocations than the function may have at a time.
    Reserved,
    /// An invocation never starts, and that is all that is heard of it.
    LostBefore,
    /// It is carried out, and its answer is lost.
    LostAfter,
    /// The environment dies between two requests to storage.
    Crash,
    /// A task needs more memory than the function has.
    OutOfMemory,
    /// An invocation hangs until its time is over.
    TimedOut,
    /// It takes ten to fifty times as long.
    Straggler,
    /// It is carried out twice.
    Duplicate,
    /// It is given up, and carried out long after: after its stage, or after the run.
    Zombie,
    /// Its answer can't be read.
    CorruptAnswer,
    /// Nobody can read one shard and live.
    Poison,
    /// The panel's store is prepared again from other data.
    Replaced,
    /// The controller dies between two requests to storage.
    ControllerCrash,
    /// Another controller wants the run while the first lives.
    SecondController,
    /// The clocks of controllers differ.
    Skew,
    /// The cap is too low.
    Cap,
    /// Credentials expire, and nobody renews them.
    LoggedOut,
    /// A container is taken away in mid-task.
    SpotLoss,
    /// No container appears: no machine with a GPU is to be had.
    NoContainer,
}

impl Fault {
    /// Every one.
    pub const ALL: [Self; 29] = [
        Self::SlowDown,
        Self::Unavailable,
        Self::ReplyLost,
        Self::Truncated,
        Self::Flipped,
        Self::SlowRead,
        Self::Forbidden,
        Self::Credentials,
        Self::DamagedAtRest,
        Self::TooMany,
        Self::Reserved,
        Self::LostBefore,
        Self::LostAfter,
        Self::Crash,
        Self::OutOfMemory,
        Self::TimedOut,
        Self::Straggler,
        Self::Duplicate,
        Self::Zombie,
        Self::CorruptAnswer,
        Self::Poison,
        Self::Replaced,
        Self::ControllerCrash,
        Self::SecondController,
        Self::Skew,
        Self::Cap,
        Self::LoggedOut,
        Self::SpotLoss,
        Self::NoContainer,
    ];

    /// Those that happen to a request or an invocation now and then, and how often at most.
    const CASUAL: [(Self, f64); 16] = [
        (Self::SlowDown, 0.1),
        (Self::Unavailable, 0.1),
        (Self::ReplyLost, 0.2),
        (Self::Truncated, 0.1),
        (Self::Flipped, 0.02),
        (Self::SlowRead, 0.05),
        (Self::DamagedAtRest, 0.1),
        (Self::TooMany, 0.2),
        (Self::LostBefore, 0.1),
        (Self::LostAfter, 0.1),
        (Self::Crash, 0.1),
        (Self::TimedOut, 0.05),
        (Self::Straggler, 0.08),
        (Self::Duplicate, 0.15),
        (Self::Zombie, 0.08),
        (Self::CorruptAnswer, 0.08),
    ];
}

/// What a run did about it, as its journal and its end tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Seen {
    /// A run ended with the bits of a run without faults.
    Bits,
    /// A task was tried again.
    Again,
    /// … on a larger function.
    Larger,
    /// … in smaller pieces.
    Split,
    /// … by pairs of column sets.
    Parts,
    /// A backup was started.
    Backup,
    /// An earlier attempt's result was found.
    Found,
    /// A run was taken up.
    Resumed,
    /// A controller stopped because another one has the run.
    Fenced,
    /// A controller was told that another one holds the run.
    Held,
    /// A shard was given up and named.
    Quarantined,
    /// A run stopped because its panel is another one.
    Refused,
    /// A run stopped before its cap.
    Capped,
    /// A run stopped because nobody renewed credentials.
    LoggedOut,
    /// A worker had a shard in memory already.
    Warm,
    /// A container did a task.
    Contained,
    /// A task for containers was done by a function instead.
    Elsewhere,
}

impl Seen {
    /// Every one.
    pub const ALL: [Self; 17] = [
        Self::Bits,
        Self::Again,
        Self::Larger,
        Self::Split,
        Self::Parts,
        Self::Backup,
        Self::Found,
        Self::Resumed,
        Self::Fenced,
        Self::Held,
        Self::Quarantined,
        Self::Refused,
        Self::Capped,
        Self::LoggedOut,
        Self::Warm,
        Self::Contained,
        Self::Elsewhere,
    ];
}

/// How the run of a seed must end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ending {
    /// With the bits.
    Bits,
    /// This shard kills every worker that reads it: given up, by name.
    Poison(usize),
    /// The store is replaced after so many requests: the bits, if nobody had to look any more, or a refusal.
    Replaced(u64),
    /// The first cap is this share of what the run costs without faults: stopped before it; with the bits once it is raised.
    Cap(f64),
    /// Credentials are gone from this time on, until a person logs in: stopped; with the bits afterwards.
    LoggedOut(Duration),
}

/// A second controller.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Second {
    /// Virtual time at which it wants the run.
    pub at: Duration,
    /// Whether it takes it in any case.
    pub force: bool,
}

/// Containers beside the functions.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolPlan {
    /// How many; 0 where none appears.
    pub workers: usize,
    /// Until they are there.
    pub start: Duration,
    /// Each is taken away within this time, if it is.
    pub spot: Option<Duration>,
    /// Units from which on a task is theirs.
    pub above: u64,
}

/// Everything that a seed decides.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Case: specifications and panel.
    pub case: usize,
    /// How often each fault happens, where it can.
    pub rates: BTreeMap<Fault, f64>,
    /// Tasks of a stage; the run's own choice without.
    pub tasks: Option<usize>,
    /// Invocations at a time, as the controller thinks.
    pub concurrency: usize,
    /// … and as the account has it.
    pub reserved: Option<usize>,
    /// Seconds of a shard.
    pub shard_seconds: f64,
    /// Megabytes of a task, and those that it needs for every shard.
    pub memory: (f64, f64),
    /// Megabytes of a shard in a pass over influence functions, if they are many.
    pub influence_memory: Option<f64>,
    /// What is missing is answered to workers by 403.
    pub forbidden: bool,
    /// Time at which workers' credentials expire, and for how long.
    pub expired: Option<(Duration, Duration)>,
    /// Requests to storage after which one controller after the other dies, and whether the last one is carried out.
    pub crashes: Vec<(u64, bool)>,
    /// Another controller beside the first.
    pub second: Option<Second>,
    /// Seconds by which each controller's clock is ahead.
    pub skew: f64,
    /// What is carried out twice is computed to other bits the second time, at once.
    pub diverging: bool,
    /// How it must end.
    pub ending: Ending,
    /// Containers that heavy tasks are for.
    pub pool: Option<PoolPlan>,
}

impl Plan {
    /// No fault at all.
    pub fn calm(case: usize) -> Self {
        Self {
            seed: 0,
            case,
            rates: BTreeMap::new(),
            tasks: None,
            concurrency: 16,
            reserved: None,
            shard_seconds: 0.2,
            memory: (100.0, 10.0),
            influence_memory: None,
            forbidden: false,
            expired: None,
            crashes: Vec::new(),
            second: None,
            skew: 0.0,
            diverging: false,
            ending: Ending::Bits,
            pool: None,
        }
    }

    /// What a seed decides.
    pub fn new(seed: u64, cases: usize) -> Self {
        let mut random = Random::new(seed);
        let mut plan = Self { seed, ..Self::calm(random.below(cases)) };
        let often = random.uniform();
        for (fault, most) in Fault::CASUAL {
            if random.uniform() < often {
                plan.rates.insert(fault, most * random.uniform());
            }
        }
        plan.tasks = [None, None, Some(2), Some(4), Some(16)][random.below(5)];
        plan.concurrency = [3, 8, 16, 32][random.below(4)];
        let (chance, mut draw) = (|random: &mut Random, p| random.uniform() < p, random.clone());
        plan.reserved = chance(&mut draw, 0.2).then(|| 1 + draw.below(6));
        plan.shard_seconds = [0.05, 0.2, 1.0, 4.0][draw.below(4)];
        if chance(&mut draw, 0.3) {
            plan.memory.1 = 60.0 + 700.0 * draw.uniform();
        }
        plan.influence_memory = chance(&mut draw, 0.2).then(|| 2100.0 + 3000.0 * draw.uniform());
        plan.forbidden = chance(&mut draw, 0.4);
        if chance(&mut draw, 0.1) {
            let at = draw.uniform() * 20.0;
            let lasts = 20.0 + draw.uniform() * 200.0;
            plan.expired = Some((Duration::from_secs_f64(at), Duration::from_secs_f64(lasts)));
        }
        if chance(&mut draw, 0.35) {
            let count = 1 + draw.below(3);
            plan.crashes = (0..count).map(|_| (1 + draw.below(90) as u64, chance(&mut draw, 0.5))).collect();
        }
        if chance(&mut draw, 0.12) {
            let at = Duration::from_secs_f64(draw.uniform() * 30.0);
            plan.second = Some(Second { at, force: chance(&mut draw, 0.6) });
        }
        if chance(&mut draw, 0.2) {
            plan.skew = (draw.uniform() - 0.5) * 100.0;
        }
        plan.ending = match draw.uniform() {
            p if p < 0.05 => Ending::Poison(draw.below(16)),
            p if p < 0.10 => Ending::Replaced(20 + draw.below(600) as u64),
            p if p < 0.15 => Ending::Cap(0.1 + 0.6 * draw.uniform()),
            p if p < 0.18 => Ending::LoggedOut(Duration::from_secs_f64(draw.uniform() * 5.0)),
            _ => Ending::Bits,
        };
        // Containers of two controllers would take messages in an order that no clock fixes.
        if chance(&mut draw, 0.3) && plan.second.is_none() {
            let workers = [0, 1, 2, 4][draw.below(4)];
            let start = Duration::from_secs_f64(90.0 * draw.uniform() * draw.uniform());
            let spot = chance(&mut draw, 0.5).then(|| Duration::from_secs_f64(2.0 + 60.0 * draw.uniform()));
            let above = [0, 60, 200][draw.below(3)];
            plan.pool = Some(PoolPlan { workers, start, spot, above });
        }
        plan
    }

    /// Whether a fault happens now.
    pub(super) fn draws(&self, fault: Fault, random: &mut Random) -> bool {
        self.rates.get(&fault).is_some_and(|&rate| random.uniform() < rate)
    }
}
