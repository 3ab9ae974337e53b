//! Bad data of unbalanced panels, cross sections and triple differences: a named error or a counted drop.

use std::fs;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_select::concat::concat_batches;
use serde_json::Value;
use stagger_test_support::panels::{Panel, ragged};
use stagger_test_support::tables::{
    ints, numbers, rows, rows_where, texts, with_column, with_values, without_column, write_parquet,
};
use stagger_tests::cli::estimate;
use stagger_tests::compare::floats;
use stagger_tests::lab::assert_cells_within;
use stagger_tests::spoiled::Spoiled;
use stagger_tests::tolerance::ROUNDING;

const PNAME: &str = "--pname eligible";
const UNBALANCED: &str = "--allow-unbalanced-panel true";
const SECTIONS: &str = "--panel false";
/// The forms that a triple difference's data come in.
const FORMS: [&str; 3] = ["", UNBALANCED, SECTIONS];

/// The default panel with eligibility: 120 units over 5 periods, 20 a sub-group.
fn triple() -> Spoiled {
    Spoiled::triple(&Panel::default())
}

/// The warnings of a result, joined.
fn warnings(result: &Value) -> String {
    let lines = result["warnings"].as_array().cloned().unwrap_or_default();
    lines.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}

/// The result on a changed panel; what was saved is removed.
#[track_caller]
fn result(case: &Spoiled, panel: &RecordBatch, options: &str) -> Value {
    let result = case.run(panel, &format!("{options} --bstrap false")).success().json();
    fs::remove_dir_all(case.out()).expect("the saved result");
    result
}

/// The table without these rows.
fn without(table: &RecordBatch, gone: &[usize]) -> RecordBatch {
    rows(table, (0..table.num_rows()).filter(|row| !gone.contains(row)))
}

/// A holed copy of an integer column: this row has no value.
fn holed(table: &RecordBatch, name: &str, hole: usize) -> RecordBatch {
    let values = numbers(table, name);
    let column: ArrayRef = Arc::new(Int64Array::from_iter(
        values.iter().enumerate().map(|(row, v)| (row != hole).then_some(*v as i64)),
    ));
    with_column(table, name, column)
}

#[test]
fn eligibility_is_zero_or_one() {
    let case = triple();
    for form in FORMS {
        for bad in [2.0, 0.5, -1.0] {
            let panel = with_values(&case.panel, "eligible", |row, e| if row / 5 == 1 { bad } else { e });
            let options = format!("{PNAME} {form}");
            case.refused(&panel, &options, &["`eligible`", &bad.to_string(), "0", "1", "row"]);
        }
    }
    for same in [0.0, 1.0] {
        let panel = with_values(&case.panel, "eligible", |_, _| same);
        case.refused(&panel, PNAME, &["eligib"]);
    }
}

#[test]
fn eligibility_columns_that_are_none() {
    let case = triple();
    case.refused(&case.panel, "--pname eligibl", &["pname", "`eligibl`", "`eligible`"]);
    let words = texts(numbers(&case.panel, "eligible").iter().map(|e| format!("{e}!")));
    case.refused(&with_column(&case.panel, "eligible", words), PNAME, &["pname", "`eligible`", "Utf8"]);
}

/// Row 7 is unit 2, of cohort 3, ineligible.
#[test]
fn what_must_be_constant_within_a_unit() {
    let case = triple();
    for form in ["", UNBALANCED] {
        let table = if form.is_empty() { case.panel.clone() } else { without(&case.panel, &[11]) };
        let moved = with_values(&table, "eligible", |row, e| if row == 7 { 1.0 - e } else { e });
        case.refused(&moved, &format!("{PNAME} {form}"), &["eligib", "unit 2", "0", "1"]);
        let moved = with_values(&table, "group", |row, g| if row == 7 { 4.0 } else { g });
        case.refused(&moved, &format!("{PNAME} {form}"), &["cohort", "unit 2", "3", "4"]);
        case.refused(&moved, form, &["cohort", "unit 2", "3", "4"]);
        let moved = with_values(&table, "cluster", |row, c| if row == 7 { 77.0 } else { c });
        case.refused(&moved, &format!("{form} --clustervars cluster"), &["cluster", "unit 2", "77"]);
    }
    // Cross sections have no units within which anything could vary.
    let moved = ["group", "cluster", "eligible"].into_iter().fold(case.panel.clone(), |table, name| {
        let other = numbers(&table, name)[0];
        with_values(&table, name, |row, v| if row == 7 { other } else { v })
    });
    let options = format!("{PNAME} {SECTIONS} --clustervars cluster");
    assert_eq!(result(&case, &moved, &options)["n"], 600);
}

#[test]
fn duplicate_rows() {
    let case = triple();
    // Row 11 is unit 3 in period 2; another unit misses a period.
    let doubled = [&without(&case.panel, &[99]), &rows(&case.panel, [11])];
    let doubled = concat_batches(&case.panel.schema(), doubled).expect("one schema");
    for kind in ["", PNAME] {
        case.refused(&doubled, &format!("{kind} {UNBALANCED}"), &["id", "3", "time", "2"]);
        assert_eq!(result(&case, &doubled, &format!("{kind} {SECTIONS}"))["n"], 600);
    }
}

#[test]
fn sub_groups_without_units() {
    let case = triple();
    for (group, eligible) in [(3.0, 0.0), (3.0, 1.0), (0.0, 0.0), (0.0, 1.0)] {
        let (groups, e) = (numbers(&case.panel, "group"), numbers(&case.panel, "eligible"));
        let kept = (0..groups.len()).filter(|&row| groups[row] != group || e[row] != eligible);
        let panel = rows(&case.panel, kept);
        let cohort = if group == 0.0 { "never" } else { "3" };
        for form in FORMS {
            let table = if form == UNBALANCED { without(&panel, &[2]) } else { panel.clone() };
            case.refused(&table, &format!("{PNAME} {form}"), &["eligib", cohort]);
        }
    }
}

#[test]
fn triple_differences_need_never_treated_units_or_later_ones() {
    let case = triple();
    let treated = rows_where(&case.panel, "group", |g| g > 0.0);
    for form in ["", SECTIONS] {
        let options = format!("{PNAME} {form} --control-group nevertreated");
        case.refused(&treated, &options, &["never", "nevertreated"]);
        // The last cohort is the control of the periods before it is treated.
        let options = format!("{PNAME} {form} --control-group notyettreated --base-period varying");
        let result = result(&case, &treated, &options);
        assert_eq!(floats(&result["att_gt"]["group"]), [3.0, 3.0], "{form}: cohort 3 in periods 2 and 3");
        assert_eq!(floats(&result["att_gt"]["time"]), [2.0, 3.0], "{form}");
    }
}

/// `triplediff` asks for five units a sub-group of a two-period design.
#[test]
fn two_periods_need_five_units_a_sub_group() {
    let design = Panel { units: 80, periods: 2, cohorts: vec![0, 2], ..Panel::default() };
    let case = Spoiled::triple(&design);
    let ids = numbers(&case.panel, "id");
    // Units 1, 3, 5, … are never treated: the first 2·k units give k eligible units of either cohort.
    let eligible =
        |units: f64| with_column(&case.panel, "eligible", ints(ids.iter().map(|id| i64::from(*id <= units))));
    case.refused(&eligible(8.0), PNAME, &["eligib", "4", "5"]);
    let result = result(&case, &eligible(10.0), PNAME);
    assert_eq!(floats(&result["att_gt"]["att"]).len(), 1, "one cell");
}

/// R `triplediff` has weights of the bootstrap's own; Stagger refuses what it does not know, by name.
#[test]
fn unknown_arguments_of_triplediff() {
    let case = triple();
    let output = case.run(&case.panel, &format!("{PNAME} --boot true --boot-type weighted"));
    case.assert_refused(&output, 2, &["boot"]);
    let message = output.stderr.replace('-', "_");
    assert!(message.contains("boot_type"), "the message names boot_type: {}", output.stderr);
}

#[test]
fn panels_need_a_unit() {
    let case = triple();
    let bare = without_column(&case.panel, "id");
    for options in ["", UNBALANCED, PNAME] {
        case.refused(&bare, options, &["idname", "`id`"]);
    }
    write_parquet(&case.path(), &bare);
    for pname in ["", PNAME] {
        let options = format!("--yname y --tname time --gname group --bstrap false {pname}");
        case.assert_refused(&estimate(&case.path(), &options), 2, &["idname"]);
        let sections = estimate(&case.path(), &format!("{options} {SECTIONS}")).success().json();
        assert_eq!(sections["n"], 600, "cross sections have no units");
    }
}

/// Units that miss periods: gone where the panel must be balanced, kept where it need not be, and told either way.
#[test]
fn units_that_miss_periods_are_dropped_or_kept() {
    let case = triple();
    // Units 3 and 5.
    let panel = without(&case.panel, &[11, 22, 23]);
    for kind in ["", PNAME] {
        let strict = result(&case, &panel, kind);
        assert_eq!((&strict["n"], &strict["dropped"]["units"]), (&118.into(), &2.into()), "{kind}");
        assert_eq!(strict["dropped"]["rows"], 7, "{kind}");
        assert!(warnings(&strict).contains('2'), "{kind}: {}", warnings(&strict));
        let lax = result(&case, &panel, &format!("{kind} {UNBALANCED}"));
        assert_eq!((&lax["n"], &lax["dropped"]["rows"]), (&120.into(), &0.into()), "{kind}");
    }
}

#[test]
fn missing_values_cost_their_rows_only() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for name in ["y", "x1", "w"] {
            for kind in ["", PNAME] {
                let case = triple();
                let spoiled =
                    with_values(&case.panel, name, |row, v| if row == 8 || row == 21 { bad } else { v });
                let options = format!("{kind} --xformla '~ x1' --weightsname w");
                let sections = result(&case, &spoiled, &format!("{options} {SECTIONS}"));
                let what = format!("{bad} in {name}, {kind}");
                assert_eq!(
                    (&sections["n"], &sections["dropped"]["rows"]),
                    (&598.into(), &2.into()),
                    "{what}"
                );
                assert!(warnings(&sections).contains('2'), "{what}: {}", warnings(&sections));
                let unbalanced = result(&case, &spoiled, &format!("{options} {UNBALANCED}"));
                assert_eq!(
                    (&unbalanced["n"], &unbalanced["dropped"]["rows"]),
                    (&120.into(), &2.into()),
                    "{what}"
                );
                // The same rows left out by hand.
                let by_hand = without(&case.panel, &[8, 21]);
                for (form, found) in [(SECTIONS, &sections), (UNBALANCED, &unbalanced)] {
                    let expected = result(&case, &by_hand, &format!("{options} {form}"));
                    assert_cells_within(&format!("{what} {form}"), found, &expected, ROUNDING);
                }
            }
        }
    }
}

#[test]
fn missing_eligibility_costs_its_row() {
    let case = triple();
    let table = holed(&case.panel, "eligible", 8);
    let n = |form: &str| result(&case, &table, &format!("{PNAME} {form}"))["n"].clone();
    assert_eq!((n(""), n(UNBALANCED), n(SECTIONS)), (119.into(), 120.into(), 599.into()));
}

/// Few rows of a cohort are told, with the count that the guard looks at: rows a period.
#[test]
fn few_units_that_miss_periods() {
    let cohorts = (0..40).map(|i| if i == 0 { 4 } else { [0, 3][i % 2] }).collect();
    let case = Spoiled::of(&Panel { units: 120, cohorts, ..Panel::default() });
    let holed = ragged(&case.panel, 10, 4);
    for form in [UNBALANCED, SECTIONS] {
        let result = result(&case, &holed, &format!("--xformla '~ x1' {form}"));
        assert!(
            warnings(&result).contains("few") && warnings(&result).contains('4'),
            "{}",
            warnings(&result)
        );
    }
}

/// A cell without one of its four groups of rows is `NA`, and one warning says so; the others are estimated.
#[test]
fn cohorts_that_nobody_saw_in_a_period() {
    let case = Spoiled::new();
    let (groups, times) = (numbers(&case.panel, "group"), numbers(&case.panel, "time"));
    let unseen = rows(&case.panel, (0..groups.len()).filter(|&row| groups[row] != 3.0 || times[row] != 4.0));
    for form in [UNBALANCED, SECTIONS] {
        let result = result(&case, &unseen, form);
        let cells = |key: &str| floats(&result["att_gt"][key]);
        let (groups, times, att) = (cells("group"), cells("time"), cells("att"));
        for i in 0..att.len() {
            assert_eq!(
                att[i].is_nan(),
                (groups[i], times[i]) == (3.0, 4.0),
                "{form}: ({}, {})",
                groups[i],
                times[i]
            );
        }
        assert!(warnings(&result).contains("1 cell"), "{form}: {}", warnings(&result));
    }
}
