//! The configuration that all AWS services share: region, credentials and endpoint, from the environment and the user's
//! files.

use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::imds::client::ImdsResponseRetryClassifier;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{ConfigLoader, SdkConfig, imds};
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Region, SharedHttpClient};
use aws_smithy_runtime_api::client::retries::classifiers::SharedRetryClassifier;

/// The time limit of the machine's metadata service. It answers in milliseconds where there is one; on a laptop nothing
/// answers, and a person waits.
const MACHINE: Duration = Duration::from_secs(1);

/// Returns region, credentials and endpoint of the environment, over the HTTP client `http`. The region defaults to
/// `us-east-1`: requests can't be signed without one, and the answer to a wrong one names the right one.
pub async fn shared_config(http: SharedHttpClient) -> SdkConfig {
    let provider =
        ProviderConfig::without_region().with_http_client(http.clone()).with_retry_config(retries());
    let machine = machine(&provider);
    let region = region(&provider, &machine).await;
    let credentials = DefaultCredentialsChain::builder()
        .imds_client(machine)
        .configure(provider)
        .region(region.clone())
        .build()
        .await;
    loader(http).region(region).credentials_provider(credentials).load().await
}

fn loader(http: SharedHttpClient) -> ConfigLoader {
    // Without explicit retries the SDK reads them from the environment, and ends the program where it can't.
    aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http).retry_config(retries())
}

/// Returns the retries of requests for credentials; those of all other requests are made by `Storage`.
/// `AWS_MAX_ATTEMPTS` was checked before.
fn retries() -> RetryConfig {
    let asked = std::env::var("AWS_MAX_ATTEMPTS").ok().and_then(|value| value.trim().parse::<u32>().ok());
    match asked.filter(|attempts| *attempts > 0) {
        Some(attempts) => RetryConfig::standard().with_max_attempts(attempts),
        None => RetryConfig::standard(),
    }
}

/// Returns the client of the machine's metadata service, which is not asked twice if it does not answer.
fn machine(provider: &ProviderConfig) -> imds::Client {
    let patient = ImdsResponseRetryClassifier::default().with_retry_connect_timeouts(false);
    imds::Client::builder()
        .configure(provider)
        .connect_timeout(MACHINE)
        .retry_classifier(SharedRetryClassifier::new(patient))
        .build()
}

async fn region(provider: &ProviderConfig, machine: &imds::Client) -> Region {
    let own = ImdsRegionProvider::builder().configure(provider).imds_client(machine.clone()).build();
    let found = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::builder().configure(provider).build())
        .or_else(own);
    found.region().await.unwrap_or(Region::from_static("us-east-1"))
}
