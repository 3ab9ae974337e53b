//! Cross sections, unbalanced panels, varying weights and triple differences against plain loops over rows, and
//! against each other where two of them must give one number.

use std::path::PathBuf;

use arrow_array::RecordBatch;
use serde_json::Value;
use stagger_test_support::panels::{Panel, ragged};
use stagger_test_support::tables::{ints, numbers, read_parquet, rows, with_column, with_values};
use stagger_tests::cli::estimate;
use stagger_tests::compare::{assert_all_close, assert_close, floats};
use stagger_tests::golden::data;
use stagger_tests::lab::{Lab, assert_cells_within, assert_estimates_within};
use stagger_tests::reference::Sample;
use stagger_tests::tolerance::{CLOSED_FORM, IQR_SE_SD, MONTE_CARLO_SDS, REFIT};

const COLUMNS: &str = "--yname y --tname time --gname group";
const TRIPLE: &str = "--yname y --tname time --gname group --pname partition";

/// Analytic estimates on a panel of the fixtures.
#[track_caller]
fn fixture(name: &str, options: &str) -> Value {
    estimate(&data(name), &format!("{options} --bstrap false")).success().json()
}

/// Both base periods and, where the reference has them, both control groups.
fn designs(controls: &[&str]) -> Vec<String> {
    let designs = ["varying", "universal"].map(|base| {
        controls.iter().map(move |control| format!("--base-period {base} --control-group {control}"))
    });
    designs.into_iter().flatten().collect()
}

const BOTH: [&str; 2] = ["nevertreated", "notyettreated"];

#[test]
fn cross_sections_are_means_of_rows() {
    let table = read_parquet(&data("rc_w"));
    let plain = Sample::new(&table, "y", "time", "group");
    for design in designs(&BOTH) {
        for method in ["dr", "ipw", "reg"] {
            let options = format!("{COLUMNS} --panel false --est-method {method} {design}");
            let result = fixture("rc_w", &options);
            assert_eq!(result["n"], table.num_rows(), "{options}: rows are the units");
            plain.clone().designed(&design).assert_cells(&options, &result);
        }
        let options = format!("{COLUMNS} --panel false --weightsname w --clustervars state {design}");
        let sample = plain.clone().weighted(&table, "w").summed_by(&table, "state");
        sample.designed(&design).assert_cells(&options, &fixture("rc_w", &options));
    }
}

#[test]
fn unbalanced_panels_are_means_of_rows() {
    let table = read_parquet(&data("panel_unbal"));
    let plain = Sample::new(&table, "y", "time", "group").summed_by(&table, "id");
    let unbalanced = format!("{COLUMNS} --idname id --allow-unbalanced-panel true");
    for design in designs(&BOTH) {
        for method in ["dr", "ipw", "reg"] {
            let options = format!("{unbalanced} --est-method {method} {design}");
            let result = fixture("panel_unbal", &options);
            assert_eq!(result["n"], 1000, "{options}: every unit stays");
            plain.clone().designed(&design).assert_cells(&options, &result);
        }
        // Weights that vary in time: each row has its own.
        let options = format!("{unbalanced} --weightsname wt_tv --clustervars state {design}");
        let sample = plain.clone().weighted(&table, "wt_tv").summed_by(&table, "state");
        sample.designed(&design).assert_cells(&options, &fixture("panel_unbal", &options));
    }
}

#[test]
fn varying_weights_are_means_of_rows() {
    let table = read_parquet(&data("panel_w"));
    let sample = Sample::new(&table, "y", "time", "group").weighted(&table, "wt_tv").summed_by(&table, "id");
    for design in designs(&BOTH) {
        for method in ["dr", "ipw", "reg"] {
            let options = format!(
                "{COLUMNS} --idname id --weightsname wt_tv --fix-weights varying --est-method {method} {design}"
            );
            sample.clone().designed(&design).assert_cells(&options, &fixture("panel_w", &options));
        }
    }
}

/// Never-treated controls: with several control cohorts a triple difference is a weighted mean of several.
#[test]
fn triple_differences_are_means_of_rows() {
    for (name, form, key) in [
        ("ddd_w", "--idname id", Some("id")),
        ("ddd_unbal", "--idname id --allow-unbalanced-panel true", Some("id")),
        ("ddd_w", "--panel false", None),
    ] {
        let table = read_parquet(&data(name));
        let plain = Sample::new(&table, "y", "time", "group").eligible(&table, "partition");
        for design in designs(&["nevertreated"]) {
            for (weights, clusters) in
                [("", ""), ("--weightsname w", ""), ("--weightsname w", "--cluster state")]
            {
                let options = format!("{TRIPLE} {form} {design} {weights} {clusters}");
                let key = if clusters.is_empty() { key } else { Some("state") };
                let mut sample = plain.clone().designed(&design);
                if !weights.is_empty() {
                    sample = sample.weighted(&table, "w");
                }
                if let Some(key) = key {
                    sample = sample.summed_by(&table, key);
                }
                sample.assert_cells(&options, &fixture(name, &options));
            }
        }
    }
}

/// R stops here ("object '.row_id' not found"). The draws' standard errors are near the analytic ones.
#[test]
fn clusters_of_triple_differences_in_cross_sections() {
    const DRAWS: f64 = 2000.0;
    let options = format!("{TRIPLE} --panel false --control-group nevertreated --cluster state");
    let analytic = fixture("ddd_w", &options);
    let drawn = format!("{options} --boot true --nboot {DRAWS} --scale iqr");
    let drawn = estimate(&data("ddd_w"), &drawn).success().json();
    assert_eq!(drawn["att_gt"]["att"], analytic["att_gt"]["att"]);
    let allowed = MONTE_CARLO_SDS * IQR_SE_SD / DRAWS.sqrt();
    assert_all_close("se", &drawn["att_gt"]["se"], &analytic["att_gt"]["se"], allowed, 0.0);
}

/// R stops here ("non-conformable arrays"). The standard error has the n − 1 that R's has of two balanced periods.
#[test]
fn two_periods_of_an_unbalanced_triple_difference() {
    for name in ["rddd2_dgp1_unbal", "rddd2_dgp2_unbal"] {
        let table = read_parquet(&data(name));
        let sample =
            Sample::new(&table, "y", "time", "state").eligible(&table, "partition").summed_by(&table, "id");
        let [first, last] = ends(&numbers(&table, "time"));
        let expected = sample.contrast(ends(&numbers(&table, "state"))[1], last, first);
        for method in ["dr", "ipw", "reg"] {
            let options = format!(
                "--yname y --tname time --idname id --gname state --pname partition \
                 --allow-unbalanced-panel true --est-method {method}"
            );
            let result = fixture(name, &options);
            let (att, se) = (floats(&result["att_gt"]["att"]), floats(&result["att_gt"]["se"]));
            assert_eq!((att.len(), result["n"].as_u64()), (1, Some(1486)), "{name}: one cell, all units");
            assert_close(&format!("{name} {method} att"), att[0], expected.att, CLOSED_FORM, expected.se);
            let centred = expected.se * (1486.0_f64 / 1485.0).sqrt();
            assert_close(&format!("{name} {method} se"), se[0], centred, CLOSED_FORM, 0.0);
        }
    }
}

/// The least and the largest value.
fn ends(values: &[f64]) -> [f64; 2] {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    [least, values.iter().copied().fold(f64::NEG_INFINITY, f64::max)]
}

/// Names the columns of simulated panels with eligibility.
const ELIGIBLE: &str = "--pname eligible";

/// A panel of 1,200 units, by name, and what to add to its options: with and without eligibility.
fn simulated(panel: &Panel) -> [(RecordBatch, &'static str); 2] {
    [(panel.simulate(), ""), (panel.simulate_triple(), ELIGIBLE)]
}

fn large() -> Panel {
    Panel { units: 1200, ..Panel::default() }
}

/// Covariates, weights and clusters, for all kinds.
const SPECIFICATIONS: [&str; 4] = [
    "--xformla '~ x1 + x2' --weightsname w",
    "--xformla '~ x1' --est-method ipw --control-group notyettreated",
    "--xformla '~ x1 * x2' --est-method reg --base-period universal --clustervars cluster",
    "--weightsname w --control-group notyettreated --base-period varying",
];

/// Nobody misses a period: what is allowed does not matter.
#[test]
fn balanced_panels_may_be_unbalanced() {
    let lab = Lab::new();
    for (panel, kind) in simulated(&large()) {
        for options in SPECIFICATIONS {
            let strict = lab.run(&panel, &format!("{kind} {options}"));
            let lax = lab.run(&panel, &format!("{kind} {options} --allow-unbalanced-panel true"));
            for key in ["n", "att_gt", "aggte", "vcov"] {
                assert_eq!(lax[key], strict[key], "{kind} {options}: {key}");
            }
        }
    }
}

/// A unit for every row: cross sections by another name.
#[test]
fn units_of_one_row_are_cross_sections() {
    let lab = Lab::new();
    for (panel, kind) in simulated(&large()) {
        let rows = with_column(&panel, "id", ints((0..panel.num_rows() as i64).map(|row| 7 * row + 1)));
        for options in SPECIFICATIONS {
            let sections = lab.run(&panel, &format!("{kind} {options} --panel false"));
            let units = lab.run(&rows, &format!("{kind} {options} --allow-unbalanced-panel true"));
            assert_eq!(sections["n"], units["n"], "{kind} {options}");
            assert_estimates_within(&format!("{kind} {options}"), &units, &sections, REFIT);
        }
    }
}

/// One row less and the estimates come by other formulas, from the rows as they are: without covariates, and with
/// constant ones by `reg` and `ipw`, both are the same function of the rows, and one row of 6,000 moves it a little.
#[test]
fn one_row_less_changes_little() {
    let lab = Lab::new();
    for (panel, kind) in simulated(&large()) {
        for method in ["", "--xformla '~ x1 + x2' --est-method reg", "--xformla '~ x1' --est-method ipw"] {
            let options = format!("{kind} {method} --weightsname w");
            let whole = lab.run(&panel, &options);
            let less = rows(&panel, (0..panel.num_rows()).filter(|row| *row != 2_501));
            let less = lab.run(&less, &format!("{options} --allow-unbalanced-panel true"));
            assert_eq!((&less["n"], &whole["n"]), (&1200.into(), &1200.into()), "{options}");
            let (se, scale) = (floats(&whole["att_gt"]["se"]), floats(&less["att_gt"]["se"]));
            let (att, moved) = (floats(&whole["att_gt"]["att"]), floats(&less["att_gt"]["att"]));
            for i in (0..se.len()).filter(|&i| !se[i].is_nan()) {
                assert!(
                    (moved[i] - att[i]).abs() < 0.2 * se[i],
                    "{options}: att {} and {}",
                    moved[i],
                    att[i]
                );
                assert_close(&format!("{options}: se[{i}]"), scale[i], se[i], 0.02, 0.0);
            }
        }
    }
}

/// Multiplies the cells' numbers; `NA` stays.
fn scale(result: &mut Value, key: &str, factor: f64) {
    let cells = &mut result["att_gt"][key];
    *cells = floats(cells).into_iter().map(|value| Value::from(factor * value)).collect();
}

/// Every estimate is a function of means over rows, so rows twice are the same estimates, from twice the sample.
#[test]
fn cross_sections_twice() {
    let lab = Lab::new();
    for (panel, kind) in simulated(&Panel { units: 300, ..Panel::default() }) {
        let count = panel.num_rows();
        let twice = rows(&panel, (0..2 * count).map(|row| row % count));
        for options in SPECIFICATIONS.map(|options| options.replace("--clustervars cluster", "")) {
            let once = lab.run(&panel, &format!("{kind} {options} --panel false"));
            let mut result = lab.run(&twice, &format!("{kind} {options} --panel false"));
            if !kind.is_empty() && options.contains("notyettreated") {
                // The weights of the control cohorts are means too, their standard error has an n − 1.
                assert_all_close("att", &result["att_gt"]["att"], &once["att_gt"]["att"], REFIT, 1.0);
                continue;
            }
            scale(&mut result, "se", 2.0_f64.sqrt());
            assert_cells_within(&format!("{kind} {options}"), &result, &once, REFIT);
        }
    }
}

/// Kinds of data as tables and options; the panel's options come with each.
fn kinds() -> Vec<(&'static str, RecordBatch, String)> {
    let panel = Panel { units: 600, ..Panel::default() };
    let mut kinds = Vec::new();
    for (table, kind) in simulated(&panel) {
        let holed = ragged(&table, 8, 5);
        kinds.push(("balanced", table.clone(), kind.to_owned()));
        kinds.push(("cross sections", table, format!("{kind} --panel false")));
        kinds.push(("unbalanced", holed, format!("{kind} --allow-unbalanced-panel true")));
    }
    kinds.push(("varying weights", panel.simulate(), "--fix-weights varying".to_owned()));
    kinds
}

/// Hajek means don't see the scale of weights, differences not the level of outcomes, and nothing the names of units.
#[test]
fn what_no_kind_depends_on() {
    let lab = Lab::new();
    for (label, table, kind) in kinds() {
        for options in SPECIFICATIONS.map(|options| options.replace("--weightsname w", "")) {
            let options = format!("{kind} {options} --weightsname w");
            let what = |change: &str| format!("{label}, {change}: {options}");
            let base = lab.run(&table, &options);
            let heavy = with_values(&table, "w", |_, w| 4.0 * w);
            // The logits stop at the same score in absolute terms, so with other weights a step earlier or later.
            assert_estimates_within(&what("weights"), &lab.run(&heavy, &options), &base, 1e-10);
            let high = with_values(&table, "y", |_, y| y + 64.0);
            assert_estimates_within(&what("level"), &lab.run(&high, &options), &base, 1e-9);
            let ids = numbers(&table, "id").into_iter().map(|id| (id as i64 * 7_919) % 1_000_003);
            let renamed = with_column(&table, "id", ints(ids));
            assert_estimates_within(&what("names"), &lab.run(&renamed, &options), &base, REFIT);
        }
    }
}

/// DDD = DiD₃ + DiD₂ − DiD₁. If all outcomes of the ineligible are 0, so are their fits, and DiD₃ = DiD₁ are the
/// same function of the treated eligible: what is left is the eligible's own difference-in-differences, DiD₂.
#[test]
fn idle_ineligibles_leave_the_eligible() {
    let lab = Lab::new();
    let panel = Panel { units: 600, ..Panel::default() }.simulate_triple();
    let eligible = numbers(&panel, "eligible");
    let idle = with_values(&panel, "y", |row, y| y * eligible[row]);
    let alone = |table: &RecordBatch| {
        let kept: Vec<f64> = numbers(table, "eligible");
        rows(table, (0..kept.len()).filter(|&row| kept[row] == 1.0))
    };
    for (form, table) in [
        ("", idle.clone()),
        ("--panel false", idle.clone()),
        ("--allow-unbalanced-panel true", ragged(&idle, 8, 3)),
    ] {
        for method in ["--est-method dr", "--est-method ipw", "--est-method reg"] {
            for covariates in ["", "--xformla '~ x1 + x2'"] {
                let options = format!("{form} {method} {covariates} --weightsname w --base-period universal");
                let triple = lab.run(&table, &format!("{ELIGIBLE} {options}"));
                assert_eq!((&triple["estimator"], &triple["n"]), (&"ddd".into(), &units(&table, form)));
                let double = lab.run(&alone(&table), &options);
                assert_cells_within(&options, &triple, &double, REFIT);
            }
        }
    }
}

/// Units of a table, or rows of cross sections.
fn units(table: &RecordBatch, form: &str) -> Value {
    if form == "--panel false" {
        return table.num_rows().into();
    }
    let mut ids = numbers(table, "id");
    ids.sort_by(f64::total_cmp);
    ids.dedup();
    ids.len().into()
}

/// Without covariates a triple difference only turns its sign when the eligible and the ineligible change places.
#[test]
fn eligibility_swapped() {
    let lab = Lab::new();
    for (label, table, kind) in kinds().into_iter().filter(|(_, _, kind)| kind.contains(ELIGIBLE)) {
        for control in BOTH {
            let options = format!("{kind} --control-group {control} --weightsname w");
            let base = lab.run(&table, &options);
            let swapped = with_values(&table, "eligible", |_, e| 1.0 - e);
            let mut result = lab.run(&swapped, &options);
            scale(&mut result, "att", -1.0);
            assert_cells_within(&format!("{label} {options}"), &result, &base, CLOSED_FORM);
        }
    }
}

/// With one cohort to compare with, not-yet-treated controls are the never treated, and nothing is weighted.
#[test]
fn one_control_cohort_is_not_weighted() {
    let lab = Lab::new();
    let panel = Panel { units: 400, cohorts: vec![0, 3], ..Panel::default() }.simulate_triple();
    for (form, table) in [
        ("", panel.clone()),
        ("--panel false", panel.clone()),
        ("--allow-unbalanced-panel true", ragged(&panel, 8, 3)),
    ] {
        let run = |control: &str| {
            lab.run(&table, &format!("{ELIGIBLE} {form} --xformla '~ x1' --control-group {control}"))
        };
        assert_estimates_within(form, &run("notyettreated"), &run("nevertreated"), CLOSED_FORM);
    }
}

/// Clusters that are units, or rows of cross sections, are no clusters.
#[test]
fn clusters_of_one_are_no_clusters() {
    let lab = Lab::new();
    for (label, table, kind) in kinds() {
        let one: Vec<i64> = match label {
            "cross sections" => (0..table.num_rows() as i64).collect(),
            _ => numbers(&table, "id").into_iter().map(|id| id as i64).collect(),
        };
        let table = with_column(&table, "one", ints(one));
        let without = lab.run(&table, &format!("{kind} --weightsname w"));
        let with = lab.run(&table, &format!("{kind} --weightsname w --clustervars one"));
        assert_estimates_within(label, &with, &without, CLOSED_FORM);
    }
}

/// Cross sections have no units: a column of ids, or none, or a useless one is the same.
#[test]
fn cross_sections_have_no_ids() {
    let options = "--panel false --xformla '~ x1' --bstrap false";
    let path: PathBuf = data("rc_w");
    let run = |ids: &str| estimate(&path, &format!("{COLUMNS} {ids} {options}")).success().json();
    let without = run("");
    for ids in ["--idname id", "--idname state"] {
        let with = run(ids);
        for key in ["n", "att_gt", "aggte", "vcov"] {
            assert_eq!(with[key], without[key], "{ids}: {key}");
        }
    }
}

/// With two periods a treatment dummy says what a cohort says.
#[test]
fn treatment_dummies_are_cohorts_of_the_last_period() {
    let lab = Lab::new();
    let design = Panel { units: 400, periods: 2, cohorts: vec![0, 2], ..Panel::default() };
    for (panel, kind) in simulated(&design) {
        let years = |name: &str, table: &RecordBatch| {
            with_values(table, name, |_, v| if v == 0.0 { 0.0 } else { 1975.0 + 3.0 * (v - 1.0) })
        };
        let dummy = with_values(&years("time", &panel), "group", |_, g| f64::from(g > 0.0));
        let cohort = years("group", &years("time", &panel));
        for form in ["", "--panel false"] {
            for method in ["dr", "ipw", "reg"] {
                let options = format!("{kind} {form} --est-method {method} --xformla '~ x1' --weightsname w");
                let (a, b) = (lab.run(&dummy, &options), lab.run(&cohort, &options));
                for key in ["att", "se"] {
                    assert_eq!(floats(&a["att_gt"][key]).len(), 1, "{options}: one cell");
                    let what = format!("{options}: {key}");
                    assert_all_close(&what, &a["att_gt"][key], &b["att_gt"][key], CLOSED_FORM, 0.0);
                }
            }
        }
    }
}
