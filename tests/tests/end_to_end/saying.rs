//! What a result says where something is missing, what a refusal advises, and that the advice works.

use std::fs;

use arrow_array::RecordBatch;
use serde_json::Value;
use stagger_test_support::panels::{COLUMNS, Panel};
use stagger_test_support::tables::{floats as numbers_column, numbers, rows_where, with_column, with_values};
use stagger_tests::cli::{Output, command, finish, path_str, run, words, workspace};
use stagger_tests::compare::{assert_close, entries};
use stagger_tests::lab::Lab;
use stagger_tests::spoiled::Spoiled;

/// Runs the words of a line.
fn stagger(line: &str) -> Output {
    run(&words(line))
}

/// 120 units over 5 periods, treated in 3, in 4 or never, with a covariate of one's own.
fn with_x(x: impl Fn(usize, f64) -> f64) -> RecordBatch {
    let panel = Panel::default().simulate();
    let groups = numbers(&panel, "group");
    let column = numbers_column(groups.iter().enumerate().map(|(row, g)| x(row / 5, *g)));
    with_column(&panel, "x3", column)
}

/// A covariate that separates cohort 3 from everybody else.
fn without_overlap() -> RecordBatch {
    with_x(|unit, g| (unit as f64 * 0.618).fract() + if g == 3.0 { 10.0 } else { 0.0 })
}

fn all_warnings(result: &Value) -> String {
    let all = result["warnings"].as_array().expect("warnings");
    all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn assert_says(text: &str, words: &[&str]) {
    let missing: Vec<&&str> = words.iter().filter(|word| !text.contains(**word)).collect();
    assert!(missing.is_empty(), "{missing:?} are not said:\n{text}");
}

#[test]
fn run_and_agg_follow_one_rule_about_missing_cells() {
    let case = Spoiled::new();
    let panel = without_overlap();
    let strict = case.run(&panel, "--xformla '~ x3' --bstrap false").success();
    let result = strict.json();
    for kind in ["simple", "dynamic", "group", "calendar"] {
        assert!(result["aggte"][kind].is_null(), "{kind}");
        let lost = &result["not_aggregated"][kind]["lost"];
        let cells = if kind == "dynamic" { 4 } else { 3 };
        assert_eq!(lost["group"].as_array().map(Vec::len), Some(cells), "{kind}");
        assert!(lost["reason"][0].as_str().is_some_and(|why| why.starts_with("overlap")), "{kind}");
        assert_eq!(
            (&lost["post_cells"], &lost["of_post_cells"]),
            (&Value::from(3), &Value::from(5)),
            "{kind}"
        );
        assert_eq!((&lost["units"], &lost["of_units"]), (&Value::from(40), &Value::from(80)), "{kind}");
        // Both cohorts have 40 of 120 units: three of five cells of equal weight.
        assert_close(kind, lost["weight"].as_f64().expect("a share"), 0.6, 1e-12, 1.0);
        let agg = run(&["agg", path_str(&case.out()), "--type", kind]);
        assert_eq!(agg.code, Some(2), "{kind}");
        assert_says(
            &agg.stderr,
            &["hint: --na-rm", "40 of 80 treated units", "3 of 5 post-treatment cells", "60%"],
        );
    }
    assert_says(
        &all_warnings(&result),
        &["simple, dynamic, group, calendar: missing 40 of 80 treated units"],
    );

    let lenient = stagger(&format!(
        "run {} {COLUMNS} --json --xformla '~ x3' --bstrap false --na-rm",
        path_str(&case.path())
    ));
    let result = lenient.success().json();
    let simple = &result["aggte"]["simple"];
    assert_eq!((&simple["na_rm"], &simple["left_out"]["post_cells"]), (&Value::from(true), &Value::from(3)));
    assert_says(
        &all_warnings(&result),
        &["left out of aggregations: simple, dynamic, group, calendar: 40 of 80"],
    );
    let agg = run(&["agg", path_str(&case.out()), "--type", "simple", "--na-rm", "--json"]).success().json();
    assert_eq!(agg["overall_att"], simple["overall_att"]);
}

#[test]
fn a_window_without_missing_cells_needs_no_flag() {
    let lab = Lab::new();
    let lost = without_overlap();
    // Cohort 3's cells have event times −1 to 2; −2 is cohort 4's alone.
    let before = lab.run(&lost, "--xformla '~ x3' --max-e -2");
    assert_eq!(before["aggte"]["dynamic"]["egt"], serde_json::json!([-2]));
    assert_eq!(before["aggte"]["dynamic"]["na_rm"], false);
    assert!(before["aggte"]["calendar"].is_null());
    // In a run file each specification has its own rule.
    let path = lab.write("lost", &lost);
    let file = path.with_extension("toml");
    let text = format!(
        "data = '{}'\nyname = 'y'\ntname = 'time'\nidname = 'id'\ngname = 'group'\nxformla = '~ x3'\nbstrap = false\njson = true\n\
         [[spec]]\nname = 'strict'\n[[spec]]\nname = 'lenient'\nna_rm = true\n",
        path_str(&path)
    );
    fs::write(&file, text).expect("the run file");
    let both = stagger(&format!("run {}", path_str(&file))).success().stdout;
    let simple: Vec<Value> = both
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["aggte"]["simple"].clone())
        .collect();
    assert!(simple[0].is_null() && simple[1]["overall_att"].is_f64(), "{both}");
}

#[test]
fn limits_are_named_only_where_they_are_applied() {
    let case = Spoiled::new();
    let output = case.run(&case.panel, "--bstrap false --min-e 0 --max-e 1").success();
    let aggte = &output.json()["aggte"];
    assert_eq!((&aggte["dynamic"]["min_e"], &aggte["dynamic"]["max_e"]), (&Value::from(0), &Value::from(1)));
    assert_eq!((&aggte["simple"]["min_e"], &aggte["simple"]["max_e"]), (&Value::Null, &Value::from(1)));
    assert!(aggte["calendar"].get("max_e").is_none());
    let text =
        stagger(&format!("run {} {COLUMNS} --bstrap false --min-e 0 --max-e 1", path_str(&case.path())));
    assert_says(
        &text.success().stdout,
        &["dynamic, min_e 0, max_e 1 ", "simple, max_e 1 ", "calendar (average over time)"],
    );
    let agg = |line: &str| stagger(&format!("agg {} {line}", path_str(&case.out())));
    for (line, flag) in [
        ("--type calendar --max-e 1", "--max-e"),
        ("--type group --min-e 1", "--min-e"),
        ("--type simple --balance-e 1", "--balance-e"),
    ] {
        let refused = agg(line);
        assert_eq!(refused.code, Some(2), "{line}");
        assert_says(&refused.stderr, &[flag, "hint: leave out"]);
    }
    agg("--type dynamic --min-e -1 --max-e 1 --balance-e 1").success();
    agg("--type group --max-e 1").success();
    let plot = stagger(&format!("plot {} --kind calendar --balance-e 1", path_str(&case.out())));
    assert_eq!(plot.code, Some(2));
}

/// The reasons of the cells, once each.
fn reasons(result: &Value, key: &str) -> Vec<String> {
    let all = result["att_gt"][key].as_array().expect("reasons");
    let mut all: Vec<String> = all.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    all.sort();
    all.dedup();
    all
}

#[test]
fn singular_systems_name_their_columns_or_counts() {
    let lab = Lab::new();
    let of = |panel: &RecordBatch, options: &str| reasons(&lab.run(panel, options), "reason");
    let constant = with_x(|_, _| 3.0);
    for method in ["dr", "reg", "ipw"] {
        let options = format!("--xformla '~ x1 + x3' --est-method {method}");
        assert_eq!(of(&constant, &options), ["column `x3` is 3 for every unit"], "{method}");
    }
    let dummy = with_x(|unit, g| f64::from(u8::from(g > 0.0 && unit % 2 == 0)));
    assert_eq!(of(&dummy, "--xformla '~ x1 + x3' --est-method reg"), ["column `x3` is 0 for all controls"]);
    let overlap = of(&dummy, "--xformla '~ x1 + x3'");
    assert_eq!(overlap, ["overlap condition violated: `x3` is 0 for all controls"]);

    let panel = Panel::default().simulate();
    let twice = with_column(&panel, "x3", numbers_column(numbers(&panel, "x1").iter().map(|x| 2.0 * x)));
    assert_eq!(
        of(&twice, "--xformla '~ x1 + x3' --est-method reg"),
        ["column `x3` repeats `x1` for every unit"]
    );
    let sum = numbers(&panel, "x1").into_iter().zip(numbers(&panel, "x2")).map(|(a, b)| a - 3.0 * b + 1.0);
    let sum = with_column(&panel, "x3", numbers_column(sum.collect::<Vec<_>>()));
    assert_eq!(
        of(&sum, "--xformla '~ x1 + x2 + x3' --est-method reg"),
        ["column `x3` is a combination of `x1`, `x2` for every unit"]
    );

    // Nine never-treated units: enough for the size rule of not-yet-treated controls, too few for eleven columns.
    let few = Panel { cohorts: vec![0, 3, 3, 3, 3, 3, 3], units: 63, ..Panel::default() }.simulate();
    let columns =
        "~ x1 + x2 + I(x1^2) + I(x1^3) + I(x1^4) + exp(x1) + abs(x1) + I(x1*x2) + I(x1^2*x2) + I(x1^3*x2)";
    let options = format!("--xformla '{columns}' --control-group notyettreated --est-method reg");
    assert_eq!(of(&few, &options), ["9 controls for 11 columns"]);

    // One treated row in a period, whose own regression has two columns.
    let alone = with_values(&panel, "group", |row, g| {
        if row / 5 == 1 {
            4.0
        } else if g == 4.0 {
            3.0
        } else {
            g
        }
    });
    let found = of(&alone, "--panel false --xformla '~ x1'");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_says(&found[0], &["the treated are too few", "cohort 4 has 1 row", "2 columns"]);
}

#[test]
fn missing_errors_and_pretests_have_reasons() {
    let lab = Lab::new();
    let panel = Panel::default().simulate();
    let (times, y) = (numbers(&panel, "time"), numbers(&panel, "y"));
    let repeated = with_values(&panel, "y", |row, v| if times[row] == 2.0 { y[row - 1] } else { v });
    let result = lab.run(&repeated, "");
    let se = entries(&result["att_gt"]["se"]);
    let why = result["att_gt"]["se_reason"].as_array().expect("reasons");
    for (cell, se) in se.iter().enumerate() {
        assert_eq!(se.is_none(), why[cell].is_string(), "cell {cell}");
    }
    assert_eq!(
        reasons(&result, "se_reason"),
        ["the influence function is 0: `y` is the same in periods 1 and 2 for every unit compared"]
    );
    assert_says(&all_warnings(&result), &["no standard error of 2 cells", "(3, 2), (4, 2)"]);

    let flat = with_values(&panel, "y", |row, _| times[row]);
    let result = lab.run(&flat, "");
    assert!(reasons(&result, "se_reason").iter().all(|why| why.contains("all differences of `y` are equal")));
    assert_eq!(result["aggte"]["simple"]["overall_se"], Value::Null);
    assert!(result["aggte"]["simple"]["overall_reason"].is_string());
    assert_eq!(result["wald_reason"], "none of the 3 cells before treatment has a standard error");

    // Period 3 continues what period 2 did: the cell of cohort 4 repeats itself.
    let again =
        with_values(&panel, "y", |row, v| if times[row] == 3.0 { 2.0 * y[row - 1] - y[row - 2] } else { v });
    let result = lab.run(&again, "");
    assert_eq!(result["wald_reason"], "the covariance of its 3 cells is singular, as (4, 3) repeats (4, 2)");

    let single = with_values(&panel, "group", |row, g| {
        if row / 5 == 1 {
            4.0
        } else if g == 4.0 {
            3.0
        } else {
            g
        }
    });
    let result = lab.run(&single, "");
    assert_says(&all_warnings(&result), &["cohort 4 has one unit", "(4, 2), (4, 3), (4, 4), (4, 5)"]);
    assert_says(result["wald_reason"].as_str().expect("a note"), &["cohort 4"]);
}

#[test]
fn files_and_tables_tell_the_reasons() {
    let case = Spoiled::new();
    case.run(&without_overlap(), "--xformla '~ x3' --bstrap false").success();
    let csv = fs::read_to_string(case.out().join("att_gt.csv")).expect("the cells");
    assert_eq!(csv.lines().filter(|line| line.ends_with(",overlap condition violated")).count(), 4, "{csv}");
    let text = stagger(&format!("run {} {COLUMNS} --xformla '~ x3' --bstrap false", path_str(&case.path())));
    assert_says(&text.success().stdout, &["(1) overlap condition violated", "NA     (1)"]);
    let report = case.inside("report.md");
    stagger(&format!("report {} --out {}", path_str(&case.out()), path_str(&report))).success();
    assert_says(
        &fs::read_to_string(&report).expect("the report"),
        &["(1) overlap condition violated", "--na-rm"],
    );
}

#[test]
fn rows_without_a_cohort_are_never_treated_or_dropped() {
    let case = Spoiled::new();
    let holed = with_values(&case.panel, "group", |row, g| if row / 5 % 9 == 0 { f64::NAN } else { g });
    let kept = case.run(&holed, "--bstrap false").success().json();
    assert_says(&all_warnings(&kept), &["70 rows have no value in `group`", "--missing-cohort drop"]);
    assert_eq!(kept["n"], 120);
    let dropped = stagger(&format!(
        "run {} {COLUMNS} --json --bstrap false --missing-cohort drop",
        path_str(&case.path())
    ));
    let dropped = dropped.success().json();
    assert_eq!((&dropped["n"], &dropped["dropped"]["rows"]), (&Value::from(106), &Value::from(70)));
    assert_eq!(dropped["dropped"]["reasons"]["missing unit, period or cohort"], 70);
    let without = rows_where(&holed, "group", |g| !g.is_nan());
    let lab = Lab::new();
    assert_eq!(lab.run(&without, "")["att_gt"]["att"], dropped["att_gt"]["att"]);
    for other in ["--panel false", "--allow-unbalanced-panel"] {
        let both = [lab.run(&holed, &format!("{other} --missing-cohort drop")), lab.run(&without, other)];
        assert_eq!(both[0]["att_gt"]["att"], both[1]["att_gt"]["att"], "{other}");
    }

    // A store is made for one of the two.
    let store = case.inside("store");
    let prepare = format!(
        "prepare {} {COLUMNS} --missing-cohort drop --out {}",
        path_str(&case.path()),
        path_str(&store)
    );
    stagger(&prepare).success();
    let of_store =
        stagger(&format!("run {} {COLUMNS} --json --bstrap false", path_str(&store))).success().json();
    assert_eq!(of_store["att_gt"]["att"], dropped["att_gt"]["att"]);
    let other = stagger(&format!("run {} {COLUMNS} --missing-cohort never", path_str(&store)));
    assert_eq!(other.code, Some(2));
    assert_says(&other.stderr, &["missing_cohort", "drop"]);
    assert_eq!(stagger(&format!("run {} {COLUMNS} --missing-cohort maybe", path_str(&store))).code, Some(2));
}

#[test]
fn labels_are_written_as_people_write_them() {
    let panel = Panel { periods: 6, cohorts: vec![0, 4, 5], ..Panel::default() }.simulate();
    let month = |t: f64| 2000.0 + t / 12.0;
    let monthly = |name: &str| {
        numbers_column(numbers(&panel, name).iter().map(|t| if *t == 0.0 { 0.0 } else { month(*t) }))
    };
    let panel = with_column(&with_column(&panel, "time", monthly("time")), "group", monthly("group"));
    let case = Spoiled::new();
    case.run(&panel, "--bstrap false").success();
    let text = stagger(&format!("run {} {COLUMNS} --bstrap false", path_str(&case.path()))).success().stdout;
    assert_says(&text, &[" -0.1667 ", " 2000.3333  2000.4167 ", "6 periods (2000.0833 to 2000.5)"]);
    assert!(!text.contains("66666") && !text.contains("33333"), "{text}");
    let csv = fs::read_to_string(case.out().join("aggte_dynamic.csv")).expect("the effects");
    assert!(csv.contains(",-0.166666666667,"), "{csv}");
}

/// The flags that a hint tells to add.
fn flags(output: &Output) -> Vec<String> {
    let hint = output.stderr.lines().find_map(|line| line.strip_prefix("hint: ")).unwrap_or_default();
    let first = hint.split(", or ").next().unwrap_or_default();
    let words: Vec<&str> = first.split_whitespace().collect();
    let value =
        |word: &&str| !word.starts_with("--") && ["notyettreated", "false", "true", "drop"].contains(word);
    let mut out = Vec::new();
    for (place, word) in words.iter().enumerate().filter(|(_, word)| word.starts_with("--")) {
        out.push((*word).to_owned());
        out.extend(words.get(place + 1).filter(|word| value(word)).map(|word| (*word).to_owned()));
    }
    out
}

/// Inputs and arguments that are refused with a hint of flags; with them the same command succeeds.
#[test]
fn hints_can_be_followed_as_they_stand() {
    let three =
        with_values(
            &Panel::default().simulate(),
            "group",
            |row, g| {
                if g == 0.0 && row / 5 > 8 { 4.0 } else { g }
            },
        );
    let ragged = {
        let panel = Panel::default().simulate();
        let times = numbers(&panel, "time");
        let ids = numbers(&panel, "id");
        let keep = |row: usize| times[row] != ids[row] % 5.0 + 1.0;
        let rows: Vec<usize> = (0..panel.num_rows()).filter(|&row| keep(row)).collect();
        stagger_test_support::tables::rows(&panel, rows)
    };
    let cases: [(&RecordBatch, &str); 4] = [
        (&three, "--bstrap false"),
        (&ragged, "--bstrap false"),
        (&Panel::default().simulate(), "--biters 0"),
        (&three, "--xformla '~ x1 + x2' --bstrap false"),
    ];
    for (panel, options) in cases {
        let case = Spoiled::new();
        let refused = case.run(panel, options);
        assert_eq!(refused.code, Some(2), "{options}: {}", refused.stderr);
        let flags = flags(&refused);
        assert!(!flags.is_empty(), "no flag in the hint of `{options}`:\n{}", refused.stderr);
        let options = options.replace("--biters 0", "");
        case.run(panel, &format!("{options} {}", flags.join(" "))).success();
    }
}

#[test]
fn hints_of_aggregations_can_be_followed_and_are_given_only_where_they_help() {
    let case = Spoiled::new();
    case.run(&without_overlap(), "--xformla '~ x3' --bstrap false").success();
    let agg = |more: &str| stagger(&format!("agg {} --type dynamic {more}", path_str(&case.out())));
    let refused = agg("");
    assert_eq!((refused.code, flags(&refused)), (Some(2), vec!["--na-rm".to_owned()]));
    agg("--na-rm").success();
    let narrow = agg("--na-rm --min-e 40");
    assert_says(&narrow.stderr, &["--min-e 40", "hint: the cells have event times from -2 to 2"]);

    let lost = Spoiled::new();
    lost.run(&with_x(|_, _| 1.0), "--xformla '~ x3' --bstrap false").success();
    for more in ["", "--na-rm"] {
        let refused = stagger(&format!("agg {} --type dynamic {more}", path_str(&lost.out())));
        assert_eq!(refused.code, Some(2), "{more}");
        assert!(!refused.stderr.contains("hint:"), "nothing is left to aggregate: {}", refused.stderr);
        assert_says(&refused.stderr, &["cohorts 3, 4 in 2 to 5", "column `x3` is 1 for every unit"]);
    }
}

#[test]
fn hints_name_nothing_that_can_not_help() {
    let case = Spoiled::new();
    // All are treated from the first period on, without anticipation.
    let always = with_values(&case.panel, "group", |_, g| if g > 0.0 { 1.0 } else { g });
    let refused = case.run(&always, "--bstrap false");
    assert!(!refused.stderr.contains("--anticipation"), "{}", refused.stderr);
    // Three never-treated units beside one cohort: nobody is not yet treated, and there is no covariate.
    let few = with_values(
        &case.panel,
        "group",
        |row, g| {
            if (g == 0.0 && row / 5 > 8) || g == 4.0 { 3.0 } else { g }
        },
    );
    let refused = case.run(&few, "--bstrap false");
    assert_eq!(refused.code, Some(2));
    assert!(!refused.stderr.contains("hint:"), "{}", refused.stderr);
}

#[test]
fn logs_are_written_where_they_are_asked_for() {
    let data = workspace().join("examples/mpdta.parquet");
    let line = format!(
        "run {} --yname lemp --tname year --idname countyreal --gname first.treat --bstrap false --json",
        path_str(&data)
    );
    let with = |value: &str| finish(command().args(words(&line)).env("STAGGER_LOG", value));
    let (silent, asked) = (with("").success(), with("debug").success());
    assert_eq!(asked.stdout, silent.stdout, "results are the same");
    assert!(!silent.stderr.contains("stage{"), "{}", silent.stderr);
    assert_says(&asked.stderr, &["run{", "stage{", "task{", "name=\"features\"", "close"]);
    let refused = with("loud");
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert_says(&refused.stderr, &["STAGGER_LOG", "\"loud\"", "hint: STAGGER_LOG=debug"]);
}
