//! Bytes and requests of passes over a store's shards: the columns that are read, their places in the file, and
//! requests for adjacent ones together.

use std::ops::Range;

use stagger_panel::panel_store::{Field, Manifest};
use stagger_panel::stored::StoredShards;
use stagger_panel::strata::NeededColumns;
use stagger_storage::{Policy, coalesced};

use super::passes::PlannedPass;
use super::rates::{KEY_COLUMN, PAGE_HEADER};

/// The shards of a store as passes read them.
pub(crate) struct StoreReads<'a> {
    manifest: &'a Manifest,
    shards: &'a StoredShards,
    policy: Policy,
    /// The number of shards that stay in memory once they were read: the first ones.
    kept: usize,
    /// For each of these, whether it was read.
    read: Vec<bool>,
}

/// The amounts of a read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct ReadAmounts {
    /// Bytes.
    pub bytes: f64,
    /// Requests.
    pub gets: f64,
    /// Requests of a shard that wait for each other; the others go side by side.
    pub waits: f64,
    /// Values that were decoded.
    pub values: f64,
}

impl ReadAmounts {
    /// Adds another read's amounts; `waits` stays.
    pub(crate) fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.gets += other.gets;
        self.values += other.values;
    }

    fn times(self, by: f64) -> Self {
        Self { bytes: self.bytes * by, gets: self.gets * by, values: self.values * by, ..self }
    }
}

impl<'a> StoreReads<'a> {
    /// Returns a store read by the policy of its storage; the first `kept` shards are read once.
    pub(crate) fn new(manifest: &'a Manifest, shards: &'a StoredShards, policy: Policy, kept: usize) -> Self {
        Self { manifest, shards, policy, kept, read: vec![false; kept.min(manifest.shards.len())] }
    }

    /// Returns the reads of one pass. `keeps` is true once the columns to keep are known to be final
    /// (`panel::stored`).
    pub(crate) fn pass(&mut self, pass: &PlannedPass, keeps: bool) -> ReadAmounts {
        let all = self.manifest.shards.len();
        let stride = (all / pass.shards.max(1)).max(1);
        let mut whole = 0;
        let mut some = 0;
        for shard in (0..pass.shards).map(|index| index * stride) {
            if !keeps || shard >= self.kept {
                some += 1;
            } else if !std::mem::replace(&mut self.read[shard], true) {
                whole += 1;
            }
        }
        let mut out = self.shard(NeededColumns::ALL).times(f64::from(whole));
        out.add(self.shard(pass.needs).times(f64::from(some)));
        out
    }

    /// Returns the reads of all shards, once.
    pub(crate) fn all_shards(&self) -> ReadAmounts {
        self.shard(NeededColumns::ALL).times(self.manifest.shards.len() as f64)
    }

    /// Returns the reads of a shard of mean size.
    pub(crate) fn shard(&self, needs: NeededColumns) -> ReadAmounts {
        let manifest = self.manifest;
        let count = manifest.shards.len().max(1) as u64;
        let footer = manifest.shards.iter().map(|s| s.footer).sum::<u64>() as f64 / count as f64;
        let (ranges, columns) = self.ranges(needs);
        let values = columns as f64 * manifest.units as f64 / count as f64;
        // A shard of which most is needed is read as a whole where requests have latency (`load/stored/shard.rs`).
        if self.policy.width > 1 && self.shards.reads_most_bytes(needs) {
            let bytes = manifest.shards.iter().map(|s| s.bytes).sum::<u64>() / count;
            let pieces =
                coalesced(std::slice::from_ref(&(0..bytes)), self.policy.gap, self.policy.piece).len();
            return ReadAmounts { bytes: bytes as f64, gets: pieces as f64, waits: 1.0, values };
        }
        let requests = coalesced(&ranges, self.policy.gap, self.policy.piece);
        let bytes: u64 = requests.iter().map(|r| r.end - r.start).sum();
        ReadAmounts { bytes: footer + bytes as f64, gets: 1.0 + requests.len() as f64, waits: 2.0, values }
    }

    /// Returns the byte ranges of a mean shard's columns that are needed, in the order of the file
    /// (`panel_store/write.rs`), and the number of columns.
    fn ranges(&self, needs: NeededColumns) -> (Vec<Range<u64>>, usize) {
        let manifest = self.manifest;
        let count = manifest.shards.len().max(1) as u64;
        let periods = manifest.periods.len() as u64;
        let mut layout = Layout::default();
        layout.add(manifest.id_bytes / count, needs.keys, 1);
        let keys = 1 + u64::from(manifest.cross_sections) + u64::from(manifest.columns.eligibility.is_some());
        layout.add(keys * KEY_COLUMN, false, keys as usize);
        if manifest.unbalanced {
            let bits = (manifest.units / count).div_ceil(8) + PAGE_HEADER;
            layout.add(bits * periods, true, periods as usize);
        }
        let takes = self.shards.reads_fields(needs);
        for outcomes in [false, true] {
            for (field, wanted) in
                manifest.fields.iter().zip(&takes).filter(|(field, _)| field.outcome == outcomes)
            {
                layout.add(field.bytes / count, *wanted, column_count(manifest, field));
            }
        }
        (layout.ranges, layout.columns)
    }
}

/// Returns the number of columns of a variable in a shard.
pub(crate) fn column_count(manifest: &Manifest, field: &Field) -> usize {
    let by_period = (field.outcome || field.varies) && !manifest.cross_sections;
    if by_period { manifest.periods.len() } else { 1 }
}

#[derive(Default)]
struct Layout {
    at: u64,
    ranges: Vec<Range<u64>>,
    columns: usize,
}

impl Layout {
    fn add(&mut self, bytes: u64, wanted: bool, columns: usize) {
        if wanted {
            self.ranges.push(self.at..self.at + bytes);
            self.columns += columns;
        }
        self.at += bytes;
    }
}
