//! The SDK's client. Credentials, region and endpoint come from the usual places; retries and timeouts follow this
//! crate's own policies.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{Builder, SharedHttpClient, StalledStreamProtectionConfig};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder as HttpBuilder, ConnectorBuilder};
use tokio::sync::Mutex;

use super::shared::shared_config;

/// The time limit of connecting: it takes milliseconds within a region, half a second across the world.
const CONNECT: Duration = Duration::from_secs(5);

/// The time limit to the first byte of an answer. S3's own p99.99 is about a second; a 500 may take ten.
const ANSWER: Duration = Duration::from_secs(20);

/// The time without any byte after which a body is given up.
const STALL: Duration = Duration::from_secs(10);

/// The slowest upload that is waited for, in bytes a second: that of a poor home line.
const SLOWEST_UPLOAD: u64 = 64 << 10;

/// The S3 client of this process, with one pool of connections and one set of credentials for all buckets.
#[derive(Debug, Default)]
pub(super) struct Clients {
    current: Mutex<Option<(u64, Client)>>,
    /// The client was given by the caller, whose credentials must not be renewed here.
    fixed: bool,
}

impl Clients {
    /// Returns the process-wide client of the environment. Nothing is read before its first request.
    pub(super) fn shared() -> Arc<Self> {
        static SHARED: OnceLock<Arc<Clients>> = OnceLock::new();
        Arc::clone(SHARED.get_or_init(Arc::default))
    }

    /// Returns a caller's client, which connects as the process-wide one does unless the caller has set an HTTP client.
    pub(super) fn of_caller(client: &Client) -> Self {
        let config = patience(client.config().to_builder());
        let config = if client.config().http_client().is_some() {
            config
        } else {
            config.http_client(shared_http_client())
        };
        Self { current: Mutex::new(Some((0, Client::from_conf(config.build())))), fixed: true }
    }

    /// Returns the client and the generation of its credentials.
    pub(super) async fn get(&self) -> (u64, Client) {
        let mut current = self.current.lock().await;
        if let Some(held) = &*current {
            return held.clone();
        }
        current.insert((0, load().await)).clone()
    }

    /// Returns a client with credentials read anew, unless credentials newer than `generation` were read already;
    /// `None` for a caller's client.
    pub(super) async fn renewed(&self, generation: u64) -> Option<Client> {
        if self.fixed {
            return None;
        }
        let mut current = self.current.lock().await;
        match &*current {
            Some((now, client)) if *now != generation => Some(client.clone()),
            _ => Some(current.insert((generation + 1, load().await)).1.clone()),
        }
    }
}

/// Returns a client with credentials, region and endpoint read anew.
async fn load() -> Client {
    let shared = shared_config(shared_http_client()).await;
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let endpoint = shared.endpoint_url().is_some() || set("AWS_ENDPOINT_URL_S3").is_some();
    let style = path_style(set("STAGGER_S3_PATH_STYLE").as_deref(), endpoint);
    Client::from_conf(patience(Builder::from(&shared)).force_path_style(style).build())
}

/// Returns the HTTP client of all requests: the SDK's default, but with another cryptography library. The SDK's choice
/// is a C library that takes a minute to build and adds megabytes to a worker.
pub fn shared_http_client() -> SharedHttpClient {
    HttpBuilder::new().build_with_connector_fn(|settings, components| {
        let mut connector = ConnectorBuilder::default()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .proxy_config(ProxyConfig::from_env());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
        connector.build()
    })
}

/// Returns `true` if requests name the bucket in the path instead of the host, as services other than Amazon's expect.
fn path_style(asked: Option<&str>, endpoint: bool) -> bool {
    match asked.map(str::to_lowercase).as_deref() {
        Some("0" | "false" | "no" | "off") => false,
        Some(_) => true,
        None => endpoint,
    }
}

/// Sets one attempt for each request, with time limits: `Storage` alone counts, spaces and repeats attempts.
fn patience(config: Builder) -> Builder {
    config
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts(0))
        .stalled_stream_protection(StalledStreamProtectionConfig::enabled().grace_period(STALL).build())
}

/// Returns the time limits of a request that sends `sent` bytes. The body of an answer is watched for stalls instead.
pub(super) fn timeouts(sent: u64) -> TimeoutConfig {
    let upload = Duration::from_secs(sent / SLOWEST_UPLOAD);
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .read_timeout(ANSWER + upload)
        .operation_attempt_timeout(CONNECT + ANSWER + upload)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_endpoints_get_path_style_unless_told_otherwise() {
        assert!(path_style(None, true) && !path_style(None, false));
        assert!(path_style(Some("1"), false) && !path_style(Some("False"), true));
    }

    #[test]
    fn large_uploads_get_time() {
        assert_eq!(timeouts(0).read_timeout(), Some(ANSWER));
        assert_eq!(timeouts(64 << 20).read_timeout(), Some(Duration::from_secs(20 + 1024)));
    }
}
