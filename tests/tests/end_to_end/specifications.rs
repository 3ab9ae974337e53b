//! Many specifications in one run file: what they share of the data never shows in a result. Every line of a joint run is
//! that of its own run, byte by byte.

use std::fs;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use serde_json::Value;
use stagger_test_support::panels::{Panel, Random, ragged};
use stagger_test_support::tables::{floats, ints, numbers, texts, with_column, with_values, write_parquet};
use stagger_tests::bench::assert_same;
use stagger_tests::cli::{self, Output, path_str, words};
use tempfile::TempDir;

/// A table, and specifications of it: options by name.
struct Study {
    folder: TempDir,
    specs: Vec<(String, String)>,
}

impl Study {
    fn new(table: &RecordBatch, specs: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        write_parquet(&folder.path().join("panel.parquet"), table);
        let specs = specs.iter().map(|(name, options)| ((*name).to_owned(), (*options).to_owned())).collect();
        Study { folder, specs }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs all specifications together.
    fn together(&self, flags: &str) -> Output {
        let tables = self.specs.iter().map(|(name, options)| table_of(name, options));
        let common = "data = 'panel.parquet'\ntname = 'time'\ngname = 'group'\n";
        let study = self.path("study.toml");
        fs::write(&study, format!("{common}{}", tables.collect::<String>())).expect("a small file");
        let args = [vec!["run".to_owned(), path_str(&study).to_owned(), "--json".to_owned()], words(flags)];
        cli::run(&args.concat())
    }

    /// The line that a specification's own run prints, with its name.
    fn own(&self, name: &str, options: &str) -> String {
        let options = format!("--tname time --gname group {options} --threads 1");
        let output = cli::estimate(&self.path("panel.parquet"), &options).success();
        assert_eq!(output.stdout.matches('\n').count(), 1, "{name}: one line");
        output.stdout.replacen('{', &format!("{{\"spec\":\"{name}\","), 1)
    }

    /// Every line is that of its own run, whatever the threads and the tasks a stage.
    #[track_caller]
    fn assert_own_runs(&self) {
        let expected: Vec<String> =
            self.specs.iter().map(|(name, options)| self.own(name, options)).collect();
        for flags in [
            "--threads 1 --n-partitions 1",
            "--threads 1 --n-partitions 3",
            "--threads 2 --n-partitions 1",
            "--threads 2 --n-partitions 3",
            "--threads 2 --max-cohorts 3",
        ] {
            let found = self.together(flags).success().stdout;
            assert_eq!(found.lines().count(), expected.len(), "{flags}: lines");
            for (expected, found) in expected.iter().zip(found.lines()) {
                assert_same(flags, expected, &format!("{found}\n"));
            }
        }
    }
}

/// A `[[spec]]` table of options: flags as keys, true, false and whole numbers as they are, the rest in quotes.
fn table_of(name: &str, options: &str) -> String {
    let mut text = format!("[[spec]]\nname = '{name}'\n");
    let words = words(options);
    assert!(words.len().is_multiple_of(2), "{name}: every option has a value");
    for pair in words.chunks(2) {
        let key = pair[0].trim_start_matches("--").replace('-', "_");
        let bare = pair[1].parse::<f64>().is_ok() || ["true", "false"].contains(&pair[1].as_str());
        let value = if bare { pair[1].clone() } else { format!("\"{}\"", pair[1]) };
        text.push_str(&format!("{key} = {value}\n"));
    }
    text
}

/// A panel with eligibility whose columns miss values in different rows: `y` has all; `y2` and `y3` miss as many, each
/// of other units of the same cohorts; `x2` and `w2` miss others; `firm` is another identity of the units, `code` one in
/// words.
fn holed(panel: &Panel) -> RecordBatch {
    let table = panel.simulate_triple();
    let cohorts = panel.cohorts.len();
    let id = numbers(&table, "id");
    let unit = |row: usize| id[row] as usize - 1;
    let missing = |every: usize, first: usize| {
        let id = id.clone();
        move |row: usize| (id[row] as usize - 1) / cohorts % every == first && row.is_multiple_of(3)
    };
    let (first, second, third, fourth) = (missing(9, 1), missing(9, 2), missing(11, 3), missing(13, 5));
    let y = numbers(&table, "y");
    let mut random = Random::new(panel.seed + 1);
    let noise: Vec<f64> = y.iter().map(|_| random.normal()).collect();
    let holed = |name: &str, gone: &dyn Fn(usize) -> bool| {
        let values = numbers(&table, name).into_iter().enumerate();
        floats(values.map(|(row, value)| if gone(row) { f64::NAN } else { value }))
    };
    let others = [("y2", holed("y", &first)), ("y3", holed("y", &second)), ("x2", holed("x2", &third))];
    let weights = ("w2", holed("w", &fourth));
    let noisy = ("y4", floats(y.iter().zip(&noise).map(|(y, z)| y + 0.1 * z)));
    let table = others
        .into_iter()
        .chain([weights, noisy])
        .fold(table.clone(), |table, (name, values)| with_column(&table, name, values));
    let table = with_values(&table, "w2", |row, w| w * (1.0 + 0.3 * noise[row].abs()));
    let firms = (0..id.len()).map(|row| 7 * (panel.units - unit(row)) as i64);
    let table = with_column(&table, "firm", ints(firms));
    let codes: Vec<String> = (0..id.len()).map(|row| format!("u{:05}", panel.units - unit(row))).collect();
    with_column(&table, "code", texts(codes))
}

fn small() -> Panel {
    Panel { units: 600, cohorts: vec![0, 3, 4, 5], ..Panel::default() }
}

/// Outcomes, formulas, methods, designs, weights and inference of balanced panels.
const BALANCED: [(&str, &str); 36] = [
    ("plain", "--yname y --idname id --biters 60"),
    ("twin", "--yname y --idname id --biters 60"),
    ("seed", "--yname y --idname id --biters 60 --seed 7"),
    ("more draws", "--yname y --idname id --biters 200"),
    ("mammen", "--yname y --idname id --biters 60 --multiplier mammen"),
    ("analytic", "--yname y --idname id --bstrap false"),
    ("covariate", "--yname y --idname id --xformla '~ x1' --biters 60"),
    ("weighting", "--yname y --idname id --xformla '~ x1' --est-method ipw --bstrap false"),
    ("regression", "--yname y --idname id --xformla '~ x1' --est-method reg --bstrap false"),
    ("diagnosed", "--yname y --idname id --xformla '~ x1' --diagnostics true --bstrap false"),
    ("other outcome", "--yname y4 --idname id --xformla '~ x1' --biters 60"),
    ("holes", "--yname y2 --idname id --xformla '~ x1' --biters 60"),
    ("as many holes", "--yname y3 --idname id --xformla '~ x1' --biters 60"),
    ("holes diagnosed", "--yname y3 --idname id --xformla '~ x1' --bstrap false --diagnostics true"),
    ("holes in x", "--yname y --idname id --xformla '~ x1 + x2' --biters 60"),
    ("holes in both", "--yname y2 --idname id --xformla '~ x2 + x1' --est-method ipw --bstrap false"),
    ("time-varying", "--yname y --idname id --xformla '~ xt' --bstrap false"),
    (
        "time-varying universal",
        "--yname y --idname id --xformla '~ xt' --base-period universal --bstrap false",
    ),
    ("square", "--yname y --idname id --xformla '~ x1 + I(x1^2)' --bstrap false"),
    ("factor", "--yname y --idname id --xformla '~ factor(industry)' --est-method reg --biters 60"),
    ("product", "--yname y3 --idname id --xformla '~ x1 * x2' --est-method reg --bstrap false"),
    ("later controls", "--yname y --idname id --xformla '~ x1' --control-group notyettreated --biters 60"),
    ("universal", "--yname y --idname id --xformla '~ x1' --base-period universal --bstrap false"),
    ("anticipation", "--yname y --idname id --xformla '~ x1' --anticipation 1 --biters 60"),
    ("weights", "--yname y --idname id --xformla '~ x1' --weightsname w --biters 60"),
    ("holed weights", "--yname y --idname id --xformla '~ x1' --weightsname w2 --bstrap false"),
    (
        "first weights",
        "--yname y --idname id --xformla '~ x1' --weightsname w2 --fix-weights first_period --bstrap false",
    ),
    (
        "base weights",
        "--yname y --idname id --xformla '~ x1' --weightsname w2 --fix-weights base_period --bstrap false",
    ),
    (
        "varying weights",
        "--yname y --idname id --xformla '~ x1' --weightsname w2 --fix-weights varying --biters 60",
    ),
    ("clusters", "--yname y --idname id --clustervars cluster --biters 60"),
    ("industries", "--yname y --idname id --clustervars industry --biters 60"),
    ("clusters of holes", "--yname y2 --idname id --clustervars cluster --biters 60"),
    ("cluster ses", "--yname y --idname id --xformla '~ x1' --clustervars cluster --bstrap false"),
    ("pointwise", "--yname y --idname id --biters 60 --cband false --alp 0.1"),
    ("window", "--yname y --idname id --biters 60 --min-e -1 --max-e 1"),
    ("no holes allowed", "--yname y --idname id --allow-unbalanced-panel true --biters 60"),
];

#[test]
fn balanced_panels() {
    Study::new(&holed(&small()), &BALANCED).assert_own_runs();
}

/// Kinds of data side by side: panels, unbalanced ones, cross sections, triple differences.
const KINDS: [(&str, &str); 21] = [
    ("panel", "--yname y --idname id --xformla '~ x1' --biters 60"),
    ("unbalanced", "--yname y --idname id --xformla '~ x1' --allow-unbalanced-panel true --biters 60"),
    ("unbalanced holes", "--yname y2 --idname id --xformla '~ x1' --allow-unbalanced-panel true --biters 60"),
    ("unbalanced other", "--yname y3 --idname id --xformla '~ x1' --allow-unbalanced-panel true --biters 60"),
    (
        "unbalanced ipw",
        "--yname y2 --idname id --xformla '~ x1' --allow-unbalanced-panel true --est-method ipw --bstrap false --diagnostics true",
    ),
    (
        "unbalanced reg",
        "--yname y2 --idname id --xformla '~ x1' --allow-unbalanced-panel true --est-method reg --clustervars cluster --biters 60",
    ),
    (
        "unbalanced w",
        "--yname y --idname id --weightsname w2 --allow-unbalanced-panel true --control-group notyettreated --bstrap false",
    ),
    ("sections", "--yname y --panel false --xformla '~ x1' --biters 60"),
    ("sections with id", "--yname y --panel false --idname id --xformla '~ x1' --biters 60"),
    ("sections holes", "--yname y2 --panel false --xformla '~ x1' --biters 60"),
    ("sections other", "--yname y3 --panel false --xformla '~ x1' --est-method ipw --bstrap false"),
    (
        "sections clustered",
        "--yname y --panel false --xformla '~ x2' --clustervars cluster --base-period universal --biters 60",
    ),
    ("triple", "--yname y --idname id --pname eligible --xformla '~ x1' --bstrap true --biters 60"),
    ("triple reg", "--yname y --idname id --pname eligible --xformla '~ x1' --est-method reg"),
    (
        "triple later",
        "--yname y2 --idname id --pname eligible --xformla '~ x1' --control-group notyettreated --diagnostics true",
    ),
    (
        "triple earlier",
        "--yname y3 --idname id --pname eligible --xformla '~ x1' --control-group notyettreated --diagnostics true",
    ),
    ("triple weights", "--yname y --idname id --pname eligible --weightsname w --clustervars cluster"),
    (
        "triple unbalanced",
        "--yname y2 --idname id --pname eligible --xformla '~ x1' --allow-unbalanced-panel true",
    ),
    ("triple sections", "--yname y2 --panel false --pname eligible --xformla '~ x1' --base-period varying"),
    ("firms", "--yname y --idname firm --xformla '~ x1' --biters 60"),
    ("codes", "--yname y2 --idname code --xformla '~ x1' --biters 60"),
];

#[test]
fn kinds_of_data() {
    Study::new(&holed(&small()), &KINDS).assert_own_runs();
}

#[test]
fn kinds_of_ragged_data() {
    Study::new(&ragged(&holed(&Panel { units: 1500, ..small() }), 25, 3), &KINDS).assert_own_runs();
}

/// Several shards and blocks, and the order in which specifications stand.
#[test]
fn large_panels_in_both_orders() {
    let large = Panel { units: 20_000, periods: 4, cohorts: vec![0, 3, 0, 4], clusters: 150, seed: 3 };
    let mut study = Study::new(&holed(&large), &[]);
    let chosen = [
        "plain",
        "seed",
        "more draws",
        "mammen",
        "covariate",
        "weighting",
        "other outcome",
        "holes",
        "as many holes",
        "holes in x",
        "anticipation",
        "weights",
        "clusters",
        "industries",
        "clusters of holes",
    ];
    let options = BALANCED.iter().filter(|(name, _)| chosen.contains(name));
    study.specs = options.map(|(name, options)| ((*name).to_owned(), (*options).to_owned())).collect();
    assert_eq!(study.specs.len(), chosen.len());
    let lines = |study: &Study| -> Vec<String> {
        study.together("--threads 2").success().stdout.lines().map(str::to_owned).collect()
    };
    let forward = lines(&study);
    for ((name, options), line) in study.specs.iter().zip(&forward) {
        assert_same(name, &study.own(name, options), &format!("{line}\n"));
    }
    study.specs.reverse();
    let mut backward = lines(&study);
    backward.reverse();
    for (forward, backward) in forward.iter().zip(&backward) {
        assert_same("in the other order", forward, backward);
    }
}

/// `note: N specifications shared the data: A passes instead of B`: A and B.
#[track_caller]
fn passes(output: &Output, specs: usize) -> (usize, usize) {
    let lead = format!("note: {specs} specifications shared the data: ");
    let line = output.stderr.lines().find_map(|line| line.strip_prefix(&lead));
    let line = line.unwrap_or_else(|| panic!("`{}` tells of no saving:\n{}", output.line, output.stderr));
    let numbers: Vec<usize> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert_eq!((numbers.len(), line.contains(" instead of ")), (2, true), "{line}");
    (numbers[0], numbers[1])
}

#[test]
fn saved_passes_are_told() {
    let study = |specs: &[(&str, &str)]| Study::new(&holed(&small()), specs);
    let plain = "--yname y --idname id --xformla '~ x1' --bstrap false";
    let (one, both) = passes(&study(&[("a", plain), ("b", plain)]).together("").success(), 2);
    assert_eq!(2 * one, both, "two equal specifications cost one");
    let three = study(&[("a", plain), ("b", plain), ("c", &plain.replace("yname y", "yname y2"))]);
    let (made, separate) = passes(&three.together("").success(), 3);
    assert!(one <= made && made < separate && separate > both, "{made} of {separate}, {one} of {both}");
    let all = study(&BALANCED);
    let output = all.together("").success();
    let (made, separate) = passes(&output, BALANCED.len());
    assert!(5 * made < separate, "{made} of {separate}");
    assert!(!output.stdout.contains("shared the data"), "notes go to stderr");
    // Each reads its own units: nothing to share, nothing to tell.
    let apart =
        study(&[("a", plain), ("b", &plain.replace("idname id", "idname firm"))]).together("").success();
    assert!(!apart.stderr.contains("shared the data"), "{}", apart.stderr);
    let alone = study(&[("a", plain)]).together("").success();
    assert!(!alone.stderr.contains("shared the data"), "{}", alone.stderr);
    let quiet = study(&[("a", plain), ("b", plain)]).together("--quiet true").success();
    assert_eq!(quiet.stderr, "");
}

const GOOD: &str = "--yname y --idname id --xformla '~ x1' --bstrap false";

/// Bad options, and what their error tells: refused before the data are read.
const SLIPS: [(&str, &[&str]); 7] = [
    ("--yname y --idname id --est-method drr", &["drr", "est_method"]),
    ("--yname y --idname id --anticipation -1", &["anticipation"]),
    ("--yname y --idname id --alp 2", &["alp"]),
    ("--yname y --idname id --biters 0", &["biters"]),
    ("--yname y --idname id --ynam y", &["ynam", "yname"]),
    ("--yname y --idname id --threads 2", &["threads"]),
    ("--yname y", &["idname"]),
];

/// Options that do not fit the data.
const MISFITS: [(&str, &[&str]); 12] = [
    ("--yname yy --idname id", &["yy", "yname"]),
    ("--yname y --idname nobody", &["nobody", "idname"]),
    ("--yname y --idname id --xformla '~ x1 + x9'", &["x9", "xformla"]),
    ("--yname y --idname id --xformla '~ x1 +'", &["xformla"]),
    ("--yname y --idname id --clustervars region", &["region", "clustervars"]),
    ("--yname y --idname id --weightsname ww", &["ww", "weightsname"]),
    ("--yname code --idname id", &["code", "yname"]),
    ("--yname y --idname time", &["cohort", "unit 1"]),
    ("--yname y --idname id --pname industry", &["industry", "pname"]),
    ("--yname y --idname id --weightsname x1", &["x1", "negative"]),
    ("--yname y --idname id --clustervars time", &["time", "unit 1"]),
    ("--yname y --idname id --anticipation 40", &["anticipation", "40"]),
];

/// Refused in any place among good ones, without a result of the others; `name` is in the error.
#[track_caller]
fn assert_refused(cases: &[(&str, &[&str])], name: &str) {
    let table = holed(&small());
    for (options, told) in cases {
        for place in 0..3 {
            let mut specs = vec![("first", GOOD), ("second", GOOD)];
            specs.insert(place, ("the odd one", options));
            let study = Study::new(&table, &specs);
            let saved = study.path("saved");
            let output = study.together(&format!("--out {}", path_str(&saved)));
            let stderr = &output.stderr;
            assert_eq!(output.code, Some(2), "{options}\n{stderr}");
            let error = stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
            assert!(error.contains(name), "{options}: the error lacks `{name}`:\n{stderr}");
            let lacking: Vec<_> = told.iter().filter(|word| !stderr.contains(**word)).collect();
            assert!(lacking.is_empty(), "{options}: the error lacks {lacking:?}:\n{stderr}");
            assert!(output.stdout.is_empty() && !saved.exists(), "{options}: a result is left");
        }
    }
}

#[test]
fn a_bad_specification_is_named() {
    assert_refused(&SLIPS, "[[spec]] the odd one");
}

#[test]
fn one_that_does_not_fit_the_data_is_refused() {
    assert_refused(&MISFITS, "");
}

#[test]
fn one_that_does_not_fit_the_data_is_named() {
    assert_refused(&MISFITS, "the odd one");
}

/// What the panels of this file are for: as many units of the same cohorts, but not the same ones.
#[test]
fn holes_are_as_many_in_other_units() {
    let named = |name: &str| *BALANCED.iter().find(|(own, _)| *own == name).expect("a specification");
    let study = Study::new(&holed(&small()), &["covariate", "holes", "as many holes"].map(named));
    let output = study.together("").success();
    let results: Vec<Value> =
        output.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(results[0]["n"].as_u64() > results[1]["n"].as_u64());
    assert_eq!(results[1]["n"], results[2]["n"]);
    assert_ne!(results[1]["att_gt"]["att"], results[2]["att_gt"]["att"]);
}

/// Each folder of `--out` holds what its own run saves.
#[test]
fn saved_results_are_those_of_own_runs() {
    let specs: Vec<(&str, &str)> = KINDS.into_iter().step_by(4).collect();
    let study = Study::new(&holed(&small()), &specs);
    let all = study.path("all");
    study.together(&format!("--out {}", path_str(&all))).success();
    for (name, options) in &specs {
        let alone = study.path("alone");
        study.own(name, &format!("{options} --out {}", path_str(&alone)));
        for file in ["result.json", "att_gt.csv", "aggte_dynamic.csv"] {
            let read = |folder: &Path| fs::read_to_string(folder.join(file)).expect("a saved file");
            assert_same(&format!("{name}, {file}"), &read(&alone), &read(&all.join(name)));
        }
    }
}
