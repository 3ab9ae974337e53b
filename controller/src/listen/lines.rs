//! A line for each stage and each notable event, where there is no terminal to draw on.

use std::collections::HashSet;

use stagger_dashboard::view::{Level, RunView, message};
use stagger_model::events::RunEvent;
use stagger_model::numbers::counted;

/// Seconds from which a stage of a short run is worth a line.
const LONG: f64 = 2.0;

/// The state of the lines: what has been told of the run.
#[derive(Debug)]
pub(crate) struct LineReporter {
    /// A run on workers tells every stage.
    workers: bool,
    view: RunView,
    /// Causes of failures that were told.
    causes: HashSet<String>,
}

impl LineReporter {
    /// Returns the lines of a run that has not begun, on workers or not.
    pub(crate) fn new(workers: bool) -> Self {
        Self { workers, view: RunView::new(""), causes: HashSet::new() }
    }

    /// The line of an event, if it is worth one: `[12.3 s] stage 4 moments: 128 tasks in 1.2 s`.
    pub(crate) fn line(&mut self, at: f64, event: &RunEvent) -> Option<String> {
        let before = self.view.errors.groups().len();
        // Attempts that a long run has forgotten are of no use here: only stages and causes are.
        self.view.update(at, event);
        let elapsed = at - self.view.progress.begun.unwrap_or(at);
        let text = self.text(event, self.view.errors.groups().len() > before)?;
        Some(format!("[{elapsed:.1} s] {text}"))
    }

    fn text(&mut self, event: &RunEvent, new: bool) -> Option<String> {
        match event {
            RunEvent::StageDone { number, stage, seconds } if self.workers || *seconds >= LONG => {
                let view = self.view.stages.iter().rev().find(|known| known.number == *number);
                let tasks = view.map_or(0, |view| view.tasks);
                let failed = match view.map_or(0, |view| view.attempts.failures) {
                    0 => String::new(),
                    n => format!(", {n} attempts failed"),
                };
                let tasks = counted(tasks as u64, "task");
                Some(format!("stage {number} {stage}: {tasks} in {seconds:.1} s{failed}"))
            }
            RunEvent::Failed { remedy, .. } if new || remedy == "given up" => {
                let (level, text) = message(event)?;
                let sign = if level == Level::Error { "error" } else { "failed" };
                self.causes.insert(text.clone()).then(|| format!("{sign}: {text}"))
            }
            RunEvent::Workers { .. } | RunEvent::Planned { .. } if self.workers => {
                message(event).map(|(_, text)| text)
            }
            RunEvent::Invoked { backup: true, .. } if self.workers => message(event).map(|(_, text)| text),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use stagger_model::error::FailureClass;
    use stagger_model::events::TaskDone;

    use super::*;

    fn failed(message: &str) -> RunEvent {
        RunEvent::Failed {
            attempt: 1,
            class: FailureClass::Lost,
            message: message.into(),
            place: None,
            hint: None,
            remedy: "again".into(),
            took: 1.0,
        }
    }

    #[test]
    fn a_stage_and_a_cause_are_a_line_each() {
        let mut lines = LineReporter::new(true);
        let events = [
            RunEvent::StageStarted { number: 1, stage: "gram".into(), tasks: 2, object: None },
            failed("answer 1 is lost"),
            failed("answer 2 is lost"),
            RunEvent::Done(TaskDone { done: 2, tasks: 2, ..TaskDone::default() }),
            RunEvent::StageDone { number: 1, stage: "gram".into(), seconds: 0.5 },
        ];
        let told: Vec<String> =
            events.iter().enumerate().filter_map(|(at, event)| lines.line(at as f64, event)).collect();
        assert_eq!(
            told,
            [
                "[1.0 s] failed: lost: answer 1 is lost; again",
                "[4.0 s] stage 1 gram: 2 tasks in 0.5 s, 2 attempts failed"
            ]
        );
        let mut short = LineReporter::new(false);
        assert!(
            events.iter().filter_map(|event| short.line(0.0, event)).all(|line| line.contains("failed:"))
        );
    }
}
