//! Canonical order: the shard and position of every unit (DESIGN §3).
//!
//! A shard is a range of hash prefixes. Inside it units are ordered by raw cohort, eligibility, then hash, so that a
//! block holds one stratum. Units with equal hashes are the same unit: with 128 bits two of a billion units collide
//! with a probability of 1e-21.

use std::sync::atomic::{AtomicU32, Ordering};

use stagger_estimator::lanes::LANES;
use stagger_model::calendar::Calendar;
use stagger_model::error::{Result, StaggerError};
use stagger_model::parallel;

use super::keys::{ScannedKeys, UnitTable};
use crate::load::seen::varying_stratum_error;
use crate::shard::Segment;
use crate::strata::{RowKind, Stratum, distinct_strata, stratum_codes};

/// Average number of units in a shard: its columns fit the second-level cache of a core in part, and its partials are
/// small.
const UNITS: u64 = 16_384;
/// Number of shards of a panel with fewer than a million units, unless they would be tiny: workers share them better.
const FEW: u64 = 64;
/// Number of units in a shard of such a panel; at least half of it.
const LEAST_UNITS: u64 = 4_096;
/// Beyond this number of shards their size grows instead, because each costs requests in every pass (PLATFORM §2.2) …
const MANY: u64 = 4_096;
/// … up to this number of units, about 64 MB at 128 bytes each, of which a function's memory holds a few.
const MOST_UNITS: u64 = 1 << 19;

/// Returns the number of shards for this number of units, or of rows of cross sections: a power of two that depends on
/// the size of the data alone.
pub fn shard_count(units: u64) -> usize {
    let shards = |each: u64| units.div_ceil(each).max(1).next_power_of_two();
    let few = shards(LEAST_UNITS).min(FEW);
    shards(UNITS).min(MANY).max(few).max(shards(MOST_UNITS)) as usize
}

/// The units of one shard, in order.
pub(super) struct ShardOrder {
    pub(super) segments: Vec<Segment>,
    /// Number of rows, padding included.
    pub(super) rows: usize,
    /// Multiplier key of every row; 0 for padding.
    pub(super) keys: Vec<u64>,
}

/// The canonical order of all units.
pub(super) struct UnitOrder {
    /// Unit or observation: the meaning of a shard's row.
    pub(super) rows: RowKind,
    /// Strata, by cohort and eligibility, ascending.
    pub(super) strata: Vec<Stratum>,
    /// Periods, ascending.
    pub(super) periods: Vec<f64>,
    /// Number of periods in a row of a shard: all of them, or one in cross sections.
    pub(super) row_periods: usize,
    /// By table: index of each of its period codes in `periods`.
    pub(super) period_of: Vec<Vec<u16>>,
    pub(super) shards: Vec<ShardOrder>,
    /// Number of bits of a position that hold the row within the shard.
    pub(super) row_bits: u32,
    /// By table: position of each unit, `shard << row_bits | row`.
    pub(super) positions: Vec<Vec<AtomicU32>>,
    pub(super) units: u64,
    pub(super) keyless_rows: u64,
    pub(super) cohortless_rows: u64,
}

/// Returns the distinct periods of all threads, ascending.
pub fn distinct_periods(lists: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut all: Vec<f64> = lists.collect();
    all.sort_by(f64::total_cmp);
    all.dedup();
    all
}

/// Returns the index in `global` of each period of a thread. `global` ascends and holds them all.
pub fn period_codes(local: &[f64], global: &[f64]) -> Vec<u16> {
    local.iter().map(|value| global.partition_point(|known| known < value) as u16).collect()
}

/// A unit that a table has found; the fields are ordered so that it takes 24 bytes.
#[derive(Clone, Copy, Default)]
struct Entry {
    /// Upper and lower half of the hash.
    hash: (u64, u64),
    unit: u32,
    stratum: u16,
    table: u16,
}

/// The units of one table, by shard.
struct Buckets(Vec<Vec<Entry>>);

/// Orders the units of all tables.
pub(super) fn order_units(keys: &ScannedKeys, threads: usize) -> Result<UnitOrder> {
    let strata = distinct_strata(keys.tables.iter().flat_map(|t| t.strata.list.iter().copied()));
    let periods = distinct_periods(keys.tables.iter().flat_map(|t| t.periods.list.iter().copied()));
    if periods.is_empty() {
        return Err(StaggerError::input("no row has both a unit and a period")
            .with_hint("name the columns of unit and period: --idname COLUMN --tname COLUMN"));
    }
    let stratum_of: Vec<Vec<u16>> =
        keys.tables.iter().map(|t| stratum_codes(&t.strata.list, &strata)).collect();
    let calendar = keys.tables.first().and_then(|table| table.strata.calendar.as_ref());
    let shards = shard_count(keys.rows.div_ceil(periods.len() as u64));
    let buckets = parallel::map(threads, keys.tables.len(), |table| {
        Ok(Buckets::new(&keys.tables[table], table, &stratum_of[table], shards))
    })?;
    let positions: Vec<Vec<AtomicU32>> =
        keys.tables.iter().map(|t| (0..t.len()).map(|_| AtomicU32::new(u32::MAX)).collect()).collect();
    let row_bits = row_bits(&buckets, shards, strata.len());
    if shards as u64 > 1 << (32 - row_bits) {
        return Err(StaggerError::input(format!("{} rows are too many for one process", keys.rows)));
    }
    let ordered = parallel::map(threads, shards, |shard| {
        let entries = sorted_by_hash(buckets.iter().map(|own| own.0[shard].as_slice()), shards);
        arrange(&entries, shard, row_bits, (&strata, calendar), &positions)
    })?;
    let units = ordered.iter().flat_map(|s| &s.segments).map(|s| s.units as u64).sum();
    Ok(UnitOrder {
        rows: RowKind::Unit,
        period_of: keys.tables.iter().map(|t| period_codes(&t.periods.list, &periods)).collect(),
        strata,
        row_periods: periods.len(),
        periods,
        shards: ordered,
        row_bits,
        positions,
        units,
        keyless_rows: keys.tables.iter().map(|t| t.keyless_rows).sum(),
        cohortless_rows: keys.tables.iter().map(|t| t.strata.cohortless_rows).sum(),
    })
}

impl Buckets {
    /// Sorts the units of a table by shard. `strata` gives the stratum of each of the table's codes.
    fn new(units: &UnitTable, table: usize, strata: &[u16], shards: usize) -> Self {
        let prefix = shards.trailing_zeros();
        // Hashes spread evenly; few shards exceed the mean by more than this.
        let room = units.len() / shards + units.len() / shards / 16 + 64;
        let mut out: Vec<Vec<Entry>> = (0..shards).map(|_| Vec::with_capacity(room)).collect();
        for (unit, &stratum) in units.stratum.iter().enumerate() {
            let hash = units.hash(unit);
            let hash = ((hash >> 64) as u64, hash as u64);
            // A shift by all bits is none.
            let shard = hash.0.checked_shr(64 - prefix).unwrap_or(0);
            out[shard as usize].push(Entry {
                hash,
                unit: unit as u32,
                stratum: strata[stratum as usize],
                table: table as u16,
            });
        }
        Self(out)
    }
}

/// Sorts the units of one of `shards` shards by their hashes: by the bits after the shard's prefix into small groups,
/// which hashes fill evenly, then within each.
fn sorted_by_hash<'a>(parts: impl Iterator<Item = &'a [Entry]> + Clone, shards: usize) -> Vec<Entry> {
    let count: usize = parts.clone().map(<[Entry]>::len).sum();
    let bits = (count / 4).max(1).ilog2();
    let prefix = shards.trailing_zeros();
    let group = |entry: &Entry| (entry.hash.0 << prefix).checked_shr(64 - bits).unwrap_or(0) as usize;
    let mut ends = vec![0u32; (1 << bits) + 1];
    parts.clone().flatten().for_each(|entry| ends[group(entry) + 1] += 1);
    for at in 1..ends.len() {
        ends[at] += ends[at - 1];
    }
    let mut out = vec![Entry::default(); count];
    for entry in parts.flatten() {
        let place = &mut ends[group(entry)];
        out[*place as usize] = *entry;
        *place += 1;
    }
    // Each group now ends where the next one began.
    let mut start = 0;
    for &end in &ends[..1 << bits] {
        out[start..end as usize].sort_unstable_by_key(|entry| entry.hash);
        start = end as usize;
    }
    out
}

/// Returns the number of bits for the row within a shard.
fn row_bits(buckets: &[Buckets], shards: usize, strata: usize) -> u32 {
    let units = |shard: usize| buckets.iter().map(|own| own.0[shard].len()).sum::<usize>();
    let largest = (0..shards).map(units).max().unwrap_or(0);
    // Every stratum is padded to whole lanes.
    (largest + strata * LANES + 1).next_power_of_two().trailing_zeros()
}

fn arrange(
    entries: &[Entry],
    shard: usize,
    row_bits: u32,
    (strata, calendar): (&[Stratum], Option<&Calendar>),
    positions: &[Vec<AtomicU32>],
) -> Result<ShardOrder> {
    let mut counts = vec![0usize; strata.len()];
    let mut previous: Option<&Entry> = None;
    for entry in entries.iter() {
        match previous {
            Some(known) if known.hash == entry.hash => {
                // Two threads may have found the same unit in different strata.
                if known.stratum != entry.stratum {
                    let label = |e: &Entry| strata[e.stratum as usize];
                    return Err(varying_stratum_error("a unit", label(known), label(entry), calendar));
                }
            }
            _ => counts[entry.stratum as usize] += 1,
        }
        previous = Some(entry);
    }
    let (segments, rows) = segments(&counts);
    let mut next = vec![0usize; strata.len()];
    for segment in &segments {
        next[segment.stratum] = segment.start;
    }
    let mut keys = vec![0u64; rows];
    let mut previous: Option<(u64, u64)> = None;
    for entry in entries.iter() {
        let row = &mut next[entry.stratum as usize];
        if previous != Some(entry.hash) {
            keys[*row] = entry.hash.1;
            *row += 1;
            previous = Some(entry.hash);
        }
        let position = ((shard as u32) << row_bits) | (*row - 1) as u32;
        positions[entry.table as usize][entry.unit as usize].store(position, Ordering::Relaxed);
    }
    Ok(ShardOrder { rows, segments, keys })
}

/// Segments of a shard with `counts[stratum]` units in each stratum, and its number of rows.
fn segments(counts: &[usize]) -> (Vec<Segment>, usize) {
    let mut rows = 0;
    let mut segments = Vec::new();
    for (stratum, &units) in counts.iter().enumerate() {
        if units > 0 {
            segments.push(Segment { stratum, period: None, start: rows, units });
            rows = (rows + units).next_multiple_of(LANES);
        }
    }
    (segments, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_sorted_by_their_whole_hash() {
        let entry = |n: u64| {
            let hash = (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 3, n % 3);
            Entry { hash, unit: n as u32, ..Entry::default() }
        };
        for (count, shards) in [(0, 1), (1, 1), (7, 8), (1000, 8), (1000, 1)] {
            let all: Vec<Entry> = (0..count).map(|n| entry(n / 2)).collect();
            let (a, b) = all.split_at(all.len() / 3);
            let sorted = sorted_by_hash([a, b].into_iter(), shards);
            let mut wanted: Vec<(u64, u64)> = all.iter().map(|entry| entry.hash).collect();
            wanted.sort_unstable();
            assert_eq!(sorted.iter().map(|entry| entry.hash).collect::<Vec<_>>(), wanted);
        }
    }

    #[test]
    fn shards_are_few_of_little_and_large_of_much() {
        let sizes = [500, 200_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000, 10_000_000_000];
        assert_eq!(sizes.map(shard_count), [1, 64, 64, 1024, 4096, 4096, 32_768]);
    }
}
