//! The rule for tasks that go to the pool beside the functions: those that their forecast calls heavy.

use serde::{Deserialize, Serialize};
use stagger_model::reduction::TreeNode;

use crate::{CloudRates, FunctionFleet, TaskLoad, stage_load};

/// The rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeavyRule {
    /// No task is heavy.
    #[default]
    Never,
    /// Tasks of more units, or rows of cross sections, than this.
    Rows(u64),
    /// Tasks that read more bytes than this.
    Bytes(u64),
    /// Tasks that should take a function of one vCPU more seconds than this.
    Seconds(f64),
    /// Tasks of stages that the pool should finish sooner than functions, the start of its containers included.
    Auto(PoolAssumptions),
}

/// Assumptions about a pool's containers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolAssumptions {
    /// The number of containers.
    pub workers: usize,
    /// Seconds from the beginning of the run until the first of them takes a task.
    pub start: f64,
    /// The speed of each as a multiple of one vCPU's.
    pub speed: f64,
}

/// The assumed speed of a GPU as a multiple of a whole vCPU's, from the limits of bandwidth and FP64 of an H100
/// against those of a core; to be measured.
pub const GPU_SPEED: f64 = 40.0;
/// Seconds until an EC2 instance that Batch has to start takes a task: "a few minutes" (PLATFORM §2.4).
pub const EC2_START: f64 = 240.0;
/// Seconds until a container on Fargate takes a task (PLATFORM §2.4).
pub const FARGATE_START: f64 = 45.0;

/// A pass that is cut into tasks.
#[derive(Clone, Copy, Debug)]
pub struct StageTasks<'a> {
    /// The load of one shard.
    pub one: &'a TaskLoad,
    /// Shards of the pass.
    pub shards: usize,
    /// Tasks that they are cut into.
    pub tasks: usize,
    /// Functions that run at a time.
    pub concurrency: usize,
    /// Seconds since the run began.
    pub elapsed: f64,
}

/// Megabytes of a function with one vCPU.
const ONE_VCPU: f64 = 1769.0;

impl HeavyRule {
    /// Returns, for each of the pass's tasks, whether it is for the pool; `units` gives the units of a shard of the
    /// pass.
    pub fn classify(self, cut: StageTasks<'_>, units: &dyn Fn(usize) -> u64) -> Vec<bool> {
        let level = (cut.shards / cut.tasks.max(1)).max(1).trailing_zeros();
        let node = |index| TreeNode { level, index };
        let nodes = || (0..cut.tasks).map(node);
        match self {
            Self::Never => vec![false; cut.tasks],
            Self::Rows(most) => nodes().map(|n| n.shards().map(units).sum::<u64>() > most).collect(),
            Self::Bytes(most) => vec![cut.task().bytes_read() > most as f64; cut.tasks],
            Self::Seconds(most) => vec![cut.seconds() > most; cut.tasks],
            Self::Auto(pool) => vec![cut.pool_is_faster(pool); cut.tasks],
        }
    }
}

impl StageTasks<'_> {
    fn task(&self) -> TaskLoad {
        self.one.with_parts(self.shards.div_ceil(self.tasks.max(1)))
    }

    fn seconds(&self) -> f64 {
        self.task().seconds(&CloudRates::of(1), 1.0)
    }

    /// Returns whether the pool should be done before functions would be.
    fn pool_is_faster(&self, pool: PoolAssumptions) -> bool {
        let rates = CloudRates::of(1);
        let functions = FunctionFleet { concurrency: self.concurrency.max(1), megabytes: ONE_VCPU };
        let there = stage_load("", self.shards, self.tasks, *self.one).seconds(&rates, &functions);
        self.pool_seconds(pool, &rates) < there
    }

    /// Returns the seconds until the pool would be done.
    pub fn pool_seconds(&self, pool: PoolAssumptions, rates: &CloudRates) -> f64 {
        let rounds = self.tasks.div_ceil(pool.workers.max(1)) as f64;
        (pool.start - self.elapsed).max(0.0) + rounds * self.task().seconds(rates, pool.speed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ReadLoad;

    /// A shard that takes a vCPU `seconds`.
    fn shard(seconds: f64) -> TaskLoad {
        let part = ReadLoad { bytes: 1e6, gets: 0.1, waits: 0.0 };
        TaskLoad { parts: 1, part, compute: seconds * 0.5e9, written: 1e3, puts: 1.0, ..TaskLoad::default() }
    }

    fn cut(one: &TaskLoad, elapsed: f64) -> StageTasks<'_> {
        StageTasks { one, shards: 8, tasks: 4, concurrency: 4, elapsed }
    }

    #[test]
    fn rules_look_at_each_task() {
        let one = shard(10.0);
        let units = |index: usize| if index < 2 { 100 } else { 10 };
        assert_eq!(HeavyRule::Never.classify(cut(&one, 0.0), &units), [false; 4]);
        assert_eq!(HeavyRule::Rows(50).classify(cut(&one, 0.0), &units), [true, false, false, false]);
        assert_eq!(
            HeavyRule::Bytes(1_000_000).classify(cut(&one, 0.0), &units),
            [true; 4],
            "two shards a task"
        );
        assert_eq!(HeavyRule::Bytes(3_000_000).classify(cut(&one, 0.0), &units), [false; 4]);
        assert_eq!(HeavyRule::Seconds(5.0).classify(cut(&one, 0.0), &units), [true; 4]);
        assert_eq!(HeavyRule::Seconds(500.0).classify(cut(&one, 0.0), &units), [false; 4]);
    }

    #[test]
    fn a_pool_pays_once_its_start_is_made_up_for() {
        let pool = HeavyRule::Auto(PoolAssumptions { workers: 1, start: 240.0, speed: 40.0 });
        let units = |_: usize| 1;
        assert_eq!(
            pool.classify(cut(&shard(10.0), 0.0), &units),
            [false; 4],
            "functions are done before it is there"
        );
        assert_eq!(pool.classify(cut(&shard(10.0), 300.0), &units), [true; 4], "it is there by now");
        assert_eq!(pool.classify(cut(&shard(1000.0), 0.0), &units), [true; 4], "worth the wait");
    }
}
