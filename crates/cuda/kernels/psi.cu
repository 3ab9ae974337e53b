/* Influence values of a batch's units, one column an estimate that their segment enters; they live in scratch memory until their
 * products and draws are summed. A thread has one row and goes through all columns of its segment, so that design and outcomes of the row
 * are read from the device's memory once and come from the first cache after that; writing the columns is the bound. */

struct psi_segment {
  i64 first_column;
  i64 columns;
  i64 rows;
  double *out;
};

struct psi_column {
  /* Values of the column of ones or of a share; null for an estimate, the sum of its parts. */
  const double *source;
  i64 first_part;
  i64 parts;
};

/* A side of a comparison seen from a segment. */
struct psi_part {
  i64 frame;
  i64 treated;
  /* Scores and odds of the logit, rows of the frame each; null for regression alone. */
  const double *scores;
  i64 time;
  i64 base;
  /* beta, u, q, v: one a regressor each. */
  const double *arm;
  double gain;
  double shift;
};

struct psi_args {
  const struct frame *frames;
  const struct psi_segment *segments;
  const struct psi_column *columns;
  const struct psi_part *parts;
  const struct tile *tiles;
  i64 regressors;
};

/* The operations are those of the CPU's influence kernels, in their order. */
DEVICE double psi_value(const struct frame *f, const struct psi_part *part, i64 k, i64 row) {
  double fitted = 0.0, u = 0.0, q = 0.0, v = 0.0, e, w = f->weights[row];
  i64 j;
  for (j = 0; j < k; j++) {
    double x = f->design[j * f->rows + row];
    fitted = fma(x, part->arm[j], fitted);
    u = fma(x, part->arm[k + j], u);
    q = fma(x, part->arm[2 * k + j], q);
    v = fma(x, part->arm[3 * k + j], v);
  }
  e = outcome(f, part->time, row) - outcome(f, part->base, row) - fitted;
  if (part->treated) {
    double value = e * (part->gain + u) + (v + part->shift);
    if (part->scores) value = value - (1.0 - part->scores[row]) * q;
    return w * value;
  }
  if (part->scores) {
    double odds = part->scores[f->rows + row] * part->gain;
    return w * (part->scores[row] * q - e * u) - odds * (e - part->shift);
  }
  return 0.0 - w * e * u;
}

KERNEL(psi, 128) {
  const struct tile t = a.tiles[blockIdx.x];
  const struct psi_segment segment = a.segments[t.of];
  i64 at, c, p;
  for (at = threadIdx.x; at < t.rows; at += blockDim.x) {
    i64 row = t.first + at;
    for (c = 0; c < segment.columns; c++) {
      const struct psi_column column = a.columns[segment.first_column + c];
      double value = column.source ? column.source[row] : 0.0;
      for (p = 0; p < column.parts; p++) {
        const struct psi_part *part = a.parts + column.first_part + p;
        const struct frame f = a.frames[part->frame];
        value = value + psi_value(&f, part, a.regressors, row);
      }
      segment.out[c * segment.rows + row] = value;
    }
  }
}
