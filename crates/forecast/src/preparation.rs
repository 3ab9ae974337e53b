//! The stages of a preparation (`prepare/`): scatter, combine, gather; or, for cross sections, scan and rows.

use stagger_panel::prepare::{
    BLOCK_BYTES, CONCURRENT_READS, RequestCounts, SHARDS_PER_ROW_TASK, ShuffleInputs, ShufflePlan,
    ShuffleWorkers,
};
use stagger_storage::Policy;

use super::ShuffleFacts;
use super::known::{InputFiles, PanelFacts};
use super::prices::Prices;
use super::rates::{COPY, KEY_ROW, SHUFFLE};
use super::rows::Traffic;
use super::tasks::ReadLoad;

/// Bytes, about, of a file's footer. Measured: 80 kB for 8 columns and 77 row groups.
const FILE_FOOTER: f64 = 80e3;

/// Bytes, about, of what a mapper tells of its strata, periods and texts.
const MAPPER_KEYS: f64 = 400.0;
/// Bytes, about, that the report of a mapper or combiner has for each of its blocks, as JSON.
const REPORTED_BLOCK: f64 = 36.0;

/// A stage before its backend gives it seconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct PreparationStage {
    /// The name of the stage.
    pub stage: &'static str,
    /// The number of tasks.
    pub tasks: usize,
    /// Reads of files, which cost money only where they are on S3.
    pub input: InputReads,
    /// Reads and writes of the store and of the run's objects.
    pub traffic: Traffic,
    /// Requests of a task on a worker that wait for each other; the others go side by side.
    pub waits: f64,
    /// Reads of the controller before and after, where workers do the tasks.
    pub controller: ReadLoad,
    /// Objects that the controller writes or removes, one after the other.
    pub controller_writes: f64,
    /// Nanoseconds of one core.
    pub work: f64,
    /// Bytes of memory that its largest task holds.
    pub memory: u64,
}

/// Reads of files.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct InputReads {
    /// Bytes.
    pub bytes: f64,
    /// Requests.
    pub gets: f64,
}

/// The stages of a preparation, and the shuffle of its rows.
pub(crate) struct Preparation {
    /// Stages in order.
    pub steps: Vec<PreparationStage>,
    /// The shuffle; `None` for cross sections, whose rows stay in order.
    pub shuffle: Option<ShuffleFacts>,
}

/// The backend that a preparation runs on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PreparationBackend {
    /// Threads of a process, or of a function.
    pub threads: usize,
    /// Bytes of its memory.
    pub memory: u64,
    /// True if the store is on S3, where requests cost money.
    pub remote: bool,
    /// Workers that do the tasks; `None` for threads.
    pub workers: Option<ShuffleWorkers>,
}

/// Forecasts the preparation of `files`.
pub(crate) fn forecast_preparation(
    known: &PanelFacts,
    files: &InputFiles,
    how: PreparationBackend,
    prices: &Prices,
) -> Preparation {
    if known.manifest().cross_sections {
        return Preparation { steps: cross_sections(known, files, how.threads), shuffle: None };
    }
    let shape = ShuffleInputs {
        chunks: &files.chunks,
        together: files.together,
        fields: known.manifest().fields.len(),
        text_ids: files.text_ids,
        threads: how.threads,
        memory_limit: how.memory,
        remote: how.remote,
        partitions: None,
        combine: None,
        input_bytes: files.bytes,
        workers: how.workers,
    };
    let shuffle = shape.plan_shuffle("");
    let price =
        |requests: RequestCounts| requests.gets as f64 * prices.get + requests.puts as f64 * prices.put;
    let facts = ShuffleFacts {
        mappers: shuffle.mappers.len(),
        partitions: shuffle.partitions,
        together: shuffle.pivot,
        stages: if shuffle.combine.is_some() { 2 } else { 1 },
        one_stage: price(shuffle.requests.0),
        two_stages: price(shuffle.requests.1),
    };
    let shuffled = Shuffled { known, files, shuffle: &shuffle };
    Preparation { steps: shuffled.steps(how.workers.is_some()), shuffle: Some(facts) }
}

/// A preparation that shuffles the rows of `files`.
struct Shuffled<'a> {
    known: &'a PanelFacts,
    files: &'a InputFiles,
    shuffle: &'a ShufflePlan,
}

/// The objects that are gathered from.
struct Sources {
    /// All of them.
    all: f64,
    /// Those that hold rows of one partition.
    of_partition: f64,
}

impl Shuffled<'_> {
    /// Returns scatter, combine where the shuffle has two stages, and gather; `workers` is true where functions do the tasks.
    fn steps(&self, workers: bool) -> Vec<PreparationStage> {
        let mappers = self.mappers();
        let mut steps = vec![self.scatter()];
        let mut sources = Sources { all: mappers, of_partition: mappers };
        if let Some((by_mapper, by_partition)) = self.shuffle.combine {
            let groups = self.shuffle.mappers.len().div_ceil(by_mapper.max(1));
            let ranges = self.shuffle.partitions.div_ceil(by_partition.max(1));
            steps.push(self.combine(groups, ranges, by_mapper));
            sources = Sources { all: (groups * ranges) as f64, of_partition: groups as f64 };
        }
        steps.push(self.gather(&sources, workers));
        steps
    }

    fn mappers(&self) -> f64 {
        self.shuffle.mappers.len() as f64
    }

    /// Returns the bytes of all rows once they are scattered.
    fn scattered(&self) -> f64 {
        if self.shuffle.pivot { wide_record_bytes(self.known) } else { self.shuffle.scattered as f64 }
    }

    /// Returns the nanoseconds of one core that reading or placing all rows takes.
    fn work(&self) -> f64 {
        let fields = self.known.manifest().fields.len() as f64;
        self.files.rows() as f64 * (SHUFFLE[0] + SHUFFLE[1] * fields)
    }

    /// Returns the stage that reads rows and writes one object per mapper.
    fn scatter(&self) -> PreparationStage {
        let Self { files, shuffle, .. } = self;
        let mappers = self.mappers();
        let pieces: usize = shuffle.mappers.iter().map(|mapper| mapper.pieces.len()).sum();
        // A row group that two mappers share is fetched by both.
        let fetched = files.bytes as f64 * pieces as f64 / files.chunks.len().max(1) as f64;
        let gets = pieces as f64 + fetched / Policy::remote().piece as f64 + mappers;
        PreparationStage {
            stage: "scatter",
            tasks: shuffle.mappers.len(),
            input: InputReads { bytes: fetched, gets },
            traffic: Traffic {
                bytes_written: self.scattered(),
                gets: mappers,
                puts: mappers + 1.0,
                ..Traffic::default()
            },
            // An earlier attempt's object is looked for; then one row group after the other.
            waits: 1.0 + pieces as f64 / mappers,
            // Footers of the files; the place is claimed, the plan written.
            controller: side_by_side(2.0 * files.count as f64, FILE_FOOTER * files.count as f64),
            controller_writes: 2.0,
            work: self.work(),
            memory: mapper_memory(shuffle.mapper_memory, shuffle.scattered, shuffle.mappers.len()),
        }
    }

    /// Returns the stage that joins blocks of `by_mapper` mappers, over `ranges` ranges of partitions.
    fn combine(&self, groups: usize, ranges: usize, by_mapper: usize) -> PreparationStage {
        let scattered = self.scattered();
        let tasks = groups * ranges;
        let reads = self.mappers() * ranges as f64;
        let mapped = self.mappers() * self.shuffle.partitions as f64;
        // Every combiner reads the rows of its partitions, with the blocks of all mappers.
        let tables =
            tasks as f64 * self.mappers() * MAPPER_KEYS + groups as f64 * mapped * BLOCK_BYTES as f64;
        PreparationStage {
            stage: "combine",
            tasks,
            traffic: Traffic {
                bytes_read: scattered + tables,
                bytes_written: scattered,
                // An earlier attempt's object, two parts of the table of blocks, and the blocks of each mapper.
                gets: reads + 3.0 * tasks as f64,
                puts: tasks as f64,
                ..Traffic::default()
            },
            waits: 2.0 + libm::ceil(by_mapper as f64 / CONCURRENT_READS as f64),
            controller: self.reports(self.mappers(), mapped),
            controller_writes: 1.0,
            work: scattered * COPY,
            memory: (3.0 * scattered / tasks.max(1) as f64) as u64,
            ..PreparationStage::default()
        }
    }

    /// Returns the reading of the reports on objects with blocks.
    fn reports(&self, objects: f64, blocks: f64) -> ReadLoad {
        let blocks = if objects > 0.0 { blocks } else { 0.0 };
        side_by_side(objects, objects * MAPPER_KEYS + blocks * REPORTED_BLOCK)
    }

    /// Returns the stage that makes the shards from the rows of their partitions.
    fn gather(&self, sources: &Sources, workers: bool) -> PreparationStage {
        let (manifest, at_once) = (self.known.manifest(), CONCURRENT_READS as f64);
        let tasks = self.shuffle.partitions.min(manifest.shards.len());
        let Sources { all, of_partition } = *sources;
        let reads = of_partition * tasks as f64;
        let blocks = self.mappers() * self.shuffle.partitions as f64;
        // A process has the reports; every function reads two parts of the table of blocks.
        let (parts, table) = match workers {
            true => (2.0, tasks as f64 * self.mappers() * MAPPER_KEYS + blocks * BLOCK_BYTES as f64),
            false => (0.0, 0.0),
        };
        let left = all + self.mappers() + tasks as f64;
        let told = self.reports(if workers { all } else { 0.0 }, blocks);
        PreparationStage {
            stage: "gather",
            tasks,
            traffic: Traffic {
                bytes_read: self.scattered() + table,
                bytes_written: manifest.total_bytes() as f64,
                gets: reads + (parts + 1.0) * tasks as f64,
                puts: (manifest.shards.len() + tasks + 1) as f64,
                lists: 1.0 + libm::floor(left / 1000.0),
            },
            waits: 1.0 + parts.min(1.0) + libm::ceil(of_partition / at_once),
            // Reports of the objects before, of the tasks after; the manifest is written, intermediate objects are removed.
            controller: side_by_side(told.gets + tasks as f64, told.bytes),
            controller_writes: 1.0 + parts.min(1.0) + left / (4.0 * at_once),
            work: self.work(),
            memory: self.shuffle.gather_memory,
            ..PreparationStage::default()
        }
    }
}

/// Returns the reading of a controller whose requests go side by side.
fn side_by_side(gets: f64, bytes: f64) -> ReadLoad {
    ReadLoad { bytes, gets, waits: libm::ceil(gets / CONCURRENT_READS as f64) }
}

/// Returns the memory of a mapper, bytes; less than planned if there is one only and its object is small.
fn mapper_memory(memory: u64, scattered: u64, mappers: usize) -> u64 {
    if mappers > 1 { memory } else { memory.min(4 * scattered + (8 << 20)) }
}

/// Returns the bytes of all wide records: identifier, stratum, and a slot per value.
fn wide_record_bytes(known: &PanelFacts) -> f64 {
    let manifest = known.manifest();
    let slots: usize = manifest.fields.iter().map(|f| super::reads::column_count(manifest, f)).sum();
    manifest.units as f64 * (8 * slots + 12) as f64
}

fn cross_sections(known: &PanelFacts, files: &InputFiles, threads: usize) -> Vec<PreparationStage> {
    let manifest = known.manifest();
    let rows = files.rows() as f64;
    let chunks = files.chunks.len();
    let shards = manifest.shards.len();
    let tasks = shards.div_ceil(SHARDS_PER_ROW_TASK);
    let pieces = files.bytes as f64 / Policy::remote().piece as f64;
    // A task holds one shard's rows as they were read, as slots, and as columns.
    let shard = manifest.units.div_ceil(shards.max(1) as u64) * 8 * (manifest.fields.len() as u64 + 2);
    let batch = files.largest_chunk.min(64 << 20) / threads.max(1) as u64;
    vec![
        PreparationStage {
            stage: "scan",
            tasks: chunks,
            input: InputReads { bytes: files.key_bytes as f64, gets: 2.0 * chunks as f64 },
            waits: 2.0,
            controller: side_by_side(
                2.0 * files.count as f64 + chunks as f64,
                FILE_FOOTER * files.count as f64,
            ),
            controller_writes: 2.0,
            work: rows * KEY_ROW,
            memory: batch + (8 << 20),
            ..PreparationStage::default()
        },
        PreparationStage {
            stage: "rows",
            tasks,
            input: InputReads { bytes: files.bytes as f64, gets: (chunks + tasks) as f64 + pieces },
            traffic: Traffic {
                bytes_written: manifest.total_bytes() as f64,
                gets: tasks as f64,
                puts: (shards + tasks + 1) as f64,
                lists: 1.0,
                ..Traffic::default()
            },
            waits: 1.0 + chunks as f64 / tasks.max(1) as f64,
            controller: side_by_side(tasks as f64, 0.0),
            controller_writes: 1.0 + tasks as f64 / CONCURRENT_READS as f64,
            work: rows * (SHUFFLE[0] + SHUFFLE[1] * manifest.fields.len() as f64),
            memory: batch + 8 * shard + (16 << 20),
        },
    ]
}
