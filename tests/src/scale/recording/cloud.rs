//! What becomes of an attempt: its answer, its bill, and when it ends. A model with chance of its own; nothing here is measured.

use stagger_forecast::{CloudRates, FunctionRates};
use stagger_model::error::FailureClass;
use stagger_model::events::{ObjectRef, PhaseSeconds};
use stagger_protocol::keys;
use stagger_protocol::messages::{Answer, TaskFailure, TaskReport, Work};
use stagger_schedule::Function;
use stagger_test_support::panels::Random;

use super::milliseconds;
use super::steps::{Fault, Step, units};
use crate::scale::model::{Environment, Environments};

/// Environments that a function starts at once, and those that follow a second: a new account's.
const ENVIRONMENTS: (f64, f64) = (500.0, 60.0);
/// Spread of how long tasks take, as a logarithm.
const SPREAD: f64 = 0.22;
/// How many times as long a straggler takes.
const SLOW: f64 = 5.0;
/// Share of tasks that storage tells to slow down, and seconds that each such answer costs.
const SLOWED: (f64, f64) = (0.03, 0.15);
/// Median share of its memory that a worker has at its peak, and its spread.
const PEAK: (f64, f64) = (0.55, 0.2);
/// Megabytes of the smallest function, which peaks are shares of: what a task needs is the same on every function.
const SMALLEST: f64 = 512.0;
/// Megabytes of a vCPU, and of the fraction that computing on the smallest function takes longer for.
const ONE_VCPU: f64 = 1769.0;

/// What is asked of a worker.
#[derive(Clone, Debug)]
pub(super) struct Asked<'a> {
    pub(super) step: &'a Step,
    pub(super) object: &'a ObjectRef,
    pub(super) work: &'a Work,
    pub(super) function: &'a Function,
    /// Seconds after which it gives up.
    pub(super) limit: f64,
    pub(super) fault: Option<Fault>,
    /// Its result is there already.
    pub(super) found: bool,
}

/// What comes of it.
#[derive(Clone, Debug)]
pub(super) struct Played {
    pub(super) answer: Answer,
    /// Seconds from its start to its end.
    pub(super) seconds: f64,
    /// Seconds billed and peak memory, if the platform tells.
    pub(super) billed: Option<(f64, u64)>,
}

/// Lambda and S3.
#[derive(Clone, Debug)]
pub(super) struct Cloud {
    environments: Environments,
    pub(super) random: Random,
}

impl Cloud {
    pub(super) fn new(seed: u64, concurrency: usize) -> Self {
        let (at_once, ramp) = ENVIRONMENTS;
        let rates = FunctionRates { at_once, ramp, ..CloudRates::of(1).functions };
        Self { environments: Environments::new(concurrency, rates), random: Random::new(seed) }
    }

    /// A number with a median of 1.
    fn spread(&mut self, by: f64) -> f64 {
        libm::exp(by * self.random.normal())
    }

    pub(super) fn give_back(&mut self) {
        self.environments.give_back();
    }

    /// Starts an attempt; nothing where it is turned away.
    pub(super) fn start(&mut self, now: f64, asked: &Asked<'_>) -> Option<Played> {
        let init = match self.environments.take(now) {
            Environment::None => return None,
            Environment::Warm => 0.0,
            Environment::Cold => 0.25 * self.spread(0.2),
        };
        let mut report = if asked.found { found(asked) } else { self.report(asked) };
        // A cold environment opens the panel too.
        report.seconds.open += if init > 0.0 { 0.16 * self.spread(0.3) } else { 0.0 };
        let peak = self.peak(asked);
        let phases = [
            &mut report.seconds.open,
            &mut report.seconds.read,
            &mut report.seconds.compute,
            &mut report.seconds.write,
        ];
        let mut whole = 0.0;
        for phase in phases {
            *phase = milliseconds(*phase);
            whole += *phase;
        }
        report.peak_memory = peak;
        Some(self.ends(asked, report, whole, init))
    }

    /// The end that a fault leaves.
    fn ends(&mut self, asked: &Asked<'_>, report: TaskReport, whole: f64, init: f64) -> Played {
        let billed = |seconds: f64, peak| Some((milliseconds(init + seconds + 0.004), peak));
        let name = &asked.function.name;
        let failed = |class, what: &str, seconds: f64, billed| Played {
            answer: Answer::Failed(TaskFailure::new(class, what)),
            seconds: init + seconds,
            billed,
        };
        let part = whole * (0.4 + 0.4 * self.random.uniform());
        match asked.fault {
            Some(Fault::Memory) => {
                let memory = asked.function.memory_mb;
                let what = format!("function `{name}`: killed for memory: {memory} MB of {memory} MB in use");
                failed(FailureClass::OutOfMemory, &what, part, billed(part, u64::from(memory) << 20))
            }
            Some(Fault::Hangs) => {
                let what =
                    format!("not done after {} s, the time that the controller gave it", asked.limit as u64);
                let seconds = asked.limit + 0.02;
                failed(FailureClass::TimedOut, &what, seconds, billed(seconds, report.peak_memory))
            }
            Some(Fault::Lost) => {
                let what = format!("function `{name}`: its answer was lost: connection reset by peer");
                failed(FailureClass::Lost, &what, whole, None)
            }
            Some(Fault::Corrupt) => {
                let key = keys::result(&asked.object.checksum, asked.work);
                let what = format!("checksum of `{key}` differs from the one that was promised");
                failed(FailureClass::Corrupt, &what, whole, billed(whole, report.peak_memory))
            }
            Some(Fault::Slow | Fault::Damaged) | None => Played {
                billed: billed(whole, report.peak_memory),
                answer: Answer::Done(report),
                seconds: init + whole,
            },
        }
    }

    /// Peak memory, bytes; Lambda tells whole megabytes.
    fn peak(&mut self, asked: &Asked<'_>) -> u64 {
        let share = if asked.found { 0.3 } else { PEAK.0 } * self.spread(PEAK.1);
        let most = f64::from(asked.function.memory_mb) * 0.97;
        // What did not fit the smallest function takes a little more than it has.
        let base = if f64::from(asked.function.memory_mb) > SMALLEST { SMALLEST * 2.0 } else { SMALLEST };
        ((base * share).min(most) as u64) << 20
    }

    /// A task that goes well.
    fn report(&mut self, asked: &Asked<'_>) -> TaskReport {
        let step = asked.step;
        if let Work::Reduce { children, .. } = asked.work {
            return self.sum(step, children.len());
        }
        let slow = if asked.fault == Some(Fault::Slow) { SLOW } else { 1.0 };
        let quick = if f64::from(asked.function.memory_mb) >= ONE_VCPU { 0.45 } else { 1.0 };
        let (share, rows) = match asked.work {
            Work::Shards { part: Some(part), .. } => (1.0 / f64::from(part.sets), units(0)),
            Work::Shards { node, .. } => (1.0, units(node.index * step.stride())),
            _ => (1.0, 0),
        };
        let [read, compute, write] = step.seconds;
        let all = self.spread(SPREAD).clamp(0.6, 1.7) * slow;
        let slowed = self.random.uniform() < SLOWED.0;
        let throttles = if slowed { 1 + self.random.below(5) as u64 } else { 0 };
        let read = read * all * self.spread(0.1) + throttles as f64 * SLOWED.1;
        let seconds = PhaseSeconds {
            open: 0.02 * self.spread(0.3),
            read,
            compute: compute * all * share * quick,
            write: write * self.spread(0.2),
        };
        let bytes_read = (step.bytes.0 as f64 * (1.0 + 0.004 * self.random.normal())) as u64;
        TaskReport {
            bytes: (step.bytes.1 as f64 * share) as u64,
            rows,
            bytes_read,
            gets: 2 + bytes_read / 4_000_000 + throttles,
            puts: 1,
            throttles,
            seconds,
            ..TaskReport::default()
        }
    }

    /// A worker adds sums.
    fn sum(&mut self, step: &Step, children: usize) -> TaskReport {
        let seconds = PhaseSeconds {
            open: 0.02,
            read: 0.012 * children as f64 * self.spread(0.2),
            compute: 0.006 * children as f64 * self.spread(0.2),
            write: step.seconds[2],
        };
        TaskReport {
            bytes: step.bytes.1,
            bytes_read: step.bytes.1 * children as u64,
            gets: 1 + children as u64,
            puts: 1,
            seconds,
            ..TaskReport::default()
        }
    }
}

/// A task whose result an earlier attempt has left.
fn found(asked: &Asked<'_>) -> TaskReport {
    TaskReport {
        bytes: asked.step.bytes.1,
        bytes_read: asked.step.bytes.1,
        gets: 2,
        seconds: PhaseSeconds { open: 0.02, read: 0.04, ..PhaseSeconds::default() },
        found: true,
        ..TaskReport::default()
    }
}
