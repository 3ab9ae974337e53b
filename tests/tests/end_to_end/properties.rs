//! What must hold of the estimates whatever the data: different ways to the same number, and the guards of cells
//! that can't be estimated (FORMULAS §2.4), at their edges.

use arrow_array::RecordBatch;
use serde_json::Value;
use stagger_test_support::panels::{COLUMNS, Panel};
use stagger_test_support::tables::{
    floats as number_column, ints, numbers, read_parquet, rows_where, table, with_column, with_values,
};
use stagger_tests::cli::estimate;
use stagger_tests::compare::{assert_all_close, assert_close, entries, floats};
use stagger_tests::golden::data;
use stagger_tests::lab::{Lab, assert_estimates_within, assert_same_estimates};
use stagger_tests::tolerance::{REFIT, ROUNDING};

/// Methods, control groups and weights, each in one specification at least.
const SPECIFICATIONS: [&str; 4] = [
    "--xformla '~ x1 + xt' --weightsname w",
    "--xformla '~ x1 + xt' --weightsname w --est-method ipw --control-group notyettreated",
    "--xformla '~ x1 * x2' --weightsname w --est-method reg --base-period universal --clustervars state",
    "--weightsname w --anticipation 1 --control-group notyettreated",
];

#[test]
fn equal_weights_are_no_weights() {
    let (lab, panel) = (Lab::new(), read_parquet(&data("panel_w")));
    for weight in [2.0, 0.37] {
        let weighted = with_values(&panel, "w", |_, _| weight);
        for options in SPECIFICATIONS {
            let with = lab.run(&weighted, options);
            let without = lab.run(&panel, &options.replace("--weightsname w", ""));
            // With weights the guard of §2.4 has a logit of its own, so the fits don't take the same steps.
            assert_estimates_within(&format!("weights {weight}, {options}"), &with, &without, REFIT);
        }
    }
}

#[test]
fn constant_weights_can_not_be_fixed() {
    let (lab, panel) = (Lab::new(), read_parquet(&data("panel_w")));
    for options in SPECIFICATIONS {
        let free = lab.run(&panel, options);
        for fixed in ["base_period", "first_period"] {
            let result = lab.run(&panel, &format!("{options} --fix-weights {fixed}"));
            assert_same_estimates(&format!("{fixed}, {options}"), &result, &free);
        }
    }
}

/// Stacked rows of constant weights and covariates are the differenced panel (FORMULAS §3.5), but for the sign of
/// one term in the doubly robust influence function (§3.4), which needs covariates to be seen.
#[test]
fn constant_weights_do_not_vary() {
    let (lab, panel) = (Lab::new(), read_parquet(&data("panel_w")));
    for control in ["nevertreated", "notyettreated"] {
        for method in [
            "--xformla '~ x1 + x2' --est-method reg",
            "--xformla '~ x1' --est-method ipw",
            "",
            "--anticipation 1",
        ] {
            let options = format!("{method} --weightsname w --control-group {control}");
            let varying = lab.run(&panel, &format!("{options} --fix-weights varying"));
            assert_estimates_within(&options, &varying, &lab.run(&panel, &options), REFIT);
        }
        let options = format!("--xformla '~ x1 + x2' --weightsname w --control-group {control}");
        let varying = lab.run(&panel, &format!("{options} --fix-weights varying"));
        let free = lab.run(&panel, &options);
        assert_all_close("dr", &varying["att_gt"]["att"], &free["att_gt"]["att"], REFIT, 1.0);
    }
}

/// Covariates and weights come from the earlier period of a cell, so those of the last period play no part. A column
/// that changes only there goes the way of time-varying columns and must give the numbers of a constant one.
#[test]
fn a_constant_column_read_as_time_varying() {
    let (lab, panel) = (Lab::new(), read_parquet(&data("panel_w")));
    let times = numbers(&panel, "time");
    let jittered = ["x1", "x2", "w"].into_iter().fold(panel.clone(), |panel, name| {
        with_values(&panel, name, |row, v| if times[row] == 8.0 { v + 0.25 } else { v })
    });
    for options in SPECIFICATIONS {
        let what = format!("last period jittered, {options}");
        assert_same_estimates(&what, &lab.run(&jittered, options), &lab.run(&panel, options));
    }
}

#[test]
fn methods_coincide_without_covariates() {
    let (lab, panel) = (Lab::new(), Panel::default().simulate());
    for control in ["nevertreated", "notyettreated"] {
        let run = |method: &str| {
            lab.run(&panel, &format!("--control-group {control} --est-method {method} --weightsname w"))
        };
        let dr = run("dr");
        assert_same_estimates("reg", &run("reg"), &dr);
        assert_same_estimates("ipw", &run("ipw"), &dr);
    }
}

#[test]
fn one_cohort_has_one_control_group() {
    let (lab, panel) = (Lab::new(), rows_where(&Panel::default().simulate(), "group", |g| g != 4.0));
    let run = |control: &str| lab.run(&panel, &format!("--control-group {control} --xformla '~ x1 + x2'"));
    assert_same_estimates("not yet treated", &run("notyettreated"), &run("nevertreated"));
}

/// Unit effects, common period effects and the origin of time cancel; the scale of the outcome carries over.
#[test]
fn what_differencing_removes() {
    let (lab, panel) = (Lab::new(), Panel::default().simulate());
    let options = "--xformla '~ x1 + x2'";
    let base = lab.run(&panel, options);
    let (ids, times) = (numbers(&panel, "id"), numbers(&panel, "time"));
    let shifted = with_values(&panel, "y", |row, y| y + 0.125 * (ids[row] % 16.0) + 2.0 * times[row]);
    assert_same_estimates("unit and period effects", &lab.run(&shifted, options), &base);
    let scaled = with_values(&panel, "y", |_, y| 4.0 * y);
    let result = lab.run(&scaled, options);
    for key in ["att", "se"] {
        let expected: Value = floats(&base["att_gt"][key]).iter().map(|v| Value::from(4.0 * v)).collect();
        assert_all_close(&format!("4y: {key}"), &result["att_gt"][key], &expected, ROUNDING, 1.0);
    }
    let later = |name: &str, panel: &RecordBatch| {
        with_values(panel, name, |_, v| if v == 0.0 { 0.0 } else { v + 2000.0 })
    };
    let result = lab.run(&later("group", &later("time", &panel)), options);
    assert_all_close("years", &result["att_gt"]["att"], &base["att_gt"]["att"], ROUNDING, 1.0);
    assert_eq!(result["aggte"]["dynamic"]["egt"], base["aggte"]["dynamic"]["egt"]);
}

#[test]
fn scale_and_origin_of_covariates_do_not_matter() {
    let (lab, panel) = (Lab::new(), read_parquet(&data("panel_w")));
    for method in ["dr", "reg", "ipw"] {
        let options = format!("--xformla '~ x1 + x2' --est-method {method}");
        let moved =
            with_values(&with_values(&panel, "x1", |_, x| 1000.0 * x + 5000.0), "x2", |_, x| x / 512.0);
        let (a, b) = (lab.run(&moved, &options), lab.run(&panel, &options));
        assert_all_close(&format!("{method} att"), &a["att_gt"]["att"], &b["att_gt"]["att"], 1e-8, 0.1);
        assert_all_close(&format!("{method} se"), &a["att_gt"]["se"], &b["att_gt"]["se"], 1e-8, 0.1);
    }
}

/// Units by cohort and covariate over four periods; y is noise. `counts`: (cohort, x, units).
fn counted(counts: &[(i64, i64, usize)]) -> RecordBatch {
    let units: Vec<(i64, i64)> =
        counts.iter().flat_map(|&(g, x, n)| std::iter::repeat_n((g, x), n)).collect();
    let cells: Vec<(usize, i64)> =
        (0..units.len()).flat_map(|unit| (1..=4).map(move |time| (unit, time))).collect();
    let mut random = stagger_test_support::panels::Random::new(9);
    table(vec![
        ("id", ints(cells.iter().map(|(unit, _)| *unit as i64))),
        ("time", ints(cells.iter().map(|(_, time)| *time))),
        ("group", ints(cells.iter().map(|(unit, _)| units[*unit].0))),
        ("x", ints(cells.iter().map(|(unit, _)| units[*unit].1))),
        ("y", number_column(cells.iter().map(|_| random.normal()).collect::<Vec<_>>())),
    ])
}

/// Which of cohort 3's cells are `NA`, and which of cohort 4's.
fn missing(result: &Value) -> [Vec<bool>; 2] {
    let (groups, att) = (floats(&result["att_gt"]["group"]), entries(&result["att_gt"]["att"]));
    [3.0, 4.0].map(|g| {
        groups.iter().zip(&att).filter(|(group, _)| **group == g).map(|(_, a)| a.is_none()).collect()
    })
}

#[track_caller]
fn assert_one_warning(result: &Value, number: &str) {
    let warnings: Vec<&str> =
        result["warnings"].as_array().expect("warnings").iter().filter_map(Value::as_str).collect();
    let about: Vec<&&str> = warnings.iter().filter(|text| text.contains(number)).collect();
    assert_eq!(about.len(), 1, "one warning with {number}: {warnings:?}");
}

/// Without covariates the propensity score is the share of treated units: at 0.999 the cell fails, just below it does not.
#[test]
fn overlap_at_its_edge() {
    let lab = Lab::new();
    let panel = |treated: usize| counted(&[(0, 0, 10), (3, 0, treated), (4, 0, 50)]);
    for method in ["dr", "ipw"] {
        let options = format!("--est-method {method}");
        let at = lab.run(&panel(9990), &options);
        assert_eq!(missing(&at), [vec![true; 3], vec![false; 3]], "{method} at 0.999");
        assert_one_warning(&at, "3 cells");
        // As R's aggte stops at missing cells, there is no aggregation over them, unless they may be left out.
        assert!(at["aggte"]["simple"].is_null(), "{method}");
        assert_one_warning(&at, "not aggregated");
        let rest = lab.run(&panel(9990), &format!("{options} --na-rm"));
        assert_eq!(rest["aggte"]["simple"]["na_rm"], true, "{method}");
        assert!(rest["aggte"]["simple"]["overall_att"].is_f64(), "{method}: the other cohort is left");
        assert_one_warning(&rest, "left out of aggregations");
        assert_eq!(
            missing(&lab.run(&panel(9989), &options)),
            [vec![false; 3], vec![false; 3]],
            "{method} below 0.999"
        );
    }
    let reg = lab.run(&panel(9990), "--est-method reg");
    assert_eq!(missing(&reg), [vec![false; 3], vec![false; 3]], "outcome regression needs no overlap");
}

/// A saturated logit's fitted values are the shares of treated units by covariate.
#[test]
fn overlap_with_a_covariate() {
    let lab = Lab::new();
    let panel = |treated: usize, control: usize| {
        counted(&[(0, 0, 300), (0, 1, control), (3, 0, 200), (3, 1, treated)])
    };
    let share = |treated, control| missing(&lab.run(&panel(treated, control), "--xformla '~ x'"))[0].clone();
    assert_eq!(share(1999, 1), [true; 3], "0.9995");
    assert_eq!(share(1996, 4), [false; 3], "0.998");
    // Nobody to compare the treated with x = 1 to: separation, found without iterating for ever.
    assert_eq!(share(1000, 0), [true; 3], "no control");
}

/// Controls whose score is 0.995 or more are trimmed: the estimate is then a difference of means without them.
#[test]
fn trimmed_controls_have_no_weight() {
    let lab = Lab::new();
    let panel = counted(&[(0, 0, 300), (0, 1, 4), (3, 0, 200), (3, 1, 1996)]);
    let ipw = lab.run(&panel, "--xformla '~ x' --est-method ipw");
    let (groups, times) = (numbers(&panel, "group"), numbers(&panel, "time"));
    let (x, y) = (numbers(&panel, "x"), numbers(&panel, "y"));
    let mean = |keep: &dyn Fn(usize) -> bool| {
        let chosen: Vec<f64> = (0..y.len()).filter(|&row| keep(row)).map(|row| y[row]).collect();
        chosen.iter().sum::<f64>() / chosen.len() as f64
    };
    let change = |keep: &dyn Fn(usize) -> bool, to: f64, from: f64| {
        mean(&|row| keep(row) && times[row] == to) - mean(&|row| keep(row) && times[row] == from)
    };
    for (cell, (to, from)) in [(2.0, 1.0), (3.0, 2.0), (4.0, 2.0)].into_iter().enumerate() {
        let treated = change(&|row| groups[row] == 3.0, to, from);
        let control = change(&|row| groups[row] == 0.0 && x[row] == 0.0, to, from);
        assert_close(
            &format!("cell {cell}"),
            floats(&ipw["att_gt"]["att"])[cell],
            treated - control,
            1e-9,
            1.0,
        );
    }
}

/// Among not-yet-treated controls the covariate varies only as long as the other cohort is one of them.
#[test]
fn singular_controls_fail_their_cells_only() {
    let lab = Lab::new();
    let panel = counted(&[(0, 1, 60), (3, 0, 40), (3, 1, 40), (4, 0, 40), (4, 1, 40)]);
    for method in ["reg", "dr"] {
        let options = format!("--xformla '~ x' --control-group notyettreated --est-method {method}");
        let result = lab.run(&panel, &options);
        // Cells t = 2, 3, 4. Cohort 3 has cohort 4 beside the never treated until 3, cohort 4 has cohort 3 until 2.
        assert_eq!(missing(&result), [vec![false, false, true], vec![false, true, true]], "{method}");
        assert_one_warning(&result, "3 cells");
    }
}

/// rcond of X'X falls below R's limit between these two distances from collinearity.
#[test]
fn nearly_collinear_covariates() {
    let lab = Lab::new();
    let panel = Panel::default().simulate();
    let noise = numbers(&panel, "x2");
    let x1 = numbers(&panel, "x1");
    let near = |distance: f64| {
        let x3 = x1.iter().zip(&noise).map(|(x, e)| x + distance * e);
        with_column(&panel, "x3", number_column(x3.collect::<Vec<_>>()))
    };
    let options = "--xformla '~ x1 + x3' --est-method reg";
    let fine = lab.run(&near(1e-4), options);
    assert!(entries(&fine["att_gt"]["att"]).iter().all(Option::is_some), "1e-4 apart is not collinear");
    // x1 and x3 span what x1 and x2 do.
    let reference = lab.run(&panel, "--xformla '~ x1 + x2' --est-method reg");
    assert_all_close("att", &fine["att_gt"]["att"], &reference["att_gt"]["att"], 1e-6, 1.0);
    let path = lab.write("collinear", &near(1e-12));
    let output = estimate(&path, &format!("{COLUMNS} --bstrap false {options}"));
    let none = output.code == Some(2) || entries(&output.json()["att_gt"]["att"]).iter().all(Option::is_none);
    assert!(none, "1e-12 apart is collinear: {}", output.stdout);
}

/// `factor(x)`, a text column and hand-made indicators are one design.
#[test]
fn factors_are_indicators() {
    let (lab, panel) = (Lab::new(), read_parquet(&data("panel_w")));
    let region = numbers(&panel, "region");
    let text = stagger_test_support::tables::texts(region.iter().map(|r| format!("region {r}")));
    let mut wide = with_column(&panel, "name", text);
    let mut levels = region.clone();
    levels.sort_by(f64::total_cmp);
    levels.dedup();
    for (i, level) in levels.iter().enumerate().skip(1) {
        let indicator = ints(region.iter().map(|r| i64::from(r == level)));
        wide = with_column(&wide, &format!("r{i}"), indicator);
    }
    assert_eq!(levels.len(), 4);
    let by_hand = lab.run(&wide, "--xformla '~ r1 + r2 + r3'");
    assert_same_estimates("factor", &lab.run(&wide, "--xformla '~ factor(region)'"), &by_hand);
    assert_same_estimates("text", &lab.run(&wide, "--xformla '~ name'"), &by_hand);
    let powers = lab.run(
        &with_column(&wide, "squared", number_column(numbers(&wide, "x1").iter().map(|x| x * x))),
        "--xformla '~ x1 + squared'",
    );
    assert_same_estimates("I(x^2)", &lab.run(&wide, "--xformla '~ x1 + I(x1^2)'"), &powers);
    assert_same_estimates("poly", &lab.run(&wide, "--xformla '~ poly(x1, 2)'"), &powers);
    let product = number_column(
        numbers(&wide, "x1").iter().zip(numbers(&wide, "x2")).map(|(a, b)| a * b).collect::<Vec<_>>(),
    );
    let crossed = lab.run(&with_column(&wide, "x12", product), "--xformla '~ x1 + x2 + x12'");
    assert_same_estimates("x1*x2", &lab.run(&wide, "--xformla '~ x1 * x2'"), &crossed);
}
