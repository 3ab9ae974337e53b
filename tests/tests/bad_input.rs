//! Bad input is a named error or a counted drop: never a panic, never a wrong number, nothing half-written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch};
use arrow::compute::concat_batches;
use serde_json::Value;
use stagger_tests::cli::{self, Output, command, estimate, estimate_args, note, path_str, words};
use stagger_tests::compare::{entries, floats};
use stagger_tests::layouts::encodings;
use stagger_tests::panels::{COLUMNS, Panel};
use stagger_tests::tables::{
    column, floats as numbers_column, numbers, rows, rows_where, table, texts, with_column,
    with_values, without_column, write_parquet, write_parquet_with,
};
use tempfile::TempDir;

/// A panel to spoil, and the folder that it lies in.
struct Case {
    folder: TempDir,
    panel: RecordBatch,
}

impl Case {
    fn new() -> Self {
        Self::of(&Panel::default())
    }

    fn of(panel: &Panel) -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            panel: panel.simulate(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("panel.parquet")
    }

    /// Writes the changed panel and runs on it, with `--out`.
    fn run(&self, panel: &RecordBatch, options: &str) -> Output {
        write_parquet(&self.path(), panel);
        self.run_on(&self.path(), options)
    }

    fn run_on(&self, path: &Path, options: &str) -> Output {
        let mut args = estimate_args(path, &format!("{COLUMNS} {options}"));
        args.extend(["--out".to_owned(), path_str(&self.out()).to_owned()]);
        let output = cli::run(&args);
        assert!(
            !output.stderr.contains("panicked"),
            "`{}` panicked:\n{}",
            output.line,
            output.stderr
        );
        output
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("saved")
    }

    /// The changed panel is refused with a message that has all these words.
    #[track_caller]
    fn refused(&self, panel: &RecordBatch, options: &str, words: &[&str]) {
        self.assert_refused(&self.run(panel, options), 2, words);
    }

    #[track_caller]
    fn refused_path(&self, path: &Path, words: &[&str]) {
        self.assert_refused(&self.run_on(path, ""), 2, words);
    }

    #[track_caller]
    fn assert_refused(&self, output: &Output, code: i32, words: &[&str]) {
        let (line, stderr) = (&output.line, &output.stderr);
        assert_eq!(output.code, Some(code), "exit status of `{line}`\n{stderr}");
        assert!(
            stderr.starts_with("error: "),
            "`{line}` does not begin with an error:\n{stderr}"
        );
        let missing: Vec<&&str> = words
            .iter()
            .filter(|word| !stderr.contains(**word))
            .collect();
        assert!(
            missing.is_empty(),
            "the message of `{line}` lacks {missing:?}:\n{stderr}"
        );
        assert!(
            output.stdout.is_empty(),
            "`{line}` printed a result:\n{}",
            output.stdout
        );
        self.assert_nothing_written();
    }

    /// Neither the folder asked for nor a part of it under another name.
    #[track_caller]
    fn assert_nothing_written(&self) {
        let names: Vec<String> = fs::read_dir(self.folder.path())
            .expect("the test's own folder")
            .map(|entry| {
                entry
                    .expect("a readable entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .filter(|name| name.contains("saved"))
            .collect();
        assert!(names.is_empty(), "left behind: {names:?}");
    }
}

/// The warnings of a result, joined.
fn warnings(result: &Value) -> String {
    let lines = result["warnings"].as_array().cloned().unwrap_or_default();
    lines
        .iter()
        .filter_map(Value::as_str)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn missing_columns_come_with_the_closest_name() {
    let case = Case::new();
    write_parquet(&case.path(), &case.panel);
    for (options, words) in [
        (
            "--yname yy --tname time --idname id --gname group",
            ["yname", "`yy`", "panel.parquet", "`y`"],
        ),
        (
            "--yname y --tname tme --idname id --gname group",
            ["tname", "`tme`", "panel.parquet", "`time`"],
        ),
        (
            "--yname y --tname time --idname idd --gname group",
            ["idname", "`idd`", "panel.parquet", "`id`"],
        ),
        (
            "--yname y --tname time --idname id --gname grup",
            ["gname", "`grup`", "panel.parquet", "`group`"],
        ),
    ] {
        case.assert_refused(&estimate(&case.path(), options), 2, &words);
    }
    case.refused(
        &case.panel,
        "--weightsname ww",
        &["weightsname", "`ww`", "`w`"],
    );
    case.refused(
        &case.panel,
        "--clustervars clster",
        &["clustervars", "`clster`", "`cluster`"],
    );
    case.refused(
        &case.panel,
        "--xformla '~ x11'",
        &["xformla", "`x11`", "`x1`"],
    );
}

#[test]
fn wrong_types() {
    let case = Case::new();
    let words = || {
        texts(
            numbers(&case.panel, "y")
                .iter()
                .map(|y| format!("about {y}")),
        )
    };
    case.refused(
        &with_column(&case.panel, "y", words()),
        "",
        &["yname", "`y`", "Utf8"],
    );
    case.refused(
        &with_column(&case.panel, "time", words()),
        "",
        &["tname", "`time`", "Utf8"],
    );
    case.refused(
        &with_column(&case.panel, "group", words()),
        "",
        &["gname", "`group`", "Utf8"],
    );
    case.refused(
        &with_column(&case.panel, "w", words()),
        "--weightsname w",
        &["weightsname", "`w`", "Utf8"],
    );
    let days: ArrayRef = Arc::new(Date32Array::from_iter_values(
        numbers(&case.panel, "time").iter().map(|t| *t as i32),
    ));
    case.refused(
        &with_column(&case.panel, "time", days),
        "",
        &["tname", "`time`", "Date32"],
    );
}

#[test]
fn csv_words_in_a_number_column() {
    let case = Case::new();
    let path = case.folder.path().join("panel.csv");
    fs::write(
        &path,
        "id,time,group,y\n1,1,0,0.5\n1,2,0,n/k\n2,1,2,0.1\n2,2,2,0.3\n",
    )
    .expect("a small file");
    case.refused_path(&path, &["y"]);
}

#[test]
fn duplicate_rows() {
    let case = Case::new();
    let doubled = concat_batches(
        &case.panel.schema(),
        [&case.panel, &rows(&case.panel, [11])],
    )
    .expect("one schema");
    // Row 11 is unit 3 in period 2.
    case.refused(&doubled, "", &["id", "3", "time", "2"]);
}

#[test]
fn what_must_be_constant_within_a_unit() {
    let case = Case::new();
    let moved = with_values(
        &case.panel,
        "group",
        |row, g| if row == 7 { 4.0 } else { g },
    );
    // Row 7 is unit 2, of cohort 3.
    case.refused(&moved, "", &["cohort", "unit 2", "3", "4"]);
    let moved = with_values(
        &case.panel,
        "cluster",
        |row, c| if row == 7 { 77.0 } else { c },
    );
    case.refused(
        &moved,
        "--clustervars cluster",
        &["cluster", "unit 2", "77"],
    );
}

#[test]
fn negative_values() {
    let case = Case::new();
    let negative = with_values(&case.panel, "w", |row, w| if row == 12 { -0.25 } else { w });
    case.refused(&negative, "--weightsname w", &["`w`", "-0.25", "negative"]);
    case.refused(
        &with_values(&case.panel, "w", |_, _| 0.0),
        "--weightsname w",
        &["`w`"],
    );
    let negative = with_values(
        &case.panel,
        "group",
        |row, g| if row / 5 == 4 { -3.0 } else { g },
    );
    case.refused(&negative, "", &["cohort", "-3", "negative"]);
}

#[test]
fn everyone_treated() {
    let case = Case::new();
    let treated = rows_where(&case.panel, "group", |g| g > 0.0);
    // The last cohort becomes the comparison (FORMULAS §1.4), with a warning.
    let result = case.run(&treated, "--bstrap false").success().json();
    assert_eq!(
        floats(&result["att_gt"]["group"]),
        [3.0, 3.0],
        "cohort 3 in periods 2 and 3"
    );
    assert!(
        warnings(&result).contains('4'),
        "the warning names the last cohort: {}",
        warnings(&result)
    );
    fs::remove_dir_all(case.out()).expect("the saved result");
    // One cohort alone can't be compared with anything.
    case.refused(
        &rows_where(&case.panel, "group", |g| g == 3.0),
        "",
        &["treated", "3"],
    );
}

#[test]
fn nobody_treated() {
    let case = Case::new();
    case.refused(
        &rows_where(&case.panel, "group", |g| g == 0.0),
        "",
        &["no unit is treated", "gname"],
    );
    // Treated after the data end, or before they begin.
    case.refused(
        &with_values(&case.panel, "group", |_, g| if g > 0.0 { 99.0 } else { g }),
        "",
        &["no unit is treated", "5"],
    );
    case.refused(
        &with_values(&case.panel, "group", |_, g| if g > 0.0 { 1.0 } else { g }),
        "",
        &["already treated", "80"],
    );
}

#[test]
fn one_period() {
    let case = Case::new();
    case.refused(
        &rows_where(&case.panel, "time", |t| t == 3.0),
        "",
        &["only 1 period", "3", "tname"],
    );
}

#[test]
fn no_complete_unit() {
    let case = Case::new();
    // Every unit misses one period.
    let ragged = rows(
        &case.panel,
        (0..case.panel.num_rows()).filter(|row| row % 5 != (row / 5) % 5),
    );
    case.refused(&ragged, "", &["balanc"]);
}

#[test]
fn tiny_groups() {
    let cohorts = (0..40)
        .map(|i| if i == 0 { 4 } else { [0, 3][i % 2] })
        .collect();
    let case = Case::of(&Panel {
        units: 120,
        cohorts,
        ..Panel::default()
    });
    let result = case
        .run(&case.panel, "--xformla '~ x1' --bstrap false")
        .success()
        .json();
    assert!(
        warnings(&result).contains("few") && warnings(&result).contains('4'),
        "{}",
        warnings(&result)
    );
    fs::remove_dir_all(case.out()).expect("the saved result");
    // The same of the never treated is an error where they are the only comparison (FORMULAS §1.8).
    let swapped = with_values(&case.panel, "group", |_, g| {
        if g == 4.0 {
            0.0
        } else if g == 0.0 {
            4.0
        } else {
            g
        }
    });
    case.refused(&swapped, "--xformla '~ x1'", &["never-treated", "3", "6"]);
    case.run(
        &swapped,
        "--xformla '~ x1' --control-group notyettreated --bstrap false",
    )
    .success();
}

#[test]
fn collinear_and_constant_covariates() {
    let case = Case::new();
    let twice = with_column(
        &case.panel,
        "x3",
        numbers_column(numbers(&case.panel, "x1").iter().map(|x| 2.0 * x)),
    );
    let constant = with_column(
        &case.panel,
        "x3",
        numbers_column(vec![5.0; case.panel.num_rows()]),
    );
    for panel in [twice, constant] {
        let output = case.run(&panel, "--xformla '~ x1 + x3' --bstrap false");
        assert_no_cell(&case, &output, 8);
    }
}

/// No cell can be estimated: refused by name, or every cell `NA` and one warning with their number.
#[track_caller]
fn assert_no_cell(case: &Case, output: &Output, cells: usize) {
    if output.code == Some(2) {
        return case.assert_refused(output, 2, &["cell"]);
    }
    let result = output.clone().success().json();
    let att = entries(&result["att_gt"]["att"]);
    assert_eq!(
        (att.len(), att.iter().flatten().count()),
        (cells, 0),
        "all cells are NA"
    );
    assert!(
        warnings(&result).contains(&cells.to_string()),
        "a warning counts the cells: {}",
        warnings(&result)
    );
    fs::remove_dir_all(case.out()).expect("the saved result");
}

#[test]
fn values_that_are_no_numbers_are_dropped_and_counted() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for name in ["y", "x1", "xt", "w"] {
            let case = Case::new();
            let spoiled = with_values(&case.panel, name, |row, v| {
                if row == 8 || row == 21 { bad } else { v }
            });
            let result = case
                .run(
                    &spoiled,
                    "--xformla '~ x1 + xt' --weightsname w --bstrap false",
                )
                .success()
                .json();
            let label = format!("{bad} in {name}");
            // Two rows are dropped, then the rows of the two units that lack a period without them.
            assert_eq!(result["n"], 118, "{label}");
            assert_eq!(result["dropped"]["units"], 2, "{label}");
            assert_eq!(result["dropped"]["rows"], 10, "{label}");
            assert!(
                warnings(&result).contains('2'),
                "{label}: {}",
                warnings(&result)
            );
        }
    }
}

#[test]
fn missing_values_equal_values_that_are_no_numbers() {
    let case = Case::new();
    let spoiled = with_values(
        &case.panel,
        "y",
        |row, v| if row == 8 { f64::NAN } else { v },
    );
    let nan = case.run(&spoiled, "--bstrap false").success().stdout;
    let values = numbers(&spoiled, "y");
    let missing: ArrayRef = Arc::new(arrow::array::Float64Array::from_iter(
        values.iter().map(|v| (!v.is_nan()).then_some(*v)),
    ));
    let null = case
        .run(&with_column(&case.panel, "y", missing), "--bstrap false")
        .success()
        .stdout;
    assert_eq!(nan, null);
}

#[test]
fn missing_keys() {
    let holed = |name: &str, case: &Case| -> RecordBatch {
        let values = numbers(&case.panel, name);
        let keys: ArrayRef = Arc::new(Int64Array::from_iter(
            values
                .iter()
                .enumerate()
                .map(|(row, v)| (row != 8).then_some(*v as i64)),
        ));
        with_column(&case.panel, name, keys)
    };
    for (name, options) in [
        ("id", ""),
        ("time", ""),
        ("cluster", "--clustervars cluster"),
    ] {
        let case = Case::new();
        let result = case
            .run(&holed(name, &case), &format!("{options} --bstrap false"))
            .success()
            .json();
        assert_eq!(
            result["n"], 119,
            "{name}: the unit of the dropped row lacks a period"
        );
        assert_eq!(result["dropped"]["rows"], 5, "{name}");
    }
    // A missing cohort means never treated, so one missing in a unit that is treated elsewhere is a contradiction.
    let case = Case::new();
    case.refused(
        &holed("group", &case),
        "",
        &["cohort", "unit 2", "never treated", "3"],
    );
}

#[test]
fn empty_inputs() {
    let case = Case::new();
    fs::write(case.path(), "").expect("an empty file");
    case.refused_path(&case.path(), &["panel.parquet", "empty"]);
    case.refused(&rows(&case.panel, []), "", &["no rows"]);
    let csv = case.folder.path().join("panel.csv");
    fs::write(&csv, "id,time,group,y\n").expect("a small file");
    case.refused_path(&csv, &["no rows"]);
    fs::write(&csv, "").expect("an empty file");
    case.refused_path(&csv, &["panel.csv", "empty"]);
}

#[test]
fn damaged_parquet() {
    let case = Case::new();
    write_parquet(&case.path(), &case.panel);
    let whole = fs::read(case.path()).expect("the file just written");
    let half = &whole[..whole.len() / 2];
    let text = b"id,time,group,y\n1,1,0,0.5\n".as_slice();
    for (bytes, what) in [
        (half, "truncated"),
        (&whole[..6], "six bytes"),
        (text, "CSV under another name"),
    ] {
        fs::write(case.path(), bytes).expect("a small file");
        let output = case.run_on(&case.path(), "");
        assert_eq!(output.code, Some(2), "{what}: {}", output.stderr);
        case.refused_path(&case.path(), &["panel.parquet", "Parquet"]);
    }
}

/// Parquet pages have no checksum unless the writer adds one, so damage may go unseen; it must not end in a panic.
#[test]
fn damage_anywhere_in_a_file() {
    let case = Case::new();
    for (name, properties) in encodings() {
        write_parquet_with(&case.path(), &case.panel, properties);
        let whole = fs::read(case.path()).expect("the file just written");
        for part in 0..12 {
            let mut bytes = whole.clone();
            let start = part * (whole.len() - 40) / 11;
            bytes[start..start + 40].fill(0xA5);
            fs::write(case.path(), bytes).expect("a small file");
            let options = "--xformla '~ x1 + x2 + xt' --weightsname w --clustervars cluster,industry --bstrap false";
            let output = case.run_on(&case.path(), options);
            let told = output.code == Some(0)
                || (output.code == Some(2) && output.stderr.starts_with("error: "));
            assert!(
                told,
                "{name}, byte {start}: exit {:?}\n{}",
                output.code, output.stderr
            );
            let _ = fs::remove_dir_all(case.out());
        }
    }
}

#[test]
fn files_that_disagree() {
    let case = Case::new();
    let folder = case.folder.path().join("parts");
    fs::create_dir(&folder).expect("a new folder");
    let (first, second) = (case.panel.slice(0, 300), case.panel.slice(300, 300));
    write_parquet(&folder.join("a.parquet"), &first);
    write_parquet(&folder.join("b.parquet"), &without_column(&second, "y"));
    case.refused_path(&folder, &["`y`", "b.parquet"]);
    let words = texts(numbers(&second, "y").iter().map(f64::to_string));
    write_parquet(&folder.join("b.parquet"), &with_column(&second, "y", words));
    case.refused_path(
        &folder,
        &["`y`", "a.parquet", "b.parquet", "Float64", "Utf8"],
    );
    // Another width of the same kind is no contradiction.
    let narrow =
        stagger_tests::tables::with_type(&second, "id", &arrow::datatypes::DataType::Int16);
    write_parquet(&folder.join("b.parquet"), &narrow);
    case.run_on(&folder, "--bstrap false").success();
}

#[test]
fn paths_that_lead_nowhere() {
    let case = Case::new();
    write_parquet(&case.path(), &case.panel);
    let inside = |name: &str| case.folder.path().join(name);
    case.refused_path(&inside("panle.parquet"), &["panle.parquet"]);
    case.refused_path(
        &inside("panel.parquet/part-0.parquet"),
        &["panel.parquet/part-0.parquet"],
    );
    case.refused_path(&inside("part-*.parquet"), &["part-*.parquet"]);
    fs::create_dir(inside("empty")).expect("a new folder");
    case.refused_path(&inside("empty"), &["empty"]);
    fs::write(inside("empty/notes.md"), "no data").expect("a small file");
    case.refused_path(&inside("empty"), &["empty"]);
    case.assert_refused(
        &cli::run(&words(&format!("run {COLUMNS} --json"))),
        2,
        &["input"],
    );
}

#[cfg(unix)]
#[test]
fn unreadable_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let case = Case::new();
    write_parquet(&case.path(), &case.panel);
    fs::set_permissions(case.path(), fs::Permissions::from_mode(0o000))
        .expect("the test's own file");
    if fs::File::open(case.path()).is_ok() {
        return note("not tested: unreadable files can be read by this user (root)");
    }
    case.refused_path(&case.path(), &["panel.parquet", "ermission denied"]);
}

#[test]
fn output_that_can_not_be_written() {
    let case = Case::new();
    write_parquet(&case.path(), &case.panel);
    let onto = |target: &Path| {
        let mut args = estimate_args(&case.path(), &format!("{COLUMNS} --bstrap false"));
        args.extend(["--out".to_owned(), path_str(target).to_owned()]);
        cli::run(&args)
    };
    let file = case.folder.path().join("taken");
    fs::write(&file, "mine").expect("a small file");
    case.assert_refused(&onto(&file), 2, &["taken"]);
    assert_eq!(fs::read(&file).expect("the file"), b"mine");
    let below = onto(&file.join("saved"));
    assert!(
        matches!(below.code, Some(1 | 2)) && below.stderr.starts_with("error: "),
        "{}",
        below.stderr
    );
    // Somebody else's folder is not mixed with a result.
    let folder = case.folder.path().join("papers");
    fs::create_dir(&folder).expect("a new folder");
    fs::write(folder.join("thesis.tex"), "mine").expect("a small file");
    case.assert_refused(&onto(&folder), 2, &["papers"]);
    assert_eq!(fs::read_dir(&folder).expect("the folder").count(), 1);
}

/// A limit on the size of files stands in for a full disk: the write fails half-way, with another error number.
#[cfg(unix)]
#[test]
fn disk_full() {
    let case = Case::new();
    write_parquet(&case.path(), &case.panel);
    let mut args = estimate_args(&case.path(), &format!("{COLUMNS} --biters 5000"));
    args.extend(["--out".to_owned(), path_str(&case.out()).to_owned()]);
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 20; exec \"$@\"", "sh"])
        .arg(cli::binary())
        .args(&args);
    let output = cli::finish(&mut limited);
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert!(
        output.stderr.contains("error: ") && output.stderr.contains("saved"),
        "{}",
        output.stderr
    );
    assert!(!output.stderr.contains("panicked"), "{}", output.stderr);
    case.assert_nothing_written();
}

/// The same on a real file system of 64 kB, in a mount namespace of its own.
#[cfg(target_os = "linux")]
#[test]
fn disk_full_for_real() {
    let case = Case::new();
    write_parquet(&case.path(), &case.panel);
    let disk = case.folder.path().join("disk");
    fs::create_dir(&disk).expect("a new folder");
    let mut args = estimate_args(&case.path(), &format!("{COLUMNS} --biters 5000"));
    args.extend(["--out".to_owned(), path_str(&disk.join("saved")).to_owned()]);
    let script = "mount -t tmpfs -o size=64k tmpfs \"$0\" || exit 77; \"$@\" >/dev/null; code=$?; ls -A \"$0\"; exit $code";
    let mut mounted = Command::new("unshare");
    mounted
        .args(["--mount", "sh", "-c", script])
        .arg(&disk)
        .arg(cli::binary())
        .args(&args);
    match mounted.output() {
        Ok(output)
            if output.status.code() == Some(1)
                && String::from_utf8_lossy(&output.stderr).contains("unshare") =>
        {
            note("not tested: no mount namespace for a small disk");
        }
        Ok(output) if output.status.code() == Some(77) => {
            note("not tested: a small disk can't be mounted here")
        }
        Ok(output) => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{stderr}");
            assert!(
                stderr.contains("error: ") && stderr.contains("no space left"),
                "{stderr}"
            );
            assert!(
                output.stdout.is_empty(),
                "left behind: {}",
                String::from_utf8_lossy(&output.stdout)
            );
        }
        Err(e) => note(&format!("not tested: {e}")),
    }
}

#[cfg(unix)]
#[test]
fn interrupt_leaves_nothing() {
    let panel = Panel {
        units: 60_000,
        periods: 8,
        cohorts: vec![0, 3, 4, 5, 6, 7],
        clusters: 100,
        seed: 5,
    };
    let case = Case::of(&panel);
    write_parquet(&case.path(), &case.panel);
    // Many seconds of draws, so that the signal certainly finds the run at work.
    let options = format!("{COLUMNS} --xformla '~ x1 + x2 + xt' --biters 500000 --threads 1");
    let mut args = estimate_args(&case.path(), &options);
    args.extend(["--out".to_owned(), path_str(&case.out()).to_owned()]);
    let output = cli::interrupt_after(command().args(&args), Duration::from_millis(700));
    assert_eq!(output.code, Some(130), "{}", output.stderr);
    assert!(output.stderr.contains("interrupted"), "{}", output.stderr);
    assert!(
        output.stdout.is_empty() && !output.stderr.contains("panicked"),
        "{}",
        output.stderr
    );
    case.assert_nothing_written();
}

#[test]
fn formulas_that_make_no_sense() {
    let case = Case::new();
    for (formula, words) in [
        ("~ x1 +", ["too early", "7"]),
        ("~ log(x1", ["too early", "9"]),
        ("~ ns(x1, 3)", ["`ns`", "xformla"]),
        ("~ x1 $ x2", ["$", "6"]),
        ("x1 + x2", ["~", "xformla"]),
    ] {
        case.refused(&case.panel, &format!("--xformla '{formula}'"), &words);
    }
    // log of negative values is no number: those rows are dropped and counted, as in R.
    let output = case.run(&case.panel, "--xformla '~ log(x1)' --bstrap false");
    assert!(matches!(output.code, Some(0 | 2)), "{}", output.stderr);
}

#[test]
fn huge_and_tiny_values() {
    let case = Case::new();
    for scale in [1e-160, 1e160] {
        let scaled = with_values(&case.panel, "y", |_, y| y * scale);
        let output = case.run(&scaled, "--bstrap false");
        assert!(
            matches!(output.code, Some(0 | 2)),
            "y · {scale}: {}",
            output.stderr
        );
        let _ = fs::remove_dir_all(case.out());
    }
    // A narrow table with the fewest columns there can be.
    let narrow = table(
        ["id", "time", "group", "y"]
            .map(|name| (name, column(&case.panel, name)))
            .to_vec(),
    );
    case.run(&narrow, "--bstrap false").success();
}
