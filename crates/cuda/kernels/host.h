/* Runs kernels on a processor: the blocks of a launch one after the other, the threads of a block as coroutines that take turns at
 * __syncthreads(). What a device forbids is found out: shared memory starts as NaN in every block, a barrier that some threads miss
 * is an error, and the order of the threads between barriers can be turned around, which shows where a barrier is missing. */
#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define STAGGER_HOST 1
#define DEVICE static inline
#define SHARED(name) double *const name = host_shared
#define KERNEL(name, threads)                                       \
  static void name(const struct name##_args a);                     \
  void host_##name(const void *words) {                             \
    struct name##_args own;                                         \
    memcpy(&own, words, sizeof own);                                \
    name(own);                                                      \
  }                                                                 \
  static void name(const struct name##_args a)

#define HOST_THREADS 1024
#define HOST_STACK (64 << 10)
/* Doubles behind what a launch asked for, which nobody may touch. */
#define HOST_GUARD 64

struct host_dim {
  unsigned x;
};

static struct host_dim threadIdx, blockIdx, blockDim, gridDim;
static double host_shared[16 << 10];
static void (*host_body)(const void *);
static const void *host_words;

static struct {
  ucontext_t context;
  jmp_buf at;
  char *stack;
  int made;
  int done;
} host_threads[HOST_THREADS];
static jmp_buf host_scheduler;

static void host_coroutine(void) {
  for (;;) {
    unsigned own = threadIdx.x;
    host_body(host_words);
    threadIdx.x = own;
    host_threads[own].done = 1;
    if (!_setjmp(host_threads[own].at)) _longjmp(host_scheduler, 1);
  }
}

static void __syncthreads(void) {
  unsigned own = threadIdx.x;
  if (!_setjmp(host_threads[own].at)) _longjmp(host_scheduler, 1);
  threadIdx.x = own;
}

static void host_resume(unsigned thread) {
  threadIdx.x = thread;
  if (_setjmp(host_scheduler)) return;
  if (host_threads[thread].made) _longjmp(host_threads[thread].at, 1);
  host_threads[thread].made = 1;
  host_threads[thread].stack = malloc(HOST_STACK);
  getcontext(&host_threads[thread].context);
  host_threads[thread].context.uc_stack.ss_sp = host_threads[thread].stack;
  host_threads[thread].context.uc_stack.ss_size = HOST_STACK;
  makecontext(&host_threads[thread].context, host_coroutine, 0);
  setcontext(&host_threads[thread].context);
}

/* 0; 1 where some threads of a block missed a barrier that others waited at; 2 where a device has no such launch; 3 where a block wrote
 * beyond its shared memory. */
int host_launch(void (*body)(const void *), const void *words, unsigned grid, unsigned block, unsigned shared, int backwards) {
  unsigned b, n;
  if (block > HOST_THREADS || shared + HOST_GUARD * sizeof(double) > sizeof host_shared) return 2;
  host_body = body;
  host_words = words;
  blockDim.x = block;
  gridDim.x = grid;
  for (b = 0; b < grid; b++) {
    unsigned done = 0;
    blockIdx.x = backwards ? grid - 1 - b : b;
    memset(host_shared, 0xff, shared + HOST_GUARD * sizeof(double));
    for (n = 0; n < block; n++) host_threads[n].done = 0;
    while (done < block) {
      done = 0;
      for (n = 0; n < block; n++) {
        unsigned thread = backwards ? block - 1 - n : n;
        host_resume(thread);
        done += (unsigned)host_threads[thread].done;
      }
      if (done != 0 && done != block) return 1;
    }
    for (n = 0; n < HOST_GUARD * sizeof(double); n++)
      if (((unsigned char *)host_shared)[shared + n] != 0xff) return 3;
  }
  return 0;
}
