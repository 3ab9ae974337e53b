//! Shards in the device's memory, kept across rounds and stages up to a limit; the one used least recently makes
//! room.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stagger_estimation::kernel::expanded::{ExpandedSegment, Expansion};
use stagger_estimation::kernel::{NamedShard, ShardName, expanded};
use stagger_estimation::plan::Plan;
use stagger_panel::shard::Shard;
use stagger_panel::strata::NeededColumns;

use super::device::{BoundedDevice, Buffer, Stream, WORD};
use super::error::Result;

/// A function that takes a run of values and the place of its first one.
type Put<'a> = &'a mut dyn FnMut(usize, &[f64]);

/// Rows that are worth a thread.
const ROWS_OF_THREAD: usize = 2_048;
/// The most threads that expand one shard: beyond them memory is the limit.
const THREADS: usize = 6;

/// Returns ranges of segments of about as many rows each, one per thread.
fn pieces(expansion: &Expansion) -> Vec<Range<usize>> {
    let rows: usize = expansion.segments.iter().map(|segment| segment.rows).sum();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = (rows / ROWS_OF_THREAD).clamp(1, cores.min(THREADS));
    let each = rows.div_ceil(threads).max(1);
    let (mut out, mut first, mut sum) = (Vec::new(), 0, 0);
    for (index, segment) in expansion.segments.iter().enumerate() {
        sum += segment.rows;
        if sum >= each {
            out.push(first..index + 1);
            (first, sum) = (index + 1, 0);
        }
    }
    if first < expansion.segments.len() {
        out.push(first..expansion.segments.len());
    }
    out
}

/// A shard's name, and the checksum of everything else that its expanded values depend on.
type Key = (ShardName, u128);

/// An expanded shard on the device.
#[derive(Clone, Debug)]
pub(super) struct ResidentShard {
    /// The places of its segments and frames.
    pub(super) expansion: Arc<Expansion>,
    /// Designs, weights and shares of all segments.
    pub(super) design: Arc<Buffer>,
    /// Outcomes of all segments, where a stage has needed them.
    pub(super) outcomes: Option<Arc<Buffer>>,
    /// Keys of the units that the multiplier bits are drawn by, where a stage has needed them.
    pub(super) keys: Option<Arc<Buffer>>,
}

impl ResidentShard {
    fn has(&self, needs: NeededColumns) -> bool {
        (self.outcomes.is_some() || !needs.outcomes) && (self.keys.is_some() || !needs.keys)
    }

    fn buffers(&self) -> impl Iterator<Item = &Arc<Buffer>> {
        [Some(&self.design), self.outcomes.as_ref(), self.keys.as_ref()].into_iter().flatten()
    }

    /// Returns its bytes on the device.
    pub(super) fn bytes(&self) -> u64 {
        self.buffers().map(|buffer| buffer.words() as u64 * WORD).sum()
    }

    /// Returns the rows of its segments.
    pub(super) fn rows(&self) -> usize {
        self.expansion.segments.iter().map(|segment| segment.rows).sum()
    }
}

#[derive(Debug, Default)]
struct KeptShards {
    shards: HashMap<Key, (u64, ResidentShard)>,
    bytes: u64,
    clock: u64,
    hits: u64,
}

/// The shards that a device keeps.
#[derive(Debug)]
pub(super) struct DeviceShards {
    bounded: BoundedDevice,
    /// The most bytes of shards that are kept.
    bound: u64,
    kept: Mutex<KeptShards>,
}

impl DeviceShards {
    /// Returns an empty memory of half the limit: batches under way have the rest.
    pub(super) fn new(bounded: &BoundedDevice) -> Self {
        Self { bounded: bounded.clone(), bound: bounded.limit / 2, kept: Mutex::default() }
    }

    /// Returns the number of times that a shard was there when it was wanted.
    pub(super) fn hits(&self) -> u64 {
        self.lock().hits
    }

    fn lock(&self) -> MutexGuard<'_, KeptShards> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a shard with the columns that are needed of it, and whether it was there. Columns that were not are on
    /// their way when this returns.
    ///
    /// # Errors
    /// The device's.
    pub(super) fn resident(
        &self,
        plan: &Plan,
        shard: NamedShard<'_>,
        (checksum, needs): (u128, NeededColumns),
    ) -> Result<(ResidentShard, bool)> {
        let key = shard.name.map(|name| (name.clone(), checksum));
        let known = key.as_ref().and_then(|key| self.lock().find(key));
        if let Some(known) = known.as_ref().filter(|known| known.has(needs)) {
            self.lock().hits += 1;
            return Ok((known.clone(), true));
        }
        let resident = self.complete(plan, shard.shard, known, needs)?;
        if let Some(key) = key {
            self.lock().keep(key, &resident, self.bound);
        }
        Ok((resident, false))
    }

    fn complete(
        &self,
        plan: &Plan,
        shard: &Shard,
        known: Option<ResidentShard>,
        needs: NeededColumns,
    ) -> Result<ResidentShard> {
        let mut resident = match known {
            Some(resident) => resident,
            None => {
                let expansion = Arc::new(Expansion::new(plan, shard));
                let design = self.copy(
                    &expansion,
                    expansion.design_values,
                    |segment| segment.units_at,
                    &|segments, put| expansion.fill_design(plan, shard, segments, put),
                )?;
                ResidentShard { expansion, design, outcomes: None, keys: None }
            }
        };
        if needs.outcomes && resident.outcomes.is_none() {
            let expansion = &resident.expansion;
            let outcomes = self.copy(
                expansion,
                expansion.outcome_values,
                |segment| segment.outcomes_at,
                &|segments, put| expansion.fill_outcomes(plan, shard, segments, put),
            )?;
            resident.outcomes = Some(outcomes);
        }
        if needs.keys && resident.keys.is_none() {
            resident.keys = Some(self.words(shard.keys.len(), &mut |out| out.copy_from_slice(&shard.keys))?);
        }
        Ok(resident)
    }

    /// Copies values of all segments, made by several threads: one alone is slower than the copy to the device.
    fn copy(
        &self,
        expansion: &Expansion,
        words: usize,
        start: impl Fn(&ExpandedSegment) -> usize,
        fill: &(dyn Fn(Range<usize>, Put<'_>) + Sync),
    ) -> Result<Arc<Buffer>> {
        let pieces = pieces(expansion);
        self.words(words, &mut |out| {
            let mut rest = out;
            std::thread::scope(|scope| {
                for (number, segments) in pieces.iter().enumerate() {
                    let first = expansion.segments.get(segments.start).map_or(0, &start);
                    let end = expansion.segments.get(segments.end).map_or(words, &start);
                    let (own, next) = std::mem::take(&mut rest).split_at_mut(end - first);
                    rest = next;
                    let mut work = move || {
                        fill(segments.clone(), &mut |at, values| {
                            let out = &mut own[at - first..at - first + values.len()];
                            out.iter_mut().zip(values).for_each(|(o, v)| *o = v.to_bits());
                        });
                    };
                    if number + 1 < pieces.len() {
                        scope.spawn(work);
                    } else {
                        work();
                    }
                }
            });
        })
    }

    fn words(&self, words: usize, fill: &mut dyn FnMut(&mut [u64])) -> Result<Arc<Buffer>> {
        self.lock().make_room(words as u64 * WORD, self.bound);
        let buffer = self.bounded.buffer(Stream::Copy, words, "a shard")?;
        self.bounded.device.upload(Stream::Copy, buffer.address(), words, fill)?;
        Ok(Arc::new(buffer))
    }
}

impl KeptShards {
    fn find(&mut self, key: &Key) -> Option<ResidentShard> {
        self.clock += 1;
        let (used, resident) = self.shards.get_mut(key)?;
        *used = self.clock;
        Some(resident.clone())
    }

    fn keep(&mut self, key: Key, resident: &ResidentShard, bound: u64) {
        self.forget(&key);
        self.make_room(resident.bytes(), bound);
        if self.bytes + resident.bytes() <= bound {
            self.clock += 1;
            self.bytes += resident.bytes();
            self.shards.insert(key, (self.clock, resident.clone()));
        }
    }

    fn make_room(&mut self, bytes: u64, bound: u64) {
        while self.bytes + bytes > bound {
            let oldest = self.shards.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { return };
            self.forget(&oldest);
        }
    }

    fn forget(&mut self, key: &Key) {
        if let Some((_, resident)) = self.shards.remove(key) {
            self.bytes -= resident.bytes();
        }
    }
}

/// Returns the checksum that names the expanded values of shards under a plan.
///
/// # Errors
/// A plan that can't be written.
pub(super) fn checksum(plan: &Plan) -> stagger_model::error::Result<u128> {
    expanded::hash_layout(plan)
}

#[cfg(test)]
mod tests {
    use stagger_panel::shard::Segment;

    use super::*;

    fn expansion(rows: &[usize]) -> Expansion {
        let segment = |(stratum, &rows): (usize, &usize)| ExpandedSegment {
            segment: Segment { stratum, period: None, start: 0, units: rows },
            rows,
            units_at: 0,
            outcomes_at: 0,
            shares_at: 0,
            frames: 0..0,
        };
        Expansion { segments: rows.iter().enumerate().map(segment).collect(), ..Expansion::default() }
    }

    #[test]
    fn pieces_are_all_segments_in_order() {
        for rows in [&[][..], &[8], &[5_000, 8, 8], &[8, 8, 9_000, 3_000, 4_000], &[4_096; 40]] {
            let pieces = pieces(&expansion(rows));
            let all: Vec<usize> = pieces.iter().cloned().flatten().collect();
            assert_eq!(all, (0..rows.len()).collect::<Vec<_>>());
            assert!(pieces.len() <= THREADS && pieces.iter().all(|piece| !piece.is_empty()));
        }
    }
}
