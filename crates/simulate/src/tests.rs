//! The same rows in every layout, the truth in the data, and bad arguments.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use arrow_select::concat::concat_batches;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use tempfile::TempDir;

use super::*;

mod designs;

/// A small panel; what a test needs otherwise it sets.
fn args(folder: &TempDir) -> SimulateArgs {
    SimulateArgs {
        units: 300,
        periods: 7,
        cohorts: 3,
        covariates: 2,
        never_share: 0.2,
        seed: 5,
        files: 1,
        layout: Layout::Sorted,
        force: false,
        eligible_share: None,
        cross_sections: false,
        missing_share: 0.0,
        first_period: 1,
        clusters: None,
        time_varying_covariates: false,
        effect: 1.0,
        noise: 1.0,
        row_group_rows: Some(64),
        compression: Compression::Zstd,
        id_type: IdType::Int,
        out: folder.path().join("panel.parquet"),
    }
}

/// The rows of a panel, one batch a file, in the order of file names.
fn read(out: &Path) -> Vec<RecordBatch> {
    let mut paths = vec![out.to_owned()];
    if out.is_dir() {
        paths = fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
    }
    let read_file = |path: &PathBuf| {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
        let schema = reader.schema().clone();
        let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
        concat_batches(&schema, &batches).unwrap()
    };
    paths.iter().map(read_file).collect()
}

/// Every row as (id, time, the bits of the other columns), in the order of the files.
fn rows(out: &Path) -> Vec<(i64, i32, Vec<u64>)> {
    let row = |batch: &RecordBatch, row: usize| {
        let others = (2..batch.num_columns()).map(|column| {
            let column = batch.column(column);
            match column.as_primitive_opt::<Float64Type>() {
                Some(values) => values.value(row).to_bits(),
                None => column.as_primitive::<Int32Type>().value(row) as u64,
            }
        });
        let id = batch.column(0).as_primitive::<Int64Type>().value(row);
        (id, batch.column(1).as_primitive::<Int32Type>().value(row), others.collect())
    };
    read(out)
        .iter()
        .flat_map(|batch| (0..batch.num_rows()).map(|i| row(batch, i)).collect::<Vec<_>>())
        .collect()
}

fn truth(args: &SimulateArgs) -> Value {
    serde_json::from_slice(&fs::read(output::truth_path(&args.out)).unwrap()).unwrap()
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

#[test]
fn every_layout_and_number_of_files_holds_the_same_rows() {
    let folder = TempDir::new().unwrap();
    let base = args(&folder);
    simulate(&base).unwrap();
    let sorted = rows(&base.out);
    assert_eq!(sorted.len(), 2100);
    assert!(sorted.is_sorted_by_key(|(id, time, _)| (*id, *time)));
    let expected = truth(&base);
    for layout in [Layout::Sorted, Layout::Shuffled, Layout::ByPeriod] {
        for files in [1, 2, 3, 7, 11] {
            let out = folder.path().join(format!("{layout:?}-{files}"));
            let args =
                SimulateArgs { layout, files, out, row_group_rows: Some(50 + files * 13), ..base.clone() };
            simulate(&args).unwrap();
            let mut found = rows(&args.out);
            match layout {
                Layout::Sorted => assert_eq!(found, sorted, "{files} files"),
                Layout::ByPeriod => {
                    assert!(found.is_sorted_by_key(|(id, time, _)| (*time, *id)), "{files} files")
                }
                Layout::Shuffled => assert_ne!(found, sorted, "{files} files"),
            }
            found.sort();
            assert!(found == sorted, "{layout:?}, {files} files");
            for key in ["group", "time", "att", "aggte", "cohorts"] {
                assert_eq!(truth(&args)[key], expected[key], "{layout:?}, {files} files");
            }
        }
    }
}

#[test]
fn files_hold_whole_units_or_whole_periods() {
    let folder = TempDir::new().unwrap();
    for (layout, column) in [(Layout::Sorted, 0), (Layout::ByPeriod, 1)] {
        let args = SimulateArgs {
            layout,
            files: 4,
            out: folder.path().join(format!("{layout:?}")),
            ..args(&folder)
        };
        simulate(&args).unwrap();
        let mut home = HashMap::new();
        for (file, batch) in read(&args.out).iter().enumerate() {
            for row in 0..batch.num_rows() {
                let key = match column {
                    0 => batch.column(0).as_primitive::<Int64Type>().value(row),
                    _ => i64::from(batch.column(1).as_primitive::<Int32Type>().value(row)),
                };
                assert_eq!(*home.entry(key).or_insert(file), file, "{layout:?}, key {key}");
            }
        }
    }
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 4, "two folders and two truths: {names:?}");
}

#[test]
fn sorted_row_groups_hold_whole_units() {
    let folder = TempDir::new().unwrap();
    let order = layout::RowOrder::new(&args(&folder));
    let row_groups = order.row_groups(3, 64).unwrap();
    assert!(row_groups.iter().all(|row_group| row_group.rows.start % 7 == 0 && row_group.rows.end % 7 == 0));
    assert_eq!(row_groups[0], layout::RowGroup { file: 0, rows: 0..63 });
    assert_eq!(row_groups.last().unwrap().rows.end, 2100);
}

/// Without noise and covariates the difference in differences of cell means is the truth.
#[test]
fn truth_is_in_the_data() {
    let folder = TempDir::new().unwrap();
    let args = SimulateArgs { covariates: 0, noise: 0.0, first_period: 2001, effect: -0.7, ..args(&folder) };
    simulate(&args).unwrap();
    let mut means: HashMap<(i32, i32), (f64, f64)> = HashMap::new();
    for (_, time, others) in rows(&args.out) {
        let mean = means.entry((others[0] as i32, time)).or_default();
        *mean = (mean.0 + f64::from_bits(others[1]), mean.1 + 1.0);
    }
    let mean = |group, time| means[&(group, time)].0 / means[&(group, time)].1;
    let truth = truth(&args);
    let (groups, times, att) = (floats(&truth["group"]), floats(&truth["time"]), floats(&truth["att"]));
    assert_eq!(att.len(), 3 * 6);
    for ((group, time), att) in groups.iter().zip(&times).zip(&att) {
        let (group, time) = (*group as i32, *time as i32);
        let base = if time >= group { group - 1 } else { time - 1 };
        let found = (mean(group, time) - mean(group, base)) - (mean(0, time) - mean(0, base));
        assert!((found - att).abs() < 1e-12, "({group}, {time}): {found}, truth {att}");
    }
    let treated = groups.iter().zip(&times).filter(|(group, time)| time >= group).count();
    assert_eq!(att.iter().filter(|att| **att < 0.0).count(), treated);
}

/// By hand: cohorts 2 (ATT 1, 2) and 3 (ATT 0.75) of three periods, with the shares that were drawn.
#[test]
fn aggregations_weight_by_cohort_shares() {
    let folder = TempDir::new().unwrap();
    let args = SimulateArgs { periods: 3, cohorts: 2, ..args(&folder) };
    simulate(&args).unwrap();
    let truth = truth(&args);
    assert_eq!(floats(&truth["att"]), [1.0, 2.0, 0.0, 0.75]);
    let units = floats(&truth["cohorts"]["units"]);
    assert_eq!(units.iter().sum::<f64>(), 300.0);
    let (early, late) = (units[1], units[2]);
    let close =
        |found: &Value, expected: f64| assert!((found.as_f64().unwrap() - expected).abs() < 1e-12, "{found}");
    let aggte = &truth["aggte"];
    close(&aggte["simple"]["overall_att"], (3.0 * early + 0.75 * late) / (2.0 * early + late));
    close(&aggte["group"]["overall_att"], (1.5 * early + 0.75 * late) / (early + late));
    let both = (2.0 * early + 0.75 * late) / (early + late);
    close(&aggte["calendar"]["overall_att"], (1.0 + both) / 2.0);
    let first = (early + 0.75 * late) / (early + late);
    assert_eq!(aggte["dynamic"]["egt"], serde_json::json!([-1, 0, 1]));
    close(&aggte["dynamic"]["att_egt"][1], first);
    close(&aggte["dynamic"]["overall_att"], (first + 2.0) / 2.0);
}

#[test]
fn shares_weights_and_clusters_are_as_promised() {
    let folder = TempDir::new().unwrap();
    let args = SimulateArgs {
        units: 20_000,
        periods: 2,
        cohorts: 1,
        clusters: Some(40),
        row_group_rows: None,
        ..args(&folder)
    };
    simulate(&args).unwrap();
    let rows = rows(&args.out);
    let mean = |value: &dyn Fn(&Vec<u64>) -> f64| {
        rows.iter().map(|row| value(&row.2)).sum::<f64>() / rows.len() as f64
    };
    let never = mean(&|others| f64::from(u8::from(others[0] == 0)));
    let weight = mean(&|others| f64::from_bits(others[5]));
    assert!((never - 0.2).abs() < 0.02 && (weight - 1.0).abs() < 0.02, "{never} {weight}");
    assert!(rows.iter().all(|row| (1..=40).contains(&row.2[4]) && f64::from_bits(row.2[5]) > 0.0));
    // Selection: who is treated has larger x1 and smaller x2.
    let selected = mean(&|others| {
        if others[0] == 0 { 0.0 } else { f64::from_bits(others[2]) - f64::from_bits(others[3]) }
    });
    assert!(selected > 0.05, "{selected}");
}

#[test]
fn options_change_only_what_they_say() {
    let folder = TempDir::new().unwrap();
    let base = args(&folder);
    simulate(&base).unwrap();
    let mut expected = rows(&base.out);
    let varying = SimulateArgs {
        time_varying_covariates: true,
        compression: Compression::Snappy,
        first_period: 2000,
        ..base.clone()
    };
    simulate(&varying).unwrap();
    let mut found = rows(&varying.out);
    assert_ne!(found[1].2[2], expected[1].2[2], "x1 moves");
    for (mine, theirs) in found.iter_mut().zip(&mut expected) {
        mine.1 -= 1999;
        mine.2[0] = mine.2[0].saturating_sub(1999);
        (mine.2[2], mine.2[3], theirs.2[2], theirs.2[3]) = (0, 0, 0, 0);
    }
    assert!(found == expected, "only x, time and group differ");

    let strings = SimulateArgs { id_type: IdType::String, compression: Compression::None, ..base };
    simulate(&strings).unwrap();
    let batch = &read(&strings.out)[0];
    assert_eq!(batch.column(0).as_string::<i32>().value(7), "u0000000002");
    assert!((0..batch.num_columns()).all(|column| batch.column(column).null_count() == 0));
}

#[test]
fn bad_arguments_say_what_would_do() {
    let folder = TempDir::new().unwrap();
    let good = args(&folder);
    let message = |args: SimulateArgs| {
        let error = simulate(&args).unwrap_err();
        assert!(error.is_input() && error.hint().is_some(), "{error}");
        error.to_string()
    };
    let with = |change: &dyn Fn(&mut SimulateArgs)| {
        let mut args = good.clone();
        change(&mut args);
        message(args)
    };
    insta::assert_snapshot!(with(&|args| args.units = 0), @"--units is 0 but must be at least 1");
    insta::assert_snapshot!(with(&|args| args.units = u64::MAX), @"--units is 18446744073709551615 but must be at most 1317624576693539401 for --periods 7");
    insta::assert_snapshot!(with(&|args| args.periods = 1), @"--periods is 1 but must be at least 2");
    insta::assert_snapshot!(with(&|args| args.cohorts = 0), @"--cohorts is 0 but must be at least 1");
    insta::assert_snapshot!(with(&|args| args.cohorts = 7), @"--cohorts is 7 but must be at most 6 for --periods 7");
    insta::assert_snapshot!(with(&|args| args.never_share = 1.0), @"--never-share is 1 but must be at least 0 and below 1");
    insta::assert_snapshot!(with(&|args| args.never_share = f64::NAN), @"--never-share is NaN but must be at least 0 and below 1");
    insta::assert_snapshot!(with(&|args| args.first_period = -1), @"--first-period is -1 but must be at least 0");
    insta::assert_snapshot!(with(&|args| args.first_period = i32::MAX), @"--first-period is 2147483647 but must be at most 2147483641 for --periods 7");
    insta::assert_snapshot!(with(&|args| args.clusters = Some(301)), @"--clusters is 301 but must be between 1 and 300");
    insta::assert_snapshot!(with(&|args| args.effect = f64::INFINITY), @"--effect is inf but must be a number");
    insta::assert_snapshot!(with(&|args| args.noise = -1.0), @"--noise is -1 but must be at least 0");
    insta::assert_snapshot!(with(&|args| args.files = 0), @"--files is 0 but must be at least 1");
    insta::assert_snapshot!(with(&|args| args.files = 301), @"--files is 301 but must be at most 300, the number of units");
    insta::assert_snapshot!(with(&|args| args.row_group_rows = Some(0)), @"--row-group-rows is 0 but must be at least 1");
    insta::assert_snapshot!(with(&|args| (args.units, args.row_group_rows) = (1_000_000, Some(1))), @"--row-group-rows is 1 but must be so large that a file has at most 32767 row groups, not 1000000");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is written");
}

#[test]
fn paths_of_the_wrong_kind_are_left_alone() {
    let folder = TempDir::new().unwrap();
    let (file, full, empty) =
        (folder.path().join("file"), folder.path().join("full"), folder.path().join("empty"));
    fs::write(&file, "kept").unwrap();
    fs::create_dir(&full).unwrap();
    fs::create_dir(&empty).unwrap();
    fs::write(full.join("part-00000.parquet"), "kept").unwrap();
    let message = |out: &Path, files| {
        let error = simulate(&SimulateArgs { out: out.to_owned(), files, ..args(&folder) }).unwrap_err();
        assert!(error.is_input() && error.hint().is_some(), "{error}");
        error.to_string().replace(&folder.path().display().to_string(), "")
    };
    insta::assert_snapshot!(message(&full, 1), @"/full is a folder but --files 1 would write a file");
    insta::assert_snapshot!(message(&full, 2), @"/full is a folder with files in it but --files 2 would write a new folder");
    insta::assert_snapshot!(message(&file, 2), @"/file is a file but --files 2 would write a folder");
    insta::assert_snapshot!(message(Path::new("/"), 1), @r#"--out is "/" but must be the path of a file, or of a folder with --files above 1"#);
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    simulate(&SimulateArgs { out: empty.clone(), files: 2, ..args(&folder) }).unwrap();
    assert_eq!(rows(&empty).len(), 2100);
}

#[test]
fn unwritable_folder_is_named() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("missing").join("panel.parquet");
    for files in [1, 2] {
        let error = simulate(&SimulateArgs { out: out.clone(), files, ..args(&folder) }).unwrap_err();
        assert!(!error.is_input());
        assert_eq!(error.hint().unwrap(), "create the folder first");
        let message = error.to_string();
        assert!(
            message.starts_with("can't write ") && message.ends_with(": no such file or directory"),
            "{message}"
        );
    }
}

/// A killed run leaves temporary files; the next one takes them away.
#[test]
fn left_over_temporary_files_are_replaced() {
    let folder = TempDir::new().unwrap();
    let hidden = folder.path().join(".panel.parquet.tmp");
    fs::create_dir(&hidden).unwrap();
    fs::write(hidden.join("part-00009.parquet"), "old").unwrap();
    let args = SimulateArgs { files: 2, ..args(&folder) };
    simulate(&args).unwrap();
    assert_eq!(fs::read_dir(&args.out).unwrap().count(), 2);
    assert!(!hidden.exists());
}
