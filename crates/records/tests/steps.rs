//! Steps on small files, against the rows that they must make.

#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use std::fs;
use std::path::Path;

use stagger_model::csv_options::{ColumnRole, ColumnSelection};
use stagger_model::error::Result;
use stagger_model::record_options::{Keep, Lookup, Step, TreatmentStep};

use stagger_records::{Source, list_input_files, with_texts};

fn select(path: &Path, steps: &[Step], columns: &[&str]) -> Result<Source> {
    let mut selection = ColumnSelection::default();
    columns.iter().for_each(|name| selection.add(name, ColumnRole::Number));
    selection.records.steps = steps.to_vec();
    Source::select(list_input_files(&[path.display().to_string()])?, &selection)
}

/// Returns the rows of a source as text, columns separated by blanks.
fn rows(source: &Source, columns: &[&str]) -> Vec<String> {
    let names: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
    let mut out: Vec<Vec<String>> = Vec::new();
    for chunk in source.chunks() {
        let read = source.read(chunk, &names, |_, arrays| {
            let start = out.len();
            out.resize(start + arrays[0].len(), Vec::new());
            for array in arrays {
                with_texts(array, |texts| {
                    let shown = texts.into_iter().map(|text| text.unwrap_or("NA").to_owned());
                    out[start..].iter_mut().zip(shown).for_each(|(row, text)| row.push(text));
                    Ok(())
                })?;
            }
            Ok(())
        });
        read.unwrap();
    }
    out.into_iter().map(|row| row.join(" ")).collect()
}

/// Writes a file, takes steps and returns the rows.
fn made(text: &str, steps: &[Step], columns: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, text).unwrap();
    rows(&select(&path, steps, columns).unwrap(), columns)
}

fn refused(text: &str, steps: &[Step], columns: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, text).unwrap();
    match select(&path, steps, columns) {
        Ok(_) => panic!("{steps:?} was taken"),
        Err(error) => format!("{error}\nhint: {}", error.hint().unwrap_or_default()),
    }
}

fn keep(text: &str) -> Step {
    Step::Where(text.to_owned())
}

fn derive(text: &str) -> Step {
    Step::Let(text.to_owned())
}

fn treatment(absorbing: bool) -> Step {
    let own = |name: &str| name.to_owned();
    Step::Treatment(TreatmentStep {
        column: own("d"),
        id: own("id"),
        time: own("t"),
        cohort: own("g"),
        absorbing,
    })
}

fn dedupe(keep: Keep) -> Step {
    Step::Dedupe { by: "id, t".to_owned(), keep }
}

fn fill(values: &str) -> Step {
    Step::Fill { values: values.to_owned(), id: "id".to_owned(), time: "t".to_owned() }
}

const SALES: &str = "status,day,dose\nS,01022006,1.5\nX,01032006,2\nS,12312007,\nS,06152007,4\n";

#[test]
fn rows_are_filtered_and_columns_derived_in_order() {
    let steps = [
        keep("status == \"S\""),
        derive("year = year(as.Date(day, \"%m%d%Y\")), y = dose * 2"),
        derive("y = coalesce(y, 0)"),
        keep("year >= 2006"),
    ];
    assert_eq!(made(SALES, &steps, &["year", "y"]), ["2006 3", "2007 0", "2007 8"]);
    // The same columns replace themselves, and the order of steps matters.
    let steps = [derive("dose = dose + 1"), derive("dose = dose * 10"), keep("dose > 25")];
    assert_eq!(made(SALES, &steps, &["dose", "status"]), ["30 X", "50 S"]);
}

#[test]
fn reports_count_the_rows_of_each_step() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, SALES).unwrap();
    let steps = [keep("status == \"S\""), derive("t = 1"), keep("dose > 0")];
    let source = select(&path, &steps, &["dose"]).unwrap();
    let counts: Vec<(u64, u64)> = source.steps().iter().map(|step| (step.rows_in, step.rows_out)).collect();
    assert_eq!(counts, [(4, 3), (3, 3), (3, 2)]);
    assert_eq!(source.steps()[0].step, "where status == \"S\"");
    let infos = source.file_infos();
    assert_eq!((infos.len(), infos[0].rows, infos[0].url.as_str()), (1, 4, path.to_str().unwrap()));
}

#[test]
fn faults_of_steps_are_named() {
    for (steps, expected) in [
        (vec![keep("staus == 1")], "where: there is no column `staus`"),
        (vec![keep("dose")], "where: a condition is TRUE or FALSE, not numbers"),
        (vec![keep("dose > 100")], "the step `where dose > 100` leaves none of 4 rows"),
        (vec![derive("dose * 2")], "let: `dose * 2` does not say which column gets the value"),
        (vec![derive("y = dose * status")], "let: numbers are expected here, not text"),
        (
            vec![Step::Dedupe { by: "dose + 1".into(), keep: Keep::Error }],
            "dedupe: `dose + 1` is no list of columns",
        ),
    ] {
        let found = refused(SALES, &steps, &["dose"]);
        assert!(found.contains(expected), "{found}");
    }
}

const TREATED: &str = "id,t,d\n1,1,0\n1,2,1\n1,3,1\n2,1,0\n2,2,0\n2,3,0\n3,2,1\n3,3,1\n4,1,1\n4,2,1\n";

#[test]
fn a_treatment_becomes_the_first_treated_period() {
    let expected = ["1 1 2", "1 2 2", "1 3 2", "2 1 0", "2 2 0", "2 3 0", "3 2 2", "3 3 2", "4 1 1", "4 2 1"];
    assert_eq!(made(TREATED, &[treatment(false)], &["id", "t", "g"]), expected);
    let texts = TREATED.replace(",1\n", ",TRUE\n").replace(",0\n", ",FALSE\n");
    assert_eq!(made(&texts, &[treatment(false)], &["id", "t", "g"]), expected);
    // Periods that are text keep their text, and the never treated have no cohort.
    let months = "id,t,d\na,2020m2,0\na,2020m10,1\nb,2020m2,0\n";
    assert_eq!(
        made(months, &[treatment(false)], &["id", "t", "g"]),
        ["a 2020m2 2020m10", "a 2020m10 2020m10", "b 2020m2 NA"]
    );
}

#[test]
fn a_treatment_that_switches_off_is_refused_or_taken_as_absorbing() {
    let text = "id,t,d\n1,1,0\n1,2,1\n1,3,0\n2,1,0\n2,2,\n2,3,0\n";
    let found = refused(text, &[treatment(false)], &["id", "t", "g"]);
    assert!(found.contains("`d` switches off: id 1 is treated in 2 and untreated in 3"), "{found}");
    assert!(found.contains("hint: --absorbing"), "{found}");
    assert_eq!(
        made(text, &[treatment(true)], &["id", "t", "g"]),
        ["1 1 2", "1 2 2", "1 3 2", "2 1 0", "2 2 0", "2 3 0"]
    );
    let found = refused("id,t,d\n1,1,0\n1,2,2\n", &[treatment(false)], &["id", "t", "g"]);
    assert!(found.contains("column `d` holds `2`, where a treatment is 0 or 1"), "{found}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, format!("{text}3,2,1\n")).unwrap();
    let notes = select(&path, &[treatment(true)], &["id", "t", "g"]).unwrap().notes().join("\n");
    assert!(notes.contains("--absorbing changed 1 of 3 units"), "{notes}");
    assert!(notes.contains("1 units are treated in their first row"), "{notes}");
    assert!(notes.contains("`d` is missing in 1 rows"), "{notes}");
}

const TWICE: &str = "id,t,y\n1,1,10\n1,1,11\n2,1,20\n1,2,12\n2,1,21\n";

#[test]
fn one_row_of_each_key_is_kept() {
    assert_eq!(made(TWICE, &[dedupe(Keep::First)], &["id", "t", "y"]), ["1 1 10", "2 1 20", "1 2 12"]);
    assert_eq!(made(TWICE, &[dedupe(Keep::Last)], &["id", "t", "y"]), ["1 1 11", "1 2 12", "2 1 21"]);
    let found = refused(TWICE, &[dedupe(Keep::Error)], &["id", "t", "y"]);
    assert!(found.contains("rows 1 and 2 at this step have the same key: id 1, t 1"), "{found}");
    let once = made(TWICE, &[dedupe(Keep::First), dedupe(Keep::Error)], &["id", "t", "y"]);
    assert_eq!(once.len(), 3);
}

#[test]
fn absent_pairs_are_filled() {
    let text = "id,t,y,x,g\n1,1,5,a,3\n1,3,6,b,3\n2,2,7,c,0\n";
    assert_eq!(
        made(text, &[fill("y = 0")], &["id", "t", "y", "x", "g"]),
        ["1 1 5 a 3", "1 3 6 b 3", "2 2 7 c 0", "1 2 0 NA 3", "2 1 0 c 0", "2 3 0 c 0"]
    );
    let found = refused(text, &[fill("x = 0")], &["id", "t", "x"]);
    assert!(found.contains("column `x` has type Utf8, which does not hold"), "{found}");
    let found = refused(text, &[fill("y = t")], &["id", "t", "y"]);
    assert!(found.contains("there is no column `t`"), "{found}");
}

#[test]
fn the_rows_do_not_depend_on_the_division_into_files() {
    let folder = tempfile::tempdir().unwrap();
    let line = |row: usize| {
        let (id, t) = (row % 4000, row / 4000);
        format!("{id},{t},{},{}\n", u8::from(t > id % 12), row % 13)
    };
    let steps = [keep("v != 5"), derive("y = v * 2L"), treatment(false), fill("y = 0L"), dedupe(Keep::Error)];
    let mut found: Vec<Vec<String>> = Vec::new();
    for files in [1, 3] {
        let own = folder.path().join(files.to_string());
        fs::create_dir(&own).unwrap();
        for file in 0..files {
            let rows = (0..40_000).filter(|row| row * files / 40_000 == file).map(line);
            fs::write(own.join(format!("{file}.csv")), format!("id,t,d,v\n{}", rows.collect::<String>()))
                .unwrap();
        }
        let source = select(&own, &steps, &["id", "t", "g", "y"]).unwrap();
        assert_eq!(source.rows(), 40_000);
        found.push(rows(&source, &["id", "t", "g", "y"]));
    }
    assert!(found[0].iter().any(|row| row.ends_with(" 24")));
    let sorted = |rows: &[String]| {
        let mut rows = rows.to_vec();
        rows.sort();
        rows
    };
    assert_eq!(sorted(&found[0]), sorted(&found[1]));
}

fn collapse(values: &str, by: &str) -> Step {
    Step::Collapse { values: values.to_owned(), by: by.to_owned() }
}

const GROUPED: &str = "fips,year,dose,mme,state\n01,2006,0.1,2,AL\n02,2006,1,1,AK\n01,2006,0.2,3,AL\n01,2005,,5,AL\n01,2006,0.3,4,AL\n";

#[test]
fn groups_are_collapsed_in_the_order_of_their_keys() {
    let values = "y = sum(dose * mme), n = n(), s = first(state), m = mean(dose), w = weighted.mean(dose, mme), \
                  low = min(dose), high = max(mme), big = any(mme > 3), k = n_distinct(mme), total = sum(mme)";
    let columns = ["fips", "year", "y", "n", "s", "m", "w", "low", "high", "big", "k", "total"];
    assert_eq!(
        made(GROUPED, &[collapse(values, "fips, year")], &columns),
        [
            "01 2005 NA 1 AL NA NA NA 5 true 1 5",
            "01 2006 2 3 AL 0.19999999999999998 0.2222222222222222 0.1 4 true 3 9",
            "02 2006 1 1 AK 1 1 1 1 false 1 1",
        ]
    );
    let values = "y = sum(dose, na.rm = TRUE), m = mean(dose, na.rm = TRUE), sd = sd(mme)";
    assert_eq!(
        made(GROUPED, &[collapse(values, "state")], &["state", "y", "m", "sd"]),
        ["AK 1 1 NA", "AL 0.6 0.19999999999999998 1.2909944487358056"]
    );
}

#[test]
fn faults_of_collapsing_are_named() {
    for (values, by, expected) in [
        ("y = sum(dose)", "fip", "there is no column `fip`"),
        ("y = sum(dsoe)", "fips", "there is no column `dsoe`"),
        ("y = summ(dose)", "fips", "did you mean sum()?"),
        ("sum(dose)", "fips", "this has no name"),
        ("y = dose", "fips", "a function over the rows of a group is expected here"),
        ("y = sum(dose, 1)", "fips", "sum() takes 1 arguments beside na.rm, not 2"),
        ("y = sum(state)", "fips", "`y` takes numbers, not text"),
        ("y = first(mme)", "fips", "`y` is first(…) of different values in fips 01: `2` and `5`"),
        ("fips = n()", "fips", "`fips` is both a group and a value"),
    ] {
        let found = refused(GROUPED, &[collapse(values, by)], &["fips"]);
        assert!(found.contains(expected), "{values} by {by}: {found}");
    }
    let large = "id,x\n1,9223372036854775807\n1,1\n";
    let found = refused(large, &[collapse("y = sum(x)", "id")], &["y"]);
    assert!(found.contains("the sum `y` of id 1 exceeds 64 bits: 9223372036854775808"), "{found}");
}

#[test]
fn sums_have_the_same_bits_for_any_order_and_division() {
    let folder = tempfile::tempdir().unwrap();
    let value = |row: usize| ((row * 7919 % 10_007) as f64 - 5000.0) * 1.1f64.powi((row % 400) as i32 - 200);
    let line = |row: usize| format!("{},{}\n", row % 97, value(row));
    let mut found: Vec<Vec<String>> = Vec::new();
    for (files, turned) in [(1, false), (4, true)] {
        let own = folder.path().join(files.to_string());
        fs::create_dir(&own).unwrap();
        let mut all: Vec<String> = (0..100_000).map(line).collect();
        if turned {
            all.reverse();
        }
        for (file, rows) in all.chunks(100_000 / files).enumerate() {
            fs::write(own.join(format!("{file}.csv")), format!("id,x\n{}", rows.concat())).unwrap();
        }
        let steps = [collapse("y = sum(x), m = mean(x * x), s = sd(x), w = weighted.mean(x, abs(x))", "id")];
        found.push(rows(
            &select(&own, &steps, &["id", "y", "m", "s", "w"]).unwrap(),
            &["id", "y", "m", "s", "w"],
        ));
    }
    assert_eq!(found[0].len(), 97);
    assert_eq!(found[0], found[1]);
}

fn lookup(table: &Path, by: &str, inner: bool) -> Step {
    Step::Lookup(Lookup { table: table.display().to_string(), by: by.to_owned(), inner })
}

#[test]
fn columns_of_a_table_are_looked_up() {
    let folder = tempfile::tempdir().unwrap();
    let laws = folder.path().join("laws.csv");
    fs::write(&laws, "st,law,unused\nAL,2006,x\nAK,,y\n").unwrap();
    let text = "state,v\nAL,1\nCA,2\nAK,3\n,4\n";
    let step = |inner| lookup(&laws, "state = st", inner);
    assert_eq!(
        made(text, &[step(false)], &["state", "v", "law"]),
        ["AL 1 2006", "CA 2 NA", "AK 3 NA", "NA 4 NA"]
    );
    assert_eq!(made(text, &[step(true)], &["v", "law"]), ["1 2006", "3 NA"]);
    let later = [step(true), keep("is.na(law)")];
    assert_eq!(made(text, &later, &["state"]), ["AK"]);
    fs::write(&laws, "st,law\nAL,2006\nAK,1\nAL,2007\n").unwrap();
    let found = refused(text, &[step(false)], &["law"]);
    assert!(found.contains("rows 1 and 3 of") && found.contains("have the same key: st AL"), "{found}");
    fs::write(&laws, "st,v\nAL,2006\n").unwrap();
    let found = refused(text, &[keep("v > 0"), step(false)], &["v"]);
    assert!(found.contains("column `v` is both in the records and in"), "{found}");
    fs::write(&laws, "st,law\n1,2006\n").unwrap();
    let found = refused(text, &[step(false)], &["law"]);
    assert!(found.contains("`state` has type Utf8 in the records, and `st` type Int64"), "{found}");
}

fn reshape(stubs: &[&str], column: &str) -> Step {
    Step::ReshapeLong {
        stubs: stubs.iter().map(|stub| (*stub).to_owned()).collect(),
        column: column.to_owned(),
    }
}

#[test]
fn wide_columns_become_rows() {
    let text = "id,lemp2003,lemp_2004,lpop2003,g\n1,1.5,2,7,0\n2,3,4,8,2004\n";
    assert_eq!(
        made(text, &[reshape(&["lemp", "lpop"], "year")], &["id", "year", "lemp", "lpop", "g"]),
        ["1 2003 1.5 7 0", "1 2004 2 NA 0", "2 2003 3 8 2004", "2 2004 4 NA 2004"]
    );
    for (step, expected) in [
        (reshape(&["lemq"], "year"), "no column begins with `lemq`"),
        (reshape(&["lemp"], "g"), "there is a column `g` already"),
        (reshape(&["l"], "year"), "have types"),
    ] {
        let text = text.replace("lpop2003", "lpop").replace(",7,", ",a,");
        let found = refused(&text, &[step], &["id"]);
        assert!(found.contains(expected), "{found}");
    }
}
