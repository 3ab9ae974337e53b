//! Stores on S3, on LocalStack behind a proxy that injects faults: every fault fires, and nothing changes.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials, Region};
use stagger_storage::S3Store;
use stagger_storage::conformance::{SuiteSize, check_conformance};
use stagger_tests::bench::assert_same;
use stagger_tests::cli::{Output, command, estimate, finish, note, path_str, words};
use stagger_tests::localstack::{Bucket, LocalStack, environment};
use stagger_tests::proxy::{Fault, Plan, Rule};

const COLUMNS: &str = "--yname y --tname time --gname group --idname id --xformla '~ x1 + x2'";
const RUN: &str = "--biters 50 --est-method reg";

/// A request per shard is sent twice where it is late; in a debug build under load that would be all of them.
const SLOW: Duration = Duration::from_millis(700);

fn on_s3(endpoint: &str, words: &[String]) -> Command {
    let mut all = command();
    all.args(words).envs(environment(endpoint));
    all
}

fn line(text: &str) -> Vec<String> {
    words(text)
}

fn with_faults(bucket: &Bucket, text: &str) -> Output {
    finish(&mut on_s3(&bucket.proxy.url(), &line(text)))
}

/// A client of the bucket's proxy.
fn client(endpoint: &str) -> Client {
    let config = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .build();
    Client::from_conf(config)
}

#[test]
#[ignore = "needs LocalStack"]
fn s3_keeps_the_promises_of_a_store() {
    let bucket = Bucket::behind(Plan::new(0));
    let client = client(&bucket.proxy.url());
    let store = S3Store::with_client(&bucket.url("suite"), &client).expect("a store");
    let checked = check_conformance(Arc::new(store), SuiteSize { keys: 1010, increments: 3 });
    assert_eq!(checked, Ok(()));
}

/// 200,000 units from S3 to S3, with every fault on the way.
#[test]
#[ignore = "needs LocalStack"]
fn a_store_is_prepared_and_read_through_faults() {
    let folder = tempfile::tempdir().expect("a folder");
    let panel = folder.path().join("panel");
    let simulated = finish(command().args(line(&format!(
        "simulate --units 200000 --periods 4 --cohorts 3 --covariates 2 --never-share 0.3 --seed 5 --layout by-period --files 4 --out {}",
        path_str(&panel)
    ))));
    simulated.success();
    let expected = estimate(&panel, &format!("{COLUMNS} {RUN}")).success().stdout;

    let plan = Fault::ALL
        .iter()
        .fold(Plan::new(7), |plan, &fault| plan.with(Rule::new(fault).every(6).at_most(4).lasting(SLOW)));
    let bucket = Bucket::behind(plan);
    for entry in std::fs::read_dir(&panel).expect("the panel's files").map(|e| e.expect("a file")) {
        let bytes = std::fs::read(entry.path()).expect("a file");
        let key = format!("in/{}", entry.file_name().to_string_lossy());
        assert_eq!(bucket.direct("PUT", &key, &bytes).status, 200);
    }
    let (input, store) = (bucket.url("in/part-*.parquet"), bucket.url("store"));
    let prepared = with_faults(
        &bucket,
        &format!("prepare {input} {COLUMNS} --out {store} --n-partitions 8 --threads 2"),
    );
    prepared.success();
    let found = with_faults(&bucket, &format!("run {store} --xformla '~ x1 + x2' {RUN} --json")).success();
    assert_same("a store on S3", &expected, &found.stdout);
    let streamed =
        with_faults(&bucket, &format!("run {store} --xformla '~ x1 + x2' {RUN} --memory-limit 16MB --json"));
    assert_same("a store on S3, shard by shard", &expected, &streamed.success().stdout);
    assert_fired(&bucket);
    let verified = with_faults(&bucket, &format!("prepare {store} --verify")).success();
    assert!(verified.stdout.contains("is whole: 64 shards"), "{}", verified.stdout);

    // Without a store: `run` makes one by itself, on S3 too, and finds it the next time.
    let stores = bucket.url("stores");
    for says in ["note: the input is prepared first, in `", "note: reading the prepared store `"] {
        let text = format!("run {} {COLUMNS} {RUN} --store-dir {stores} --json", bucket.url("in/"));
        let found = with_faults(&bucket, &text).success();
        assert_same("files on S3", &expected, &found.stdout);
        assert!(found.stderr.contains(says), "{}", found.stderr);
    }
}

#[track_caller]
fn assert_fired(bucket: &Bucket) {
    let fired: BTreeMap<Fault, u64> = bucket.proxy.fired();
    note(&format!("faults on the way: {fired:?}"));
    for fault in Fault::ALL {
        assert!(fired.get(&fault).is_some_and(|&count| count > 0), "{fault:?} never fired: {fired:?}");
    }
}

#[track_caller]
fn assert_fails(output: &Output, says: &[&str]) {
    assert!(matches!(output.code, Some(1 | 2)), "{}\n{}", output.line, output.stderr);
    for part in says {
        assert!(output.stderr.contains(part), "`{}` does not say `{part}`:\n{}", output.line, output.stderr);
    }
}

#[test]
#[ignore = "needs LocalStack"]
fn what_is_not_there_is_named() {
    let bucket = Bucket::behind(Plan::new(0));
    let run = |text: &str| with_faults(&bucket, text);
    assert_fails(&run(&format!("run {} {COLUMNS}", bucket.url("none/"))), &["none/`", "no data file"]);
    assert_fails(
        &run(&format!("run s3://no-such-bucket-here/x.parquet {COLUMNS}")),
        &["no-such-bucket-here", "hint:"],
    );
    let mut bare = command();
    bare.args(line(&format!("run {} {COLUMNS}", bucket.url("x.parquet"))))
        .env("AWS_ENDPOINT_URL", LocalStack::shared().url())
        .env("AWS_REGION", "us-east-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("HOME", "/nonexistent");
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"] {
        bare.env_remove(name);
    }
    assert_fails(&finish(&mut bare), &["credentials", "hint:"]);
}
