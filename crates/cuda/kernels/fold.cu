/* From the sums of tiles to those of shards, and from those to subtrees of the reduction tree: always in the order that the host lists, so
 * that no sum depends on which block is done first. The device's memory is the bound; together they read each tile's sums once. */

/* Sums of some tiles, added up and put to their place in the sums of a shard. */
struct fold_item {
  const double *in;
  i64 tiles;
  /* Between the sums of two tiles. */
  i64 stride;
  i64 rows;
  i64 columns;
  /* The upper triangle alone. */
  i64 upper;
  double *out;
  i64 out_stride;
  /* Places of rows and columns; null for their own numbers. */
  const i64 *row_places;
  const i64 *column_places;
  /* The greatest, not the sum. */
  i64 greatest;
};

/* Items that may go to the same place, one after the other. */
struct fold_group {
  i64 first;
  i64 count;
};

struct fold_args {
  const struct fold_item *items;
  const struct fold_group *groups;
};

KERNEL(fold, 128) {
  const struct fold_group group = a.groups[blockIdx.x];
  i64 n, e, tile;
  for (n = 0; n < group.count; n++) {
    const struct fold_item item = a.items[group.first + n];
    for (e = threadIdx.x; e < item.rows * item.columns; e += blockDim.x) {
      i64 row = e / item.columns, column = e % item.columns;
      double value = item.in[e], *to;
      if (item.upper && column < row) continue;
      for (tile = 1; tile < item.tiles; tile++) {
        double next = item.in[tile * item.stride + e];
        value = item.greatest ? fmax(value, next) : value + next;
      }
      to = item.out + (item.row_places ? item.row_places[row] : row) * item.out_stride +
           (item.column_places ? item.column_places[column] : column);
      *to = item.greatest ? fmax(*to, value) : *to + value;
    }
    /* The next item may go where this one went, by other threads. */
    __syncthreads();
  }
}

struct merge_pair {
  double *left;
  const double *right;
};

struct merge_args {
  const struct merge_pair *pairs;
  i64 blocks;
  /* Values that are added; of those after them the greatest is kept. */
  i64 sums;
  i64 values;
};

/* Adds the right subtrees' sums to the left ones': `blocks` blocks a pair. */
KERNEL(merge, 128) {
  const struct merge_pair pair = a.pairs[blockIdx.x / a.blocks];
  i64 e;
  for (e = (i64)(blockIdx.x % a.blocks) * blockDim.x + threadIdx.x; e < a.values; e += a.blocks * blockDim.x)
    pair.left[e] = e < a.sums ? pair.left[e] + pair.right[e] : fmax(pair.left[e], pair.right[e]);
}

struct fill_args {
  double *out;
  double sums;
  double greatest;
  /* Of every `values` values the first `added` are set to `sums`, the rest to `greatest`. */
  i64 added;
  i64 values;
  i64 all;
};

/* The values that adding and comparing start from. */
KERNEL(fill, 128) {
  i64 e;
  for (e = (i64)blockIdx.x * blockDim.x + threadIdx.x; e < a.all; e += (i64)gridDim.x * blockDim.x)
    a.out[e] = e % a.values < a.added ? a.sums : a.greatest;
}
