//! Failures of invocations that Lambda itself refused, or that brought no answer: a class for the state machine, words and a hint for
//! people.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use serde::Deserialize;
use stagger_model::error::FailureClass;
use stagger_protocol::messages::TaskFailure;

/// A request, as errors name it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The action as IAM calls it: `lambda:InvokeFunction`.
    pub action: &'static str,
    /// Name or ARN of the function; `*` for the account.
    pub resource: &'a str,
    /// The region that the call was sent to.
    pub region: &'a str,
}

/// The response of Lambda in place of an answer.
#[derive(Debug, Default)]
pub(super) struct ServiceError {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
    /// The limit of Lambda that was reached, as its `Reason` names it.
    pub(super) reason: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    #[serde(rename = "Reason")]
    reason: String,
}

impl Call<'_> {
    fn failure(&self, class: FailureClass, what: &str) -> TaskFailure {
        TaskFailure::new(class, format!("{} on `{}`: {what}", self.action, self.resource))
    }

    /// The failure for what the SDK says.
    pub fn explain<E>(&self, error: &SdkError<E>) -> TaskFailure
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        if let SdkError::ServiceError(service) = error {
            let raw = service.raw();
            let body: Option<Body> = raw.body().bytes().and_then(|bytes| serde_json::from_slice(bytes).ok());
            return self.refused(&ServiceError {
                status: raw.status().as_u16(),
                code: service.err().code().unwrap_or_default().to_owned(),
                message: service.err().message().unwrap_or_default().to_owned(),
                reason: body.unwrap_or_default().reason,
            });
        }
        if chain(error).any(|cause| cause.is::<CredentialsError>()) {
            return self.failure(FailureClass::Credentials, &no_credentials(error)).with_hint(NO_CREDENTIALS);
        }
        match error {
            SdkError::TimeoutError(_) => self.failure(FailureClass::Lost, "no answer in time"),
            SdkError::ResponseError(response) => {
                let what = format!("an answer that can't be read: {}", causes(error));
                match response.raw().status().as_u16() {
                    429 => self.failure(FailureClass::Throttled, &what),
                    _ => self.failure(FailureClass::Lost, &what),
                }
            }
            SdkError::DispatchFailure(dispatch) if !dispatch.is_user() => self
                .failure(FailureClass::Lost, &causes(error))
                .with_hint("check the network, the proxy settings and AWS_ENDPOINT_URL if it is set"),
            _ => self.failure(FailureClass::Permanent, &causes(error)),
        }
    }

    /// The failure for an answer of the service.
    pub(super) fn refused(&self, refused: &ServiceError) -> TaskFailure {
        use FailureClass as Class;
        let failure = |class| self.failure(class, &refused.words());
        match (refused.code.as_str(), refused.status) {
            (
                "TooManyRequestsException" | "ThrottlingException" | "Throttling" | "RequestLimitExceeded",
                _,
            )
            | (_, 429) => self.throttled(refused),
            // What a function in a VPC waits for, and what a deployment or a long rest makes it wait for: it passes.
            ("EC2ThrottledException" | "EC2UnexpectedException" | "ENILimitReachedException", _)
            | ("ENINotReadyException" | "SubnetIPAddressLimitReachedException", _)
            | ("ResourceConflictException" | "ResourceNotReadyException", _)
            | ("CodeArtifactUserPendingException", _) => failure(Class::Throttled),
            ("RequestTooLargeException" | "RequestEntityTooLargeException", _) | (_, 413) => {
                failure(Class::Permanent)
                    .with_hint("a task's message is a few KB at most: please report this as a bug")
            }
            ("ExpiredTokenException" | "ExpiredToken" | "TokenRefreshRequired" | "RequestExpired", _) => {
                failure(Class::Credentials).with_hint(EXPIRED)
            }
            ("InvalidSignatureException" | "SignatureDoesNotMatch", _) if refused.is_skewed() => {
                failure(Class::Permanent).with_hint("set this machine's clock")
            }
            ("RequestTimeTooSkewed", _) => failure(Class::Permanent).with_hint("set this machine's clock"),
            ("UnrecognizedClientException" | "InvalidSignatureException" | "InvalidClientTokenId", _)
            | ("SignatureDoesNotMatch" | "IncompleteSignatureException" | "InvalidAccessKeyId", _)
            | ("MissingAuthenticationTokenException" | "MissingAuthenticationToken", _) => {
                failure(Class::Credentials)
                    .with_hint("check the access key, its secret and the session token")
            }
            ("ResourceNotFoundException", _) | (_, 404) => self.missing(refused),
            ("AccessDeniedException" | "AccessDenied", _) | (_, 401 | 403) => self.denied(refused),
            // The function's own configuration: 5xx by number, but no attempt mends it.
            (code, _) if is_configuration(code) => failure(Class::Permanent)
                .with_hint("the function can't start as it is configured: `infra/deploy` it again"),
            // It may have run, and it may not.
            (_, 500..) => failure(Class::Lost),
            _ => failure(Class::Permanent),
        }
    }

    fn throttled(&self, refused: &ServiceError) -> TaskFailure {
        let failure = self.failure(FailureClass::Throttled, &refused.words());
        match refused.reason.as_str() {
            reason if reason.starts_with("ReservedFunctionConcurrent") => failure.with_hint(
                "the function's reserved concurrency is in use; raise it, or use fewer: --concurrency",
            ),
            reason if reason.starts_with("ConcurrentInvocationLimit") => failure.with_hint(
                "the account's concurrency is in use; ask AWS for more, or use fewer: --concurrency",
            ),
            _ => failure,
        }
    }

    fn missing(&self, refused: &ServiceError) -> TaskFailure {
        let what = format!("there is no such function in region {} ({})", self.region, refused.words());
        self.failure(FailureClass::Permanent, &what).with_hint(
            "check its name, AWS_REGION, and the account that the credentials are for; `infra/deploy` makes functions",
        )
    }

    fn denied(&self, refused: &ServiceError) -> TaskFailure {
        let what = format!("{} on {} is not allowed ({})", self.action, self.resource, refused.words());
        TaskFailure::new(FailureClass::Permanent, what).with_hint(
            "allow it in the policy of the user or role: `infra/deploy` names one that does (ControllerPolicy)",
        )
    }
}

/// Returns true if an error code of the service says that the function itself can't run.
fn is_configuration(code: &str) -> bool {
    ["KMS", "EFS", "S3Files", "Invalid"].iter().any(|start| code.starts_with(start))
        || matches!(
            code,
            "EC2AccessDeniedException"
                | "CodeArtifactUserFailedException"
                | "CodeArtifactUserDeletedException"
        )
}

impl ServiceError {
    /// Code and words, or the status where the service sent neither.
    fn words(&self) -> String {
        let message = self.message.trim().trim_end_matches('.');
        match (self.code.is_empty(), message.is_empty()) {
            (false, false) => format!("{}: {message}", self.code),
            (false, true) => self.code.clone(),
            (true, false) => message.to_owned(),
            (true, true) => format!("HTTP status {}", self.status),
        }
    }

    /// Signatures hold for five minutes around the service's time.
    fn is_skewed(&self) -> bool {
        ["Signature expired", "Signature not yet current"].iter().any(|start| self.message.starts_with(start))
    }
}

/// The hint where there are no credentials.
pub const NO_CREDENTIALS: &str = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or sign in with \
     `aws sso login`; on AWS, give the machine a role";
const EXPIRED: &str = "get new ones (`aws sso login`, or whatever set AWS_SESSION_TOKEN) and resume";

/// The causes of an error, the error itself first.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |cause: &&'a (dyn Error + 'static)| (*cause).source())
}

/// Returns the reason why there are no credentials. Where the metadata service of the machine was the last that was asked, none were
/// found anywhere.
pub fn no_credentials(error: &(dyn Error + 'static)) -> String {
    let said = causes(error);
    match said.contains("IMDS") || said.contains("no providers in chain") {
        true => {
            "no credentials: none in the environment, in the profile's files, or of this machine".to_owned()
        }
        false => said,
    }
}

/// Returns the messages of the causes of an error, each once, without the SDK's own outermost one.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    for cause in chain(error).skip(1) {
        // The credential chain tells of each provider on a line of its own.
        let words =
            cause.to_string().lines().map(str::trim).collect::<Vec<_>>().join("; ").replace(":; ", ": ");
        if !words.is_empty() && !said.iter().any(|earlier| earlier.contains(&words)) {
            said.push(words);
        }
    }
    if said.is_empty() { error.to_string() } else { said.join(": ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: &str, message: &str, reason: &str) -> TaskFailure {
        let call = Call { action: "lambda:InvokeFunction", resource: "f", region: "us-east-1" };
        call.refused(&ServiceError {
            status,
            code: code.into(),
            message: message.into(),
            reason: reason.into(),
        })
    }

    #[test]
    fn refusals_have_the_class_that_says_what_to_do() {
        use FailureClass::{Credentials, Lost, Permanent, Throttled};
        let cases = [
            (429, "TooManyRequestsException", Throttled),
            (429, "", Throttled),
            (502, "EC2ThrottledException", Throttled),
            (502, "ENILimitReachedException", Throttled),
            (409, "ResourceConflictException", Throttled),
            (413, "RequestEntityTooLargeException", Permanent),
            (413, "", Permanent),
            (500, "ServiceException", Lost),
            (503, "", Lost),
            (502, "KMSAccessDeniedException", Permanent),
            (502, "InvalidZipFileException", Permanent),
            (403, "ExpiredTokenException", Credentials),
            (403, "UnrecognizedClientException", Credentials),
            (403, "InvalidSignatureException", Credentials),
            (403, "AccessDeniedException", Permanent),
            (403, "", Permanent),
            (404, "ResourceNotFoundException", Permanent),
            (400, "InvalidRequestContentException", Permanent),
        ];
        for (status, code, class) in cases {
            assert_eq!(refused(status, code, "", "").class, class, "{status} {code}");
        }
    }

    #[test]
    fn a_wrong_clock_is_no_wrong_key() {
        let failure = refused(
            403,
            "InvalidSignatureException",
            "Signature expired: 20261121T100000Z is now earlier",
            "",
        );
        assert_eq!(failure.class, FailureClass::Permanent);
        assert!(failure.hint.unwrap().contains("clock"));
    }

    #[test]
    fn refusals_name_action_resource_and_remedy() {
        let denied = refused(403, "AccessDeniedException", "User: u is not authorized.", "");
        insta::assert_snapshot!(denied.message, @"lambda:InvokeFunction on f is not allowed (AccessDeniedException: User: u is not authorized)");
        let missing = refused(404, "ResourceNotFoundException", "Function not found: arn:x", "");
        insta::assert_snapshot!(missing.message, @"lambda:InvokeFunction on `f`: there is no such function in region us-east-1 (ResourceNotFoundException: Function not found: arn:x)");
        let full = refused(
            429,
            "TooManyRequestsException",
            "Rate Exceeded.",
            "ReservedFunctionConcurrentInvocationLimitExceeded",
        );
        assert!(full.hint.unwrap().contains("reserved concurrency"));
    }
}
