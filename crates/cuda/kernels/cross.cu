/* Cross products A'diag(w)B of columns over rows: Gram sums, Hessians, gradients, odds-weighted sums, influence products.
 *
 * A block takes some thousand rows and at most 32 x 32 products; a thread adds up 4 x 4 of them in registers over every n-th row. Rows pass
 * through shared memory once a block, where a thread reads 8 values for 16 products: with many columns the double-precision units
 * are the bound. With a handful of columns a block has threads to spare: they share the rows out among themselves, each column is read
 * from the device's memory once, and that memory is the bound. */

struct cross_item {
  const double *left;
  i64 left_stride;
  i64 left_count;
  /* One a row, by which the left columns are multiplied; null for none. */
  const double *weights;
  const double *right;
  i64 right_stride;
  i64 right_count;
};

struct cross_tile {
  i64 item;
  i64 first;
  i64 rows;
  /* First left and right column of the block's products. */
  i64 i;
  i64 j;
  /* Products of the tile's rows, left_count x right_count. */
  double *out;
};

struct cross_args {
  const struct cross_item *items;
  const struct cross_tile *tiles;
};

#define CROSS_THREADS 128
#define CROSS_WIDTH 32
/* Doubles of shared memory. */
#define CROSS_SPACE 4160

DEVICE i64 least(i64 a, i64 b) { return a < b ? a : b; }

/* Columns of `rows` rows from `first` on, row by row into shared memory; what is beyond them is zero. */
DEVICE void stage(double *to, i64 width, const double *from, i64 stride, i64 columns, i64 padded, const double *weights, i64 first,
                  i64 rows, i64 chunk) {
  i64 at;
  for (at = threadIdx.x; at < padded * chunk; at += blockDim.x) {
    i64 column = at / chunk, row = at % chunk;
    double value = 0.0;
    if (column < columns && row < rows) {
      value = from[column * stride + first + row];
      if (weights) value = value * weights[first + row];
    }
    to[row * width + column] = value;
  }
}

KERNEL(cross, CROSS_THREADS) {
  SHARED(work);
  const struct cross_tile t = a.tiles[blockIdx.x];
  const struct cross_item item = a.items[t.item];
  const i64 lefts = least(CROSS_WIDTH, item.left_count - t.i), rights = least(CROSS_WIDTH, item.right_count - t.j);
  const i64 down = (lefts + 3) / 4, across = (rights + 3) / 4;
  /* An odd width keeps threads of different rows apart in the banks of shared memory. */
  const i64 width = 4 * (down + across) + 1;
  const i64 chunk = least(CROSS_THREADS, CROSS_SPACE / width);
  i64 groups = 1, group = (i64)threadIdx.x / (down * across), place = (i64)threadIdx.x % (down * across);
  const i64 i = place / across * 4, j = 4 * down + place % across * 4;
  double sums[4][4];
  i64 start, row, e;
  int di, dj;
  while (groups * 2 * down * across <= CROSS_THREADS) groups *= 2;
  for (di = 0; di < 4; di++)
    for (dj = 0; dj < 4; dj++) sums[di][dj] = 0.0;
  for (start = 0; start < t.rows; start += chunk) {
    i64 rows = least(chunk, t.rows - start), first = t.first + start;
    stage(work, width, item.left + t.i * item.left_stride, item.left_stride, lefts, 4 * down, item.weights, first, rows, chunk);
    stage(work + 4 * down, width, item.right + t.j * item.right_stride, item.right_stride, rights, 4 * across, 0, first, rows, chunk);
    __syncthreads();
    if (group < groups) {
      for (row = group; row < rows; row += groups) {
        const double *own = work + row * width;
#pragma unroll
        for (di = 0; di < 4; di++)
#pragma unroll
          for (dj = 0; dj < 4; dj++) sums[di][dj] = fma(own[i + di], own[j + dj], sums[di][dj]);
      }
    }
    __syncthreads();
  }
  /* The groups' sums, added in the order of the groups. */
  if (group < groups) {
    for (di = 0; di < 4; di++)
      for (dj = 0; dj < 4; dj++) work[((group * down * across + place) * 4 + di) * 4 + dj] = sums[di][dj];
  }
  __syncthreads();
  for (e = threadIdx.x; e < lefts * rights; e += blockDim.x) {
    i64 ei = e / rights, ej = e % rights, g;
    i64 at = ((ei / 4 * across + ej / 4) * 4 + ei % 4) * 4 + ej % 4;
    double sum = work[at];
    for (g = 1; g < groups; g++) sum += work[g * down * across * 16 + at];
    t.out[(t.i + ei) * item.right_count + t.j + ej] = sum;
  }
}
