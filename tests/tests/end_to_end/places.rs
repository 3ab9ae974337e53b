//! Where results and other files go: found wrong before anything is computed, and nothing of a person's lost.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use stagger_test_support::panels::{COLUMNS, Panel};
use stagger_test_support::tables::write_parquet;
use stagger_tests::cli::{self, Output, command, estimate_args, path_str, words};
use stagger_tests::spoiled::Spoiled;

/// A panel and a result of it in `result`.
fn saved() -> Spoiled {
    let case = Spoiled::new();
    write_parquet(&case.path(), &case.panel);
    run(&case, "--biters 60", &case.inside("result")).success();
    case
}

fn run(case: &Spoiled, options: &str, out: &Path) -> Output {
    let mut args = estimate_args(&case.path(), &format!("{COLUMNS} {options}"));
    args.extend(["--out".to_owned(), path_str(out).to_owned()]);
    cli::run(&args)
}

/// Runs a line in the case's folder.
fn there(case: &Spoiled, line: &str) -> Output {
    cli::finish(command().current_dir(case.inside("")).args(words(line)))
}

#[track_caller]
fn refused(output: &Output, code: i32, words: &[&str]) {
    assert_eq!(output.code, Some(code), "`{}`\n{}", output.line, output.stderr);
    assert!(output.stdout.is_empty(), "`{}` printed a result", output.line);
    for word in words {
        assert!(output.stderr.contains(word), "`{}` does not say {word}:\n{}", output.line, output.stderr);
    }
}

#[test]
fn a_file_that_stagger_did_not_write_is_left_alone() {
    let case = saved();
    let files = ["notes.txt", "hand.svg", "hand.png", "paper.md", "paper.html", "paper.tex", "mine.parquet"];
    let write = |name: &str| fs::write(case.inside(name), "mine").expect("a small file");
    files.iter().for_each(|name| write(name));
    fs::create_dir(case.inside("tables")).expect("a folder");
    write("tables/att_gt.csv");
    fs::create_dir(case.inside("folder")).expect("a folder");
    write("folder/thesis.tex");
    let simulate = "simulate --units 50 --periods 4 --cohorts 2 --covariates 0 --out mine.parquet";
    let prepare = format!("prepare panel.parquet {COLUMNS} --out folder");
    let lines = [
        "plot result --out hand.svg",
        "plot result --out hand.png",
        "report result --out paper.md",
        "report result --out paper.html",
        "report result --out paper.tex",
        "report result --out tables",
        "watch result --picture hand.svg",
        simulate,
        &prepare,
    ];
    for line in lines {
        refused(&there(&case, line), 2, &["error: --", "hint: give "]);
    }
    let events = format!("run panel.parquet {COLUMNS} --bstrap false --events");
    refused(&there(&case, &format!("{events} notes.txt")), 2, &["--events notes.txt", "--force"]);
    refused(&there(&case, &format!("{events} panel.parquet --force")), 2, &["is an input"]);
    for name in files.iter().chain(&["tables/att_gt.csv", "folder/thesis.tex"]) {
        assert_eq!(fs::read_to_string(case.inside(name)).expect("the file"), "mine", "{name}");
    }
    // What stagger wrote gives way to the next one, and with --force anything does.
    for line in &lines[..8] {
        there(&case, &format!("{line} --force")).success();
        there(&case, line).success();
    }
    there(&case, &format!("{events} notes.txt --force")).success();
    there(&case, &format!("{events} notes.txt")).success();
}

#[test]
fn a_place_on_s3_is_tried_first_and_not_for_long() {
    let case = saved();
    for (out, code, word) in [
        ("s3://", 2, "names no bucket"),
        ("s3://UPPER_case/x", 2, "no bucket can be called"),
        ("s3:/bucket", 2, "one slash"),
        ("gs://bucket/x", 2, "\"gs\""),
        ("s3://bucket/x", 1, "takes no result"),
    ] {
        let mut args = estimate_args(&case.path(), COLUMNS);
        args.extend(["--out".to_owned(), out.to_owned()]);
        let begin = Instant::now();
        let output = cli::finish(
            command()
                .args(&args)
                .envs([
                    ("AWS_ACCESS_KEY_ID", "x"),
                    ("AWS_SECRET_ACCESS_KEY", "x"),
                    ("AWS_REGION", "us-east-1"),
                ])
                .env("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
                .env("TMPDIR", case.inside("")),
        );
        refused(&output, code, &[word]);
        assert!(begin.elapsed() < Duration::from_secs(20), "{out} took {:?}", begin.elapsed());
    }
    let left = fs::read_dir(case.inside("")).expect("the folder").flatten();
    let left: Vec<_> = left.map(|entry| entry.file_name()).filter(|name| name != "panel.parquet").collect();
    assert_eq!(left, ["result"], "the folder on the way is gone");
}

#[test]
fn one_run_a_folder_and_a_kill_is_no_hindrance() {
    let panel = Panel { units: 60_000, periods: 8, cohorts: vec![0, 3, 4, 5, 6, 7], clusters: 100, seed: 5 };
    let case = Spoiled::of(&panel);
    write_parquet(&case.path(), &case.panel);
    let out = case.out();
    run(&case, "--bstrap false", &out).success();
    let before = fs::read(out.join("result.json")).expect("the result");
    let options = format!("{COLUMNS} --xformla '~ x1 + x2 + xt' --biters 500000 --threads 1");
    let mut args = estimate_args(&case.path(), &options);
    args.extend(["--out".to_owned(), path_str(&out).to_owned()]);
    let mut first =
        command().args(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
    std::thread::sleep(Duration::from_millis(700));
    refused(
        &run(&case, "--bstrap false", &out),
        2,
        &["is being written by another run (process ", "hint: wait"],
    );
    // Not a signal that it could answer.
    first.kill().expect("it is at work");
    first.wait().expect("it was started here");
    assert_eq!(fs::read(out.join("result.json")).expect("the result"), before);
    run(&case, "--bstrap false", &out).success();
    let mut names: Vec<String> = fs::read_dir(case.inside(""))
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["panel.parquet", "saved"], "what the kill left is cleared");
}

#[test]
fn damage_is_named() {
    let case = saved();
    let lines = [
        ("draws.parquet", "agg result --type dynamic"),
        ("draws.parquet", "plot result --min-e 0"),
        ("result.json", "plot result"),
        ("run.json", "report result --out new.md"),
        ("events.jsonl", "watch result --plain"),
        ("checksums.json", "agg result"),
    ];
    for (name, line) in lines {
        let path = case.inside("result").join(name);
        let whole = fs::read(&path).expect("a file of the result");
        let mut bytes = whole.clone();
        // In the middle of the list is the checksum of a file that nobody reads here.
        let at = if name == "checksums.json" { 0 } else { whole.len() / 2 };
        bytes[at] ^= 1;
        fs::write(&path, bytes).expect("the file");
        let output = there(&case, line);
        assert_eq!(output.code, Some(2), "{name}: {}", output.stderr);
        assert!(output.stdout.is_empty() && output.stderr.contains("is damaged"), "{}", output.stderr);
        fs::write(&path, whole).expect("the file");
        there(&case, &format!("{line} {}", if line.contains("new.md") { "--force" } else { "" })).success();
    }
    // A result of an older program has none, and says so.
    fs::remove_file(case.inside("result/checksums.json")).expect("the list");
    let output = there(&case, "agg result").success();
    assert!(output.stderr.contains("note: result/result.json has no checksums.json"), "{}", output.stderr);
}

/// A folder in one that is closed, and one that is a mount: the files are put into it.
#[cfg(target_os = "linux")]
#[test]
fn folders_that_stay_themselves() {
    let case = saved();
    fs::create_dir(case.inside("mount")).expect("a folder");
    let script = "mount -t tmpfs -o size=8m tmpfs mount || exit 77; for i in 1 2; do \"$@\" >/dev/null || exit 1; done; ls -A mount; exec cmp mount/result.json result/result.json";
    let mut mounted = Command::new("unshare");
    let mut args = estimate_args(&case.path(), &format!("{COLUMNS} --biters 60"));
    args.extend(words("--out mount"));
    mounted.args(["--mount", "sh", "-c", script, "sh"]).arg(cli::binary()).args(&args);
    mounted.current_dir(case.inside(""));
    let Ok(output) = mounted.output() else { return cli::note("not tested: there is no unshare") };
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) || stderr.contains("unshare") {
        return cli::note("not tested: nothing can be mounted here");
    }
    assert!(output.status.success(), "{stderr}");
    let listed = String::from_utf8_lossy(&output.stdout);
    assert!(listed.contains("checksums.json") && !listed.contains(".stagger"), "{listed}");
}
