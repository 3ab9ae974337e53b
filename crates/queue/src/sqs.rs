//! A queue of Amazon SQS.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{Region, StalledStreamProtectionConfig};
use aws_sdk_sqs::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::MessageSystemAttributeName;
use stagger_model::error::FailureClass;
use stagger_protocol::messages::TaskFailure;

use super::queue::{Queue, QueueResult, ReceivedMessage};

/// The most seconds that SQS waits for a message, and that it hides one.
const LONGEST: (u64, u64) = (20, 12 * 3600);
/// Attempts per request; SQS answers in milliseconds, so a few cost nothing.
const ATTEMPTS: u32 = 4;

/// The time limit of a connection. A dead connection must not be waited for.
const CONNECT: Duration = Duration::from_secs(10);
/// The time limit of an attempt: the longest that a message is waited for, and as much again.
const ATTEMPT: Duration = Duration::from_secs(40);

/// A standard queue of Amazon SQS, by its URL.
#[derive(Clone, Debug)]
pub struct SqsQueue {
    client: Client,
    url: String,
}

impl SqsQueue {
    /// Returns the queue at a URL, with these credentials and this endpoint. Its region is the URL's where that names
    /// one.
    pub fn new(shared: &aws_config::SdkConfig, url: &str) -> Self {
        let mut config = aws_sdk_sqs::config::Builder::from(shared)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(
                TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(ATTEMPT).build(),
            );
        if let Some(region) = region_of(url) {
            config = config.region(Region::new(region.to_owned()));
        }
        Self { client: Client::from_conf(config.build()), url: url.to_owned() }
    }

    /// Returns the queue at a URL, with the credentials and endpoint of the environment.
    pub async fn connect(url: &str) -> Self {
        let shared =
            stagger_storage::shared_config(stagger_storage::shared_http_client()).await.into_builder();
        let still = StalledStreamProtectionConfig::disabled();
        Self::new(&shared.stalled_stream_protection(still).build(), url)
    }

    fn failure<E, R>(&self, action: &str, error: &SdkError<E, R>) -> TaskFailure
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug,
    {
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
        let class = class_of(code, error);
        let why = match (code, error.as_service_error().and_then(ProvideErrorMetadata::message)) {
            (Some(code), Some(message)) => format!("{code}: {}", message.trim_end_matches('.')),
            (Some(code), None) => code.to_owned(),
            _ => DisplayErrorContext(error).to_string(),
        };
        let failure = TaskFailure::new(class, format!("{action} on `{}`: {why}", self.url));
        match class {
            FailureClass::Credentials => {
                failure.with_hint("log in again, or set AWS_PROFILE; the run waits for it")
            }
            FailureClass::Permanent => failure.with_hint(format!(
                "check the URL (--queue, STAGGER_QUEUE) and that the role may {action}; docs/guide/permissions.md"
            )),
            _ => failure,
        }
    }
}

/// Returns the region that a URL names, as in `https://sqs.eu-west-1.amazonaws.com/…`; other endpoints name none.
fn region_of(url: &str) -> Option<&str> {
    let host = url.split_once("://")?.1.split('/').next()?;
    host.strip_prefix("sqs.")?
        .strip_suffix(".amazonaws.com")
        .or_else(|| host.strip_prefix("sqs.")?.strip_suffix(".amazonaws.com.cn"))
}

fn class_of<E, R>(code: Option<&str>, error: &SdkError<E, R>) -> FailureClass {
    match code {
        Some("ExpiredToken" | "ExpiredTokenException" | "RequestExpired" | "InvalidClientTokenId") => {
            FailureClass::Credentials
        }
        Some(code) if code.contains("Throttl") || code == "RequestLimitExceeded" || code == "OverLimit" => {
            FailureClass::Throttled
        }
        Some("InternalFailure" | "ServiceUnavailable" | "InternalError") => FailureClass::Lost,
        Some(_) => FailureClass::Permanent,
        // Credentials that could not be had, or a request that was never built.
        None if matches!(error, SdkError::ConstructionFailure(_)) => FailureClass::Credentials,
        None => FailureClass::Lost,
    }
}

fn seconds(time: Duration, most: u64) -> i32 {
    i32::try_from(time.as_secs_f64().ceil() as u64).unwrap_or(i32::MAX).min(most as i32)
}

#[async_trait]
impl Queue for SqsQueue {
    fn name(&self) -> String {
        self.url.clone()
    }

    async fn send(&self, body: &str) -> QueueResult<()> {
        let sent = self.client.send_message().queue_url(&self.url).message_body(body).send().await;
        sent.map(|_| ()).map_err(|e| self.failure("sqs:SendMessage", &e))
    }

    async fn receive(&self, wait: Duration, hidden: Duration) -> QueueResult<Option<ReceivedMessage>> {
        let asked = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(1)
            .wait_time_seconds(seconds(wait, LONGEST.0))
            .visibility_timeout(seconds(hidden, LONGEST.1))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .send()
            .await;
        let found = asked.map_err(|e| self.failure("sqs:ReceiveMessage", &e))?;
        let Some(message) = found.messages().first() else { return Ok(None) };
        let times = message
            .attributes()
            .and_then(|all| all.get(&MessageSystemAttributeName::ApproximateReceiveCount))
            .and_then(|count| count.parse().ok());
        Ok(Some(ReceivedMessage {
            body: message.body().unwrap_or_default().to_owned(),
            receipt: message.receipt_handle().unwrap_or_default().to_owned(),
            times: times.unwrap_or(1),
        }))
    }

    async fn change_visibility(&self, receipt: &str, hidden: Duration) -> QueueResult<()> {
        let call = self.client.change_message_visibility().queue_url(&self.url).receipt_handle(receipt);
        let hidden = call.visibility_timeout(seconds(hidden, LONGEST.1)).send().await;
        hidden.map(|_| ()).map_err(|e| self.failure("sqs:ChangeMessageVisibility", &e))
    }

    async fn delete(&self, receipt: &str) -> QueueResult<()> {
        let call = self.client.delete_message().queue_url(&self.url).receipt_handle(receipt);
        call.send().await.map(|_| ()).map_err(|e| self.failure("sqs:DeleteMessage", &e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_that_of_the_url() {
        assert_eq!(region_of("https://sqs.eu-west-1.amazonaws.com/123/tasks"), Some("eu-west-1"));
        assert_eq!(region_of("http://localhost:4566/000000000000/tasks"), None);
    }

    #[test]
    fn times_are_whole_seconds_within_what_the_service_takes() {
        assert_eq!(seconds(Duration::from_millis(250), LONGEST.0), 1);
        assert_eq!(seconds(Duration::ZERO, LONGEST.0), 0);
        assert_eq!(seconds(Duration::from_secs(90), LONGEST.0), 20);
    }
}
