//! First pass over repeated cross sections: there are no units to find, and rows keep the order of the files (DESIGN
//! §4).
//!
//! A shard is a range of row numbers, counted over the files in the order of their names. Inside it rows are ordered by
//! stratum and period, then row number, so that a block holds one stratum and period.

use std::sync::atomic::{AtomicU32, Ordering};

use stagger_estimator::lanes::LANES;
use stagger_model::error::{Result, StaggerError};
use stagger_model::parallel;
use stagger_records::{Source, hash_integer};

use super::keys::{ChunkKeys, EXPECTED, NO_UNIT, PeriodCodes, ScannedKeys};
use super::order::{ShardOrder, UnitOrder, distinct_periods, period_codes, shard_count};
use crate::columns::Columns;
use crate::gaps::Gaps;
use crate::load::seen::{SeenPeriods, SeenStrata, key_columns, name_file, with_keys};
use crate::shard::Segment;
use crate::strata::{RowKind, Stratum, distinct_strata, stratum_codes};

/// Code of rows without period or eligibility.
const NO_CODE: u16 = u16::MAX;

/// Codes of the rows of one chunk, as positions in the lists of its thread.
struct ChunkCodes {
    strata: Vec<u16>,
    periods: Vec<u16>,
}

#[derive(Default)]
struct Worker {
    strata: SeenStrata,
    periods: SeenPeriods,
    chunks: Vec<(usize, ChunkCodes)>,
    gaps: Gaps,
    scratch: [Vec<f64>; 3],
}

/// Reads period, cohort and eligibility of every row and orders the rows.
pub(super) fn scan(source: &Source, columns: &Columns, threads: usize) -> Result<(ScannedKeys, UnitOrder)> {
    let names = key_columns(columns);
    let workers =
        parallel::for_each(threads, source.chunks().len(), Worker::default, |worker: &mut Worker, index| {
            let chunk = &source.chunks()[index];
            let mut found = ChunkCodes {
                strata: Vec::with_capacity(chunk.rows.min(EXPECTED)),
                periods: Vec::with_capacity(chunk.rows.min(EXPECTED)),
            };
            source.read(chunk, &names, |row, arrays| {
                let first_row = chunk.first_row + row as u64;
                let read = names.iter().map(String::as_str).zip(arrays);
                worker.gaps.count_batch(read, chunk.file, first_row)?;
                let Worker { strata, periods, scratch, .. } = &mut *worker;
                with_keys(columns, arrays, &names, first_row, scratch, |times, groups, eligible| {
                    for ((&time, &group), &eligible) in times.iter().zip(groups).zip(eligible) {
                        found.push(strata, periods, time, group, eligible)?;
                    }
                    Ok(())
                })
                .map_err(|e| name_file(e, &source.path_of(chunk)))
            })?;
            worker.chunks.push((index, found));
            Ok(())
        })?;
    arrange(source, workers, threads)
}

impl ChunkCodes {
    fn push(
        &mut self,
        strata: &mut SeenStrata,
        periods: &mut SeenPeriods,
        time: f64,
        group: f64,
        eligible: f64,
    ) -> Result<()> {
        if !time.is_finite() || eligible.is_nan() {
            self.strata.push(NO_CODE);
            self.periods.push(NO_CODE);
            return Ok(());
        }
        strata.cohortless_rows += u64::from(group.is_nan());
        self.strata.push(strata.code(group, eligible)?);
        self.periods.push(periods.code(time)?);
        Ok(())
    }
}

/// Codes of all rows over all threads: `stratum · periods + period`, `u32::MAX` for rows without either.
struct Layout {
    /// Number of the first row of every chunk.
    first_rows: Vec<u64>,
    codes: Vec<Vec<u32>>,
    shards: usize,
    /// Number of rows in a shard.
    per_shard: u64,
    strata: Vec<Stratum>,
    periods: Vec<f64>,
}

fn arrange(source: &Source, workers: Vec<Worker>, threads: usize) -> Result<(ScannedKeys, UnitOrder)> {
    let strata = distinct_strata(workers.iter().flat_map(|w| w.strata.list.iter().copied()));
    let periods = distinct_periods(workers.iter().flat_map(|w| w.periods.list.iter().copied()));
    if periods.is_empty() {
        return Err(
            StaggerError::input("no row has a period").with_hint("name the period column: --tname COLUMN")
        );
    }
    let cohortless_rows = workers.iter().map(|w| w.strata.cohortless_rows).sum();
    let rows = source.rows();
    let shards = shard_count(rows);
    let mut layout = Layout {
        first_rows: Vec::new(),
        codes: vec![Vec::new(); source.chunks().len()],
        shards,
        per_shard: rows.div_ceil(shards as u64).max(1),
        strata,
        periods,
    };
    let mut row = 0;
    for chunk in source.chunks() {
        layout.first_rows.push(row);
        row += chunk.rows as u64;
    }
    let mut gaps = Gaps::default();
    for worker in workers {
        gaps.merge(&worker.gaps);
        let strata = stratum_codes(&worker.strata.list, &layout.strata);
        let periods = period_codes(&worker.periods.list, &layout.periods);
        for (index, found) in worker.chunks {
            layout.codes[index] = found.global(&strata, &periods, layout.periods.len());
        }
    }
    let keyless_rows: u64 =
        layout.codes.iter().map(|codes| codes.iter().filter(|c| **c == u32::MAX).count() as u64).sum();
    let order = layout.order(rows - keyless_rows, keyless_rows, cohortless_rows, threads)?;
    let chunks = layout.codes.iter().enumerate().map(|(index, codes)| chunk_keys(index, codes)).collect();
    Ok((ScannedKeys { tables: Vec::new(), chunks, rows: rows - keyless_rows, gaps }, order))
}

/// Keys of a chunk in which every row is a unit of its own with one period.
fn chunk_keys(table: usize, codes: &[u32]) -> ChunkKeys {
    let units = codes.iter().zip(0..).map(|(&code, row)| if code == u32::MAX { NO_UNIT } else { row });
    ChunkKeys { table, units: units.collect(), starts: Vec::new(), periods: PeriodCodes::Pattern(vec![0]) }
}

impl ChunkCodes {
    fn global(&self, strata: &[u16], periods: &[u16], count: usize) -> Vec<u32> {
        let code = |(&stratum, &period): (&u16, &u16)| match stratum {
            NO_CODE => u32::MAX,
            _ => u32::from(strata[stratum as usize]) * count as u32 + u32::from(periods[period as usize]),
        };
        self.strata.iter().zip(&self.periods).map(code).collect()
    }
}

impl Layout {
    fn order(
        &self,
        units: u64,
        keyless_rows: u64,
        cohortless_rows: u64,
        threads: usize,
    ) -> Result<UnitOrder> {
        let kinds = self.strata.len() * self.periods.len();
        // Every segment is padded to whole lanes.
        let most = self.per_shard as usize + (kinds * LANES).min(self.per_shard as usize * LANES) + 1;
        let row_bits = most.next_power_of_two().trailing_zeros();
        if self.shards as u64 > 1 << (32 - row_bits) {
            return Err(StaggerError::input(format!("{units} rows are too many for one process")));
        }
        let positions: Vec<Vec<AtomicU32>> =
            self.codes.iter().map(|codes| codes.iter().map(|_| AtomicU32::new(u32::MAX)).collect()).collect();
        let shards =
            parallel::map(threads, self.shards, |shard| Ok(self.shard(shard, row_bits, &positions)))?;
        Ok(UnitOrder {
            rows: RowKind::Observation,
            period_of: vec![vec![0]; self.codes.len()],
            strata: self.strata.clone(),
            row_periods: 1,
            periods: self.periods.clone(),
            shards,
            row_bits,
            positions,
            units,
            keyless_rows,
            cohortless_rows,
        })
    }

    /// Calls `each(chunk, row in the chunk, row number, code)` for the rows of a shard.
    fn rows_of(&self, shard: usize, mut each: impl FnMut(usize, usize, u64, usize)) {
        let (start, end) = (shard as u64 * self.per_shard, (shard as u64 + 1) * self.per_shard);
        let first = self.first_rows.partition_point(|&row| row <= start).saturating_sub(1);
        for (chunk, codes) in self.codes.iter().enumerate().skip(first) {
            let base = self.first_rows[chunk];
            if base >= end {
                break;
            }
            let from = start.saturating_sub(base).min(codes.len() as u64) as usize;
            let to = (end - base).min(codes.len() as u64) as usize;
            for (row, &code) in codes.iter().enumerate().take(to).skip(from) {
                if code != u32::MAX {
                    each(chunk, row, base + row as u64, code as usize);
                }
            }
        }
    }

    fn shard(&self, shard: usize, row_bits: u32, positions: &[Vec<AtomicU32>]) -> ShardOrder {
        let mut counts = vec![0usize; self.strata.len() * self.periods.len()];
        self.rows_of(shard, |_, _, _, code| counts[code] += 1);
        let (mut segments, mut rows, mut next) = (Vec::new(), 0, vec![0; counts.len()]);
        for (code, &units) in counts.iter().enumerate().filter(|(_, units)| **units > 0) {
            let (stratum, period) = (code / self.periods.len(), code % self.periods.len());
            segments.push(Segment { stratum, period: Some(period), start: rows, units });
            next[code] = rows;
            rows = (rows + units).next_multiple_of(LANES);
        }
        let mut keys = vec![0u64; rows];
        self.rows_of(shard, |chunk, row, number, code| {
            keys[next[code]] = hash_integer(number as i64) as u64;
            let position = ((shard as u32) << row_bits) | next[code] as u32;
            positions[chunk][row].store(position, Ordering::Relaxed);
            next[code] += 1;
        });
        ShardOrder { segments, rows, keys }
    }
}
