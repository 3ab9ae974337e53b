//! A task of a preparation.

use bytes::Bytes;
use stagger_model::error::FailureClass;
use stagger_panel::prepare::stage::PrepareStage;
use stagger_panel::prepare::{OpenedInputs, PrepareTask, PrepareTaskError, compute_task};
use stagger_protocol::messages::{TaskFailure, Work};
use stagger_records::Source;

use super::{TaskAttempt, TaskResult};

/// Does one task of a step; returns JSON that tells what it made.
pub(super) fn run(attempt: &mut TaskAttempt<'_>, stage: &PrepareStage, work: &Work) -> TaskResult<Bytes> {
    attempt.options.places.check_writable(&stage.store)?;
    let storage = attempt.open(&stage.store)?;
    let task = PrepareTask::try_from(work)
        .map_err(|()| TaskFailure::new(FailureClass::Permanent, format!("{work} is no task of this step")))?;
    let source = open(attempt, stage, task)?;
    compute_task(
        stage,
        task,
        OpenedInputs { source: source.as_ref(), objects: None, scattered: None },
        &storage,
    )
    .map_err(|error| {
        let failure = match error {
            PrepareTaskError::Other(error) => TaskFailure::from(error),
            PrepareTaskError::Conflict(conflict) => {
                let mut failure = TaskFailure::new(FailureClass::Data, "rows contradict each other");
                failure.conflict = Some(Box::new(conflict));
                failure
            }
        };
        match stage.place(task) {
            Some(place) => failure.at(place),
            None => failure,
        }
    })
}

/// The part of the input that the task reads.
fn open(attempt: &TaskAttempt<'_>, stage: &PrepareStage, task: PrepareTask) -> TaskResult<Option<Source>> {
    let Some((input, chunks)) = stage.input_of(task) else { return Ok(None) };
    for &chunk in &chunks {
        attempt.options.places.check_readable(input.path(chunk))?;
    }
    let source = input.open(chunks, &|url| {
        let storage = (attempt.options.open)(url)?;
        attempt.count_requests(&storage);
        Ok(storage)
    })?;
    Ok(Some(source))
}
