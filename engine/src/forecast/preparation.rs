//! The stages of a preparation (`prepare/`): scatter, combine, gather; or, for cross sections, scan and rows.

use super::ShuffleFacts;
use super::known::{Files, Known};
use super::prices::Prices;
use super::rates::{COPY, KEY_ROW, SHUFFLE};
use crate::prepare::{ROW_TASK, Requests, Shape, Shuffle};
use crate::store::Policy;

/// A stage before its backend gives it seconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Step {
    pub(crate) stage: &'static str,
    pub(crate) tasks: usize,
    /// Bytes and requests of files, which cost money only where they are on S3.
    pub(crate) input_bytes: f64,
    pub(crate) input_gets: f64,
    pub(crate) read: f64,
    pub(crate) written: f64,
    pub(crate) gets: f64,
    pub(crate) puts: f64,
    pub(crate) lists: f64,
    /// Nanoseconds of one core.
    pub(crate) work: f64,
    /// Bytes of memory that its largest task holds.
    pub(crate) memory: u64,
}

/// The stages, and how rows are shuffled.
pub(crate) struct Preparation {
    pub(crate) steps: Vec<Step>,
    pub(crate) shuffle: Option<ShuffleFacts>,
}

/// What preparing `files` takes with so many threads and so much memory a process.
pub(crate) fn preparation(
    known: &Known,
    files: &Files,
    (threads, memory, remote): (usize, u64, bool),
    prices: &Prices,
) -> Preparation {
    if known.manifest().cross_sections {
        return Preparation { steps: cross_sections(known, files, threads), shuffle: None };
    }
    let shape = Shape {
        chunks: &files.chunks,
        together: files.together,
        fields: known.manifest().fields.len(),
        text_ids: files.text_ids,
        threads,
        memory_limit: memory,
        remote,
        partitions: None,
        combine: None,
        least_tasks: 0,
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
    Preparation { steps: shuffled(known, files, &shuffle), shuffle: Some(facts) }
}

fn shuffled(known: &Known, files: &Files, shuffle: &Shuffle) -> Vec<Step> {
    let manifest = known.manifest();
    let (rows, fields) = (files.rows() as f64, manifest.fields.len() as f64);
    let work = rows * (SHUFFLE[0] + SHUFFLE[1] * fields);
    let (mappers, partitions) = (shuffle.mappers.len() as f64, shuffle.partitions as f64);
    let scattered = if shuffle.pivot { wide(known) } else { shuffle.scattered as f64 };
    let gathers = shuffle.partitions.min(manifest.shards.len());
    let pieces: usize = shuffle.mappers.iter().map(|mapper| mapper.pieces.len()).sum();
    // A row group that two mappers share is fetched by both.
    let fetched = files.bytes as f64 * pieces as f64 / files.chunks.len().max(1) as f64;
    let mut steps = vec![Step {
        stage: "scatter",
        tasks: shuffle.mappers.len(),
        input_bytes: fetched,
        input_gets: pieces as f64 + fetched / Policy::remote().piece as f64 + mappers,
        written: scattered,
        gets: mappers,
        puts: mappers + 1.0,
        work,
        memory: held(shuffle.mapper_memory, shuffle.scattered, shuffle.mappers.len()),
        ..Step::default()
    }];
    let mut reads = 2.0 * mappers * partitions;
    if let Some((by_mapper, by_partition)) = shuffle.combine {
        let groups = shuffle.mappers.len().div_ceil(by_mapper.max(1));
        let ranges = shuffle.partitions.div_ceil(by_partition.max(1));
        let tasks = groups * ranges;
        reads = 2.0 * partitions * groups as f64;
        steps.push(Step {
            stage: "combine",
            tasks,
            read: scattered,
            written: scattered,
            gets: 2.0 * mappers * ranges as f64 + tasks as f64,
            puts: tasks as f64,
            work: scattered * COPY,
            memory: (3.0 * scattered / tasks.max(1) as f64) as u64,
            ..Step::default()
        });
    }
    steps.push(Step {
        stage: "gather",
        tasks: gathers,
        read: scattered,
        written: manifest.bytes() as f64,
        gets: reads + gathers as f64,
        puts: (manifest.shards.len() + gathers + 1) as f64,
        lists: 1.0 + libm::floor((mappers + gathers as f64) / 1000.0),
        work,
        memory: shuffle.gather_memory,
        ..Step::default()
    });
    steps
}

/// Memory of a mapper; of a smaller object than the plan's if there is no more.
fn held(memory: u64, scattered: u64, mappers: usize) -> u64 {
    if mappers > 1 { memory } else { memory.min(4 * scattered + (8 << 20)) }
}

/// Bytes of wide records: identifier, stratum, and a slot a value.
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
            work: rows * (SHUFFLE[0] + SHUFFLE[1] * manifest.fields.len() as f64),
            memory: batch + 8 * shard + (16 << 20),
            ..Step::default()
        },
    ]
}
