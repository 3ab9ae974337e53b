//! Each fault as a raw client sees it, before an upstream that only knows puts and gets.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, StatusCode};

use super::*;
use crate::localstack::http::{Connection, Reply, request};

/// Objects by path, and what came in.
#[derive(Debug, Default)]
struct Objects {
    bodies: Mutex<HashMap<String, Bytes>>,
    heads: Mutex<Vec<HeaderMap>>,
}

impl Objects {
    fn get(&self, path: &str) -> Option<Bytes> {
        self.bodies.lock().expect("no test fails inside").get(path).cloned()
    }

    fn last_header(&self, name: &str) -> Option<String> {
        let heads = self.heads.lock().expect("no test fails inside");
        heads.last()?.get(name)?.to_str().ok().map(str::to_owned)
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        self.heads.lock().expect("no test fails inside").push(head.headers.clone());
        let path = head.uri.to_string();
        let reply = |status: StatusCode, body: Bytes| {
            let mut reply = Response::new(Full::new(body));
            *reply.status_mut() = status;
            reply
        };
        if head.method == Method::PUT {
            if head.headers.contains_key("if-none-match") && self.get(&path).is_some() {
                return reply(StatusCode::PRECONDITION_FAILED, Bytes::from("<Error/>"));
            }
            let body = body.collect().await.expect("a whole body").to_bytes();
            self.bodies.lock().expect("no test fails inside").insert(path, body);
            return reply(StatusCode::OK, Bytes::new());
        }
        match self.get(&path) {
            Some(_) if head.headers.contains_key("if-none-match") => {
                reply(StatusCode::NOT_MODIFIED, Bytes::new())
            }
            Some(body) => reply(StatusCode::OK, body),
            None => reply(StatusCode::NOT_FOUND, Bytes::from("<Error/>")),
        }
    }
}

/// A proxy with a plan, before an upstream.
struct Bench {
    objects: Arc<Objects>,
    proxy: FaultyProxy,
    _runtime: Runtime,
}

impl Bench {
    fn new(plan: Plan) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a thread");
        let objects = Arc::new(Objects::default());
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        runtime.spawn(upstream(listener, Arc::clone(&objects)));
        Self { objects, proxy: FaultyProxy::start(&format!("http://{address}"), plan), _runtime: runtime }
    }

    /// With one fault, once, on the first request that it makes sense for.
    fn with(fault: Fault) -> Self {
        Self::new(Plan::new(0).with(Rule::new(fault).at_most(1)))
    }

    fn send(&self, method: &str, path: &str, body: &[u8]) -> std::io::Result<Reply> {
        request(&self.proxy.url(), method, path, &[], body)
    }

    #[track_caller]
    fn put(&self, path: &str, body: &[u8]) {
        let reply = self.send("PUT", path, body).expect("no fault here");
        assert_eq!(reply.status, 200, "{}", reply.text());
    }

    /// The fault has happened once, and the same request now goes through.
    #[track_caller]
    fn assert_over(&self, fault: Fault, path: &str, body: &[u8]) {
        assert_eq!(self.proxy.fired(), BTreeMap::from([(fault, 1)]));
        let reply = self.send("GET", path, b"").expect("the fault is over");
        assert_eq!((reply.status, reply.body.as_slice()), (200, body));
        assert_eq!(self.proxy.fired(), BTreeMap::from([(fault, 1)]));
    }
}

async fn upstream(listener: TcpListener, objects: Arc<Objects>) {
    while let Ok((stream, _)) = listener.accept().await {
        let objects = Arc::clone(&objects);
        let service = service_fn(move |request| {
            let objects = Arc::clone(&objects);
            async move { Ok::<_, Infallible>(objects.answer(request).await) }
        });
        tokio::spawn(server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

const TEXT: &[u8] = b"the quick brown fox";

#[test]
fn nothing_changes_without_a_plan() {
    let bench = Bench::new(Plan::new(0));
    let url = bench.proxy.url();
    let mut connection = Connection::open(&url).expect("the proxy answers");
    let mut send = |method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]| {
        connection.send(method, path, headers, body).expect("one connection for all of them")
    };
    let signed = [("Authorization", "AWS4-HMAC-SHA256 Credential=test"), ("X-Amz-Meta-A", "b")];
    assert_eq!(send("PUT", "/b/k?x=%20y", &signed, TEXT).status, 200);
    assert_eq!(bench.objects.last_header("authorization").as_deref(), Some(signed[0].1));
    let host = url.trim_start_matches("http://");
    assert_eq!(
        bench.objects.last_header("host").as_deref(),
        Some(host),
        "the host that the client has signed"
    );
    assert_eq!(send("GET", "/b/k?x=%20y", &[], b"").body, TEXT);
    let head = send("HEAD", "/b/k?x=%20y", &[], b"");
    assert_eq!((head.status, head.header("content-length")), (200, Some("19")));
    assert_eq!(send("GET", "/b/k?x=%20y", &[("If-None-Match", "e")], b"").status, 304);
    assert_eq!(send("PUT", "/b/k?x=%20y", &[("If-None-Match", "*")], b"").status, 412);
    assert_eq!(send("GET", "/b/none", &[], b"").status, 404);
    assert_eq!(bench.proxy.fired(), BTreeMap::new());
}

/// The SDK signs each chunk and adds a checksum as a trailer; all of that is the body as far as HTTP goes.
#[test]
fn signed_chunks_pass_unchanged() {
    let bench = Bench::new(Plan::new(0));
    let signed = b"4;chunk-signature=00\r\nabcd\r\n0;chunk-signature=01\r\nx-amz-checksum-crc32:AAAA\r\n\r\n";
    let framed = [format!("{:x}\r\n", signed.len()).as_bytes(), signed, b"\r\n0\r\n\r\n"].concat();
    let headers = [("Transfer-Encoding", "chunked"), ("Content-Encoding", "aws-chunked")];
    for (path, headers, body) in
        [("/b/framed", &headers[..], framed.as_slice()), ("/b/counted", &headers[1..], signed)]
    {
        let reply = request(&bench.proxy.url(), "PUT", path, headers, body).expect("an answer");
        assert_eq!(reply.status, 200);
        assert_eq!(bench.objects.get(path).as_deref(), Some(signed.as_slice()), "{path}");
        assert_eq!(bench.objects.last_header("content-encoding").as_deref(), Some("aws-chunked"));
    }
}

#[test]
fn large_bodies_stream() {
    let bench = Bench::new(Plan::new(0));
    let body: Vec<u8> = (0..64 << 20).map(|i: u32| (i ^ (i >> 11)) as u8).collect();
    bench.put("/b/large", &body);
    assert!(bench.send("GET", "/b/large", b"").expect("an answer").body == body);
}

#[test]
fn errors_of_s3_come_without_forwarding() {
    for (fault, status, code) in [
        (Fault::SlowDown, 503, "<Code>SlowDown</Code>"),
        (Fault::InternalError, 500, "<Code>InternalError</Code>"),
        (Fault::ErrorIn200, 200, "<Code>InternalError</Code>"),
    ] {
        let bench = Bench::with(fault);
        let reply = bench.send("PUT", "/b/k", &vec![7; 1 << 20]).expect("an answer");
        assert_eq!(reply.status, status, "{fault:?}");
        assert!(reply.text().contains(code), "{fault:?}: {}", reply.text());
        assert_eq!(bench.objects.get("/b/k"), None, "{fault:?}");
        bench.put("/b/k", TEXT);
        bench.assert_over(fault, "/b/k", TEXT);
    }
}

#[test]
fn a_reset_before_leaves_nothing() {
    let bench = Bench::with(Fault::ResetBefore);
    let error = bench.send("PUT", "/b/k", TEXT).expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    assert_eq!(bench.objects.get("/b/k"), None);
    bench.put("/b/k", TEXT);
    bench.assert_over(Fault::ResetBefore, "/b/k", TEXT);
}

#[test]
fn a_reset_after_commit_leaves_the_object() {
    let bench = Bench::with(Fault::ResetAfterCommit);
    let error = bench.send("PUT", "/b/k", TEXT).expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    assert_eq!(bench.objects.get("/b/k").as_deref(), Some(TEXT));
    bench.assert_over(Fault::ResetAfterCommit, "/b/k", TEXT);
}

#[test]
fn a_truncated_body_ends_early() {
    let bench = Bench::with(Fault::TruncatedBody);
    bench.put("/b/k", TEXT);
    let error = bench.send("GET", "/b/k", b"").expect_err("a cut");
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}");
    assert!(error.to_string().contains("9 of 19 bytes"), "{error}");
    bench.assert_over(Fault::TruncatedBody, "/b/k", TEXT);
}

#[test]
fn a_short_body_looks_whole() {
    let bench = Bench::with(Fault::ShortBody);
    bench.put("/b/k", TEXT);
    let reply = bench.send("GET", "/b/k", b"").expect("a well-formed answer");
    assert_eq!((reply.status, reply.body.as_slice()), (200, &TEXT[..9]));
    bench.assert_over(Fault::ShortBody, "/b/k", TEXT);
}

#[test]
fn slow_faults_take_their_time() {
    let delay = Duration::from_millis(300);
    for fault in [Fault::SlowStart, Fault::SlowBody] {
        let plan = Plan::new(0).with(Rule::new(fault).on(&["GET"]).at_most(1).lasting(delay));
        let bench = Bench::new(plan);
        bench.put("/b/k", TEXT);
        let since = Instant::now();
        let reply = bench.send("GET", "/b/k", b"").expect("an answer");
        assert!(since.elapsed() >= delay, "{fault:?}: {:?}", since.elapsed());
        assert_eq!(reply.body, TEXT);
        bench.assert_over(fault, "/b/k", TEXT);
    }
}

#[test]
fn a_fault_that_cannot_happen_waits() {
    for fault in [Fault::TruncatedBody, Fault::ShortBody, Fault::SlowBody] {
        let bench = Bench::with(fault);
        assert_eq!(bench.send("GET", "/b/k", b"").expect("an answer").status, 404);
        bench.put("/b/k", b"");
        assert_eq!(bench.send("GET", "/b/k", b"").expect("an answer").body, b"");
        assert_eq!(bench.proxy.fired(), BTreeMap::from([(fault, 0)]));
    }
    let bench = Bench::with(Fault::ResetAfterCommit);
    bench.objects.bodies.lock().expect("no test fails inside").insert("/b/k".to_owned(), Bytes::new());
    let absent = [("If-None-Match", "*")];
    let reply = request(&bench.proxy.url(), "PUT", "/b/k", &absent, TEXT).expect("an answer");
    assert_eq!(reply.status, 412, "nothing was committed");
    assert_eq!(bench.proxy.fired(), BTreeMap::from([(Fault::ResetAfterCommit, 0)]));
}

#[test]
fn an_upstream_that_is_gone_is_said_so() {
    let closed = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    let url = format!("http://{}", closed.expect("a free port"));
    let proxy = FaultyProxy::start(&url, Plan::new(0).with(Rule::new(Fault::ShortBody)));
    let reply = request(&proxy.url(), "GET", "/b/k", &[], b"").expect("an answer");
    assert_eq!(reply.status, 502);
    assert!(reply.text().contains("upstream"), "{}", reply.text());
    assert_eq!(proxy.fired(), BTreeMap::from([(Fault::ShortBody, 0)]));
}
