//! Bad data is a named error or a counted drop: never a panic, never a wrong number, nothing half-written.

use std::fs;
use std::sync::Arc;

use arrow_array::{ArrayRef, Date32Array, Int64Array, RecordBatch};
use arrow_select::concat::concat_batches;
use serde_json::Value;
use stagger_test_support::panels::Panel;
use stagger_test_support::tables::{
    column, floats as numbers_column, numbers, rows, rows_where, table, texts, with_column, with_values,
    write_parquet,
};
use stagger_tests::cli::{Output, estimate};
use stagger_tests::compare::{entries, floats};
use stagger_tests::spoiled::Spoiled;

/// The warnings of a result, joined.
fn warnings(result: &Value) -> String {
    let lines = result["warnings"].as_array().cloned().unwrap_or_default();
    lines.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}

#[test]
fn missing_columns_come_with_the_closest_name() {
    let case = Spoiled::new();
    write_parquet(&case.path(), &case.panel);
    for (options, words) in [
        ("--yname yy --tname time --idname id --gname group", ["yname", "`yy`", "panel.parquet", "`y`"]),
        ("--yname y --tname tme --idname id --gname group", ["tname", "`tme`", "panel.parquet", "`time`"]),
        ("--yname y --tname time --idname idd --gname group", ["idname", "`idd`", "panel.parquet", "`id`"]),
        ("--yname y --tname time --idname id --gname grup", ["gname", "`grup`", "panel.parquet", "`group`"]),
    ] {
        case.assert_refused(&estimate(&case.path(), options), 2, &words);
    }
    case.refused(&case.panel, "--weightsname ww", &["weightsname", "`ww`", "`w`"]);
    case.refused(&case.panel, "--clustervars clster", &["clustervars", "`clster`", "`cluster`"]);
    case.refused(&case.panel, "--xformla '~ x11'", &["xformla", "`x11`", "`x1`"]);
}

#[test]
fn wrong_types() {
    let case = Spoiled::new();
    let words = || texts(numbers(&case.panel, "y").iter().map(|y| format!("about {y}")));
    case.refused(&with_column(&case.panel, "y", words()), "", &["yname", "`y`", "Utf8"]);
    case.refused(&with_column(&case.panel, "time", words()), "", &["`time`", "about", "no period"]);
    case.refused(&with_column(&case.panel, "group", words()), "", &["`group`", "about", "no period"]);
    case.refused(&with_column(&case.panel, "w", words()), "--weightsname w", &["weightsname", "`w`", "Utf8"]);
    let days: ArrayRef =
        Arc::new(Date32Array::from_iter_values(numbers(&case.panel, "time").iter().map(|t| *t as i32)));
    case.refused(&with_column(&case.panel, "time", days), "", &["`time`", "`group`"]);
}

#[test]
fn csv_words_in_a_number_column() {
    let case = Spoiled::new();
    let path = case.inside("panel.csv");
    fs::write(&path, "id,time,group,y\n1,1,0,0.5\n1,2,0,n/k\n2,1,2,0.1\n2,2,2,0.3\n").expect("a small file");
    case.refused_path(&path, &["y"]);
}

#[test]
fn duplicate_rows() {
    let case = Spoiled::new();
    let doubled =
        concat_batches(&case.panel.schema(), [&case.panel, &rows(&case.panel, [11])]).expect("one schema");
    // Row 11 is unit 3 in period 2.
    case.refused(&doubled, "", &["id", "3", "time", "2"]);
}

#[test]
fn what_must_be_constant_within_a_unit() {
    let case = Spoiled::new();
    let moved = with_values(&case.panel, "group", |row, g| if row == 7 { 4.0 } else { g });
    // Row 7 is unit 2, of cohort 3.
    case.refused(&moved, "", &["cohort", "unit 2", "3", "4"]);
    let moved = with_values(&case.panel, "cluster", |row, c| if row == 7 { 77.0 } else { c });
    case.refused(&moved, "--clustervars cluster", &["cluster", "unit 2", "77"]);
}

#[test]
fn negative_values() {
    let case = Spoiled::new();
    let negative = with_values(&case.panel, "w", |row, w| if row == 12 { -0.25 } else { w });
    case.refused(&negative, "--weightsname w", &["`w`", "-0.25", "negative"]);
    case.refused(&with_values(&case.panel, "w", |_, _| 0.0), "--weightsname w", &["`w`"]);
    let negative = with_values(&case.panel, "group", |row, g| if row / 5 == 4 { -3.0 } else { g });
    case.refused(&negative, "", &["cohort", "-3", "negative"]);
}

#[test]
fn everyone_treated() {
    let case = Spoiled::new();
    let treated = rows_where(&case.panel, "group", |g| g > 0.0);
    // The last cohort becomes the comparison (FORMULAS §1.4), with a warning.
    let result = case.run(&treated, "--bstrap false").success().json();
    assert_eq!(floats(&result["att_gt"]["group"]), [3.0, 3.0], "cohort 3 in periods 2 and 3");
    assert!(warnings(&result).contains('4'), "the warning names the last cohort: {}", warnings(&result));
    fs::remove_dir_all(case.out()).expect("the saved result");
    // One cohort alone can't be compared with anything.
    case.refused(&rows_where(&case.panel, "group", |g| g == 3.0), "", &["treated", "3"]);
}

#[test]
fn nobody_treated() {
    let case = Spoiled::new();
    case.refused(&rows_where(&case.panel, "group", |g| g == 0.0), "", &["no unit is treated", "gname"]);
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
    let case = Spoiled::new();
    case.refused(&rows_where(&case.panel, "time", |t| t == 3.0), "", &["only 1 period", "3", "tname"]);
}

#[test]
fn no_complete_unit() {
    let case = Spoiled::new();
    // Every unit misses one period.
    let ragged = rows(&case.panel, (0..case.panel.num_rows()).filter(|row| row % 5 != (row / 5) % 5));
    case.refused(&ragged, "", &["balanc"]);
}

#[test]
fn tiny_groups() {
    let cohorts = (0..40).map(|i| if i == 0 { 4 } else { [0, 3][i % 2] }).collect();
    let case = Spoiled::of(&Panel { units: 120, cohorts, ..Panel::default() });
    let result = case.run(&case.panel, "--xformla '~ x1' --bstrap false").success().json();
    assert!(warnings(&result).contains("few") && warnings(&result).contains('4'), "{}", warnings(&result));
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
    case.run(&swapped, "--xformla '~ x1' --control-group notyettreated --bstrap false").success();
}

#[test]
fn collinear_and_constant_covariates() {
    let case = Spoiled::new();
    let twice =
        with_column(&case.panel, "x3", numbers_column(numbers(&case.panel, "x1").iter().map(|x| 2.0 * x)));
    let constant = with_column(&case.panel, "x3", numbers_column(vec![5.0; case.panel.num_rows()]));
    for panel in [twice, constant] {
        let output = case.run(&panel, "--xformla '~ x1 + x3' --bstrap false");
        assert_no_cell(&case, &output, 8);
    }
}

/// No cell can be estimated: refused by name, or every cell `NA` and one warning with their number.
#[track_caller]
fn assert_no_cell(case: &Spoiled, output: &Output, cells: usize) {
    if output.code == Some(2) {
        return case.assert_refused(output, 2, &["cell"]);
    }
    let result = output.clone().success().json();
    let att = entries(&result["att_gt"]["att"]);
    assert_eq!((att.len(), att.iter().flatten().count()), (cells, 0), "all cells are NA");
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
            let case = Spoiled::new();
            let spoiled =
                with_values(&case.panel, name, |row, v| if row == 8 || row == 21 { bad } else { v });
            let result =
                case.run(&spoiled, "--xformla '~ x1 + xt' --weightsname w --bstrap false").success().json();
            let label = format!("{bad} in {name}");
            // Two rows are dropped, then the rows of the two units that lack a period without them.
            assert_eq!(result["n"], 118, "{label}");
            assert_eq!(result["dropped"]["units"], 2, "{label}");
            assert_eq!(result["dropped"]["rows"], 10, "{label}");
            assert!(warnings(&result).contains('2'), "{label}: {}", warnings(&result));
        }
    }
}

#[test]
fn missing_values_equal_values_that_are_no_numbers() {
    let case = Spoiled::new();
    let spoiled = with_values(&case.panel, "y", |row, v| if row == 8 { f64::NAN } else { v });
    let nan = case.run(&spoiled, "--bstrap false").success().stdout;
    let values = numbers(&spoiled, "y");
    let missing: ArrayRef =
        Arc::new(arrow_array::Float64Array::from_iter(values.iter().map(|v| (!v.is_nan()).then_some(*v))));
    let null = case.run(&with_column(&case.panel, "y", missing), "--bstrap false").success().stdout;
    assert_eq!(nan, null);
}

#[test]
fn missing_keys() {
    let holed = |name: &str, case: &Spoiled| -> RecordBatch {
        let values = numbers(&case.panel, name);
        let keys: ArrayRef = Arc::new(Int64Array::from_iter(
            values.iter().enumerate().map(|(row, v)| (row != 8).then_some(*v as i64)),
        ));
        with_column(&case.panel, name, keys)
    };
    for (name, options) in [("id", ""), ("time", ""), ("cluster", "--clustervars cluster")] {
        let case = Spoiled::new();
        let result = case.run(&holed(name, &case), &format!("{options} --bstrap false")).success().json();
        assert_eq!(result["n"], 119, "{name}: the unit of the dropped row lacks a period");
        assert_eq!(result["dropped"]["rows"], 5, "{name}");
    }
    // A missing cohort means never treated, so one missing in a unit that is treated elsewhere is a contradiction.
    let case = Spoiled::new();
    case.refused(&holed("group", &case), "", &["cohort", "unit 2", "never treated", "3"]);
}

#[test]
fn huge_and_tiny_values() {
    let case = Spoiled::new();
    for scale in [1e-160, 1e160] {
        let scaled = with_values(&case.panel, "y", |_, y| y * scale);
        let output = case.run(&scaled, "--bstrap false");
        assert!(matches!(output.code, Some(0 | 2)), "y · {scale}: {}", output.stderr);
        let _ = fs::remove_dir_all(case.out());
    }
    // A narrow table with the fewest columns there can be.
    let narrow = table(["id", "time", "group", "y"].map(|name| (name, column(&case.panel, name))).to_vec());
    case.run(&narrow, "--bstrap false").success();
}
