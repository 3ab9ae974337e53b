//! Runs that nobody watches, on LocalStack: run file, result, report and events on S3, a message at the end, one of two schedules that
//! overlap, and what a dead controller left.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use stagger_tests::cli::{Output, command, estimate, finish, words, workspace};
use stagger_tests::localstack::{Bucket, LocalStack, environment};
use stagger_tests::proxy::Plan;
use stagger_tests::queue::{Topic, WorkQueue};

const MPDTA: &str = "--yname lemp --tname year --idname countyreal --gname first.treat --xformla ~lpop";

fn study(bucket: &Bucket, more: &str) -> String {
    let text = format!(
        "yname = 'lemp'\ntname = 'year'\nidname = 'countyreal'\n\
         gname = 'first.treat'\nxformla = '~ lpop'\n{more}"
    );
    bucket.direct("PUT", "studies/study.toml", text.as_bytes());
    bucket.direct("PUT", "examples/mpdta.parquet", &std::fs::read(mpdta()).expect("the panel"));
    bucket.url("studies/study.toml")
}

fn mpdta() -> std::path::PathBuf {
    workspace().join("examples/mpdta.parquet")
}

fn stagger(bucket: &Bucket, line: &str) -> Command {
    let mut out = command();
    out.args(words(line)).envs(environment(LocalStack::shared().url())).env("STAGGER_BUCKET", &bucket.name);
    out
}

fn keys(bucket: &Bucket, prefix: &str) -> Vec<String> {
    let listed = bucket.direct("GET", &format!("?list-type=2&prefix={prefix}"), b"").text();
    listed.split("<Key>").skip(1).filter_map(|rest| Some(rest.split_once("</Key>")?.0.to_owned())).collect()
}

#[test]
#[ignore = "needs LocalStack"]
fn a_study_on_s3_leaves_result_report_and_events_and_a_message() {
    let bucket = Bucket::behind(Plan::new(4));
    let queue = WorkQueue::new();
    let topic = Topic::new();
    let _worker = queue.worker(60);
    let input = study(&bucket, "backend = 'queue'");
    let absolute = bucket.url("examples/mpdta.parquet");
    let line = format!(
        "run {input} {absolute} --queue {} --json --out {} --run-name 'nightly-{{date}}' --notify {}",
        queue.url,
        bucket.url("results/{date}/{run}"),
        topic.arn
    );
    let found = finish(&mut stagger(&bucket, &line)).success();
    let expected = estimate(&mpdta(), MPDTA).success().stdout;
    assert_eq!(found.stdout, expected, "{}", found.stderr);
    let saved = keys(&bucket, "results/");
    let names: Vec<&str> = saved.iter().filter_map(|key| key.rsplit('/').next()).collect();
    for wanted in ["result.json", "run.json", "report.html", "events.jsonl", "att_gt.csv", "draws.parquet"] {
        assert!(names.contains(&wanted), "no {wanted} in {saved:?}");
    }
    let folder = saved[0].rsplit_once('/').expect("a folder").0;
    let dated = folder.split('/').nth(1).expect("a date");
    assert!(dated.len() == 10 && folder.ends_with(&format!("/nightly-{dated}")), "{folder}");
    assert!(found.stderr.contains(&format!("saved: {}", bucket.url(folder))), "{}", found.stderr);
    let message = topic.message();
    assert!(message.contains(&format!("run nightly-{dated} finished")), "{message}");
    assert!(message.contains('$') && message.contains(folder), "{message}");

    // The next schedule of the same day finds the name taken, spends nothing, and says so.
    let again = finish(&mut stagger(&bucket, &line));
    assert_ne!(again.code, Some(0));
    assert!(again.stderr.contains(&format!("nightly-{dated}")), "{}", again.stderr);
    assert!(topic.message().contains("failed"), "who waits for a message gets one");
}

/// Two schedules at the same moment: one run, one result.
#[test]
#[ignore = "needs LocalStack"]
fn of_two_that_overlap_one_runs() {
    let bucket = Bucket::behind(Plan::new(5));
    let queue = WorkQueue::new();
    let _worker = queue.worker(60);
    study(&bucket, "");
    let line = format!(
        "run {} {MPDTA} --backend queue --queue {} --json --run-name overlap",
        bucket.url("examples/mpdta.parquet"),
        queue.url
    );
    let ended: Vec<Output> = std::thread::scope(|scope| {
        let start = || scope.spawn(|| finish(&mut stagger(&bucket, &line)));
        let both = [start(), start()];
        both.into_iter().map(|one| one.join().expect("it ends")).collect()
    });
    let well = ended.iter().filter(|output| output.code == Some(0)).count();
    assert_eq!(well, 1, "{}\n{}", ended[0].stderr, ended[1].stderr);
    let refused = ended.iter().find(|output| output.code != Some(0)).expect("the other one");
    assert!(refused.stderr.contains("overlap"), "{}", refused.stderr);
}

/// A controller is killed; the janitor marks its run, tells of it, and whoever resumes it has the bits.
#[test]
#[ignore = "needs LocalStack"]
fn what_a_dead_controller_left_is_ended_and_can_be_taken_up() {
    let bucket = Bucket::behind(Plan::new(6));
    let queue = WorkQueue::new();
    let topic = Topic::new();
    study(&bucket, "");
    let line = format!(
        "run {} {MPDTA} --backend queue --queue {} --json --run-name left",
        bucket.url("examples/mpdta.parquet"),
        queue.url
    );
    let mut controller =
        stagger(&bucket, &line).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    // Nobody is at the queue: it waits.
    std::thread::sleep(Duration::from_secs(4));
    controller.kill().expect("it can be killed");
    controller.wait().expect("it ends");
    let calm = finish(&mut stagger(&bucket, "janitor")).success();
    assert!(calm.stdout.contains("no run"), "a controller that wrote just now is not gone: {}", calm.stdout);
    let hasty = finish(&mut stagger(&bucket, "janitor --silent 1"));
    assert_eq!(hasty.code, Some(2), "{}", hasty.stderr);
    std::thread::sleep(Duration::from_secs(31));
    let line = format!("janitor --silent 30 --notify {} --json", topic.arn);
    let ended: Value = finish(&mut stagger(&bucket, &line)).success().json();
    assert_eq!(
        (&ended[0]["run"], ended.as_array().map(Vec::len)),
        (&Value::from("left"), Some(1)),
        "{ended}"
    );
    assert!(topic.message().contains("run left stopped"));
    let listed = finish(&mut stagger(&bucket, "list --json")).success().json();
    assert_eq!(listed[0]["state"], "stopped", "{listed}");
    let _worker = queue.worker(60);
    let found = finish(&mut stagger(&bucket, "resume left --json")).success();
    assert_eq!(found.stdout, estimate(&mpdta(), MPDTA).success().stdout);
}

#[test]
#[ignore = "needs LocalStack"]
fn mistakes_of_places_and_topics_are_told_before_anything_is_spent() {
    let bucket = Bucket::behind(Plan::new(7));
    let panel = mpdta();
    let panel = panel.to_str().expect("UTF-8");
    for (more, wanted) in [
        ("--out s3://b/{day}", "placeholder"),
        ("--notify topic", "ARN of an SNS topic"),
        ("--run-dir runs --run-name {run}", "placeholder"),
    ] {
        let refused = finish(&mut stagger(&bucket, &format!("run {panel} {MPDTA} {more}")));
        assert_eq!(refused.code, Some(2), "{more}: {}", refused.stderr);
        assert!(refused.stderr.contains(wanted) && refused.stderr.contains("hint: "), "{}", refused.stderr);
    }
    let missing = finish(&mut stagger(&bucket, &format!("run {}", bucket.url("studies/none.toml"))));
    assert_ne!(missing.code, Some(0));
    assert!(missing.stderr.contains("none.toml"), "{}", missing.stderr);
}
