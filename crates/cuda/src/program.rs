//! The work of the kernels on a batch of shards: tables of descriptors, written while nothing has an address yet, and
//! the launches.

use std::collections::HashMap;

use super::device::{BoundedDevice, Buffer, DeviceFunction, LaunchWork, Stream};
use super::error::Result;
use super::table::{Bases, Constants, Table, Word};

/// Rows of a tile of scores and influence values: a few per thread.
const SCORE_ROWS: usize = 512;
/// Rows of a tile of cross products, enough to make their last sum cheap.
const CROSS_ROWS: usize = 4096;
/// Products of a block of cross products, in each direction.
const CROSS_WIDTH: usize = 32;
/// Units of a tile of multiplier bits.
const BIT_UNITS: usize = 64;
/// Units of a tile of draws.
const DRAW_UNITS: usize = 4096;
/// Columns of a block of draws.
const DRAW_COLUMNS: usize = 16;
/// Words of 64 draws of a block of draws.
const DRAW_BLOCKS: usize = 4;

/// Columns of equal length, in words of 8 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matrix {
    /// The first word of the first column.
    pub(super) at: Word,
    /// Words between the starts of two columns.
    pub(super) stride: usize,
    /// The number of columns.
    pub(super) count: usize,
}

/// Sums of tiles.
#[derive(Clone, Copy, Debug)]
pub(super) struct TileSums {
    /// The first word of the first tile's sums.
    pub(super) at: Word,
    /// The number of tiles.
    pub(super) tiles: usize,
    /// Words between the sums of two tiles.
    pub(super) stride: usize,
}

/// Sums of tiles, and the matrix of a shard's sums that they are added to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fold {
    /// The sums of tiles.
    pub(super) from: TileSums,
    /// Rows of the sums of a tile.
    pub(super) rows: usize,
    /// Columns of the sums of a tile.
    pub(super) columns: usize,
    /// True if only the upper triangle is added.
    pub(super) upper: bool,
    /// The first word of the matrix that is added to.
    pub(super) to: Word,
    /// Words between two rows of that matrix.
    pub(super) stride: usize,
    /// Numbers of the rows and of the columns in that matrix; [`Word::Null`] where they are in order.
    pub(super) places: [Word; 2],
    /// True if the greatest value is kept in place of the sum.
    pub(super) greatest: bool,
}

impl Fold {
    /// Returns the fold of rows and columns that are in order in a matrix with `stride` words per row.
    pub(super) fn dense(from: TileSums, rows: usize, columns: usize, to: Word, stride: usize) -> Self {
        let places = [Word::Null; 2];
        Self { from, rows, columns, upper: false, to, stride, places, greatest: false }
    }
}

/// Rows of one logit in one frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scores {
    /// The index of the frame's descriptor.
    pub(super) frame: usize,
    /// The number of rows.
    pub(super) rows: usize,
    /// The coefficients.
    pub(super) beta: Word,
    /// True for the treated rows, false for the controls.
    pub(super) treated: bool,
    /// True if rows count as used or unused in place of by their weights.
    pub(super) unweighted: bool,
}

/// The kernel that makes scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ScoreKind {
    /// Residuals and variances.
    #[default]
    Logit,
    /// Scores, odds and variances.
    Odds,
    /// Residuals and variances, then the derivatives of the variances along each coefficient.
    LogitSlopes,
    /// Scores, odds and variances, then the derivatives of variances, and of odds, along each coefficient.
    OddsSlopes,
}

impl ScoreKind {
    /// Returns the number of columns that it writes, and of sums per tile.
    fn sizes(self, regressors: usize) -> (usize, usize) {
        match self {
            Self::Logit => (2, 4),
            Self::Odds => (3, 5),
            Self::LogitSlopes => (2 + regressors, 4),
            Self::OddsSlopes => (3 + 2 * regressors, 5),
        }
    }

    fn slopes(self) -> bool {
        matches!(self, Self::LogitSlopes | Self::OddsSlopes)
    }

    fn function(self) -> DeviceFunction {
        match self {
            Self::Logit | Self::LogitSlopes => DeviceFunction::LogitScores,
            Self::Odds | Self::OddsSlopes => DeviceFunction::OddsScores,
        }
    }
}

/// The multiplier bits of a pass.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BitSource {
    /// The hashed seed ([`Bits::parameters`](stagger_estimator::multipliers::Bits::parameters)).
    pub(super) base: u64,
    /// The probability of a bit in units of 2⁻⁶⁴.
    pub(super) probability: u64,
    /// Words of 64 draws per unit.
    pub(super) blocks: usize,
}

/// The descriptors of a batch.
#[derive(Debug, Default)]
pub(super) struct Program {
    regressors: usize,
    kind: ScoreKind,
    bits: BitSource,
    constants: Constants,
    /// Words of scratch memory so far.
    scratch: usize,
    /// The least work of each kernel.
    work: HashMap<DeviceFunction, LaunchWork>,
    frames: Table,
    scores: ScoreTables,
    psi: PsiTables,
    cross: CrossTables,
    draws: DrawTables,
    /// Folds and their groups.
    folds: Vec<(usize, Fold)>,
}

/// Descriptors of scores.
#[derive(Debug, Default)]
struct ScoreTables {
    parts: Table,
    tiles: Table,
}

/// Descriptors of influence values.
#[derive(Debug, Default)]
struct PsiTables {
    segments: Table,
    columns: Table,
    parts: Table,
    tiles: Table,
}

/// Descriptors of cross products.
#[derive(Debug, Default)]
struct CrossTables {
    items: Table,
    tiles: Table,
}

/// Descriptors of multiplier bits, and of the sums over units whose bit is 1.
#[derive(Debug, Default)]
struct DrawTables {
    bit_segments: Table,
    bit_tiles: Table,
    items: Table,
    tiles: Table,
}

impl Program {
    /// Returns an empty program for designs of `regressors` regressors, with scores of one kind.
    pub(super) fn new(regressors: usize, kind: ScoreKind) -> Self {
        Self { regressors, kind, ..Self::default() }
    }

    /// Returns the same program with multiplier bits.
    pub(super) fn with_bits(self, bits: BitSource) -> Self {
        Self { bits, ..self }
    }

    /// Adds numbers that kernels read, and returns their place; equal ones are held once.
    pub(super) fn constant_floats(&mut self, values: &[f64]) -> Word {
        self.constants.floats(values)
    }

    /// Does the same by a name that stands for the same numbers each time; `make` is called at its first use.
    pub(super) fn named_floats(&mut self, name: [usize; 3], make: impl FnOnce() -> Vec<f64>) -> Word {
        self.constants.floats_of(name, make)
    }

    /// Adds places that kernels read.
    pub(super) fn constant_places(&mut self, values: &[usize]) -> Word {
        self.constants.places(values)
    }

    fn scratch(&mut self, words: usize) -> Word {
        // Whole cache lines, so that columns of different tables never share one.
        self.scratch = self.scratch.next_multiple_of(16) + words;
        Word::Scratch(self.scratch - words)
    }

    fn note(&mut self, function: DeviceFunction, values: usize, operations: usize) {
        self.work.entry(function).or_default().add(values, operations);
    }

    /// Describes a segment in a frame and returns its index.
    pub(super) fn frame(
        &mut self,
        design: Word,
        used: Word,
        weights: Word,
        outcomes: Word,
        rows: usize,
    ) -> usize {
        self.frames.push(&[design, used, weights, outcomes, Word::Count(rows)])
    }

    /// Describes the scores of a logit's rows; returns their columns and the sums of their tiles.
    pub(super) fn scores(&mut self, scores: Scores) -> (Matrix, TileSums) {
        let Scores { frame, rows, beta, treated, unweighted } = scores;
        let (columns, sums) = self.kind.sizes(self.regressors);
        let at = self.scratch(columns * rows);
        // Some 60 operations make a score of an index.
        let values = rows * (self.regressors + 2 + columns);
        self.note(self.kind.function(), values, rows * (2 * self.regressors + 60));
        let row = [Word::Count(frame), beta, Word::Flag(treated), Word::Flag(unweighted), at];
        let part = self.scores.parts.push(&row);
        let out = self.scratch(rows.div_ceil(SCORE_ROWS) * sums);
        let tiles = self.scores.tiles.tiles(part, rows, SCORE_ROWS, |tile| out.after(tile * sums));
        (Matrix { at, stride: rows, count: columns }, TileSums { at: out, tiles, stride: sums })
    }

    /// Describes products of columns over rows, and returns the sums of their tiles. With `upper` they are those of
    /// one set with itself, of which the upper triangle is used.
    pub(super) fn cross(
        &mut self,
        (left, right): (Matrix, Matrix),
        weights: Word,
        rows: usize,
        upper: bool,
    ) -> TileSums {
        let count = Word::Count;
        let row = [
            left.at,
            count(left.stride),
            count(left.count),
            weights,
            right.at,
            count(right.stride),
            count(right.count),
        ];
        let item = self.cross.items.push(&row);
        let products = if upper { left.count * (left.count + 1) / 2 } else { left.count * right.count };
        let columns = left.count + if upper { 0 } else { right.count };
        self.note(DeviceFunction::Cross, rows * columns, 2 * rows * products);
        let (tiles, stride) = (rows.div_ceil(CROSS_ROWS), left.count * right.count);
        let at = self.scratch(tiles * stride);
        for tile in 0..tiles {
            let first = tile * CROSS_ROWS;
            for i in (0..left.count).step_by(CROSS_WIDTH) {
                for j in (if upper { i } else { 0 }..right.count).step_by(CROSS_WIDTH) {
                    let own = CROSS_ROWS.min(rows - first);
                    let out = at.after(tile * stride);
                    self.cross.tiles.push(&[count(item), count(first), count(own), count(i), count(j), out]);
                }
            }
        }
        TileSums { at, tiles, stride }
    }

    /// Describes a column of the influence values: the values that it starts from, and the number of parts, described
    /// just before, that are added.
    pub(super) fn psi_column(&mut self, source: Word, parts: usize) -> usize {
        let first = self.psi.parts.rows - parts;
        self.psi.columns.push(&[source, Word::Count(first), Word::Count(parts)])
    }

    /// Describes a side of a comparison.
    pub(super) fn psi_part(&mut self, row: [Word; 8]) {
        self.psi.parts.push(&row);
    }

    /// Describes the influence values of a segment, in the columns described last, and returns them.
    pub(super) fn psi(&mut self, columns: usize, rows: usize) -> Matrix {
        let at = self.scratch(columns * rows);
        let first = self.psi.columns.rows - columns;
        // Outcomes are about as many as columns; each column has a part of four linear indices, or two.
        let values = rows * (2 * columns + self.regressors + 2);
        self.note(DeviceFunction::Psi, values, rows * columns * (8 * self.regressors + 12));
        let row = [Word::Count(first), Word::Count(columns), Word::Count(rows), at];
        let segment = self.psi.segments.push(&row);
        self.psi.tiles.tiles(segment, rows, SCORE_ROWS, |_| Word::Null);
        Matrix { at, stride: rows, count: columns }
    }

    /// Describes sums of columns over the units whose bit is 1, and returns the sums of their tiles: one row per
    /// draw, in whole blocks of 64.
    pub(super) fn draws(&mut self, psi: Matrix, keys: Word, units: usize) -> TileSums {
        let blocks = self.bits.blocks;
        let words = self.scratch(units * blocks);
        self.note(DeviceFunction::Bits, units * (blocks + 1), 0);
        self.note(DeviceFunction::Draws, units * (blocks + psi.count), 2 * units * 64 * blocks * psi.count);
        let segment = self.draws.bit_segments.push(&[keys, words]);
        self.draws.bit_tiles.tiles(segment, units, BIT_UNITS, |_| Word::Null);
        let item = self.draws.items.push(&[psi.at, Word::Count(psi.stride), Word::Count(psi.count), words]);
        let (tiles, stride) = (units.div_ceil(DRAW_UNITS), blocks * 64 * psi.count);
        let at = self.scratch(tiles * stride);
        for tile in 0..tiles {
            let first = tile * DRAW_UNITS;
            for column in (0..psi.count).step_by(DRAW_COLUMNS) {
                for block in (0..blocks).step_by(DRAW_BLOCKS) {
                    let place = [item, first, DRAW_UNITS.min(units - first), column, block].map(Word::Count);
                    let [a, b, c, d, e] = place;
                    self.draws.tiles.push(&[a, b, c, d, e, at.after(tile * stride)]);
                }
            }
        }
        TileSums { at, tiles, stride }
    }

    /// Adds sums of tiles to those of a shard, after the earlier folds of the same group. Different groups must have
    /// different places.
    pub(super) fn fold(&mut self, group: usize, fold: Fold) {
        if fold.rows * fold.columns > 0 && fold.from.tiles > 0 {
            let values = fold.rows * fold.columns;
            self.note(DeviceFunction::Fold, (fold.from.tiles + 2) * values, fold.from.tiles * values);
            self.folds.push((group, fold));
        }
    }

    /// Returns the words of scratch memory so far.
    pub(super) fn scratch_words(&self) -> usize {
        self.scratch
    }

    fn fold_tables(&mut self) -> (Table, Table) {
        self.folds.sort_by_key(|(group, _)| *group);
        let (mut items, mut groups) = (Table::default(), Table::default());
        for same in self.folds.chunk_by(|(a, _), (b, _)| a == b) {
            groups.push(&[items.rows, same.len()].map(Word::Count));
            for (_, fold) in same {
                items.push(&[
                    fold.from.at,
                    Word::Count(fold.from.tiles),
                    Word::Count(fold.from.stride),
                    Word::Count(fold.rows),
                    Word::Count(fold.columns),
                    Word::Flag(fold.upper),
                    fold.to,
                    Word::Count(fold.stride),
                    fold.places[0],
                    fold.places[1],
                    Word::Flag(fold.greatest),
                ]);
            }
        }
        (items, groups)
    }

    /// Queues all work; the sums are those of the batch, and hold the values that adding starts from.
    ///
    /// # Errors
    /// The device's.
    pub(super) fn launch(mut self, bounded: &BoundedDevice, sums: &Buffer) -> Result<()> {
        let (fold_items, fold_groups) = self.fold_tables();
        let tables: [&Table; TABLES] = [
            &self.frames,
            &self.scores.parts,
            &self.scores.tiles,
            &self.psi.segments,
            &self.psi.columns,
            &self.psi.parts,
            &self.psi.tiles,
            &self.draws.bit_segments,
            &self.draws.bit_tiles,
            &self.cross.items,
            &self.cross.tiles,
            &self.draws.items,
            &self.draws.tiles,
            &fold_items,
            &fold_groups,
        ];
        let words = self.constants.words().len() + tables.iter().map(|t| t.words.len()).sum::<usize>();
        let memory = bounded.buffer(Stream::Compute, words, "descriptors")?;
        let scratch = bounded.buffer(Stream::Compute, self.scratch, "a batch of shards")?;
        let bases = Bases { constants: memory.address(), scratch: scratch.address(), sums: sums.address() };
        bounded.device.upload(Stream::Compute, memory.address(), words, &mut |out| {
            let (constants, mut rest) = out.split_at_mut(self.constants.words().len());
            constants.copy_from_slice(self.constants.words());
            for table in tables {
                let (own, next) = rest.split_at_mut(table.words.len());
                own.iter_mut().zip(&table.words).for_each(|(out, word)| *out = bases.word(*word));
                rest = next;
            }
        })?;
        let mut at = self.constants.words().len();
        let addresses = tables.map(|table| {
            at += table.words.len();
            memory.at(at - table.words.len())
        });
        for Launch { function, blocks, words } in self.launches(&addresses, fold_groups.rows) {
            if blocks > 0 {
                let work = self.work.get(&function).copied().unwrap_or_default();
                bounded.device.launch(function, blocks as u32, &words, work)?;
            }
        }
        Ok(())
    }

    /// Returns the launches of a batch in their order, given the addresses of the tables in theirs.
    fn launches(&self, addresses: &[u64; TABLES], groups: usize) -> [Launch; 6] {
        let [frames, parts, score_tiles, segments, columns, psi_parts, psi_tiles, ..] = *addresses;
        let [.., bit_segments, bit_tiles, items, tiles, draw_items, draw_tiles, folds, fold_groups] =
            *addresses;
        let (k, blocks) = (self.regressors as u64, self.bits.blocks as u64);
        let BitSource { base, probability, .. } = self.bits;
        let launch = |function, blocks, words: &[u64]| Launch { function, blocks, words: words.to_vec() };
        let psi = [frames, segments, columns, psi_parts, psi_tiles, k];
        [
            launch(
                self.kind.function(),
                self.scores.tiles.rows,
                &[frames, parts, score_tiles, k, u64::from(self.kind.slopes())],
            ),
            launch(DeviceFunction::Psi, self.psi.tiles.rows, &psi),
            launch(
                DeviceFunction::Bits,
                self.draws.bit_tiles.rows,
                &[bit_segments, bit_tiles, base, probability, blocks],
            ),
            launch(DeviceFunction::Cross, self.cross.tiles.rows, &[items, tiles]),
            launch(DeviceFunction::Draws, self.draws.tiles.rows, &[draw_items, draw_tiles, blocks]),
            launch(DeviceFunction::Fold, groups, &[folds, fold_groups]),
        ]
    }
}

/// The number of tables of a batch.
const TABLES: usize = 15;

/// A kernel, its blocks and its arguments.
struct Launch {
    function: DeviceFunction,
    blocks: usize,
    words: Vec<u64>,
}
