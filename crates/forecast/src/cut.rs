//! The number of tasks that a stage is cut into: as many as make it quick, or as few as make it cheap.

use std::time::Duration;

use stagger_schedule::Function;

use crate::{CloudRates, FunctionFleet, Prefer, TaskLoad, stage_load};

/// The least seconds of work of a task where the bill counts: below, its start and its requests dominate.
const CHEAP: f64 = 20.0;
/// Megabytes of a function with one vCPU, which is all that a task uses.
const ONE_VCPU: f64 = 1769.0;

/// The options that a stage is cut by.
#[derive(Clone, Copy, Debug)]
pub struct TaskSizing {
    /// Tasks at a time.
    pub concurrency: usize,
    /// The quantity to minimise: seconds or dollars.
    pub prefer: Prefer,
    /// The number of tasks that a person asked for, if any.
    pub wanted: Option<usize>,
}

/// Returns the number of tasks of a stage over `shards` shards, each of which takes `one`: a power of two, so that
/// each task is a subtree of the reduction.
///
/// For time it is the cut that the forecast finds quickest. It may have more tasks than run at a time: of 1,000
/// workers a cut into 512 leaves half idle, and one into 4,096 takes five rounds of an eighth.
pub fn choose_task_count(shards: usize, one: &TaskLoad, cut: TaskSizing) -> usize {
    let most = shards.next_power_of_two();
    if let Some(wanted) = cut.wanted {
        return wanted.next_power_of_two().clamp(1, most);
    }
    let rates = CloudRates::of(1);
    let functions = FunctionFleet { concurrency: cut.concurrency.max(1), megabytes: ONE_VCPU };
    let cuts = (0..=most.trailing_zeros()).map(|power| 1usize << power);
    match cut.prefer {
        Prefer::Time => {
            let seconds = |tasks| stage_load("", shards, tasks, *one).seconds(&rates, &functions);
            let all = cuts.map(|tasks| (tasks, seconds(tasks)));
            all.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(1, |(tasks, _)| tasks)
        }
        Prefer::Cost => {
            let all = one.with_parts(shards).seconds(&rates, 1.0);
            let floor = 1usize << functions.concurrency.ilog2();
            ((all / CHEAP) as usize).max(1).next_power_of_two().min(floor).min(most)
        }
    }
}

/// Returns the time that a task over its share of the shards should take, as the controller sees it.
pub fn expected_duration(one: &TaskLoad, shards: usize, tasks: usize) -> Duration {
    let rates = CloudRates::of(1);
    let task = one.with_parts(shards.div_ceil(tasks.max(1)));
    Duration::from_secs_f64(task.seconds(&rates, 1.0) + rates.functions.invoke)
}

/// The share of a function's memory that a bound may reach: the worker's guard acts beyond it.
const USABLE: f64 = 0.9;

/// Returns the bytes of a function that tasks may be planned to take.
pub fn usable_memory(function: &Function) -> u64 {
    ((u64::from(function.memory_mb) << 20) as f64 * USABLE) as u64
}

/// Returns the functions that tasks are sized for: a pool beside functions takes only tasks that they could do too.
pub fn functions_without_pool(mut functions: Vec<Function>) -> Vec<Function> {
    if functions.len() > 1 {
        functions.retain(|function| !function.is_pool());
    }
    functions
}

/// Returns the index of the smallest function with `bytes` bytes of usable memory; of the largest, where none has.
pub fn smallest_function(functions: &[Function], bytes: u64) -> usize {
    let fits = functions.iter().position(|function| usable_memory(function) >= bytes);
    fits.unwrap_or(functions.len().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ReadLoad;

    /// A shard that takes `seconds` on a vCPU, which is half as fast as the measured machine.
    fn shard(seconds: f64, sum: f64) -> TaskLoad {
        let part = ReadLoad { bytes: 0.0, gets: 0.1, waits: 0.0 };
        TaskLoad { parts: 1, part, compute: seconds * 0.5e9, written: sum, puts: 1.0, ..TaskLoad::default() }
    }

    fn time(shards: usize, seconds: f64, sum: f64, concurrency: usize) -> usize {
        choose_task_count(
            shards,
            &shard(seconds, sum),
            TaskSizing { concurrency, prefer: Prefer::Time, wanted: None },
        )
    }

    #[test]
    fn tasks_are_powers_of_two_that_take_the_least_time() {
        assert_eq!(time(1, 10.0, 1e3, 1000), 1);
        assert_eq!(time(4096, 0.001, 1e3, 1000), 64, "about sqrt(4 s times 1000 a second)");
        assert_eq!(
            time(4096, 0.1, 1e3, 1000),
            2048,
            "three rounds of two shards, which lose less to a straggler"
        );
        assert_eq!(time(4096, 10.0, 1e3, 1000), 4096, "five rounds of one shard, not one of eight");
        assert!(
            time(32_768, 1.0, 700e3, 1000) < 32_768,
            "sums of every shard would cost more than they save"
        );
    }

    #[test]
    fn few_workers_get_several_rounds_only_where_that_is_quicker() {
        assert!((16..=32).contains(&time(64, 1.0, 1e3, 16)), "two rounds at most, for stragglers");
        assert!(time(64, 1.0, 1e3, 24) > 16, "three rounds of one shard in place of one of four");
    }

    #[test]
    fn the_bill_wants_few_tasks_and_a_person_may_say() {
        let cut = |prefer, wanted| TaskSizing { concurrency: 1000, prefer, wanted };
        assert_eq!(choose_task_count(4096, &shard(0.1, 1e3), cut(Prefer::Cost, None)), 32);
        assert_eq!(
            choose_task_count(64, &shard(0.1, 1e3), cut(Prefer::Time, Some(10))),
            16,
            "rounded up to a subtree each"
        );
        assert_eq!(choose_task_count(64, &shard(0.1, 1e3), cut(Prefer::Time, Some(1000))), 64);
    }

    #[test]
    fn tasks_begin_on_the_smallest_function_that_has_the_memory() {
        let functions = [1769, 3538, 10_240].map(|memory_mb| Function::lambda("", memory_mb));
        let on = |mb: u64| smallest_function(&functions, mb << 20);
        assert_eq!([on(100), on(1590), on(1700), on(9000), on(20_000)], [0, 0, 1, 2, 2]);
    }
}
