//! LocalStack as the tests use it, and each fault of the proxy before it.

use std::io::{self, ErrorKind};
use std::process::Command;
use std::time::{Duration, Instant};

use stagger_tests::localstack::http::{Reply, request};
use stagger_tests::localstack::{Bucket, LocalStack, environment, python, script};
use stagger_tests::proxy::{Fault, Plan, Rule};

const TEXT: &[u8] = b"the quick brown fox";

#[test]
#[ignore = "needs LocalStack"]
fn objects_ranges_and_conditions() {
    let bucket = Bucket::behind(Plan::new(0));
    let etag = bucket.expect(200, "PUT", "k", &[], TEXT).header("etag").expect("an ETag").to_owned();
    let whole = bucket.expect(200, "GET", "k", &[], b"");
    assert_eq!((whole.body.as_slice(), whole.header("etag")), (TEXT, Some(etag.as_str())));
    assert_eq!(bucket.expect(200, "HEAD", "k", &[], b"").header("content-length"), Some("19"));
    for (range, part) in [("bytes=4-8", &TEXT[4..9]), ("bytes=-3", &TEXT[16..]), ("bytes=-99", TEXT)] {
        assert_eq!(bucket.expect(206, "GET", "k", &[("Range", range)], b"").body, part, "{range}");
    }
    bucket.expect(416, "GET", "k", &[("Range", "bytes=19-")], b"");
    bucket.expect(404, "GET", "none", &[], b"");
    bucket.expect(412, "PUT", "k", &[("If-None-Match", "*")], TEXT);
    bucket.expect(200, "PUT", "new", &[("If-None-Match", "*")], TEXT);
    bucket.expect(412, "PUT", "k", &[("If-Match", "\"0\"")], TEXT);
    bucket.expect(200, "PUT", "k", &[("If-Match", &etag)], TEXT);
    bucket.expect(412, "GET", "k", &[("If-Match", "\"0\"")], b"");
    bucket.expect(304, "GET", "k", &[("If-None-Match", &etag)], b"");
    let list =
        request(&bucket.proxy.url(), "GET", &format!("/{}?list-type=2&prefix=n", bucket.name), &[], b"");
    let list = list.expect("an answer").text();
    assert!(list.contains("<Key>new</Key>") && !list.contains("<Key>k</Key>"), "{list}");
    assert_eq!(bucket.expect(204, "DELETE", "k", &[], b"").body, b"");
    bucket.expect(404, "HEAD", "k", &[], b"");
}

#[test]
#[ignore = "needs LocalStack"]
fn a_large_object_passes_the_proxy() {
    let bucket = Bucket::behind(Plan::new(0));
    let body: Vec<u8> = (0..32 << 20).map(|i: u32| (i ^ (i >> 11)) as u8).collect();
    assert_eq!(bucket.send("PUT", "large", &[], &body).expect("an answer").status, 200);
    assert!(bucket.send("GET", "large", &[], b"").expect("an answer").body == body);
}

#[test]
#[ignore = "needs LocalStack"]
fn every_fault_happens_before_localstack() {
    for fault in Fault::ALL {
        let delay = Duration::from_millis(250);
        let writes = matches!(fault, Fault::ErrorIn200 | Fault::ResetAfterCommit);
        let (method, body) = if writes { ("PUT", TEXT) } else { ("GET", &b""[..]) };
        let rule = Rule::new(fault).on(&[method]).at_most(1).lasting(delay);
        let bucket = Bucket::behind(Plan::new(0).with(rule));
        let key = format!("{fault:?}");
        if !writes {
            assert_eq!(bucket.direct("PUT", &key, TEXT).status, 200);
        }
        let since = Instant::now();
        let outcome = bucket.send(method, &key, &[], body);
        assert_outcome(&bucket, fault, outcome, since.elapsed() >= delay);
        assert_eq!(bucket.proxy.fired().into_iter().collect::<Vec<_>>(), [(fault, 1)]);
        // It happens once: the same request now succeeds.
        bucket.expect(200, method, &key, &[], body);
        assert_eq!(bucket.expect(200, "GET", &key, &[], b"").body, TEXT, "{fault:?}");
    }
}

#[track_caller]
fn assert_outcome(bucket: &Bucket, fault: Fault, outcome: io::Result<Reply>, late: bool) {
    let reply = outcome.as_ref().map(|reply| (reply.status, reply.body.as_slice()));
    let error = outcome.as_ref().err().map(io::Error::kind);
    let code = outcome.as_ref().map_or_else(|_| String::new(), Reply::text);
    match fault {
        Fault::SlowDown => assert!(reply.is_ok_and(|(s, _)| s == 503) && code.contains("SlowDown")),
        Fault::InternalError => assert!(reply.is_ok_and(|(s, _)| s == 500) && code.contains("InternalError")),
        Fault::ErrorIn200 => {
            assert!(reply.is_ok_and(|(s, _)| s == 200) && code.contains("InternalError"));
            assert_eq!(bucket.direct("GET", "ErrorIn200", b"").status, 404, "it was not written");
        }
        Fault::ResetBefore => assert_eq!(error, Some(ErrorKind::ConnectionReset)),
        Fault::ResetAfterCommit => {
            assert_eq!(error, Some(ErrorKind::ConnectionReset));
            assert_eq!(bucket.direct("GET", "ResetAfterCommit", b"").body, TEXT, "it was written");
        }
        Fault::TruncatedBody => assert_eq!(error, Some(ErrorKind::UnexpectedEof)),
        Fault::ShortBody => assert_eq!(reply.ok(), Some((200, &TEXT[..9]))),
        Fault::SlowBody | Fault::SlowStart => assert!(late && reply.is_ok_and(|reply| reply == (200, TEXT))),
    }
}

/// A client that simply asks again, up to three times, gets through every fault that it can see.
#[test]
#[ignore = "needs LocalStack"]
fn a_storm_ends() {
    let visible = [Fault::SlowDown, Fault::InternalError, Fault::ResetBefore, Fault::TruncatedBody];
    let rule = |fault| Rule::new(fault).every(4).at_most(4);
    let plan = visible.into_iter().fold(Plan::new(3), |plan, fault| plan.with(rule(fault)));
    let bucket = Bucket::behind(plan);
    for key in 0..40 {
        for method in ["PUT", "GET"] {
            let attempt =
                |_| bucket.send(method, &format!("{key}"), &[], TEXT).ok().filter(|r| r.status == 200);
            let reply = (0..3).find_map(attempt).expect("two faults in a row at most");
            assert!(method == "PUT" || reply.body == TEXT);
        }
    }
    let fired = bucket.proxy.fired();
    assert!(fired.len() == visible.len() && fired.values().all(|&count| count == 4), "{fired:?}");
}

#[test]
#[ignore = "needs LocalStack"]
fn functions_run_as_processes() {
    let mut check = Command::new(python());
    check.arg(script("process-executor/check.py")).envs(environment(LocalStack::shared().url()));
    let output = check.arg(LocalStack::shared().url()).output().expect("LocalStack's Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "needs LocalStack"]
fn nobody_reaches_the_server_from_another_machine() {
    let port: u16 =
        LocalStack::shared().url().rsplit(':').next().unwrap().trim_end_matches('/').parse().unwrap();
    let listening = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    // Address and port in hexadecimal digits, then the other end, then the state: 0A listens.
    let lines = listening("/proc/net/tcp") + &listening("/proc/net/tcp6");
    let own: Vec<&str> = lines
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|words| words.len() > 3 && words[3] == "0A" && words[1].ends_with(&format!(":{port:04X}")))
        .map(|words| words[1])
        .collect();
    assert_eq!(own, [format!("0100007F:{port:04X}")], "127.0.0.1 alone");
}
