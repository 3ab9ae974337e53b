//! CSV files as people have them: every dialect gives the numbers of the plain file, codes stay as they are written, what can't be read
//! is named with its row; a treatment indicator and missing values are recognised.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use stagger_test_support::tables::numbers;
use stagger_tests::cli::{Output, run, words};
use stagger_tests::spoiled::Spoiled;

const NAMES: &str = "--yname y --tname t --idname id --gname g --bstrap false";

/// A folder with files of text.
struct Bench {
    case: Spoiled,
}

/// A row of the panel.
struct Row {
    unit: usize,
    period: usize,
    cohort: usize,
    y: f64,
    x: f64,
}

/// 60 units, periods 1 to 6, cohorts 0, 3 and 5.
fn rows() -> Vec<Row> {
    let mut out = Vec::new();
    for unit in 1..=60 {
        let cohort = [0, 3, 5][unit % 3];
        for period in 1..=6 {
            let noise = (unit * 7919 + period * 104_729) % 1000;
            let effect = if cohort > 0 && period >= cohort { 2.0 } else { 0.0 };
            let y = (noise as f64) / 1000.0 + effect + 0.25 * period as f64;
            out.push(Row { unit, period, cohort, y, x: ((unit * 37) % 100) as f64 / 64.0 });
        }
    }
    out
}

/// The panel with `cell(row)` behind its columns.
fn panel(header: &str, cells: impl Fn(&Row) -> String) -> String {
    let mut text = format!("{header}\n");
    for row in rows() {
        writeln!(text, "{}", cells(&row)).expect("a text");
    }
    text
}

fn plain(separator: char) -> String {
    let s = separator;
    panel(&format!("id{s}t{s}g{s}y{s}x"), |r| {
        format!("{}{s}{}{s}{}{s}{}{s}{}", r.unit, r.period, r.cohort, r.y, r.x)
    })
}

impl Bench {
    fn new() -> Self {
        Self { case: Spoiled::new() }
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.case.inside(name);
        fs::write(&path, bytes).expect("a small file");
        path
    }

    fn run(&self, name: &str, bytes: impl AsRef<[u8]>, options: &str) -> Output {
        let path = self.write(name, bytes);
        let mut args = vec!["run".to_owned(), path.display().to_string()];
        args.extend(words(&format!("{NAMES} --json {options}")));
        run(&args)
    }

    /// The result of a file without its warnings and what depends on options of reading.
    fn result(&self, name: &str, bytes: impl AsRef<[u8]>, options: &str) -> Value {
        self.run(name, bytes, options).success().json()
    }

    fn refused(&self, name: &str, bytes: impl AsRef<[u8]>, options: &str, words: &[&str]) {
        self.case.assert_refused(&self.run(name, bytes, options), 2, words);
    }
}

#[test]
fn every_dialect_is_the_plain_file() {
    let bench = Bench::new();
    let expected = bench.result("plain.csv", plain(','), "--xformla '~ x'");
    let decimal_commas = plain(';').replace('.', ",");
    let utf16 = |text: &str| -> Vec<u8> {
        "\u{feff}"
            .chars()
            .chain(text.chars())
            .collect::<String>()
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect()
    };
    let quoted = panel("\"id\",\"t\",\"g\",\"y\",\"x\"", |r| {
        format!("\"{}\",\"{}\",\"{}\",\"{}\",\"{}\"", r.unit, r.period, r.cohort, r.y, r.x)
    });
    let files: Vec<(&str, Vec<u8>, &str)> = vec![
        ("a.csv", plain(';').into(), ""),
        ("b.csv", decimal_commas.clone().into(), ""),
        ("c.csv", plain('|').into(), ""),
        ("d.csv", plain('\t').into(), ""),
        ("e.txt", plain('\t').into(), ""),
        ("f.tsv", plain('\t').into(), ""),
        ("g.csv", plain(' ').into(), ""),
        ("h.csv", plain(':').into(), "--csv-delimiter :"),
        ("i.csv", plain(',').replace('\n', "\r\n").into(), ""),
        ("j.csv", plain(',').replace('\n', "\r").into(), ""),
        ("k.csv", format!("\u{feff}{}", plain(',')).into(), ""),
        ("l.csv", utf16(&decimal_commas), ""),
        ("m.csv", quoted.clone().into(), ""),
        ("n.csv", quoted.replace('"', "'").into(), ""),
        ("o.csv", decimal_commas.into(), "--csv-delimiter semicolon --csv-decimal ,"),
        ("p.csv", format!("\n{}\n\n", plain(',').replace('\n', "\n\n")).into(), ""),
    ];
    for (name, bytes, options) in files {
        let found = bench.result(name, bytes, &format!("--xformla '~ x' {options}"));
        assert_eq!(found["att_gt"], expected["att_gt"], "{name}");
        assert_eq!((&found["aggte"], &found["vcov"]), (&expected["aggte"], &expected["vcov"]), "{name}");
        assert_eq!(found["n"], 60, "{name}");
    }
}

#[test]
fn whole_ids_have_the_bits_of_parquet() {
    let case = Spoiled::new();
    let options = "--yname y --tname time --idname id --gname group --biters 50 --json";
    let parquet = case.run(&case.panel, "--biters 50").success().json();
    let mut text = "id,time,group,y\n".to_owned();
    let column = |name: &str| numbers(&case.panel, name);
    let (id, time, group, y) = (column("id"), column("time"), column("group"), column("y"));
    for row in 0..id.len() {
        writeln!(text, "{},{},{},{}", id[row], time[row], group[row], y[row]).expect("a text");
    }
    let path = case.inside("panel.csv");
    fs::write(&path, text).expect("a small file");
    let mut args = vec!["run".to_owned(), path.display().to_string()];
    args.extend(words(options));
    assert_eq!(run(&args).success().json()["att_gt"], parquet["att_gt"]);
}

#[test]
fn codes_stay_as_they_are_written() {
    let bench = Bench::new();
    let coded = |codes: [&'static str; 3]| {
        panel("id,t,g,y,region", move |r| {
            format!("{},{},{},{},{}", r.unit, r.period, r.cohort, r.y, codes[(r.unit / 7) % 3])
        })
    };
    for options in ["--xformla '~ factor(region)'", "--clustervars region"] {
        let expected = bench.result("clean.csv", coded(["1", "2", "3"]), options);
        for codes in
            [["1", "01", "2"], ["1E2", "10E1", "2E2"], ["1.0", "1", "2"], ["+1", "1", "2"], ["a", "A", "b"]]
        {
            let found = bench.result("codes.csv", coded(codes), options);
            let (found, expected) = (&found["att_gt"]["se"], &expected["att_gt"]["se"]);
            let close = |a: &Value, b: &Value| (a.as_f64(), b.as_f64());
            for (a, b) in
                found.as_array().into_iter().flatten().zip(expected.as_array().into_iter().flatten())
            {
                if let (Some(a), Some(b)) = close(a, b) {
                    assert!((a - b).abs() < 1e-9 * b.abs(), "{codes:?} {options}: {a} and {b}");
                }
            }
        }
    }
    // Units 1 and 01 are two.
    let ids = panel("id,t,g,y", |r| {
        format!("{},{},{},{}", ["1", "01"][r.unit % 2].repeat(r.unit.div_ceil(2)), r.period, r.cohort, r.y)
    });
    let cut: String = ids.lines().take(1 + 6 * 20).map(|line| format!("{line}\n")).collect();
    assert_eq!(bench.result("ids.csv", cut, "")["n"], 20);
    let parts = bench.case.inside("parts");
    fs::create_dir(&parts).expect("a folder");
    let half = |name: &str, code: &str, from: usize| {
        let text = panel("id,t,g,y", |r| format!("{code}{},{},{},{}", r.unit, r.period, r.cohort, r.y));
        let lines: Vec<&str> = text.lines().collect();
        let body = lines[1 + 6 * from..1 + 6 * (from + 30)].join("\n");
        fs::write(parts.join(name), format!("{}\n{body}\n", lines[0])).expect("a small file");
    };
    half("a.csv", "", 0);
    half("b.csv", "0", 0);
    let mut args = vec!["run".to_owned(), parts.display().to_string()];
    args.extend(words(&format!("{NAMES} --json")));
    assert_eq!(run(&args).success().json()["n"], 60, "1 in one part and 01 in the next are two units");
}

#[test]
fn texts_like_na_are_text_among_text() {
    let bench = Bench::new();
    let regions = |codes: [&'static str; 3]| {
        panel("id,t,g,y,region", move |r| {
            format!("{},{},{},{},{}", r.unit, r.period, r.cohort, r.y, codes[(r.unit / 7) % 3])
        })
    };
    let expected = bench.result("clean.csv", regions(["EU", "NAM", "SA"]), "--xformla '~ region'");
    for codes in [["EU", "NA", "SA"], ["\"EU\"", "\"NA\"", "\"SA\""]] {
        let found = bench.result("na.csv", regions(codes), "--xformla '~ region'");
        assert_eq!((&found["n"], &found["att_gt"]), (&expected["n"], &expected["att_gt"]), "{codes:?}");
        let told = found["warnings"].to_string();
        assert_eq!(told.contains("`NA`") && told.contains("`region`"), codes[1] == "NA", "{told}");
    }
    let without = bench.result("na.csv", regions(["EU", "NA", "SA"]), "--xformla '~ region' --csv-na NA");
    assert!(without["n"].as_u64() < Some(60) && without["dropped"]["missing"][0]["column"] == "region");
    let ids = panel("id,t,g,y", |r| {
        let name = ["NA", "nan", "null", "u"][r.unit.min(4) - 1];
        let tail = if r.unit < 4 { String::new() } else { r.unit.to_string() };
        format!("{name}{tail},{},{},{}", r.period, r.cohort, r.y)
    });
    assert_eq!(bench.result("ids.csv", ids, "")["n"], 60);
}

#[test]
fn missing_values_are_located() {
    let bench = Bench::new();
    let text = panel("id,t,g,y,x,w", |r| {
        let y = if r.unit == 4 && r.period <= 3 { "NA".into() } else { r.y.to_string() };
        let x = match (r.unit, r.period) {
            (4, 3) => String::new(),
            (9, 2) => "Inf".into(),
            (11, _) => "0".into(),
            _ => (r.x + 1.0).to_string(),
        };
        format!("{},{},{},{y},{x},1", r.unit, r.period, r.cohort)
    });
    let found = bench.result("panel.csv", text, "--xformla '~ log(x)' --weightsname w");
    let missing = &found["dropped"]["missing"];
    let of = |column: &str| -> (u64, u64, u64) {
        let entry =
            missing.as_array().expect("a list").iter().find(|m| m["column"] == column).expect("the column");
        assert!(entry["first"]["file"].as_str().is_some_and(|file| file.ends_with("panel.csv")));
        let number = |value: &Value| value.as_u64().expect("a count");
        (number(&entry["rows"]), number(&entry["infinite"]), number(&entry["first"]["row"]))
    };
    assert_eq!(of("y"), (3, 0, 19));
    assert_eq!(of("x"), (2, 1, 21));
    assert_eq!(of("log(x)"), (6, 6, 61));
    assert_eq!(found["dropped"]["reasons"]["missing or infinite values"], 3 + 1 + 6, "{missing}");
    let told = found["warnings"].to_string();
    for words in [
        "dropped 10 rows",
        "3 in `y`",
        "row 19 of",
        "2 (1 of them infinite) in `x`",
        "6 infinite in `log(x)`",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
}

#[test]
fn covariates_that_vary_are_told() {
    let bench = Bench::new();
    let varying = panel("id,t,g,y,x", |r| {
        format!("{},{},{},{},{}", r.unit, r.period, r.cohort, r.y, r.x + r.period as f64)
    });
    let told = bench.result("a.csv", varying, "--xformla '~ x'")["warnings"].to_string();
    assert!(told.contains("`x` varies in time") && told.contains("earlier"), "{told}");
    let told = bench.result("b.csv", plain(','), "--xformla '~ x'")["warnings"].to_string();
    assert!(!told.contains("in time"), "{told}");
}

#[test]
fn what_can_not_be_read_is_named() {
    let bench = Bench::new();
    let headless: String = plain(',').lines().skip(1).map(|line| format!("{line}\n")).collect();
    bench.refused("a.csv", headless, "", &["a.csv", "the first line holds numbers", "`y`"]);
    bench.refused("b.csv", plain(',').to_uppercase(), "", &["did you mean", "`ID`"]);
    bench.refused(
        "c.csv",
        plain(',').replace("\n1,2,", "\n# a comment\n1,2,"),
        "",
        &["row 2 (line 3)", "comment"],
    );
    bench.refused("d.csv", format!("# made by hand\n{}", plain(',')), "", &["comment", "# made by hand"]);
    bench.refused(
        "e.csv",
        plain(',').replacen("\n1,3,3,", "\n1,3,3,n/k,", 1),
        "",
        &["row 3 (line 4)", "6 fields"],
    );
    let bad = plain(',').replacen("\n1,3,3,", "\n1,3,3,n/k", 1);
    bench.refused("f.csv", bad, "", &["yname", "`y`", "`n/k", "row 3 (line 4)", "f.csv"]);
    let bad = plain(',').replacen("\n1,3,3,", "\n1,third,3,", 1);
    bench.refused("p.csv", bad, "", &["tname", "`t`", "`third`", "row 3 (line 4)"]);
    bench.refused("g.csv", plain(':'), "", &["--csv-delimiter ':'", "id:t:g:y:x"]);
    let latin = [&b"id,t,g,y,r\n"[..], &b"1,1,0,0.5,k\xf6ln\n"[..]].concat();
    bench.refused(
        "h.csv",
        latin,
        "--xformla '~ r'",
        &["UTF-8", "`r`", "row 1 (line 2)", "--csv-encoding latin1"],
    );
    bench.refused("i.csv", "id,t,g,y\n1,1,0,\"0.5\n1,2,0,0.7\n", "", &["line 2", "never closed"]);
    bench.refused(
        "j.csv",
        "id;t;g;y;x\n1;1;0;0,5;1.5\n",
        "--xformla '~ x'",
        &["`0,5`", "`1.5`", "--csv-decimal"],
    );
    bench.refused("k.csv", "id,t,g,y\n1,1,0,0.5\n", "--csv-encoding ebcdic", &["csv_encoding", "latin1"]);
}

#[test]
fn a_column_twice_is_refused_where_it_is_asked_for() {
    let bench = Bench::new();
    let twice = |last: &str| {
        panel(&format!("id,t,g,y,x,{last}"), |r| {
            format!("{},{},{},{},{},7", r.unit, r.period, r.cohort, r.y, r.x)
        })
    };
    bench.refused("a.csv", twice("y"), "", &["a.csv", "two columns are called `y`", "4th", "6th"]);
    bench.refused("b.csv", twice("Y"), "", &["`y`", "`Y`", "4th", "6th"]);
    bench.result("c.csv", twice("x"), "");
    let path = bench.write("d.csv", twice("y")).display().to_string();
    let out = bench.case.inside("store").display().to_string();
    for line in [
        format!("describe {path} --yname y"),
        format!("prepare {path} --yname y --tname t --idname id --gname g --out {out}"),
    ] {
        bench.case.assert_refused(&run(&words(&line)), 2, &["two columns are called `y`"]);
    }
}

#[test]
fn a_treatment_indicator_is_recognised() {
    let bench = Bench::new();
    let dummy = |on: &'static str, off: &'static str, start: usize, constant: bool| {
        panel("id,t,g,y", move |r| {
            let treated = r.cohort > 0 && (constant || r.period >= r.cohort);
            format!("{},{},{},{}", r.unit, r.period + start, if treated { on } else { off }, r.y)
        })
    };
    for (on, off) in [("1", "0"), ("true", "false"), ("1.0", "0.0"), ("treated", "control")] {
        for start in [0, 2000] {
            let (three, five) = ((start + 3).to_string(), (start + 5).to_string());
            let words =
                ["treatment indicator", "`g`", &three, &five, "ave(ifelse(df$g == ", "--gname cohort"];
            bench.refused("turns.csv", dummy(on, off, start, false), "", &words);
            bench.refused("turns.csv", dummy(on, off, start, false), "--allow-unbalanced-panel", &words);
            let words = ["treatment indicator", "`g`", "not when", "--gname cohort"];
            bench.refused("ever.csv", dummy(on, off, start, true), "", &words);
            bench.refused(
                "sections.csv",
                dummy(on, off, start, false),
                "--panel false",
                &["treatment indicator", &three],
            );
        }
    }
    let back = panel("id,t,g,y", |r| {
        let treated = r.cohort > 0 && r.period >= r.cohort && r.period != 6;
        format!("{},{},{},{}", r.unit, r.period, u8::from(treated), r.y)
    });
    bench.refused("back.csv", back, "", &["treatment indicator", "is treated in 3 but not in 6"]);
    let dates = panel("id,t,g,y", |r| {
        let treated = r.cohort > 0 && r.period >= r.cohort;
        format!("{},2004-0{}-01,{},{}", r.unit, r.period, if treated { "yes" } else { "no" }, r.y)
    });
    bench.refused("dates.csv", dates, "", &["treatment indicator", "2004-03-01 and 2004-05-01"]);
    // Two periods, neither of them 1: the indicator is read as treatment in the later one.
    let two = panel("id,t,g,y", |r| {
        format!("{},{},{},{}", r.unit, r.period + 2000, usize::from(r.cohort > 0), r.y)
    });
    let early = |line: &&str| !["3", "4", "5", "6"].iter().any(|late| line.contains(&format!(",200{late},")));
    let two: String = two.lines().filter(early).map(|line| format!("{line}\n")).collect();
    bench.result("two.csv", two, "");
}

/// Large files of many columns are read within a small limit of memory.
#[test]
#[cfg(target_os = "linux")]
fn memory_does_not_grow_with_the_file() {
    let bench = Bench::new();
    let wide = "0.123456789,".repeat(150);
    let names: Vec<String> = (0..150).map(|i| format!("v{i}")).collect();
    let mut text = format!("{},id,t,g,y\n", names.join(","));
    for unit in 0..12_000 {
        for period in 1..=4 {
            writeln!(text, "{wide}{unit},{period},{},{}", [0, 3][unit % 2], (unit * period) % 17)
                .expect("a text");
        }
    }
    let path = bench.write("wide.csv", &text);
    assert!(text.len() > 85_000_000, "{}", text.len());
    let mut command = std::process::Command::new("sh");
    command.arg("-c").arg(format!(
        "ulimit -v 1500000; exec {} run {} {NAMES} --threads 1 --json --memory-limit 200MB",
        stagger_tests::cli::binary().display(),
        path.display()
    ));
    let output = command.output().expect("a shell");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
