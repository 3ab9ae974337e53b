//! An HTTP proxy before S3 that injects the faults of S3 and of networks, by a [`Plan`].
//!
//! It forwards requests and replies as streams and unchanged: `Host`, signatures, chunked uploads, ranges and conditions are
//! between the client and its upstream. A fault counts once it has befallen a request, so a test can tell that each one of
//! its plan did happen ([`FaultyProxy::fired`]): a fault that never fires tests nothing.
//!
//! ```ignore
//! use stagger_tests::localstack::LocalStack;
//! use stagger_tests::proxy::{Fault, FaultyProxy, Plan, Rule};
//!
//! let plan = Plan::new(7).with(Rule::new(Fault::ResetAfterCommit).under("/bucket/runs/").every(3).at_most(5));
//! let proxy = FaultyProxy::start(LocalStack::shared().url(), plan);
//! // … run something with AWS_ENDPOINT_URL=proxy.url() …
//! assert!(proxy.fired().values().all(|&count| count > 0), "{:?}", proxy.fired());
//! ```

mod plan;
mod replies;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, EXPECT, HeaderMap, RANGE};
use hyper::service::service_fn;
use hyper::{Request, Response, client, server};
use hyper_util::rt::TokioIo;
use plan::{Asked, Hit, Ledger};

use replies::{AnyError, Body, bad_gateway, can_spoil, error_reply, short, slow, truncated, unchanged};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::sleep;

use crate::localstack::http::authority;

pub use plan::{Fault, Plan, Rule};

/// A proxy that runs until it is dropped, on threads of its own: tests need not be asynchronous.
#[derive(Debug)]
pub struct FaultyProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

impl FaultyProxy {
    /// Starts a proxy before `http://HOST:PORT`, on a free port of this machine.
    pub fn start(upstream: &str, plan: Plan) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("faulty-proxy")
            .enable_all()
            .build()
            .expect("threads for the proxy");
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket that tokio can take");
        let address = listener.local_addr().expect("a bound socket has an address");
        let upstream = authority(upstream).to_owned();
        let shared = Arc::new(Shared { upstream, ledger: Mutex::new(Ledger::new(plan)) });
        runtime.spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, runtime: Some(runtime) }
    }

    /// Where clients find it: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often each fault of the plan has happened, zeros included.
    pub fn fired(&self) -> BTreeMap<Fault, u64> {
        self.shared.ledger().fired()
    }
}

impl Drop for FaultyProxy {
    fn drop(&mut self) {
        // Not waited for: the proxy may be dropped in an asynchronous test, where waiting is forbidden.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Stands for the answer when the connection is to be reset.
#[derive(Debug)]
struct Reset;

impl fmt::Display for Reset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("reset by the plan")
    }
}

impl std::error::Error for Reset {}

async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let listener = TcpListener::from_std(listener).expect("the listener does not block");
    loop {
        // An error is one of the connection that was not made.
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&shared)));
        }
    }
}

/// Answers the requests of a connection, and ends it as the last answer wants.
async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // Small replies must not wait for acknowledgements; without it the proxy is only slower.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        // hyper asks for a future that can be moved.
        Box::pin(async move { shared.answer(request).await })
    });
    let mut connection = server::conn::http1::Builder::new()
        .preserve_header_case(true)
        .serve_connection(TokioIo::new(stream), service);
    let ended = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let mut stream = connection.into_parts().io.into_inner();
    let reset = ended.is_err_and(|error| error.source().is_some_and(|source| source.is::<Reset>()));
    // Closing with no time to linger is what sends a reset; else the end is announced as usual. If either fails, the
    // connection is gone already.
    let _ = if reset { stream.set_zero_linger() } else { stream.shutdown().await };
}

#[derive(Debug)]
struct Shared {
    /// `HOST:PORT`.
    upstream: String,
    ledger: Mutex<Ledger>,
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // Counts are whole between any two lines that change them.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Reset> {
        let hit = self.ledger().decide(asked(&request));
        let Some(hit) = hit else { return Ok(self.pass(request).await) };
        match hit.fault {
            Fault::ResetBefore => Err(Reset),
            Fault::SlowDown | Fault::InternalError | Fault::ErrorIn200 => {
                // Read first: a client that still sends might see a closed connection instead of the reply.
                drain(request.into_body()).await;
                Ok(error_reply(hit.fault))
            }
            Fault::SlowStart => {
                sleep(hit.delay).await;
                Ok(self.pass(request).await)
            }
            Fault::ResetAfterCommit | Fault::TruncatedBody | Fault::ShortBody | Fault::SlowBody => {
                self.spoil(request, &hit).await
            }
        }
    }

    /// Forwards the request and the answer, both unchanged.
    async fn pass(&self, request: Request<Incoming>) -> Response<Body> {
        self.forward(request).await.map_or_else(|error| bad_gateway(&error), unchanged)
    }

    /// Forwards the request and lets the fault befall the answer, if it can.
    async fn spoil(&self, request: Request<Incoming>, hit: &Hit) -> Result<Response<Body>, Reset> {
        let method = request.method().clone();
        let reply = match self.forward(request).await {
            Ok(reply) => reply,
            Err(error) => {
                self.ledger().take_back(hit);
                return Ok(bad_gateway(&error));
            }
        };
        match hit.fault {
            Fault::ResetAfterCommit if reply.status().is_success() => {
                // Done upstream once the whole reply is here.
                drain(reply.into_body()).await;
                Err(Reset)
            }
            Fault::TruncatedBody if can_spoil(&method, &reply) => Ok(truncated(reply)),
            Fault::ShortBody if can_spoil(&method, &reply) => Ok(short(reply)),
            Fault::SlowBody if can_spoil(&method, &reply) => Ok(slow(reply, hit.delay)),
            _ => {
                self.ledger().take_back(hit);
                Ok(unchanged(reply))
            }
        }
    }

    /// One connection a request: a kept one that the upstream closes would be a fault that no plan has.
    async fn forward(&self, mut request: Request<Incoming>) -> Result<Response<Incoming>, AnyError> {
        let stream = TcpStream::connect(&self.upstream).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = client::conn::http1::Builder::new()
            .preserve_header_case(true)
            .handshake(TokioIo::new(stream))
            .await?;
        // What goes wrong there, the reply tells.
        tokio::spawn(connection);
        drop_connection_headers(request.headers_mut());
        let mut reply = sender.send_request(request).await?;
        drop_connection_headers(reply.headers_mut());
        Ok(reply)
    }
}

/// Reads a body to its end, keeping nothing: it may be large. An error is an end, too.
async fn drain(mut body: Incoming) {
    while let Some(Ok(_)) = body.frame().await {}
}

/// These are about one connection, and there are two.
fn drop_connection_headers(headers: &mut HeaderMap) {
    headers.remove(CONNECTION);
    headers.remove("keep-alive");
    // The server below has asked the client to go on already.
    headers.remove(EXPECT);
}

fn asked(request: &Request<Incoming>) -> Asked {
    let range = request.headers().get(RANGE).and_then(|range| range.to_str().ok());
    Asked {
        method: request.method().as_str().to_owned(),
        target: request.uri().to_string(),
        range: range.unwrap_or_default().to_owned(),
    }
}
