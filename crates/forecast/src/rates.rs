//! Every constant of a forecast, with its source.
//!
//! *Measured* means: 21 November 2026, x86-64 virtual machine of 2 cores (AVX-512, 24 GB), release build, one thread, warm page
//! cache, on 1,000,000 units × 10 periods, 8 cohorts, 4 constant covariates, `dr`, 1000 draws, 64 shards (`stagger simulate --seed 1`);
//! seconds are those of `run.json`, memory is the peak of the resident set (`/usr/bin/time -v`).

const MIB: u64 = 1 << 20;

/// Nanoseconds per value (8 bytes) read from a shard: checksum, decoding, putting in place. Measured 4 to 7; 12 with
/// identifiers.
pub(super) const DECODE: f64 = 7.0;
/// Nanoseconds per multiply-add of a cross product. Measured: `gram` 18 to 26 per unit, with 62 products and 5 design
/// columns.
pub(super) const PRODUCT: f64 = 0.25;
/// Nanoseconds per value of the design put in a block.
pub(super) const ROW: f64 = 1.0;
/// Nanoseconds per logistic function. Measured: a round of `propensity` 10.6 per row and logit, five regressors.
pub(super) const SCORE: f64 = 4.0;
/// Nanoseconds per influence value and design column. Measured with the products of Ψ: 0.12 s without draws.
pub(super) const INFLUENCE: f64 = 0.4;
/// Nanoseconds per draw and column of Ψ. Measured: `influence` 0.80 s, for 22.4·10⁹ of them.
pub(super) const DRAW: f64 = 0.031;
/// Nanoseconds per value added to its cluster's sums, merging included: memory is accessed at random. Measured with
/// 20,000 clusters: `influence` 0.43 s, of which the draws over clusters take 0.05.
pub(super) const CLUSTER: f64 = 12.0;
/// Nanoseconds per value of the covariance of the extended columns, from its sum to the result.
pub(super) const COVARIANCE: f64 = 20.0;
/// Nanoseconds of the pre-test per cube of its cells: a factorisation and an inverse.
pub(super) const PRE_TEST: f64 = 0.5;
/// Nanoseconds per draw and column: quantiles, and the largest of all columns.
pub(super) const QUANTILE: f64 = 25.0;
/// Nanoseconds per row of files whose keys are read. Measured: `units` 24.
pub(super) const KEY_ROW: f64 = 25.0;
/// Nanoseconds per row whose unit is put in its place among all. Measured: `order` 8.
pub(super) const ORDER_ROW: f64 = 8.0;
/// Nanoseconds per row, and per value of it, that is read and put in its place. Measured: `values` 47, with five
/// values.
pub(super) const PLACE: [f64; 2] = [10.0, 8.0];
/// Nanoseconds per value that becomes part of a column. Measured: `columns` 56 per unit of 14 values.
pub(super) const COLUMN: f64 = 4.0;
/// Nanoseconds per row, and per value of it, in each of `scatter` and `gather`. Measured: `stagger prepare` 294 per
/// row of five values.
pub(super) const SHUFFLE: [f64; 2] = [40.0, 20.0];
/// Nanoseconds per byte that `combine` copies. Not measured: memory copies, and checksums.
pub(super) const COPY: f64 = 1.0;
/// The range of CPU seconds as multiples of those measured: other processors, other data, a machine that others use.
pub(super) const CPU_SPREAD: [f64; 3] = [0.6, 1.0, 2.2];

/// Rounds of the logits over all shards of a small panel, from the mean score.
pub(super) const ROUNDS: [usize; 3] = [1, 2, 6];
/// Rounds on a sixteenth of the shards; at most 4 (`estimation::estimate::steps`).
pub(super) const SAMPLE_ROUNDS: [usize; 3] = [2, 4, 4];
/// Rounds after a start on a sample, before the one that brings the moments (`estimation::estimate::starts`). Measured: 1. High: the
/// moments are summed once more, or a fit goes on, since a step was too long or a score lay at a bound.
pub(super) const STARTED_ROUNDS: [usize; 3] = [1, 1, 3];
/// The assumed number of clusters before they are counted: states, counties, firms.
pub(super) const FEW_CLUSTERS: u64 = 50_000;
/// The assumed number of levels of a factor before they are counted.
pub(super) const LEVELS: usize = 20;

/// Bytes of a process that does nothing yet: code, allocator, runtime. Measured: 31 MiB for a run on 500 units.
pub(super) const BASE: u64 = 40 * MIB;
/// Bytes of memory that a thread's allocator keeps beside those in use. Measured: a second thread adds 16 to 45 MiB
/// where a task holds 8 MiB.
pub(super) const THREAD: u64 = 8 * MIB;
/// Bytes from the system for each byte that a task holds at its peak, as freed memory is given back late. Measured:
/// see [`THREAD`].
pub(super) const ALLOCATOR: f64 = 4.0;
/// Bytes of a task beyond which its arrays are so large that the allocator gives each back to the system when it is
/// free.
pub(super) const LARGE: u64 = 32 * MIB;
/// Bytes from the system for each byte of shards that stay: size classes. Measured: 0.8 to 1.27.
pub(super) const SHARD_OVERHEAD: f64 = 1.25;
/// Bytes per row of the input that waits for its place: unit, period, and a batch. Measured: 198 MiB in all for 10⁷
/// rows.
pub(super) const WAITING: u64 = 6;
/// Bytes per unit while files are read: identifier, hash table, position.
pub(super) const UNIT: u64 = 48;
/// Bytes that a preparation holds beside its tasks (`prepare/shuffle.rs`).
pub(super) const PREPARATION_BASE: u64 = stagger_panel::prepare::PROCESS_BYTES;
/// Bytes of a shard's footer without its columns. Measured: 2,700 in all with 16 columns.
pub(super) const FOOTER: u64 = 500;
/// Bytes of a shard's footer per column. See [`FOOTER`].
pub(super) const FOOTER_COLUMN: u64 = 140;
/// Bytes of a column that only repeats the stratum: run-length codes and a dictionary. Measured: 100 to 250.
pub(super) const KEY_COLUMN: u64 = 200;
/// Bytes around the values of a column: the page's header.
pub(super) const PAGE_HEADER: u64 = 24;

/// Megabytes (2²⁰ bytes) of a function's memory that come with one vCPU (PLATFORM §2.1).
pub(super) const VCPU_MB: f64 = 1769.0;
/// CPU seconds on a whole vCPU for one of the measured machine (PLATFORM §3: doubled).
pub(super) const VCPU_FACTOR: f64 = 2.0;
/// Bytes a second between a function and S3: 78 MB/s are documented, 50 where others share it (PLATFORM §2.1, §3). Low
/// seconds first.
pub(super) const NETWORK: [f64; 3] = [78e6, 60e6, 40e6];
/// Seconds to the first byte of a request (PLATFORM §1.2).
pub(super) const LATENCY: [f64; 3] = [0.010, 0.015, 0.030];
/// Seconds until a written object is stored: three zones have it before S3 answers. An assumption: twice a read's
/// first byte.
pub(super) const WRITE: [f64; 3] = [0.020, 0.030, 0.060];
/// Seconds until a new function runs: 20 ms of start are billed (PLATFORM §2.1); the rest, for the place it runs in, is
/// an assumption.
pub(super) const COLD_START: [f64; 3] = [0.1, 0.2, 0.6];
/// Seconds of a cold start that are billed (PLATFORM §2.1).
pub(super) const COLD_START_BILLED: f64 = 0.02;
/// Seconds of an invocation around its handler: a signed request there, the answer back. An assumption, for a
/// controller in Europe or America near the region to one across an ocean.
pub(super) const INVOCATION_OVERHEAD: [f64; 3] = [0.015, 0.030, 0.150];
/// Invocations a second that one controller starts. Measured with `scale --invocations`: the AWS SDK signs and sends
/// 4,400 to 6,300 requests a second on the two slow cores of the measured machine, which serve them too (plain HTTP,
/// 500 and 1,000 under way). Likely is half of that, for TLS and the handshakes of new connections, which were not
/// measured. The 230 to 290 a second of PLATFORM §1.1 are a Python program's, and the high end here.
pub(super) const INVOCATIONS: [f64; 3] = [4000.0, 2000.0, 250.0];
/// Environments that a function has at once (PLATFORM §2.1).
pub(super) const ENVIRONMENTS_AT_ONCE: f64 = 1000.0;
/// Environments that follow each second: 1,000 every ten seconds (PLATFORM §2.1).
pub(super) const ENVIRONMENT_RAMP: f64 = 100.0;
/// Reads and writes a second of one partition of a bucket (PLATFORM §2.3). S3 splits a partition only after it was busy
/// for half an hour, so a run meets one; keys lie under 256 prefixes, so a bucket that S3 has split serves them all:
/// the low end.
pub(super) const PARTITION: [f64; 2] = [5500.0, 3500.0];
/// Partitions that the keys of a store lie in.
pub(super) const PARTITIONS: [f64; 3] = [256.0, 1.0, 1.0];
/// Bytes a second at which the controller receives partials. An assumption: 100 Mbit/s to 1 Gbit/s.
pub(super) const CONTROLLER: [f64; 3] = [120e6, 60e6, 12e6];
/// Reads of sums that the controller has under way (`coordinator::fold`).
pub(super) const CONTROLLER_READS: f64 = 128.0;
/// The share of attempts that take several times as long as the others without a reason of their own. An assumption.
pub(super) const STRAGGLERS: [f64; 3] = [0.0, 0.005, 0.02];
/// The mean delay of a stage by a straggler, in multiples of a task's seconds: a backup starts past three
/// (`schedule::policy`), but many end before, and beside another task's second round. An assumption; docs/scale.md
/// simulates it.
pub(super) const STRAGGLER_DELAY: f64 = 1.5;
/// Objects that the controller writes between two stages, one after the other: the stage's input, the state, a
/// journal entry.
pub(super) const CONTROLLER_WRITES: f64 = 3.0;
/// Seconds that the controller solves between two stages. An assumption: a few small systems per cell.
pub(super) const SOLVE: f64 = 0.005;
/// Dollars of a function's gigabyte-second, to choose the width of a shuffle by; bills take the price file's.
pub(super) const GB_SECOND: f64 = 1.67e-5;
/// Bytes of a function that does nothing yet: 16 MB (PLATFORM §2.1), a client of S3 and its buffers. An assumption.
pub(super) const FUNCTION: u64 = 64 * MIB;
/// Attempts per task: backup tasks and retries run some tasks twice. An assumption.
pub(super) const ATTEMPTS_PER_TASK: [f64; 3] = [1.0, 1.02, 1.15];
