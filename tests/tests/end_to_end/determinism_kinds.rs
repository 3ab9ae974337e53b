//! The same bits from cross sections, unbalanced panels, varying weights and triple differences, whatever the threads
//! and the cut into files and row groups; from panels whatever the order of rows too. Cross sections have no units to
//! order rows by: there the order is that of the files by name, and of the rows in them.

use std::path::PathBuf;

use arrow_array::RecordBatch;
use stagger_test_support::panels::{Panel, ragged};
use stagger_test_support::tables::read_parquet;
use stagger_tests::bench::{Bench, assert_same};
use stagger_tests::cli::{self, command, estimate, estimate_args};
use stagger_tests::golden::data;
use stagger_tests::layouts::{csv, encodings, written};

const COLUMNS: &str = "--yname y --tname time --gname group --biters 200 --bstrap true";
const ID: &str = "--idname id";
const PNAME: &str = "--pname partition";
const SECTIONS: &str = "--panel false";
const UNBALANCED: &str = "--idname id --allow-unbalanced-panel true";

/// What a kind of data is called, and whether the order of rows counts.
struct Subject {
    label: &'static str,
    bench: Bench,
    is_panel: bool,
}

impl Subject {
    fn new(label: &'static str, table: RecordBatch, is_panel: bool, kind: &str, options: &[&str]) -> Self {
        let options = options.iter().map(|options| format!("{COLUMNS} {kind} {options}")).collect();
        Subject { label, bench: Bench::new(table, options), is_panel }
    }

    fn cuts_and_orders(&self) -> Vec<(String, PathBuf)> {
        let cuts = if self.is_panel { self.bench.orders_and_cuts() } else { self.bench.cuts() };
        cuts.into_iter().map(|(label, path)| (format!("{}, {label}", self.label), path)).collect()
    }
}

/// Weights, clusters, both control groups and base periods, over the methods.
const DOUBLE: [&str; 3] = [
    "--xformla '~ x1 + x2' --weightsname w --clustervars state",
    "--xformla '~ x1 + factor(x3)' --est-method ipw --control-group notyettreated --base-period universal",
    "--est-method reg --xformla '~ x1' --anticipation 1 --multiplier mammen",
];

const TRIPLE: [&str; 3] = [
    "--xformla '~ x1 + x2' --weightsname w --cluster state --control-group nevertreated",
    "--xformla '~ x1' --est-method ipw --control-group notyettreated --base-period varying",
    "--est-method reg --xformla '~ x2' --control-group notyettreated --multiplier rademacher --cluster state",
];

/// The reference panels, one subject a kind.
fn small() -> Vec<Subject> {
    let table = |name: &str| read_parquet(&data(name));
    let triple = |form: &str| format!("{PNAME} {form}");
    let varying = DOUBLE.map(|options| options.replace("--weightsname w", ""));
    vec![
        Subject::new("cross sections", table("rc_w"), false, SECTIONS, &DOUBLE),
        Subject::new("unbalanced", table("panel_unbal"), true, UNBALANCED, &DOUBLE),
        Subject::new(
            "varying weights",
            table("panel_w"),
            true,
            "--idname id --weightsname wt_tv --fix-weights varying",
            &[&varying[0], &varying[1], &varying[2]],
        ),
        Subject::new("ddd", table("ddd_w"), true, &triple(ID), &TRIPLE),
        Subject::new("ddd, unbalanced", table("ddd_unbal"), true, &triple(UNBALANCED), &TRIPLE),
        Subject::new("ddd, cross sections", table("ddd_w"), false, &triple(SECTIONS), &TRIPLE),
        Subject::new("ddd, two periods", table("ddd2_w"), true, &triple(ID), &TRIPLE[..1]),
    ]
}

/// Panels large enough for several shards and blocks.
fn large() -> Vec<Subject> {
    let cohorts = vec![0, 3, 0, 4, 0, 5];
    let panel = Panel { units: 20_000, periods: 6, cohorts, clusters: 150, seed: 7 };
    let (double, triple) = (panel.simulate(), panel.simulate_triple());
    let options = ["--xformla '~ x1 + xt' --weightsname w --clustervars cluster"];
    let later = ["--xformla '~ x1 + x2' --weightsname w --control-group notyettreated --pname eligible"];
    vec![
        Subject::new("large cross sections", double.clone(), false, SECTIONS, &options),
        Subject::new("large unbalanced", ragged(&double, 9, 2), true, UNBALANCED, &options),
        Subject::new("large ddd", triple.clone(), true, ID, &later),
        Subject::new("large ddd, unbalanced", ragged(&triple, 9, 2), true, UNBALANCED, &later),
        Subject::new("large ddd, cross sections", triple, false, SECTIONS, &later),
    ]
}

#[test]
fn threads() {
    for subject in small().into_iter().chain(large()) {
        subject.bench.assert_threads_agree();
    }
}

#[test]
fn order_and_cut() {
    for subject in small() {
        let mut variants = subject.cuts_and_orders();
        variants.extend(subject.bench.row_groups(&[1, 7, 1_000_000]));
        subject.bench.assert_all_equal(&variants);
    }
}

#[test]
fn order_and_cut_of_large_tables() {
    for subject in large() {
        let mut variants = subject.cuts_and_orders();
        variants.extend(subject.bench.row_groups(&[1000]));
        subject.bench.assert_all_equal(&variants);
    }
}

#[test]
fn encodings_of_files() {
    for subject in small() {
        let bench = &subject.bench;
        let mut variants = vec![("csv".to_owned(), csv(bench.path(), "rows", &bench.table))];
        for (label, properties) in encodings() {
            variants.push((label.to_owned(), written(bench.path(), label, &bench.table, properties)));
        }
        bench.assert_all_equal(&variants);
    }
}

#[test]
fn tasks_per_stage() {
    for subject in large() {
        let (plain, options) = (subject.bench.plain(), &subject.bench.options[0]);
        let expected = estimate(&plain, options).success().stdout;
        for knob in ["--n-partitions 1", "--n-partitions 5", "--max-cohorts 3"] {
            let found = estimate(&plain, &format!("{options} {knob}")).success().stdout;
            assert_same(&format!("{}, {knob}", subject.label), &expected, &found);
        }
    }
}

/// Without vector instructions; `determinism.rs` says which sets there are.
#[test]
fn vector_instructions() {
    for subject in small() {
        let plain = subject.bench.plain();
        for options in &subject.bench.options {
            let expected = estimate(&plain, options).success().stdout;
            let args = estimate_args(&plain, options);
            let portable = cli::finish(command().args(args).env("STAGGER_SIMD", "portable"));
            assert_same(&format!("portable: {options}"), &expected, &portable.success().stdout);
        }
    }
}
