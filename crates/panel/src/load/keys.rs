//! First pass over the rows: finds the units, and the unit and period of every row.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;

use stagger_model::error::{Result, StaggerError};
use stagger_model::parallel;
use stagger_records::{KeyColumn, Source, hash_integer, split_runs, with_key_column};

use super::unit_map::{KnownUnit, UnitMap};
use crate::columns::Columns;
use crate::gaps::Gaps;
use crate::load::seen::{SeenPeriods, SeenStrata, key_columns, name_file, varying_stratum_error, with_keys};

/// Code of rows without unit, period or eligibility.
pub(super) const NO_UNIT: u32 = u32::MAX;
/// Number of rows between the one whose unit is asked for and the one that is added.
const AHEAD: usize = 16;
/// Largest number of a chunk's rows that memory is reserved for at once; a damaged footer may claim more rows than
/// there are.
pub(super) const EXPECTED: usize = 4 << 20;

/// Hasher of unit keys. They are hashes already, or nearly, so that one multiplication spreads them.
#[derive(Default)]
pub struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }
    fn write_u64(&mut self, value: u64) {
        let mixed = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
    fn write_i64(&mut self, value: i64) {
        self.write_u64(value as u64);
    }
    fn write_u128(&mut self, value: u128) {
        self.write_u64(value as u64);
    }
}

type TextMap = HashMap<u128, u32, BuildHasherDefault<KeyHasher>>;

/// Units that one thread has found, in order of appearance.
#[derive(Default)]
pub(super) struct UnitTable {
    /// Canonical hash of each unit; empty as long as integer ids ascend, whose hashes are found when they are needed.
    hashes: Vec<u128>,
    /// Stratum of each unit, an index into `strata`.
    pub(super) stratum: Vec<u16>,
    pub(super) strata: SeenStrata,
    pub(super) periods: SeenPeriods,
    /// Number of rows without unit, period or eligibility.
    pub(super) keyless_rows: u64,
    /// True as long as integer ids ascend: an id larger than the last is a new unit, and no map is needed.
    ascending: bool,
    integers: UnitMap,
    texts: TextMap,
    ids: Vec<i64>,
    buffer: Vec<u8>,
}

/// Rows of a chunk as runs of rows of one unit.
pub(super) struct ChunkKeys {
    /// Index of the thread whose [`UnitTable`] numbers the units.
    pub(super) table: usize,
    /// Unit of each run.
    pub(super) units: Vec<u32>,
    /// First row of each run; empty if every run has one row.
    pub(super) starts: Vec<u32>,
    /// Period codes; one pattern for all runs where they repeat it.
    pub(super) periods: PeriodCodes,
}

/// Period of each row, as a code of the thread's table.
pub(super) enum PeriodCodes {
    /// Every run repeats these periods.
    Pattern(Vec<u16>),
    /// One code for each row.
    Rows(Vec<u16>),
}

/// Result of the pass.
pub(super) struct ScannedKeys {
    pub(super) tables: Vec<UnitTable>,
    pub(super) chunks: Vec<ChunkKeys>,
    /// Number of rows with unit, period and eligibility.
    pub(super) rows: u64,
    /// Rows without unit, period or eligibility, by column.
    pub(super) gaps: Gaps,
}

struct Worker {
    table: UnitTable,
    chunks: Vec<(usize, ChunkKeys)>,
    gaps: Gaps,
    scratch: (Vec<i64>, [Vec<f64>; 3]),
}

/// Reads ids, periods, cohorts and eligibility of all chunks.
pub(super) fn scan(source: &Source, columns: &Columns, threads: usize) -> Result<ScannedKeys> {
    let key_names = key_columns(columns);
    let names: Vec<String> = key_names.iter().chain([&columns.id]).cloned().collect();
    let kind = columns.kind(&columns.id);
    let fresh = || Worker {
        table: UnitTable { ascending: true, strata: columns.seen_strata(), ..UnitTable::default() },
        chunks: Vec::new(),
        gaps: Gaps::default(),
        scratch: Default::default(),
    };
    let workers = parallel::for_each(threads, source.chunks().len(), fresh, |worker, index| {
        let chunk = &source.chunks()[index];
        let mut builder = RunBuilder::new(chunk.rows);
        source.read_runs(chunk, &names, &names[1..], |row, arrays| {
            let first_row = chunk.first_row + row as u64;
            let columns_read = names.iter().map(String::as_str).zip(arrays);
            worker.gaps.count_batch(columns_read, chunk.file, first_row)?;
            let (integers, scratch) = &mut worker.scratch;
            let table = &mut worker.table;
            let (keys, id) = arrays.split_at(key_names.len());
            with_keys(columns, keys, &key_names, first_row, scratch, |times, groups, eligible| {
                let (ids, ends) = split_runs(&id[0]).map_or((&id[0], None), |(ids, ends)| (ids, Some(ends)));
                with_key_column(ids, &columns.id, kind, integers, |ids| {
                    builder.add(table, &Identifiers { ids, ends }, &Batch { times, groups, eligible })
                })
            })
            .map_err(|e| name_file(e, &source.path_of(chunk)))
        })?;
        worker.chunks.push((index, builder.finish()));
        Ok(())
    })?;
    let mut tables = Vec::with_capacity(workers.len());
    let mut chunks = Vec::with_capacity(source.chunks().len());
    let mut gaps = Gaps::default();
    for (table, mut worker) in workers.into_iter().enumerate() {
        worker.table.forget_lookups();
        chunks.extend(worker.chunks.into_iter().map(|(index, keys)| (index, ChunkKeys { table, ..keys })));
        gaps.merge(&worker.gaps);
        tables.push(worker.table);
    }
    chunks.sort_by_key(|(index, _)| *index);
    let keyless: u64 = tables.iter().map(|t| t.keyless_rows).sum();
    Ok(ScannedKeys {
        tables,
        chunks: chunks.into_iter().map(|(_, keys)| keys).collect(),
        rows: source.rows() - keyless,
        gaps,
    })
}

/// Key columns of a batch of rows.
struct Batch<'a> {
    times: &'a [f64],
    groups: &'a [f64],
    eligible: &'a [f64],
}

/// Identifiers of a batch of rows.
struct Identifiers<'a> {
    /// One for each row, or for each run of rows.
    ids: KeyColumn<'a>,
    /// The row after the last of each run; `None` with an identifier for each row.
    ends: Option<&'a [i32]>,
}

impl Identifiers<'_> {
    /// Returns the row after the last that shares the identifier at `at`, which is that of row `row`, and the place of
    /// the next identifier.
    #[inline]
    fn run_end(&self, at: usize, row: usize) -> (usize, usize) {
        match self.ends {
            Some(ends) => (ends[at] as usize, at + 1),
            None => {
                let end = self.ids.run_end(row);
                (end, end)
            }
        }
    }
}

/// Rows of one unit in a batch.
struct Run<'a> {
    ids: &'a KeyColumn<'a>,
    /// Place of the identifier.
    at: usize,
    keys: &'a Batch<'a>,
    /// Rows in the batch.
    rows: Range<usize>,
}

impl Run<'_> {
    fn times(&self) -> &[f64] {
        &self.keys.times[self.rows.clone()]
    }

    /// Tells if all rows have the same stratum, a period and an eligibility.
    fn is_plain(&self) -> bool {
        let first = self.rows.start;
        let same = |values: &[f64]| {
            values[self.rows.clone()]
                .iter()
                .fold(true, |all, v| all & (v.to_bits() == values[first].to_bits()))
        };
        same(self.keys.groups)
            && same(self.keys.eligible)
            && !self.keys.eligible[first].is_nan()
            && self.times().iter().all(|t| t.is_finite())
    }
}

/// Collects the runs of a chunk.
struct RunBuilder {
    units: Vec<u32>,
    starts: Vec<u32>,
    periods: Vec<u16>,
    last_integer: Option<i64>,
    last_text: Option<u128>,
}

impl RunBuilder {
    fn new(rows: usize) -> Self {
        Self {
            units: Vec::new(),
            starts: Vec::new(),
            periods: Vec::with_capacity(rows.min(EXPECTED)),
            last_integer: None,
            last_text: None,
        }
    }

    fn add(&mut self, table: &mut UnitTable, identifiers: &Identifiers<'_>, keys: &Batch<'_>) -> Result<()> {
        let ids = &identifiers.ids;
        let (mut row, mut at) = (0, 0);
        while row < keys.times.len() {
            let (end, next) = identifiers.run_end(at, row);
            table.prefetch(ids, next + AHEAD);
            let run = Run { ids, at, keys, rows: row..end };
            if run.is_plain() {
                self.add_run(table, &run)?;
            } else {
                for row in row..end {
                    let run = Run { ids, at, keys, rows: row..row + 1 };
                    if run.is_plain() { self.add_run(table, &run)? } else { self.skip(table, 1) }
                }
            }
            (row, at) = (end, next);
        }
        Ok(())
    }

    /// Adds rows that share one unit and one stratum, all with a period.
    fn add_run(&mut self, table: &mut UnitTable, run: &Run<'_>) -> Result<()> {
        if run.ids.is_missing(run.at) {
            self.skip(table, run.rows.len());
            return Ok(());
        }
        let (continues, key) = match run.ids {
            KeyColumn::Integers { ids, .. } => {
                let id = ids[run.at];
                (self.last_integer.replace(id) == Some(id), None)
            }
            KeyColumn::Texts { .. } => {
                let hash = run.ids.hash(run.at, &mut table.buffer);
                (self.last_text.replace(hash) == Some(hash), Some(hash))
            }
        };
        let first = run.rows.start;
        let stratum = table.strata.code(run.keys.groups[first], run.keys.eligible[first])?;
        if run.keys.groups[first].is_nan() {
            table.strata.cohortless_rows += run.rows.len() as u64;
        }
        let known = match (continues, run.ids, key) {
            (true, ..) => table.known(*self.units.last().unwrap_or(&NO_UNIT)),
            (_, _, Some(hash)) => table.text_unit(hash, stratum)?,
            (_, KeyColumn::Integers { ids, .. }, None) => table.integer_unit(ids[run.at], stratum)?,
            (_, KeyColumn::Texts { .. }, None) => return Err(StaggerError::failed("a text without a hash")),
        };
        if !continues {
            self.starts.push(self.periods.len() as u32);
            self.units.push(known.unit);
        }
        if known.stratum != stratum {
            let name = run.ids.show(run.at);
            let known = known.stratum;
            let label = |code: u16| table.strata.list[code as usize];
            return Err(varying_stratum_error(
                &format!("unit {name}"),
                label(known),
                label(stratum),
                table.strata.calendar.as_ref(),
            ));
        }
        table.periods.push_codes(run.times(), &mut self.periods)
    }

    /// Skips rows without unit or period.
    fn skip(&mut self, table: &mut UnitTable, rows: usize) {
        table.keyless_rows += rows as u64;
        self.starts.push(self.periods.len() as u32);
        self.units.push(NO_UNIT);
        self.periods.resize(self.periods.len() + rows, 0);
        self.last_integer = None;
        self.last_text = None;
    }

    fn finish(mut self) -> ChunkKeys {
        let rows = self.periods.len();
        let single = self.units.len() == rows;
        let length = if single { 1 } else { self.starts.get(1).map_or(rows, |&s| s as usize) };
        let regular = length > 0
            && rows.is_multiple_of(length)
            && self.units.len() == rows / length
            && (single || self.starts.iter().enumerate().all(|(run, &start)| start as usize == run * length))
            && self.periods.chunks(length).all(|run| run == &self.periods[..length]);
        let periods = if regular {
            self.periods.truncate(length);
            PeriodCodes::Pattern(self.periods.clone())
        } else {
            PeriodCodes::Rows(self.periods)
        };
        if single {
            self.starts = Vec::new();
        }
        self.starts.shrink_to_fit();
        self.units.shrink_to_fit();
        ChunkKeys { table: 0, units: self.units, starts: self.starts, periods }
    }
}

impl UnitTable {
    /// Returns the number of units.
    pub(super) fn len(&self) -> usize {
        self.stratum.len()
    }

    /// Frees what only finds units again, once all rows have theirs.
    fn forget_lookups(&mut self) {
        (self.integers, self.texts) = Default::default();
    }

    fn known(&self, unit: u32) -> KnownUnit {
        KnownUnit { unit, stratum: self.stratum[unit as usize] }
    }

    /// Asks for what is known of the unit in a row that is to be added soon.
    #[inline]
    fn prefetch(&self, ids: &KeyColumn<'_>, row: usize) {
        if let (false, KeyColumn::Integers { ids, .. }) = (self.ascending, ids)
            && let Some(&id) = ids.get(row)
        {
            self.integers.prefetch(id);
        }
    }

    /// Returns the canonical hash of a unit.
    #[inline]
    pub(super) fn hash(&self, unit: usize) -> u128 {
        match self.hashes.get(unit) {
            Some(&hash) => hash,
            None => hash_integer(self.ids[unit]),
        }
    }

    fn integer_unit(&mut self, id: i64, stratum: u16) -> Result<KnownUnit> {
        if self.ascending {
            if self.ids.last().is_none_or(|&last| id > last) {
                self.ids.push(id);
                return self.push(stratum);
            }
            self.hashes = self.ids.iter().map(|&id| hash_integer(id)).collect();
            for (&id, unit) in self.ids.iter().zip(0..) {
                self.integers.insert(id, KnownUnit { unit, stratum: self.stratum[unit as usize] });
            }
            self.ids = Vec::new();
            self.ascending = false;
        }
        if let Some(known) = self.integers.get(id) {
            return Ok(known);
        }
        self.hashes.push(hash_integer(id));
        let known = self.push(stratum)?;
        self.integers.insert(id, known);
        Ok(known)
    }

    fn text_unit(&mut self, hash: u128, stratum: u16) -> Result<KnownUnit> {
        if let Some(&unit) = self.texts.get(&hash) {
            return Ok(self.known(unit));
        }
        self.hashes.push(hash);
        let known = self.push(stratum)?;
        self.texts.insert(hash, known.unit);
        Ok(known)
    }

    /// Adds a unit whose identifier or hash is known already.
    fn push(&mut self, stratum: u16) -> Result<KnownUnit> {
        let unit = self.stratum.len();
        if unit >= NO_UNIT as usize {
            return Err(StaggerError::input("more than four billion units in one process"));
        }
        self.stratum.push(stratum);
        Ok(KnownUnit { unit: unit as u32, stratum })
    }
}
