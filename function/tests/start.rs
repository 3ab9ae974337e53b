//! The program itself against a Runtime API of ours: it starts, takes events, answers each, and outlives the ones it can't do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Far more than any answer takes on a busy machine; without it a worker that hangs would hang the tests.
const PATIENCE: Duration = Duration::from_secs(120);

/// The worker and the Runtime API that it talks to.
struct Function {
    worker: Child,
    started: Instant,
    events: Sender<Value>,
    calls: Receiver<Call>,
}

/// A request of the worker.
struct Call {
    path: String,
    body: String,
    at: Instant,
}

impl Function {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound").to_string();
        let (events, waiting) = channel();
        let (told, calls) = channel();
        let waiting = Arc::new(Mutex::new(waiting));
        // Both threads end with the worker: its connections close, and nobody waits for the listener's.
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (waiting, told) = (Arc::clone(&waiting), told.clone());
                thread::spawn(move || serve(connection, &waiting, &told));
            }
        });
        let started = Instant::now();
        let worker = Command::new(env!("CARGO_BIN_EXE_bootstrap"))
            .env("AWS_LAMBDA_RUNTIME_API", address)
            .env("AWS_LAMBDA_FUNCTION_NAME", "stagger")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1769")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "log")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "log")
            .env("STAGGER_BUCKETS", "b")
            .stderr(Stdio::piped())
            .spawn()
            .expect("the worker starts");
        Self { worker, started, events, calls }
    }

    fn call(&self) -> Call {
        self.calls.recv_timeout(PATIENCE).expect("the worker calls")
    }

    /// Returns the time that the worker took until it asked for its first event.
    fn ready(&self) -> Duration {
        let first = self.call();
        assert!(first.path.ends_with("/runtime/invocation/next"), "{}", first.path);
        first.at - self.started
    }

    /// Sends an event; returns the last part of the path that the answer came by, and the answer.
    fn invoke(&self, event: Value) -> (String, Value) {
        self.events.send(event).expect("the API waits");
        let answer = self.call();
        let (_, way) = answer.path.rsplit_once('/').expect("a path");
        let body = serde_json::from_str(&answer.body).expect("the answer is JSON");
        assert!(self.call().path.ends_with("/next"), "it asks for the next one");
        (way.to_owned(), body)
    }

    /// Stops the worker; returns its log.
    fn stop(mut self) -> Vec<Value> {
        self.worker.kill().expect("it ran until now");
        let mut log = String::new();
        self.worker.stderr.take().expect("piped").read_to_string(&mut log).expect("the log is text");
        log.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
            .collect()
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let _ = self.worker.kill();
        let _ = self.worker.wait();
    }
}

/// Answers the requests of one connection until it closes.
fn serve(connection: TcpStream, events: &Mutex<Receiver<Value>>, told: &Sender<Call>) -> Option<()> {
    let mut reader = BufReader::new(connection.try_clone().ok()?);
    let mut writer = connection;
    loop {
        let mut request = String::new();
        while !request.ends_with("\r\n\r\n") {
            if reader.read_line(&mut request).ok()? == 0 {
                return None;
            }
        }
        let path = request.split(' ').nth(1)?.to_owned();
        let lower = request.to_lowercase();
        let length = lower.split("\r\ncontent-length:").nth(1).and_then(|rest| rest.lines().next());
        let mut body = vec![0; length.map_or(0, |bytes| bytes.trim().parse().expect("a length"))];
        reader.read_exact(&mut body).ok()?;
        let next = path.ends_with("/next");
        told.send(Call { path, body: String::from_utf8_lossy(&body).into_owned(), at: Instant::now() })
            .ok()?;
        let answer = if next { event(&events.lock().ok()?.recv().ok()?) } else { accepted() };
        writer.write_all(answer.as_bytes()).ok()?;
    }
}

fn event(event: &Value) -> String {
    let body = event.to_string();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n\
         Lambda-Runtime-Deadline-Ms: 4102444800000\r\n\
         Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:000000000000:function:stagger\r\n\r\n{body}",
        body.len()
    )
}

fn accepted() -> String {
    "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".to_owned()
}

fn invocation(protocol: u32, run: &str) -> Value {
    let checksum = "0123456789abcdef0123456789abcdef";
    json!({
        "protocol": protocol, "version": env!("CARGO_PKG_VERSION"), "run": run,
        "stage": { "key": format!("common/{checksum}"), "checksum": checksum }, "work": { "gather": 3 },
        "look": false, "seconds": 60
    })
}

#[test]
fn starts_and_answers() {
    let function = Function::start();
    println!("ready after {:.1} ms", function.ready().as_secs_f64() * 1e3);
    let (way, answer) = function.invoke(invocation(0, "s3://b/runs/r"));
    assert_eq!((way.as_str(), &answer["failed"]["class"]), ("response", &json!("permanent")));
    let message = answer["failed"]["message"].as_str().expect("a message");
    assert!(
        message.starts_with(concat!("the controller is version ", env!("CARGO_PKG_VERSION"))),
        "{message}"
    );
    let log = function.stop();
    assert_eq!(log.len(), 1, "{log:?}");
    assert_eq!((&log[0]["level"], &log[0]["class"]), (&json!("ERROR"), &json!("permanent")));
}

#[test]
fn an_event_that_is_none_fails_alone() {
    let function = Function::start();
    function.ready();
    let (way, answer) = function.invoke(json!({ "operation": "ping", "secret": "hunter2" }));
    assert_eq!((way.as_str(), &answer["failed"]["class"]), ("response", &json!("permanent")));
    let (_, answer) = function.invoke(invocation(0, "s3://b/runs/r"));
    assert_eq!(answer["failed"]["class"], json!("permanent"), "it goes on");
    let log = function.stop();
    assert_eq!(log.len(), 2);
    assert!(!log[0].to_string().contains("hunter2"), "an event's content is not logged");
}

#[test]
fn a_message_names_no_folder_of_the_machine() {
    let folder = std::env::temp_dir().join(format!("stagger-start-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let function = Function::start();
    function.ready();
    let folder_url = format!("file://{}", folder.display());
    for place in
        [folder.to_str().expect("UTF-8"), "runs/r", "", "s3://b/../x", "s3://other/runs/r", &folder_url]
    {
        let (_, answer) = function.invoke(invocation(1, place));
        assert_eq!(answer["failed"]["class"], json!("permanent"), "{place}: {answer}");
        let message = answer["failed"]["message"].as_str().expect("a message");
        assert!(message.contains("no place for this worker"), "{place}: {message}");
    }
    let left = std::fs::read_dir(&folder).expect("it is there").count();
    std::fs::remove_dir_all(&folder).expect("it is ours");
    assert_eq!(left, 0, "nothing was written there");
}
