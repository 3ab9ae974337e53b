//! The command line as a person meets it: help, names of arguments, run files, aggregation afterwards.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use stagger_test_support::panels::{COLUMNS, Panel};
use stagger_tests::cli::{self, Output, command, estimate, path_str, run, words, workspace};
use stagger_tests::golden::{case, data};
use tempfile::TempDir;

/// The README's example.
const MPDTA: &str = "--yname lemp --tname year --idname countyreal --gname first.treat --xformla '~ lpop'";
/// Its columns alone.
const MPDTA_COLUMNS: &str = "--yname lemp --tname year --idname countyreal --gname first.treat";

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn stagger(line: &str) -> Output {
    run(&words(line))
}

fn example() -> PathBuf {
    workspace().join("examples/mpdta.parquet")
}

#[track_caller]
fn assert_plain(output: &Output) {
    assert!(!output.stdout.contains('\u{1b}'), "`{}` writes escape codes to stdout", output.line);
    assert!(!output.stderr.contains('\u{1b}'), "`{}` writes escape codes to stderr", output.line);
}

#[test]
fn help_names_the_commands() {
    for line in ["--help", "help", ""] {
        let output = stagger(line).success();
        for name in ["run", "agg", "plot", "report", "describe", "simulate"] {
            assert!(output.stdout.contains(name), "`{}` lacks {name}:\n{}", output.line, output.stdout);
        }
        assert_plain(&output);
    }
}

#[test]
fn help_of_run_names_the_arguments() {
    let output = stagger("run --help").success();
    for name in "yname tname idname gname pname xformla weightsname clustervars est-method control-group anticipation \
                 base-period panel allow-unbalanced-panel fix-weights diagnostics bstrap biters cband alp seed multiplier \
                 boot-type threads out json spec"
        .split_whitespace()
    {
        assert!(output.stdout.contains(&format!("--{name}")), "help lacks --{name}:\n{}", output.stdout);
    }
}

#[test]
fn version() {
    let output = stagger("--version").success();
    assert!(output.stdout.starts_with("stagger 0."), "{}", output.stdout);
}

#[track_caller]
fn assert_refused(output: &Output, words: &[&str]) {
    assert_eq!(output.code, Some(2), "`{}`\n{}", output.line, output.stderr);
    assert!(
        output.stderr.starts_with("error: ") && output.stdout.is_empty(),
        "`{}`\n{}",
        output.line,
        output.stderr
    );
    for word in words {
        assert!(
            output.stderr.contains(word),
            "`{}`: the message lacks `{word}`:\n{}",
            output.line,
            output.stderr
        );
    }
}

#[test]
fn slips_come_with_a_suggestion() {
    assert_refused(&stagger("run p.parquet --ynam y"), &["--ynam", "--yname"]);
    assert_refused(&stagger("run p.parquet --est_methd dr"), &["methd", "--est-method"]);
    assert_refused(&stagger("rnu p.parquet"), &["rnu", "run"]);
    assert_refused(&stagger("run p.parquet --bstrap=maybe"), &["bstrap", "maybe", "true", "false"]);
    assert_refused(&stagger("agg"), &["RESULT"]);
    let refused = |options: &str| stagger(&format!("run {} {MPDTA} {options}", path_str(&example())));
    assert_refused(&refused("--pname lpop --anticipation 1"), &["lpop", "anticipation", "hint: "]);
    assert_refused(&refused("--boot-type weighted"), &["weighted", "multiplier"]);
    assert_refused(&refused("--spec wide"), &["wide", "[[spec]]"]);
}

#[test]
fn mpdta_prints_the_numbers_of_r() {
    let reference = case("mpdta:mpdta_dr_nt_var_a0_x1");
    let output = stagger(&format!("run {} {MPDTA}", path_str(&example()))).success();
    assert_plain(&output);
    let four = |value: &Value| format!("{:.4}", value.as_f64().expect("a number"));
    for att in reference.result["att"].as_array().expect("R's cells") {
        assert!(output.stdout.contains(&four(att)), "the table lacks {}:\n{}", four(att), output.stdout);
    }
    for kind in ["simple", "dynamic"] {
        let aggregation =
            reference.aggregations.iter().find(|a| a["args"]["type"] == kind).expect("R's aggregation");
        let overall = four(&aggregation["overall_att"]);
        assert!(
            output.stdout.contains(&overall),
            "the table lacks the {kind} ATT {overall}:\n{}",
            output.stdout
        );
    }
    for word in ["Callaway", "20210101"] {
        assert!(output.stdout.contains(word), "the table lacks {word}:\n{}", output.stdout);
    }
    let widest = output.stdout.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    assert!(widest <= 80, "a line of {widest} columns:\n{}", output.stdout);
}

#[test]
fn json_is_one_line_with_the_fields_of_the_design() {
    let output = estimate(&data("mpdta"), &format!("{MPDTA} --bstrap false")).success();
    assert_eq!(output.stdout.matches('\n').count(), 1);
    assert!(output.stdout.ends_with("}\n"));
    let result = output.json();
    let keys: Vec<&String> = result.as_object().expect("an object").keys().collect();
    assert_eq!(
        keys,
        ["aggte", "alp", "att_gt", "cband", "crit", "dropped", "estimator", "n", "vcov", "wald", "warnings"]
    );
    let keys: Vec<&String> = result["att_gt"].as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["att", "group", "lci", "post", "reason", "se", "se_reason", "time", "uci"]);
    assert_eq!(result["estimator"], "att_gt");
    assert_eq!(result["aggte"].as_object().map(|kinds| kinds.len()), Some(4));
}

#[test]
fn every_spelling_of_an_argument() {
    let plain = format!(
        "{MPDTA} --est-method reg --bstrap true --biters 100 --alp 0.1 --seed 9 --clustervars countyreal"
    );
    let expected = estimate(&data("mpdta"), &plain).success().stdout;
    for same in [
        "--est_method reg --bstrap --biters 100 --alp 0.1 --seed 9 --clustervars countyreal",
        "--est-method=reg --boot --nboot 100 --alpha 0.1 --random_state 9 --cluster countyreal",
        "--est_method=reg --boot=true --nboot=100 --alpha=0.1 --random-state=9 --panel true --allow_unbalanced_panel false",
    ] {
        let found = estimate(&data("mpdta"), &format!("{MPDTA} {same}")).success().stdout;
        assert_eq!(found, expected, "{same}");
    }
}

#[test]
fn boolean_flags_take_only_true_or_false() {
    // A path after a boolean flag is the input, not the flag's value.
    let line = format!("run --json --bstrap false --cband {} {MPDTA}", path_str(&data("mpdta")));
    let found = stagger(&line).success().stdout;
    let expected = estimate(&data("mpdta"), &format!("{MPDTA} --bstrap false")).success().stdout;
    assert_eq!(found, expected);
}

#[test]
fn a_run_file_equals_flags_and_flags_win() {
    let folder = folder();
    fs::copy(data("mpdta"), folder.path().join("counties.parquet")).expect("a copy of a small file");
    let study = folder.path().join("study.toml");
    let text = "data = \"counties.parquet\"\nyname = \"lemp\"\ntname = \"year\"\nidname = \"countyreal\"\n\
                gname = \"first.treat\"\nxformla = \"~ lpop\"\nest-method = \"ipw\"\nnboot = 150\nanticipation = 1\n";
    fs::write(&study, text).expect("a small file");
    let options = format!("{MPDTA} --biters 150 --anticipation 1");
    let expected = estimate(&data("mpdta"), &format!("{options} --est-method ipw")).success().stdout;
    assert_eq!(run(&["run", path_str(&study), "--json"]).success().stdout, expected);
    let expected = estimate(&data("mpdta"), &format!("{options} --est-method reg")).success().stdout;
    assert_eq!(run(&["run", path_str(&study), "--est-method", "reg", "--json"]).success().stdout, expected);
}

#[test]
fn run_files_are_refused_by_file_and_key() {
    let folder = folder();
    let study = folder.path().join("study.toml");
    for (text, words) in [
        ("estmethod = \"dr\"", ["study.toml", "estmethod", "est_method"]),
        ("yname = lemp", ["study.toml", "line 1", "error"]),
        ("biters = \"many\"", ["study.toml", "biters", "many"]),
        ("yname = \"y\"\nyname = \"z\"", ["study.toml", "line 2", "yname"]),
        (
            "data = \"nowhere.parquet\"\nyname='a'\ntname='b'\nidname='c'\ngname='d'",
            ["nowhere.parquet", "error", ""],
        ),
    ] {
        fs::write(&study, text).expect("a small file");
        assert_refused(&run(&["run", path_str(&study)]), &words);
    }
}

/// Several specifications of the minimum-wage panel, and the flags of their own runs.
const SPECS: [(&str, &str, &str); 3] = [
    ("plain", "", ""),
    (
        "weighting",
        "xformla = '~ lpop'\nest_method = 'ipw'\nseed = 4",
        "--xformla '~ lpop' --est-method ipw --seed 4",
    ),
    (
        "not yet",
        "control-group = 'notyettreated'\nboot = false\nmin_e = 0",
        "--control-group notyettreated --bstrap false --min-e 0",
    ),
];
const SPECS_COMMON: &str =
    "yname = 'lemp'\ntname = 'year'\nidname = 'countyreal'\ngname = 'first.treat'\nbiters = 150\n";

/// A run file with all of them.
fn study(folder: &Path) -> PathBuf {
    let specs: String =
        SPECS.iter().map(|(name, keys, _)| format!("[[spec]]\nname = '{name}'\n{keys}\n")).collect();
    let text = format!("data = '{}'\n{SPECS_COMMON}{specs}", path_str(&example()));
    let path = folder.join("study.toml");
    fs::write(&path, text).expect("a small file");
    path
}

#[test]
fn several_specifications_are_their_own_runs() {
    let folder = folder();
    let (study, all) = (study(folder.path()), folder.path().join("all"));
    let output = run(&["run", path_str(&study), "--json", "--out", path_str(&all)]).success();
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines.len(), SPECS.len());
    for ((name, _, flags), line) in SPECS.iter().zip(&lines) {
        let alone = folder.path().join("alone");
        let options = format!("{MPDTA_COLUMNS} --biters 150 {flags} --out {}", path_str(&alone));
        let own = estimate(&example(), &options).success().stdout;
        assert_eq!(format!("{line}\n"), own.replacen('{', &format!("{{\"spec\":\"{name}\","), 1), "{name}");
        let saved = |at: &Path| fs::read_to_string(at.join("result.json")).expect("a saved result");
        assert_eq!(saved(&all.join(name)), saved(&alone), "{name}");
    }
    assert_eq!(names_in(folder.path()).len(), 3, "study, all and alone");
    stagger(&format!("agg {} --type dynamic", path_str(&all.join("weighting")))).success();
    assert_refused(&run(&["agg", path_str(&all)]), &["not yet, plain, weighting"]);
}

#[test]
fn some_specifications_are_chosen() {
    let folder = folder();
    let study = study(folder.path());
    let lines = |more: &[&str]| {
        let output = run(&[&["run", path_str(&study), "--json"], more].concat()).success();
        output.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let all = lines(&[]);
    assert_eq!(lines(&["--spec", "not yet"]), all[2..]);
    assert_eq!(lines(&["--spec", "weighting", "--spec", "plain"]), all[..2]);
    assert_refused(
        &run(&["run", path_str(&study), "--spec", "weight"]),
        &["weight", "plain, weighting, not yet"],
    );
    let table = run(&["run", path_str(&study)]).success();
    assert_plain(&table);
    let headings = table.stdout.lines().next().unwrap_or_default();
    assert!(SPECS.iter().all(|(name, _, _)| headings.contains(name)), "{}", table.stdout);
    assert!(table.stderr.contains("note: --out DIR saves each whole result"), "{}", table.stderr);
    let alone = run(&["run", path_str(&study), "--spec", "weighting"]).success().stdout;
    assert!(alone.contains("Specification weighting\n===="), "{alone}");
    let told = run(&["run", path_str(&study), "--json", "--biters", "20"]).success().stderr;
    assert!(told.contains("note: weighting: biters is 20"), "{told}");
}

/// The aggregations of a run and those of `agg` from what it saved are the same bytes.
#[test]
fn agg_equals_the_run() {
    for (name, options) in [
        ("mpdta", format!("{MPDTA} --biters 300")),
        ("mpdta", format!("{MPDTA} --bstrap false --base-period universal --control-group notyettreated")),
        (
            "panel_w",
            format!("{COLUMNS} --xformla '~ x1' --weightsname w --clustervars state --biters 300 --alp 0.1"),
        ),
        ("panel_w", format!("{COLUMNS} --clustervars state,industry --biters 300 --multiplier rademacher")),
    ] {
        let folder = folder();
        let saved = folder.path().join("result");
        let output = estimate(&data(name), &format!("{options} --out {}", path_str(&saved))).success();
        for kind in ["simple", "dynamic", "group", "calendar"] {
            let aggregation = run(&["agg", path_str(&saved), "--type", kind, "--json"]).success();
            let expected = format!("\"{kind}\":{}", aggregation.stdout.trim_end());
            assert!(
                output.stdout.contains(&expected),
                "{options}\nagg has {expected}\nrun has {}",
                output.stdout
            );
        }
        let file = saved.join("result.json");
        let dynamic = run(&["agg", path_str(&saved), "--type", "dynamic", "--json"]).success().stdout;
        assert_eq!(
            run(&["agg", path_str(&file), "--type", "eventstudy", "--json"]).success().stdout,
            dynamic
        );
    }
}

#[test]
fn agg_refuses_what_it_can_not_do() {
    let folder = folder();
    let saved = folder.path().join("result");
    estimate(&data("mpdta"), &format!("{MPDTA} --bstrap false --out {}", path_str(&saved))).success();
    let agg = |line: &str| stagger(&format!("agg {} {line}", path_str(&saved)));
    assert_refused(&agg("--type weekly"), &["weekly", "simple", "dynamic", "group", "calendar"]);
    assert_refused(&agg("--type dynamic --min-e 40"), &["40"]);
    assert_refused(&agg("--type dynamic --min-e 2 --max-e 1"), &["--min-e", "--max-e"]);
    assert_refused(&agg("--cband true"), &["cband"]);
    assert_refused(&stagger("agg nowhere"), &["nowhere"]);
    fs::write(saved.join("result.json"), "{\"estimator\":").expect("the saved result");
    assert_refused(&agg("--type simple"), &["result.json"]);
}

#[test]
fn saved_folder_is_complete() {
    let folder = folder();
    let saved = folder.path().join("deep/er/result");
    let options = format!("{MPDTA} --biters 120 --out {}", path_str(&saved));
    let output = estimate(&data("mpdta"), &options).success();
    let mut names = names_in(&saved);
    names.sort();
    let expected = "aggte_calendar.csv aggte_dynamic.csv aggte_dynamic_vcov.csv aggte_group.csv aggte_simple.csv att_gt.csv att_gt.parquet \
                    att_gt.svg checksums.json draws.parquet event_study.svg events.jsonl result.json run.json";
    assert_eq!(names.join(" "), expected);
    let text = fs::read_to_string(saved.join("result.json")).expect("the saved result");
    let result: Value = serde_json::from_str(&text).expect("JSON");
    let printed = output.json();
    for (key, value) in printed.as_object().expect("an object") {
        assert_eq!(&result[key], value, "result.json and --json disagree on {key}");
    }
    let draws = stagger_test_support::tables::read_parquet(&saved.join("draws.parquet"));
    assert_eq!(draws.num_rows(), 120);
    // A second run replaces the result; without draws their file goes.
    estimate(&data("mpdta"), &format!("{MPDTA} --bstrap false --out {}", path_str(&saved))).success();
    assert!(!names_in(&saved).contains(&"draws.parquet".to_owned()), "draws of another run are left");
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("can't list {}: {e}", folder.display()));
    entries.map(|entry| entry.expect("a readable entry").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn describe_tells_columns_periods_and_cohorts() {
    let path = data("mpdta");
    let line = format!("describe {} --tname year --idname countyreal --gname first.treat", path_str(&path));
    let output = stagger(&line).success();
    for word in ["lemp", "lpop", "countyreal", "first.treat", "2003", "2007", "2004", "2006", "2500", "500"] {
        assert!(output.stdout.contains(word), "describe lacks {word}:\n{}", output.stdout);
    }
    assert_plain(&output);
    stagger(&format!("describe {}", path_str(&path))).success();
    stagger(&format!("{line} --json")).success().json();
    assert_refused(&stagger("describe nowhere.parquet"), &["nowhere.parquet"]);
}

#[test]
fn off_a_terminal_no_escape_code() {
    let arguments = words(&format!("run {} {MPDTA}", path_str(&data("mpdta"))));
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "xterm-256color"), ("COLORTERM", "truecolor")] {
        let output = cli::finish(command().args(&arguments).env(name, value)).success();
        assert_plain(&output);
    }
    assert_plain(&stagger("run nowhere.parquet --yname a --tname b --idname c --gname d"));
}

#[test]
fn results_on_stdout_and_the_rest_on_stderr() {
    let path = data("panel_na");
    let output = estimate(&path, &format!("{COLUMNS} --xformla '~ x1' --bstrap false")).success();
    assert!(output.stderr.contains("warning: "), "dropped rows are told: {}", output.stderr);
    let quiet = estimate(&path, &format!("{COLUMNS} --xformla '~ x1' --bstrap false --quiet")).success();
    assert_eq!(quiet.stderr, "");
    assert_eq!(quiet.stdout, output.stdout);
}

#[test]
fn monitor_lines_do_not_change_the_result() {
    let folder = folder();
    let path = Panel { units: 5000, ..Panel::default() }.write(folder.path(), "panel");
    let options = format!("{COLUMNS} --xformla '~ x1 + xt' --biters 2000");
    let expected = estimate(&path, &options).success().stdout;
    let watched =
        estimate(&path, &format!("{options} --monitor-interval 0.05 --progress-bar false")).success();
    assert_eq!(watched.stdout, expected);
}

#[test]
fn simulate_is_reproducible_and_runs() {
    let folder = folder();
    let simulate = |name: &str, more: &str| {
        let path = folder.path().join(name);
        let sizes = "--units 400 --periods 6 --cohorts 3 --covariates 2 --never-share 0.3 --seed 5";
        stagger(&format!("simulate {sizes} {more} --out {}", path_str(&path))).success();
        path
    };
    let (first, second) = (simulate("a.parquet", ""), simulate("b.parquet", ""));
    assert_eq!(fs::read(&first).expect("the panel"), fs::read(&second).expect("the panel"));
    let truth =
        fs::read_to_string(folder.path().join("a.truth.json")).expect("the true effects beside the panel");
    let truth: Value = serde_json::from_str(&truth).expect("JSON");
    let options =
        format!("{COLUMNS} --xformla '~ x1 + x2' --weightsname weight --clustervars cluster --biters 150");
    let expected = estimate(&first, &options).success();
    assert_eq!(expected.json()["att_gt"]["group"], truth["group"]);
    assert_eq!(expected.json()["att_gt"]["time"], truth["time"]);
    for (name, more) in [
        ("shuffled.parquet", "--layout shuffled"),
        ("periods", "--layout by-period --files 6"),
        ("parts", "--files 5"),
    ] {
        let path = simulate(name, more);
        assert_eq!(estimate(&path, &options).success().stdout, expected.stdout, "{more}");
    }
}
