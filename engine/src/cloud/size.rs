//! How many tasks a stage is cut into: as many as make it quick, or as few as make it cheap.

use std::time::Duration;

use crate::forecast;
use crate::load::StoredShards;
use crate::plan::Plan;
use crate::task::StageInput;

use super::Prefer;

/// Invocations a second that one controller starts: hundreds in flight, each answered within a good half second.
const INVOCATIONS: f64 = 1000.0;
/// Seconds of work that a task should have at least where the bill counts: below, its start and its requests do.
const CHEAP: f64 = 20.0;
/// Invocations take this long at least: a signed request there and back, and the start of the handler.
const START: f64 = 0.03;

/// Tasks of a stage over `shards` shards of `each` seconds: a power of two, so that each is a subtree of the reduction.
pub(super) fn tasks(
    shards: usize,
    each: f64,
    concurrency: usize,
    prefer: Prefer,
    wanted: Option<usize>,
) -> usize {
    let most = shards.next_power_of_two();
    if let Some(wanted) = wanted {
        return wanted.next_power_of_two().clamp(1, most);
    }
    let all = each * shards as f64;
    let count = match prefer {
        // all/T + T/INVOCATIONS is least here.
        Prefer::Time => (all * INVOCATIONS).sqrt(),
        Prefer::Cost => all / CHEAP,
    };
    let allowed = concurrency.min(most).max(1);
    // A power of two that does not pass what may run at a time.
    let floor = 1usize << allowed.ilog2();
    (count as usize).max(1).next_power_of_two().min(floor)
}

/// Seconds that one shard should take on a function, and a whole task of `shards` shards.
pub(super) fn expected<'a>(
    all: &StoredShards,
    shares: impl IntoIterator<Item = (&'a Plan, &'a StageInput)>,
    shards: usize,
    tasks: usize,
) -> (f64, Duration) {
    let each = forecast::shard_seconds(all, shares);
    let task = each * (shards as f64 / tasks.max(1) as f64) + START;
    (each, Duration::from_secs_f64(task))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_powers_of_two_within_what_is_allowed() {
        let time = |shards, each, most| tasks(shards, each, most, Prefer::Time, None);
        assert_eq!(time(4096, 0.1, 1000), 512, "all that may run at a time");
        assert_eq!(time(4096, 0.001, 1000), 64, "sqrt(4.096 s times 1000/s)");
        assert_eq!(time(1, 10.0, 1000), 1);
        assert_eq!(tasks(4096, 0.1, 1000, Prefer::Cost, None), 32);
        assert_eq!(tasks(64, 0.1, 1000, Prefer::Time, Some(10)), 16, "rounded up to a subtree each");
        assert_eq!(tasks(64, 0.1, 1000, Prefer::Time, Some(1000)), 64);
    }
}
