//! `stagger doctor` on LocalStack: all well, and each thing that may be wrong.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use stagger_protocol::messages::{PROTOCOL, VERSION};
use stagger_tests::cli::{Output, command, finish};
use stagger_tests::localstack::http::request;
use stagger_tests::localstack::{LocalStack, environment, python};
use stagger_tests::stack::Stack;

/// Answers as a worker does that is asked in another protocol; the large function is one of another version.
const BOOTSTRAP: &str = r#"#!PYTHON -IS
import http.client, json, os
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
version = "0.0.1" if os.environ["AWS_LAMBDA_FUNCTION_NAME"].endswith("-large") else "VERSION"
while True:
    api.request("GET", "/2018-06-01/runtime/invocation/next")
    reply = api.getresponse()
    event = json.loads(reply.read())
    assert event["protocol"] == 0 and event["work"] == {"scatter": 0}, event
    message = f"the controller is version {event['version']} (protocol 0), the worker version {version} (protocol PROTOCOL)"
    answer = {"failed": {"class": "permanent", "message": message, "hint": None, "place": None}}
    request = reply.headers["Lambda-Runtime-Aws-Request-Id"]
    api.request("POST", f"/2018-06-01/runtime/invocation/{request}/response", json.dumps(answer))
    api.getresponse().read()
"#;

/// Zips what it reads.
const ZIP: &str = "import sys, zipfile
code = sys.stdin.read().replace('PYTHON', sys.executable, 1)
zipfile.ZipFile(sys.argv[1], 'w').writestr('bootstrap', code)";

/// A stack whose functions run this bootstrap.
fn deployed(folder: &Path) -> Stack {
    let code = folder.join("bootstrap.py");
    let text = BOOTSTRAP
        .replace("VERSION", VERSION)
        .replace("(protocol PROTOCOL)", &format!("(protocol {PROTOCOL})"));
    std::fs::write(&code, text).expect("the code is written");
    let zip = folder.join("bootstrap.zip");
    let read = std::fs::File::open(&code).expect("it was just written");
    let zipped = Command::new(python()).args(["-c", ZIP]).arg(&zip).stdin(read).status();
    assert!(zipped.is_ok_and(|status| status.success()), "no zip");
    Stack::of_zip("doctor", &zip, &["--memory", "128,256,512", "--timeout", "5"])
}

fn doctor(bucket: &str, functions: &[&str], more: &[&str]) -> Output {
    let mut doctor = command();
    doctor.arg("doctor").args(more).envs(environment(LocalStack::shared().url()));
    finish(doctor.env("STAGGER_BUCKET", bucket).env("STAGGER_FUNCTION", functions.join(",")))
}

/// The line of a check, and the hint below it.
fn lines<'a>(output: &'a Output, check: &str) -> (&'a str, &'a str) {
    let mut all = output.stdout.lines().skip_while(|line| !line[5..].starts_with(check));
    let line = all.next().unwrap_or_else(|| panic!("no {check} in\n{}", output.stdout));
    (line, all.next().filter(|line| line.trim_start().starts_with("hint: ")).unwrap_or_default())
}

#[test]
#[ignore = "needs LocalStack"]
fn all_well_and_each_thing_that_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let stack = deployed(folder.path());
    let [small, medium, large] = [0, 1, 2].map(|size| stack.functions[size].as_str());

    let well = doctor(&stack.bucket, &[small, medium], &["--concurrency", "500"]).success();
    assert!(well.stdout.lines().all(|line| line.starts_with("ok ")), "{}", well.stdout);
    assert!(well.stdout.is_ascii(), "not for a terminal");
    let (line, _) = lines(&well, &format!("function {small}"));
    assert!(line.contains(" Active, ") && line.ends_with(" 128 MB, 5 s, no reserved concurrency"), "{line}");
    let (line, _) = lines(&well, &format!("invoke {medium}"));
    assert!(line.ends_with(&format!("version {VERSION}, as this program")), "{line}");
    let (line, _) = lines(&well, "credentials");
    assert!(
        line.contains("ending in test, from the environment") && line.contains("account 000000000000"),
        "{line}"
    );

    let json = doctor(&stack.bucket, &[small], &["--json", "--concurrency=5000"]).success().json();
    assert_eq!((&json["ok"], &json["version"]), (&Value::Bool(true), &Value::from(VERSION)));
    let quota =
        json["checks"].as_array().and_then(|checks| checks.iter().find(|check| check["check"] == "quota"));
    assert_eq!(quota.expect("a check of the quota")["status"], "warn", "5,000 are more than an account has");

    let bucket = doctor("no-such-bucket-here", &[small], &[]);
    assert_eq!(
        (bucket.code, bucket.stderr.as_str()),
        (Some(1), "error: 1 of 9 checks failed\n"),
        "{}",
        bucket.stdout
    );
    let (line, hint) = lines(&bucket, "bucket no-such-bucket-here");
    assert!(line.starts_with("FAIL ") && line.contains("there is no bucket"), "{line}");
    assert!(hint.contains("check the bucket's name"), "{hint}");

    let function = doctor(&stack.bucket, &["no-such-function", medium], &[]);
    assert_eq!(function.code, Some(1), "{}", function.stdout);
    let (line, hint) = lines(&function, "function no-such-function");
    assert!(line.starts_with("FAIL ") && line.contains("no such function in region us-east-1"), "{line}");
    assert!(hint.contains("AWS_REGION"), "{hint}");
    assert!(lines(&function, &format!("invoke {medium}")).0.starts_with("ok "), "the other one is looked at");

    let version = doctor(&stack.bucket, &[small, large], &[]);
    assert_eq!(version.code, Some(1), "{}", version.stdout);
    let (line, hint) = lines(&version, &format!("invoke {large}"));
    assert!(line.starts_with("FAIL ") && line.contains("its worker is version 0.0.1 (protocol "), "{line}");
    assert!(hint.contains("infra/deploy"), "{hint}");
    assert!(lines(&version, &format!("invoke {small}")).0.starts_with("ok "), "{}", version.stdout);

    let url = LocalStack::shared().url();
    let listed = request(url, "GET", &format!("/{}?list-type=2&prefix=runs/", stack.bucket), &[], b"");
    let listed = listed.expect("an answer").text();
    assert!(listed.contains("<KeyCount>0</KeyCount>"), "nothing is left behind: {listed}");
}

/// A machine that has none, and nothing to ask.
#[test]
#[ignore = "needs LocalStack"]
fn without_credentials() {
    let mut doctor = command();
    let unset =
        ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION"];
    unset.iter().for_each(|name| {
        doctor.env_remove(name);
    });
    let nowhere = "/dev/null";
    doctor.env("AWS_CONFIG_FILE", nowhere).env("AWS_SHARED_CREDENTIALS_FILE", nowhere);
    doctor
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env_remove("STAGGER_BUCKET")
        .env_remove("STAGGER_FUNCTION");
    let output = finish(doctor.arg("doctor"));
    assert_eq!(
        (output.code, output.stderr.as_str()),
        (Some(1), "error: 1 of 7 checks failed\n"),
        "{}",
        output.stdout
    );
    let (line, hint) = lines(&output, "credentials");
    assert!(line.starts_with("FAIL ") && hint.contains("AWS_PROFILE"), "{}", output.stdout);
    assert!(lines(&output, "functions").0.starts_with("-  "), "{}", output.stdout);
}
