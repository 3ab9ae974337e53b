//! The policies of a run for failures, slowness and cost: pure functions, with every constant and its reason in
//! [`Policy`].

use std::time::Duration;

use stagger_model::error::FailureClass;

/// Constants of a run's policies.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Attempts of a task that got lost or brought damaged bytes, until it is split or given up (Dask's
    /// allowed-failures: 3).
    pub attempts: u32,
    /// The upper end of the first pause after a failure; every further failure doubles it.
    pub pause: Duration,
    /// The upper end of any pause. A function that is throttled is free again within seconds.
    pub longest_pause: Duration,
    /// The pause while credentials are renewed, and the time for which a run waits for them before it stops,
    /// resumable.
    pub credentials: (Duration, Duration),
    /// The number of tasks of a stage from which on backup tasks pay (Cubed: 10).
    pub backup_tasks: usize,
    /// The share of a stage that must be done before (Spark 4 raised its default to 0.9; our stages are short).
    pub backup_share: f64,
    /// The multiple of the median beyond which a task is late (Cubed and Spark 4: 3).
    pub backup_multiple: f64,
    /// The share of a stage from which on a smaller multiple holds: few tasks are left to be repeated in vain, and all wait for them.
    pub nearly_share: f64,
    /// That multiple.
    pub nearly_multiple: f64,
    /// The duration below which no task is late: starting a function would cost more than waiting.
    pub backup_earliest: Duration,
    /// The most backups of a stage, as a share of its tasks: a stage that is slow as a whole must not be done twice.
    pub backup_most: f64,
    /// The multiple of the stage's median after which an attempt gives up by itself.
    pub limit_multiple: f64,
    /// The least time that an attempt has in any case.
    pub limit_least: Duration,
    /// The time for which no task is sent to a pool after no worker took one.
    pub absence: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            attempts: 3,
            pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(10),
            credentials: (Duration::from_secs(5), Duration::from_secs(300)),
            backup_tasks: 10,
            backup_share: 0.75,
            backup_multiple: 3.0,
            nearly_share: 0.95,
            nearly_multiple: 1.6,
            backup_earliest: Duration::from_millis(500),
            backup_most: 0.1,
            limit_multiple: 20.0,
            limit_least: Duration::from_secs(30),
            absence: Duration::from_secs(300),
        }
    }
}

/// The remedy for a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The same attempt again, after a pause of at most this; the caller adds jitter.
    Retry(Duration),
    /// An attempt on the next larger function.
    LargerFunction,
    /// Smaller tasks.
    Split,
    /// Nothing helps: the shard is given up and named, and the run fails.
    Quarantine,
    /// No attempt can succeed: the run fails at once.
    Fail,
}

/// The state of a task when an attempt fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedAttempt {
    /// The class of the failure.
    pub class: FailureClass,
    /// Failures so far that count against the task, this one included.
    pub failures: u32,
    /// Throttled attempts so far, this one included if it is one.
    pub throttles: u32,
    /// True if a larger function is configured.
    pub larger: bool,
    /// True if the task can be split.
    pub splits: bool,
}

impl Policy {
    /// Returns the remedy for a failed attempt (PLATFORM §5: classes 1 to 5, 9, 10).
    pub fn remedy(&self, failed: FailedAttempt) -> Remedy {
        match failed.class {
            FailureClass::Data | FailureClass::Permanent => Remedy::Fail,
            FailureClass::Throttled => Remedy::Retry(self.backoff(failed.throttles)),
            FailureClass::Credentials => Remedy::Retry(self.credentials.0),
            // The pool has waited long enough already.
            FailureClass::Absent => Remedy::Retry(Duration::ZERO),
            // Machines come and go; that says nothing of the task.
            FailureClass::Returned => Remedy::Retry(self.pause),
            FailureClass::OutOfMemory if failed.larger => Remedy::LargerFunction,
            // The same work on the same function takes as much time and memory as before.
            FailureClass::OutOfMemory | FailureClass::TimedOut if failed.splits => Remedy::Split,
            FailureClass::TimedOut if failed.larger => Remedy::LargerFunction,
            FailureClass::OutOfMemory
            | FailureClass::TimedOut
            | FailureClass::Lost
            | FailureClass::Corrupt
                if failed.failures < self.attempts =>
            {
                Remedy::Retry(self.backoff(failed.failures))
            }
            // One shard of several may be the one that kills its worker: splitting finds it.
            _ if failed.splits => Remedy::Split,
            _ => Remedy::Quarantine,
        }
    }

    /// Returns whether a task that a pool failed to do goes to a function instead; `class` is that of the last
    /// failure.
    pub fn leaves_pool(&self, class: FailureClass, failures: u32) -> bool {
        match class {
            FailureClass::Absent | FailureClass::OutOfMemory => true,
            FailureClass::Data
            | FailureClass::Permanent
            | FailureClass::Throttled
            | FailureClass::Returned => false,
            _ => failures >= self.attempts,
        }
    }

    fn backoff(&self, count: u32) -> Duration {
        self.pause.saturating_mul(1 << count.saturating_sub(1).min(16)).min(self.longest_pause)
    }

    /// Returns whether enough of a stage is done for backups.
    pub fn may_be_late(&self, done: usize, tasks: usize) -> bool {
        tasks >= self.backup_tasks && done as f64 >= self.backup_share * tasks as f64
    }

    /// Returns whether an attempt under way for `age` deserves a backup, in a stage of which `done` of `tasks` are
    /// done in `median` each.
    pub fn is_late(&self, age: Duration, median: Duration, done: usize, tasks: usize) -> bool {
        self.may_be_late(done, tasks) && age > self.late_after(median, done, tasks)
    }

    /// Returns the time under way after which an attempt is late.
    pub fn late_after(&self, median: Duration, done: usize, tasks: usize) -> Duration {
        let nearly = done as f64 >= self.nearly_share * tasks as f64;
        let multiple = if nearly { self.nearly_multiple } else { self.backup_multiple };
        self.backup_earliest.max(median.mul_f64(multiple))
    }

    /// Returns the time after which an attempt gives up by itself; at most the `function`'s own limit.
    pub fn timeout(&self, median: Option<Duration>, function: Duration) -> Duration {
        let own = median.map(|m| m.mul_f64(self.limit_multiple).max(self.limit_least));
        own.map_or(function, |own| own.min(function))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(class: FailureClass, failures: u32) -> FailedAttempt {
        FailedAttempt { class, failures, throttles: 0, larger: false, splits: false }
    }

    #[test]
    fn bad_data_are_never_tried_again() {
        for class in [FailureClass::Data, FailureClass::Permanent] {
            let all = FailedAttempt { larger: true, splits: true, ..failed(class, 1) };
            assert_eq!(Policy::default().remedy(all), Remedy::Fail);
        }
    }

    #[test]
    fn throttled_tasks_wait_ever_longer_and_are_never_given_up() {
        let policy = Policy::default();
        let pause = |throttles| match policy
            .remedy(FailedAttempt { throttles, ..failed(FailureClass::Throttled, 0) })
        {
            Remedy::Retry(pause) => pause.as_millis(),
            other => panic!("{other:?}"),
        };
        assert_eq!([1, 2, 3, 7, 1000].map(pause), [200, 400, 800, 10_000, 10_000]);
    }

    #[test]
    fn memory_is_answered_by_a_larger_function_then_by_smaller_pieces() {
        let policy = Policy::default();
        let oom = failed(FailureClass::OutOfMemory, 1);
        assert_eq!(
            policy.remedy(FailedAttempt { larger: true, splits: true, ..oom }),
            Remedy::LargerFunction
        );
        assert_eq!(policy.remedy(FailedAttempt { splits: true, ..oom }), Remedy::Split);
        assert!(matches!(policy.remedy(oom), Remedy::Retry(_)));
        assert_eq!(policy.remedy(FailedAttempt { failures: 3, ..oom }), Remedy::Quarantine);
    }

    #[test]
    fn what_takes_too_long_is_split_first() {
        let policy = Policy::default();
        let late = failed(FailureClass::TimedOut, 1);
        assert_eq!(policy.remedy(FailedAttempt { larger: true, splits: true, ..late }), Remedy::Split);
        assert_eq!(policy.remedy(FailedAttempt { larger: true, ..late }), Remedy::LargerFunction);
        assert_eq!(policy.remedy(FailedAttempt { failures: 3, ..late }), Remedy::Quarantine);
    }

    #[test]
    fn a_task_that_is_lost_three_times_is_searched_for_the_shard_that_kills_it() {
        let policy = Policy::default();
        let lost = |failures| failed(FailureClass::Lost, failures);
        assert!(matches!(policy.remedy(FailedAttempt { splits: true, ..lost(2) }), Remedy::Retry(_)));
        assert_eq!(policy.remedy(FailedAttempt { splits: true, ..lost(3) }), Remedy::Split);
        assert_eq!(policy.remedy(lost(3)), Remedy::Quarantine);
    }

    #[test]
    fn backups_start_late_and_in_stages_that_are_nearly_done() {
        let (policy, second) = (Policy::default(), Duration::from_secs(1));
        assert!(policy.is_late(second * 4, second, 8, 10));
        assert!(!policy.is_late(second.mul_f64(1.4), second, 8, 10), "less than three times the median");
        assert!(!policy.is_late(second * 4, second, 7, 10), "less than three quarters done");
        assert!(!policy.is_late(second * 4, second, 9, 9), "a small stage");
        let short = Duration::from_millis(10);
        assert!(!policy.is_late(short * 5, short, 9, 10), "starting another costs more than waiting");
        let near = second.mul_f64(1.7);
        assert!(policy.is_late(near, second, 96, 100), "all wait for the last ones");
        assert!(!policy.is_late(near, second, 94, 100), "more than a twentieth is left");
    }

    #[test]
    fn attempts_are_limited_by_what_others_took() {
        let (policy, function) = (Policy::default(), Duration::from_secs(300));
        assert_eq!(policy.timeout(None, function), function);
        assert_eq!(policy.timeout(Some(Duration::from_millis(100)), function), Duration::from_secs(30));
        assert_eq!(policy.timeout(Some(Duration::from_secs(5)), function), Duration::from_secs(100));
        assert_eq!(policy.timeout(Some(Duration::from_secs(50)), function), function);
    }
}
