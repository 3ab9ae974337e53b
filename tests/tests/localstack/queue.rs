//! Runs on containers, on LocalStack, with real worker processes at a real queue: the bits of one process, whatever happens.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use stagger_tests::bench::assert_same;
use stagger_tests::cli::{beside, command, estimate, finish, note, path_str, words, workspace};
use stagger_tests::localstack::{Bucket, LocalStack, environment};
use stagger_tests::proxy::Plan;
use stagger_tests::queue::WorkQueue;
use stagger_tests::stack::Stack;

const COLUMNS: &str = "--yname y --tname time --gname group --idname id --xformla '~ x1 + x2'";
const MPDTA: &str = "--yname lemp --tname year --idname countyreal --gname first.treat --xformla ~lpop";

fn panel(folder: &Path, units: usize) -> std::path::PathBuf {
    let out = folder.join("panel.parquet");
    let line = format!(
        "simulate --periods 4 --cohorts 3 --covariates 2 --never-share 0.3 --seed 5 --units {units} --out {}",
        path_str(&out)
    );
    finish(command().args(words(&line))).success();
    out
}

fn stagger(bucket: &Bucket, line: &str) -> Command {
    let mut out = command();
    out.args(words(line))
        .envs(environment(LocalStack::shared().url()))
        .args(["--run-dir", &bucket.url("runs")]);
    out
}

fn upload(bucket: &Bucket, path: &Path, key: &str) -> String {
    bucket.direct("PUT", key, &std::fs::read(path).expect("the panel"));
    bucket.url(key)
}

/// Workers are killed in mid-task, one after the other, and others take their place: preparation, estimation, every bit.
#[test]
#[ignore = "needs LocalStack"]
fn containers_that_are_killed_change_nothing() {
    const KILLS: usize = 6;
    let folder = tempfile::tempdir().expect("a folder");
    let bucket = Bucket::behind(Plan::new(1));
    let queue = WorkQueue::new();
    let file = panel(folder.path(), 60_000);
    let expected = estimate(&file, &format!("{COLUMNS} --biters 60")).success().stdout;
    let input = upload(&bucket, &file, "examples/panel.parquet");
    let line = format!(
        "run {input} {COLUMNS} --biters 60 --backend queue --queue {} --n-partitions 16 --json --run-name killed",
        queue.url
    );
    let (over, mut killed) = (AtomicBool::new(false), 0);
    let found = std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            let found = finish(&mut stagger(&bucket, &line));
            over.store(true, Ordering::SeqCst);
            found
        });
        let mut workers = [queue.worker(60), queue.worker(60)];
        let mut tasks: HashMap<String, u32> = HashMap::new();
        let mut next = Instant::now() + Duration::from_secs(1);
        while !over.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
            // A task that is lost three times is given up for good reason.
            let lost = |task: &String| tasks.get(task).copied().unwrap_or(0);
            let busy = workers.iter_mut().find_map(|worker| Some((worker.task()?, worker)));
            let busy = busy.filter(|(task, _)| killed < KILLS && lost(task) < 2 && Instant::now() > next);
            if let Some((task, worker)) = busy {
                worker.kill();
                *tasks.entry(task).or_insert(0) += 1;
                *worker = queue.worker(60);
                killed += 1;
                next = Instant::now() + Duration::from_millis(700);
            }
        }
        run.join().expect("the run")
    });
    let found = found.success();
    assert_same("killed workers", &expected, &found.stdout);
    let listed = finish(&mut stagger(&bucket, "list --json")).success().json();
    note(&format!("{killed} workers killed; {}", found.stderr.lines().last().unwrap_or_default()));
    assert!(killed > 0, "no worker was killed in mid-task");
    assert_eq!(listed[0]["state"], "finished", "{listed}");
    assert!(listed[0]["failures"].as_u64() >= Some(1), "a killed worker's attempt counts: {listed}");
    assert_eq!(queue.messages(), 0, "the queue is empty afterwards");
}

/// A worker that is told to end gives its task back, and ends well; one with nothing to do leaves.
#[test]
#[ignore = "needs LocalStack"]
fn workers_leave_in_good_order() {
    let queue = WorkQueue::new();
    let mut idle = queue.worker(2);
    let begin = Instant::now();
    assert_eq!(idle.wait(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    assert_eq!(idle.told("left")[0]["reason"], "the queue stayed empty", "{:?}", idle.log());

    let mut told = queue.worker(600);
    while told.told("started").is_empty() {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(300));
    let begin = Instant::now();
    assert_eq!(told.terminate(), Some(0), "{:?}", told.log());
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

/// Heavy tasks go to containers and the others to Lambda; where no container appears, Lambda does all of it.
#[test]
#[ignore = "needs LocalStack"]
fn heavy_tasks_go_to_containers_and_come_back_where_there_are_none() {
    let stack = Stack::deploy("both", &[]);
    let queue = WorkQueue::new();
    let mpdta = workspace().join("examples/mpdta.parquet");
    stack.upload(&mpdta, "examples/mpdta.parquet");
    let expected = estimate(&mpdta, MPDTA).success().stdout;
    let input = stack.url("examples/mpdta.parquet");
    let line = |name: &str, more: &str| {
        format!("run {input} {MPDTA} --workers both --queue {} {more} --json --run-name {name}", queue.url)
    };
    // Nobody is at the queue.
    let begin = Instant::now();
    let found = stack.stagger(&line("alone", "--gpu-above 0rows --queue-patience 2")).success();
    assert_same("without containers", &expected, &found.stdout);
    let events = stack.stagger("watch alone --json").success().stdout;
    assert!(events.contains("\"class\":\"absent\"") && events.contains("on function 1 instead"), "{events}");
    assert!(begin.elapsed() < Duration::from_secs(60), "once it is known that nobody is there nobody waits");

    // Somebody is.
    let worker = queue.worker(60);
    let found = stack.stagger(&line("both", "--gpu-above 0rows --queue-patience 60")).success();
    assert_same("with containers", &expected, &found.stdout);
    let answered = worker.told("answered").len();
    assert!(answered >= 3, "{answered} tasks answered: {:?}", worker.log());

    // Small tasks are Lambda's.
    let found = stack.stagger(&line("small", "--gpu-above 1000000rows --strict-bits")).success();
    assert_same("below the rule", &expected, &found.stdout);
    assert_eq!(worker.told("answered").len(), answered, "{:?}", worker.log());
}

#[test]
#[ignore = "needs LocalStack"]
fn mistakes_are_told_by_name() {
    let bucket = Bucket::behind(Plan::new(2));
    let mpdta = workspace().join("examples/mpdta.parquet");
    let input = upload(&bucket, &mpdta, "examples/mpdta.parquet");
    let absent = WorkQueue::new().url + "-that-is-not-there";
    let refused = finish(&mut stagger(
        &bucket,
        &format!("run {input} {MPDTA} --backend queue --queue {absent} --run-name none"),
    ));
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("sqs:SendMessage") && refused.stderr.contains("hint: "),
        "{}",
        refused.stderr
    );

    let mut worker = Command::new(beside("gpu-worker", "stagger-gpu-worker"));
    worker.args(["--queue", &absent]).envs(environment(LocalStack::shared().url()));
    let ended = worker.output().expect("the worker starts");
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("sqs:ReceiveMessage") && told.contains("hint: "), "{told}");

    // There is no GPU where these tests run; where there is one, this test has nothing to say.
    if !Path::new("/dev/nvidia0").exists() {
        let mut worker = Command::new(beside("gpu-worker", "stagger-gpu-worker"));
        let ended =
            worker.args(["--queue", "https://q", "--device", "cuda"]).output().expect("the worker starts");
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(1), "{told}");
        assert!(told.starts_with("error: ") && told.contains("hint: ") && !told.contains("panic"), "{told}");
    }
}

/// A run on containers that nobody serves stops, and is taken up where it was.
#[test]
#[ignore = "needs LocalStack"]
fn a_run_that_nobody_serves_is_taken_up_later() {
    let bucket = Bucket::behind(Plan::new(3));
    let queue = WorkQueue::new();
    let mpdta = workspace().join("examples/mpdta.parquet");
    let expected = estimate(&mpdta, MPDTA).success().stdout;
    let input = upload(&bucket, &mpdta, "examples/mpdta.parquet");
    let line = format!(
        "run {input} {MPDTA} --backend queue --queue {} --queue-patience 1 --run-name later --json",
        queue.url
    );
    let stopped = finish(&mut stagger(&bucket, &line));
    assert_eq!(stopped.code, Some(1), "{}", stopped.stderr);
    assert!(stopped.stderr.contains("no worker has taken a task"), "{}", stopped.stderr);
    assert!(stopped.stderr.contains("stagger resume later"), "{}", stopped.stderr);
    let _worker = queue.worker(60);
    let found = finish(&mut stagger(&bucket, "resume later --json")).success();
    assert_same("taken up", &expected, &found.stdout);
}
