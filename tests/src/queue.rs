//! A work queue on LocalStack, and workers at it: the `gpu-worker` that was built beside the tests, as processes.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use stagger_test_support::system::{Signal, send};

use crate::cli::beside;
use crate::localstack::http::request;
use crate::localstack::{LocalStack, environment};

/// A queue that no other test has.
#[derive(Debug)]
pub struct WorkQueue {
    /// Its URL, as SQS gives it.
    pub url: String,
}

impl Default for WorkQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl WorkQueue {
    /// Makes one.
    ///
    /// # Panics
    /// If LocalStack does not.
    #[track_caller]
    pub fn new() -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let name = format!("tasks-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let found = sqs("CreateQueue", &serde_json::json!({ "QueueName": name }));
        Self { url: found["QueueUrl"].as_str().expect("a queue's URL").to_owned() }
    }

    /// Messages that were not deleted, whether somebody has them or not.
    pub fn messages(&self) -> u64 {
        let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
        let asked = serde_json::json!({ "QueueUrl": self.url, "AttributeNames": names });
        let found = sqs("GetQueueAttributes", &asked);
        let count = |name: &str| found["Attributes"][name].as_str().and_then(|n| n.parse::<u64>().ok());
        names.iter().filter_map(|name| count(name)).sum()
    }

    /// Starts a worker, which leaves after `idle` seconds without a task.
    #[track_caller]
    pub fn worker(&self, idle: u64) -> WorkerProcess {
        let mut command = Command::new(beside("gpu-worker", "stagger-gpu-worker"));
        command
            .args(["--device", "cpu", "--threads", "1", "--hidden", "3", "--stay"])
            .args(["--queue", &self.url, "--idle", &idle.to_string()])
            .envs(environment(LocalStack::shared().url()));
        WorkerProcess::start(&mut command)
    }
}

/// A topic, and a queue that hears what it is told.
#[derive(Debug)]
pub struct Topic {
    /// Its name for SNS.
    pub arn: String,
    heard: WorkQueue,
}

impl Default for Topic {
    fn default() -> Self {
        Self::new()
    }
}

impl Topic {
    /// Makes one.
    ///
    /// # Panics
    /// If LocalStack does not.
    #[track_caller]
    pub fn new() -> Self {
        let heard = WorkQueue::new();
        let name = heard.url.rsplit('/').next().expect("a name").replace("tasks", "topic");
        let made = sns(&format!("Action=CreateTopic&Version=2010-03-31&Name={name}"));
        let arn = made.split("<TopicArn>").nth(1).and_then(|rest| rest.split('<').next());
        let arn = arn.unwrap_or_else(|| panic!("no topic: {made}")).to_owned();
        let asked = serde_json::json!({ "QueueUrl": heard.url, "AttributeNames": ["QueueArn"] });
        let found = sqs("GetQueueAttributes", &asked);
        let endpoint = found["Attributes"]["QueueArn"].as_str().expect("a queue's ARN");
        sns(&format!("Action=Subscribe&Version=2010-03-31&TopicArn={arn}&Protocol=sqs&Endpoint={endpoint}"));
        Self { arn, heard }
    }

    /// The next message, which must come within some seconds.
    ///
    /// # Panics
    /// If none comes.
    #[track_caller]
    pub fn message(&self) -> String {
        let asked = serde_json::json!({ "QueueUrl": self.heard.url, "WaitTimeSeconds": 15 });
        let found = sqs("ReceiveMessage", &asked);
        let message = &found["Messages"][0];
        let body = message["Body"].as_str().unwrap_or_else(|| panic!("no message: {found}"));
        sqs(
            "DeleteMessage",
            &serde_json::json!({ "QueueUrl": self.heard.url, "ReceiptHandle": message["ReceiptHandle"] }),
        );
        let wrapped: Value = serde_json::from_str(body).expect("what SNS wraps a message in");
        format!(
            "{}\n{}",
            wrapped["Subject"].as_str().unwrap_or_default(),
            wrapped["Message"].as_str().unwrap_or_default()
        )
    }
}

/// One request of SNS's form protocol; the scope of the signature says whose it is.
#[track_caller]
fn sns(form: &str) -> String {
    let scope = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sns/aws4_request, SignedHeaders=host, Signature=none";
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("authorization", scope)];
    let reply = request(LocalStack::shared().url(), "POST", "/", &headers, form.as_bytes());
    let reply = reply.unwrap_or_else(|e| panic!("SNS: {e}"));
    assert_eq!(reply.status, 200, "{form}: {}", reply.text());
    reply.text()
}

/// One request of SQS's JSON protocol.
#[track_caller]
fn sqs(action: &str, body: &Value) -> Value {
    let target = format!("AmazonSQS.{action}");
    let headers = [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", target.as_str())];
    let reply = request(LocalStack::shared().url(), "POST", "/", &headers, body.to_string().as_bytes());
    let reply = reply.unwrap_or_else(|e| panic!("{action}: {e}"));
    assert_eq!(reply.status, 200, "{action}: {}", reply.text());
    serde_json::from_str(&reply.text()).expect("JSON")
}

/// A worker, and what it logs.
#[derive(Debug)]
pub struct WorkerProcess {
    child: Child,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl WorkerProcess {
    #[track_caller]
    fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("can't start {command:?}: {e}"));
        let stderr = BufReader::new(child.stderr.take().expect("its standard error"));
        let lines: Arc<Mutex<Vec<Value>>> = Arc::default();
        let kept = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let parsed = serde_json::from_str(&line).unwrap_or_else(|_| Value::String(line.clone()));
                lock(&kept).push(parsed);
            }
        });
        Self { child, lines }
    }

    /// Lines so far whose `message` is this.
    pub fn told(&self, message: &str) -> Vec<Value> {
        lock(&self.lines).iter().filter(|line| line["message"] == message).cloned().collect()
    }

    /// All lines so far.
    pub fn log(&self) -> Vec<Value> {
        lock(&self.lines).clone()
    }

    /// The task that it has taken and not answered.
    pub fn task(&self) -> Option<String> {
        let (took, answered) = (self.told("took"), self.told("answered"));
        let last = took.last().filter(|_| took.len() > answered.len())?;
        last["task"].as_str().map(str::to_owned)
    }

    /// Kills it at once, as a spot instance that is taken away without the notice.
    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Tells it to end, and waits for that; its status.
    pub fn terminate(&mut self) -> Option<i32> {
        assert!(send(Signal::TERM, self.child.id()).is_ok(), "it is not there any more");
        self.wait()
    }

    /// Waits for its end; its status.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lock(lines: &Mutex<Vec<Value>>) -> MutexGuard<'_, Vec<Value>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}
