//! The stages of a preparation (`prepare/`): scatter, combine, gather; or, for cross sections, scan and rows.

use stagger_panel::prepare::{HEADER, READS_AT_ONCE, ROW_TASK, Requests, Shape, Shuffle};
use stagger_storage::Policy;

use super::ShuffleFacts;
use super::known::{Files, Known};
use super::prices::Prices;
use super::rates::{COPY, KEY_ROW, SHUFFLE};
use super::tasks::Reading;

/// Bytes, about, of a file's footer. Measured: 80 kB for 8 columns and 77 row groups.
const FILE_FOOTER: f64 = 80e3;

/// A stage before its backend gives it seconds.
#[derive(Clone, Debug, Default)]
pub struct Step {
    pub stage: &'static str,
    pub tasks: usize,
    /// Bytes and requests of files, which cost money only where they are on S3.
    pub input_bytes: f64,
    pub input_gets: f64,
    pub read: f64,
    pub written: f64,
    pub gets: f64,
    pub puts: f64,
    pub lists: f64,
    /// Requests of a task on a worker that wait for each other; the others go side by side.
    pub waits: f64,
    /// What the controller reads before and after, where workers do the tasks.
    pub controller: Reading,
    /// Objects that the controller writes or removes, one after the other.
    pub controller_writes: f64,
    /// Nanoseconds of one core.
    pub work: f64,
    /// Bytes of memory that its largest task holds.
    pub memory: u64,
}

/// The stages of a preparation, and the shuffle of its rows.
pub struct Preparation {
    /// Stages in order.
    pub steps: Vec<Step>,
    /// The shuffle; `None` for cross sections, whose rows stay in order.
    pub shuffle: Option<ShuffleFacts>,
}

/// The backend that a preparation runs on.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// Threads of a process, or of a function.
    pub threads: usize,
    /// Bytes of its memory.
    pub memory: u64,
    /// True if the store is on S3, where requests cost money.
    pub remote: bool,
    /// The least number of tasks of a stage, where each has enough to do.
    pub least_tasks: usize,
}

/// Forecasts the preparation of `files`.
pub fn preparation(known: &Known, files: &Files, how: How, prices: &Prices) -> Preparation {
    if known.manifest().cross_sections {
        return Preparation { steps: cross_sections(known, files, how.threads), shuffle: None };
    }
    let shape = Shape {
        chunks: &files.chunks,
        together: files.together,
        fields: known.manifest().fields.len(),
        text_ids: files.text_ids,
        threads: how.threads,
        memory_limit: how.memory,
        remote: how.remote,
        partitions: None,
        combine: None,
        least_tasks: how.least_tasks,
    };
    let shuffle = shape.plan("");
    let price = |requests: Requests| requests.gets as f64 * prices.get + requests.puts as f64 * prices.put;
    let facts = ShuffleFacts {
        mappers: shuffle.mappers.len(),
        partitions: shuffle.partitions,
        together: shuffle.pivot,
        stages: if shuffle.combine.is_some() { 2 } else { 1 },
        one_stage: price(shuffle.requests.0),
        two_stages: price(shuffle.requests.1),
    };
    Preparation { steps: shuffled(known, files, &shuffle, how.least_tasks > 0), shuffle: Some(facts) }
}

fn shuffled(known: &Known, files: &Files, shuffle: &Shuffle, workers: bool) -> Vec<Step> {
    let manifest = known.manifest();
    let (rows, fields) = (files.rows() as f64, manifest.fields.len() as f64);
    let work = rows * (SHUFFLE[0] + SHUFFLE[1] * fields);
    let mappers = shuffle.mappers.len() as f64;
    let scattered = if shuffle.pivot { wide(known) } else { shuffle.scattered as f64 };
    let gathers = shuffle.partitions.min(manifest.shards.len());
    let pieces: usize = shuffle.mappers.iter().map(|mapper| mapper.pieces.len()).sum();
    // A row group that two mappers share is fetched by both.
    let fetched = files.bytes as f64 * pieces as f64 / files.chunks.len().max(1) as f64;
    let wide = READS_AT_ONCE as f64;
    let mut steps = vec![Step {
        stage: "scatter",
        tasks: shuffle.mappers.len(),
        input_bytes: fetched,
        input_gets: pieces as f64 + fetched / Policy::remote().piece as f64 + mappers,
        written: scattered,
        gets: mappers,
        puts: mappers + 1.0,
        // An earlier attempt's object is looked for; then one row group after the other.
        waits: 1.0 + pieces as f64 / mappers,
        // Footers of the files; the place is claimed, the plan written.
        controller: side_by_side(2.0 * files.count as f64, FILE_FOOTER * files.count as f64),
        controller_writes: 2.0,
        work,
        memory: held(shuffle.mapper_memory, shuffle.scattered, shuffle.mappers.len()),
        ..Step::default()
    }];
    // Objects that are gathered from: all, and those that hold a partition.
    let (mut objects, mut own) = (mappers, mappers);
    if let Some((by_mapper, by_partition)) = shuffle.combine {
        let groups = shuffle.mappers.len().div_ceil(by_mapper.max(1));
        let ranges = shuffle.partitions.div_ceil(by_partition.max(1));
        let tasks = groups * ranges;
        (objects, own) = (tasks as f64, groups as f64);
        let reads = mappers * ranges as f64;
        steps.push(Step {
            stage: "combine",
            tasks,
            read: scattered + reads * HEADER as f64,
            written: scattered,
            // The size, the header and the blocks of each mapper.
            gets: 3.0 * reads + tasks as f64,
            puts: tasks as f64,
            waits: 1.0 + 3.0 * libm::ceil(by_mapper as f64 / wide),
            work: scattered * COPY,
            memory: (3.0 * scattered / tasks.max(1) as f64) as u64,
            ..Step::default()
        });
    }
    let reads = own * gathers as f64;
    // A process reads the headers once; of functions each does.
    let headers = if workers { reads } else { objects };
    let left = objects + mappers + gathers as f64;
    steps.push(Step {
        stage: "gather",
        tasks: gathers,
        read: scattered + headers * HEADER as f64,
        written: manifest.bytes() as f64,
        gets: 2.0 * headers + reads + gathers as f64,
        puts: (manifest.shards.len() + gathers + 1) as f64,
        lists: 1.0 + libm::floor(left / 1000.0),
        waits: 1.0 + 3.0 * libm::ceil(own / wide),
        // Headers before, what tasks tell after; the manifest is written, what was needed on the way removed.
        controller: side_by_side(2.0 * objects + gathers as f64, objects * HEADER as f64),
        controller_writes: 1.0 + left / (4.0 * wide),
        work,
        memory: shuffle.gather_memory,
        ..Step::default()
    });
    steps
}

/// Returns the reading of a controller whose requests go side by side.
fn side_by_side(gets: f64, bytes: f64) -> Reading {
    Reading { bytes, gets, waits: libm::ceil(gets / READS_AT_ONCE as f64) }
}

/// Returns the memory of a mapper, bytes; less than planned if there is one only and its object is small.
fn held(memory: u64, scattered: u64, mappers: usize) -> u64 {
    if mappers > 1 { memory } else { memory.min(4 * scattered + (8 << 20)) }
}

/// Returns the bytes of all wide records: identifier, stratum, and a slot per value.
fn wide(known: &Known) -> f64 {
    let manifest = known.manifest();
    let slots: usize = manifest.fields.iter().map(|f| super::reads::columns_of(manifest, f)).sum();
    manifest.units as f64 * (8 * slots + 12) as f64
}

fn cross_sections(known: &Known, files: &Files, threads: usize) -> Vec<Step> {
    let manifest = known.manifest();
    let rows = files.rows() as f64;
    let chunks = files.chunks.len();
    let shards = manifest.shards.len();
    let tasks = shards.div_ceil(ROW_TASK);
    let pieces = files.bytes as f64 / Policy::remote().piece as f64;
    // A task holds one shard's rows as they were read, as slots, and as columns.
    let shard = manifest.units.div_ceil(shards.max(1) as u64) * 8 * (manifest.fields.len() as u64 + 2);
    let batch = files.largest_chunk.min(64 << 20) / threads.max(1) as u64;
    vec![
        Step {
            stage: "scan",
            tasks: chunks,
            input_bytes: files.key_bytes as f64,
            input_gets: 2.0 * chunks as f64,
            waits: 2.0,
            controller: side_by_side(
                2.0 * files.count as f64 + chunks as f64,
                FILE_FOOTER * files.count as f64,
            ),
            controller_writes: 2.0,
            work: rows * KEY_ROW,
            memory: batch + (8 << 20),
            ..Step::default()
        },
        Step {
            stage: "rows",
            tasks,
            input_bytes: files.bytes as f64,
            input_gets: (chunks + tasks) as f64 + pieces,
            written: manifest.bytes() as f64,
            gets: tasks as f64,
            puts: (shards + tasks + 1) as f64,
            lists: 1.0,
            waits: 1.0 + chunks as f64 / tasks.max(1) as f64,
            controller: side_by_side(tasks as f64, 0.0),
            controller_writes: 1.0 + tasks as f64 / READS_AT_ONCE as f64,
            work: rows * (SHUFFLE[0] + SHUFFLE[1] * manifest.fields.len() as f64),
            memory: batch + 8 * shard + (16 << 20),
            ..Step::default()
        },
    ]
}
