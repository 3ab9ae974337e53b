//! Steps from records to a panel as a user takes them: every recipe of the guide runs, and flags, run files, panels that
//! were written and stores give the same estimates.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use stagger_tests::cli::{binary, workspace};
use tempfile::TempDir;

const SHIPMENTS: &str = "shipments.tsv --where 'STATUS == \"S\"' --let 'year = year(as.Date(TRANSACTION_DATE, \"%m%d%Y\"))' \
     --lookup 'laws.csv by BUYER_STATE = state' --collapse 'y = sum(GRAMS * MME), law = first(law)' --by 'COUNTY_FIPS, year'";
const NAMES: &str = "--yname y --tname year --idname COUNTY_FIPS --gname law --allow-unbalanced-panel --est-method reg --bstrap false";

/// A folder with the records of the guide.
fn records() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for entry in fs::read_dir(workspace().join("tests/fixtures/records")).expect("the fixtures") {
        let path = entry.expect("a file").path();
        fs::copy(&path, folder.path().join(path.file_name().expect("a name"))).expect("a copy");
    }
    folder
}

/// Runs a line of a shell in a folder; returns the exit status, standard output and standard error.
fn shell(folder: &Path, line: &str) -> (Option<i32>, String, String) {
    let programs = binary().parent().expect("a folder of the program").display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("sh")
        .args(["-c", line])
        .current_dir(folder)
        .env("PATH", format!("{programs}:{path}"))
        .env("NO_COLOR", "1")
        .env("XDG_CACHE_HOME", folder)
        .output()
        .expect("a shell");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[track_caller]
fn works(folder: &Path, line: &str) -> (String, String) {
    let (code, out, err) = shell(folder, line);
    assert_eq!(code, Some(0), "{line}\n{err}");
    (out, err)
}

#[track_caller]
fn refused(folder: &Path, line: &str) -> String {
    let (code, _, err) = shell(folder, line);
    assert_eq!(code, Some(2), "{line}\n{err}");
    err
}

fn estimates(text: &str) -> Value {
    let result: Value = serde_json::from_str(text.lines().next().unwrap_or_default()).expect("JSON");
    serde_json::json!([result["n"], result["att_gt"], result["aggte"]])
}

#[test]
fn every_recipe_of_the_guide_runs() {
    let folder = records();
    let guide = fs::read_to_string(workspace().join("docs/guide/records-to-panel.md")).expect("the guide");
    let recipes: Vec<&str> =
        guide.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).map(str::trim).collect();
    assert_eq!(recipes.len(), 10);
    for recipe in recipes {
        works(folder.path(), recipe);
    }
    assert!(folder.path().join("counties.parquet").is_file());
}

#[test]
fn flags_a_run_file_a_panel_and_a_store_give_the_same_estimates() {
    let folder = records();
    let there = folder.path();
    let expected = estimates(&works(there, &format!("stagger run {SHIPMENTS} {NAMES} --json")).0);
    fs::write(
        there.join("study.toml"),
        r#"
data = "shipments.tsv"
steps = [
  { where = 'STATUS == "S"' },
  { let = 'year = year(as.Date(TRANSACTION_DATE, "%m%d%Y"))' },
  { lookup = 'laws.csv by BUYER_STATE = state' },
  { collapse = 'y = sum(GRAMS * MME), law = first(law)', by = 'COUNTY_FIPS, year' },
]
yname = "y"
tname = "year"
idname = "COUNTY_FIPS"
gname = "law"
allow_unbalanced_panel = true
est_method = "reg"
bstrap = false
"#,
    )
    .expect("a run file");
    assert_eq!(
        estimates(
            &works(&there.join(".."), &format!("stagger run {} --json", there.join("study.toml").display()))
                .0
        ),
        expected
    );
    works(there, &format!("stagger panel {SHIPMENTS} --out panel.parquet"));
    assert_eq!(estimates(&works(there, &format!("stagger run panel.parquet {NAMES} --json")).0), expected);
    works(
        there,
        &format!(
            "stagger prepare {SHIPMENTS} --yname y --tname year --idname COUNTY_FIPS --gname law --out store"
        ),
    );
    assert_eq!(estimates(&works(there, &format!("stagger run store {NAMES} --json")).0), expected);
    let (_, again) = works(
        there,
        &format!(
            "stagger prepare {SHIPMENTS} --yname y --tname year --idname COUNTY_FIPS --gname law --out store"
        ),
    );
    assert!(again.contains("same inputs") || again.contains("already"), "{again}");
    works(there, &format!("stagger plan {SHIPMENTS} {NAMES}"));
}

#[test]
fn the_panel_is_shown_and_written_once() {
    let folder = records();
    let there = folder.path();
    let line = format!(
        "stagger panel {SHIPMENTS} --tname year --idname COUNTY_FIPS --gname law --out panel.parquet"
    );
    let (out, _) = works(there, &line);
    for words in
        ["Steps:", "where STATUS == \"S\"", "collapse y = sum", "First rows:", "01001", "64 units", "2008"]
    {
        assert!(out.contains(words), "{words}:\n{out}");
    }
    // Its own file is replaced, another one is not, nor is an input.
    works(there, &line);
    fs::write(there.join("mine.txt"), "words").expect("a file");
    assert!(
        refused(there, &line.replace("--out panel.parquet", "--out mine.txt"))
            .contains("stagger did not write")
    );
    assert!(
        refused(there, &line.replace("--out panel.parquet", "--out shipments.tsv --force"))
            .contains("is an input")
    );
    let (json, _) = works(there, &format!("{line} --json"));
    let shown: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(shown["steps"].as_array().expect("steps").len(), 4);
    assert_eq!(shown["first_rows"]["columns"][0], "COUNTY_FIPS");
}

#[test]
fn faults_are_named_before_anything_is_written() {
    let folder = records();
    let there = folder.path();
    for (line, words) in [
        (
            "stagger run stores.csv --treatname treated --yname sales --tname month --idname store",
            "switches off: store 60",
        ),
        (
            "stagger run stores.csv --where 'sale > 1' --yname sales --tname month --idname store --gname treated",
            "did you mean `sales`",
        ),
        (
            "stagger run stores.csv --where 'sales >' --yname sales --tname month --idname store --gname treated",
            "the expression ends",
        ),
        (
            "stagger run stores.csv --where 'sales > 1e9' --yname sales --tname month --idname store --gname treated",
            "leaves none of",
        ),
        (
            "stagger run stores.csv --absorbing --yname sales --tname month --idname store --gname treated",
            "--treatname, which is not given",
        ),
        (
            "stagger panel shipments.tsv --dedupe COUNTY_FIPS --out x.parquet",
            "have the same key: COUNTY_FIPS 01001",
        ),
        (
            "stagger panel shipments.tsv --collapse 'y = sum(GRAMS)' --out x.parquet",
            "--collapse needs the columns of the groups",
        ),
        ("stagger panel nowhere.csv --where 'a > 1' --out x.parquet", "nowhere.csv"),
    ] {
        let said = refused(there, line);
        assert!(said.contains(words), "{line}\n{said}");
    }
    assert!(!there.join("x.parquet").exists());
}
