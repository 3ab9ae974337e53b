//! `--diagnostics`: scores, balance and effective sizes against a logit that is refitted here and plain loops over rows.

use std::path::Path;

use arrow_array::RecordBatch;
use serde_json::Value;
use stagger_test_support::panels::Panel;
use stagger_test_support::tables::{
    floats as number_column, ints, numbers, read_parquet, rows_where, table, with_column, with_values,
};
use stagger_tests::bench::{Bench, assert_same};
use stagger_tests::cli::estimate;
use stagger_tests::compare::{assert_all_close, assert_close, floats};
use stagger_tests::diagnosed::{Checked, SUMMED, entries, labels, number};
use stagger_tests::golden::data;
use stagger_tests::lab::Lab;
use stagger_tests::scores::{Subject, distinct};

const MPDTA: &str = "--yname lemp --tname year --idname countyreal --gname first.treat";
const PANEL: &str = "--yname y --tname time --idname id --gname group";
const LEVELS: &str = "--yname y --tname time --gname group --panel false";

#[track_caller]
fn run(path: &Path, options: &str) -> Value {
    estimate(path, &format!("{options} --bstrap false --diagnostics")).success().json()
}

#[test]
fn minimum_wages() {
    let table = read_parquet(&data("mpdta"));
    let subject = Subject::new(&table, &["lpop"], "year", "first.treat");
    for control in ["nevertreated", "notyettreated"] {
        for method in ["dr", "ipw", "reg"] {
            let options =
                format!("{MPDTA} --xformla '~ lpop' --est-method {method} --control-group {control}");
            let checked = Checked::panel(&options, subject.clone());
            let checked = if method == "reg" { checked.regression() } else { checked };
            checked.check(&run(&data("mpdta"), &options));
        }
    }
}

#[test]
fn sampling_weights() {
    let table = read_parquet(&data("panel_w"));
    for covariates in [vec!["x1"], vec!["x1", "x2"]] {
        let formula = covariates.join(" + ");
        let subject = Subject::new(&table, &covariates, "time", "group");
        for (weights, subject) in
            [("", subject.clone()), ("--weightsname w", subject.clone().weighted(&table, "w"))]
        {
            let options = format!("{PANEL} --xformla '~ {formula}' {weights}");
            Checked::panel(&options, subject.clone()).check(&run(&data("panel_w"), &options));
            let options = format!("{options} --est-method reg --control-group notyettreated");
            Checked::panel(&options, subject).regression().check(&run(&data("panel_w"), &options));
        }
    }
}

/// Units that miss a value in any row are gone.
#[test]
fn missing_values() {
    let table = read_parquet(&data("panel_na"));
    let (y, x, id) = (numbers(&table, "y"), numbers(&table, "x1"), numbers(&table, "id"));
    let holed: Vec<f64> =
        (0..id.len()).filter(|&row| (y[row] + x[row]).is_nan()).map(|row| id[row]).collect();
    assert!(holed.len() > 50, "the panel has {} rows with missing values", holed.len());
    let complete = rows_where(&table, "id", |id| !holed.contains(&id));
    let options = format!("{PANEL} --xformla '~ x1' --weightsname w");
    let subject = Subject::new(&complete, &["x1"], "time", "group").weighted(&complete, "w");
    Checked::panel(&options, subject).check(&run(&data("panel_na"), &options));
}

/// A logit pools the rows of two periods; each period has its own balance.
#[test]
fn levels() {
    for (name, options, weight) in [
        ("rc_w", LEVELS.to_owned(), "w"),
        ("panel_unbal", format!("{PANEL} --allow-unbalanced-panel true"), "wt_tv"),
    ] {
        let table = read_parquet(&data(name));
        let subject = Subject::new(&table, &["x1"], "time", "group");
        for (weights, subject) in [
            (String::new(), subject.clone()),
            (format!("--weightsname {weight}"), subject.clone().weighted(&table, weight)),
        ] {
            for design in ["", "--control-group notyettreated --base-period universal"] {
                let options = format!("{options} --xformla '~ x1' {weights} {design}");
                Checked::levels(&options, subject.clone()).check(&run(&data(name), &options));
            }
            let options = format!("{options} --xformla '~ x1' {weights} --est-method reg");
            Checked::levels(&options, subject).regression().check(&run(&data(name), &options));
        }
    }
}

/// Three comparisons a control cohort, two with ineligible controls.
#[test]
fn triple_differences() {
    const TRIPLE: &str = "--yname y --tname time --gname group --pname partition --xformla '~ x1'";
    for (name, form, levels) in [
        ("ddd_w", "--idname id", false),
        ("ddd2_w", "--idname id", false),
        ("ddd_unbal", "--idname id --allow-unbalanced-panel true", true),
        ("ddd_w", "--panel false", true),
    ] {
        let table = read_parquet(&data(name));
        let subject = Subject::new(&table, &["x1"], "time", "group").eligible(&table, "partition");
        for control in ["nevertreated", "notyettreated"] {
            let options = format!("{TRIPLE} {form} --weightsname w --control-group {control}");
            let result = run(&data(name), &options);
            Checked::of(levels, &options, subject.clone().weighted(&table, "w")).check(&result);
            assert_triples(&options, &result, levels, control == "nevertreated");
        }
        let options = format!("{TRIPLE} {form} --est-method reg --control-group nevertreated");
        Checked::of(levels, &options, subject).regression().check(&run(&data(name), &options));
    }
}

#[track_caller]
fn assert_triples(what: &str, result: &Value, levels: bool, never: bool) {
    let sides = if levels { 2 } else { 1 };
    let balance = entries(result, "balance");
    let (groups, times) = (floats(&result["att_gt"]["group"]), floats(&result["att_gt"]["time"]));
    let se = floats(&result["att_gt"]["se"]);
    for cell in (0..groups.len()).filter(|&cell| se[cell].is_finite()) {
        let own: Vec<&Value> =
            balance.iter().filter(|b| b["group"] == groups[cell] && b["time"] == times[cell]).collect();
        let place = format!("{what} ({}, {})", groups[cell], times[cell]);
        assert!(own.len().is_multiple_of(3 * sides) && !own.is_empty(), "{place}: {}", own.len());
        assert!(!never || own.len() == 3 * sides, "{place}: one control cohort, {} entries", own.len());
        for triple in own.chunks(3 * sides) {
            let labels: Vec<String> = triple.iter().step_by(sides).map(|b| labels(b).join(", ")).collect();
            let other = &labels[1];
            let expected =
                [format!("{} ineligible", groups[cell]), other.clone(), format!("{other} ineligible")];
            assert_eq!(labels, expected, "{place}");
            assert!(!other.contains("ineligible") && (!never || other == "never"), "{place}: {other}");
        }
    }
}

/// One comparison a cell with those never treated and, where they are asked for, the cohorts of later.
#[test]
fn controls_are_those_of_the_cell() {
    let table = read_parquet(&data("panel_w"));
    let cohorts = Subject::new(&table, &[], "time", "group").cohorts();
    for (control, later) in [("nevertreated", false), ("notyettreated", true)] {
        let options = format!("{PANEL} --xformla '~ x1' --control-group {control}");
        let result = run(&data("panel_w"), &options);
        let (groups, times) = (floats(&result["att_gt"]["group"]), floats(&result["att_gt"]["time"]));
        let balance = entries(&result, "balance");
        assert_eq!(balance.len(), groups.len(), "{options}: a comparison a cell");
        for (cell, entry) in balance.iter().enumerate() {
            assert_eq!((number(&entry["group"]), number(&entry["time"])), (groups[cell], times[cell]));
            let mut found = labels(entry);
            found.sort();
            let untreated = |g: f64| later && g != groups[cell] && g > times[cell];
            let mut expected: Vec<String> =
                cohorts.iter().filter(|g| untreated(**g)).map(|g| g.to_string()).collect();
            expected.push("never".to_owned());
            expected.sort();
            assert_eq!(found, expected, "{options}: ({}, {})", groups[cell], times[cell]);
        }
        // Each logit once, however many cells have it.
        let logits = |key: &str| {
            let mut all: Vec<String> = entries(&result, key)
                .iter()
                .map(|e| {
                    let mut labels = labels(e);
                    labels.sort();
                    format!("{} {labels:?}", e["group"])
                })
                .collect();
            all.sort();
            all
        };
        let mut distinct = logits("balance");
        distinct.dedup();
        assert_eq!(logits("overlap"), distinct, "{options}");
    }
}

/// Of controls whose score is known: 300 treated and one control have x = 1, 50 and 200 have x = 0.
#[test]
fn trimmed_controls_weigh_nothing() {
    let units: Vec<(i64, f64)> = [(300, 2, 1.0), (1, 0, 1.0), (50, 2, 0.0), (200, 0, 0.0)]
        .iter()
        .flat_map(|&(n, g, x)| vec![(g, x); n])
        .collect();
    let rows: Vec<(usize, i64)> = (0..units.len()).flat_map(|unit| [(unit, 1), (unit, 2)]).collect();
    let panel = table(vec![
        ("id", ints(rows.iter().map(|(unit, _)| *unit as i64))),
        ("time", ints(rows.iter().map(|(_, time)| *time))),
        ("group", ints(rows.iter().map(|(unit, _)| units[*unit].0))),
        ("x", number_column(rows.iter().map(|(unit, _)| units[*unit].1))),
        ("y", number_column(rows.iter().map(|(unit, time)| (unit * 7 % 13) as f64 * *time as f64))),
    ]);
    let result = Lab::new().run(&panel, "--xformla '~ x' --diagnostics");
    Checked::panel("trimmed", Subject::new(&panel, &["x"], "time", "group")).check(&result);
    let (overlap, balance) = (&entries(&result, "overlap")[0], &entries(&result, "balance")[0]);
    assert_eq!(overlap["trimmed"], 1.0 / 201.0);
    assert_close("max", floats(&overlap["untreated"]["quantiles"])[8], 300.0 / 301.0, 1e-9, 0.0);
    assert_close("effective", number(&balance["effective_controls"]), 200.0, 1e-9, 0.0);
    let (share, other) = (300.0 / 350.0, 1.0 / 201.0);
    let spread = ((share * (1.0 - share) + other * (1.0_f64 - other)) / 2.0).sqrt();
    assert_close("after", number(&balance["covariates"][0]["after"]), share / spread, 1e-9, 0.0);
}

/// One a column of the design: products, powers and the levels of a factor.
#[test]
fn columns_of_the_design() {
    let table = read_parquet(&data("panel_w"));
    let (x1, x2, region) = (numbers(&table, "x1"), numbers(&table, "x2"), numbers(&table, "region"));
    let mut wide = with_column(&table, "product", number_column(x1.iter().zip(&x2).map(|(a, b)| a * b)));
    let mut columns = vec!["x1".to_owned(), "x2".to_owned(), "product".to_owned()];
    for level in &distinct(region.iter().copied())[1..] {
        let name = format!("region{level}");
        wide =
            with_column(&wide, &name, number_column(region.iter().map(|r| f64::from(u8::from(r == level)))));
        columns.push(name);
    }
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let subject = Subject::new(&wide, &columns, "time", "group");
    let result = run(&data("panel_w"), &format!("{PANEL} --xformla '~ x1 * x2 + factor(region)'"));
    for entry in entries(&result, "balance") {
        let groups = subject.groups(number(&entry["group"]), &labels(entry), &[1.0]);
        let found = entry["covariates"].as_array().expect("covariates");
        // R puts products after all main effects; the differences tell which column is which.
        let mut found: Vec<f64> = found.iter().map(|c| number(&c["before"])).collect();
        let mut expected: Vec<f64> = (1..=columns.len()).map(|j| groups.differences(j)[0]).collect();
        found.sort_by(f64::total_cmp);
        expected.sort_by(f64::total_cmp);
        assert_all_close("before", &Value::from(found), &Value::from(expected), SUMMED, 1.0);
    }
}

/// Standardised differences and scores do not depend on where a covariate has its zero, or on its unit.
#[test]
fn shift_and_scale_of_a_covariate() {
    let (lab, panel) = (Lab::new(), Panel::default().simulate());
    let options = "--xformla '~ x1' --weightsname w --diagnostics";
    let plain = lab.run(&panel, options);
    for (shift, scale) in [(0.0, 1e6), (0.0, 1e-6), (1e3, 1.0), (1e6, 1.0), (-1e8, 10.0)] {
        let moved = with_values(&panel, "x1", |_, x| shift + scale * x);
        let found = lab.run(&moved, options);
        // Digits that the shift itself takes from the column.
        let tolerance = 1e-7_f64.max(shift.abs() / scale * 1e-13);
        for (a, b) in entries(&plain, "balance").iter().zip(entries(&found, "balance")) {
            let place = format!("{shift} + {scale}·x1: ({}, {})", a["group"], a["time"]);
            for key in ["before", "after"] {
                let (a, b) = (&a["covariates"][0][key], &b["covariates"][0][key]);
                assert_close(&format!("{place} {key}"), number(b), number(a), tolerance, 1.0);
            }
            for key in ["effective_treated", "effective_controls"] {
                assert_close(&format!("{place} {key}"), number(&b[key]), number(&a[key]), tolerance, 0.0);
            }
        }
        for (a, b) in entries(&plain, "overlap").iter().zip(entries(&found, "overlap")) {
            for key in ["treated", "untreated"] {
                let ends = |entry: &Value| {
                    let quantiles = floats(&entry[key]["quantiles"]);
                    [quantiles[0], quantiles[8]]
                };
                let (a, b) = (Value::from(ends(a).to_vec()), Value::from(ends(b).to_vec()));
                assert_all_close(&format!("{shift} + {scale}·x1 {key}"), &a, &b, tolerance, 0.0);
            }
        }
    }
}

/// Without covariates there is nothing to weight by.
#[test]
fn without_covariates() {
    for method in ["dr", "ipw", "reg"] {
        let result = run(&data("mpdta"), &format!("{MPDTA} --est-method {method}"));
        assert!(entries(&result, "overlap").is_empty());
        assert_eq!(entries(&result, "balance").len(), 12);
        for entry in entries(&result, "balance") {
            assert!(entry["covariates"].as_array().is_some_and(Vec::is_empty), "{entry}");
            assert!(entry["effective_controls"].is_null() && entry["condition"] == 1, "{entry}");
        }
    }
}

/// The rest of a result has the bytes that it has without diagnostics.
#[test]
fn nothing_else_changes() {
    for (name, options) in [
        ("mpdta", format!("{MPDTA} --xformla '~ lpop' --biters 200")),
        ("mpdta", format!("{MPDTA} --biters 200")),
        ("panel_w", format!("{PANEL} --xformla '~ x1' --est-method reg --bstrap false")),
        (
            "panel_w",
            format!("{PANEL} --xformla '~ x1 + x2' --est-method ipw --clustervars state --biters 200"),
        ),
        ("rc_w", format!("{LEVELS} --xformla '~ x1' --weightsname w --bstrap false")),
        ("ddd_w", format!("{PANEL} --pname partition --xformla '~ x1' --control-group notyettreated")),
    ] {
        let without = estimate(&data(name), &options).success().stdout;
        assert!(!without.contains("diagnostics"), "{options}");
        assert_eq!(
            estimate(&data(name), &format!("{options} --diagnostics false")).success().stdout,
            without
        );
        let with = estimate(&data(name), &format!("{options} --diagnostics true")).success().stdout;
        let (rest, added) = with.split_once(",\"diagnostics\":{").expect("diagnostics");
        assert_same(&options, &without, &format!("{rest}}}\n"));
        assert!(added.ends_with("]}}\n"), "{options}: diagnostics come last");
    }
}

fn bench(table: RecordBatch, options: &[String]) -> Bench {
    Bench::new(table, options.iter().map(|o| format!("{o} --bstrap false --diagnostics")).collect())
}

/// Panels, levels and triple differences, small ones and one of several shards.
fn benches() -> Vec<(Bench, bool)> {
    let double = ["--xformla '~ x1 + x2' --weightsname w", "--xformla '~ x1' --est-method reg"];
    let with = |columns: &str| double.map(|options| format!("{columns} {options}"));
    let triple = format!("{PANEL} --pname partition --xformla '~ x1' --control-group notyettreated");
    let large = Panel { units: 20_000, periods: 4, cohorts: vec![0, 3, 0, 4], ..Panel::default() };
    vec![
        (bench(read_parquet(&data("panel_w")), &with(PANEL)), true),
        (bench(read_parquet(&data("rc_w")), &with(LEVELS)), false),
        (bench(read_parquet(&data("ddd_w")), &[triple]), true),
        (bench(large.simulate(), &with(PANEL)[..1]), true),
    ]
}

#[test]
fn same_bits_over_threads_and_files() {
    for (bench, any_order) in benches() {
        bench.assert_threads_agree();
        let mut variants = if any_order { bench.orders_and_cuts() } else { bench.cuts() };
        variants.extend(bench.row_groups(&[1000]));
        bench.assert_all_equal(&variants);
    }
}
