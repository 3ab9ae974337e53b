//! Upper bounds on memory: of the bytes that a task holds, and of those that a process takes for it.

use stagger_estimation::estimate::steps::MAX_CLUSTER_BYTES;
use stagger_panel::panel_store::Manifest;
use stagger_panel::stored::StoredShards;

use super::known::InputFiles;
use super::passes::PlannedPass;
use super::rates::{
    ALLOCATOR, BASE, FUNCTION, LARGE, PREPARATION_BASE, SHARD_OVERHEAD, THREAD, UNIT, WAITING,
};
use super::reads::column_count;

/// The sizes of the largest shard and of the panel in memory.
pub(crate) struct MemoryModel {
    /// Bytes of the largest shard's columns once decoded.
    shard: u64,
    /// Bytes of its file.
    file: u64,
    /// Bytes of all shards in memory.
    panel: u64,
    /// Units of the largest shard.
    units: u64,
    /// Units of all shards.
    all: u64,
    /// Levels of the reduction tree.
    levels: u64,
}

/// Returns the index of the shard with most units, on which a stage's task holds most.
pub(crate) fn largest_shard(manifest: &Manifest) -> usize {
    let sizes = manifest.shards.iter().map(|s| s.units).enumerate();
    sizes.max_by_key(|(index, units)| (*units, std::cmp::Reverse(*index))).map_or(0, |(index, _)| index)
}

impl MemoryModel {
    /// Returns the sizes of a store.
    pub(crate) fn new(manifest: &Manifest, shards: &StoredShards) -> Self {
        let panel = shards.shard_bytes();
        let entry = manifest.shards.get(largest_shard(manifest));
        let share = entry.map_or(0.0, |s| s.units as f64 / manifest.units.max(1) as f64);
        Self {
            shard: (panel as f64 * share) as u64,
            file: entry.map_or(0, |s| s.bytes),
            panel,
            units: entry.map_or(0, |s| s.units),
            all: manifest.units,
            levels: u64::from(manifest.shards.len().next_power_of_two().trailing_zeros()),
        }
    }

    /// Returns the bytes of all shards in memory.
    pub(crate) fn panel(&self) -> u64 {
        self.panel
    }

    /// Returns the bytes that a task on one shard holds: the file, the columns decoded and put in place, its work
    /// space, its sums and the result that they are merged into.
    fn task(&self, pass: &PlannedPass) -> u64 {
        self.file + 2 * self.shard + pass.size.space + 2 * pass.size.partial
    }

    /// Returns the bytes of a process whose threads run tasks of a stage, beside `held` bytes of shards that stay.
    pub(crate) fn process_bytes(&self, pass: &PlannedPass, threads: u64, held: u64) -> u64 {
        let tasks = threads.min(pass.shards as u64).max(1);
        let tree = (self.levels + tasks) * pass.size.partial;
        BASE + (held as f64 * SHARD_OVERHEAD) as u64
            + tasks * (allocated_bytes(self.task(pass)) + THREAD)
            + tree
            + pass.size.held
            + self.clusters(pass.size.cluster, tasks, self.levels)
    }

    /// Returns the bytes of the process that makes the result of `bytes` of sums, beside `held` bytes of shards that
    /// stay.
    pub(crate) fn result_bytes(&self, bytes: u64, held: u64) -> u64 {
        BASE + THREAD + (held as f64 * SHARD_OVERHEAD) as u64 + bytes
    }

    /// Returns the bytes of the cluster sums of tasks under way and of subtrees that wait, at the number of clusters
    /// at which they are largest: it is not known before they are counted. `each` is the bytes of one cluster's sums.
    fn clusters(&self, each: u64, tasks: u64, levels: u64) -> u64 {
        if each == 0 {
            return 0;
        }
        let held = |clusters: u64| {
            // Slices as `estimation::estimate::steps` cuts them.
            let slices = (clusters * each * 3).div_ceil(MAX_CLUSTER_BYTES).max(1);
            let (root, own) = (clusters / slices * each, clusters.min(self.units) / slices * each);
            let waiting: u64 = (0..=levels).map(|level| root.min(own << level.min(30))).sum();
            waiting + 2 * root + 2 * tasks * own
        };
        let counts = (0..64).map(|power| 1u64 << power).take_while(|&count| count < self.all);
        counts.chain([self.all]).map(held).max().unwrap_or(0)
    }

    /// Returns the bytes of a function that runs a task over `shards` shards, one after the other: subtrees wait, and
    /// are encoded at the end.
    pub(crate) fn function_bytes(&self, pass: &PlannedPass, shards: u64) -> u64 {
        let levels = u64::from(shards.max(1).ilog2()) + 1;
        let task = self.file + 2 * self.shard + pass.size.space + (levels + 2) * pass.size.partial;
        FUNCTION + (task as f64 * ALLOCATOR / 2.0) as u64 + self.clusters(pass.size.cluster, 1, levels)
    }
}

/// Returns the bytes that the allocator takes from the system for `bytes` that a task holds: several times as many,
/// but for those that are given back as soon as they are free.
fn allocated_bytes(bytes: u64) -> u64 {
    bytes.saturating_add((bytes.min(LARGE) as f64 * (ALLOCATOR - 1.0)) as u64)
}

/// Returns the bytes of a process that reads files without preparing them: wide rows and the rows that wait for their
/// place, or all rows twice where they are put in order.
pub(crate) fn direct_read_bytes(manifest: &Manifest, files: &InputFiles, threads: u64) -> u64 {
    let columns: u64 = manifest.fields.iter().map(|f| column_count(manifest, f) as u64).sum();
    let rows = files.rows();
    let held = if manifest.cross_sections {
        rows * (2 * 8 * columns + 16)
    } else {
        rows * WAITING + manifest.units * (8 * columns + UNIT)
    };
    // A row group's pages, decoded column by column, and a batch of rows.
    let chunk = files.largest_chunk.min(32 << 20) + (8 << 20);
    let threads = threads.min(files.chunks.len().max(1) as u64);
    BASE + held + threads * (chunk + THREAD)
}

/// Returns the bytes of a process, or of a function, with tasks that hold `task` bytes each by the formulas of
/// `prepare/shuffle.rs`.
pub(crate) fn preparation_bytes(task: u64, threads: u64) -> u64 {
    PREPARATION_BASE + threads * task
}
