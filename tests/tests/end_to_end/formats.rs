//! Files as other programs write them: every format gives the numbers of the CSV file, by name or from standard input.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use stagger_tests::cli::{Output, binary, run, words, workspace};

const NAMES: &str = "--yname y --idname id --xformla '~ size' --est-method reg --bstrap false";
const KEYS: &str = "--tname year --gname g";

fn fixture(name: &str) -> PathBuf {
    workspace().join("tests/fixtures/formats").join(name)
}

/// Runs on a file whose columns of period and cohort `keys` names.
fn estimate(input: &str, keys: &str) -> Output {
    let mut args = vec!["run".to_owned(), input.to_owned(), "--json".to_owned()];
    args.extend(words(&format!("{NAMES} {keys}")));
    run(&args)
}

fn of_file(name: &str, keys: &str) -> Output {
    estimate(&fixture(name).display().to_string(), keys)
}

/// Tells if two results agree to 1e-12; the writer of the sheets gives numbers sixteen digits.
fn agree(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().expect("a number"), b.as_f64().expect("a number"));
            (a - b).abs() <= 1e-12 * b.abs().max(1e-3)
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| agree(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| agree(a, b)))
        }
        _ => a == b,
    }
}

/// The estimates of a result, without what names its columns.
fn estimates(output: &Output) -> Value {
    let result = output.json();
    serde_json::json!([result["n"], result["att_gt"], result["aggte"]])
}

fn plain() -> Value {
    estimates(&of_file("panel.csv", KEYS).success())
}

#[test]
fn every_format_gives_the_estimates_of_the_csv_file() {
    let expected = plain();
    for name in [
        "panel.json.gz",
        "panel.avro",
        "panel.feather",
        "panel.arrows",
        "panel.dta",
        "panel.rds",
        "duckdb.parquet",
    ] {
        assert_eq!(estimates(&of_file(name, KEYS).success()), expected, "{name}");
    }
    let sheet = estimates(&of_file("panel.xlsx", KEYS).success());
    assert!(agree(&sheet, &expected), "{sheet}");
}

#[test]
fn months_of_stata_are_periods() {
    let yearly = of_file("panel.csv", KEYS).success().json();
    let monthly = of_file("panel.dta", "--tname month --gname first").success().json();
    assert_eq!(monthly["aggte"]["simple"], yearly["aggte"]["simple"]);
    let text = run(&words(&format!(
        "describe {} --tname month --idname id --gname first",
        fixture("panel.dta").display()
    )))
    .success()
    .stdout;
    assert!(text.contains("2001m1"), "{text}");
}

#[test]
fn broken_records_are_refused_or_left_out_and_counted() {
    let nested = "--tname at.year --gname at.g";
    let refused = of_file("broken.jsonl", nested);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("line 1 is no JSON object"), "{}", refused.stderr);
    assert!(refused.stderr.contains("hint: --skip-bad 1000"), "{}", refused.stderr);
    let read = of_file("broken.jsonl", &format!("{nested} --skip-bad 18")).success();
    assert_eq!(estimates(&read), plain());
    assert!(read.stderr.contains("18 broken lines of `"), "{}", read.stderr);
    assert!(read.stderr.contains("and 13 more"), "{}", read.stderr);
    assert_eq!(of_file("broken.jsonl", &format!("{nested} --skip-bad 17")).code, Some(2));
}

/// Runs the program on `-` with a file as its standard input.
fn piped(name: &str) -> std::process::Output {
    let input = fs::File::open(fixture(name)).expect("a fixture");
    let mut command = Command::new(binary());
    command.args(["run", "-", "--json"]).args(words(NAMES)).args(words(KEYS)).stdin(Stdio::from(input));
    command.output().expect("the program runs")
}

#[test]
fn standard_input_is_any_format() {
    let expected = plain();
    for name in ["panel.csv", "duckdb.parquet", "panel.arrows", "panel.json.gz"] {
        let output = piped(name);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{name}: {said}");
        let result: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(serde_json::json!([result["n"], result["att_gt"], result["aggte"]]), expected, "{name}");
    }
    let mut command = Command::new(binary());
    let output = command
        .args(["run", "-"])
        .args(words(NAMES))
        .args(words(KEYS))
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("standard input is empty"), "{said}");
}

#[test]
fn a_list_names_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = fs::read_to_string(fixture("panel.csv")).expect("a fixture");
    let (header, rows) = text.split_once('\n').expect("a header");
    let half = rows.lines().count() / 2;
    let part = |rows: Vec<&str>| format!("{header}\n{}\n", rows.join("\n"));
    fs::write(folder.path().join("a.csv"), part(rows.lines().take(half).collect())).expect("a file");
    fs::write(folder.path().join("b.csv"), part(rows.lines().skip(half).collect())).expect("a file");
    let list = folder.path().join("parts.txt");
    fs::write(&list, "# two halves\na.csv\nb.csv\n").expect("a list");
    assert_eq!(estimates(&estimate(&format!("@{}", list.display()), KEYS).success()), plain());
    fs::write(&list, "").expect("a list");
    let refused = estimate(&format!("@{}", list.display()), KEYS);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("the list names no input"), "{}", refused.stderr);
}
