//! Plan of the shuffle from rows to shards: mappers, partitions and stages, within the memory and at the lowest cost of
//! requests (PLATFORM §1.2).

use serde::{Deserialize, Serialize};
use stagger_records::Source;

use super::scatter::{ChunkRows, ScatterTask};
use super::width::{MOST_PARTITIONS, ShuffleWorkers, Width, WidthChoice, counts};

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
    /// Requests of a shuffle in one stage and in two, the latter at the cut that is chosen, or at the one with the fewest.
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
    /// Bytes of the input.
    pub input_bytes: u64,
    /// Workers that do the tasks; `None` for the threads of this process.
    pub workers: Option<ShuffleWorkers>,
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
        let largest = if self.workers.is_some() { WORKER_OBJECT } else { OBJECT };
        let object =
            (((self.task_memory() - self.page_memory()) as f64 / copies) as u64).clamp(LEAST, largest);
        let most = (object / self.record()).max(1) as usize;
        let width = self.width(scattered, rows.div_ceil(most as u64).max(1) as usize);
        let partitions = width.map_or_else(|| self.spread(scattered), |width| width.partitions);
        // A number of partitions that is asked for applies to the tasks of the other stage as well.
        let mapping = self.partitions.or(width.map(|width| width.mappers));
        let wanted = mapping.map_or(usize::MAX, |n| (rows as usize).div_ceil(n));
        let mappers = self.mappers(most.min(wanted.max(1)));
        let requests = requests(mappers.len() as u64, partitions as u64, self.least_combiners(scattered));
        let chosen = width.and_then(|width| width.combine);
        let two = chosen.map_or(requests.1.0, |cut| two_stages(mappers.len(), partitions, cut));
        let cheaper = (self.remote && requests.1.0.cost() < requests.0.cost()).then_some(requests.1.1);
        ShufflePlan {
            fingerprint: fingerprint.to_owned(),
            partitions,
            pivot,
            combine: self.combine.or(width.map_or(cheaper, |width| width.combine)),
            scattered,
            mapper_memory: (object as f64 * copies) as u64 + self.page_memory(),
            gather_memory: ((scattered + scattered / 16).div_ceil(partitions as u64) as f64 * GATHER_COPIES)
                as u64,
            requests: (requests.0, two),
            mappers,
        }
    }

    /// Returns the number of partitions that memory and threads ask for.
    fn spread(&self, scattered: u64) -> usize {
        // Hashes spread evenly, but not exactly.
        let needed = (scattered + scattered / 16).div_ceil(self.share()).max(1);
        let spread = if scattered > 16 * LEAST { 2 * self.threads as u64 } else { 1 };
        self.partitions
            .unwrap_or_else(|| needed.max(spread) as usize)
            .next_power_of_two()
            .min(MOST_PARTITIONS)
    }

    /// Returns the bytes of a partition's records that memory allows.
    fn share(&self) -> u64 {
        let largest = if self.workers.is_some() { u64::MAX } else { PARTITION };
        ((self.task_memory() as f64 / GATHER_COPIES) as u64).clamp(LEAST, largest)
    }

    fn least_combiners(&self, scattered: u64) -> u64 {
        (scattered as f64 * COMBINE_COPIES / self.task_memory() as f64) as u64 + 1
    }

    /// Returns the width that takes workers the fewest seconds, or dollars, of those that fit their memory; `None` where there are no
    /// workers, where a person has chosen, or where there is little to do. One stage reads mappers × partitions blocks, which storage
    /// answers at its own rate; two stages read fewer and move all bytes once more.
    fn width(&self, scattered: u64, least_mappers: usize) -> Option<Width> {
        let workers = self.workers.filter(|_| self.partitions.is_none())?;
        let worth = (scattered / WORTH) as usize;
        if worth == 0 {
            return None;
        }
        let choice = WidthChoice {
            workers,
            rows: self.chunks.iter().map(|&rows| rows as f64).sum(),
            input: self.input_bytes as f64,
            // Rows that are put side by side first share identifier, cohort and constants: about a third is left.
            bytes: if self.together { scattered as f64 / 3.0 } else { scattered as f64 },
            fields: self.fields as f64,
            least_combiners: self.least_combiners(scattered) as usize,
        };
        let least_partitions = (scattered + scattered / 16).div_ceil(self.share()).max(1) as usize;
        let mappers = counts().flat_map(|n| [n, n + n / 2]);
        let mappers = mappers.map(|n| n.max(least_mappers)).filter(|n| *n <= worth.max(least_mappers));
        let partitions =
            || counts().filter(|&n| n >= least_partitions && n / 2 < worth.max(least_partitions));
        let widths = mappers.flat_map(|mappers| partitions().map(move |partitions| (mappers, partitions)));
        let best = widths.flat_map(|(mappers, partitions)| choice.widths(mappers, partitions));
        best.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, width)| width)
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
    pub(super) fn cost(self) -> f64 {
        self.gets as f64 * 0.4e-6 + self.puts as f64 * 5e-6
    }
}

/// Returns the requests of a shuffle whose combiners take so many mappers and partitions.
fn two_stages(mappers: usize, partitions: usize, cut: (usize, usize)) -> RequestCounts {
    let (groups, ranges) = (mappers.div_ceil(cut.0.max(1)), partitions.div_ceil(cut.1.max(1)));
    let gets = (mappers * ranges + partitions * groups + 2 * (groups * ranges + partitions)) as u64;
    RequestCounts { gets, puts: (mappers + groups * ranges) as u64 }
}

/// Returns the requests of one stage (s·r reads for s mappers and r partitions) and of two stages at their best cut. With
/// mappers in `1/f` groups and partitions in `1/p` ranges these are s/p + r/f reads and 1/(p·f) combiners, of which there
/// are at least `least`, so that each fits in memory. In Starling §4.2 every block costs a request more, for its header.
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

    /// A thousand functions, and one partition of S3.
    fn functions() -> ShuffleWorkers {
        ShuffleWorkers {
            at_once: 1000,
            bandwidth: 60e6,
            reads: 5500.0,
            latency: 0.015,
            row: [80e-9, 40e-9],
            barrier: 0.2,
            second_price: 2.9e-5,
            cheap: false,
        }
    }

    fn plan(rows: usize, bytes: u64, change: impl Fn(&mut ShuffleInputs<'_>)) -> ShufflePlan {
        let chunks = vec![1 << 17; rows >> 17];
        let mut inputs = ShuffleInputs {
            chunks: &chunks,
            together: false,
            fields: 5,
            text_ids: false,
            threads: 1,
            memory_limit: 1769 << 20,
            remote: true,
            partitions: None,
            combine: None,
            input_bytes: bytes,
            workers: Some(functions()),
        };
        change(&mut inputs);
        inputs.plan_shuffle("")
    }

    #[test]
    fn a_billion_rows_are_shuffled_as_storage_can_follow() {
        let plan = plan(1 << 30, 45_000_000_000, |_| {});
        assert!(plan.mappers.len() >= 256 && plan.partitions >= 256, "workers are busy: {plan:?}");
        let asked = plan.combine.map_or(plan.requests.0, |_| plan.requests.1).gets;
        assert!((asked as f64) < 5500.0 * 15.0, "{asked} reads");
        assert!(plan.gather_memory < 1769 << 20 && plan.mapper_memory < 1769 << 20, "{plan:?}");
    }

    #[test]
    fn storage_that_answers_more_is_asked_more_and_a_bill_wants_few_requests() {
        let of =
            |workers: ShuffleWorkers| plan(1 << 30, 45_000_000_000, |inputs| inputs.workers = Some(workers));
        let gets = |plan: ShufflePlan| plan.combine.map_or(plan.requests.0, |_| plan.requests.1).gets;
        let [cheap, usual, split] = [
            ShuffleWorkers { cheap: true, ..functions() },
            functions(),
            ShuffleWorkers { reads: 1e6, ..functions() },
        ]
        .map(|workers| gets(of(workers)));
        assert!(cheap < usual && usual <= split, "{cheap} < {usual} <= {split}");
    }

    #[test]
    fn more_rows_than_one_stage_has_memory_for_take_two() {
        let plan = plan(1 << 35, 1_400_000_000_000, |_| {});
        assert!(plan.combine.is_some(), "{} x {}", plan.mappers.len(), plan.partitions);
        assert!(plan.gather_memory < 1769 << 20, "{}", plan.gather_memory);
    }
}
