//! What the controller itself takes, measured: memory and reports a second of the state machine, the journal and the adding of sums;
//! and requests a second that one process signs and sends.

use std::io::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use futures::StreamExt;
use stagger_coordinator::TreeSum;
use stagger_coordinator::journal::{ControllerId, Journal, Takeover};
use stagger_estimation::partial::{InfluenceSums, Partial};
use stagger_estimator::influence::InfluencePartial;
use stagger_model::cost::{Cost, UnitPrices};
use stagger_model::events::{PhaseSeconds, RunEvent, RunState, Summary, TaskDone};
use stagger_model::reduction::TreeNode;
use stagger_protocol::messages::{TaskReport, Work};
use stagger_schedule::{Completion, Function, NewAttempt, Next, Policy, Run};
use stagger_storage::{Condition, Storage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::model::Chance;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What a stage took of the controller.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Task reports handled.
    pub reports: u64,
    /// Seconds.
    pub seconds: f64,
    /// Most memory that the process had, bytes.
    pub peak: u64,
}

/// Extended columns: 72 cells, 8 cohort shares, ones.
const COLUMNS: usize = 81;
/// Tasks under way.
const UNDER_WAY: usize = 1_000;

/// One stage of so many tasks and draws, answered at once in no order: the real state machine, every event in the real journal in `folder`, every
/// sum that the controller gets read from there, decoded and added.
///
/// # Errors
/// Files that can't be written.
pub async fn stage(tasks: usize, draws: usize, folder: &Path) -> Outcome<Measured> {
    let storage = Storage::open(&folder.display().to_string())?;
    let sum = Partial::Influence(InfluenceSums {
        units: InfluencePartial::new(COLUMNS, draws),
        clusters: Vec::new(),
    });
    let bytes = Bytes::from(sum.encode());
    storage.put_async("sum", bytes.clone(), Condition::Always).await?;
    let writer = ControllerId { host: "here".into(), pid: std::process::id(), mark: "measured".into() };
    let (mut journal, _) = Journal::open(storage.clone(), writer, 0.0, Takeover::Force).await?;
    let function = Function::lambda("worker", 1769);
    let cost = Cost::default();
    let mut run = Run::new(vec![function], UnitPrices::FREE, UNDER_WAY, cost, Policy::default());
    let works = (0..tasks).map(|index| Work::Shards { node: TreeNode { level: 0, index }, part: None });
    run.begin(works.collect(), None, 1);
    let mut fold: TreeSum<Partial> = TreeSum::new(tasks);
    let mut chance = Chance::new(1);
    let mut under_way: Vec<NewAttempt> = Vec::new();
    let begin = Instant::now();
    let mut reports = 0;
    loop {
        let now = begin.elapsed();
        let unix = now.as_secs_f64();
        if journal.is_due(unix) {
            journal.flush(unix, summary(&run)).await?;
        }
        while let Some(node) = fold.next_read() {
            let (bytes, _) = storage.get_async("sum", None).await?;
            fold.add(node, Partial::decode(&bytes)?);
        }
        match run.next(now) {
            Next::Invoke(order) => {
                journal.record(unix, invoked(&order));
                under_way.push(order);
                continue;
            }
            Next::Done => break,
            Next::Wait(_) => {}
            Next::Stopped => return Err(Error::other("the run stopped").into()),
        }
        let order = under_way.swap_remove((chance.fraction() * under_way.len() as f64) as usize);
        let report = report(&order, bytes.len() as u64);
        journal.record(unix, done(&order, &report));
        reports += 1;
        if let Completion::SumReady(node) = run.on_report(order.attempt, &report, 0.0, now) {
            fold.add_ready(node, report.bytes);
        }
    }
    journal.flush(begin.elapsed().as_secs_f64(), summary(&run)).await?;
    let seconds = begin.elapsed().as_secs_f64();
    fold.into_root().ok_or_else(|| Error::other("a sum is missing"))?;
    Ok(Measured { reports, seconds, peak: stagger_worker::peak_memory() })
}

fn summary(run: &Run) -> Summary {
    let (done, tasks) = run.progress();
    Summary { state: RunState::Running, done, tasks, under_way: run.under_way(), ..Summary::default() }
}

fn invoked(order: &NewAttempt) -> RunEvent {
    RunEvent::Invoked {
        attempt: order.attempt,
        task: order.work.to_string(),
        number: order.number,
        function: "worker".into(),
        backup: order.backup,
    }
}

fn report(order: &NewAttempt, bytes: u64) -> TaskReport {
    let seconds = PhaseSeconds { open: 0.05, read: 0.4, compute: 0.1, write: 0.04 };
    TaskReport { key: format!("results/00/{}", order.work), bytes, seconds, ..TaskReport::default() }
}

fn done(order: &NewAttempt, report: &TaskReport) -> RunEvent {
    RunEvent::Done(TaskDone {
        attempt: order.attempt,
        seconds: report.seconds,
        took: 0.6,
        billed: Some(0.6),
        rows: 24_000,
        bytes_read: 3_000_000,
        bytes: report.bytes,
        peak_memory: 90 << 20,
        ..TaskDone::default()
    })
}

/// Requests a second that one process signs and sends by the AWS SDK, so many under way, against a server of this process that answers
/// after a while. Plain HTTP.
///
/// # Errors
/// A port that can't be had, or requests that fail.
pub async fn requests(count: usize, under_way: usize, wait: Duration) -> Outcome<f64> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, wait));
        }
    });
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("id", "secret", None, None, "here"))
        .endpoint_url(format!("http://{address}"))
        .force_path_style(true)
        .build();
    let client = Client::from_conf(config);
    let send = |index: usize| {
        let put = client.put_object().bucket("bucket").key(format!("key-{index}"));
        let body = ByteStream::from_static(&[b'x'; 512]);
        async move { put.body(body).send().await.map(|_| ()).map_err(Error::other) }
    };
    // Connections are made first.
    run(0..under_way, under_way, &send).await?;
    let begin = Instant::now();
    run(0..count, under_way, &send).await?;
    Ok(count as f64 / begin.elapsed().as_secs_f64())
}

async fn run<F>(all: std::ops::Range<usize>, under_way: usize, send: &impl Fn(usize) -> F) -> Outcome<()>
where
    F: Future<Output = Result<(), Error>>,
{
    let mut sent = futures::stream::iter(all.map(send)).buffer_unordered(under_way);
    while let Some(done) = sent.next().await {
        done?;
    }
    Ok(())
}

/// Answers every request of a connection with nothing.
async fn answer(mut stream: TcpStream, wait: Duration) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        while let Some(length) = length(&buffer) {
            if buffer.len() < length {
                break;
            }
            buffer.drain(..length);
            tokio::time::sleep(wait).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await?;
        }
        match stream.read(&mut chunk).await? {
            0 => return Ok(()),
            read => buffer.extend_from_slice(&chunk[..read]),
        }
    }
}

/// Bytes of the first request, once its head is there.
fn length(buffer: &[u8]) -> Option<usize> {
    let end = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
    let body =
        head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    Some(end + body.unwrap_or(0))
}
