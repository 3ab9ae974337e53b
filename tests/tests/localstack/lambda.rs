//! Runs on Lambda, on LocalStack, with the worker that is deployed: the bits of one process, whatever happens on the way.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use stagger_test_support::panels::Random;
use stagger_test_support::system::{Signal, send};
use stagger_tests::bench::assert_same;
use stagger_tests::cli::{command, estimate, finish, note, path_str, words, workspace};
use stagger_tests::localstack::LocalStack;
use stagger_tests::proxy::{Fault, FaultyProxy, Plan, Rule};
use stagger_tests::stack::Stack;

const COLUMNS: &str = "--yname y --tname time --gname group --idname id --xformla '~ x1 + x2'";
const MPDTA: &str = "--yname lemp --tname year --idname countyreal --gname first.treat --xformla ~lpop";

fn simulate(out: &Path, more: &str) {
    let line = format!(
        "simulate --periods 4 --cohorts 3 --covariates 2 --never-share 0.3 --seed 5 --out {} {more}",
        path_str(out)
    );
    finish(command().args(words(&line))).success();
}

/// mpdta, a DDD panel, weights with clusters, and 200,000 units in 64 shards, from files and from a store that functions made.
#[test]
#[ignore = "needs LocalStack"]
fn functions_bring_the_bits_of_threads() {
    let folder = tempfile::tempdir().expect("a folder");
    let stack = Stack::deploy("bits", &[]);
    let mpdta = workspace().join("examples/mpdta.parquet");
    stack.upload(&mpdta, "examples/mpdta.parquet");
    for options in [
        "",
        "--bstrap false --est-method reg --control-group notyettreated",
        "--cluster countyreal --biters 50",
    ] {
        let expected = estimate(&mpdta, &format!("{MPDTA} {options}")).success().stdout;
        let line =
            format!("run {} {MPDTA} {options} --backend lambda --json", stack.url("examples/mpdta.parquet"));
        let found = stack.stagger(&line).success();
        assert_same(&format!("mpdta {options}"), &expected, &found.stdout);
        assert!(found.stderr.contains("tasks on lambda"), "{}", found.stderr);
    }

    let ddd = folder.path().join("ddd.parquet");
    simulate(&ddd, "--units 3000 --eligible-share 0.5");
    stack.upload(&ddd, "examples/ddd.parquet");
    let options = format!("{COLUMNS} --pname partition --control-group notyettreated --bstrap --biters 30");
    let expected = estimate(&ddd, &options).success().stdout;
    let line = format!("run {} {options} --backend lambda --json", stack.url("examples/ddd.parquet"));
    assert_same("ddd", &expected, &stack.stagger(&line).success().stdout);

    let big = folder.path().join("big.parquet");
    simulate(&big, "--units 200000");
    stack.upload(&big, "examples/big.parquet");
    let expected = estimate(&big, &format!("{COLUMNS} --biters 50")).success().stdout;
    let store = stack.url("panels/big");
    let prepared = stack.stagger(&format!(
        "prepare {} {COLUMNS} --out {store} --backend lambda --concurrency 8 --n-partitions 8",
        stack.url("examples/big.parquet")
    ));
    assert!(prepared.success().stdout.contains("64"), "64 shards");
    for more in ["--n-partitions 64", "--max-cohorts 2", "--prefer cost"] {
        let line = format!(
            "run {store} --xformla '~ x1 + x2' --biters 50 --backend lambda --concurrency 8 {more} --json"
        );
        let found = stack.stagger(&line).success();
        assert_same(&format!("200,000 units {more}"), &expected, &found.stdout);
        note(found.stderr.lines().last().unwrap_or_default());
    }
    let listed = stack.stagger("list").success().stdout;
    assert!(
        listed.lines().count() > 7 && listed.lines().skip(1).all(|line| line.contains("finished")),
        "{listed}"
    );
}

/// The controller is killed at 20 random moments of preparations and runs, and resumed, twice in every other case.
#[test]
#[ignore = "needs LocalStack"]
fn a_killed_controller_goes_on_to_the_same_bits() {
    const KILLS: usize = 20;
    let folder = tempfile::tempdir().expect("a folder");
    let stack = Stack::deploy("kills", &[]);
    let panel = folder.path().join("panel.parquet");
    simulate(&panel, "--units 20000");
    stack.upload(&panel, "examples/panel.parquet");
    let options = format!("{COLUMNS} --biters 30");
    let expected = estimate(&panel, &options).success().stdout;
    let input = stack.url("examples/panel.parquet");
    let line = |attempt: usize| {
        format!(
            "run {input} {options} --backend lambda --concurrency 8 --n-partitions 8 --json --run-name kill-{attempt} --store-dir {}",
            stack.url(&format!("panels/kill-{attempt}"))
        )
    };
    let begin = Instant::now();
    assert_same("undisturbed", &expected, &stack.stagger(&line(KILLS)).success().stdout);
    let span = begin.elapsed();
    let mut random = Random::new(23);
    let (mut killed, mut resumed) = (0, 0);
    for attempt in 0..KILLS {
        let mut now = line(attempt);
        for _ in 0..1 + attempt % 2 {
            killed += usize::from(kill_after(
                &mut stack.command(LocalStack::shared().url(), &now),
                span.mul_f64(random.uniform()),
            ));
            now = format!("resume kill-{attempt} --json --concurrency 8");
        }
        let mut found = stack.stagger(&now);
        if found.stderr.contains("there is no run") {
            // It was killed before it had said what it is to do.
            found = stack.stagger(&line(attempt));
        } else {
            resumed += 1;
        }
        assert_same(&format!("killed, attempt {attempt}"), &expected, &found.success().stdout);
    }
    note(&format!("{killed} kills over {span:?}, {resumed} of {KILLS} resumed"));
    assert!(killed >= KILLS / 2 && resumed >= KILLS / 2, "{killed} killed, {resumed} resumed");
}

fn kill_after(command: &mut Command, delay: Duration) -> bool {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    std::thread::sleep(delay);
    let running = child.try_wait().expect("a status").is_none();
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    running
}

/// Processes of functions of this stack, which LocalStack started.
fn workers(stack: &Stack) -> Vec<u32> {
    let Ok(all) = std::fs::read_dir("/proc") else { return Vec::new() };
    let own = |pid: &u32| {
        let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let name = format!("AWS_LAMBDA_FUNCTION_NAME={}", stack.functions[0]);
        String::from_utf8_lossy(&read("comm")).trim() == "bootstrap"
            && read("environ").split(|byte| *byte == 0).any(|variable| variable == name.as_bytes())
    };
    all.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(own).collect()
}

/// Function processes are killed at random, more are asked for than may run at a time (429), and storage and Lambda fail
/// in every way that the proxy knows.
#[test]
#[ignore = "needs LocalStack"]
fn faults_of_functions_and_of_the_network_change_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let stack = Stack::deploy("faults", &["--concurrency", "4"]);
    let panel = folder.path().join("panel.parquet");
    simulate(&panel, "--units 60000");
    stack.upload(&panel, "examples/panel.parquet");
    let options = format!("{COLUMNS} --biters 30");
    let expected = estimate(&panel, &options).success().stdout;
    let storage = Fault::ALL.iter().fold(Plan::new(11), |plan, &fault| {
        let rule = Rule::new(fault).under(&format!("/{}/", stack.bucket)).every(5).at_most(3);
        plan.with(rule.lasting(Duration::from_millis(300)))
    });
    let invocations = [
        Fault::SlowDown,
        Fault::InternalError,
        Fault::ResetBefore,
        Fault::ResetAfterCommit,
        Fault::SlowStart,
    ];
    let plan = invocations.iter().fold(storage, |plan, &fault| {
        plan.with(Rule::new(fault).on(&["POST"]).under("/2015-03-31/").every(7).at_most(2))
    });
    let proxy = FaultyProxy::start(LocalStack::shared().url(), plan);
    let line = format!(
        "run {} {options} --backend lambda --concurrency 12 --n-partitions 64 --json",
        stack.url("examples/panel.parquet")
    );
    let (over, ended) = (AtomicBool::new(false), AtomicUsize::new(0));
    let found = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random::new(3);
            while !over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(400));
                let running = workers(&stack);
                if running.is_empty() || ended.load(Ordering::Relaxed) >= 12 {
                    continue;
                }
                let pid = running[random.below(running.len())];
                let killed = send(Signal::KILL, pid);
                ended.fetch_add(usize::from(killed.is_ok()), Ordering::Relaxed);
            }
        });
        let found = finish(&mut stack.command(&proxy.url(), &line));
        over.store(true, Ordering::Relaxed);
        found
    });
    let found = found.success();
    assert_same("through faults", &expected, &found.stdout);
    let fired = proxy.fired();
    note(&format!("{} function processes killed, {fired:?}", ended.load(Ordering::Relaxed)));
    assert!(ended.load(Ordering::Relaxed) > 0, "no function process was killed");
    assert!(fired.values().all(|&count| count > 0), "{fired:?}");
    let journal = stack.stagger("list --json").success().json();
    let failures = journal[0]["failures"].as_u64().unwrap_or_default();
    assert!(failures > 0, "the journal tells of failures: {journal}");
}

/// What a person may do wrong, by name.
#[test]
#[ignore = "needs LocalStack"]
fn mistakes_are_told_by_name() {
    let stack = Stack::deploy("mistakes", &[]);
    stack.upload(&workspace().join("examples/mpdta.parquet"), "examples/mpdta.parquet");
    let run = format!("run {} {MPDTA} --bstrap false --backend lambda", stack.url("examples/mpdta.parquet"));
    let told = |line: &str, code: i32, words: &[&str]| {
        let output = stack.stagger(line);
        assert_eq!(output.code, Some(code), "{line}\n{}", output.stderr);
        for word in words {
            assert!(output.stderr.contains(word), "{line}: no `{word}` in\n{}", output.stderr);
        }
    };
    told(&format!("{run} --function nobody"), 1, &["nobody", "hint: "]);
    told("resume nothing", 2, &["there is no run `nothing`", "stagger list"]);
    told("cancel nothing", 2, &["there is no run `nothing`"]);
    told(&format!("{run} --max-cost 0"), 1, &["--max-cost", "stagger resume"]);
    told(&format!("{run} --max-cost -1"), 2, &["max_cost"]);
    told(&format!("{run} --weightsname nope"), 2, &["nope"]);
    // Stopped by the cap, a run goes on with a higher one.
    let listed = stack.stagger("list --json").success().json();
    let stopped =
        listed.as_array().expect("runs").iter().find(|run| run["state"] == "stopped").expect("a stopped run");
    let name = stopped["run"].as_str().expect("a name");
    let expected = estimate(&workspace().join("examples/mpdta.parquet"), &format!("{MPDTA} --bstrap false"))
        .success()
        .stdout;
    let resumed = stack.stagger(&format!("resume {name} --max-cost 1 --json")).success();
    assert_same("resumed after the cap", &expected, &resumed.stdout);
}
