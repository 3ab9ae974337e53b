//! The invoker against a server that answers from a script: what is sent, and what becomes of each answer.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_lambda::config::{BehaviorVersion, Builder, Credentials, Region};
use aws_smithy_types::base64;
use stagger_coordinator::{InvocationOutcome, Invoker};
use stagger_forecast::Prices;
use stagger_model::error::FailureClass;
use stagger_model::events::ObjectRef;
use stagger_model::failure::Failure;
use stagger_protocol::messages::{Answer, Invocation, PROTOCOL, TaskFailure, TaskReport, VERSION, Work};
use stagger_storage::runtime;

use super::scripted::{answer, serve};
use super::{Clients, LambdaInvoker};

fn refusal(status: u16, code: &str, body: &str) -> String {
    answer(status, &format!("x-amzn-ErrorType: {code}\r\n"), body)
}

/// `GetFunctionConfiguration` of a function whose name ends in its memory.
fn configuration(head: &str, architecture: &str, state: &str) -> String {
    let name = head.split("/functions/").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let memory = name.rsplit('-').next().unwrap_or_default();
    let body = format!(
        r#"{{"FunctionName":"{name}","FunctionArn":"arn:aws:lambda:us-east-1:1:function:{name}","MemorySize":{memory},
            "Timeout":60,"Architectures":["{architecture}"],"State":"{state}","StateReason":"The image is gone."}}"#
    );
    answer(200, "", &body)
}

fn config(url: &str) -> Builder {
    aws_sdk_lambda::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
        .endpoint_url(url)
}

fn connect(url: &str, names: &[&str]) -> Result<LambdaInvoker, Failure> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let prices = Prices::built_in().unwrap();
    runtime().unwrap().block_on(LambdaInvoker::connect(Clients::of_config(config(url)), &names, &prices))
}

/// A server that has a function and answers its invocations so.
fn invoker(reply: impl Fn() -> String + Send + Sync + 'static) -> (LambdaInvoker, Receiver<String>) {
    let script = move |head: &str| match head.starts_with("get ") {
        true => configuration(head, "arm64", "Active"),
        false => reply(),
    };
    let (url, told) = serve(Box::new(script));
    (connect(&url, &["f-1769"]).unwrap(), told)
}

fn invocation() -> Invocation {
    Invocation {
        protocol: PROTOCOL,
        version: VERSION.to_owned(),
        run: "s3://b/runs/r".to_owned(),
        stage: ObjectRef { key: "k".to_owned(), checksum: "c".to_owned() },
        work: Work::Scatter(7),
        look: false,
        seconds: 9,
        kind: None,
    }
}

fn invoke(invoker: &LambdaInvoker, limit: Duration) -> InvocationOutcome {
    runtime().unwrap().block_on(invoker.invoke(0, invocation(), limit))
}

fn failure(reply: String) -> TaskFailure {
    let (invoker, _) = invoker(move || reply.clone());
    failure_of(invoke(&invoker, Duration::from_secs(10)))
}

fn failure_of(invoked: InvocationOutcome) -> TaskFailure {
    match invoked.answer {
        Answer::Failed(failure) => failure,
        Answer::Done(report) => panic!("{report:?}"),
    }
}

const REPORT: &str = "REPORT RequestId: x\tDuration: 90.00 ms\tBilled Duration: 100 ms\tMemory Size: 1769 MB\tMax Memory Used: ";

#[test]
fn a_task_goes_and_its_answer_comes_back_with_the_bill() {
    let done = Answer::Done(TaskReport { key: "k".to_owned(), rows: 12, ..TaskReport::default() });
    let body = serde_json::to_string(&done).unwrap();
    let log = base64::encode(format!("START\n{REPORT}64 MB\tInit Duration: 10.00 ms\t\n"));
    let reply =
        answer(200, &format!("X-Amz-Log-Result: {log}\r\nX-Amz-Executed-Version: $LATEST\r\n"), &body);
    let (invoker, told) = invoker(move || reply.clone());
    let invoked = invoke(&invoker, Duration::from_secs(10));
    assert_eq!(invoked.answer, done);
    let billed = invoked.billed.unwrap();
    assert!((billed.seconds - 0.1).abs() < 1e-12 && billed.peak_memory == 64 << 20 && billed.init.is_some());
    let sent: Vec<String> = told.try_iter().collect();
    assert!(sent[0].starts_with("get /2015-03-31/functions/f-1769/configuration"), "{sent:?}");
    assert!(sent[1].starts_with("post /2015-03-31/functions/f-1769/invocations"), "{sent:?}");
    assert!(sent[1].contains("x-amz-log-type: tail\r\n") && sent[1].contains("{\"scatter\":7}"), "{sent:?}");
}

#[test]
fn a_function_that_fails_is_told_by_what_lambda_knows() {
    let failed = |kind: &str, words: &str, used: &str| {
        let log = base64::encode(format!("START RequestId: x\nlast words\n{REPORT}{used}\n"));
        let body = format!(r#"{{"errorType":"{kind}","errorMessage":"{words}"}}"#);
        failure(answer(
            200,
            &format!("X-Amz-Function-Error: Unhandled\r\nX-Amz-Log-Result: {log}\r\n"),
            &body,
        ))
    };
    let killed = failed("Runtime.ExitError", "Error: Runtime exited with error: signal: killed", "1769 MB\t");
    assert_eq!(killed.class, FailureClass::OutOfMemory, "{}", killed.message);
    let late = failed("Sandbox.Timedout", "Task timed out after 60.00 seconds", "90 MB\tStatus: timeout\t");
    assert_eq!(late.class, FailureClass::TimedOut, "{}", late.message);
    let crashed = failed("Runtime.ExitError", "exit status 101", "90 MB\t");
    assert_eq!(crashed.class, FailureClass::Lost);
    assert!(crashed.message.ends_with("exit status 101; it printed last: last words"), "{}", crashed.message);
    let large = failed("Function.ResponseSizeTooLarge", "too large", "90 MB\t");
    assert_eq!(large.class, FailureClass::Permanent);
}

#[test]
fn every_refusal_is_one_request_with_its_class() {
    use FailureClass as Class;
    let reason = r#"{"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded","Type":"User","message":"Rate Exceeded."}"#;
    let cases = [
        (refusal(429, "TooManyRequestsException", reason), Class::Throttled, "Rate Exceeded"),
        (refusal(413, "RequestEntityTooLargeException", "{}"), Class::Permanent, "RequestEntityTooLarge"),
        (refusal(500, "ServiceException", "{\"Message\":\"oops\"}"), Class::Lost, "ServiceException: oops"),
        (refusal(502, "EC2ThrottledException", "{}"), Class::Throttled, "EC2Throttled"),
        (answer(503, "", "<html>"), Class::Lost, "503"),
        (refusal(403, "ExpiredTokenException", "{}"), Class::Credentials, "ExpiredToken"),
        (
            refusal(403, "AccessDeniedException", "{}"),
            Class::Permanent,
            "lambda:InvokeFunction on arn:aws:lambda:us-east-1:1:function:f-1769 is not allowed",
        ),
        (
            refusal(404, "ResourceNotFoundException", "{}"),
            Class::Permanent,
            "no such function in region us-east-1",
        ),
    ];
    for (reply, class, words) in cases {
        let (invoker, told) = invoker(move || reply.clone());
        let failure = failure_of(invoke(&invoker, Duration::from_secs(10)));
        assert_eq!(failure.class, class, "{}", failure.message);
        assert!(failure.message.contains(words), "{}", failure.message);
        assert_eq!(told.try_iter().count(), 2, "the configuration and one invocation: {words}");
        if class == Class::Throttled && words == "Rate Exceeded" {
            assert!(failure.hint.is_some_and(|hint| hint.contains("reserved concurrency")));
        }
    }
}

#[test]
fn answers_that_never_come_are_lost() {
    let short = "HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\n{\"done\":";
    for reply in [String::new(), short.to_owned()] {
        let failure = failure(reply);
        assert_eq!(failure.class, FailureClass::Lost, "{}", failure.message);
    }
    let (slow, _) = invoker(|| {
        std::thread::sleep(Duration::from_secs(30));
        String::new()
    });
    let slow = slow.with_margin(Duration::from_millis(100));
    let since = Instant::now();
    let failure = failure_of(invoke(&slow, Duration::from_millis(200)));
    assert_eq!(failure.class, FailureClass::Lost, "{}", failure.message);
    assert!(since.elapsed() < Duration::from_secs(5), "{}", failure.message);
}

/// Five times as long without a byte as the SDK's protection from stalls has patience, if it were on.
#[test]
fn an_answer_may_take_its_time() {
    let done = serde_json::to_string(&Answer::Done(TaskReport::default())).unwrap();
    let (invoker, _) = invoker(move || {
        std::thread::sleep(Duration::from_secs(7));
        answer(200, "", &done)
    });
    let invoked = invoke(&invoker, Duration::from_secs(60));
    assert_eq!(invoked.answer, Answer::Done(TaskReport::default()));
}

#[test]
fn hundreds_are_under_way_at_a_time() {
    const ALL: usize = 400;
    let done = serde_json::to_string(&Answer::Done(TaskReport::default())).unwrap();
    // Nobody is answered before everybody is there.
    let barrier = std::sync::Barrier::new(ALL);
    super::raise_open_files(2 * ALL as u64);
    let (invoker, _) = invoker(move || {
        barrier.wait();
        answer(200, "", &done)
    });
    let all = (0..ALL).map(|_| invoker.invoke(0, invocation(), Duration::from_secs(60)));
    let answers = runtime().unwrap().block_on(futures::future::join_all(all));
    for invoked in answers {
        assert_eq!(invoked.answer, Answer::Done(TaskReport::default()));
    }
}

#[test]
fn functions_come_by_memory_and_are_refused_by_name() {
    let (url, _) = serve(Box::new(|head| configuration(head, "arm64", "Active")));
    let invoker = connect(&url, &["c-3538", "a-1769", "b-10240", "a-1769"]).unwrap();
    let sizes: Vec<u32> = invoker.functions().iter().map(|function| function.memory_mb).collect();
    assert_eq!(sizes, [1769, 3538, 10240]);
    assert_eq!(invoker.settings()[0].timeout, Duration::from_secs(60));
    assert!((invoker.prices().gb_second - 0.0000133334).abs() < 1e-15);

    let refused = |script: fn(&str) -> String, names: &[&str]| {
        connect(&serve(Box::new(script)).0, names).unwrap_err().to_string()
    };
    let none = refused(
        |_| {
            refusal(
                404,
                "ResourceNotFoundException",
                "{\"Message\":\"Function not found: arn:aws:lambda:us-east-1:1:function:a-1\"}",
            )
        },
        &["a-1"],
    );
    let pending = refused(|head| configuration(head, "arm64", "Failed"), &["a-1"]);
    let denied =
        refused(|_| refusal(403, "AccessDeniedException", "{\"Message\":\"no policy allows it\"}"), &["a-1"]);
    let mixed = refused(
        |head| {
            configuration(head, if head.contains("/functions/a-1/") { "arm64" } else { "x86_64" }, "Active")
        },
        &["a-1", "b-2"],
    );
    insta::assert_snapshot!([none, pending, denied, mixed].join(""));
}

#[test]
fn x86_has_its_own_price() {
    let (url, _) = serve(Box::new(|head| configuration(head, "x86_64", "Active")));
    let invoker = connect(&url, &["a-1"]).unwrap();
    assert!((invoker.prices().gb_second - 0.0000166667).abs() < 1e-15);
    let prices = Prices { x86_gb_second: None, ..Prices::built_in().unwrap() };
    let names = ["a-1".to_owned()];
    let connected = LambdaInvoker::connect(Clients::of_config(config(&url)), &names, &prices);
    let error = runtime().unwrap().block_on(connected).unwrap_err().to_string();
    assert!(error.contains("lambda.x86_gb_second is missing"), "{error}");
}

/// Has no credentials to give.
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
    let clients = Clients::of_config(config("http://127.0.0.1:1").credentials_provider(Nobody));
    let (names, prices) = (["f".to_owned()], Prices::built_in().unwrap());
    let connected = LambdaInvoker::connect(clients, &names, &prices);
    let error = runtime().unwrap().block_on(connected).unwrap_err().to_string();
    assert!(error.contains("no credentials"), "{error}");
    let error = connect("http://127.0.0.1:1", &["f"]).unwrap_err().to_string();
    assert!(error.contains("AWS_ENDPOINT_URL"), "{error}");
}
