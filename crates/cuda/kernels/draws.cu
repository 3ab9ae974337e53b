/* The multiplier bootstrap: bits of (seed, key, draw), and sums of influence values over the units whose bit is 1. */

struct bit_segment {
  const u64 *keys;
  /* units x blocks. */
  u64 *words;
};

struct bits_args {
  const struct bit_segment *segments;
  const struct tile *tiles;
  u64 base;
  u64 probability;
  /* Blocks of 64 draws. */
  i64 blocks;
};

/* Finaliser of SplitMix64. */
DEVICE u64 avalanche(u64 z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

/* One step of PCG-XSH-RR 64/32. */
DEVICE u64 pcg_step(u64 *state, u64 increment) {
  u64 old = *state;
  unsigned xored = (unsigned)(((old >> 18) ^ old) >> 27), turn = (unsigned)(old >> 59);
  *state = old * 6364136223846793005ULL + increment;
  return (u64)((xored >> turn) | (xored << ((32 - turn) & 31)));
}

/* 64 bits, each 1 with the same probability: digits of 64 uniforms against the probability's, until all are decided. Integer
 * operations are the bound: some 12 rounds of two steps, as the slowest word of a warp decides. */
DEVICE u64 bernoulli_word(u64 base, u64 probability, u64 key, u64 block) {
  u64 mixed = avalanche(key ^ base);
  u64 seed = avalanche(mixed + (block + 1) * 0x9e3779b97f4a7c15ULL);
  u64 increment = (avalanche(seed ^ ((mixed << 32) | (mixed >> 32)) ^ 0xd1342543de82ef95ULL) << 1) | 1;
  u64 state = (seed + increment) * 6364136223846793005ULL + increment;
  u64 undecided = ~0ULL, ones = 0, digits = probability;
  while (digits != 0 && undecided != 0) {
    u64 low = pcg_step(&state, increment);
    u64 word = low | (pcg_step(&state, increment) << 32);
    u64 digit = 0ULL - (digits >> 63);
    ones |= undecided & ~word & digit;
    undecided &= ~(word ^ digit);
    digits <<= 1;
  }
  return ones;
}

KERNEL(bits, 128) {
  const struct tile t = a.tiles[blockIdx.x];
  const struct bit_segment segment = a.segments[t.of];
  i64 at;
  for (at = threadIdx.x; at < t.rows * a.blocks; at += blockDim.x) {
    i64 unit = t.first + at / a.blocks, block = at % a.blocks;
    segment.words[unit * a.blocks + block] = bernoulli_word(a.base, a.probability, segment.keys[unit], (u64)block);
  }
}

struct draw_item {
  const double *psi;
  i64 rows;
  i64 columns;
  const u64 *words;
};

struct draw_tile {
  i64 item;
  i64 first;
  i64 units;
  /* First column, first block of 64 draws. */
  i64 column;
  i64 block;
  /* 64 blocks x columns. */
  double *out;
};

struct draws_args {
  const struct draw_item *items;
  const struct draw_tile *tiles;
  i64 blocks;
};

#define DRAW_UNITS 32
#define DRAW_COLUMNS 16
#define DRAW_BLOCKS 4

/* A block has 256 draws and 16 columns: each of its four warps 4 columns, each thread 8 draws of them in registers. Values and words come
 * from shared memory, where a warp reads one place at a time. For 32 products a thread reads 4 values and 4 words, so the
 * double-precision units are the bound. (Tables of subset sums, which halve the work on a processor, gain nothing here: a look-up of a
 * warp takes shared memory as long as the four additions that it spares.) */
KERNEL(draws, 128) {
  SHARED(work);
  u64 *words = (u64 *)(work + DRAW_UNITS * DRAW_COLUMNS);
  const struct draw_tile t = a.tiles[blockIdx.x];
  const struct draw_item item = a.items[t.item];
  const i64 warp = threadIdx.x / 32;
  const unsigned mask = 1u << (threadIdx.x % 32);
  const i64 columns = item.columns - t.column < DRAW_COLUMNS ? item.columns - t.column : DRAW_COLUMNS;
  double sums[2 * DRAW_BLOCKS][4];
  i64 start, at, unit, column, d;
  int b, c;
  for (b = 0; b < 2 * DRAW_BLOCKS; b++)
    for (c = 0; c < 4; c++) sums[b][c] = 0.0;
  for (start = 0; start < t.units; start += DRAW_UNITS) {
    i64 first = t.first + start, units = t.units - start < DRAW_UNITS ? t.units - start : DRAW_UNITS;
    for (at = threadIdx.x; at < DRAW_UNITS * DRAW_COLUMNS; at += blockDim.x) {
      unit = at % DRAW_UNITS;
      column = at / DRAW_UNITS;
      work[unit * DRAW_COLUMNS + column] =
          unit < units && column < columns ? item.psi[(t.column + column) * item.rows + first + unit] : 0.0;
    }
    for (at = threadIdx.x; at < DRAW_UNITS * DRAW_BLOCKS; at += blockDim.x) {
      i64 block = t.block + at % DRAW_BLOCKS;
      unit = at / DRAW_BLOCKS;
      words[at] = unit < units && block < a.blocks ? item.words[(first + unit) * a.blocks + block] : 0;
    }
    __syncthreads();
    if (4 * warp < columns) {
      for (unit = 0; unit < units; unit++) {
        const double *own = work + unit * DRAW_COLUMNS + 4 * warp;
#pragma unroll
        for (b = 0; b < DRAW_BLOCKS; b++) {
          u64 word = words[unit * DRAW_BLOCKS + b];
          double low = (unsigned)word & mask ? 1.0 : 0.0, high = (unsigned)(word >> 32) & mask ? 1.0 : 0.0;
#pragma unroll
          for (c = 0; c < 4; c++) {
            sums[2 * b][c] = fma(low, own[c], sums[2 * b][c]);
            sums[2 * b + 1][c] = fma(high, own[c], sums[2 * b + 1][c]);
          }
        }
      }
    }
    __syncthreads();
  }
  for (b = 0; b < 2 * DRAW_BLOCKS; b++) {
    if (t.block + b / 2 >= a.blocks) continue;
    d = (t.block + b / 2) * 64 + b % 2 * 32 + threadIdx.x % 32;
    for (c = 0; c < 4; c++) {
      if (4 * warp + c < columns) t.out[d * item.columns + t.column + 4 * warp + c] = sums[b][c];
    }
  }
}
