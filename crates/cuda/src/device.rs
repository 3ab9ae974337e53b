//! The device as passes use it: memory, copies, launches. The driver's implementation is in `driver`, one that needs
//! no GPU in `emulated`.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::{CudaError, Result};

/// Threads of every block: a power of two, and four warps.
pub const THREADS: u32 = 128;

/// Bytes of a word: all memory is counted in values of 8 bytes.
pub const WORD: u64 = 8;

/// A kernel of `kernels/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceFunction {
    /// Residuals, variances and deviances of logits.
    LogitScores,
    /// Scores, odds and variances of logits at their final coefficients.
    OddsScores,
    /// Influence values.
    Psi,
    /// Multiplier bits.
    Bits,
    /// Cross products.
    Cross,
    /// Sums over units whose bit is 1.
    Draws,
    /// Sums of tiles added to sums of shards.
    Fold,
    /// Sums of two subtrees added.
    Merge,
    /// Starting values.
    Fill,
}

impl DeviceFunction {
    /// All kernels.
    pub const ALL: [Self; 9] = [
        Self::LogitScores,
        Self::OddsScores,
        Self::Psi,
        Self::Bits,
        Self::Cross,
        Self::Draws,
        Self::Fold,
        Self::Merge,
        Self::Fill,
    ];

    /// Returns the name in the sources.
    pub fn name(self) -> &'static str {
        match self {
            Self::LogitScores => "logit_scores",
            Self::OddsScores => "odds_scores",
            Self::Psi => "psi",
            Self::Bits => "bits",
            Self::Cross => "cross",
            Self::Draws => "draws",
            Self::Fold => "fold",
            Self::Merge => "merge",
            Self::Fill => "fill",
        }
    }

    /// Returns the bytes of shared memory of a block, as the sources expect.
    pub fn shared_memory(self) -> u32 {
        let doubles = match self {
            Self::LogitScores | Self::OddsScores => THREADS,
            Self::Cross => 4160,
            // 32 units × (16 columns and 4 words).
            Self::Draws => 32 * 20,
            _ => 0,
        };
        doubles * WORD as u32
    }
}

/// The least work of a launch, from which the share of a device's peaks that it reaches is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LaunchWork {
    /// Bytes that must be read or written, each once.
    pub bytes: f64,
    /// Double-precision operations; a fused product and sum are two.
    pub operations: f64,
}

impl LaunchWork {
    /// Adds the work of another part: `values` values of 8 bytes, and operations.
    pub fn add(&mut self, values: usize, operations: usize) {
        self.bytes += values as f64 * WORD as f64;
        self.operations += operations as f64;
    }
}

/// A queue of a device, which works in order. The two queues wait for each other only at [`Device::wait_for_copies`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Copies of shards.
    Copy,
    /// All other work.
    Compute,
}

/// A device. Work is queued and its errors may show later; `download` waits.
pub trait Device: Debug + Send + Sync {
    /// Returns the device's name, for logs.
    fn name(&self) -> String;

    /// Returns the bytes of its memory that are free for use.
    fn available(&self) -> u64;

    /// Allocates `words` words and returns their address, for use on `queue` from now on.
    ///
    /// # Errors
    /// No memory left.
    fn allocate(&self, queue: Stream, words: usize) -> Result<u64>;

    /// Frees memory once all work that is queued for computing is done.
    fn free(&self, address: u64);

    /// Copies `words` words to `address`; `fill` writes all of them to the memory that is copied from, before this
    /// returns.
    ///
    /// # Errors
    /// The driver's.
    fn upload(
        &self,
        queue: Stream,
        address: u64,
        words: usize,
        fill: &mut dyn FnMut(&mut [u64]),
    ) -> Result<()>;

    /// Waits for all work that is queued for computing, then copies from `address`.
    ///
    /// # Errors
    /// The driver's, those of earlier work among them.
    fn download(&self, address: u64, out: &mut [f64]) -> Result<()>;

    /// Queues `grid` blocks of a kernel; `words` is the kernel's structure of arguments, `work` is for measurements.
    ///
    /// # Errors
    /// The driver's.
    fn launch(&self, function: DeviceFunction, grid: u32, words: &[u64], work: LaunchWork) -> Result<()>;

    /// Makes work that is queued for computing from now on wait for the copies queued so far.
    ///
    /// # Errors
    /// The driver's.
    fn wait_for_copies(&self) -> Result<()>;
}

/// Bytes of device memory in use by passes.
#[derive(Debug, Default)]
pub struct MemoryUsage {
    used: AtomicU64,
    peak: AtomicU64,
}

impl MemoryUsage {
    /// Returns the bytes in use.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Returns the most bytes that were in use.
    pub fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(used, Ordering::Relaxed);
    }
}

/// A device with a limit on the memory that is used of it.
#[derive(Clone, Debug)]
pub struct BoundedDevice {
    /// The device.
    pub device: Arc<dyn Device>,
    /// Bytes in use.
    pub usage: Arc<MemoryUsage>,
    /// The most bytes that may be in use.
    pub limit: u64,
}

/// Words in a device's memory, freed when dropped.
#[derive(Debug)]
pub struct Buffer {
    device: Arc<dyn Device>,
    usage: Arc<MemoryUsage>,
    address: u64,
    words: usize,
}

impl BoundedDevice {
    /// Returns a device of which at most `limit` bytes are used; all that is free where absent.
    pub fn new(device: Arc<dyn Device>, limit: Option<u64>) -> Self {
        let limit = limit.unwrap_or(u64::MAX).min(device.available());
        Self { device, usage: Arc::default(), limit }
    }

    /// Allocates `words` words, at least one, so that every buffer has an address; `what` names its use in errors.
    ///
    /// # Errors
    /// More than the bound, or than the device has.
    pub fn buffer(&self, queue: Stream, words: usize, what: &'static str) -> Result<Buffer> {
        let words = words.max(1);
        let wanted = words as u64 * WORD;
        let used = self.usage.used();
        let full = CudaError::OutOfMemory { what, wanted, used, limit: self.limit };
        if used + wanted > self.limit {
            return Err(full);
        }
        let address = self.device.allocate(queue, words).map_err(|error| match error {
            CudaError::OutOfMemory { .. } => full,
            other => other,
        })?;
        self.usage.take(wanted);
        Ok(Buffer { device: Arc::clone(&self.device), usage: Arc::clone(&self.usage), address, words })
    }
}

impl Buffer {
    /// Returns the address of its first word.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Returns the address of one of its words.
    pub fn at(&self, word: usize) -> u64 {
        self.address + word as u64 * WORD
    }

    /// Returns its size in words.
    pub fn words(&self) -> usize {
        self.words
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.usage.used.fetch_sub(self.words as u64 * WORD, Ordering::Relaxed);
        self.device.free(self.address);
    }
}
