//! The same rows give the same bits: whatever the threads, the order and cut of the files, the encodings and types of
//! columns, and the vector instructions of the processor. Compared is the whole `--json` line, with draws.

use std::path::{Path, PathBuf};

use arrow_array::ArrayRef;
use arrow_schema::DataType;
use stagger_test_support::panels::{COLUMNS, Panel};
use stagger_test_support::tables::{
    column, numbers, read_parquet, texts, with_column, with_values, write_parquet,
};
use stagger_tests::bench::{Bench, assert_same};
use stagger_tests::cli::{self, command, estimate, estimate_args, note, path_str};
use stagger_tests::compare::assert_all_close;
use stagger_tests::golden::data;
use stagger_tests::layouts::{csv, encodings, shuffled, split, typed, written};
use stagger_tests::tolerance::ROUNDING;

/// Specifications that reach different code: weights, clusters, time-varying covariates, factors, both control groups.
const SPECIFICATIONS: [&str; 3] = [
    "--xformla '~ x1 + xt' --weightsname w --clustervars state --biters 200",
    "--xformla '~ x1 + x2' --est-method ipw --control-group notyettreated --base-period universal \
     --clustervars state,industry --biters 200",
    "--xformla '~ factor(region) + x3' --est-method reg --weightsname wt_tv --fix-weights base_period \
     --multiplier mammen --biters 200 --anticipation 1",
];

/// A panel large enough for several shards and blocks, with a covariate that varies in time.
const LARGE: &str = "--xformla '~ x1 + x2 + xt' --weightsname w --biters 200";

/// The reference panel with weights, clusters and factors.
fn small() -> Bench {
    let options = SPECIFICATIONS.iter().map(|options| format!("{COLUMNS} {options}")).collect();
    Bench::new(read_parquet(&data("panel_w")), options)
}

fn large() -> Bench {
    let cohorts = vec![0, 3, 0, 4, 5, 0, 6];
    let panel = Panel { units: 20_000, periods: 6, cohorts, clusters: 150, seed: 7 };
    let options = ["nevertreated", "notyettreated"].map(|c| format!("{COLUMNS} {LARGE} --control-group {c}"));
    Bench::new(panel.simulate(), options.to_vec())
}

#[test]
fn threads() {
    small().assert_threads_agree();
    large().assert_threads_agree();
}

#[test]
fn tasks_per_stage() {
    let bench = large();
    let plain = bench.plain();
    let options = &bench.options[0];
    let expected = estimate(&plain, options).success().stdout;
    for knob in ["--n-partitions 1", "--n-partitions 5", "--max-cohorts 3"] {
        assert_same(knob, &expected, &estimate(&plain, &format!("{options} {knob}")).success().stdout);
    }
}

#[test]
fn order_and_cut_of_a_small_panel() {
    let bench = small();
    let mut variants = bench.orders_and_cuts();
    variants.extend(bench.row_groups(&[1, 7]));
    bench.assert_all_equal(&variants);
}

#[test]
fn order_and_cut_of_a_large_panel() {
    let bench = large();
    let mut variants = bench.orders_and_cuts();
    variants.extend(bench.row_groups(&[1000]));
    bench.assert_all_equal(&variants);
}

#[test]
fn globs_and_lists_of_files() {
    let bench = small();
    let files = split(bench.path(), "files", &bench.table, 3);
    let expected = estimate(&bench.plain(), &bench.options[0]).success().stdout;
    let glob = files.join("part-*.parquet");
    assert_same("glob", &expected, &estimate(&glob, &bench.options[0]).success().stdout);
    let mut args = estimate_args(&files.join("part-00002.parquet"), &bench.options[0]);
    for part in ["part-00000.parquet", "part-00001.parquet"] {
        args.insert(1, path_str(&files.join(part)).to_owned());
    }
    assert_same("three files by name", &expected, &cli::run(&args).success().stdout);
}

#[test]
fn encodings_of_files() {
    let bench = small();
    let variants: Vec<(String, PathBuf)> = encodings()
        .into_iter()
        .map(|(label, properties)| (label.to_owned(), written(bench.path(), label, &bench.table, properties)))
        .collect();
    bench.assert_all_equal(&variants);
}

#[test]
fn csv_equals_parquet() {
    let bench = small();
    bench.assert_all_equal(&[("csv".to_owned(), csv(bench.path(), "panel", &bench.table))]);
}

#[test]
fn types_of_ids_periods_groups_and_clusters() {
    let bench = small();
    let dictionary = |values: DataType| DataType::Dictionary(Box::new(DataType::Int32), Box::new(values));
    let keys = ["id", "time", "group", "state", "industry"];
    let mut variants = Vec::new();
    for to in [DataType::Int16, DataType::UInt32, DataType::Int32, DataType::Float32, DataType::Float64] {
        let types: Vec<(&str, DataType)> = keys.iter().map(|key| (*key, to.clone())).collect();
        variants.push((format!("keys as {to}"), typed(bench.path(), &to.to_string(), &bench.table, &types)));
    }
    let types = [("id", dictionary(DataType::Int64)), ("state", dictionary(DataType::Int64))];
    variants.push((
        "dictionaries of integers".to_owned(),
        typed(bench.path(), "dictionary", &bench.table, &types),
    ));
    bench.assert_all_equal(&variants);
}

/// String ids have hashes of their own, hence their own order of units: the bits may differ from those of integer ids,
/// but not between the ways to store a string.
#[test]
fn types_of_strings() {
    let mut bench = small();
    let integers = estimate(&bench.plain(), &bench.options[0]).success().json();
    for key in ["id", "state", "region"] {
        let names = texts(numbers(&bench.table, key).iter().map(|value| format!("{key} {value}")));
        bench.table = with_column(&bench.table, key, names);
    }
    bench.options[2] = bench.options[2].replace("factor(region)", "region");
    let mut variants = Vec::new();
    for (label, to) in [
        ("large", DataType::LargeUtf8),
        ("view", DataType::Utf8View),
        ("dictionary", DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))),
    ] {
        let types: Vec<(&str, DataType)> =
            ["id", "state", "region"].iter().map(|key| (*key, to.clone())).collect();
        variants.push((label.to_owned(), typed(bench.path(), label, &bench.table, &types)));
    }
    variants.push(("csv".to_owned(), csv(bench.path(), "strings", &bench.table)));
    bench.assert_all_equal(&variants);
    let strings = estimate(&bench.plain(), &bench.options[0]).success().json();
    assert_all_close("att", &strings["att_gt"]["att"], &integers["att_gt"]["att"], ROUNDING, 1.0);
}

/// 0, a missing cohort and an infinite one all mean: never treated.
#[test]
fn never_treated_in_every_spelling() {
    let bench = small();
    let groups = numbers(&bench.table, "group");
    let optional: ArrayRef = std::sync::Arc::new(arrow_array::Int64Array::from_iter(
        groups.iter().map(|&g| (g != 0.0).then_some(g as i64)),
    ));
    let missing = bench.path().join("missing.parquet");
    write_parquet(&missing, &with_column(&bench.table, "group", optional));
    let infinite = bench.path().join("infinite.parquet");
    write_parquet(
        &infinite,
        &with_values(&bench.table, "group", |_, g| if g == 0.0 { f64::INFINITY } else { g }),
    );
    bench.assert_all_equal(&[("infinite".to_owned(), infinite)]);
    // A missing cohort is told; nothing else is different.
    let without_warnings = |path: &Path| {
        let mut result = estimate(path, &bench.options[0]).success().json();
        result.as_object_mut().expect("an object").remove("warnings");
        result
    };
    assert_eq!(without_warnings(&missing), without_warnings(&bench.plain()));
}

/// Columns that the specification does not name are not read, whatever they hold.
#[test]
fn other_columns_do_not_matter() {
    let bench = small();
    let order = shuffled(&bench.table, 3);
    let noise = column(&order, "x2");
    let wider = with_column(&with_column(&bench.table, "noise", noise.clone()), "a b.c", noise);
    let path = bench.path().join("wider.parquet");
    write_parquet(&path, &wider);
    bench.assert_all_equal(&[("two more columns".to_owned(), path)]);
}

#[test]
fn vector_instructions() {
    for bench in [small(), large()] {
        let plain = bench.plain();
        for options in &bench.options {
            let expected = estimate(&plain, options).success().stdout;
            for set in instruction_sets() {
                let output =
                    cli::finish(command().args(estimate_args(&plain, options)).env("STAGGER_SIMD", set));
                assert_same(&format!("{set}: {options}"), &expected, &output.success().stdout);
            }
        }
    }
}

/// A name that is no instruction set is refused: the comparison above would otherwise compare nothing.
#[test]
fn unknown_vector_instructions_are_refused() {
    let args =
        estimate_args(&data("mpdta"), "--yname lemp --tname year --idname countyreal --gname first.treat");
    let output = cli::finish(command().args(args).env("STAGGER_SIMD", "abacus"));
    assert_eq!(output.code, Some(2), "{}", output.stderr);
    for word in ["error: ", "STAGGER_SIMD", "abacus", "avx2"] {
        assert!(output.stderr.contains(word), "the message lacks {word}: {}", output.stderr);
    }
}

/// The sets that can be forced on this processor.
fn instruction_sets() -> Vec<&'static str> {
    let mut sets = vec!["portable"];
    for (name, here) in [("avx2", has_avx2()), ("avx512", has_avx512())] {
        match here {
            true => sets.push(name),
            false => note(&format!("not tested: this processor has no {name}")),
        }
    }
    sets
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx2() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx512() -> bool {
    false
}
