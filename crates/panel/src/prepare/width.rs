//! The number of mappers and partitions of a shuffle, by what it takes workers: bytes over their lines, rows over their cores, and
//! requests at the rate of storage.

use super::shuffle::RequestCounts;
use super::steps::CONCURRENT_READS;

/// Workers that do the tasks of a shuffle, each one task at a time; they decide how wide it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShuffleWorkers {
    /// Number of tasks at a time.
    pub at_once: usize,
    /// Bytes a second between a worker and storage.
    pub bandwidth: f64,
    /// Reads a second that storage answers, over all workers.
    pub reads: f64,
    /// Seconds until a request is answered.
    pub latency: f64,
    /// Seconds of a worker for each row that it reads or places, and for each value of it.
    pub row: [f64; 2],
    /// Seconds of an invocation around its task, and of what the controller does between two stages.
    pub barrier: f64,
    /// Dollars for a second of a worker.
    pub second_price: f64,
    /// True for the fewest dollars in place of the fewest seconds.
    pub cheap: bool,
}

/// Seconds and dollars that a shuffle is thought to take.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Estimate {
    seconds: f64,
    dollars: f64,
}

impl ShuffleWorkers {
    /// Returns the estimate of a stage of `tasks` tasks that move `bytes` bytes in `requests` and compute for `compute` seconds, all of
    /// them together.
    fn stage(&self, tasks: f64, bytes: f64, compute: f64, requests: RequestCounts) -> Estimate {
        let gets = requests.gets as f64;
        let waits = (gets / tasks / CONCURRENT_READS as f64).ceil() + 2.0;
        let own = (bytes / self.bandwidth + compute) / tasks + waits * self.latency;
        let rounds = (tasks / self.at_once.max(1) as f64).ceil();
        let served = gets / self.reads;
        // Workers wait for storage where it can't follow.
        let busy = (tasks * own).max(tasks.min(self.at_once as f64) * served);
        Estimate {
            seconds: (rounds * own).max(served) + LATE * own + self.barrier,
            dollars: busy * self.second_price + requests.cost(),
        }
    }

    fn score(&self, estimate: Estimate) -> f64 {
        if self.cheap { estimate.dollars } else { estimate.seconds }
    }
}

impl std::ops::Add for Estimate {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { seconds: self.seconds + other.seconds, dollars: self.dollars + other.dollars }
    }
}

/// The delay of a stage by a late task, in multiples of a task's seconds: a backup starts so late (`schedule::policy`).
const LATE: f64 = 1.6;
/// Largest number of partitions.
pub(super) const MOST_PARTITIONS: usize = 1 << 14;

/// Mappers and partitions of a shuffle, and the cut of a stage between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Width {
    /// Number of mappers.
    pub(super) mappers: usize,
    /// Number of partitions.
    pub(super) partitions: usize,
    /// Mappers and partitions of a combiner; `None` for one stage.
    pub(super) combine: Option<(usize, usize)>,
}

/// Numbers of partitions that a shuffle may have.
pub(super) fn counts() -> impl Iterator<Item = usize> {
    (0..=MOST_PARTITIONS.trailing_zeros()).map(|power| 1usize << power)
}

/// What a shuffle moves, and the workers that do it.
pub(super) struct WidthChoice {
    /// The workers.
    pub(super) workers: ShuffleWorkers,
    /// Rows of the input.
    pub(super) rows: f64,
    /// Bytes of the input.
    pub(super) input: f64,
    /// Bytes that are scattered.
    pub(super) bytes: f64,
    /// Values of a row.
    pub(super) fields: f64,
    /// Combiners whose objects fit their memory, at least.
    pub(super) least_combiners: usize,
}

impl WidthChoice {
    /// Returns the width in one stage, and in two at their best cut, each with its seconds or dollars.
    pub(super) fn widths(&self, mappers: usize, partitions: usize) -> impl Iterator<Item = (f64, Width)> {
        let scored = |combine: Option<(usize, usize)>| {
            let width = Width { mappers, partitions, combine };
            (self.workers.score(self.estimate(width)), width)
        };
        let powers = |most: usize| (1..32).map(|power| 1usize << power).take_while(move |n| *n <= most);
        let cuts = powers(mappers).flat_map(|groups| powers(partitions).map(move |ranges| (groups, ranges)));
        let cuts = cuts.filter(|(groups, ranges)| groups * ranges >= self.least_combiners);
        let two = cuts
            .map(|(groups, ranges)| scored(Some((mappers.div_ceil(groups), partitions.div_ceil(ranges)))))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        [Some(scored(None)), two].into_iter().flatten()
    }

    fn estimate(&self, width: Width) -> Estimate {
        let Self { workers, bytes, .. } = *self;
        let Width { mappers, partitions, combine } = width;
        let compute = self.rows * (workers.row[0] + workers.row[1] * self.fields);
        let counts = |gets: usize, puts: usize| RequestCounts { gets: gets as u64, puts: puts as u64 };
        let scatter =
            workers.stage(mappers as f64, self.input + bytes, compute, counts(4 * mappers, 2 * mappers));
        let Some((by_mapper, by_partition)) = combine else {
            let gather = counts(mappers * partitions, 2 * partitions);
            return scatter + workers.stage(partitions as f64, bytes, compute, gather);
        };
        let (groups, ranges) = (mappers.div_ceil(by_mapper), partitions.div_ceil(by_partition));
        let combining = counts(mappers * ranges, 2 * groups * ranges);
        let gather = counts(partitions * groups, 2 * partitions);
        scatter
            + workers.stage((groups * ranges) as f64, 2.0 * bytes, 0.0, combining)
            + workers.stage(partitions as f64, bytes, compute, gather)
    }
}
