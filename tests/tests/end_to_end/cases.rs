//! Inputs as people have them: each folder of `fixtures/cases` has a `case.toml` with commands, the figures that are right (of the same
//! panel in a clean form, or from numpy) and what must be said. Figures are compared to 1e-9 relative, 1e-6 for `dr` and `ipw` with covariates.
//!
//! `value` holds the figures; `says` patterns of standard output and standard error together, all of which must be found; `silent` patterns
//! none of which may be. A block without `value.exit` and without figures must end with 0 or 2.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;
use serde_json::Value;
use stagger_tests::cli::{binary, workspace};
use toml::Table;

/// One command of a case.
struct Block<'a> {
    name: String,
    folder: &'a Path,
    table: &'a Table,
}

/// What a command left.
struct Left {
    line: String,
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Block<'_> {
    fn line(&self, out: &Path) -> String {
        let command = self.table["command"].as_str().expect("a command");
        let line = command
            .replace("{case}", &self.folder.display().to_string())
            .replace("{out}", &out.display().to_string());
        let plain =
            line.trim_start().starts_with("stagger run") && !line.contains("&&") && !line.contains(';');
        if plain && !line.contains("--json") { format!("{} --json", line.trim_end()) } else { line }
    }

    fn run(&self) -> Left {
        let scratch = tempfile::tempdir().expect("a folder");
        let out = scratch.path().join("out");
        fs::create_dir(&out).expect("a folder");
        let line = self.line(&out);
        let programs = binary().parent().expect("a folder of the program").display().to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new("sh")
            .args(["-c", &line])
            .current_dir(scratch.path())
            .env("PATH", format!("{programs}:{path}"))
            .env("NO_COLOR", "1")
            .env("XDG_CACHE_HOME", scratch.path())
            .output()
            .expect("a shell");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Left { line, code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    fn patterns(&self, key: &str) -> Vec<Regex> {
        let all = self.table.get(key).and_then(toml::Value::as_array).cloned().unwrap_or_default();
        all.iter().map(|p| Regex::new(p.as_str().expect("a pattern")).expect("a valid pattern")).collect()
    }

    /// What is wrong with what the command left.
    fn faults(&self, left: &Left) -> Vec<String> {
        let mut faults = Vec::new();
        let said = format!("{}\n{}", left.stdout, left.stderr);
        if !matches!(left.code, Some(0..=2)) || left.stderr.contains("panicked at") {
            faults.push(format!("exit {:?}", left.code));
        }
        faults.extend(
            self.patterns("says").iter().filter(|p| !p.is_match(&said)).map(|p| format!("does not say {p}")),
        );
        faults.extend(
            self.patterns("silent").iter().filter(|p| p.is_match(&said)).map(|p| format!("says {p}")),
        );
        if let Some(value) = self.table.get("value").and_then(toml::Value::as_table) {
            faults.extend(compare(value, left));
        }
        faults
    }
}

/// Keys of `value` that are about one JSON object of a run.
const FIGURES: [&str; 10] = [
    "n",
    "simple_att",
    "simple_se",
    "cells",
    "window_cells",
    "dynamic",
    "event_times",
    "event_times_in_twelfths",
    "wald",
    "rows_by_column",
];

fn compare(value: &Table, left: &Left) -> Vec<String> {
    let exit = value.get("exit").and_then(toml::Value::as_integer);
    if let Some(exit) = exit
        && left.code.map(i64::from) != Some(exit)
    {
        return vec![format!("exit {:?}, {exit} is right", left.code)];
    }
    if exit.unwrap_or(0) != 0 || !FIGURES.iter().any(|key| value.contains_key(*key)) {
        return Vec::new();
    }
    let Ok(found) = serde_json::from_str::<Value>(left.stdout.lines().next().unwrap_or_default()) else {
        return vec![format!("exit {:?} and no JSON object: {}", left.code, left.stderr)];
    };
    let loose = left.line.contains("xformla") && !left.line.contains("--est-method reg");
    let judge = Judge { value, found: &found, tolerance: if loose { 1e-6 } else { 1e-9 } };
    [judge.figures(), judge.cells(), judge.dynamic()].concat()
}

struct Judge<'a> {
    value: &'a Table,
    found: &'a Value,
    tolerance: f64,
}

impl Judge<'_> {
    fn near(&self, found: &Value, right: f64) -> bool {
        found
            .as_f64()
            .is_some_and(|x| (x - right).abs() <= self.tolerance * x.abs().max(right.abs()).max(1e-12))
    }

    fn figures(&self) -> Vec<String> {
        let simple = &self.found["aggte"]["simple"];
        let all = [
            ("n", &self.found["n"]),
            ("simple_att", &simple["overall_att"]),
            ("simple_se", &simple["overall_se"]),
            ("wald", &self.found["wald"]["stat"]),
            ("df", &self.found["wald"]["df"]),
        ];
        let wrong = all.iter().filter_map(|(key, found)| {
            let right = number(self.value.get(*key)?)?;
            (!self.near(found, right)).then(|| format!("{key} is {found}, {right} is right"))
        });
        wrong.collect()
    }

    /// Cells as `[g, t, att, se]`.
    fn cells(&self) -> Vec<String> {
        let cells = &self.found["att_gt"];
        let place = |g: f64, t: f64| {
            let groups = cells["group"].as_array()?;
            (0..groups.len()).find(|&i| groups[i].as_f64() == Some(g) && cells["time"][i].as_f64() == Some(t))
        };
        let rows = ["cells", "window_cells"].iter().filter_map(|key| self.value.get(*key)?.as_array());
        let wrong = rows.flatten().filter_map(|row| {
            let row: Vec<f64> = row.as_array()?.iter().filter_map(number).collect();
            let [g, t, att, se] = row[..] else { return None };
            let found = place(g, t).map(|i| (&cells["att"][i], &cells["se"][i]));
            let fits = found.is_some_and(|(a, s)| self.near(a, att) && self.near(s, se));
            (!fits).then(|| format!("ATT({g}, {t}) is {found:?}, ({att}, {se}) is right"))
        });
        wrong.collect()
    }

    /// The event study: its event times, estimates and standard errors.
    fn dynamic(&self) -> Vec<String> {
        let dynamic = &self.found["aggte"]["dynamic"];
        let times: Vec<f64> =
            dynamic["egt"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
        let mut faults = Vec::new();
        let wanted = |key: &str| numbers(self.value.get(key));
        if let Some(right) = wanted("event_times_in_twelfths") {
            let twelfths: Vec<f64> = times.iter().map(|e| (e * 12.0).round()).collect();
            faults.extend((twelfths != right).then(|| format!("event times in twelfths are {twelfths:?}")));
        }
        if let Some(right) = wanted("event_times") {
            faults.extend((times != right).then(|| format!("event times are {times:?}")));
        }
        for (key, name) in [("att", "att_egt"), ("se", "se_egt"), ("dynamic_att", "att_egt")] {
            let Some(right) = wanted(key) else { continue };
            let fits = right.iter().enumerate().all(|(i, &right)| self.near(&dynamic[name][i], right));
            faults.extend((!fits).then(|| format!("{name} is {}, {right:?} is right", dynamic[name])));
        }
        for row in self.value.get("dynamic").and_then(toml::Value::as_array).into_iter().flatten() {
            let row: Vec<f64> = row.as_array().into_iter().flatten().filter_map(number).collect();
            let [e, att, se] = row[..] else { continue };
            let at = times.iter().position(|&time| time == e);
            let fits = at.is_some_and(|i| {
                self.near(&dynamic["att_egt"][i], att) && self.near(&dynamic["se_egt"][i], se)
            });
            faults.extend((!fits).then(|| format!("event time {e}: ({att}, {se}) is right")));
        }
        faults
    }
}

fn number(value: &toml::Value) -> Option<f64> {
    value.as_float().or_else(|| value.as_integer().map(|value| value as f64))
}

fn numbers(value: Option<&toml::Value>) -> Option<Vec<f64>> {
    value?.as_array()?.iter().map(number).collect()
}

fn folders() -> Vec<PathBuf> {
    let root = workspace().join("tests/fixtures/cases");
    let mut all: Vec<PathBuf> = fs::read_dir(root)
        .expect("the cases")
        .flatten()
        .map(|entry| entry.path())
        .filter(|p| p.is_dir())
        .collect();
    all.sort();
    all
}

#[test]
fn every_case_has_the_right_figures_and_words() {
    let mut faults = Vec::new();
    let mut blocks = 0;
    for folder in folders() {
        let text = fs::read_to_string(folder.join("case.toml")).expect("a case");
        let case: Table = text.parse().unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let more = case.get("more").and_then(toml::Value::as_array).cloned().unwrap_or_default();
        let tables = std::iter::once(&case).chain(more.iter().filter_map(toml::Value::as_table));
        for (index, table) in tables.enumerate() {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            let block = Block { name: format!("{name} [{index}]"), folder: &folder, table };
            let left = block.run();
            blocks += 1;
            let told = |fault: String| {
                format!(
                    "{}: {fault}\n  $ {}\n  {}",
                    block.name,
                    left.line,
                    left.stderr.trim().replace('\n', "\n  ")
                )
            };
            faults.extend(block.faults(&left).into_iter().map(told));
        }
    }
    assert!(blocks > 80, "{blocks} commands were found");
    assert!(faults.is_empty(), "{} faults in {blocks} commands\n{}", faults.len(), faults.join("\n"));
}

/// The judge itself finds what is wrong.
#[test]
fn wrong_figures_and_words_are_found() {
    let table: Table = r"
        command = 'stagger run p'
        says = ['kind of file']
        silent = ['corrupt']
        value = { n = 90, simple_att = 1.5, cells = [[3, 4, 1.0, 0.5]], event_times = [-1, 0], wald = 3.0 }
    "
    .parse()
    .expect("a table");
    let block = Block { name: String::new(), folder: Path::new("."), table: &table };
    let right = r#"{"n":90,"aggte":{"simple":{"overall_att":1.5},"dynamic":{"egt":[-1,0]}},"att_gt":{"group":[3],"time":[4],"att":[1.0],"se":[0.5]},"wald":{"stat":3.0}}"#;
    let left = |code, stdout: &str, stderr: &str| Left {
        line: "stagger run p".into(),
        code: Some(code),
        stdout: stdout.into(),
        stderr: stderr.into(),
    };
    let faults = |left: &Left| block.faults(left);
    assert_eq!(faults(&left(0, right, "a kind of file")), Vec::<String>::new());
    assert_eq!(faults(&left(0, right, "corrupt kind of file")), ["says corrupt"]);
    assert_eq!(faults(&left(0, right, "")), ["does not say kind of file"]);
    assert_eq!(faults(&left(2, "", "kind of file")).len(), 1);
    assert_eq!(faults(&left(101, right, "kind of file")).len(), 1);
    for (from, to) in
        [("90", "91"), ("1.5", "1.5000001"), ("[0.5]", "[0.6]"), ("[-1,0]", "[-1,1]"), ("3.0", "3.1")]
    {
        assert_eq!(faults(&left(0, &right.replacen(from, to, 1), "kind of file")).len(), 1, "{from} {to}");
    }
}
