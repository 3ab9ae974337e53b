//! Backups: a second attempt at a task that takes much longer than the others of its stage.

use std::time::Duration;

use super::run::Run;
use super::stage::TaskStatus;

impl Run {
    /// Returns a task under way that deserves a backup, or the time at which the next one will.
    pub(super) fn late(&self, now: Duration) -> Result<usize, Option<Duration>> {
        let (Some(stage), policy) = (&self.stage, &self.pricing.policy) else { return Err(None) };
        // Before enough is done no time makes a task late, and an answer comes first: of tens of thousands none is looked at.
        if !policy.may_be_late(stage.done, stage.total) {
            return Err(None);
        }
        if stage.backups as f64 >= libm::ceil(policy.backup_most * stage.total as f64) {
            return Err(None);
        }
        let Some(median) = stage.durations[0].median() else { return Err(None) };
        let mut wakes: Option<Duration> = None;
        for attempt in self.attempts.of_stage(self.number).filter(|a| !a.backup && !a.pool) {
            let task = &stage.tasks[attempt.task];
            let Some(taken) = attempt.taken.filter(|_| task.status == TaskStatus::Running && !task.backup)
            else {
                continue;
            };
            let age = now.saturating_sub(taken);
            if policy.is_late(age, median, stage.done, stage.total) {
                return Ok(attempt.task);
            }
            let late = policy.late_after(median, stage.done, stage.total);
            let at = taken + late + Duration::from_millis(1);
            if at > now {
                wakes = Some(wakes.map_or(at, |known| known.min(at)));
            }
        }
        Err(wakes)
    }
}
