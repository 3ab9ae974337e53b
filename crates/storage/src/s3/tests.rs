//! The S3 store against a server that answers from a script: the requests that are sent, and the result of each answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_s3::config::{Credentials, Region};

use super::*;
use crate::runtime::runtime;

/// A server that answers one request on each connection, and returns the heads of the requests in lower case.
struct Server {
    url: String,
    thread: JoinHandle<Vec<String>>,
}

impl Server {
    fn start(answers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serve =
            move || answers.iter().map(|answer| exchange(&listener.accept().unwrap().0, answer)).collect();
        Self { url, thread: std::thread::spawn(serve) }
    }

    fn requests(self) -> Vec<String> {
        self.thread.join().unwrap()
    }
}

fn exchange(mut stream: &TcpStream, answer: &str) -> String {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
    let head = head.to_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
    reader.take(length.unwrap_or(0)).read_to_end(&mut Vec::new()).unwrap();
    stream.write_all(answer.as_bytes()).unwrap();
    head
}

fn answer(status: u16, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

fn refusal(status: u16, code: &str, message: &str) -> String {
    answer(status, "", &format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>"))
}

fn store(endpoint: &str) -> S3Store {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(aws_sdk_s3::config::BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .build();
    S3Store::with_client("s3://bucket/root", &Client::from_conf(config)).unwrap()
}

/// Returns the result of a call, and the requests that it made.
fn ask<T>(
    answers: Vec<String>,
    call: impl AsyncFnOnce(&S3Store) -> StoreResult<T>,
) -> (StoreResult<T>, Vec<String>) {
    let server = Server::start(answers);
    let store = store(&server.url);
    let result = runtime().unwrap().block_on(call(&store));
    (result, server.requests())
}

fn get_error(answer: String) -> StoreError {
    ask(vec![answer], async |s| s.get("k", ByteRange::Bounded(0..10), Some("e")).await).0.unwrap_err()
}

#[test]
fn a_ranged_read_is_pinned_and_tells_the_whole_size() {
    let found = answer(206, "ETag: \"e\"\r\nContent-Range: bytes 5-9/1000\r\n", "hello");
    let (object, requests) =
        ask(vec![found], async |s| s.get("a=1/k", ByteRange::Bounded(5..10), Some("e")).await);
    let object = object.unwrap();
    assert_eq!(object.bytes, "hello");
    assert_eq!(object.info, ObjectInfo { key: "a=1/k".into(), size: 1000, etag: "e".into() });
    assert!(requests[0].starts_with("get /bucket/root/a%3d1/k"), "{}", requests[0]);
    assert!(requests[0].contains("range: bytes=5-9\r\n") && requests[0].contains("if-match: \"e\"\r\n"));
}

#[test]
fn every_refusal_is_one_request_with_its_kind() {
    use StoreErrorKind as Kind;
    let cases = [
        (refusal(404, "NoSuchKey", "x"), Kind::NotFound, "s3://bucket/root/k"),
        (refusal(404, "NoSuchBucket", "x"), Kind::Bucket, "no bucket `bucket`"),
        (
            refusal(403, "AccessDenied", "Access Denied"),
            Kind::Denied,
            "arn:aws:s3:::bucket/root/k is not allowed",
        ),
        (refusal(412, "PreconditionFailed", "x"), Kind::Changed, "another one now"),
        (refusal(503, "SlowDown", "Please reduce"), Kind::Throttled, "SlowDown: Please reduce"),
        (refusal(500, "InternalError", "x"), Kind::Unavailable, "InternalError"),
        (refusal(400, "ExpiredToken", "x"), Kind::Credentials, "ExpiredToken"),
        (answer(502, "", "<html>bad gateway</html>"), Kind::Unavailable, "502"),
        (answer(301, "x-amz-bucket-region: eu-west-1\r\n", ""), Kind::Bucket, "region eu-west-1"),
    ];
    for (answer, kind, words) in cases {
        let error = get_error(answer);
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn an_error_behind_a_status_of_success_is_no_content() {
    let body = "<Error><Code>InternalError</Code></Error>";
    assert_eq!(get_error(answer(200, "", body)).kind, StoreErrorKind::Corrupt);
    let (list, _) = ask(vec![answer(200, "", body)], async |s| s.list("").await);
    assert_eq!(list.unwrap_err().kind, StoreErrorKind::Unavailable);
    let (put, _) =
        ask(vec![answer(200, "", body)], async |s| s.put("k", Bytes::new(), Condition::Always).await);
    assert_eq!(put.unwrap_err().kind, StoreErrorKind::Unavailable);
}

#[test]
fn broken_connections_may_be_tried_again() {
    let short =
        "HTTP/1.1 206 X\r\nETag: \"e\"\r\nContent-Range: bytes 0-9/10\r\nContent-Length: 10\r\n\r\nhalf";
    let error = get_error(short.to_owned());
    assert!(error.kind == StoreErrorKind::Corrupt, "{error}");
    let error = get_error(String::new());
    assert!(error.kind == StoreErrorKind::Unavailable, "{error}");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let store = store(&format!("http://{nobody}"));
    let error = runtime().unwrap().block_on(store.head("k")).unwrap_err();
    assert!(error.kind == StoreErrorKind::Unavailable && error.hint().is_some(), "{error}");
}

#[test]
fn empty_objects_have_no_ranges() {
    let answers = || vec![refusal(416, "InvalidRange", "x"), answer(200, "ETag: \"e\"\r\n", "")];
    let (object, requests) = ask(answers(), async |s| s.get("k", ByteRange::Suffix(10), None).await);
    let object = object.unwrap();
    assert_eq!((object.bytes.len(), object.info.size), (0, 0));
    assert!(requests[1].starts_with("head"));
    let (object, _) = ask(answers(), async |s| s.get("k", ByteRange::Suffix(10), Some("other")).await);
    assert_eq!(object.unwrap_err().kind, StoreErrorKind::Changed);
}

#[test]
fn writes_carry_their_condition() {
    let done = || vec![answer(200, "ETag: \"new\"\r\n", "")];
    let bytes = Bytes::from_static(b"x");
    let (etag, requests) = ask(done(), async |s| s.put("k", bytes.clone(), Condition::IfAbsent).await);
    assert_eq!(etag.unwrap(), "new");
    assert!(requests[0].contains("if-none-match: *\r\n"), "{}", requests[0]);
    let swap = Condition::IfMatch("old".into());
    let (_, requests) = ask(done(), async |s| s.put("k", bytes.clone(), swap.clone()).await);
    assert!(requests[0].contains("if-match: \"old\"\r\n"), "{}", requests[0]);
    let race = vec![refusal(409, "ConditionalRequestConflict", "x")];
    let (raced, _) = ask(race, async |s| s.put("k", bytes.clone(), Condition::IfAbsent).await);
    assert_eq!(raced.unwrap_err().kind, StoreErrorKind::Throttled);
    let (lost, _) = ask(vec![refusal(412, "PreconditionFailed", "x")], async |s| {
        s.put("k", bytes.clone(), Condition::IfAbsent).await
    });
    assert_eq!(lost.unwrap_err().kind, StoreErrorKind::Exists);
}

#[test]
fn all_pages_are_listed() {
    let page = |key: &str, more: &str| {
        let object =
            format!("<Contents><Key>root/{key}</Key><Size>3</Size><ETag>&quot;e&quot;</ETag></Contents>");
        answer(200, "", &format!("<ListBucketResult>{object}{more}</ListBucketResult>"))
    };
    let more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>";
    let (found, requests) = ask(vec![page("a/1", more), page("a/2", "")], async |s| s.list("a/").await);
    let found = found.unwrap();
    assert_eq!(found.iter().map(|o| o.key.as_str()).collect::<Vec<_>>(), ["a/1", "a/2"]);
    assert_eq!((found[0].size, found[0].etag.as_str()), (3, "e"));
    assert!(requests[0].contains("prefix=root%2fa%2f") && requests[1].contains("continuation-token=t"));
}

#[test]
fn urls_name_a_bucket() {
    assert_eq!(S3Store::open("s3://b").unwrap().url(), "s3://b");
    assert_eq!(S3Store::open("s3://b/x/y/").unwrap().url(), "s3://b/x/y");
    for url in ["s3://", "s3:///x", "b/x"] {
        assert_eq!(S3Store::open(url).unwrap_err().kind, StoreErrorKind::Bucket);
    }
}

/// A provider without credentials.
#[derive(Debug)]
struct Nobody;

impl ProvideCredentials for Nobody {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("no providers in chain")))
    }
}

#[test]
fn missing_credentials_are_told_from_a_broken_network() {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(aws_sdk_s3::config::BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(Nobody)
        .build();
    let store = S3Store::with_client("s3://bucket", &Client::from_conf(config)).unwrap();
    let error = runtime().unwrap().block_on(store.head("k")).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Credentials, "{error}");
    assert!(error.hint().unwrap().contains("AWS_PROFILE"), "{error}");
}
