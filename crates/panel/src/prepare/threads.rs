//! Executor on the threads of this process.

use std::cell::RefCell;
use std::sync::Mutex;

use bytes::Bytes;
use stagger_model::error::{Result, StaggerError};
use stagger_model::facts::StageFacts;
use stagger_model::parallel;
use stagger_model::progress::StageProgress;
use stagger_storage::Storage;

use super::conflict::RowConflict;
use super::executor::{Executor, PrepareTask, StepFailure};
use super::gather::{PrepareTaskError, ScatterObject};
use super::handout::ObjectReport;
use super::steps::OpenedInputs;
use super::{PreparationInput, steps};
use crate::prepare::stage::{PrepareStage, Step};

/// Executor of a preparation on threads; all tasks share the input that is open already.
pub(super) struct ThreadExecutor<'a> {
    order: &'a PreparationInput,
    storage: &'a Storage,
    threads: usize,
    progress: RefCell<StageProgress<'a>>,
    /// Reports of the tasks of the last step, as JSON.
    told: RefCell<Vec<Bytes>>,
}

impl<'a> ThreadExecutor<'a> {
    pub(super) fn new(
        order: &'a PreparationInput,
        storage: &'a Storage,
        threads: usize,
        progress: StageProgress<'a>,
    ) -> Self {
        Self { order, storage, threads, progress: RefCell::new(progress), told: RefCell::default() }
    }

    /// Returns the facts about the steps.
    pub(super) fn into_stages(self) -> Vec<StageFacts> {
        self.progress.into_inner().stages
    }
}

impl Executor for ThreadExecutor<'_> {
    fn execute(
        &self,
        name: &str,
        mut stage: PrepareStage,
        tasks: &[PrepareTask],
    ) -> std::result::Result<(), StepFailure> {
        let (objects, scattered) = handed(&mut stage);
        let opened = OpenedInputs {
            source: Some(&self.order.source),
            objects: objects.as_deref(),
            scattered: scattered.as_deref(),
        };
        let conflicts = FirstConflict::default();
        let made = self.progress.borrow_mut().stage(name, tasks.len(), |watch| {
            parallel::map(self.threads, tasks.len(), |index| {
                let made = steps::compute_task(&stage, tasks[index], opened, self.storage);
                let made = made.map_err(|error| conflicts.keep(index, error))?;
                watch.report_done();
                Ok(made)
            })
        });
        *self.told.borrow_mut() = conflicts.or(made)?;
        Ok(())
    }

    fn is_remote(&self) -> bool {
        false
    }

    fn results(&self, _tasks: &[PrepareTask]) -> Result<Vec<Bytes>> {
        Ok(self.told.take())
    }
}

/// Takes the objects that a combine step or a gather step is handed.
fn handed(stage: &mut PrepareStage) -> (Option<Vec<ObjectReport>>, Option<Vec<ScatterObject>>) {
    match &mut stage.step {
        Step::Combine { blocks, .. } => (Some(std::mem::take(&mut blocks.reports)), None),
        Step::Gather { blocks, common, .. } => {
            let reports = std::mem::take(&mut blocks.reports);
            (None, Some(reports.into_iter().map(|object| common.scattered(object)).collect()))
        }
        _ => (None, None),
    }
}

/// The contradiction between rows that the first of several such tasks found.
#[derive(Default)]
struct FirstConflict(Mutex<Option<(usize, RowConflict)>>);

impl FirstConflict {
    /// Returns the error that ends the step, and keeps a contradiction if it is that of the first task.
    fn keep(&self, task: usize, error: PrepareTaskError) -> StaggerError {
        match error {
            PrepareTaskError::Other(error) => error,
            PrepareTaskError::Conflict(conflict) => {
                let mut first = self.0.lock().unwrap_or_else(|e| e.into_inner());
                if first.as_ref().is_none_or(|(known, _)| task < *known) {
                    *first = Some((task, conflict));
                }
                StaggerError::input("rows contradict each other")
            }
        }
    }

    fn or<T>(self, made: Result<T>) -> std::result::Result<T, StepFailure> {
        match (made, self.0.into_inner().unwrap_or_else(|e| e.into_inner())) {
            (Err(_), Some((_, conflict))) => Err(StepFailure::Conflict(Box::new(conflict))),
            (made, _) => made.map_err(StepFailure::Other),
        }
    }
}
