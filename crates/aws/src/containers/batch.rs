//! Jobs of AWS Batch that run workers: submitted when a run begins, ended with it.

use std::sync::{Mutex, PoisonError};

use aws_config::SdkConfig;
use aws_sdk_batch::Client;
use aws_sdk_batch::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_batch::types::{ArrayProperties, ContainerOverrides, JobStatus, KeyValuePair};
use stagger_coordinator::BatchRequest;
use stagger_model::error::FailureClass;
use stagger_model::failure::Failure;
use stagger_protocol::messages::TaskFailure;

/// The longest name that Batch gives a job.
const NAME: usize = 128;
/// The reason that the console of AWS Batch shows of a job that was ended.
const OVER: &str = "the run is over";
/// Statuses of jobs that have not ended.
const ALIVE: [JobStatus; 5] =
    [JobStatus::Submitted, JobStatus::Pending, JobStatus::Runnable, JobStatus::Starting, JobStatus::Running];

/// Jobs for one run.
#[derive(Debug)]
pub struct Batch {
    client: Client,
    request: BatchRequest,
    queue_url: String,
    job: Mutex<Option<String>>,
}

impl Batch {
    /// Jobs of this queue and definition, whose workers take tasks from `queue_url`.
    pub fn new(shared: &SdkConfig, request: BatchRequest, queue_url: &str) -> Self {
        Self { client: Client::new(shared), request, queue_url: queue_url.to_owned(), job: Mutex::default() }
    }

    /// Submits the jobs.
    ///
    /// # Errors
    /// A queue or definition that is not there, or may not be used.
    pub async fn submit(&self, run: &str) -> Result<(), TaskFailure> {
        let name = run.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let variable = KeyValuePair::builder().name("STAGGER_QUEUE").value(&self.queue_url).build();
        let mut call = self
            .client
            .submit_job()
            .job_name(job_name(name))
            .job_queue(&self.request.queue)
            .job_definition(&self.request.definition)
            .container_overrides(ContainerOverrides::builder().environment(variable).build())
            .tags("stagger-run", name);
        // An array has two jobs at least.
        if let (2.., Ok(size)) = (self.request.workers, i32::try_from(self.request.workers)) {
            call = call.array_properties(ArrayProperties::builder().size(size).build());
        }
        let submitted = call.send().await.map_err(|e| failure("batch:SubmitJob", &self.request.queue, &e))?;
        *self.job() = submitted.job_id().map(str::to_owned);
        Ok(())
    }

    /// Ends what is left of them: workers have been told already, and those that still start would find nothing to do.
    pub async fn terminate(&self) {
        let Some(job) = self.job().take() else { return };
        // They end by themselves when their queue stays empty; so a refusal costs minutes, not the result.
        let _ = self.client.terminate_job().job_id(job).reason(OVER).send().await;
    }

    fn job(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.job.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the jobs of a run whose controller is gone, in one job queue; how many there were.
///
/// # Errors
/// A queue that is not there, or may not be looked at.
pub async fn terminate_jobs(shared: &SdkConfig, queue: &str, run: &str) -> Result<usize, Failure> {
    let (client, name, mut ended_jobs) = (Client::new(shared), job_name(run), 0);
    for status in ALIVE {
        let mut pages = client.list_jobs().job_queue(queue).job_status(status).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| refused("batch:ListJobs", queue, &e))?;
            let own = page.job_summary_list().iter().filter(|job| job.job_name() == Some(name.as_str()));
            for job in own {
                let call = client.terminate_job().job_id(job.job_id().unwrap_or_default());
                let ended = call.reason("its controller is gone").send().await;
                ended.map_err(|e| refused("batch:TerminateJob", queue, &e))?;
                ended_jobs += 1;
            }
        }
    }
    Ok(ended_jobs)
}

/// `stagger-RUN`, of the letters that Batch allows.
fn job_name(run: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    format!("stagger-{run}").chars().map(allowed).take(NAME).collect()
}

fn refused<E, R>(action: &str, resource: &str, error: &SdkError<E, R>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    let failure = failure(action, resource, error);
    Failure::failed(failure.message).maybe_hint(failure.hint)
}

fn failure<E, R>(action: &str, resource: &str, error: &SdkError<E, R>) -> TaskFailure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    let service = error.as_service_error();
    let why =
        match (service.and_then(ProvideErrorMetadata::code), service.and_then(ProvideErrorMetadata::message))
        {
            (Some(code), Some(message)) => format!("{code}: {}", message.trim_end_matches('.')),
            (Some(code), None) => code.to_owned(),
            _ => DisplayErrorContext(error).to_string(),
        };
    TaskFailure::new(FailureClass::Permanent, format!("{action} on `{resource}`: {why}")).with_hint(
        "check --batch QUEUE:DEFINITION and that your role has the policy of infra/stagger-jobs.yaml; docs/guide/permissions.md",
    )
}

#[cfg(test)]
mod names {
    use super::job_name;

    #[test]
    fn jobs_are_named_after_their_run() {
        assert_eq!(job_name("20261121-103012-kqzt"), "stagger-20261121-103012-kqzt");
        assert_eq!(job_name("a.b"), "stagger-a-b");
        assert_eq!(job_name(&"x".repeat(200)).len(), 128);
    }
}
