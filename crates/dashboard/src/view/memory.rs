//! Peak memory of workers against what they may use.

/// Bins of the histogram: each a twentieth of the limit, the last one for what is over it.
pub const BINS: usize = 21;
/// Worst ones that are remembered.
const WORST: usize = 16;

/// The peak of memory of one attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Peak {
    /// The task, in words.
    pub task: String,
    /// The name of the function.
    pub function: String,
    /// The peak in bytes.
    pub peak: u64,
    /// The memory of the function in bytes; 0 where it is not known.
    pub limit: u64,
}

impl Peak {
    /// Share of the limit.
    pub fn share(&self) -> f64 {
        self.peak as f64 / self.limit.max(1) as f64
    }
}

/// Peaks of all tasks.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The number of attempts by share of the limit, in bins of equal width.
    pub bins: [u64; BINS],
    /// The highest shares, in descending order.
    pub worst: Vec<Peak>,
    /// The highest peak, whether its limit is known or not.
    pub highest: u64,
}

impl Memory {
    pub(super) fn add(&mut self, task: &str, function: &str, peak: u64, limit: u64) {
        self.highest = self.highest.max(peak);
        if peak == 0 || limit == 0 {
            return;
        }
        let bin = (peak as f64 / limit as f64 * (BINS - 1) as f64) as usize;
        self.bins[bin.min(BINS - 1)] += 1;
        let own = Peak { task: task.to_owned(), function: function.to_owned(), peak, limit };
        let place = self.worst.partition_point(|known| known.share() >= own.share());
        if place < WORST {
            self.worst.insert(place, own);
            self.worst.truncate(WORST);
        }
    }

    /// Tasks that told their peak.
    pub fn count(&self) -> u64 {
        self.bins.iter().sum()
    }
}
