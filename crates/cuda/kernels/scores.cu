/* Scores of logits, one part a (segment, frame, logit). Every design value is read once a part and rows of one column lie side by side,
 * so the device's memory is the bound: k + 2 values in and 2 or 3 out a row, against about 60 operations. All parts of all shards of
 * a batch go in one launch. */

struct score_part {
  i64 frame;
  const double *beta;
  i64 treated;
  /* Weigh by the mask alone: the guard logit. */
  i64 unweighted;
  /* Columns of the frame's rows. */
  double *out;
};

struct logit_scores_args {
  const struct frame *frames;
  const struct score_part *parts;
  const struct tile *tiles;
  i64 regressors;
  /* Derivatives of the weights, one column a regressor, follow the scores. */
  i64 slopes;
};

struct odds_scores_args {
  const struct frame *frames;
  const struct score_part *parts;
  const struct tile *tiles;
  i64 regressors;
  /* Derivatives of the variances and of the odds, one column a regressor each, follow the scores. */
  i64 slopes;
};

DEVICE double linear_index(const struct frame *f, const double *beta, i64 regressors, i64 row) {
  double eta = 0.0;
  i64 j;
  for (j = 0; j < regressors; j++) eta = fma(f->design[j * f->rows + row], beta[j], eta);
  return eta;
}

/* Writes w(D - p) and w p(1 - p); a tile's sums are the deviance, minus the least index of the treated, their greatest, and the
 * greatest of the controls. */
KERNEL(logit_scores, 128) {
  SHARED(work);
  const struct tile t = a.tiles[blockIdx.x];
  const struct score_part part = a.parts[t.of];
  const struct frame f = a.frames[part.frame];
  const double *weights = part.unweighted ? f.used : f.weights;
  const double least = -from_bits(0x7ff0000000000000ULL);
  double deviance = 0.0, low = least, high = least;
  i64 at;
  for (at = threadIdx.x; at < t.rows; at += blockDim.x) {
    i64 row = t.first + at;
    double eta = linear_index(&f, part.beta, a.regressors, row);
    double e = exponential(eta < 0.0 ? eta : 0.0 - eta);
    double large = 1.0 / (1.0 + e), small = e * large;
    double p = eta < 0.0 ? small : large, q = eta < 0.0 ? large : small;
    double w = weights[row], wrong = part.treated ? 0.0 - eta : eta;
    part.out[row] = w * (part.treated ? q : 0.0 - p);
    part.out[f.rows + row] = w * p * q;
    if (a.slopes) {
      double bend = w * p * q * (q - p);
      i64 j;
      for (j = 0; j < a.regressors; j++) part.out[(2 + j) * f.rows + row] = bend * f.design[j * f.rows + row];
    }
    deviance = fma(w, wrong > 0.0 ? wrong : 0.0, deviance);
    deviance = fma(w, log_one_to_two(1.0 + e), deviance);
    if (f.used[row] > 0.5) {
      low = fmax(low, 0.0 - eta);
      high = fmax(high, eta);
    }
  }
  deviance = block_sum(work, deviance);
  low = block_max(work, low);
  high = block_max(work, high);
  if (threadIdx.x == 0) {
    t.out[0] = 2.0 * deviance;
    t.out[1] = part.treated ? low : least;
    t.out[2] = part.treated ? high : least;
    t.out[3] = part.treated ? least : high;
  }
}

/* Writes the capped score p, the odds weight w p/(1 - p) of untrimmed rows and w p(1 - p); a tile's sums are the trimmed controls and the
 * rows of low score,
 * and, with derivatives, the largest x'x and minus the smallest distances of an index from a jump of the row's weight and from the bound
 * of low scores. */
KERNEL(odds_scores, 128) {
  SHARED(work);
  const struct tile t = a.tiles[blockIdx.x];
  const struct score_part part = a.parts[t.of];
  const struct frame f = a.frames[part.frame];
  const double cap = 1.0 - 1e-6, trim = 0.995;
  const double jump = part.treated ? 13.815509557963773 : 5.293304824724492, count = -6.906754778648554;
  const double none = -from_bits(0x7ff0000000000000ULL);
  double square = none, jumps = none, lows = none;
  double trimmed = 0.0, low = 0.0;
  i64 at;
  for (at = threadIdx.x; at < t.rows; at += blockDim.x) {
    i64 row = t.first + at;
    double eta = linear_index(&f, part.beta, a.regressors, row);
    double e = exponential(eta < 0.0 ? eta : 0.0 - eta);
    double large = 1.0 / (1.0 + e), small = e * large;
    double p = eta < 0.0 ? small : large, q = eta < 0.0 ? large : small;
    double w = f.weights[row], kept;
    p = p < cap ? p : cap;
    q = q > 1.0 - cap ? q : 1.0 - cap;
    kept = p < trim ? 1.0 : 0.0;
    part.out[row] = p;
    part.out[f.rows + row] = w * kept * (p / q);
    part.out[2 * f.rows + row] = w * p * q;
    trimmed += p < trim ? 0.0 : f.used[row];
    low += p < 1e-3 ? f.used[row] : 0.0;
    if (a.slopes) {
      double bend = p < cap ? w * p * q * (1.0 - 2.0 * p) : 0.0, odds = w * kept * (p / q), own = 0.0;
      i64 j;
      for (j = 0; j < a.regressors; j++) {
        double x = f.design[j * f.rows + row];
        part.out[(3 + j) * f.rows + row] = bend * x;
        part.out[(3 + a.regressors + j) * f.rows + row] = odds * x;
        own = fma(x, x, own);
      }
      square = fmax(square, own);
      if (f.used[row] > 0.5) {
        jumps = fmax(jumps, -fabs(eta - jump));
        lows = fmax(lows, -fabs(eta - count));
      }
    }
  }
  trimmed = block_sum(work, trimmed);
  low = block_sum(work, low);
  square = block_max(work, square);
  jumps = block_max(work, jumps);
  lows = block_max(work, lows);
  if (threadIdx.x == 0) {
    t.out[0] = part.treated ? 0.0 : trimmed;
    t.out[1] = low;
    t.out[2] = square;
    t.out[3] = jumps;
    t.out[4] = lows;
  }
}
