//! The executor of a session: the steps of a preparation are stages of the run.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use stagger_model::error::Result;
use stagger_panel::prepare::stage::PrepareStage;
use stagger_panel::prepare::{Executor, PrepareTask, StepFailure};
use stagger_protocol::keys;
use stagger_protocol::messages::{TaskFailure, Work};
use stagger_protocol::objects::{StageObject, encode_object};

use super::WorkerFailure;
use super::session::{Session, StagePlan};

/// Has the workers of a session do the tasks of a preparation.
pub(super) struct SessionExecutor<'a, 'b>(RefCell<&'a mut Session<'b>>);

impl<'a, 'b> SessionExecutor<'a, 'b> {
    /// Returns the executor of a session.
    pub(super) fn new(session: &'a mut Session<'b>) -> Self {
        Self(RefCell::new(session))
    }
}

impl Executor for SessionExecutor<'_, '_> {
    fn execute(
        &self,
        name: &str,
        stage: PrepareStage,
        tasks: &[PrepareTask],
    ) -> std::result::Result<(), StepFailure> {
        let mut session = self.0.borrow_mut();
        let runtime = Arc::clone(&session.settings.runtime);
        let bytes = encode_object(&StageObject::Prepare(Box::new(stage)))?;
        let mut outcome = Ok(None);
        runtime.block_on(async {
            let object = session.objects.put(bytes, keys::shared_object).await?;
            outcome = session.run_stage(name, &object, works(tasks), StagePlan::default(), None).await;
            Ok(())
        })?;
        match outcome {
            Ok(_) => Ok(()),
            Err(WorkerFailure::Task { failure: TaskFailure { conflict: Some(conflict), .. }, .. }) => {
                Err(StepFailure::Conflict(conflict))
            }
            Err(other) => Err(StepFailure::Other(other.into())),
        }
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn results(&self, tasks: &[PrepareTask]) -> Result<Vec<Bytes>> {
        let session = self.0.borrow();
        let runtime = Arc::clone(&session.settings.runtime);
        runtime.block_on(session.results(&works(tasks)))
    }
}

fn works(tasks: &[PrepareTask]) -> Vec<Work> {
    tasks.iter().copied().map(Work::from).collect()
}
