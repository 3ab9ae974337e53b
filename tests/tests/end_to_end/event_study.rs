//! The covariance of an event study: against R's, against the standard errors of the same result, and as CSV.

use std::path::{Path, PathBuf};

use serde_json::Value;
use stagger_tests::cli::{path_str, run, words};
use stagger_tests::compare::{assert_close, floats, rows};
use stagger_tests::golden::{data, fixtures};

const COUNTIES: &str = "--yname lemp --tname year --idname countyreal --gname first.treat --bstrap false";
const UNITS: &str = "--yname y --tname time --idname id --gname group --bstrap false";

/// Runs with `--out`, and returns the folder of the result.
#[track_caller]
fn saved(folder: &Path, name: &str, options: &str) -> PathBuf {
    let out = folder.join("result");
    let mut args = vec!["run".to_owned(), path_str(&data(name)).to_owned()];
    args.extend(words(options));
    args.extend(["--out".to_owned(), path_str(&out).to_owned()]);
    run(&args).success();
    out
}

#[track_caller]
fn agg(result: &Path, options: &str) -> Value {
    let mut args = vec!["agg".to_owned(), path_str(result).to_owned(), "--json".to_owned()];
    args.extend(words(options));
    run(&args).success().json()
}

#[test]
fn it_is_that_of_r() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let result = saved(folder.path(), "mpdta", &format!("{COUNTIES} --base-period universal"));
    let found = agg(&result, "--type dynamic --min-e -3 --max-e 3 --vcov");
    let text = std::fs::read_to_string(fixtures().join("golden/honest.jsonl")).expect("the fixture");
    let reference: Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
    let (vcov, sigma) = (rows(&found["vcov_egt"]), rows(&reference["sigma"]));
    let estimated: Vec<usize> = (0..7).filter(|e| *e != 2).collect();
    for (i, &row) in estimated.iter().enumerate() {
        for (j, &column) in estimated.iter().enumerate() {
            assert_close(&format!("({i}, {j})"), vcov[row][column], sigma[i][j], 1e-9, 1e-4);
        }
    }
    assert!(vcov[2].iter().all(|entry| *entry == 0.0), "the base period does not vary");
}

/// The diagonal has the squared standard errors, and the mean of the post-treatment block is the variance of their mean, for every
/// aggregation, whatever the variance is made of.
#[track_caller]
fn assert_consistent(name: &str, options: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let result = saved(folder.path(), name, options);
    for kind in ["dynamic", "group", "calendar"] {
        let found = agg(&result, &format!("--type {kind} --vcov"));
        let (vcov, se, egt) = (rows(&found["vcov_egt"]), floats(&found["se_egt"]), floats(&found["egt"]));
        for (i, se) in se.iter().enumerate().filter(|(_, se)| !se.is_nan()) {
            assert_close(&format!("{options}: {kind} {i}"), vcov[i][i], se * se, 1e-12, 0.0);
            (0..egt.len()).for_each(|j| assert_eq!(vcov[i][j], vcov[j][i]));
        }
        if kind == "dynamic" {
            let post: Vec<usize> = (0..egt.len()).filter(|i| egt[*i] >= 0.0).collect();
            let sum: f64 =
                post.iter().flat_map(|&i| post.iter().map(move |&j| (i, j))).map(|(i, j)| vcov[i][j]).sum();
            let overall = found["overall_se"].as_f64().expect("a standard error");
            assert_close(&format!("{options}: mean"), sum.sqrt() / post.len() as f64, overall, 1e-10, 0.0);
        }
    }
}

#[test]
fn it_belongs_to_the_standard_errors() {
    assert_consistent("mpdta", &format!("{COUNTIES} --xformla '~ lpop'"));
    assert_consistent("panel_w", &format!("{UNITS} --weightsname w --clustervars state"));
    assert_consistent(
        "panel_w",
        &format!("{UNITS} --clustervars state,industry --cluster-factor --xformla '~ x1'"),
    );
    assert_consistent("ddd_w", &format!("{UNITS} --pname partition --weightsname w"));
}

#[test]
fn a_result_has_it_as_json_and_csv() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let result = saved(folder.path(), "mpdta", COUNTIES);
    let vcov = rows(&agg(&result, "--type dynamic --vcov")["vcov_egt"]);
    let text = std::fs::read_to_string(result.join("result.json")).expect("the result");
    let whole: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(rows(&whole["aggte"]["dynamic"]["vcov_egt"]), vcov);
    assert_eq!(rows(&agg(&result, "--type dynamic")["vcov_egt"]), vcov, "as the run itself");
    assert!(agg(&result, "--type group")["vcov_egt"].is_null(), "only on request");

    let own = folder.path().join("vcov.csv");
    let out = ["agg", path_str(&result), "--type", "dynamic", "--vcov-out", path_str(&own)];
    run(&out).success();
    for file in [own.clone(), result.join("aggte_dynamic_vcov.csv")] {
        let csv = std::fs::read_to_string(file).expect("the table");
        let mut lines = csv.lines();
        assert_eq!(lines.next(), Some("egt,-3,-2,-1,0,1,2,3"));
        for (line, row) in lines.zip(&vcov) {
            let numbers: Vec<f64> = line.split(',').skip(1).map(|x| x.parse().expect("a number")).collect();
            assert_eq!(numbers, *row);
        }
    }
    std::fs::write(&own, "id,time\n1,2\n").expect("a file");
    let refused = run(&out);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("stagger did not write the file that is there"), "{}", refused.stderr);
    let simple = run(&["agg", path_str(&result), "--type", "simple", "--vcov"]);
    assert!(simple.code == Some(2) && simple.stderr.contains("hint: --type dynamic"), "{}", simple.stderr);
}
