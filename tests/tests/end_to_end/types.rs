//! Columns of every type: identifiers and levels compared exactly, parts that were written with other types, periods that are dates.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, Decimal128Array, Decimal256Array, FixedSizeBinaryArray, Int64Array, NullArray,
    RecordBatch, StringArray, UInt64Array,
};
use arrow_buffer::i256;
use arrow_cast::cast;
use arrow_schema::{DataType, TimeUnit};
use serde_json::Value;
use stagger_test_support::panels::{COLUMNS, Panel};
use stagger_test_support::tables::{
    ints, numbers, rows_where, texts, with_column, with_type, without_column, write_csv, write_parquet,
};
use stagger_tests::cli::estimate;
use stagger_tests::compare::floats;
use stagger_tests::lab::{Lab, assert_same_estimates};
use stagger_tests::stores::prepare;

fn default_panel() -> RecordBatch {
    Panel::default().simulate()
}

fn whole(panel: &RecordBatch, name: &str) -> Vec<i64> {
    numbers(panel, name).into_iter().map(|v| v as i64).collect()
}

fn uuid(id: i64) -> [u8; 16] {
    // Bytes that are no text.
    let mut out = [0xfe; 16];
    out[8..].copy_from_slice(&id.to_be_bytes());
    out
}

/// The same units under names of other types.
fn named(ids: &[i64]) -> Vec<(&'static str, ArrayRef)> {
    let bytes: ArrayRef = Arc::new(BinaryArray::from_iter_values(ids.iter().map(|&id| uuid(id))));
    let plain: ArrayRef = Arc::new(BinaryArray::from_iter_values(ids.iter().map(|id| format!("u{id}"))));
    let fixed = FixedSizeBinaryArray::try_from_iter(ids.iter().map(|&id| uuid(id))).expect("16 bytes each");
    let long = Decimal128Array::from_iter_values(ids.iter().map(|&id| 10i128.pow(30) + i128::from(id)));
    let longer = ids.iter().map(|&id| Some(i256::from_i128(10i128.pow(35) + i128::from(id))));
    let decimal = |array: Decimal128Array, digits, scale| -> ArrayRef {
        Arc::new(array.with_precision_and_scale(digits, scale).expect("digits enough"))
    };
    let of = |array: &ArrayRef, to: &DataType| cast(array, to).expect("a cast of identifiers");
    let dictionary = |values| DataType::Dictionary(Box::new(DataType::Int32), Box::new(values));
    let words = texts(ids.iter().map(|id| format!("unit {id}")));
    vec![
        ("from -2^63", ints(ids.iter().map(|id| i64::MIN + id - 1))),
        ("above 2^53", ints(ids.iter().map(|id| (1 << 53) + id))),
        ("above 2^63", Arc::new(UInt64Array::from_iter_values(ids.iter().map(|&id| u64::MAX - id as u64)))),
        ("decimals", decimal(long, 38, 0)),
        ("fractions", decimal(Decimal128Array::from_iter_values(ids.iter().map(|&id| i128::from(id))), 9, 2)),
        (
            "long decimals",
            Arc::new(Decimal256Array::from_iter(longer).with_precision_and_scale(60, 3).expect("digits")),
        ),
        ("uuids", Arc::new(fixed)),
        ("large bytes", of(&bytes, &DataType::LargeBinary)),
        ("viewed bytes", of(&bytes, &DataType::BinaryView)),
        ("listed bytes", of(&plain, &dictionary(DataType::Binary))),
        ("bytes", bytes),
        ("text as bytes", plain),
        ("viewed text", of(&words, &DataType::Utf8View)),
        ("listed text", of(&words, &dictionary(DataType::Utf8))),
    ]
}

#[test]
fn units_and_clusters_have_names_of_any_type() {
    let (lab, panel) = (Lab::new(), default_panel());
    let options = "--clustervars cluster --est-method reg";
    let plain = lab.run(&panel, options);
    let clusters = named(&whole(&panel, "cluster"));
    for ((what, ids), (_, clusters)) in named(&whole(&panel, "id")).into_iter().zip(clusters) {
        let renamed = with_column(&with_column(&panel, "id", ids), "cluster", clusters);
        let own = lab.run(&renamed, options);
        assert_eq!(own["n"], plain["n"], "{what}");
        assert_same_estimates(what, &plain, &own);
        let (path, store) =
            (lab.write("renamed", &renamed), lab.write("x", &panel).with_extension(what.replace(' ', "-")));
        let all = format!("{COLUMNS} {options}");
        prepare(&path, &all, &store, "").success();
        let stored = estimate(&store, &format!("{all} --bstrap false")).success().json();
        assert_eq!(stored["att_gt"], own["att_gt"], "{what}: a store has the same bits");
    }
}

#[test]
fn whole_numbers_are_the_same_units_in_every_width() {
    let (lab, panel) = (Lab::new(), default_panel());
    let plain = lab.run(&panel, "--clustervars cluster");
    for to in [
        DataType::Int16,
        DataType::UInt8,
        DataType::UInt64,
        DataType::Float64,
        DataType::Decimal128(38, 0),
        DataType::Decimal128(18, 2),
    ] {
        let other = with_type(&with_type(&panel, "id", &to), "cluster", &to);
        let own = lab.run(&other, "--clustervars cluster");
        assert_eq!(own["att_gt"], plain["att_gt"], "{to}");
    }
}

#[test]
fn messages_show_bytes_as_people_write_them() {
    let panel = default_panel();
    let ids = whole(&panel, "id");
    let groups =
        ints(whole(&panel, "group").into_iter().enumerate().map(|(row, g)| if row == 7 { 5 } else { g }));
    let panel = with_column(&panel, "group", groups);
    let lab = Lab::new();
    for (what, shown) in [
        ("uuids", "unit fefefefe-fefe-fefe-0000-000000000002"),
        ("above 2^63", "unit 18446744073709551613"),
        ("from -2^63", "unit -9223372036854775807"),
        ("text as bytes", "unit u2"),
    ] {
        let (_, array) = named(&ids).into_iter().find(|(name, _)| *name == what).expect("a form");
        let path = lab.write("spoiled", &with_column(&panel, "id", array));
        let refused = estimate(&path, COLUMNS);
        assert_eq!(refused.code, Some(2), "{what}");
        assert!(refused.stderr.contains(shown), "{what}: {}", refused.stderr);
    }
}

#[test]
fn levels_of_many_digits_stay_different() {
    let (lab, panel) = (Lab::new(), default_panel());
    let codes = whole(&panel, "industry");
    let decimals = codes.iter().map(|&c| 10i128.pow(20) + i128::from(c));
    let forms: Vec<(&str, ArrayRef)> = vec![
        ("above 2^53", ints(codes.iter().map(|c| (1 << 53) + c))),
        ("below -2^53", ints(codes.iter().map(|c| c - 9_007_199_254_740_999))),
        (
            "unsigned",
            Arc::new(UInt64Array::from_iter_values(codes.iter().map(|&c| u64::MAX - 10 + c as u64))),
        ),
        (
            "decimals",
            Arc::new(
                Decimal128Array::from_iter_values(decimals).with_precision_and_scale(38, 2).expect("digits"),
            ),
        ),
    ];
    for formula in ["factor(industry)", "factor(industry):x2 + x1"] {
        let options = format!("--est-method reg --xformla '~ {formula}'");
        let plain = lab.run(&panel, &options);
        for (what, array) in &forms {
            let coded = with_column(&panel, "industry", Arc::clone(array));
            let own = lab.run(&coded, &options);
            assert_eq!(
                own["att_gt"], plain["att_gt"],
                "{what} {formula}: levels in the order of the numbers"
            );
            let (path, all) = (lab.write("coded", &coded), format!("{COLUMNS} {options}"));
            let store = path.with_extension(format!("{}-{}", what.replace(' ', "-"), formula.len()));
            prepare(&path, &all, &store, "").success();
            let stored = estimate(&store, &format!("{all} --bstrap false")).success().json();
            assert_eq!(stored["att_gt"], own["att_gt"], "{what} {formula}: a store has the same bits");
        }
    }
}

#[test]
fn a_store_of_numbers_refuses_levels_that_it_may_have_merged() {
    let (lab, panel) = (Lab::new(), default_panel());
    let codes = whole(&panel, "industry").into_iter().map(|c| (1 << 53) + c);
    let path = lab.write("coded", &with_column(&panel, "industry", ints(codes)));
    let store = path.with_extension("store");
    prepare(&path, COLUMNS, &store, "--keep industry").success();
    let refused = estimate(&store, &format!("{COLUMNS} --xformla '~ factor(industry)'"));
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("`industry`") && refused.stderr.contains("2^53"), "{}", refused.stderr);
}

/// Writes the two halves of the units as parts of a folder, each changed in its own way.
fn parts(folder: &Path, panel: &RecordBatch, change: [&dyn Fn(&RecordBatch) -> RecordBatch; 2]) {
    fs::create_dir_all(folder).expect("a folder");
    for (part, change) in change.into_iter().enumerate() {
        let own = rows_where(panel, "id", |id| (id > 60.0) == (part == 1));
        write_parquet(&folder.join(format!("part-{part}.parquet")), &change(&own));
    }
}

#[track_caller]
fn on(path: &Path, options: &str) -> Value {
    estimate(path, &format!("{COLUMNS} --bstrap false {options}")).success().json()
}

#[test]
fn parts_of_other_types_are_read_alike() {
    let (lab, panel) = (Lab::new(), default_panel());
    let folder = lab.write("x", &panel).with_extension("parts");
    let same = |part: &RecordBatch| part.clone();
    let retyped = |name: &'static str, to: DataType| move |part: &RecordBatch| with_type(part, name, &to);
    let plain = lab.run(&panel, "");
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    for (name, to) in [
        ("id", DataType::Int32),
        ("id", DataType::Float64),
        ("y", DataType::Float64),
        ("time", DataType::Int32),
        ("group", DataType::Float64),
        ("group", DataType::UInt8),
    ] {
        parts(&folder, &panel, [&same, &retyped(name, to.clone())]);
        assert_eq!(on(&folder, "")["att_gt"], plain["att_gt"], "{name} as {to} in one part");
    }
    let named = lab.run(&with_type(&panel, "id", &DataType::Utf8), "");
    for to in [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View, dictionary] {
        let other = |part: &RecordBatch| {
            let text = with_type(part, "id", &DataType::Utf8);
            with_type(&text, "id", &to)
        };
        parts(&folder, &panel, [&same, &other]);
        assert_eq!(on(&folder, "")["att_gt"], named["att_gt"], "integers beside {to} are text");
    }
    let text = |part: &RecordBatch| with_type(part, "id", &DataType::Utf8);
    let bytes = |part: &RecordBatch| with_type(&text(part), "id", &DataType::Binary);
    parts(&folder, &panel, [&text, &bytes]);
    assert_eq!(on(&folder, "")["att_gt"], named["att_gt"], "text beside bytes");
}

#[test]
fn a_part_without_values_goes_with_every_type() {
    let (lab, panel) = (Lab::new(), default_panel());
    let folder = lab.write("x", &panel).with_extension("parts");
    let words = texts(whole(&panel, "industry").iter().map(|c| format!("sector {c}")));
    let panel = with_column(&panel, "sector", words);
    let nothing = |part: &RecordBatch| with_column(part, "sector", Arc::new(NullArray::new(part.num_rows())));
    let same = |part: &RecordBatch| part.clone();
    let holes =
        |part: &RecordBatch| with_column(part, "sector", Arc::new(StringArray::new_null(part.num_rows())));
    parts(&folder, &panel, [&same, &holes]);
    let expected = on(&folder, "--xformla '~ sector' --est-method reg");
    parts(&folder, &panel, [&same, &nothing]);
    let own = on(&folder, "--xformla '~ sector' --est-method reg");
    assert_eq!(own["att_gt"], expected["att_gt"]);
    // A column that nobody uses may have any types.
    let words = |part: &RecordBatch| with_type(part, "x2", &DataType::Utf8);
    parts(&folder, &panel, [&words, &|part: &RecordBatch| without_column(part, "x2")]);
    on(&folder, "");
}

#[test]
fn parts_that_contradict_each_other_are_named() {
    let (lab, panel) = (Lab::new(), default_panel());
    let folder = lab.write("x", &panel).with_extension("parts");
    let same = |part: &RecordBatch| part.clone();
    let words =
        |part: &RecordBatch| with_column(part, "y", texts((0..part.num_rows()).map(|_| "much".to_owned())));
    parts(&folder, &panel, [&same, &words]);
    let refused = estimate(&folder, COLUMNS);
    assert_eq!(refused.code, Some(2));
    for word in ["`y`", "Float64", "Utf8", "part-0.parquet", "part-1.parquet"] {
        assert!(refused.stderr.contains(word), "no {word}: {}", refused.stderr);
    }
    let ids: Vec<i64> = whole(&panel, "id");
    let bytes = |part: &RecordBatch| {
        let own = &ids[..part.num_rows()];
        let array = FixedSizeBinaryArray::try_from_iter(own.iter().map(|&id| uuid(id))).expect("16 bytes");
        with_column(part, "id", Arc::new(array))
    };
    parts(&folder, &panel, [&same, &bytes]);
    let refused = estimate(&folder, COLUMNS);
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.stderr.contains("FixedSizeBinary(16)") && refused.stderr.contains("Int64"),
        "{}",
        refused.stderr
    );
}

#[test]
fn folder_values_are_text_unless_they_are_used_as_numbers() {
    let (lab, panel) = (Lab::new(), default_panel());
    let root = lab.write("x", &panel).with_extension("hive");
    let codes = whole(&panel, "industry");
    let write = |names: &[&str; 7]| {
        let _ = fs::remove_dir_all(&root);
        for (industry, name) in (1..).zip(names) {
            let folder = root.join(format!("region={name}"));
            fs::create_dir_all(&folder).expect("a folder");
            let own = rows_where(&panel, "industry", |code| code == f64::from(industry));
            write_parquet(&folder.join("part.parquet"), &own);
        }
    };
    let named = |names: &[&str; 7]| {
        let all = texts(codes.iter().map(|&code| names[code as usize - 1].to_owned()));
        with_column(&panel, "region", all)
    };
    for names in [["1", "01", "2", "A", "null", "NA", "1.0"], ["1", "01", "2", "02", "1e0", "3", "+3"]] {
        write(&names);
        for options in ["--xformla '~ factor(region)' --est-method reg", "--clustervars region"] {
            let own = on(&root, options);
            assert_eq!(own["att_gt"], lab.run(&named(&names), options)["att_gt"], "{names:?} {options}");
        }
    }
    write(&["1", "2", "3", "4", "5", "6", "7"]);
    let options = "--xformla '~ region' --est-method reg";
    let numbered = with_column(&panel, "region", ints(codes.iter().copied()));
    assert_eq!(on(&root, options)["att_gt"], lab.run(&numbered, options)["att_gt"], "a number");
}

#[test]
fn a_missing_identifier_costs_its_row_alone() {
    let (lab, panel) = (Lab::new(), default_panel());
    let holed = Int64Array::from_iter(whole(&panel, "id").iter().map(|&id| (id != 3).then_some(id)));
    let own = lab.run(&with_column(&panel, "id", Arc::new(holed)), "");
    let without = lab.run(&rows_where(&panel, "id", |id| id != 3.0), "");
    assert_eq!((&own["att_gt"], &own["n"]), (&without["att_gt"], &without["n"]));
    let lowest = whole(&panel, "id").into_iter().map(|id| if id == 3 { i64::MIN } else { id });
    assert_eq!(lab.run(&with_column(&panel, "id", ints(lowest)), "")["n"], 120);
}

/// Periods and cohorts of the default panel under other names; 0 is never treated.
fn renamed(panel: &RecordBatch, name: &dyn Fn(i64) -> String, to: &DataType) -> RecordBatch {
    let text = |column: &str| {
        let of = |value: i64| (value != 0).then(|| name(value));
        let array: ArrayRef = Arc::new(StringArray::from_iter(whole(panel, column).into_iter().map(of)));
        cast(&array, to).expect("a cast of periods")
    };
    with_column(&with_column(panel, "time", text("time")), "group", text("group"))
}

fn month(period: i64) -> String {
    // From October on, so that a new year is among them.
    let number = 12 * 2020 + 8 + period;
    format!("{}-{:02}", number / 12, number % 12 + 1)
}

fn month_end(period: i64) -> String {
    let day = match period {
        1 | 3 | 4 => 31,
        5 => 28,
        _ => 30,
    };
    format!("{}-{day}", month(period))
}

type Name = Box<dyn Fn(i64) -> String>;

/// Names, their type, their unit, and the first period as it is written.
fn calendars() -> Vec<(Name, DataType, &'static str, &'static str)> {
    let stamp = |unit, zone: Option<&str>| DataType::Timestamp(unit, zone.map(Into::into));
    let starts = || -> Name { Box::new(|p| format!("{}-01", month(p))) };
    vec![
        (starts(), DataType::Date32, "month", "2020-10-01"),
        (starts(), DataType::Date64, "month", "2020-10-01"),
        (starts(), stamp(TimeUnit::Microsecond, None), "month", "2020-10-01"),
        (starts(), stamp(TimeUnit::Second, Some("+00:00")), "month", "2020-10-01"),
        (Box::new(month_end), DataType::Date32, "month", "2020-10-31"),
        (Box::new(month), DataType::Utf8, "month", "2020-10"),
        (Box::new(|p| format!("2020m{p}")), DataType::LargeUtf8, "month", "2020m1"),
        (
            Box::new(|p| format!("{}Q{}", 2019 + (p + 1) / 4, (p + 1) % 4 + 1)),
            DataType::Utf8,
            "quarter",
            "2019Q3",
        ),
        (Box::new(|p| format!("2020-W{p:02}")), DataType::Utf8View, "week", "2020-W01"),
        (Box::new(|p| format!("2020-02-{:02}", 26 + p)), DataType::Date32, "day", "2020-02-27"),
        (Box::new(|p| format!("{}-01-01", 2000 + p)), DataType::Date32, "year", "2001-01-01"),
        (Box::new(|p| format!("{}-06-30", 2000 + p)), DataType::Utf8, "year", "2001-06-30"),
    ]
}

#[test]
fn dates_are_periods_in_steps_of_their_unit() {
    let (lab, panel) = (Lab::new(), default_panel());
    let plain = lab.run(&panel, "--est-method reg");
    for (place, (name, to, unit, first)) in calendars().into_iter().enumerate() {
        let dated = match unit {
            "day" => renamed(&rows_where(&panel, "time", |t| t < 4.0), &*name, &to),
            _ => renamed(&panel, &*name, &to),
        };
        let own = lab.run(&dated, "--est-method reg");
        let what = format!("{first} as {to}");
        assert_eq!(own["time_unit"], unit, "{what}");
        assert_eq!(own["att_gt"]["time_label"][0], name(2), "{what}: the first cell");
        assert_eq!(own["aggte"]["calendar"]["egt_label"][0], own["att_gt"]["group_label"][0], "{what}");
        if unit != "day" {
            for key in ["att", "se"] {
                assert_eq!(own["att_gt"][key], plain["att_gt"][key], "{what}: {key}");
            }
            for key in ["egt", "att_egt", "se_egt"] {
                assert_eq!(own["aggte"]["dynamic"][key], plain["aggte"]["dynamic"][key], "{what}: {key}");
            }
            assert_eq!(own["aggte"]["group"]["egt_label"][0], name(3), "{what}");
        }
        let (path, options) = (lab.write("dated", &dated), format!("{COLUMNS} --est-method reg"));
        let store = path.with_extension(format!("store-{place}"));
        prepare(&path, &options, &store, "").success();
        let stored = estimate(&store, &format!("{options} --bstrap false")).success().json();
        assert_eq!(stored, own, "{what}: a store has the same result");
    }
}

#[test]
fn dates_come_from_tables_and_folders_too() {
    let (lab, panel) = (Lab::new(), default_panel());
    let plain = lab.run(&panel, "");
    let starts = |p: i64| format!("{}-01", month(p));
    let dated = renamed(&panel, &starts, &DataType::Date32);
    let csv = lab.write("x", &dated).with_extension("csv");
    write_csv(&csv, &dated);
    let own = on(&csv, "");
    assert_eq!((&own["time_unit"], &own["att_gt"]["att"]), (&"month".into(), &plain["att_gt"]["att"]));
    let root = csv.with_extension("hive");
    let months = renamed(&panel, &month, &DataType::Utf8);
    for period in 1..=5 {
        let folder = root.join(format!("time={}", month(period)));
        fs::create_dir_all(&folder).expect("a folder");
        let rows: Vec<usize> = whole(&panel, "time")
            .iter()
            .enumerate()
            .filter(|(_, t)| **t == period)
            .map(|(row, _)| row)
            .collect();
        write_parquet(
            &folder.join("part.parquet"),
            &without_column(&stagger_test_support::tables::rows(&months, rows), "time"),
        );
    }
    let own = on(&root, "");
    assert_eq!((&own["time_unit"], &own["att_gt"]["att"]), (&"month".into(), &plain["att_gt"]["att"]));
    // One part has dates, the other text of the same months.
    let folder = csv.with_extension("parts");
    let as_dates = |part: &RecordBatch| renamed(part, &starts, &DataType::Date32);
    let as_text = |part: &RecordBatch| renamed(part, &month, &DataType::Utf8);
    parts(&folder, &panel, [&as_dates, &as_text]);
    let own = on(&folder, "");
    assert_eq!((&own["time_unit"], &own["att_gt"]["att"]), (&"month".into(), &plain["att_gt"]["att"]));
    assert_eq!(own["att_gt"]["time_label"][0], "2020-11");
}

#[test]
fn units_are_asked_for_where_dates_are_irregular() {
    let (lab, panel) = (Lab::new(), default_panel());
    let plain = lab.run(&panel, "");
    // Somewhere in the month.
    let waves = |p: i64| format!("{}-{:02}", month(p), 3 + 5 * p % 7 + p);
    let dated = renamed(&panel, &waves, &DataType::Date32);
    let path = lab.write("waves", &dated);
    let refused = estimate(&path, COLUMNS);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    for word in ["`time`", "`group`", "no clear unit", "--tunit"] {
        assert!(refused.stderr.contains(word), "no {word}: {}", refused.stderr);
    }
    let own = on(&path, "--tunit month");
    assert_eq!(own["att_gt"]["att"], plain["att_gt"]["att"]);
    assert_eq!(own["aggte"]["dynamic"]["egt"], plain["aggte"]["dynamic"]["egt"]);
    assert_eq!(own["att_gt"]["time_label"][0], "2020-11");
    let numbers = lab.write("numbers", &panel);
    assert_eq!(estimate(&numbers, &format!("{COLUMNS} --tunit month")).code, Some(2));
    assert_eq!(estimate(&numbers, &format!("{COLUMNS} --tunit fortnight")).code, Some(2));
    // Months beside years.
    let years = with_column(
        &dated,
        "group",
        ints(whole(&panel, "group").into_iter().map(|g| if g == 0 { 0 } else { 2020 })),
    );
    let refused = estimate(&lab.write("mixed", &years), COLUMNS);
    assert!(refused.code == Some(2) && refused.stderr.contains("2020"), "{}", refused.stderr);
}

#[test]
fn years_as_text_are_numbers() {
    let (lab, panel) = (Lab::new(), default_panel());
    let shifted =
        |column: &str| ints(whole(&panel, column).into_iter().map(|v| if v == 0 { 0 } else { 2000 + v }));
    let years = with_column(&with_column(&panel, "time", shifted("time")), "group", shifted("group"));
    let plain = lab.run(&years, "");
    let text = with_type(&with_type(&years, "time", &DataType::Utf8), "group", &DataType::Utf8);
    assert_eq!(lab.run(&text, ""), plain);
}

#[test]
fn fractions_of_single_precision_keep_their_event_times() {
    let (lab, panel) = (Lab::new(), default_panel());
    let plain = lab.run(&panel, "");
    let twelfths = |column: &str| {
        let of = |v: i64| if v == 0 { 0.0 } else { 2001.0 + v as f64 / 12.0 };
        stagger_test_support::tables::floats(whole(&panel, column).into_iter().map(of))
    };
    let exact = with_column(&with_column(&panel, "time", twelfths("time")), "group", twelfths("group"));
    for (time, group) in [
        (DataType::Float32, DataType::Float32),
        (DataType::Float32, DataType::Float64),
        (DataType::Float64, DataType::Float32),
        (DataType::Decimal128(10, 4), DataType::Decimal128(10, 4)),
        (DataType::Decimal128(12, 6), DataType::Float64),
    ] {
        let own = lab.run(&with_type(&with_type(&exact, "time", &time), "group", &group), "");
        let what = format!("{time} and {group}");
        for key in ["att", "se"] {
            assert_eq!(own["att_gt"][key], plain["att_gt"][key], "{what}: {key}");
        }
        let steps = |result: &Value| -> Vec<f64> { floats(&result["aggte"]["dynamic"]["egt"]) };
        let found: Vec<f64> = steps(&own).into_iter().map(|e| (e * 12.0 * 1e6).round() / 1e6).collect();
        assert_eq!(found, steps(&plain), "{what}");
        assert_eq!(own["aggte"]["dynamic"]["att_egt"], plain["aggte"]["dynamic"]["att_egt"], "{what}");
    }
}
