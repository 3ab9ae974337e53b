//! The stages of the recorded run: what their tasks take, and which of them meet which fault.

use std::collections::BTreeMap;

use stagger_model::reduction::TreeNode;
use stagger_protocol::messages::Work;
use stagger_test_support::panels::Random;

/// Units of the panel.
pub(super) const UNITS: u64 = 100_000_000;
/// Its shards.
pub(super) const SHARDS: usize = 1_024;
/// Sets that the columns of `influence` can be cut into: one a cell.
const CELLS: usize = 72;

/// A stage.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) tasks: usize,
    /// Median seconds of a task: reading, computing, writing.
    pub(super) seconds: [f64; 3],
    /// Bytes that a task reads, and those of its sum.
    pub(super) bytes: (u64, u64),
    /// Seconds that a task is expected to take.
    pub(super) expected: f64,
    /// Sets that the columns can be cut into.
    pub(super) sets: usize,
    /// Share of the logits that have converged afterwards, and rounds over all shards.
    pub(super) logits: Option<(f64, usize)>,
    /// Faults of its tasks, and how many.
    faults: &'static [(Fault, usize)],
}

/// What goes wrong with the first attempt at a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// It needs more memory than the smallest function has.
    Memory,
    /// It hangs until the worker gives up.
    Hangs,
    /// Its answer never comes.
    Lost,
    /// It reads bytes that are not those that were written.
    Corrupt,
    /// It takes several times as long.
    Slow,
    /// Its sum is damaged where it lies.
    Damaged,
}

use Fault::{Corrupt, Damaged, Hangs, Lost, Memory, Slow};

/// Stage in which the controller is killed.
pub(super) const KILLED: usize = 5;
/// Tasks of it that are done by then.
pub(super) const KILLED_AFTER: usize = 150;
/// Stage at whose begin other functions of the account take environments.
pub(super) const CROWDED: usize = 7;

/// A pass over all shards.
const PASS: Step = Step {
    name: "gram",
    tasks: SHARDS,
    seconds: [1.2, 1.9, 0.08],
    bytes: (11_700_000, 12_800),
    expected: 3.5,
    sets: 1,
    logits: None,
    faults: &[(Memory, 4), (Lost, 3), (Corrupt, 1), (Slow, 8)],
};

/// A round of the propensity scores.
const ROUND: Step = Step {
    name: "propensity",
    seconds: [0.5, 2.0, 0.07],
    bytes: (3_130_000, 10_960),
    faults: &[(Memory, 3), (Lost, 4), (Slow, 9), (Damaged, 1)],
    ..PASS
};

/// A round on a sample.
const SAMPLE: Step = Step { name: "propensity (sample)", tasks: SHARDS / 16, faults: &[], ..ROUND };

/// All stages in order.
pub(super) const STEPS: [Step; 9] = [
    Step { name: "gram (sample)", tasks: 8, faults: &[], ..PASS },
    PASS,
    SAMPLE,
    Step { logits: Some((0.0, 0)), ..SAMPLE },
    Step { logits: Some((0.3, 1)), ..ROUND },
    Step { logits: Some((0.85, 2)), faults: &[], ..ROUND },
    Step { logits: Some((1.0, 3)), faults: &[(Memory, 2), (Lost, 4), (Corrupt, 1), (Slow, 9)], ..ROUND },
    Step {
        name: "moments",
        seconds: [0.8, 1.6, 0.08],
        bytes: (9_380_000, 14_200),
        faults: &[(Memory, 1), (Lost, 2), (Corrupt, 1)],
        ..PASS
    },
    Step {
        name: "influence",
        seconds: [0.9, 2.0, 0.22],
        bytes: (12_100_000, 700_400),
        // The forecast was wrong: what hangs is ended soon.
        expected: 0.3,
        sets: CELLS,
        faults: &[(Memory, 2), (Hangs, 3), (Lost, 2), (Corrupt, 1)],
        ..PASS
    },
];

/// Tasks that start before any is done: what hangs among them hangs no longer than the forecast allows.
const FIRST: usize = 300;

impl Step {
    /// Every so many shards one takes part.
    pub(super) fn stride(&self) -> usize {
        SHARDS / self.tasks
    }

    /// The tasks.
    pub(super) fn works(&self) -> Vec<Work> {
        let work = |index| Work::Shards { node: TreeNode { level: 0, index }, part: None };
        (0..self.tasks).map(work).collect()
    }

    /// Faults by task.
    pub(super) fn faults(&self, random: &mut Random) -> BTreeMap<usize, Fault> {
        let mut order = random.order(self.tasks);
        let mut out = BTreeMap::new();
        for &(fault, count) in self.faults {
            let within = if fault == Slow { self.tasks } else { FIRST.min(self.tasks) };
            for _ in 0..count {
                let place = order.iter().position(|&task| task < within).expect("fewer faults than tasks");
                out.insert(order.remove(place), fault);
            }
        }
        out
    }
}

/// Units of a shard.
pub(super) fn units(shard: usize) -> u64 {
    let shards = SHARDS as u64;
    UNITS / shards + u64::from((shard as u64) < UNITS % shards)
}
