/* Definitions for all kernels. The sources are the common subset of C and CUDA: NVRTC compiles them for a device, the system's C compiler
 * behind host.h for tests. Products are fused where fma() says so and nowhere else (--fmad=false, -ffp-contract=off), and no sum
 * depends on the order in which blocks run: the bits are decided here, not by a compiler or a device.
 *
 * Fields of descriptors are 8 bytes each, so that the host writes them as rows of words. */

typedef long long i64;
typedef unsigned long long u64;

#ifndef STAGGER_HOST
#define KERNEL(name, threads) \
  extern "C" __global__ void __launch_bounds__(threads) name(const struct name##_args a)
#define SHARED(name) extern __shared__ double name[]
#define DEVICE static __device__ __forceinline__
#endif

/* A segment of a shard in one frame: columns of `rows` values below each other. */
struct frame {
  const double *design;
  const double *used;
  const double *weights;
  /* Outcomes from the second column on; the first is zero everywhere. */
  const double *outcomes;
  i64 rows;
};

/* Rows `first .. first + rows` of a descriptor's rows. */
struct tile {
  i64 of;
  i64 first;
  i64 rows;
  double *out;
};

DEVICE double outcome(const struct frame *f, i64 column, i64 row) {
  return column == 0 ? 0.0 : f->outcomes[(column - 1) * f->rows + row];
}

DEVICE double from_bits(u64 bits) {
  union {
    u64 bits;
    double value;
  } both;
  both.bits = bits;
  return both.value;
}

DEVICE u64 to_bits(double value) {
  union {
    u64 bits;
    double value;
  } both;
  both.value = value;
  return both.bits;
}

/* e^x, |x| clamped to 700: the operations of the CPU's lanes::exp, so that scores have its bits. */
DEVICE double exponential(double x) {
  const double round = 6755399441055744.0;
  double shifted, n, r, p;
  x = x < 700.0 ? x : 700.0;
  x = x > -700.0 ? x : -700.0;
  shifted = fma(x, 1.4426950408889634, round);
  n = shifted - round;
  r = fma(n, -1.9082149292705877e-10, fma(n, -6.931471803691238e-1, x));
  p = 1.0 / 6227020800.0;
  p = fma(p, r, 1.0 / 479001600.0);
  p = fma(p, r, 1.0 / 39916800.0);
  p = fma(p, r, 1.0 / 3628800.0);
  p = fma(p, r, 1.0 / 362880.0);
  p = fma(p, r, 1.0 / 40320.0);
  p = fma(p, r, 1.0 / 5040.0);
  p = fma(p, r, 1.0 / 720.0);
  p = fma(p, r, 1.0 / 120.0);
  p = fma(p, r, 1.0 / 24.0);
  p = fma(p, r, 1.0 / 6.0);
  p = fma(p, r, 0.5);
  p = fma(p * r, r, r) + 1.0;
  return p * from_bits((to_bits(shifted) - to_bits(round) + 1023) << 52);
}

/* log y, 1 <= y <= 2: lanes::ln_one_to_two. */
DEVICE double log_one_to_two(double y) {
  const double root = 1.4142135623730951;
  double m = y < root ? y : y * 0.5;
  double offset = y < root ? 0.0 : 0.6931471805599453;
  double s = (m - 1.0) / (m + 1.0);
  double s2 = s * s;
  double p = 1.0 / 21.0;
  p = fma(p, s2, 1.0 / 19.0);
  p = fma(p, s2, 1.0 / 17.0);
  p = fma(p, s2, 1.0 / 15.0);
  p = fma(p, s2, 1.0 / 13.0);
  p = fma(p, s2, 1.0 / 11.0);
  p = fma(p, s2, 1.0 / 9.0);
  p = fma(p, s2, 1.0 / 7.0);
  p = fma(p, s2, 1.0 / 5.0);
  p = fma(p, s2, 1.0 / 3.0);
  return fma(fma(s2 * p, s, s), 2.0, offset);
}

/* One thread's value becomes the block's: a tree of fixed shape over `blockDim.x` (a power of two) values. */
DEVICE double block_sum(double *work, double value) {
  unsigned step;
  double sum;
  work[threadIdx.x] = value;
  __syncthreads();
  for (step = blockDim.x / 2; step > 0; step /= 2) {
    if (threadIdx.x < step) work[threadIdx.x] += work[threadIdx.x + step];
    __syncthreads();
  }
  sum = work[0];
  /* `work` may be written again only when everyone has read. */
  __syncthreads();
  return sum;
}

DEVICE double block_max(double *work, double value) {
  unsigned step;
  double most;
  work[threadIdx.x] = value;
  __syncthreads();
  for (step = blockDim.x / 2; step > 0; step /= 2) {
    if (threadIdx.x < step) work[threadIdx.x] = fmax(work[threadIdx.x], work[threadIdx.x + step]);
    __syncthreads();
  }
  most = work[0];
  __syncthreads();
  return most;
}
