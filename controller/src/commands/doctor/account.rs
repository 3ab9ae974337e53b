//! Checks of the account: credentials, clock, quota.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::timeout::TimeoutConfig;
use aws_sdk_lambda::primitives::{DateTime, DateTimeFormat};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use stagger_aws::lambda::{Call, NO_CREDENTIALS, no_credentials};
use stagger_model::error::FailureClass;

use super::check::{Check, Status};

/// The time limit of one request; a cold start has at most ten seconds of it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Returns the limits of a request.
pub(super) fn request_timeouts() -> TimeoutConfig {
    TimeoutConfig::builder().operation_timeout(PATIENCE).build()
}

/// Credentials that end sooner than this end within a long run.
const SHORT: Duration = Duration::from_secs(15 * 60);
/// Seconds that the clock may be wrong without a word, and those from which on signatures are refused.
const CLOCK: (f64, f64) = (60.0, 300.0);

/// Checks the credentials, and says whose they are.
pub(super) async fn credentials(shared: &SdkConfig) -> Check {
    let Some(provider) = shared.credentials_provider() else {
        return Check::fail("credentials", "there are none", NO_CREDENTIALS);
    };
    match provider.provide_credentials().await {
        Ok(found) => identity(shared, &found).await,
        Err(error) => Check::fail("credentials", no_credentials(&error), NO_CREDENTIALS),
    }
}

async fn identity(shared: &SdkConfig, found: &Credentials) -> Check {
    let key = found.access_key_id();
    let last = key.char_indices().rev().nth(3).map_or(key, |(at, _)| &key[at..]);
    let mut detail = format!("key ending in {last}, from {}", source());
    let sts = aws_sdk_sts::config::Builder::from(shared)
        .retry_config(aws_sdk_sts::config::retry::RetryConfig::disabled())
        .timeout_config(request_timeouts());
    let sts = aws_sdk_sts::Client::from_conf(sts.build());
    let region = shared.region().map(ToString::to_string).unwrap_or_default();
    let call = Call { action: "sts:GetCallerIdentity", resource: "*", region: &region };
    match sts.get_caller_identity().send().await {
        Ok(who) => {
            detail += &format!(": {}, account {}", who.arn().unwrap_or("?"), who.account().unwrap_or("?"));
        }
        Err(error) => {
            let failure = call.explain(&error);
            if failure.class == FailureClass::Credentials {
                let refused = Check::refused("credentials", failure);
                return Check { detail: format!("{detail}: {}", refused.detail), ..refused };
            }
            detail += &format!(": who that is can't be told ({})", failure.message);
        }
    }
    match found.expiry().and_then(|at| at.duration_since(SystemTime::now()).ok()) {
        Some(left) if left < SHORT => Check::warn(
            "credentials",
            format!("{detail}; they end in {} min", left.as_secs() / 60),
            "renew them before a long run (`aws sso login`); a run that loses them waits 5 minutes, then stops, resumable",
        ),
        _ => Check::ok("credentials", detail),
    }
}

/// Returns the source of the credentials, in the order in which the SDK looks for them.
fn source() -> String {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    match (set("AWS_ACCESS_KEY_ID"), set("AWS_PROFILE")) {
        (Some(_), _) => "the environment".to_owned(),
        (None, Some(profile)) => format!("profile `{profile}`"),
        (None, None) => "the default profile or the machine's role".to_owned(),
    }
}

/// Remembers by how much this machine's clock is ahead of the last answer's.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch(Arc<Mutex<Option<f64>>>);

impl Watch {
    fn ahead(&self) -> Option<f64> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for Watch {
    fn name(&self) -> &'static str {
        "Watch"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        if let Some(theirs) = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok()) {
            let ours = DateTime::from(SystemTime::now());
            let ahead = ours.as_secs_f64() - theirs.as_secs_f64();
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(ahead);
        }
        Ok(())
    }
}

/// Checks that the clock of this machine is right enough for signed requests.
pub(super) fn clock(watch: &Watch) -> Check {
    clock_of(watch.ahead())
}

fn clock_of(ahead: Option<f64>) -> Check {
    let Some(ahead) = ahead else {
        return Check::skipped("clock", "no answer has told the time");
    };
    let off = ahead.abs();
    let which = if ahead > 0.0 { "ahead" } else { "behind" };
    let detail = format!("{off:.0} s {which}");
    match off {
        off if off > CLOCK.1 => Check::fail(
            "clock",
            detail,
            "set this machine's clock: AWS refuses signatures that are 5 minutes off",
        ),
        off if off > CLOCK.0 => {
            Check::warn("clock", detail, "set this machine's clock: from 5 minutes on AWS refuses signatures")
        }
        // The header has whole seconds.
        off if off < 2.0 => Check::ok("clock", "right to the second"),
        _ => Check::ok("clock", detail),
    }
}

/// Checks that the account allows `concurrency` invocations at a time.
pub(super) async fn quota(client: &Client, region: &str, concurrency: usize) -> Check {
    let call = Call { action: "lambda:GetAccountSettings", resource: "*", region };
    match client.get_account_settings().send().await {
        Ok(found) => {
            let limit = found.account_limit();
            let total = limit.map_or(0, |limit| limit.concurrent_executions());
            let free = limit.and_then(|limit| limit.unreserved_concurrent_executions()).unwrap_or(total);
            enough(i64::from(total), i64::from(free), concurrency)
        }
        Err(error) => {
            let failure = call.explain(&error);
            match failure.class {
                // Those who only run Stagger need not have this right.
                FailureClass::Permanent => Check::new("quota", Status::Skipped, failure.message),
                _ => Check::refused("quota", failure),
            }
        }
    }
}

fn enough(total: i64, free: i64, concurrency: usize) -> Check {
    let detail =
        format!("{total} invocations at a time in the account, {free} not reserved; {concurrency} wanted");
    match i64::try_from(concurrency).unwrap_or(i64::MAX) <= free {
        true => Check::ok("quota", detail),
        false => Check::warn(
            "quota",
            detail,
            format!(
                "a run uses what there is; --concurrency {free}, or ask AWS for more (Service Quotas, Lambda)"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks() {
        let status = |ahead: f64| clock_of(Some(ahead)).status;
        assert_eq!(
            [0.4, -59.0, 61.0, -299.0].map(status),
            [Status::Ok, Status::Ok, Status::Warn, Status::Warn]
        );
        assert_eq!([301.0, -4000.0].map(status), [Status::Fail, Status::Fail]);
        assert_eq!(clock_of(Some(-90.4)).detail, "90 s behind");
        assert_eq!(clock_of(None).status, Status::Skipped);
    }

    #[test]
    fn quotas() {
        assert_eq!(enough(1000, 900, 900).status, Status::Ok);
        let short = enough(1000, 10, 1000);
        assert_eq!(short.status, Status::Warn);
        assert!(short.hint.unwrap().contains("--concurrency 10,"));
    }
}
