//! Right on the data that people have: weighted overlap, weights of any size, anticipation, cohorts lost in balancing, few units.

use std::path::PathBuf;

use arrow_array::RecordBatch;
use serde_json::Value;
use stagger_test_support::panels::{COLUMNS, Panel, ragged};
use stagger_test_support::tables::{
    floats as float_column, ints, numbers, rows, rows_where, table, with_column, with_values, write_parquet,
};
use stagger_tests::cli::{Output, estimate, path_str};
use stagger_tests::compare::{assert_all_close, assert_close, entries, floats};
use tempfile::TempDir;

/// A folder of panels.
struct Lab(TempDir);

impl Lab {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn write(&self, panel: &RecordBatch) -> PathBuf {
        let path = self.0.path().join("panel.parquet");
        write_parquet(&path, panel);
        path
    }

    fn try_run(&self, panel: &RecordBatch, options: &str) -> Output {
        estimate(&self.write(panel), &format!("{COLUMNS} {options}"))
    }

    #[track_caller]
    fn run(&self, panel: &RecordBatch, options: &str) -> Value {
        self.try_run(panel, options).success().json()
    }

    #[track_caller]
    fn refused(&self, panel: &RecordBatch, options: &str, words: &[&str]) {
        let output = self.try_run(panel, options);
        assert_eq!(output.code, Some(2), "{}\n{}", output.line, output.stderr);
        for word in words {
            assert!(output.stderr.contains(word), "`{word}` is missing in {}", output.stderr);
        }
    }
}

fn warnings(result: &Value) -> String {
    let lines = result["warnings"].as_array().cloned().unwrap_or_default();
    lines.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}

/// The index of a cell.
#[track_caller]
fn cell(result: &Value, group: f64, time: f64) -> usize {
    let (groups, times) = (floats(&result["att_gt"]["group"]), floats(&result["att_gt"]["time"]));
    (0..groups.len()).find(|&i| groups[i] == group && times[i] == time).expect("the cell")
}

/// Every figure of one result that does not depend on how rows are counted is that of another.
#[track_caller]
fn assert_same_figures(what: &str, a: &Value, b: &Value, relative: f64) {
    for name in ["att", "se"] {
        assert_all_close(&format!("{what} {name}"), &a["att_gt"][name], &b["att_gt"][name], relative, 1.0);
    }
    for kind in ["simple", "dynamic", "group", "calendar"] {
        let (a, b) = (&a["aggte"][kind], &b["aggte"][kind]);
        for name in ["overall_att", "overall_se"] {
            let (a, b) = (a[name].as_f64().expect("a number"), b[name].as_f64().expect("a number"));
            assert_close(&format!("{what} {kind} {name}"), a, b, relative, 1.0);
        }
        assert_all_close(&format!("{what} {kind}"), &a["se_egt"], &b["se_egt"], relative, 1.0);
    }
    assert_close(
        &format!("{what} crit"),
        a["crit"].as_f64().expect("a critical value"),
        b["crit"].as_f64().expect("a critical value"),
        relative,
        1.0,
    );
}

/// 160 units over two periods, half of them treated in 2; the chance of treatment rises with x, the weights `w` with it too.
fn selected(steep: f64, weight: impl Fn(f64, bool) -> f64) -> RecordBatch {
    let mut random = stagger_test_support::panels::Random::new(5);
    let (mut id, mut time, mut group) = (Vec::new(), Vec::new(), Vec::new());
    let (mut y, mut x, mut w) = (Vec::new(), Vec::new(), Vec::new());
    for unit in 0..160_i64 {
        let own = random.normal();
        let treated = random.uniform() < 1.0 / (1.0 + libm::exp(-steep * own));
        let level = random.normal();
        for period in 1..=2_i64 {
            id.push(unit + 1);
            time.push(period);
            group.push(if treated { 2 } else { 0 });
            let effect = if treated && period == 2 { 1.0 } else { 0.0 };
            y.push(level + 0.3 * own * period as f64 + effect + 0.5 * random.normal());
            x.push(own);
            w.push(weight(own, treated));
        }
    }
    table(vec![
        ("id", ints(id)),
        ("time", ints(time)),
        ("group", ints(group)),
        ("y", float_column(y)),
        ("x", float_column(x)),
        ("w", float_column(w)),
    ])
}

/// Coefficients of the weighted logit of treatment on (1, x), by Newton to the end.
fn logit(x: &[f64], d: &[f64], w: &[f64]) -> [f64; 2] {
    let mut b = [0.0; 2];
    for _ in 0..200 {
        let (mut g, mut h) = ([0.0; 2], [0.0; 3]);
        for ((x, d), w) in x.iter().zip(d).zip(w) {
            let p = 1.0 / (1.0 + libm::exp(-(b[0] + b[1] * x)));
            let (r, v) = (w * (d - p), w * p * (1.0 - p));
            g = [g[0] + r, g[1] + r * x];
            h = [h[0] + v, h[1] + v * x, h[2] + v * x * x];
        }
        let det = h[0] * h[2] - h[1] * h[1];
        b[0] += (h[2] * g[0] - h[1] * g[1]) / det;
        b[1] += (h[0] * g[1] - h[1] * g[0]) / det;
    }
    b
}

/// Largest fitted score, and Hájek's difference of weighted means with controls trimmed at 0.995, of a panel of two periods.
fn by_hand(panel: &RecordBatch, weighted: bool) -> (f64, f64) {
    let of = |name: &str| numbers(panel, name).into_iter().step_by(2).collect::<Vec<f64>>();
    let y = numbers(panel, "y");
    let dy: Vec<f64> = y.chunks_exact(2).map(|pair| pair[1] - pair[0]).collect();
    let (x, d) = (of("x"), of("group").iter().map(|g| f64::from(*g > 0.0)).collect::<Vec<f64>>());
    let w = if weighted { of("w") } else { vec![1.0; x.len()] };
    let b = logit(&x, &d, &w);
    let p: Vec<f64> = x.iter().map(|x| 1.0 / (1.0 + libm::exp(-(b[0] + b[1] * x)))).collect();
    let (mut treated, mut controls) = ([0.0; 2], [0.0; 2]);
    for i in 0..x.len() {
        let p = p[i].min(1.0 - 1e-6);
        if d[i] > 0.0 {
            treated = [treated[0] + w[i] * dy[i], treated[1] + w[i]];
        } else if p < 0.995 {
            let odds = w[i] * p / (1.0 - p);
            controls = [controls[0] + odds * dy[i], controls[1] + odds];
        }
    }
    (p.iter().copied().fold(0.0, f64::max), treated[0] / treated[1] - controls[0] / controls[1])
}

/// Only the unweighted logit is gated (FORMULAS §2.4); the weighted one is trimmed and estimated.
#[test]
fn the_overlap_gate_looks_at_the_unweighted_logit() {
    let lab = Lab::new();
    // weights that set treated and controls further apart than they are
    let panel = selected(1.2, |x, treated| if (x > 0.0) == treated { 1.0 + 40.0 * x.abs() } else { 0.02 });
    let ((plain, _), (weighted, att)) = (by_hand(&panel, false), by_hand(&panel, true));
    assert!(plain < 0.999 && weighted >= 0.999, "scores up to {plain} and {weighted}");
    let options = "--weightsname w --xformla '~ x' --bstrap false";
    for form in ["", "--fix-weights base_period", "--fix-weights first_period"] {
        let result = lab.run(&panel, &format!("{options} --est-method ipw {form}"));
        let found = result["att_gt"]["att"][0].as_f64().expect("an estimate");
        assert_close(&format!("ipw {form}"), found, att, 1e-7, 1.0);
        assert!(result["att_gt"]["se"][0].as_f64().is_some_and(|se| se > 0.0), "{form}: no standard error");
    }
    for form in ["--panel false", "--allow-unbalanced-panel true", "--fix-weights varying"] {
        let panel = if form.contains("unbalanced") { ragged(&panel, 30, 3) } else { panel.clone() };
        let result = lab.run(&panel, &format!("{options} {form}"));
        assert!(result["att_gt"]["att"][0].is_f64(), "{form}: {}", warnings(&result));
    }
}

/// The reverse stays NA: an unweighted score of 0.999, whatever the weighted one is.
#[test]
fn an_unweighted_score_near_one_fails_the_cell() {
    let lab = Lab::new();
    let panel = selected(7.0, |x, treated| if (x > 0.0) == treated { 0.02 } else { 1.0 });
    let ((plain, _), (weighted, _)) = (by_hand(&panel, false), by_hand(&panel, true));
    assert!(plain >= 0.999 && weighted < 0.999, "scores up to {plain} and {weighted}");
    for method in ["dr", "ipw"] {
        let options =
            format!("--weightsname w --xformla '~ x' --bstrap false --diagnostics --est-method {method}");
        let result = lab.run(&panel, &options);
        assert!(result["att_gt"]["att"][0].is_null());
        assert!(warnings(&result).contains("overlap condition violated"), "{}", warnings(&result));
        let overlap = &result["diagnostics"]["overlap"][0];
        assert_eq!(overlap["group"], 2);
    }
}

/// Scores of the cells that fail are shown: near the maximum of the logit, which lies at infinity where covariates separate.
#[test]
fn diagnostics_show_the_scores_of_cells_that_fail() {
    let lab = Lab::new();
    let options = "--xformla '~ x' --bstrap false --diagnostics";
    let near = selected(3.5, |_, _| 1.0);
    let (greatest, _) = by_hand(&near, false);
    assert!((0.999..0.999_999_999).contains(&greatest), "the largest score is {greatest}");
    let result = lab.run(&near, options);
    assert!(result["att_gt"]["att"][0].is_null());
    let overlap = &result["diagnostics"]["overlap"][0];
    let largest = |arm: &str| floats(&overlap[arm]["quantiles"]).last().copied().expect("a maximum");
    assert_close("largest score", largest("treated").max(largest("untreated")), greatest, 1e-6, 0.0);
    let apart = with_values(&near, "x", |row, x| {
        let treated = numbers(&near, "group")[row] > 0.0;
        if treated { x.abs() + 5.0 } else { -x.abs() }
    });
    let result = lab.run(&apart, options);
    let overlap = &result["diagnostics"]["overlap"][0];
    let (treated, controls) =
        (floats(&overlap["treated"]["quantiles"]), floats(&overlap["untreated"]["quantiles"]));
    assert!(treated.iter().all(|p| *p > 0.999), "{treated:?}");
    assert!(controls.iter().all(|p| *p < 0.001), "{controls:?}");
    let n = [&overlap["treated"]["n"], &overlap["untreated"]["n"]].map(|n| n.as_u64().expect("a count"));
    assert_eq!(n.iter().sum::<u64>(), 160);
}

/// Estimates do not depend on the scale of the weights, and scales by powers of two change no bit.
#[test]
fn weights_of_any_size() {
    let lab = Lab::new();
    let panel = Panel::default().simulate();
    let gaps = ragged(&panel, 12, 4);
    for options in [
        "--est-method dr --xformla '~ x1'",
        "--est-method ipw --xformla '~ x1' --control-group notyettreated --clustervars cluster",
        "--est-method reg --xformla '~ xt' --bstrap false --clustervars cluster,industry",
        "--est-method dr --xformla '~ x1' --panel false --biters 200",
        "--est-method ipw --xformla '~ x1' --allow-unbalanced-panel true --bstrap false",
        "--fix-weights varying --xformla '~ x1' --bstrap false",
    ] {
        let panel = if options.contains("unbalanced") { &gaps } else { &panel };
        let options = format!("--weightsname w {options}");
        let scaled = |factor: f64| lab.run(&with_values(panel, "w", |_, w| w * factor), &options);
        let plain = scaled(1.0);
        for factor in [1e-170, 1e-9, 1e9, 1e160, 1e300] {
            assert_same_figures(&format!("{options} × {factor:e}"), &scaled(factor), &plain, 1e-8);
        }
        for exponent in [-600, 600] {
            let found = scaled(2.0_f64.powi(exponent));
            assert_eq!(found["att_gt"], scaled(2.0_f64.powi(100))["att_gt"], "{options}: × 2^{exponent}");
        }
    }
}

#[test]
fn weights_too_far_apart_are_refused() {
    let lab = Lab::new();
    let panel = Panel::default().simulate();
    let apart = with_values(&panel, "w", |row, _| if row % 2 == 0 { 1e-170 } else { 1e160 });
    lab.refused(&apart, "--weightsname w --bstrap false", &["`w`", "1e-170", "1e160"]);
    let zero = with_values(&apart, "w", |_, w| if w < 1.0 { 0.0 } else { w });
    let unit = with_values(&apart, "w", |_, w| if w < 1.0 { 0.0 } else { 1.0 });
    let options = "--weightsname w --bstrap false --panel false";
    assert_same_figures("zeros", &lab.run(&zero, options), &lab.run(&unit, options), 1e-12);
}

/// Under a varying base the cells of the window compare with the last period before it, as under a universal one.
#[test]
fn anticipation_windows() {
    let lab = Lab::new();
    let panel = Panel { periods: 8, cohorts: vec![0, 5, 7], ..Panel::default() }.simulate();
    let gaps = ragged(&panel, 12, 4);
    for form in [
        "--est-method reg",
        "--est-method dr",
        "--est-method ipw --panel false",
        "--allow-unbalanced-panel true",
        "--control-group notyettreated",
    ] {
        let panel = if form.contains("unbalanced") { &gaps } else { &panel };
        let options = format!("--anticipation 2 --xformla '~ x1' --bstrap false {form}");
        let varying = lab.run(panel, &options);
        let universal = lab.run(panel, &format!("{options} --base-period universal"));
        for (group, times) in [(5.0, [3.0, 4.0]), (7.0, [5.0, 6.0])] {
            for time in times {
                let (i, j) = (cell(&varying, group, time), cell(&universal, group, time));
                for name in ["att", "se"] {
                    let (a, b) = (&varying["att_gt"][name][i], &universal["att_gt"][name][j]);
                    assert_close(
                        &format!("{form} ({group}, {time})"),
                        a.as_f64().unwrap(),
                        b.as_f64().unwrap(),
                        1e-9,
                        1.0,
                    );
                }
            }
        }
        // cells before the window: (5, 2), (7, 2), (7, 3), (7, 4), and (5, 1), (7, 1), …, less the two bases
        assert_eq!(
            (&varying["wald"]["df"], &universal["wald"]["df"]),
            (&Value::from(4), &Value::from(4)),
            "{form}"
        );
    }
}

/// The panel without some rows, so that no unit of a cohort has all its periods.
fn lacking(panel: &RecordBatch, cohort: f64) -> RecordBatch {
    let (groups, times, ids) = (numbers(panel, "group"), numbers(panel, "time"), numbers(panel, "id"));
    let gone = |row: usize| groups[row] == cohort && times[row] == 1.0 + ids[row] % 5.0;
    rows(panel, (0..panel.num_rows()).filter(|&row| !gone(row)))
}

#[test]
fn cohorts_that_balancing_removes_are_named() {
    let lab = Lab::new();
    let panel = Panel { cohorts: vec![0, 3, 4, 5], ..Panel::default() }.simulate();
    for (cohort, name) in [(4.0, "cohort 4 (30 units)"), (0.0, "never treated (30 units)")] {
        let clean = rows_where(&panel, "group", |g| g != cohort);
        for options in ["", "--control-group notyettreated", "--fix-weights varying --weightsname w"] {
            let options = format!("{options} --xformla '~ x1' --bstrap false");
            let (found, expected) = (lab.run(&lacking(&panel, cohort), &options), lab.run(&clean, &options));
            assert_eq!(found["n"], expected["n"], "{options}");
            assert_same_figures(&options, &found, &expected, 1e-12);
            assert!(warnings(&found).contains(name), "{}", warnings(&found));
            let reasons = &found["dropped"]["reasons"];
            assert_eq!(reasons["units not observed in every period"], 120, "{reasons}");
            let counted: u64 = reasons.as_object().unwrap().values().filter_map(Value::as_u64).sum();
            assert_eq!(found["dropped"]["rows"], counted, "{reasons}");
        }
    }
    // units that balancing removed stay away, also where the period that they lack goes afterwards
    let groups = numbers(&panel, "group");
    let (times, ids) = (numbers(&panel, "time"), numbers(&panel, "id"));
    let last = |row: usize| times[row] == 5.0 && (groups[row] == 0.0 || ids[row] == 2.0);
    let found = lab.run(&rows(&panel, (0..panel.num_rows()).filter(|&row| !last(row))), "--bstrap false");
    let clean = rows_where(&rows_where(&panel, "group", |g| g != 0.0), "id", |id| id != 2.0);
    assert_same_figures("late gaps", &found, &lab.run(&clean, "--bstrap false"), 1e-12);
}

#[test]
fn a_sample_without_treated_cohorts_is_refused() {
    let lab = Lab::new();
    let panel = Panel { cohorts: vec![0, 3], ..Panel::default() }.simulate();
    lab.refused(&lacking(&panel, 3.0), "--bstrap false", &["balancing"]);
    let triple = Panel { units: 160, cohorts: vec![0, 3, 4, 5], ..Panel::default() }.simulate_triple();
    let options = "--pname eligible --base-period varying --xformla '~ x1'";
    let clean = rows_where(&triple, "group", |g| g != 4.0);
    let found = lab.run(&lacking(&triple, 4.0), options);
    assert_same_figures("triple", &found, &lab.run(&clean, options), 1e-12);
    assert!(warnings(&found).contains("cohort 4 (40 units)"), "{}", warnings(&found));
    let (groups, eligible) = (numbers(&triple, "group"), numbers(&triple, "eligible"));
    let times = numbers(&triple, "time");
    let gone = |row: usize| groups[row] == 4.0 && eligible[row] == 1.0 && times[row] == 2.0;
    let half = rows(&triple, (0..triple.num_rows()).filter(|&row| !gone(row)));
    lab.refused(&half, options, &["cohort 4", "eligible", "20 of its 20", "--allow-unbalanced-panel true"]);
}

/// With periods 1 and 2 a cohort 1 is treated from the start; with other periods 0 and 1 indicate treatment.
#[test]
fn cohort_one_of_periods_one_and_two() {
    let lab = Lab::new();
    let panel = Panel { periods: 2, cohorts: vec![0, 1], ..Panel::default() }.simulate();
    lab.refused(&panel, "--bstrap false", &["error: ", "hint: "]);
    let years = with_values(&panel, "time", |_, t| t + 2000.0);
    let result = lab.run(&years, "--bstrap false");
    assert_eq!(result["att_gt"]["group"], serde_json::json!([2002]));
    let text = warnings(&result);
    assert!(text.contains("treatment indicator") && text.contains("give them the cohort 2001"), "{text}");
    let other = with_values(&years, "group", |_, g| if g > 0.0 { 2001.0 } else { 0.0 });
    lab.refused(&other, "--bstrap false", &["already treated"]);
    let triple = Panel { periods: 2, cohorts: vec![0, 2001], ..Panel::default() }.simulate_triple();
    let triple = with_values(&triple, "time", |_, t| t + 2000.0);
    lab.refused(&triple, "--pname eligible", &["already treated"]);
}

/// 80 units over 6 periods, of which two each are treated in 3 and in 5.
fn few() -> RecordBatch {
    let mut cohorts = vec![0; 76];
    cohorts.extend([3, 3, 5, 5]);
    Panel { units: 80, periods: 6, cohorts, ..Panel::default() }.simulate()
}

#[test]
fn few_units_are_scaled_by_the_deviation_of_their_draws() {
    let lab = Lab::new();
    let analytic = lab.run(&few(), "--bstrap false");
    for options in ["", "--seed 2", "--seed 3", "--multiplier mammen", "--multiplier mammen --seed 2"] {
        let found = lab.run(&few(), options);
        let (se, exact) = (floats(&found["att_gt"]["se"]), floats(&analytic["att_gt"]["se"]));
        for (i, (se, exact)) in se.iter().zip(&exact).enumerate() {
            // either scale is within 25 % of the deviation, whose error is that of 1000 draws
            assert_close(&format!("{options} [{i}]"), *se, *exact, 0.45, 0.0);
        }
        let crit = found["crit"].as_f64().unwrap();
        assert!((1.9..4.5).contains(&crit), "{options}: critical value {crit}");
        let text = warnings(&found);
        if options.contains("mammen") {
            assert!(text.contains("few units carry") && text.contains("cohort 3 has 2 units"), "{text}");
        }
    }
    let letter = lab.run(&few(), "--multiplier mammen --scale iqr");
    assert!(!warnings(&letter).contains("few units carry"), "{}", warnings(&letter));
    assert_ne!(letter["att_gt"]["se"], lab.run(&few(), "--multiplier mammen")["att_gt"]["se"]);
}

#[test]
fn rademacher_is_the_default() {
    let lab = Lab::new();
    let panel = Panel::default().simulate();
    let plain = lab.run(&panel, "--biters 200");
    assert_eq!(plain, lab.run(&panel, "--biters 200 --multiplier rademacher"));
    assert_ne!(plain, lab.run(&panel, "--biters 200 --multiplier mammen"));
    assert_eq!(plain["cband"], true);
    assert_eq!(lab.run(&panel, "--bstrap false")["cband"], false);
}

/// Clustered variances times G/(G − 1): with draws too, and nothing else changes.
#[test]
fn the_factor_of_few_clusters() {
    let lab = Lab::new();
    let panel = Panel::default().simulate();
    let factor = (20.0_f64 / 19.0).sqrt();
    for options in ["--bstrap false", "--biters 300"] {
        let options = format!("{options} --clustervars cluster");
        let (plain, scaled) =
            (lab.run(&panel, &options), lab.run(&panel, &format!("{options} --cluster-factor")));
        assert_eq!(plain["att_gt"]["att"], scaled["att_gt"]["att"]);
        let (a, b) = (entries(&plain["att_gt"]["se"]), entries(&scaled["att_gt"]["se"]));
        for (a, b) in a.iter().zip(&b) {
            assert_close(&options, b.unwrap(), a.unwrap() * factor, 1e-12, 0.0);
        }
        let overall = |result: &Value| result["aggte"]["dynamic"]["overall_se"].as_f64().unwrap();
        assert_close(&options, overall(&scaled), overall(&plain) * factor, 1e-12, 0.0);
    }
    lab.refused(&panel, "--cluster-factor", &["cluster_factor", "--clustervars"]);
}

/// An aggregation over lost cohorts from a store has the figures of the files.
#[test]
fn stores_settle_the_balance_as_files_do() {
    let lab = Lab::new();
    let panel = lacking(&Panel { cohorts: vec![0, 3, 4, 5], ..Panel::default() }.simulate(), 0.0);
    let path = lab.write(&panel);
    let store = lab.0.path().join("store");
    let prepared = stagger_tests::cli::run(&[
        "prepare",
        path_str(&path),
        "--yname",
        "y",
        "--tname",
        "time",
        "--idname",
        "id",
        "--gname",
        "group",
        "--xformla",
        "~ x1",
        "--weightsname",
        "w",
        "--out",
        path_str(&store),
    ]);
    prepared.success();
    let options = "--xformla '~ x1' --weightsname w --bstrap false";
    let (files, stored) =
        (estimate(&path, &format!("{COLUMNS} {options}")), estimate(&store, &format!("{COLUMNS} {options}")));
    assert_eq!(files.success().json(), stored.success().json());
}

#[test]
fn unused_columns_are_no_weights() {
    let lab = Lab::new();
    let panel = Panel::default().simulate();
    let spoiled = with_column(&panel, "w", float_column(vec![1e300; panel.num_rows()]));
    assert_eq!(lab.run(&spoiled, "--bstrap false"), lab.run(&panel, "--bstrap false"));
}
