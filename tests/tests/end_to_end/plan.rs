//! `stagger plan`: approved texts of plans, refusals, and its bounds against what runs take.
//!
//! The approved texts are in `snapshots/`; `INSTA_UPDATE=always cargo test -p stagger-tests --test end_to_end plan::` writes them anew, to be read
//! before they are committed.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use stagger_test_support::panels::{COLUMNS, Panel};
use stagger_test_support::tables::write_parquet;
use stagger_tests::cli::{Output, command, path_str, run, words, workspace};
use tempfile::TempDir;

const MPDTA: &str = "--yname lemp --tname year --idname countyreal --gname first.treat --xformla '~ lpop'";
/// What of the machine a plan depends on.
const MACHINE: &str = "--threads 2 --memory-limit 2GB";

fn stagger(line: &str) -> Output {
    run(&words(line))
}

fn example() -> String {
    path_str(&workspace().join("examples/mpdta.parquet")).to_owned()
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn plan(input: &str, options: &str) -> String {
    let output = stagger(&format!("plan {input} {options} {MACHINE}")).success();
    assert!(!output.stdout.contains('\u{1b}'), "escape codes");
    let widest = output.stdout.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    assert!(widest <= 100, "{widest} columns:\n{}", output.stdout);
    output.stdout
}

fn prepared(folder: &TempDir, input: &str, options: &str) -> String {
    let store = path_str(&folder.path().join("store")).to_owned();
    stagger(&format!("prepare {input} {options} --out {store} -q")).success();
    store
}

fn simulated(folder: &TempDir, options: &str) -> String {
    let path = path_str(&folder.path().join("panel.parquet")).to_owned();
    stagger(&format!("simulate {options} --seed 3 --out {path}")).success();
    path
}

#[test]
fn mpdta_from_its_file() {
    insta::assert_snapshot!(plan(&example(), MPDTA));
}

#[test]
fn mpdta_from_its_store() {
    let folder = folder();
    let store = prepared(&folder, &example(), MPDTA);
    insta::assert_snapshot!(plan(&store, "--xformla '~ lpop' --diagnostics"));
}

#[test]
fn triple_differences() {
    let folder = folder();
    let panel =
        simulated(&folder, "--units 2000 --periods 6 --cohorts 3 --covariates 2 --eligible-share 0.4");
    let columns = "--yname y --tname time --idname id --gname group --pname partition";
    insta::assert_snapshot!(plan(
        &panel,
        &format!("{columns} --xformla '~ x1 + x2' --control-group notyettreated")
    ));
}

#[test]
fn cross_sections() {
    let folder = folder();
    let panel = simulated(&folder, "--units 20000 --periods 5 --cohorts 3 --covariates 1 --cross-sections");
    let columns = "--yname y --tname time --gname group --panel false";
    insta::assert_snapshot!(plan(&panel, &format!("{columns} --xformla '~ x1'")));
}

#[test]
fn several_specifications_share_their_passes() {
    let folder = folder();
    let data = example();
    let study = folder.path().join("study.toml");
    let text = format!(
        "data = '{data}'\nyname = 'lemp'\ntname = 'year'\nidname = 'countyreal'\ngname = 'first.treat'\nthreads = 2\n\
         [[spec]]\nname = 'plain'\n[[spec]]\nname = 'weighting'\nxformla = '~ lpop'\nest_method = 'ipw'\n"
    );
    std::fs::write(&study, text).expect("a run file");
    insta::assert_snapshot!(plan(path_str(&study), "--backend threads"));
}

#[test]
fn json_has_the_same_keys_for_every_backend() {
    let output = stagger(&format!("plan {} {MPDTA} {MACHINE} --json", example())).success().json();
    let backends = output["backends"].as_array().expect("backends");
    assert_eq!(backends.len(), 2);
    let keys = |value: &Value| value.as_object().map(|o| o.keys().cloned().collect::<Vec<_>>());
    assert_eq!(keys(&backends[0]), keys(&backends[1]));
    for backend in backends {
        for stage in backend["stages"].as_array().expect("stages") {
            assert_eq!(keys(stage), keys(&backends[0]["stages"][0]));
            assert!(stage["seconds"]["likely"].is_f64() && stage["gets"]["high"].is_u64());
        }
    }
    assert_eq!(output["specs"][0]["cells"], 12);
    assert_eq!(output["prices"]["date"], "2026-11-20");
}

#[track_caller]
fn refused(line: &str) -> String {
    let output = stagger(line);
    assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""), "{}", output.stderr);
    output.stderr
}

#[test]
fn refusals() {
    let folder = folder();
    let prices = folder.path().join("prices.toml");
    let built_in =
        std::fs::read_to_string(workspace().join("crates/forecast/prices/us-east-1.toml")).expect("prices");
    let short: Vec<&str> = built_in.lines().filter(|line| !line.starts_with("get")).collect();
    std::fs::write(&prices, short.join("\n")).expect("a price file");
    let (data, prices) = (example(), path_str(&prices).to_owned());
    let all = [
        format!("plan {data} {MPDTA} --backend threads --threads 1 --memory-limit 20MB"),
        format!("plan {data} {MPDTA} --backend lambda --worker-memory 128MB --biters 100000"),
        format!("plan {data} {MPDTA} --prices {prices}"),
        format!("plan {data} {MPDTA} --backend queue"),
        format!("plan {data} {MPDTA} --worker-memory 64MB"),
        "plan".to_owned(),
        format!("plan {data} --yname lemp --tname year --idname countyreal --gname first"),
    ]
    .map(|line| refused(&line))
    .join("");
    insta::assert_snapshot!(all.replace(&prices, "PRICES").replace(&data, "DATA"));
}

#[test]
fn own_prices_are_multiplied_with() {
    let folder = folder();
    let built_in =
        std::fs::read_to_string(workspace().join("crates/forecast/prices/us-east-1.toml")).expect("prices");
    let dearer = built_in.replace("0.0000133334", "0.0133334").replace("us-east-1\"", "moon-1\"");
    let path = folder.path().join("prices.toml");
    std::fs::write(&path, dearer).expect("a price file");
    let line = format!("plan {} {MPDTA} --backend lambda --json", example());
    let likely =
        |output: &Value| output["backends"][0]["total"]["dollars"]["likely"].as_f64().expect("dollars");
    let cheap = stagger(&line).success().json();
    let dear = stagger(&format!("{line} --prices {}", path_str(&path))).success().json();
    assert!(likely(&dear) > 20.0 * likely(&cheap), "{} and {}", likely(&dear), likely(&cheap));
    assert_eq!(dear["prices"]["region"], "moon-1");
}

/// Peak of the resident set of a run, in bytes; `None` where the system does not tell.
fn peak(line: &str) -> Option<u64> {
    let mut child = command()
        .args(words(line))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut peak = None;
    // The mark only rises, so the last look is within one pause of the truth.
    while child.try_wait().expect("the child was started here").is_none() {
        peak = high_water(&status).max(peak);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(child.wait().expect("it has ended").success(), "`{line}` failed");
    peak
}

fn high_water(status: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

fn bound(line: &str) -> u64 {
    let output = stagger(&format!("{line} --backend threads --json")).success().json();
    output["backends"][0]["peak_memory"].as_u64().expect("a bound")
}

#[test]
fn no_run_takes_more_memory_than_its_plan_says() {
    let folder = folder();
    let panel = Panel { units: 150_000, periods: 6, clusters: 500, ..Panel::default() }.simulate();
    let file = folder.path().join("panel.parquet");
    write_parquet(&file, &panel);
    let file = path_str(&file);
    let store = prepared(
        &folder,
        file,
        &format!("{COLUMNS} --xformla '~ x1 + xt' --weightsname w --clustervars cluster"),
    );
    for options in [
        format!("{file} {COLUMNS} --xformla '~ x1'"),
        format!("{file} {COLUMNS} --bstrap false"),
        format!("{store} --xformla '~ x1 + xt' --diagnostics"),
        format!("{store} --xformla '~ x1' --memory-limit 300MB"),
        format!("{store} --xformla '~ x1' --weightsname w --clustervars cluster"),
        format!("{store} --biters 5000 --control-group notyettreated"),
    ] {
        for threads in [1, 2] {
            let line = format!("{options} --threads {threads}");
            let bound = bound(&format!("plan {line}"));
            let Some(peak) = peak(&format!("run {line} --json")) else { return };
            stagger_tests::cli::note(&format!("{} MB at most, {} MB: {line}", bound >> 20, peak >> 20));
            assert!(peak <= bound, "{peak} bytes, {bound} at most: {line}");
        }
    }
}
