//! The SDK's client: credentials, region and endpoint from the usual places; no retries and no limits of its own, since attempts are
//! the state machine's.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::config::timeout::TimeoutConfig;
use aws_sdk_lambda::config::{Builder, SharedHttpClient, StalledStreamProtectionConfig};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder as HttpBuilder, ConnectorBuilder};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Mutex;

use super::resolve::CachingResolver;

/// Hundreds of connections are opened at once, on a home line too.
const CONNECT: Duration = Duration::from_secs(10);

/// Connections that this process has besides those to functions: storage, files, the terminal.
const OTHER_FILES: u64 = 256;

/// The client of this process and its credentials.
#[derive(Debug)]
pub struct Clients {
    current: Mutex<(u64, Client)>,
    /// Given by the caller: its credentials are not ours to renew.
    fixed: bool,
    /// Kept when credentials are renewed: connections have none.
    http: SharedHttpClient,
    region: String,
}

impl Clients {
    /// The one of the environment.
    pub async fn of_environment() -> Self {
        let http = https();
        let shared = shared_config(&http).await;
        let region = shared.region().map(ToString::to_string).unwrap_or_default();
        Self { current: Mutex::new((0, client(&shared))), fixed: false, http, region }
    }

    /// Returns clients of a configuration that the caller gives.
    #[cfg(test)]
    pub fn of_config(config: Builder) -> Self {
        let http = https();
        let client = Client::from_conf(patience(config).http_client(http.clone()).build());
        let region = client.config().region().map(ToString::to_string).unwrap_or_default();
        Self { current: Mutex::new((0, client)), fixed: true, http, region }
    }

    /// Credentials, region and endpoint, for other services.
    pub async fn shared_config(&self) -> SdkConfig {
        shared_config(&self.http).await
    }

    /// Returns the region that requests go to.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The client and its generation.
    pub async fn get(&self) -> (u64, Client) {
        self.current.lock().await.clone()
    }

    /// Reads credentials anew, unless that was done after that `generation` already: whatever renews them may have done so since.
    pub async fn renew(&self, generation: u64) {
        let mut current = self.current.lock().await;
        if !self.fixed && current.0 == generation {
            *current = (generation + 1, client(&shared_config(&self.http).await));
        }
    }
}

/// Returns the settings that all services share: credentials, region, endpoint.
async fn shared_config(http: &SharedHttpClient) -> SdkConfig {
    stagger_storage::shared_config(http.clone()).await
}

fn client(shared: &SdkConfig) -> Client {
    Client::from_conf(patience(Builder::from(shared)).build())
}

/// One attempt, and only a connection has a limit: the answer of an invocation comes when its task is done, minutes without a byte
/// are nothing special, and the invoker knows how long to wait. `read_timeout` must stay unset for another reason too: the SDK
/// keeps a pool of connections for each value.
fn patience(config: Builder) -> Builder {
    config
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT).build())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
}

/// One pool, unbounded, of as many connections as there are invocations at a time; ring as for S3.
pub(crate) fn https() -> SharedHttpClient {
    let resolver = CachingResolver::default();
    HttpBuilder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = ConnectorBuilder::default()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .proxy_config(ProxyConfig::from_env());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
        connector.build_with_resolver(resolver.clone())
    })
}

/// Lets this process have a connection to each of `invocations`, as far as the system allows: many shells start with 256 or
/// 1,024 open files. Returns how many invocations there is room for.
pub fn raise_open_files(invocations: u64) -> u64 {
    let wanted = invocations + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    let mut now = limit.current.unwrap_or(u64::MAX);
    if now < wanted {
        let raised = wanted.min(most);
        if setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum }).is_ok() {
            now = raised;
        }
    }
    now.saturating_sub(OTHER_FILES)
}
