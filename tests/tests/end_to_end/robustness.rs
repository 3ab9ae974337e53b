//! Sensitivity, pre-trends, tables and contrasts as their users meet them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use stagger_tests::cli::{Output, path_str, run, words};
use stagger_tests::compare::{assert_close, floats};
use stagger_tests::golden::{data, fixtures};

const COUNTIES: &str = "--yname lemp --tname year --idname countyreal --gname first.treat --bstrap false --base-period universal";
const UNITS: &str = "--yname y --tname time --idname id --gname group --bstrap false --base-period universal";

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[track_caller]
fn saved(folder: &Path, name: &str, options: &str) -> PathBuf {
    let out = folder.join("result");
    let mut args = vec!["run".to_owned(), path_str(&data(name)).to_owned()];
    args.extend(words(options));
    args.extend(["--out".to_owned(), path_str(&out).to_owned()]);
    run(&args).success();
    out
}

fn stagger(command: &str, path: &Path, options: &str) -> Output {
    let mut args = vec![command.to_owned(), path_str(path).to_owned()];
    args.extend(words(options));
    run(&args)
}

#[track_caller]
fn json(command: &str, path: &Path, options: &str) -> Value {
    stagger(command, path, &format!("{options} --json")).success().json()
}

#[track_caller]
fn assert_refused(output: &Output, wanted: &[&str]) {
    assert_eq!(output.code, Some(2), "{}\n{}", output.line, output.stderr);
    for part in wanted {
        assert!(output.stderr.contains(part), "{} should say {part:?}:\n{}", output.line, output.stderr);
    }
}

fn first_honest_case() -> Value {
    let text = fs::read_to_string(fixtures().join("golden/honest.jsonl")).expect("the fixture");
    serde_json::from_str(text.lines().next().expect("a line")).expect("JSON")
}

/// From the data to the interval, and from the numbers that R's package was given: the same.
#[test]
fn a_result_and_the_numbers_of_another_program_agree() {
    let folder = folder();
    let result = saved(folder.path(), "mpdta", COUNTIES);
    let window = "--min-e -3 --max-e 3 --event-time 0 --mbar 0.5,1,1.5";
    let own = json("sensitivity", &result, window);
    let case = first_honest_case();
    let study =
        serde_json::json!({"event_time": case["egt"], "betahat": case["betahat"], "sigma": case["sigma"]});
    let file = folder.path().join("study.json");
    fs::write(&file, study.to_string()).expect("a file");
    let other = run(&[
        "sensitivity",
        "--estimates",
        path_str(&file),
        "--event-time",
        "0",
        "--mbar",
        "0.5,1,1.5",
        "--json",
    ]);
    let other = other.success().json();
    let (own, other) = (&own["effects"][0]["robust"], &other["effects"][0]["robust"]);
    let step = 40.0 * 0.011_826 / 999.0;
    for at in 0..3 {
        for (end, expected) in [("lci", "lb"), ("uci", "ub")] {
            let number = |value: &Value| value.as_f64().expect("a number");
            assert_close(end, number(&own[at][end]), number(&other[at][end]), 1e-6, 0.1);
            let expected = number(&case["robust"][expected][at]);
            assert!((number(&own[at][end]) - expected).abs() < 2.0 * step, "{at} {end}: {expected}");
        }
    }
}

#[test]
fn its_own_tables_are_an_event_study_too() {
    let folder = folder();
    let result = saved(folder.path(), "mpdta", COUNTIES);
    let options = "--min-e -3 --max-e 3 --event-time 0 --mbar 0.5";
    let own = json("sensitivity", &result, options);
    let tables = folder.path().join("tables");
    run(&["report", path_str(&result), "--out", path_str(&tables)]).success();
    let (estimates, vcov) = (tables.join("aggte_dynamic.csv"), tables.join("aggte_dynamic_vcov.csv"));
    let mut args =
        vec!["sensitivity", "--estimates", path_str(&estimates), "--vcov", path_str(&vcov), "--json"];
    args.extend(options.split(' '));
    let other = run(&args).success().json();
    let lower = |found: &Value| found["effects"][0]["robust"][0]["lci"].as_f64().expect("a number");
    assert_close("CSV", lower(&other), lower(&own), 1e-9, 0.0);
}

#[test]
fn every_kind_of_result_has_robust_intervals() {
    for (name, options) in [
        ("mpdta", format!("{COUNTIES} --xformla '~ lpop'")),
        ("panel_w", format!("{UNITS} --weightsname w")),
        ("panel_w", format!("{UNITS} --clustervars state --control-group notyettreated")),
        ("ddd_w", format!("{UNITS} --pname partition")),
    ] {
        let folder = folder();
        let result = saved(folder.path(), name, &options);
        for kind in ["--type relative-magnitude --mbar 0,1", "--type smoothness --m 0,0.1"] {
            let found = json("sensitivity", &result, kind);
            assert!(!found["effects"].as_array().expect("effects").is_empty());
            for effect in found["effects"].as_array().expect("effects") {
                let att = effect["att"].as_f64().expect("an estimate");
                let [small, large] = [0, 1].map(|at| {
                    let end = |name: &str| effect["robust"][at][name].as_f64();
                    end("uci").zip(end("lci")).map(|(upper, lower)| upper - lower)
                });
                assert!(
                    large.unwrap_or(0.0) >= small.unwrap_or(0.0) - 1e-9,
                    "{options} {kind} {att}: {effect}"
                );
            }
        }
        let found = json("pretrends", &result, "--power 0.9");
        assert!((found["trends"][0]["reject"].as_f64().expect("a probability") - 0.9).abs() < 1e-6);
    }
}

#[test]
fn the_anticipation_window_counts_as_after() {
    let folder = folder();
    let result = saved(folder.path(), "mpdta", &format!("{COUNTIES} --anticipation 1"));
    let found = json("sensitivity", &result, "--mbar 1");
    assert_eq!(found["reference"], -2);
    assert_eq!(floats(&found["post"]), [-1.0, 0.0, 1.0]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let folder = folder();
    let varying = saved(folder.path(), "mpdta", &COUNTIES.replace("universal", "varying"));
    assert_refused(
        &stagger("sensitivity", &varying, ""),
        &["varying base period", "hint: run it again with --base-period universal"],
    );
    assert_refused(&stagger("pretrends", &varying, ""), &["--base-period universal"]);
    let result = saved(folder.path(), "mpdta", COUNTIES);
    for (options, wanted) in [
        ("--min-e -1", "there is no event time before the reference -1"),
        ("--max-e -1", "no event time after the reference -1"),
        ("--m 0.1", "--m is not a size of --type relative-magnitude"),
        ("--mbar -1", "--mbar must be finite and not negative; received -1"),
        ("--type smooth", "type must be \"relative-magnitude\" or \"smoothness\""),
        ("--method flci", "flci intervals are for smoothness"),
        ("--method lf", "method must be one of c-lf, flci, conditional, c-f"),
        ("--event-time 9", "event time 9 is not among those after the reference"),
        ("--average 7..9", "no event time after the reference lies in 7..9"),
        ("--average 3", "expected FIRST..LAST"),
        ("--bias up", "bias must be either \"positive\" or \"negative\""),
        ("--estimates x.csv", "both a result and --estimates are given"),
        ("--reference -2", "--reference is for --estimates"),
        ("--alp 2", "alp must be between 0 and 1"),
    ] {
        assert_refused(&stagger("sensitivity", &result, options), &[wanted]);
    }
    for (options, wanted) in [
        ("--power 0.05", "where trends are parallel"),
        ("--power 1.5", "power must be between 0 and 1"),
        ("--power 0.5 --slope 1", "both --power and --slope"),
    ] {
        assert_refused(&stagger("pretrends", &result, options), &[wanted]);
    }
    assert_refused(&run(&["sensitivity"]), &["no event study is given", "hint: "]);
}

#[test]
fn text_and_pictures() {
    let folder = folder();
    let result = saved(folder.path(), "mpdta", COUNTIES);
    let picture = folder.path().join("picture.svg");
    for command in ["sensitivity", "pretrends"] {
        let output = stagger(command, &result, &format!("--out {} --plot", path_str(&picture))).success();
        assert!(
            output.stdout.contains("Reference: ") && output.stdout.contains("Event time"),
            "{}",
            output.stdout
        );
        assert!(fs::read_to_string(&picture).expect("the picture").contains("<svg"));
        let table: Vec<&str> =
            output.stdout.lines().take_while(|line| !line.contains("Periods since")).collect();
        assert!(table.len() > 10, "{}", output.stdout);
    }
    let report = folder.path().join("report.html");
    run(&["report", path_str(&result), "--out", path_str(&report)]).success();
    let html = fs::read_to_string(&report).expect("the report");
    assert!(html.contains("Sensitivity to violations of parallel trends"));
}

#[test]
fn the_same_bytes_again() {
    let folder = folder();
    let result = saved(folder.path(), "mpdta", COUNTIES);
    for command in ["sensitivity", "pretrends"] {
        let once = stagger(command, &result, "--json").success().stdout;
        assert_eq!(once, stagger(command, &result, "--json").success().stdout);
    }
}

#[test]
fn differences_and_chosen_leads() {
    let folder = folder();
    let result = saved(folder.path(), "mpdta", COUNTIES);
    let found = json("agg", &result, "--type group --difference 2007,2006 --vcov --pre-test -4..-2");
    let (att, se) = (floats(&found["att_egt"]), floats(&found["se_egt"]));
    let v = &found["vcov_egt"];
    let entry = |i: usize, j: usize| v[i][j].as_f64().expect("a number");
    let difference = &found["difference"];
    let number = |name: &str| difference[name].as_f64().expect("a number");
    assert_close("att", number("att"), att[2] - att[1], 1e-12, 0.0);
    assert_close("se", number("se"), (entry(2, 2) + entry(1, 1) - 2.0 * entry(1, 2)).sqrt(), 1e-10, 0.0);
    assert_close("z", number("z"), number("att") / number("se"), 1e-12, 0.0);
    assert_close("variance", entry(2, 2), se[2] * se[2], 1e-12, 0.0);
    // All leads are those of the run's own pre-test.
    let text = fs::read_to_string(result.join("result.json")).expect("the result");
    let whole: Value = serde_json::from_str(&text).expect("JSON");
    assert_close(
        "chi2",
        found["pre_test"]["stat"].as_f64().expect("a statistic"),
        whole["wald"]["stat"].as_f64().expect("a statistic"),
        1e-9,
        0.0,
    );
    let few = json("agg", &result, "--type dynamic --pre-test -2..-2 --average 0..1");
    assert!(few["pre_test"]["df"].as_u64() < found["pre_test"]["df"].as_u64());
    let (att, v) = (floats(&few["att_egt"]), &few["vcov_egt"]);
    let at = floats(&few["egt"]).iter().position(|e| *e == 0.0).expect("event time 0");
    assert_close(
        "mean",
        few["overall_att"].as_f64().expect("a mean"),
        (att[at] + att[at + 1]) / 2.0,
        1e-12,
        0.0,
    );
    let sum: f64 = [(0, 0), (0, 1), (1, 0), (1, 1)]
        .map(|(i, j)| v[at + i][at + j].as_f64().expect("a number"))
        .iter()
        .sum();
    assert_close(
        "se of the mean",
        few["overall_se"].as_f64().expect("an error"),
        sum.sqrt() / 2.0,
        1e-10,
        0.0,
    );
    for (options, wanted) in [
        ("--type group --average 0..1", "--average names event times, and type group has none"),
        ("--type dynamic --average 8..9", "no event time lies in 8..9"),
        ("--type group --difference 2007", "--difference takes two estimates; received 1"),
        ("--type group --difference 2007,2005", "the group aggregation has no estimate at 2005"),
        ("--type dynamic --pre-test 8..9", "no ATT(g,t) with an event time in 8..9"),
    ] {
        assert_refused(&stagger("agg", &result, options), &[wanted]);
    }
}

#[test]
fn tables_of_several_results() {
    let folder = folder();
    let study = folder.path().join("study.toml");
    let text = format!(
        "data = {:?}\nyname = 'lemp'\ntname = 'year'\nidname = 'countyreal'\ngname = 'first.treat'\nbstrap = false\n\
         [[spec]]\nname = 'plain'\n[[spec]]\nname = 'pop'\nxformla = '~ lpop'\n",
        path_str(&data("mpdta"))
    );
    fs::write(&study, text).expect("a file");
    let all = folder.path().join("all");
    let run_output = run(&["run", path_str(&study), "--out", path_str(&all)]).success();
    let table = run(&["table", path_str(&all)]).success().stdout;
    assert_eq!(run_output.stdout, table, "a run of several specifications prints their table");
    for wanted in ["plain", "pop", "ATT, all cells", "e = -3", "~ lpop", "500"] {
        assert!(table.contains(wanted), "{table}");
    }
    for (name, wanted) in [
        ("t.md", "| :--- | ---: |"),
        ("t.tex", "\\toprule"),
        ("t.html", "<table>"),
        ("t.csv", "result,effect,att"),
    ] {
        let out = folder.path().join(name);
        let options =
            ["table", path_str(&all), "--rows", "simple,0,0..2", "--stars", "--out", path_str(&out)];
        run(&options).success();
        // A second time it replaces its own file.
        run(&options).success();
        let text = fs::read_to_string(&out).expect("the table");
        assert!(text.contains(wanted), "{name}: {text}");
    }
    assert_refused(
        &run(&["table", path_str(&all), "--rows", "weekly"]),
        &["rows has no \"weekly\"", "hint: "],
    );
    assert_refused(&run(&["table", path_str(&all), "--rows", "99"]), &["no result has e = 99"]);
    assert_refused(&run(&["table", path_str(&all), "--out", "t.doc"]), &["does not tell the form"]);
}
