//! S3 and Lambda on this machine, for the time of a test process: `localstack/up` of the repository, without Docker.
//!
//! `STAGGER_LOCALSTACK_URL` names a server that runs already and is to be used instead.

mod bucket;
pub mod http;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::cli::workspace;

pub use bucket::Bucket;

/// Status with which `localstack/up` ends if another program has the port.
const PORT_TAKEN: i32 = 3;

/// A LocalStack that runs.
#[derive(Debug)]
pub struct LocalStack {
    url: String,
    /// The server ends when this closes: with this process, however that ends. Never written to.
    _lifeline: Option<ChildStdin>,
}

impl LocalStack {
    /// The server of this test process; the first call starts it, and installs it where it is missing.
    ///
    /// # Panics
    /// If it does not start, with the end of its log.
    #[track_caller]
    pub fn shared() -> &'static LocalStack {
        static SHARED: OnceLock<Result<LocalStack, String>> = OnceLock::new();
        let started = SHARED.get_or_init(|| match std::env::var("STAGGER_LOCALSTACK_URL") {
            Ok(url) => Self::at(&url),
            Err(_) => Self::start(),
        });
        started.as_ref().unwrap_or_else(|why| panic!("no LocalStack: {why}"))
    }

    /// Where it answers: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A new, empty bucket, whose name no other test has.
    ///
    /// # Panics
    /// If it can't be made.
    #[track_caller]
    pub fn bucket(&self) -> String {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("test-{}-{since}-{number}", std::process::id());
        match http::request(&self.url, "PUT", &format!("/{name}"), &[], b"") {
            Ok(reply) if reply.status == 200 => name,
            Ok(reply) => panic!("can't make bucket {name}: status {}\n{}", reply.status, reply.text()),
            Err(error) => panic!("can't make bucket {name}: {error}"),
        }
    }

    fn at(url: &str) -> Result<Self, String> {
        match http::request(url, "GET", "/_localstack/health", &[], b"") {
            Ok(reply) if reply.status == 200 => {
                Ok(Self { url: url.trim_end_matches('/').to_owned(), _lifeline: None })
            }
            Ok(reply) => Err(format!("{url} (STAGGER_LOCALSTACK_URL) answers with status {}", reply.status)),
            Err(error) => Err(format!("{url} (STAGGER_LOCALSTACK_URL) does not answer: {error}")),
        }
    }

    fn start() -> Result<Self, String> {
        for _ in 0..5 {
            let port = free_port()?;
            let (output, lifeline) = up(port)?;
            match output.status.code() {
                Some(0) => {
                    let url = format!("http://127.0.0.1:{port}");
                    return Ok(Self { url, _lifeline: Some(lifeline) });
                }
                // Another program was quicker.
                Some(PORT_TAKEN) => {}
                _ => {
                    return Err(format!(
                        "`localstack/up` failed\n{}",
                        String::from_utf8_lossy(&output.stderr)
                    ));
                }
            }
        }
        Err("five free ports were taken before LocalStack could have them".to_owned())
    }
}

/// What points the AWS SDKs and `stagger` at this endpoint: LocalStack's own, or a proxy's before it.
pub fn environment(endpoint: &str) -> [(&'static str, String); 4] {
    [
        ("AWS_ENDPOINT_URL", endpoint.to_owned()),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
    ]
}

/// The Python that LocalStack is installed for, with `boto3`.
///
/// # Panics
/// If it can't be installed.
#[track_caller]
pub fn python() -> PathBuf {
    let output = Command::new(script("up")).arg("--install").stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("can't run `localstack/up`: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Path::new(String::from_utf8_lossy(&output.stdout).trim_end()).join("bin/python")
}

/// A file of `localstack/`.
pub fn script(name: &str) -> PathBuf {
    workspace().join("localstack").join(name)
}

/// Runs `localstack/up`; the server lives as long as the lifeline.
fn up(port: u16) -> Result<(Output, ChildStdin), String> {
    let state = std::env::temp_dir().join(format!("stagger-localstack-{}-{port}", std::process::id()));
    let mut child = Command::new(script("up"))
        .arg("--until-stdin-closes")
        .env("STAGGER_LOCALSTACK_PORT", port.to_string())
        .env("STAGGER_LOCALSTACK_DIR", state)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("can't run `localstack/up`: {error}"))?;
    let lifeline = child.stdin.take().ok_or("`localstack/up` has no standard input")?;
    let output = child.wait_with_output().map_err(|error| format!("`localstack/up` got lost: {error}"))?;
    Ok((output, lifeline))
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    listener.map(|address| address.port()).map_err(|error| format!("no free port: {error}"))
}
