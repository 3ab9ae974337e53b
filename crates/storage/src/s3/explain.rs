//! Explanations of S3's refusals: their class, their message and their remedy.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::error::ObjectState;
use crate::{StoreError, StoreErrorKind};

/// A request, as error messages describe it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    /// The action's name in IAM, without `s3:`.
    pub(super) action: &'static str,
    /// The bucket's name.
    pub(super) bucket: &'a str,
    /// The whole key, or the prefix of a list.
    pub(super) key: &'a str,
    /// The state of the object that a "precondition failed" answer to this request means.
    pub(super) refused: ObjectState,
}

/// The service's answer to a request that failed.
#[derive(Debug, Default)]
pub(super) struct ServiceAnswer {
    /// The HTTP status, if one came.
    pub(super) status: Option<u16>,
    /// S3's error code; answers to HEAD have none.
    pub(super) code: String,
    /// S3's message.
    pub(super) message: String,
    /// The bucket's region, if the answer names it.
    pub(super) region: Option<String>,
}

impl Request<'_> {
    fn url(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }

    /// Returns the resource as an IAM policy must name it.
    fn arn(&self) -> String {
        match self.action {
            "ListBucket" => format!("arn:aws:s3:::{}", self.bucket),
            _ => format!("arn:aws:s3:::{}/{}", self.bucket, self.key),
        }
    }

    /// Returns an error of this request.
    pub(super) fn error(&self, kind: StoreErrorKind, reason: &str) -> StoreError {
        StoreError::new(kind, format!("s3:{} on `{}`: {reason}", self.action, self.url()))
    }

    /// Returns the error for the state of the object.
    pub(super) fn in_state(&self, state: ObjectState) -> StoreError {
        self.error(state.kind(), state.words())
    }

    /// Returns the error that explains an error of the SDK.
    pub(super) fn explain<E>(&self, error: &SdkError<E>) -> StoreError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        if let SdkError::ServiceError(service) = error {
            let raw = service.raw();
            let failure = ServiceAnswer {
                status: Some(raw.status().as_u16()),
                code: service.err().code().unwrap_or_default().to_owned(),
                message: service.err().message().unwrap_or_default().to_owned(),
                region: raw.headers().get("x-amz-bucket-region").map(str::to_owned),
            };
            return self.refusal(&failure);
        }
        if lacks_credentials(error) {
            return self.error(StoreErrorKind::Credentials, &no_credentials(error)).with_hint(NO_CREDENTIALS);
        }
        let endpoint = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        match error {
            SdkError::TimeoutError(_) => self
                .error(StoreErrorKind::Unavailable, "no answer in time")
                .with_hint(unreachable_hint(&endpoint))
                .mark_silent(),
            SdkError::ResponseError(response) => {
                let reason = format!("an answer that can't be read: {}", reasons(error));
                match response.raw().status().as_u16() {
                    503 | 429 => self.error(StoreErrorKind::Throttled, &reason),
                    _ => self.error(StoreErrorKind::Unavailable, &reason),
                }
            }
            SdkError::DispatchFailure(dispatch) if !dispatch.is_user() => self
                .error(StoreErrorKind::Unavailable, &reasons(error))
                .with_hint(unreachable_hint(&endpoint))
                .mark_silent(),
            _ => self.error(StoreErrorKind::Other, &reasons(error)),
        }
    }

    /// Returns the error that explains an answer of the service.
    pub(super) fn refusal(&self, failure: &ServiceAnswer) -> StoreError {
        use StoreErrorKind as Kind;
        let error = |kind| self.error(kind, &failure.words());
        match (failure.code.as_str(), failure.status.unwrap_or_default()) {
            ("NoSuchBucket", _) => self
                .error(Kind::Bucket, &format!("there is no bucket `{}`", self.bucket))
                .with_hint("check the bucket's name, and the account and endpoint that the credentials are for"),
            ("PermanentRedirect" | "TemporaryRedirect" | "IllegalLocationConstraintException", _)
            | ("AuthorizationHeaderMalformed", _)
            | (_, 301 | 307) => self.elsewhere(failure),
            ("ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "RequestExpired", _) => {
                error(Kind::Credentials).with_hint(EXPIRED)
            }
            ("InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "UnrecognizedClientException", _) => {
                error(Kind::Credentials).with_hint("check the access key, its secret and the session token")
            }
            ("RequestTimeTooSkewed", _) => error(Kind::Other).with_hint("set this machine's clock"),
            ("InvalidObjectState", _) => {
                error(Kind::Other).with_hint("the object is archived; restore it first")
            }
            ("SlowDown" | "ServiceUnavailable" | "TooManyRequests" | "RequestLimitExceeded", _)
            | ("Throttling" | "ThrottlingException" | "RequestThrottled", _)
            // Of two concurrent conditional writes of one key, one has to be repeated.
            | ("ConditionalRequestConflict" | "OperationAborted", _)
            | (_, 429 | 503) => error(Kind::Throttled),
            ("BadDigest" | "InvalidDigest" | "IncompleteBody" | "XAmzContentSHA256Mismatch", _)
            | ("XAmzContentChecksumMismatch", _) => error(Kind::Corrupt),
            ("RequestTimeout" | "RequestTimeoutException" | "InternalError", _) => error(Kind::Unavailable),
            ("NotImplemented", _) | (_, 501) => error(Kind::Other)
                .with_hint("the service must support If-None-Match and If-Match on writes, as S3 does"),
            ("PreconditionFailed", _) | (_, 412) => self.in_state(self.refused),
            // This answers If-Match on an object that is gone.
            (_, 404) if self.action == "PutObject" => self.error(self.refused.kind(), "the object is gone"),
            (_, 404) => self.in_state(ObjectState::Absent),
            (_, 409) => error(Kind::Throttled),
            (_, 403) => self.denied(failure),
            (_, 500..) => error(Kind::Unavailable),
            // Answers to HEAD have no body that could name the reason.
            ("", 400) | ("BadRequest", 400) => error(Kind::Other)
                .with_hint("expired credentials or a bucket in another region are the usual reasons"),
            _ => error(Kind::Other),
        }
    }

    /// Returns the error for missing permissions, with the action and the resource that a policy must allow.
    fn denied(&self, failure: &ServiceAnswer) -> StoreError {
        let words = format!("s3:{} on {} is not allowed ({})", self.action, self.arn(), failure.words());
        let hint = match self.action {
            // Without the right to list, S3 answers 403 in place of 404.
            "GetObject" => {
                "allow it in the policy of the user or role; without s3:ListBucket an object that is missing looks the same"
            }
            _ => "allow it in the policy of the user or role, and in the bucket's policy",
        };
        StoreError::new(StoreErrorKind::Denied, words).with_hint(hint)
    }

    /// Returns the error for a bucket in another region, which it names if the answer does.
    fn elsewhere(&self, failure: &ServiceAnswer) -> StoreError {
        let told = || failure.message.split("expecting '").nth(1)?.split('\'').next().map(str::to_owned);
        match failure.region.clone().or_else(told) {
            Some(region) => self
                .error(StoreErrorKind::Bucket, &format!("the bucket is in region {region}"))
                .with_hint(format!("set AWS_REGION={region}")),
            None => self
                .error(
                    StoreErrorKind::Bucket,
                    &format!("the bucket is in another region ({})", failure.words()),
                )
                .with_hint("set AWS_REGION to the bucket's region"),
        }
    }
}

impl ServiceAnswer {
    /// Returns code and message, or the status if the service sent neither.
    fn words(&self) -> String {
        let message = self.message.trim().trim_end_matches('.');
        match (self.code.is_empty(), message.is_empty()) {
            (false, false) => format!("{}: {message}", self.code),
            (false, true) => self.code.clone(),
            (true, false) => message.to_owned(),
            (true, true) => match self.status {
                Some(status) => format!("HTTP status {status}"),
                None => "no reason given".to_owned(),
            },
        }
    }
}

/// Returns the hint for a service that does not answer: a configured endpoint is the first suspect, then a proxy, then
/// the network.
fn unreachable_hint(set: &dyn Fn(&str) -> Option<String>) -> String {
    for name in ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"] {
        if let Some(url) = set(name) {
            return format!("{name} is {url}: is a service there? `unset {name}` for Amazon's own");
        }
    }
    match ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
        .into_iter()
        .find(|name| set(name).is_some())
    {
        Some(name) => format!("check the network and the proxy that {name} names"),
        None => "check the network, and AWS_REGION".to_owned(),
    }
}

/// Returns the reason why there are no credentials. If the machine's metadata service was the last source asked, none
/// were found anywhere.
pub(super) fn no_credentials(error: &(dyn Error + 'static)) -> String {
    let said = reasons(error);
    match said.contains("IMDS") || said.contains("no providers in chain") {
        true => {
            "no credentials: none in the environment, in the profile's files, or of this machine".to_owned()
        }
        false => said,
    }
}

const NO_CREDENTIALS: &str = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or sign in with \
     `aws sso login`; on AWS, give the machine or function a role";
const EXPIRED: &str = "get new ones (`aws sso login`, or whatever set AWS_SESSION_TOKEN) and resume";

fn lacks_credentials(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(|cause| cause.is::<CredentialsError>())
}

/// Returns an error and its causes, the error itself first.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |cause: &&'a (dyn Error + 'static)| (*cause).source())
}

/// Joins the messages of an error's causes, each once, without the SDK's outermost error.
pub(super) fn reasons(error: &(dyn Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    for cause in chain(error).skip(1) {
        let words = cause.to_string();
        if !words.is_empty() && !said.iter().any(|earlier| earlier.contains(&words)) {
            said.push(words);
        }
    }
    if said.is_empty() { error.to_string() } else { said.join(": ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Request<'_> =
        Request { action: "GetObject", bucket: "b", key: "k", refused: ObjectState::Changed };
    const WRITE: Request<'_> =
        Request { action: "PutObject", bucket: "b", key: "k", refused: ObjectState::Present };

    fn failure(status: u16, code: &str, message: &str) -> ServiceAnswer {
        ServiceAnswer { status: Some(status), code: code.into(), message: message.into(), region: None }
    }

    fn kind(request: Request<'_>, status: u16, code: &str) -> StoreErrorKind {
        request.refusal(&failure(status, code, "")).kind
    }

    #[test]
    fn refusals_have_the_kind_that_says_what_to_do() {
        use StoreErrorKind as Kind;
        let cases = [
            (404, "NoSuchKey", Kind::NotFound),
            (404, "", Kind::NotFound),
            (404, "NoSuchBucket", Kind::Bucket),
            (403, "AccessDenied", Kind::Denied),
            (403, "InvalidAccessKeyId", Kind::Credentials),
            (400, "ExpiredToken", Kind::Credentials),
            (412, "PreconditionFailed", Kind::Changed),
            (503, "SlowDown", Kind::Throttled),
            (429, "", Kind::Throttled),
            (500, "InternalError", Kind::Unavailable),
            (502, "", Kind::Unavailable),
            (400, "RequestTimeout", Kind::Unavailable),
            (400, "BadDigest", Kind::Corrupt),
            (200, "InternalError", Kind::Unavailable),
            (200, "SlowDown", Kind::Throttled),
            (400, "InvalidArgument", Kind::Other),
        ];
        for (status, code, expected) in cases {
            assert_eq!(kind(READ, status, code), expected, "{status} {code}");
        }
        assert_eq!(kind(WRITE, 412, "PreconditionFailed"), Kind::Exists);
        assert_eq!(kind(WRITE, 409, "ConditionalRequestConflict"), Kind::Throttled);
        let swap = Request { refused: ObjectState::Changed, ..WRITE };
        assert_eq!(kind(swap, 404, "NoSuchKey"), Kind::Changed);
    }

    #[test]
    fn a_missing_permission_is_named_as_a_policy_names_it() {
        let error = READ.refusal(&failure(403, "AccessDenied", "Access Denied"));
        let expected = "s3:GetObject on arn:aws:s3:::b/k is not allowed (AccessDenied: Access Denied)";
        assert_eq!(error.to_string(), expected);
        let list = Request { action: "ListBucket", ..READ };
        assert!(list.refusal(&failure(403, "", "")).to_string().contains("on arn:aws:s3:::b is not allowed"));
    }

    #[test]
    fn an_address_that_is_set_is_looked_at_first() {
        let of = |name: &'static str, value: &'static str| {
            unreachable_hint(&move |asked: &str| (asked == name).then(|| value.to_owned()))
        };
        assert!(of("AWS_ENDPOINT_URL", "http://h:9").starts_with("AWS_ENDPOINT_URL is http://h:9"));
        assert!(of("https_proxy", "x").contains("https_proxy") && of("", "").contains("AWS_REGION"));
    }

    #[test]
    fn the_region_is_told_where_it_is_known() {
        let redirect =
            ServiceAnswer { region: Some("eu-west-1".into()), ..failure(301, "PermanentRedirect", "") };
        assert_eq!(READ.refusal(&redirect).hint(), Some("set AWS_REGION=eu-west-1"));
        let words =
            "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-north-1'";
        let error = READ.refusal(&failure(400, "AuthorizationHeaderMalformed", words));
        assert_eq!(error.to_string(), "s3:GetObject on `s3://b/k`: the bucket is in region eu-north-1");
        assert_eq!(READ.refusal(&failure(301, "", "")).kind, StoreErrorKind::Bucket);
    }
}
