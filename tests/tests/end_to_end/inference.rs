//! Standard errors, clusters and draws: against the jackknife, against each other, and against their covariance.

use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use serde_json::Value;
use stagger_test_support::panels::{COLUMNS, Panel, ragged};
use stagger_test_support::tables::{
    column, ints, numbers, numbers_of, read_parquet, rows_where, with_column, write_parquet,
};
use stagger_tests::cli::{estimate, path_str};
use stagger_tests::compare::{assert_all_close, assert_close, floats, rows};
use stagger_tests::golden::data;
use stagger_tests::matrix::{Rows, add, block, eigenvalues, frobenius, second_moments, trace};
use stagger_tests::tolerance::{IQR_SE_SD, MONTE_CARLO_SDS, ROUNDING, bootstrap_se};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// `panel_w` with a copy of the unit as a cluster, and the intersection of state and industry.
fn clustered_panel(folder: &Path) -> PathBuf {
    let panel = read_parquet(&data("panel_w"));
    let (state, industry) = (numbers(&panel, "state"), numbers(&panel, "industry"));
    let both = ints(state.iter().zip(&industry).map(|(s, i)| (1000.0 * s + i) as i64));
    let panel = with_column(&with_column(&panel, "both", both), "unit", column(&panel, "id"));
    let path = folder.join("clustered.parquet");
    write_parquet(&path, &panel);
    path
}

#[track_caller]
fn analytic(path: &Path, options: &str) -> Value {
    estimate(path, &format!("{COLUMNS} --bstrap false --xformla '~ x1 + x2' {options}")).success().json()
}

#[test]
fn clusters_of_one_unit_are_no_clusters() {
    let folder = folder();
    let path = clustered_panel(folder.path());
    let (without, with) = (analytic(&path, ""), analytic(&path, "--clustervars unit"));
    assert_eq!(without["att_gt"]["att"], with["att_gt"]["att"]);
    assert_all_close("se", &with["att_gt"]["se"], &without["att_gt"]["se"], ROUNDING, 0.0);
    for kind in ["simple", "dynamic", "group", "calendar"] {
        let (a, b) = (&with["aggte"][kind], &without["aggte"][kind]);
        assert_all_close(kind, &a["overall_se"], &b["overall_se"], ROUNDING, 0.0);
        assert_all_close(kind, &a["se_egt"], &b["se_egt"], ROUNDING, 0.0);
    }
    assert_close(
        "wald",
        with["wald"]["stat"].as_f64().unwrap(),
        without["wald"]["stat"].as_f64().unwrap(),
        1e-8,
        0.0,
    );
}

#[test]
fn the_unit_among_the_clusters_adds_nothing() {
    let folder = folder();
    let path = clustered_panel(folder.path());
    let run = |options: &str| estimate(&path, &format!("{COLUMNS} --biters 200 {options}")).success().stdout;
    assert_eq!(run("--clustervars id"), run(""));
    assert_eq!(run("--clustervars id,state"), run("--clustervars state"));
    assert_eq!(run("--clustervars state,id,industry"), run("--clustervars state,industry"));
    assert_eq!(run("--clustervars state,state"), run("--clustervars state"));
}

/// V = V_A + V_B − V_AB (Cameron, Gelbach & Miller 2011), negative eigenvalues set to 0 and said so.
#[test]
fn two_way_clusters_add_up() {
    let folder = folder();
    let path = clustered_panel(folder.path());
    for options in
        ["", "--control-group notyettreated --weightsname w", "--base-period universal --est-method reg"]
    {
        let run = |clusters: &str| analytic(&path, &format!("{options} {clusters}"));
        let two = run("--clustervars state,industry");
        assert_eq!(two["att_gt"]["att"], run("")["att_gt"]["att"], "clusters leave the estimates alone");
        let v = |clusters: &str| rows(&run(clusters)["vcov"]);
        let sum = add(
            &add(&v("--clustervars state"), 1.0, &v("--clustervars industry")),
            -1.0,
            &v("--clustervars both"),
        );
        let ours = rows(&two["vcov"]);
        assert_semidefinite("two-way", &ours);
        let lifted = add(&ours, -1.0, &sum);
        if warns_of_eigenvalues(&two) {
            assert!(
                eigenvalues(&sum)[0] < 0.0 || frobenius(&lifted) > 0.0,
                "told of a negative eigenvalue without need"
            );
            assert_semidefinite("what was added to V_A + V_B − V_AB", &lifted);
        } else {
            assert!(frobenius(&lifted) <= 1e-10 * frobenius(&sum), "{options}: V is not V_A + V_B − V_AB");
        }
        let (se, n) = (floats(&two["att_gt"]["se"]), two["n"].as_f64().expect("n"));
        for (i, row) in ours.iter().enumerate().filter(|(i, _)| !se[*i].is_nan()) {
            assert_close("se", se[i], (row[i] / n).sqrt(), 1e-12, 0.0);
        }
    }
}

fn warns_of_eigenvalues(result: &Value) -> bool {
    result["warnings"].to_string().contains("eigenvalue")
}

#[track_caller]
fn assert_semidefinite(what: &str, v: &Rows) {
    let lowest = eigenvalues(v)[0];
    assert!(lowest >= -1e-10 * trace(v).abs(), "{what} has the eigenvalue {lowest}");
}

/// The order of the two cluster variables can't matter, nor can a second variable that nests the first's intersections.
#[test]
fn two_way_clusters_by_symmetry() {
    let folder = folder();
    let path = clustered_panel(folder.path());
    let se = |clusters: &str| analytic(&path, &format!("--clustervars {clusters}"))["att_gt"]["se"].clone();
    assert_all_close("swapped", &se("industry,state"), &se("state,industry"), ROUNDING, 0.0);
    // V_state + V_both − V_both.
    assert_all_close("nested", &se("state,both"), &se("state"), 1e-9, 0.0);
}

/// Estimates without one unit, or one cluster, at a time.
fn jackknife(panel: &RecordBatch, options: &str, key: &str) -> Vec<f64> {
    let folder = folder();
    let mut keys = numbers(panel, key);
    keys.sort_by(f64::total_cmp);
    keys.dedup();
    let estimates: Vec<Vec<f64>> = keys
        .iter()
        .map(|left_out| {
            let path = folder.path().join("panel.parquet");
            write_parquet(&path, &rows_where(panel, key, |k| k != *left_out));
            estimates_of(&estimate(&path, options).success().json(), "att")
        })
        .collect();
    let count = estimates.len() as f64;
    (0..estimates[0].len())
        .map(|i| {
            let mean = estimates.iter().map(|e| e[i]).sum::<f64>() / count;
            let squares = estimates.iter().map(|e| (e[i] - mean) * (e[i] - mean)).sum::<f64>();
            ((count - 1.0) / count * squares).sqrt()
        })
        .collect()
}

/// ATTs of cells and of all aggregations, or their standard errors, in one order.
fn estimates_of(result: &Value, what: &str) -> Vec<f64> {
    let mut all = floats(&result["att_gt"][what]);
    for kind in ["simple", "dynamic", "group", "calendar"] {
        let aggregation = &result["aggte"][kind];
        all.extend(floats(&aggregation[format!("overall_{what}")]));
        all.extend(floats(&aggregation[format!("{what}_egt")]));
    }
    all
}

#[track_caller]
fn assert_jackknife(panel: &RecordBatch, options: &str, key: &str, tolerance: f64) {
    let folder = folder();
    let path = folder.path().join("panel.parquet");
    write_parquet(&path, panel);
    let options = format!("{COLUMNS} --bstrap false --threads 1 {options}");
    let analytic = estimates_of(&estimate(&path, &options).success().json(), "se");
    let jackknife = jackknife(panel, &options, key);
    assert_eq!(analytic.len(), jackknife.len());
    for (i, (analytic, jackknife)) in analytic.iter().zip(&jackknife).enumerate() {
        let ratio = jackknife / analytic;
        assert!(
            (ratio - 1.0).abs() < tolerance,
            "{options}: estimate {i}: jackknife {jackknife}, analytic {analytic}"
        );
    }
}

#[test]
fn standard_errors_against_the_jackknife() {
    let panel = Panel { units: 150, periods: 4, ..Panel::default() }.simulate();
    assert_jackknife(&panel, "--xformla '~ x1' --weightsname w", "id", 0.08);
    assert_jackknife(&panel, "--est-method reg --xformla '~ xt' --control-group notyettreated", "id", 0.08);
}

#[test]
fn clustered_standard_errors_against_the_jackknife() {
    let panel = Panel { units: 900, periods: 4, clusters: 60, ..Panel::default() }.simulate();
    assert_jackknife(&panel, "--xformla '~ x1' --est-method reg --clustervars cluster", "cluster", 0.08);
}

#[test]
fn standard_errors_of_other_kinds_against_the_jackknife() {
    let panel = Panel { units: 200, periods: 4, ..Panel::default() };
    let unbalanced = ragged(&panel.simulate(), 8, 6);
    let options = "--allow-unbalanced-panel true --est-method reg --xformla '~ x1' --weightsname w";
    assert_jackknife(&unbalanced, options, "id", 0.08);
    let panel = Panel { units: 300, periods: 4, ..Panel::default() };
    let options = "--pname eligible --base-period varying --est-method reg --xformla '~ x1'";
    assert_jackknife(&panel.simulate_triple(), options, "id", 0.08);
}

/// Rows of one cluster are left out together, in cross sections and unbalanced panels.
#[test]
fn clusters_of_other_kinds_against_the_jackknife() {
    let panel = Panel { units: 900, periods: 4, clusters: 60, ..Panel::default() };
    let holed = ragged(&panel.simulate_triple(), 8, 6);
    for kind in ["--panel false", "--allow-unbalanced-panel true"] {
        let options = format!("{kind} --base-period varying --clustervars cluster");
        assert_jackknife(&holed, &format!("{options} --est-method reg --xformla '~ x1'"), "cluster", 0.08);
        assert_jackknife(&holed, &format!("{options} --pname eligible"), "cluster", 0.08);
    }
}

/// What `--out` saved: draws Σ vΨ by column, and V = ΨᵀΨ/n, which is the covariance of a draw divided by n.
struct Saved {
    draws: Vec<Vec<f64>>,
    covariance: Rows,
    n: f64,
}

fn saved(path: &Path, options: &str) -> Saved {
    let folder = folder();
    let out = folder.path().join("result");
    estimate(path, &format!("{COLUMNS} {options} --out {}", path_str(&out))).success();
    let text = std::fs::read_to_string(out.join("result.json")).expect("the saved result");
    let result: Value = serde_json::from_str(&text).expect("the saved result as JSON");
    let draws = read_parquet(&out.join("draws.parquet"));
    Saved {
        draws: draws.columns().iter().map(numbers_of).collect(),
        covariance: rows(&result["extended"]["covariance"]),
        n: result["n"].as_f64().expect("n"),
    }
}

/// The draws' second moments estimate the covariance of the extended columns.
///
/// For B Gaussian draws the expected squared Frobenius error of a correlation matrix R of k columns is
/// (k² + ‖R‖²)/B at most; twice its root is allowed. Two-point draws have no heavier tails.
#[test]
fn covariance_of_draws_converges() {
    const DRAWS: usize = 4000;
    let folder = folder();
    let path = clustered_panel(folder.path());
    for options in [
        "",
        "--multiplier mammen --weightsname w",
        "--clustervars state",
        "--clustervars state --multiplier mammen --base-period universal",
        "--clustervars state,industry",
    ] {
        let saved = saved(&path, &format!("--xformla '~ x1' --biters {DRAWS} {options}"));
        assert_eq!(
            saved.draws.len(),
            saved.covariance.len(),
            "{options}: one column of draws an extended column"
        );
        assert!(saved.draws.iter().all(|column| column.len() == DRAWS), "{options}: {DRAWS} draws");
        let varying: Vec<usize> =
            (0..saved.covariance.len()).filter(|&i| saved.covariance[i][i] > 1e-12).collect();
        let sd: Vec<f64> = varying.iter().map(|&i| saved.covariance[i][i].sqrt()).collect();
        let correlations = |moments: &Rows, n: f64| -> Rows {
            let scaled =
                |(i, row): (usize, &Vec<f64>)| row.iter().zip(&sd).map(|(v, s)| v / n / s / sd[i]).collect();
            block(moments, &varying).iter().enumerate().map(scaled).collect()
        };
        let expected = correlations(&saved.covariance, 1.0);
        let found = correlations(&second_moments(&saved.draws), saved.n);
        let error = frobenius(&add(&found, -1.0, &expected));
        let k = varying.len() as f64;
        let allowed = 2.0 * ((k * k + frobenius(&expected).powi(2)) / DRAWS as f64).sqrt();
        assert!(error <= allowed, "{options}: the draws' correlations are {error} off, allowed {allowed}");
    }
}

/// On a large sample all multipliers and the analytic formula give one standard error.
#[test]
fn multipliers_agree_with_the_analytic_formula() {
    const DRAWS: f64 = 4000.0;
    let folder = folder();
    let panel = Panel { units: 6000, periods: 5, clusters: 600, ..Panel::default() };
    let path = panel.write(folder.path(), "panel");
    for clusters in ["", "--clustervars cluster"] {
        let options = format!("{COLUMNS} --xformla '~ x1' {clusters}");
        let analytic =
            estimates_of(&estimate(&path, &format!("{options} --bstrap false")).success().json(), "se");
        let drawn = |multiplier: &str| {
            let options = format!("{options} --biters {DRAWS} --multiplier {multiplier}");
            estimates_of(&estimate(&path, &options).success().json(), "se")
        };
        let (mammen, rademacher) = (drawn("mammen"), drawn("rademacher"));
        for (i, &analytic) in analytic.iter().enumerate() {
            let one_sided = MONTE_CARLO_SDS * IQR_SE_SD / DRAWS.sqrt();
            assert_close(&format!("Mammen {clusters} [{i}]"), mammen[i], analytic, one_sided, 0.0);
            assert_close(&format!("Rademacher {clusters} [{i}]"), rademacher[i], analytic, one_sided, 0.0);
            assert_close(
                &format!("one another {clusters} [{i}]"),
                mammen[i],
                rademacher[i],
                bootstrap_se(DRAWS),
                0.0,
            );
        }
    }
}

/// The critical value lies between the pointwise one and Bonferroni's, and rises with the level.
#[test]
fn critical_values_are_ordered() {
    let path = data("panel_w");
    let crit = |options: &str| {
        let result = estimate(&path, &format!("{COLUMNS} --biters 2000 {options}")).success().json();
        result["crit"].as_f64().expect("a critical value")
    };
    let (ten, five, one) = (crit("--alp 0.1"), crit("--alp 0.05"), crit("--alp 0.01"));
    assert!(ten < five && five < one, "{ten} {five} {one}");
    // 21 cells: Bonferroni's 5 % value is 3.04; the bootstrap's is below it but for Monte-Carlo error.
    assert!(1.96 < five && five < 3.2, "{five}");
    assert_close("pointwise", crit("--cband false"), 1.959_963_984_540_054, 1e-12, 0.0);
    assert_close("pointwise", crit("--cband false --alp 0.1"), 1.644_853_626_951_472_6, 1e-12, 0.0);
}

#[test]
fn seeds_change_draws_and_nothing_else() {
    let run = |seed: u64| {
        estimate(&data("panel_w"), &format!("{COLUMNS} --biters 500 --seed {seed}")).success().json()
    };
    let (a, b) = (run(1), run(2));
    assert_eq!(run(1), a);
    assert_eq!(a["att_gt"]["att"], b["att_gt"]["att"]);
    assert_eq!(a["vcov"], b["vcov"]);
    assert_ne!(a["att_gt"]["se"], b["att_gt"]["se"]);
}
