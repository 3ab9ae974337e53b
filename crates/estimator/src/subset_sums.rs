//! Σ over units whose bit is 1, for every draw: the bootstrap as table look-ups.
//!
//! The sums of all subsets of a few units are tabulated; a draw then adds one table row per group instead of one row per unit.
//! Columns come in slices of at most `MAX_SLICE` vectors, so that tables and accumulators stay in the nearest caches.

use std::cell::Cell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::columns::View;
use crate::dispatch::multiversion;
use crate::lanes::{F64x8, LANES};
use crate::multipliers::Bits;

/// Units of one block; a whole number of lanes and of either kind of superblock (30 and 24 units).
pub const BLOCK: usize = 240;

/// Widest slice, in vectors of eight columns.
const MAX_SLICE: usize = 4;

thread_local! {
    static DRAW_TIME: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Returns the time that this thread has spent on draws since it was last asked.
pub fn take_draw_time() -> Duration {
    DRAW_TIME.take()
}

/// Running sums of the draws for one set of columns.
#[derive(Clone, Debug)]
pub struct DrawSums {
    columns: usize,
    /// Few columns: tables of 6 units. Many: of 4, whose tables stay in the first cache.
    narrow: bool,
    blocks: usize,
    slices: Vec<Slice>,
}

#[derive(Clone, Debug)]
struct Slice {
    vectors: usize,
    /// Unit-major rows of the current block: `BLOCK × vectors`.
    rows: Vec<F64x8>,
    /// `draws × vectors`.
    sums: Vec<F64x8>,
}

/// Bits of the blocks that several specifications go through, drawn once.
#[derive(Clone, Debug, Default)]
pub struct BitMemory {
    /// Source and number of 64-draw blocks of what is held.
    of: Option<(Bits, usize)>,
    /// By the key of a block's first unit.
    words: HashMap<u64, Vec<[u64; LANES]>>,
}

impl BitMemory {
    /// Forgets all blocks.
    pub fn clear(&mut self) {
        self.words.clear();
    }

    fn holds(&mut self, bits: &Bits, blocks: usize) -> bool {
        *self.of.get_or_insert((*bits, blocks)) == (*bits, blocks)
    }
}

/// Work space for the bits of one block of units, reusable between blocks.
#[derive(Clone, Debug)]
pub struct BitSpace {
    /// `[8 units][64-draw block]` words.
    words: Vec<[u64; LANES]>,
    /// One byte a draw and group: which units of the group have bit 1.
    index: Vec<u8>,
    /// Subset sums of the current superblock.
    tables: Vec<F64x8>,
    memory: Option<BitMemory>,
}

impl DrawSums {
    /// Zero sums for `columns` columns and `draws` draws. Sums are grouped as for `all` columns, of which these may be a
    /// part, so that a part has the same bits as the whole.
    pub fn new(columns: usize, all: usize, draws: usize) -> Self {
        let blocks = draws.div_ceil(64);
        let vectors = columns.div_ceil(LANES);
        let parts = vectors.div_ceil(MAX_SLICE).max(1);
        let slices = (0..parts)
            .map(|part| {
                let vectors = vectors * (part + 1) / parts - vectors * part / parts;
                Slice {
                    vectors,
                    rows: vec![F64x8::ZERO; BLOCK * vectors],
                    sums: vec![F64x8::ZERO; blocks * 64 * vectors],
                }
            })
            .collect();
        Self { columns, narrow: all <= 2 * LANES, blocks, slices }
    }

    /// Adds one block: `psi` has one row per unit (at most [`BLOCK`]), `keys` their multiplier keys.
    pub fn add_block(&mut self, psi: View<'_>, keys: &[u64], bits: &Bits, space: &mut BitSpace) {
        let begin = Instant::now();
        let units = keys.len().min(BLOCK);
        space.load(keys, bits, self.blocks);
        let mut column = 0;
        for slice in &mut self.slices {
            let width = (slice.vectors * LANES).min(self.columns - column);
            transpose(psi, column, width, units, slice.vectors, &mut slice.rows);
            column += width;
        }
        if self.narrow {
            self.add_superblocks::<6, 5, 64>(units, space);
        } else {
            self.add_superblocks::<4, 6, 16>(units, space);
        }
        DRAW_TIME.set(DRAW_TIME.get() + begin.elapsed());
    }

    fn add_superblocks<const UNITS: usize, const GROUPS: usize, const SUBSETS: usize>(
        &mut self,
        units: usize,
        space: &mut BitSpace,
    ) {
        let draws = self.blocks * 64;
        let mut first = 0;
        while first < units {
            index_groups(&space.words, self.blocks, first, UNITS, GROUPS, &mut space.index);
            for Slice { vectors, rows, sums } in &mut self.slices {
                let BitSpace { index, tables, .. } = &mut *space;
                match vectors {
                    1 => look_up::<1, UNITS, GROUPS, SUBSETS>(rows, first, index, draws, tables, sums),
                    2 => look_up::<2, UNITS, GROUPS, SUBSETS>(rows, first, index, draws, tables, sums),
                    3 => look_up::<3, UNITS, GROUPS, SUBSETS>(rows, first, index, draws, tables, sums),
                    _ => {
                        look_up::<MAX_SLICE, UNITS, GROUPS, SUBSETS>(rows, first, index, draws, tables, sums)
                    }
                }
            }
            first += UNITS * GROUPS;
        }
    }

    /// Adds the sums of the first `draws` draws to `out` (`draws × width`), column i of these sums to column `columns[i]`.
    pub fn add_to(&self, draws: usize, columns: &[usize], width: usize, out: &mut [f64]) {
        let mut first = 0;
        for slice in &self.slices {
            let own = &columns[first..(first + slice.vectors * LANES).min(self.columns)];
            for (sums, row) in slice.sums.chunks(slice.vectors.max(1)).zip(out.chunks_mut(width)).take(draws)
            {
                for (vector, columns) in sums.iter().zip(own.chunks(LANES)) {
                    for (value, &column) in vector.0.iter().zip(columns) {
                        row[column] += value;
                    }
                }
            }
            first += own.len();
        }
    }
}

impl BitSpace {
    /// Space for `draws` draws.
    pub fn new(draws: usize) -> Self {
        let blocks = draws.div_ceil(64);
        Self {
            words: vec![[0; LANES]; BLOCK / LANES * blocks],
            index: vec![0; 6 * blocks * 64],
            tables: vec![F64x8::ZERO; 5 * 64 * MAX_SLICE],
            memory: None,
        }
    }

    /// The same space, with bits that other specifications have drawn.
    pub fn remembering(self, memory: Option<BitMemory>) -> Self {
        Self { memory, ..self }
    }

    /// The bits drawn.
    pub fn into_memory(self) -> Option<BitMemory> {
        self.memory
    }

    fn load(&mut self, keys: &[u64], bits: &Bits, blocks: usize) {
        let Some(&first) = keys.first() else { return };
        let held = self.memory.as_mut().is_some_and(|memory| memory.holds(bits, blocks));
        if let (true, Some(words)) = (held, self.memory.as_ref().and_then(|memory| memory.words.get(&first)))
        {
            self.words.copy_from_slice(words);
            return;
        }
        self.draw(keys, bits, blocks);
        if let (true, Some(memory)) = (held, &mut self.memory) {
            memory.words.insert(first, self.words.clone());
        }
    }

    fn draw(&mut self, keys: &[u64], bits: &Bits, blocks: usize) {
        let mut buffer = vec![[0u64; LANES]; blocks];
        for group in 0..BLOCK / LANES {
            let target = &mut self.words[group * blocks..(group + 1) * blocks];
            if group * LANES >= keys.len() {
                target.fill([0; LANES]);
                continue;
            }
            let lanes = std::array::from_fn(|lane| keys.get(group * LANES + lane).copied().unwrap_or(0));
            bits.fill(&lanes, &mut buffer);
            for (words, drawn) in target.iter_mut().zip(&buffer) {
                for (lane, word) in words.iter_mut().enumerate() {
                    *word = if group * LANES + lane < keys.len() { drawn[lane] } else { 0 };
                }
            }
        }
    }
}

multiversion! {
    fn transpose(psi: View<'_>, first: usize, width: usize, units: usize, vectors: usize, rows: &mut [F64x8]) {
        for row in rows.iter_mut().skip(units * vectors) {
            *row = F64x8::ZERO;
        }
        for vector in 0..vectors {
            let columns: [&[f64]; LANES] =
                std::array::from_fn(|lane| {
                    let column = vector * LANES + lane;
                    if column < width { &psi.col(first + column)[..units] } else { &[] }
                });
            for unit in 0..units {
                let row = &mut rows[unit * vectors + vector];
                for (value, column) in row.0.iter_mut().zip(columns) {
                    *value = column.get(unit).copied().unwrap_or(0.0);
                }
            }
        }
    }
}

multiversion! {
    /// Bytes of every draw for the groups of one superblock: bit u of `index[group·draws + d]` is the bit of the group's unit u in draw d.
    fn index_groups(words: &[[u64; LANES]], blocks: usize, first: usize, units: usize, groups: usize, index: &mut [u8]) {
        let draws = blocks * 64;
        for group in 0..groups {
            for block in 0..blocks {
                let mut bytes = [0u64; LANES];
                for u in 0..units {
                    let unit = first + group * units + u;
                    if unit >= BLOCK {
                        break;
                    }
                    let word = words[unit / LANES * blocks + block][unit % LANES];
                    for (lane, byte) in bytes.iter_mut().enumerate() {
                        *byte |= ((word >> (8 * lane)) & 0xff) << (8 * u);
                    }
                }
                let target = &mut index[group * draws + block * 64..group * draws + block * 64 + 64];
                for (lane, byte) in bytes.iter().enumerate() {
                    target[8 * lane..8 * lane + 8].copy_from_slice(&transpose_bits(*byte).to_le_bytes());
                }
            }
        }
    }
}

/// Transposes an 8 × 8 bit matrix held in a word.
#[inline(always)]
fn transpose_bits(mut x: u64) -> u64 {
    let t = (x ^ (x >> 7)) & 0x00aa_00aa_00aa_00aa;
    x ^= t ^ (t << 7);
    let t = (x ^ (x >> 14)) & 0x0000_cccc_0000_cccc;
    x ^= t ^ (t << 14);
    let t = (x ^ (x >> 28)) & 0x0000_0000_f0f0_f0f0;
    x ^ t ^ (t << 28)
}

multiversion! {
    /// Adds a superblock to the sums.
    fn look_up<const V: usize, const UNITS: usize, const GROUPS: usize, const SUBSETS: usize>(
        rows: &[F64x8], first: usize, index: &[u8], draws: usize, tables: &mut [F64x8], sums: &mut [F64x8]
    ) {
        let (tables, _) = tables.as_chunks_mut::<V>();
        let (tables, _) = tables.as_chunks_mut::<SUBSETS>();
        for (group, table) in tables.iter_mut().enumerate().take(GROUPS) {
            table[0] = [F64x8::ZERO; V];
            for u in 0..UNITS {
                let unit = first + group * UNITS + u;
                let mut row = [F64x8::ZERO; V];
                if unit < BLOCK {
                    row.copy_from_slice(&rows[unit * V..unit * V + V]);
                }
                let (without, with) = table.split_at_mut(1 << u);
                for (target, source) in with.iter_mut().zip(without.iter()) {
                    for v in 0..V {
                        target[v] = source[v] + row[v];
                    }
                }
            }
        }
        let (tables, _) = tables.as_chunks::<GROUPS>();
        let Some(tables) = tables.first() else { return };
        let (sums, _) = sums.as_chunks_mut::<V>();
        let index: [&[u8]; GROUPS] = std::array::from_fn(|group| &index[group * draws..(group + 1) * draws]);
        #[cfg(target_arch = "x86_64")]
        if crate::dispatch::level() == crate::dispatch::InstructionSet::Avx512 {
            // SAFETY: the level says that the processor has these instructions.
            #[allow(unsafe_code)]
            unsafe {
                avx512::add_rows(tables, &index, &mut sums[..draws]);
            }
            return;
        }
        for (draw, sum) in sums[..draws].iter_mut().enumerate() {
            let mut total = *sum;
            for group in 0..GROUPS {
                let row = &tables[group][index[group][draw] as usize & (SUBSETS - 1)];
                for v in 0..V {
                    total[v] = total[v] + row[v];
                }
            }
            *sum = total;
        }
    }
}

/// The inner loop by 512-bit intrinsics: left to itself the compiler may gather over draws, at half the speed.
#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::{__m512d, _mm512_add_pd, _mm512_load_pd, _mm512_store_pd};

    use crate::lanes::F64x8;

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load(vector: &F64x8) -> __m512d {
        // SAFETY: `F64x8` is 64 bytes, aligned to 64.
        #[allow(unsafe_code)]
        unsafe {
            _mm512_load_pd(vector.0.as_ptr())
        }
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn add_rows<const V: usize, const GROUPS: usize, const SUBSETS: usize>(
        tables: &[[[F64x8; V]; SUBSETS]; GROUPS],
        index: &[&[u8]; GROUPS],
        sums: &mut [[F64x8; V]],
    ) {
        for (draw, sum) in sums.iter_mut().enumerate() {
            let mut total = [load(&sum[0]); V];
            for v in 1..V {
                total[v] = load(&sum[v]);
            }
            for group in 0..GROUPS {
                let row = &tables[group][index[group][draw] as usize & (SUBSETS - 1)];
                for v in 0..V {
                    total[v] = _mm512_add_pd(total[v], load(&row[v]));
                }
            }
            for v in 0..V {
                // SAFETY: as in `load`.
                #[allow(unsafe_code)]
                unsafe {
                    _mm512_store_pd(sum[v].0.as_mut_ptr(), total[v]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::columns::Columns;
    use crate::multipliers::{Domain, TwoPoint};
    use crate::options::Multiplier;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn tables_equal_the_plain_sum(units in 1usize..=BLOCK, columns in 1usize..90, draws in 1usize..140) {
            let mut psi = Columns::zeros(BLOCK, columns);
            for j in 0..columns {
                for (i, value) in psi.col_mut(j).iter_mut().enumerate().take(units) {
                    *value = ((i * 31 + j * 17) % 101) as f64 - 50.0;
                }
            }
            let keys: Vec<u64> = (0..units as u64).map(|i| i * 7 + 1).collect();
            let bits = Bits::new(1, Domain::Unit, TwoPoint::of(Multiplier::Mammen));
            let mut sums = DrawSums::new(columns, columns, draws);
            let mut space = BitSpace::new(draws);
            sums.add_block(psi.view(BLOCK, columns), &keys, &bits, &mut space);
            let mut got = vec![0.0; draws * columns];
            sums.add_to(draws, &(0..columns).collect::<Vec<_>>(), columns, &mut got);
            for draw in 0..draws {
                let mut plain = vec![0.0; columns];
                for (i, &key) in keys.iter().enumerate() {
                    if bits.words(&[key; LANES], draw as u64 / 64)[0] >> (draw % 64) & 1 == 1 {
                        plain.iter_mut().enumerate().for_each(|(column, sum)| *sum += psi.col(column)[i]);
                    }
                }
                prop_assert_eq!(&got[draw * columns..(draw + 1) * columns], &plain[..]);
            }
        }
    }
}
