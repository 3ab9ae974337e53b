//! Triple differences, cross sections and unbalanced panels.

use super::*;

/// The values of a column over all files, in their order.
fn column(out: &Path, name: &str) -> Vec<f64> {
    let values = |batch: &RecordBatch| -> Vec<f64> {
        let column = batch.column_by_name(name).unwrap();
        match column.as_primitive_opt::<Float64Type>() {
            Some(values) => values.values().to_vec(),
            None => column.as_primitive::<Int32Type>().values().iter().copied().map(f64::from).collect(),
        }
    };
    read(out).iter().flat_map(values).collect()
}

/// Every row as the bits of its columns other than id, sorted.
fn sorted_rows(out: &Path) -> Vec<Vec<u64>> {
    let batch = &read(out)[0];
    let names: Vec<String> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
    let columns: Vec<Vec<f64>> =
        names.iter().filter(|name| *name != "id").map(|name| column(out, name)).collect();
    let mut rows: Vec<Vec<u64>> = (0..columns[0].len())
        .map(|row| columns.iter().map(|column| column[row].to_bits()).collect())
        .collect();
    rows.sort();
    rows
}

/// The rows that the footers promise, and that the row groups of every file add up to.
fn promised_rows(out: &Path) -> i64 {
    let files: Vec<PathBuf> = if out.is_dir() {
        fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path()).collect()
    } else {
        vec![out.to_owned()]
    };
    let promised = |path: &PathBuf| {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
        let metadata = reader.metadata().clone();
        let groups: i64 = metadata.row_groups().iter().map(|group| group.num_rows()).sum();
        assert_eq!(groups, metadata.file_metadata().num_rows(), "{}", path.display());
        groups
    };
    files.iter().map(promised).sum()
}

/// Mean outcome of every (group, time) among the rows that are wanted.
fn means(out: &Path, wanted: impl Fn(usize) -> bool) -> HashMap<(i32, i32), f64> {
    let (groups, times, outcomes) = (column(out, "group"), column(out, "time"), column(out, "y"));
    let mut sums: HashMap<(i32, i32), (f64, f64)> = HashMap::new();
    for row in (0..outcomes.len()).filter(|row| wanted(*row)) {
        let sum = sums.entry((groups[row] as i32, times[row] as i32)).or_default();
        *sum = (sum.0 + outcomes[row], sum.1 + 1.0);
    }
    sums.into_iter().map(|(key, (sum, count))| (key, sum / count)).collect()
}

/// The difference in differences of a cohort against the never treated, from the period before its treatment or,
/// before that, from the period before.
fn did(means: &HashMap<(i32, i32), f64>, group: i32, time: i32) -> f64 {
    let base = if time >= group { group - 1 } else { time - 1 };
    (means[&(group, time)] - means[&(group, base)]) - (means[&(0, time)] - means[&(0, base)])
}

/// The cells of the truth: (group, time, ATT).
fn cells(args: &SimulateArgs) -> Vec<(i32, i32, f64)> {
    let truth = truth(args);
    let (groups, times, att) = (floats(&truth["group"]), floats(&truth["time"]), floats(&truth["att"]));
    (0..att.len()).map(|cell| (groups[cell] as i32, times[cell] as i32, att[cell])).collect()
}

/// One of each design, and two together.
fn designs(base: &SimulateArgs) -> Vec<SimulateArgs> {
    vec![
        SimulateArgs { eligible_share: Some(0.4), ..base.clone() },
        SimulateArgs { cross_sections: true, ..base.clone() },
        SimulateArgs { missing_share: 0.3, ..base.clone() },
        SimulateArgs { cross_sections: true, eligible_share: Some(0.6), ..base.clone() },
        SimulateArgs { missing_share: 0.9, eligible_share: Some(0.6), ..base.clone() },
    ]
}

#[test]
fn designs_hold_the_same_rows_in_every_layout() {
    let folder = TempDir::new().unwrap();
    for (number, design) in designs(&args(&folder)).into_iter().enumerate() {
        let mut expected = None;
        for layout in [Layout::Sorted, Layout::Shuffled, Layout::ByPeriod] {
            for files in [1, 3, 11] {
                let out = folder.path().join(format!("{number}-{layout:?}-{files}"));
                let args = SimulateArgs { layout, files, out, ..design.clone() };
                let written = simulate(&args).unwrap();
                assert_eq!(written.rows as i64, promised_rows(&args.out), "{args:?}");
                assert_eq!(written.rows as usize, column(&args.out, "time").len(), "{args:?}");
                let mut truth = truth(&args);
                truth.as_object_mut().unwrap().remove("arguments");
                let found = (sorted_rows(&args.out), truth);
                assert!(*expected.get_or_insert_with(|| found.clone()) == found, "{args:?}");
            }
        }
    }
}

/// Row groups of which nothing is left are not written, files without a row are.
#[test]
fn nearly_everything_may_be_missing() {
    let folder = TempDir::new().unwrap();
    let args =
        SimulateArgs { missing_share: 0.999, row_group_rows: Some(1), units: 40, files: 3, ..args(&folder) };
    let written = simulate(&args).unwrap();
    assert!(written.rows < 5, "{} rows", written.rows);
    assert_eq!(fs::read_dir(&args.out).unwrap().count(), 3);
    assert_eq!(promised_rows(&args.out), written.rows as i64);
}

/// Without the new options nothing is new: rows of a panel written before there were any.
#[test]
fn panels_are_frozen() {
    let folder = TempDir::new().unwrap();
    let args = args(&folder);
    simulate(&args).unwrap();
    // FNV-1a over the bits of the sorted rows.
    let hash = sorted_rows(&args.out)
        .iter()
        .flatten()
        .flat_map(|bits| bits.to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    assert_eq!(hash, 0x21dd_9232_82e7_63ea);
    let arguments = truth(&args)["arguments"].as_object().unwrap().clone();
    for option in ["eligible_share", "cross_sections", "missing_share"] {
        assert!(!arguments.contains_key(option), "{option}");
    }
}

#[test]
fn missing_rows_are_left_out_of_the_panel_alone() {
    let folder = TempDir::new().unwrap();
    let full = SimulateArgs { units: 3000, periods: 3, cohorts: 2, ..args(&folder) };
    simulate(&full).unwrap();
    let all = rows(&full.out);
    let gaps = SimulateArgs { missing_share: 0.25, out: folder.path().join("gaps.parquet"), ..full };
    simulate(&gaps).unwrap();
    let left = rows(&gaps.out);
    let share = 1.0 - left.len() as f64 / all.len() as f64;
    assert!((share - 0.25).abs() < 0.02, "{share}");
    let mut others = all.iter();
    assert!(left.iter().all(|row| others.any(|other| other == row)), "the rows that are left are the same");
    let seen: std::collections::HashSet<i64> = left.iter().map(|row| row.0).collect();
    let vanished = 3000 - seen.len();
    assert!((25..75).contains(&vanished), "{vanished} of 3000 units should be 47");
    assert_eq!(floats(&truth(&gaps)["cohorts"]["units"]).iter().sum::<f64>(), seen.len() as f64);
}

#[test]
fn eligibility_is_constant_and_independent_of_the_cohort() {
    let folder = TempDir::new().unwrap();
    let args =
        SimulateArgs { units: 20_000, periods: 2, cohorts: 1, eligible_share: Some(0.4), ..args(&folder) };
    simulate(&args).unwrap();
    let (partition, group, x1) =
        (column(&args.out, "partition"), column(&args.out, "group"), column(&args.out, "x1"));
    assert!(partition.chunks(2).all(|unit| unit[0] == unit[1] && [0.0, 1.0].contains(&unit[0])));
    let share = |wanted: &dyn Fn(usize) -> bool| {
        let rows: Vec<usize> = (0..partition.len()).filter(|row| wanted(*row)).collect();
        rows.iter().map(|row| partition[*row]).sum::<f64>() / rows.len() as f64
    };
    for found in [
        share(&|row| group[row] == 0.0),
        share(&|row| group[row] > 0.0),
        share(&|row| x1[row] > 0.5),
        share(&|row| x1[row] < -0.5),
    ] {
        assert!((found - 0.4).abs() < 0.03, "{found}");
    }
    let without = SimulateArgs { eligible_share: None, out: folder.path().join("plain.parquet"), ..args };
    simulate(&without).unwrap();
    assert_eq!(column(&without.out, "group"), group, "who is treated stays the same");
}

/// Without noise and covariates the triple difference of cell means is the truth; that of the eligible alone is not.
#[test]
fn triple_differences_find_the_truth() {
    let folder = TempDir::new().unwrap();
    let args = SimulateArgs { covariates: 0, noise: 0.0, eligible_share: Some(0.5), ..args(&folder) };
    simulate(&args).unwrap();
    let partition = column(&args.out, "partition");
    let eligible = means(&args.out, |row| partition[row] == 1.0);
    let others = means(&args.out, |row| partition[row] == 0.0);
    for (group, time, att) in cells(&args) {
        let found = did(&eligible, group, time) - did(&others, group, time);
        assert!((found - att).abs() < 1e-12, "({group}, {time}): {found}, truth {att}");
        let biased = did(&eligible, group, time);
        assert!(biased - att > 0.05, "({group}, {time}): {biased}, truth {att}");
    }
}

#[test]
fn cross_sections_find_the_truth_on_average() {
    let folder = TempDir::new().unwrap();
    let shape = SimulateArgs { units: 20_000, periods: 3, cohorts: 1, covariates: 0, ..args(&folder) };
    let args = SimulateArgs { cross_sections: true, clusters: Some(20_000), row_group_rows: None, ..shape };
    assert_eq!(simulate(&args).unwrap().rows, 60_000);
    assert!(read(&args.out)[0].column_by_name("id").is_none());
    let outcomes = column(&args.out, "y");
    let distinct: std::collections::HashSet<u64> = outcomes.iter().map(|y| y.to_bits()).collect();
    assert_eq!(distinct.len(), outcomes.len());
    let means = means(&args.out, |_| true);
    for (group, time, att) in cells(&args) {
        let found = did(&means, group, time);
        assert!((found - att).abs() < 0.2, "({group}, {time}): {found}, truth {att}");
    }
    let (times, groups) = (column(&args.out, "time"), column(&args.out, "group"));
    for time in [1.0, 2.0, 3.0] {
        let never = (0..times.len()).filter(|row| times[*row] == time && groups[*row] == 0.0).count();
        assert!((3800..4200).contains(&never), "{never} of 20000 in period {time}");
    }
    assert_eq!(floats(&truth(&args)["cohorts"]["units"]).iter().sum::<f64>(), 60_000.0);
}

#[test]
fn designs_that_contradict_are_refused() {
    let folder = TempDir::new().unwrap();
    let with = |change: &dyn Fn(&mut SimulateArgs)| {
        let mut args = args(&folder);
        change(&mut args);
        let error = simulate(&args).unwrap_err();
        assert!(error.is_input() && error.hint().is_some(), "{error}");
        error.to_string()
    };
    insta::assert_snapshot!(with(&|args| args.eligible_share = Some(0.0)), @"--eligible-share is 0 but must be above 0 and below 1");
    insta::assert_snapshot!(with(&|args| args.eligible_share = Some(1.0)), @"--eligible-share is 1 but must be above 0 and below 1");
    insta::assert_snapshot!(with(&|args| args.eligible_share = Some(f64::NAN)), @"--eligible-share is NaN but must be above 0 and below 1");
    insta::assert_snapshot!(with(&|args| args.missing_share = 1.0), @"--missing-share is 1 but must be at least 0 and below 1");
    insta::assert_snapshot!(with(&|args| args.missing_share = -0.1), @"--missing-share is -0.1 but must be at least 0 and below 1");
    insta::assert_snapshot!(with(&|args| (args.cross_sections, args.missing_share) = (true, 0.1)), @"--missing-share is 0.1 but must be 0 with --cross-sections");
    insta::assert_snapshot!(with(&|args| (args.cross_sections, args.id_type) = (true, IdType::String)), @"--id-type is string but must be left out with --cross-sections");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is written");
}
