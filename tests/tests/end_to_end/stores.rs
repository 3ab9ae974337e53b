//! A run from a prepared store prints the bytes of the run on the files, for every kind of data, layout and cut of the
//! preparation, whether the store fits in memory or is read shard by shard.

use std::path::Path;

use arrow_array::RecordBatch;
use stagger_test_support::panels::{Panel, ragged};
use stagger_test_support::tables::{floats, numbers, read_parquet, with_column};
use stagger_tests::bench::{Bench, assert_same};
use stagger_tests::cli::estimate;
use stagger_tests::golden::data;
use stagger_tests::stores::{prepare, shards};

const COLUMNS: &str = "--yname y --tname time --gname group --biters 100 --bstrap true";
/// No store fits in this, so that it is read shard by shard; preparing takes what it needs at least.
const STREAMED: &str = "--memory-limit 16MB";

struct Subject {
    label: &'static str,
    bench: Bench,
    is_panel: bool,
}

fn subject(label: &'static str, table: RecordBatch, is_panel: bool, options: &[&str]) -> Subject {
    let options = options.iter().map(|options| format!("{COLUMNS} {options}")).collect();
    Subject { label, bench: Bench::new(table, options), is_panel }
}

fn small() -> Vec<Subject> {
    let table = |name: &str| read_parquet(&data(name));
    vec![
        subject(
            "panel",
            table("panel_w"),
            true,
            &[
                "--idname id --xformla '~ x1 + factor(x3)' --weightsname w --clustervars state",
                "--idname id --xformla '~ log(x1 + 10) + x2' --est-method ipw --control-group notyettreated",
                "--idname id --weightsname wt_tv --fix-weights varying --xformla '~ x1'",
            ],
        ),
        subject(
            "unbalanced",
            table("panel_unbal"),
            true,
            &[
                "--idname id --allow-unbalanced-panel true --xformla '~ x1 + x2' --weightsname w",
                "--idname id --xformla '~ x1'",
            ],
        ),
        subject(
            "cross sections",
            table("rc_w"),
            false,
            &["--panel false --xformla '~ x1 + factor(x3)' --weightsname w --clustervars state"],
        ),
        subject(
            "ddd",
            table("ddd_w"),
            true,
            &["--idname id --pname partition --xformla '~ x1 + x2' --weightsname w --cluster state"],
        ),
        subject(
            "ddd, cross sections",
            table("ddd_w"),
            false,
            &["--panel false --pname partition --xformla '~ x1'"],
        ),
    ]
}

fn large() -> Vec<Subject> {
    let cohorts = vec![0, 3, 0, 4, 0, 5];
    let panel = Panel { units: 40_000, periods: 6, cohorts, clusters: 150, seed: 7 };
    let (double, triple) = (panel.simulate(), panel.simulate_triple());
    vec![
        subject(
            "large panel",
            double.clone(),
            true,
            &[
                "--idname id --xformla '~ x1 + xt' --weightsname w --clustervars cluster",
                "--idname id --xformla '~ x1 + x2'",
            ],
        ),
        subject(
            "large unbalanced",
            ragged(&double, 9, 2),
            true,
            &["--idname id --allow-unbalanced-panel true --xformla '~ x1 + xt'"],
        ),
        subject(
            "large cross sections",
            double,
            false,
            &["--panel false --xformla '~ x1 + xt' --weightsname w"],
        ),
        subject(
            "large ddd",
            triple,
            true,
            &["--idname id --pname eligible --xformla '~ x1' --control-group notyettreated"],
        ),
    ]
}

/// Prepares with several cuts; every run from the store prints what the files do.
fn assert_stores_agree(subject: &Subject, variants: &[(String, std::path::PathBuf)], cuts: &[&str]) {
    for (index, options) in subject.bench.options.iter().enumerate() {
        let expected = estimate(&subject.bench.plain(), options).success().stdout;
        let mut first = None;
        for (number, (label, path)) in variants.iter().enumerate() {
            for (cut, more) in cuts.iter().enumerate() {
                let label = format!("{}, {label}, {more}: {options}", subject.label);
                let store = subject.bench.path().join(format!("store-{index}-{number}-{cut}"));
                prepare(path, options, &store, more).success();
                for knobs in ["", STREAMED, "--memory-limit 16MB --threads 3 --n-partitions 2"] {
                    let found = estimate(&store, &format!("{options} {knobs}")).success().stdout;
                    assert_same(&format!("{label} {knobs}"), &expected, &found);
                }
                let own = shards(&store);
                assert!(*first.get_or_insert_with(|| own.clone()) == own, "{label}: other shards");
                std::fs::remove_dir_all(&store).expect("the store can be removed");
            }
        }
    }
}

fn variants(subject: &Subject) -> Vec<(String, std::path::PathBuf)> {
    let mut out = if subject.is_panel { subject.bench.orders_and_cuts() } else { subject.bench.cuts() };
    out.extend(subject.bench.row_groups(&[7]));
    out
}

#[test]
fn stores_of_small_tables() {
    for subject in small() {
        assert_stores_agree(&subject, &variants(&subject), &["", "--n-partitions 4 --threads 2"]);
    }
}

#[test]
fn stores_of_large_tables() {
    for subject in large() {
        let plain = vec![("plain".to_owned(), subject.bench.plain())];
        assert_stores_agree(
            &subject,
            &plain,
            &["", "--n-partitions 16 --threads 3", "--n-partitions 1 --threads 1"],
        );
        let mut other = if subject.is_panel { subject.bench.orders_and_cuts() } else { subject.bench.cuts() };
        other.truncate(3);
        assert_stores_agree(&subject, &other, &["--n-partitions 8"]);
    }
}

/// Input beyond the limit is prepared by itself, and found the next time.
#[test]
fn input_beyond_the_limit_is_prepared() {
    for subject in small() {
        let stores = subject.bench.path().join("stores");
        for options in &subject.bench.options {
            let plain = subject.bench.plain();
            let expected = estimate(&plain, options).success().stdout;
            let limited = format!("{options} {STREAMED} --store-dir {}", stores.display());
            let first = estimate(&plain, &limited).success();
            assert_same(&format!("{}: {options}", subject.label), &expected, &first.stdout);
            assert!(first.stderr.contains("note: the input is prepared first, in `"), "{}", first.stderr);
            let second = estimate(&plain, &limited).success();
            assert_same(&format!("{} again: {options}", subject.label), &expected, &second.stdout);
            assert!(second.stderr.contains("note: reading the prepared store `"), "{}", second.stderr);
        }
    }
}

/// Columns whose names a shard has for its own: a variable by period, the identifier, what says which rows are there.
#[test]
fn names_that_a_shard_has_too() {
    let cohorts = vec![0, 3, 4];
    let mut table = Panel { units: 600, periods: 5, cohorts, clusters: 20, seed: 5 }.simulate();
    for (name, like) in
        [("xt@2", "x1"), ("@present@1", "x2"), ("@row", "x1"), ("cluster@cluster", "x2"), ("y@3", "x2")]
    {
        table = with_column(&table, name, floats(numbers(&table, like)));
    }
    let table = ragged(&table, 9, 2);
    let names = "`xt@2` + `@present@1` + xt";
    let subjects = [
        subject(
            "panel",
            table.clone(),
            true,
            &[
                &format!("--idname id --allow-unbalanced-panel true --xformla '~ {names}'"),
                "--idname id --xformla '~ `y@3` + id' --clustervars cluster --weightsname w",
                "--idname id --xformla '~ cluster + `cluster@cluster`' --clustervars cluster",
            ],
        ),
        subject(
            "cross sections",
            table,
            false,
            &["--panel false --xformla '~ `@row` + id' --clustervars cluster"],
        ),
    ];
    for subject in subjects {
        let plain = vec![("plain".to_owned(), subject.bench.plain())];
        assert_stores_agree(&subject, &plain, &["--n-partitions 4"]);
    }
}

/// A place belongs to one preparation, and what else lies there is left alone.
#[test]
fn places_are_not_shared() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, store) = simple(folder.path());
    let taken = folder.path().join("taken");
    std::fs::create_dir_all(taken.join("work")).expect("a folder");
    std::fs::write(taken.join("work/mine.txt"), "mine").expect("written");
    let refused = prepare(&data("panel_w"), SIMPLE, &taken, "");
    assert_fails(&refused, 2, &["holds no store, but work"]);
    assert_eq!(std::fs::read_to_string(taken.join("work/mine.txt")).expect("still there"), "mine");
    let other = folder.path().join("other");
    std::fs::create_dir_all(other.join("_prepare")).expect("a folder");
    std::fs::write(other.join("_prepare/under-way.json"), "{\"fingerprint\":\"another\"}\n")
        .expect("written");
    let refused = prepare(&data("panel_w"), SIMPLE, &other, "");
    assert_fails(&refused, 2, &["a store of other inputs or other columns is under way"]);
    assert_fails(&estimate(&other, SIMPLE), 2, &["is not finished"]);
    let shard = store.join(shards(&store).keys().next().expect("a shard"));
    assert_fails(&estimate(&shard, SIMPLE), 2, &["is a shard of a prepared store"]);
    assert_fails(&estimate(folder.path(), SIMPLE), 2, &["manifest.json", "seems to be a prepared store"]);
}

/// A duplicate is named with its file and row, whether units are put together first or not.
#[test]
fn duplicates_are_placed() {
    let table = read_parquet(&data("panel_w"));
    let twice = arrow_select::concat::concat_batches(&table.schema(), [&table, &table.slice(33, 1)])
        .expect("a table");
    let bench = Bench::new(twice, Vec::new());
    let direct = estimate(&bench.plain(), SIMPLE);
    assert_fails(&direct, 2, &["duplicate rows", "(the second is row", "plain.parquet"]);
    for (label, path) in bench.orders_and_cuts() {
        let direct = estimate(&path, SIMPLE);
        let prepared = prepare(&path, SIMPLE, &bench.path().join("never"), "");
        assert_fails(&prepared, 2, &["duplicate rows", "(the second is row"]);
        assert_eq!(direct.stderr, prepared.stderr, "{label}");
        assert!(!bench.path().join("never/_prepare").exists(), "{label}: scratch is left");
    }
}

fn assert_fails(output: &stagger_tests::cli::Output, code: i32, says: &[&str]) {
    assert_eq!(output.code, Some(code), "{}\n{}", output.line, output.stderr);
    for part in says {
        assert!(output.stderr.contains(part), "`{}` does not say `{part}`:\n{}", output.line, output.stderr);
    }
}

const SIMPLE: &str = "--yname y --tname time --gname group --idname id --xformla '~ x1' --bstrap false";

/// A panel and its store.
fn simple(folder: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    let (panel, store) = (data("panel_w"), folder.join("store"));
    prepare(&panel, SIMPLE, &store, "").success();
    (panel, store)
}

/// What a store knows need not be said; what it lacks is named.
#[test]
fn stores_fill_in_and_refuse() {
    let folder = tempfile::tempdir().expect("a folder");
    let (panel, store) = simple(folder.path());
    let expected = estimate(&panel, SIMPLE).success().stdout;
    let found = estimate(&store, "--xformla '~ x1' --bstrap false").success().stdout;
    assert_same("columns left out", &expected, &found);
    let lacks = estimate(&store, "--xformla '~ x2'");
    assert_fails(&lacks, 2, &["was prepared without `x2`", "hint: it has y, x1"]);
    let other = estimate(&store, "--gname state");
    assert_fails(&other, 2, &["gname is state, but the store", "was prepared with gname group"]);
    let again = prepare(&panel, SIMPLE, &store, "").success();
    assert!(again.stderr.contains("was there already"), "{}", again.stderr);
    let folder = panel.parent().expect("a folder");
    let within = prepare(folder, SIMPLE, &folder.join("store"), "");
    assert_fails(&within, 2, &["lies within the input", "choose a place beside the input"]);
    let others = prepare(&panel, &SIMPLE.replace("x1", "x2"), &store, "");
    assert_fails(&others, 2, &["holds a panel of other inputs or other columns"]);
}

/// Damage is found by `--verify`, and by a run that reads it.
#[test]
fn damaged_stores() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, store) = simple(folder.path());
    let verify = |store: &Path| {
        let mut all = stagger_tests::cli::command();
        stagger_tests::cli::finish(all.arg("prepare").arg(store).arg("--verify"))
    };
    assert!(verify(&store).success().stdout.contains("is whole: 1 shard"));
    let shard = store.join(shards(&store).keys().next().expect("a shard"));
    let bytes = std::fs::read(&shard).expect("a shard");
    let mut wrong = bytes.clone();
    wrong[bytes.len() / 3] ^= 1;
    std::fs::write(&shard, &wrong).expect("written");
    assert_fails(&verify(&store), 1, &["is damaged", "has checksum", "the manifest says"]);
    assert_fails(&estimate(&store, SIMPLE), 1, &["is damaged: the checksum of its column", "does not fit"]);
    std::fs::write(&shard, &bytes[..bytes.len() - 9]).expect("written");
    assert_fails(&verify(&store), 1, &["bytes, the manifest says"]);
    std::fs::remove_file(&shard).expect("removed");
    assert_fails(&verify(&store), 1, &["is missing"]);
    let manifest = store.join("manifest.json");
    let text = std::fs::read_to_string(&manifest).expect("a manifest");
    std::fs::write(&manifest, text.replace("\"format\":1", "\"format\":9")).expect("written");
    assert_fails(&estimate(&store, SIMPLE), 2, &["has format 9, this version reads format 1"]);
    std::fs::write(&manifest, text.replace("\"units\":", "\"units\":1")).expect("written");
    assert_fails(&estimate(&store, SIMPLE), 2, &["its checksum does not fit"]);
}
