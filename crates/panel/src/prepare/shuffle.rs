//! Plan of the shuffle from rows to shards: mappers, partitions and stages, within the memory and at the lowest cost of
//! requests (PLATFORM §1.2).

use serde::{Deserialize, Serialize};
use stagger_records::Source;

use super::scatter::{ChunkRows, ScatterTask};

/// Bytes of a mapper's object where memory allows: large enough that requests cost little.
const OBJECT: u64 = 64 << 20;
/// The same for a worker that is one of many.
const WORKER_OBJECT: u64 = 256 << 20;
/// Bytes of a partition's records where memory allows.
const PARTITION: u64 = 128 << 20;
/// Bytes that are worth a worker of their own.
const WORTH: u64 = 16 << 20;
/// Smallest size of an object or a partition in bytes: below it, requests cost more than memory.
const LEAST: u64 = 1 << 20;
/// Memory of a mapper, in sizes of its object: the blocks, the encoded object, and a batch.
const MAPPER_COPIES: f64 = 3.2;
/// The same where a unit's rows are put side by side first: rows, slots, blocks, the object.
const PIVOT_COPIES: f64 = 4.2;
/// Memory of a gather task, in sizes of its records: the records, their order, a shard's slots and columns.
const GATHER_COPIES: f64 = 2.4;
/// Memory of a combiner, in sizes of its object: the blocks as read, the blocks in order, the object.
const COMBINE_COPIES: f64 = 3.0;
/// Bytes of a page of a column that a mapper reads: the default of most writers.
const PAGE: u64 = 1 << 20;
/// Bytes that a process needs besides its tasks: code, footers, buffers of the allocator.
pub const PROCESS_BYTES: u64 = 88 << 20;

/// Numbers of requests that a shuffle makes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestCounts {
    /// Number of reads (GET).
    pub gets: u64,
    /// Number of writes (PUT).
    pub puts: u64,
}

/// Plan of the shuffle of a preparation. It decides memory and requests, and no byte of the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShufflePlan {
    /// Digest of the inputs and columns.
    pub fingerprint: String,
    /// Rows that each mapper reads.
    pub mappers: Vec<ScatterTask>,
    /// Number of partitions, a power of two.
    pub partitions: usize,
    /// True if a unit's rows are put side by side before they are scattered, since footers show them together.
    pub pivot: bool,
    /// Numbers of mappers and of partitions that one combiner takes; `None` for a shuffle of one stage.
    pub combine: Option<(usize, usize)>,
    /// Upper bound of the bytes scattered.
    pub scattered: u64,
    /// Upper bound of the memory of a mapper, in bytes.
    pub mapper_memory: u64,
    /// Upper bound of the memory of a gather task, in bytes.
    pub gather_memory: u64,
    /// Requests of a shuffle in one stage and in two, the latter at its best cut.
    pub requests: (RequestCounts, RequestCounts),
}

impl ShufflePlan {
    /// Returns the bytes of memory that a process with this number of threads takes.
    pub fn process_bytes(&self, threads: usize) -> u64 {
        PROCESS_BYTES + threads as u64 * self.mapper_memory.max(self.gather_memory)
    }
}

/// Sizes and limits that decide the plan of a shuffle.
pub struct ShuffleInputs<'a> {
    /// Number of rows in each row group.
    pub chunks: &'a [usize],
    /// True if footers show that the rows of a unit are together ([`units_together`]).
    pub together: bool,
    /// Number of variables.
    pub fields: usize,
    /// True if identifiers of units are texts.
    pub text_ids: bool,
    /// Number of threads.
    pub threads: usize,
    /// Number of bytes that the process may use.
    pub memory_limit: u64,
    /// True if requests cost money: the store is on S3.
    pub remote: bool,
    /// Number of partitions, if a test or a person sets it.
    pub partitions: Option<usize>,
    /// Cut of a second stage, if a test sets it.
    pub combine: Option<(usize, usize)>,
    /// Smallest number of tasks in a stage, where each has enough to do.
    pub least_tasks: usize,
}

impl ShuffleInputs<'_> {
    fn record(&self) -> u64 {
        // The lengths of text identifiers are not known before they are read.
        let id = if self.text_ids { 28 } else { 8 };
        id + 4 + 8 * self.fields as u64
    }

    fn task_memory(&self) -> u64 {
        (self.memory_limit.saturating_sub(PROCESS_BYTES) / self.threads as u64).max(4 * LEAST)
    }

    /// Returns the bytes of the pages that a mapper holds while it reads: one for each variable, those of unit, period and
    /// cohort, and one that is being decompressed, before and after.
    fn page_memory(&self) -> u64 {
        ((self.fields as u64 + 5) * PAGE).min(self.task_memory() / 2)
    }

    /// Returns the plan; `fingerprint` is the digest of inputs and columns.
    pub fn plan_shuffle(&self, fingerprint: &str) -> ShufflePlan {
        let pivot = self.together;
        let rows: u64 = self.chunks.iter().map(|&rows| rows as u64).sum();
        let scattered = rows * self.record();
        let copies = if pivot { PIVOT_COPIES } else { MAPPER_COPIES };
        // Workers get half as many mappers and partitions as there are workers, and larger ones: their blocks are
        // requests, of which a partition of S3 answers a few thousand a second.
        let largest = if self.least_tasks > 0 { WORKER_OBJECT } else { OBJECT };
        let object =
            (((self.task_memory() - self.page_memory()) as f64 / copies) as u64).clamp(LEAST, largest);
        let share = ((self.task_memory() as f64 / GATHER_COPIES) as u64).clamp(LEAST, PARTITION);
        // Hashes spread evenly, but not exactly.
        let needed = (scattered + scattered / 16).div_ceil(share).max(1);
        let worth = (scattered / WORTH).min(self.least_tasks.div_ceil(2) as u64);
        let spread = if scattered > 16 * LEAST { 2 * self.threads as u64 } else { 1 }.max(worth);
        let partitions =
            self.partitions.unwrap_or_else(|| needed.max(spread) as usize).next_power_of_two().min(1 << 14);
        let most = (object / self.record()).max(1) as usize;
        // A number of partitions that is asked for applies to the tasks of the other stage as well.
        let mapping = self.partitions.or((worth > 0).then_some(worth as usize));
        let wanted = mapping.map_or(usize::MAX, |n| (rows as usize).div_ceil(n));
        let mappers = self.mappers(most.min(wanted.max(1)));
        let fit = (scattered as f64 * COMBINE_COPIES / self.task_memory() as f64) as u64 + 1;
        let combiners = fit.max(worth / 2);
        let requests = requests(mappers.len() as u64, partitions as u64, combiners);
        let cheaper = (self.remote && requests.1.0.cost() < requests.0.cost()).then_some(requests.1.1);
        ShufflePlan {
            fingerprint: fingerprint.to_owned(),
            partitions,
            pivot,
            combine: self.combine.or(cheaper),
            scattered,
            mapper_memory: (object as f64 * copies) as u64 + self.page_memory(),
            gather_memory: ((scattered + scattered / 16).div_ceil(partitions as u64) as f64 * GATHER_COPIES)
                as u64,
            requests: (requests.0, requests.1.0),
            mappers,
        }
    }

    /// Cuts the row groups into runs of about `rows` rows; larger row groups are divided.
    fn mappers(&self, rows: usize) -> Vec<ScatterTask> {
        let mut out = Vec::new();
        let (mut pieces, mut room) = (Vec::new(), rows);
        for (chunk, &own) in self.chunks.iter().enumerate() {
            let mut start = 0;
            while start < own {
                let left = own - start;
                if left > room && !pieces.is_empty() && left <= rows {
                    out.push(ScatterTask { pieces: std::mem::take(&mut pieces) });
                    room = rows;
                }
                let taken = left.min(room);
                pieces.push(ChunkRows { chunk, rows: start..start + taken });
                (start, room) = (start + taken, room - taken);
                if room == 0 {
                    out.push(ScatterTask { pieces: std::mem::take(&mut pieces) });
                    room = rows;
                }
            }
        }
        if !pieces.is_empty() {
            out.push(ScatterTask { pieces });
        }
        out
    }
}

/// Tells if footers show that the rows of every unit are in one row group, or in two that follow each other.
pub fn units_together(source: &Source, id: &str) -> bool {
    let chunks = source.chunks();
    if chunks.len() == 1 {
        return true;
    }
    let bounds: Option<Vec<(i128, i128)>> = chunks.iter().map(|c| source.integer_bounds(c, id)).collect();
    let Some(mut bounds) = bounds else { return false };
    bounds.sort_unstable();
    bounds.windows(2).all(|pair| pair[0].1 <= pair[1].0)
}

impl RequestCounts {
    /// Cost in dollars at S3's list prices, used only to choose between one stage and two; forecasts read the price
    /// file.
    fn cost(self) -> f64 {
        self.gets as f64 * 0.4e-6 + self.puts as f64 * 5e-6
    }
}

/// Returns the requests of one stage (s·r reads for s mappers and r partitions) and of two stages at their best cut. With
/// mappers in `1/f` groups and partitions in `1/p` ranges these are s/p + r/f reads and 1/(p·f) combiners (Starling
/// §4.2, which has a request more for each header), of which there are at least `least`, so that each fits in memory.
/// Every reader has two requests more, for its parts of the table of blocks.
fn requests(mappers: u64, partitions: u64, least: u64) -> (RequestCounts, (RequestCounts, (usize, usize))) {
    let one = RequestCounts { gets: mappers * partitions + 2 * partitions, puts: mappers };
    let mut best = (one, (mappers as usize, partitions as usize));
    let mut groups = 2;
    while groups <= mappers {
        let mut ranges = 2;
        while ranges <= partitions {
            let two = RequestCounts {
                gets: mappers * ranges + partitions * groups + 2 * (groups * ranges + partitions),
                puts: mappers + groups * ranges,
            };
            let fits = groups * ranges >= least;
            if fits && (best.1 == (mappers as usize, partitions as usize) || two.cost() < best.0.cost()) {
                best = (two, (mappers.div_ceil(groups) as usize, partitions.div_ceil(ranges) as usize));
            }
            ranges *= 2;
        }
        groups *= 2;
    }
    (one, best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_stages_cost_what_the_formulas_say() {
        // 512 × 128: $0.029 in one stage; 5120 × 1280: $2.65 in one, and in two $0.073 less the headers, with p = 1/20,
        // f = 1/64 (PLATFORM §1.2).
        let (one, _) = requests(512, 128, 1);
        assert!((one.cost() - 0.029).abs() < 0.001, "{one:?}");
        let (one, (two, _)) = requests(5120, 1280, 1);
        assert_eq!(one.gets, 6_556_160);
        assert!(two.cost() < 0.073 && one.cost() > 2.6, "{one:?} {two:?}");
        // More combiners than are cheapest, if a few would not fit in memory.
        let (_, (more, (by_mapper, by_partition))) = requests(5120, 1280, 4096);
        assert!(more.cost() > two.cost() && more.cost() < one.cost());
        assert!(5120usize.div_ceil(by_mapper) * 1280usize.div_ceil(by_partition) >= 4096);
    }
}
