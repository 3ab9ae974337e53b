//! A message by Amazon SNS: how a run ended, what it cost, where its result is.

use aws_config::SdkConfig;
use aws_sdk_sns::Client;
use aws_sdk_sns::error::{ProvideErrorMetadata, SdkError};
use stagger_model::error::StaggerError;
use stagger_model::failure::Failure;
use stagger_storage::{check_environment, runtime};

use crate::lambda::{Clients, causes};

/// The longest subject that SNS takes.
const SUBJECT: usize = 100;

/// A message about a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunMessage {
    /// The name of the run.
    pub run: String,
    /// The state of the run: `finished`, `failed` or `stopped`.
    pub state: &'static str,
    /// Further facts, one on each line.
    pub lines: Vec<String>,
}

impl RunMessage {
    /// ASCII in one line, as SNS wants it.
    fn subject(&self) -> String {
        let text = format!("stagger: {} {}", self.run, self.state);
        text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '-' }).take(SUBJECT).collect()
    }

    fn text(&self) -> String {
        let mut out = format!("run {} {}\n", self.run, self.state);
        self.lines.iter().for_each(|line| out += &format!("{line}\n"));
        out
    }
}

/// A topic of Amazon SNS.
#[derive(Debug)]
pub struct SnsTopic {
    client: Client,
    topic: String,
}

impl SnsTopic {
    /// The topic of this ARN. Blocks.
    ///
    /// # Errors
    /// A text that is no ARN of a topic.
    pub fn open(topic: &str) -> Result<Self, Failure> {
        check_topic(topic)?;
        check_environment().map_err(StaggerError::from)?;
        let runtime = runtime().map_err(StaggerError::from)?;
        let shared = runtime.block_on(async { Clients::of_environment().await.shared_config().await });
        Ok(Self::new(&shared, topic))
    }

    /// Returns the topic with credentials that the caller gives.
    pub fn new(shared: &SdkConfig, topic: &str) -> Self {
        Self { client: Client::new(shared), topic: topic.to_owned() }
    }

    /// Sends it. Blocks.
    ///
    /// # Errors
    /// A topic that is not there, or may not be used.
    pub fn send(&self, notice: &RunMessage) -> Result<(), Failure> {
        let call =
            self.client.publish().topic_arn(&self.topic).subject(notice.subject()).message(notice.text());
        let sent = runtime().map_err(StaggerError::from)?.block_on(call.send());
        sent.map(|_| ()).map_err(|error| self.refused("sns:Publish", &error))
    }

    /// Asks for the topic before a run that would end without a word. Whoever may publish but not ask is not refused. Blocks.
    ///
    /// # Errors
    /// A topic that is not there, or a service that can't be reached.
    pub fn check_exists(&self) -> Result<(), Failure> {
        let call = self.client.get_topic_attributes().topic_arn(&self.topic);
        match runtime().map_err(StaggerError::from)?.block_on(call.send()) {
            Ok(_) => Ok(()),
            Err(error) if is_denied(error.code()) => Ok(()),
            Err(error) => Err(self.refused("sns:GetTopicAttributes", &error)),
        }
    }

    fn refused<E>(&self, action: &str, error: &SdkError<E>) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let why = match (error.code(), error.message()) {
            (Some(code), Some(message)) => format!("{code}: {}", message.trim_end_matches('.')),
            (Some(code), None) => code.to_owned(),
            _ => causes(error),
        };
        Failure::failed(format!("{action} on `{}`: {why}", self.topic))
            .hint("check --notify and that the role may publish there; docs/guide/permissions.md")
    }
}

fn is_denied(code: Option<&str>) -> bool {
    matches!(
        code,
        Some("AuthorizationError" | "AuthorizationErrorException" | "AccessDenied" | "AccessDeniedException")
    )
}

/// Refuses what is no ARN of a topic, before a run that would end without a word.
pub fn check_topic(topic: &str) -> Result<(), Failure> {
    let parts: Vec<&str> = topic.split(':').collect();
    match parts.as_slice() {
        ["arn", _, "sns", region, account, name]
            if [region, account, name].iter().all(|part| !part.is_empty()) =>
        {
            Ok(())
        }
        _ => Err(Failure::input(format!("notify must be the ARN of an SNS topic; received \"{topic}\""))
            .hint("arn:aws:sns:REGION:ACCOUNT:NAME")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lambda::scripted::{answer, serve, shared_config};

    #[test]
    fn a_topic_is_an_arn() {
        assert!(check_topic("arn:aws:sns:eu-west-1:123:stagger").is_ok());
        for wrong in ["stagger", "arn:aws:sqs:eu-west-1:123:stagger", "arn:aws:sns::123:x", ""] {
            assert!(check_topic(wrong).unwrap_err().to_string().contains("hint: arn:aws:sns"), "{wrong}");
        }
    }

    #[test]
    fn a_notice_is_sent_with_what_it_says() {
        let body = "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>";
        let (url, asked) = serve(Box::new(move |_| answer(200, "", body)));
        let notice =
            RunMessage { run: "nightly-ä".to_owned(), state: "finished", lines: vec!["$0.0123".to_owned()] };
        SnsTopic::new(&shared_config(&url), "arn:aws:sns:us-east-1:1:t").send(&notice).unwrap();
        let asked = asked.recv().unwrap();
        assert!(asked.contains("Action=Publish") && asked.contains("%240.0123"), "{asked}");
        assert_eq!(notice.subject(), "stagger: nightly-- finished");
        assert!(notice.text().contains("nightly-ä"));
    }

    #[test]
    fn a_topic_that_refuses_is_named() {
        let body = "<ErrorResponse><Error><Type>Sender</Type><Code>AuthorizationError</Code><Message>not you.</Message></Error></ErrorResponse>";
        let (url, _) = serve(Box::new(move |_| answer(403, "", body)));
        let sns = SnsTopic::new(&shared_config(&url), "arn:aws:sns:us-east-1:1:t");
        let notice = RunMessage { run: "r".to_owned(), state: "failed", lines: Vec::new() };
        let refused = sns.send(&notice).unwrap_err().to_string();
        assert!(refused.contains("AuthorizationError: not you") && refused.contains("hint: "), "{refused}");
    }

    #[test]
    fn a_topic_is_looked_for_before_the_run() {
        let answers = [
            (
                404,
                "<ErrorResponse><Error><Code>NotFound</Code><Message>Topic does not exist</Message></Error></ErrorResponse>",
                false,
            ),
            (
                403,
                "<ErrorResponse><Error><Code>AuthorizationError</Code><Message>not you</Message></Error></ErrorResponse>",
                true,
            ),
            (
                200,
                "<GetTopicAttributesResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><GetTopicAttributesResult><Attributes/></GetTopicAttributesResult></GetTopicAttributesResponse>",
                true,
            ),
        ];
        for (status, body, passes) in answers {
            let (url, _) = serve(Box::new(move |_| answer(status, "", body)));
            let found = SnsTopic::new(&shared_config(&url), "arn:aws:sns:us-east-1:1:t").check_exists();
            assert_eq!(found.is_ok(), passes, "{status}: {found:?}");
            if let Err(failure) = found {
                assert!(failure.to_string().contains("NotFound: Topic does not exist"), "{failure}");
            }
        }
    }
}
