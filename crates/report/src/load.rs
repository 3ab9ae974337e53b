//! A saved result, read back for `stagger agg`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use faer::Mat;
use serde_json::Value;
use stagger_model::failure::Failure;
use stagger_model::result::{MAX_VCOV_CELLS, SavedResult};
use stagger_model::sound;
use stagger_storage::disk;

use super::checksums::{CHECKSUMS, VerifiedFolder};
use super::covariance::{self, COVARIANCE};
use super::draws;
use super::folder::{RESULT, finish_commit, identity};
use super::stdout::print_line_to_stderr;

/// A saved result and its draws.
#[derive(Debug)]
pub struct LoadedResult {
    /// The result.
    pub saved: SavedResult,
    /// The draws of the bootstrap, if the run had one.
    pub draws: Option<Mat<f64>>,
}

/// Reads the folder that `--out` wrote, or the `result.json` in it.
pub fn load(path: &Path) -> Result<LoadedResult, Failure> {
    unmoved(path, || {
        let (file, saved, checked) = load_checked(path)?;
        let read = || draws::read(&file.with_file_name(draws::DRAWS), &saved, &checked);
        let draws = saved.extended.spec.bstrap.then(read).transpose()?;
        Ok(LoadedResult { saved, draws })
    })
}

/// Reads again what a run has replaced meanwhile.
fn unmoved<T>(path: &Path, read: impl Fn() -> Result<T, Failure>) -> Result<T, Failure> {
    for _ in 0..10 {
        let before = identity(path);
        let found = read();
        if found.is_ok() || before == identity(path) {
            return found;
        }
    }
    read()
}

/// Reads the result alone, for what needs no draws; with the path of its `result.json`.
pub fn load_result(path: &Path) -> Result<(PathBuf, SavedResult), Failure> {
    unmoved(path, || load_checked(path).map(|(file, saved, _)| (file, saved)))
}

/// The folder that a path to a result is of, with what its files are compared with.
pub fn verified_folder(path: &Path) -> Result<VerifiedFolder, Failure> {
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    finish_commit(folder)?;
    let named = path.is_dir() || path.file_name().is_some_and(|name| name == RESULT);
    if named { VerifiedFolder::open(folder) } else { Ok(VerifiedFolder::unverified(folder)) }
}

fn load_checked(path: &Path) -> Result<(PathBuf, SavedResult, VerifiedFolder), Failure> {
    let checked = verified_folder(path)?;
    let file = if path.is_dir() { path.join(RESULT) } else { path.to_owned() };
    if path.is_dir() && !file.exists() {
        return Err(Failure::input(format!("{} holds no {RESULT}", path.display())).hint(elsewhere(path)));
    }
    let text = disk::read_text(&file, disk::MAX_RECORD_BYTES).map_err(|source| {
        Failure::read(&file, &source).hint("give the folder that `stagger run --out` wrote")
    })?;
    if let Err(changed) = checked.compare(RESULT, text.as_bytes()) {
        // Which list it is says more than that something is not as it was written.
        let told = parse(&text, &file)
            .and_then(|saved| sound::check_result_lists(&saved).map_err(|reason| damaged(&file, &reason)));
        return Err(told.err().unwrap_or(changed));
    }
    let mut saved = parse(&text, &file)?;
    let columns = 1 + saved.extended.groups.len() + saved.result.att_gt.att.len();
    if saved.extended.covariance.is_empty() && columns > MAX_VCOV_CELLS {
        saved.extended.covariance =
            covariance::read(&file.with_file_name(COVARIANCE), &saved, columns, &checked)?;
    }
    sound::check_result(&saved).map_err(|reason| damaged(&file, &reason))?;
    if !checked.has_sums() {
        tell_unchecked(&file);
    }
    Ok((file, saved, checked))
}

/// Says once of a result that it is one of an older program, or a copy without its list.
fn tell_unchecked(file: &Path) {
    static TOLD: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if !told.iter().any(|known| known == file) {
        print_line_to_stderr(&format!(
            "note: {} has no {CHECKSUMS} beside it: damage would not show",
            file.display()
        ));
        told.push(file.to_owned());
    }
}

/// Returns a hint at what to give in place of a folder without a result; several specifications are saved in a folder each.
fn elsewhere(folder: &Path) -> String {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut results: Vec<String> = entries
        .filter(|entry| entry.path().join(RESULT).is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    if results.is_empty() {
        return "give the folder that `stagger run --out` wrote".to_owned();
    }
    results.sort();
    format!("give one of the results in it: {}", results.join(", "))
}

/// Reads `result.json`.
fn parse(text: &str, file: &Path) -> Result<SavedResult, Failure> {
    let damaged = |reason: String| damaged(file, &reason);
    let value: Value = serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
    if value.get("extended").is_none() {
        return Err(Failure::input(format!(
            "{} is not a saved result: it has no \"extended\"",
            file.display()
        ))
        .hint("`stagger run --json` prints the result only; `--out DIR` saves what agg needs"));
    }
    let saved: SavedResult = serde_json::from_value(value).map_err(|error| damaged(error.to_string()))?;
    Ok(saved)
}

fn damaged(file: &Path, reason: &str) -> Failure {
    Failure::input(format!("{} is damaged: {reason}", file.display()))
}

#[cfg(test)]
mod tests {
    use stagger_estimator::inference::Covariance;
    use stagger_model::facts::{RunFacts, RunOutput};
    use stagger_test_support::results;

    use super::*;
    use crate::draws::DRAWS;
    use crate::folder::StagedOutput;
    use crate::save::save;

    fn output(saved: SavedResult) -> RunOutput {
        let columns = saved.extended.covariance.size();
        let draws = saved
            .extended
            .spec
            .bstrap
            .then(|| Mat::from_fn(saved.extended.spec.biters, columns, |i, j| (i * columns + j) as f64));
        RunOutput { saved, draws, facts: facts() }
    }

    fn facts() -> RunFacts {
        RunFacts {
            inputs: Vec::new(),
            rows: 2500,
            units: 500,
            shards: 1,
            threads: 2,
            stages: Vec::new(),
            seconds: 0.25,
            workers: None,
        }
    }

    fn saved_in(folder: &Path, output: &RunOutput) {
        save(StagedOutput::prepare(folder, &[]).unwrap(), std::slice::from_ref(output), b"").unwrap();
    }

    fn message(path: &Path, root: &Path) -> String {
        load(path).expect_err("refused").to_string().replace(&root.display().to_string(), "DIR")
    }

    #[test]
    fn a_saved_result_reads_back_to_the_bit() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("out");
        let written = output(results::bootstrap());
        saved_in(&folder, &written);
        for path in [folder.clone(), folder.join(RESULT)] {
            let loaded = load(&path).unwrap();
            let json = |saved: &SavedResult| serde_json::to_string(saved).unwrap();
            assert_eq!(json(&loaded.saved), json(&written.saved));
            assert_eq!(loaded.draws, written.draws);
        }
    }

    #[test]
    fn a_saved_result_has_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("out");
        saved_in(&folder, &output(results::bootstrap()));
        let mut files: Vec<String> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        files.sort();
        insta::assert_snapshot!(files.join("\n"), @"
        aggte_calendar.csv
        aggte_dynamic.csv
        aggte_group.csv
        aggte_simple.csv
        att_gt.csv
        att_gt.parquet
        att_gt.svg
        checksums.json
        draws.parquet
        event_study.svg
        events.jsonl
        result.json
        run.json
        ");
    }

    #[test]
    fn a_saved_result_has_the_record_of_its_run() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("out");
        saved_in(&folder, &output(results::bootstrap()));
        let text = fs::read_to_string(folder.join("run.json")).unwrap();
        let (record, output) = text.split_once("  \"output_seconds\": ").unwrap();
        assert!(output.split('\n').next().unwrap().parse::<f64>().unwrap() > 0.0);
        insta::assert_snapshot!(record, @r#"
        {
          "version": "0.1.0",
          "spec": {
            "yname": "lemp",
            "tname": "year",
            "idname": "countyreal",
            "gname": "first.treat",
            "xformla": "~ lpop",
            "weightsname": null,
            "clustervars": [],
            "est_method": "dr",
            "control_group": "nevertreated",
            "anticipation": 0.0,
            "base_period": "varying",
            "fix_weights": null,
            "panel": true,
            "allow_unbalanced_panel": false,
            "bstrap": true,
            "biters": 5000,
            "cband": true,
            "alp": 0.05,
            "seed": 20210101,
            "multiplier": "rademacher",
            "scale": "auto",
            "cluster_factor": false
          },
          "facts": {
            "inputs": [],
            "rows": 2500,
            "units": 500,
            "shards": 1,
            "threads": 2,
            "stages": [],
            "seconds": 0.25
          },
        "#);
    }

    #[test]
    fn cells_without_an_estimate_read_back() {
        let root = tempfile::tempdir().unwrap();
        let mut saved: SavedResult = results::universal();
        let Covariance::Dense(matrix) = &mut saved.extended.covariance else { panic!("a factor") };
        matrix.set(5, 5, f64::NAN);
        saved_in(&root.path().join("out"), &output(saved));
        let loaded = load(&root.path().join("out")).unwrap();
        assert!(loaded.saved.extended.covariance.get(5, 5).is_nan());
        assert!(loaded.saved.result.att_gt.se[0].is_na());
        assert!(loaded.draws.is_none());
    }

    #[test]
    fn triple_differences_of_cross_sections_read_back() {
        let root = tempfile::tempdir().unwrap();
        let written = output(results::triple());
        saved_in(&root.path().join("out"), &written);
        let loaded = load(&root.path().join("out")).unwrap();
        assert_eq!(loaded.saved.extended.spec, written.saved.extended.spec);
        assert_eq!(loaded.saved.result.estimator, "ddd");
    }

    #[test]
    fn a_second_run_leaves_nothing_of_the_first() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("out");
        saved_in(&folder, &output(results::bootstrap()));
        saved_in(&folder, &output(results::universal()));
        assert!(!folder.join(DRAWS).exists());
        assert!(!load(&folder).unwrap().saved.extended.spec.bstrap);
    }

    #[test]
    fn lists_that_lack_an_entry_are_named() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("out");
        saved_in(&folder, &output(results::bootstrap()));
        let text = fs::read_to_string(folder.join(RESULT)).unwrap();
        let sound: Value = serde_json::from_str(&text).unwrap();
        let mut lists = Vec::new();
        for list in ["group", "time", "post", "att", "se", "lci", "uci"] {
            lists.push(format!("/att_gt/{list}"));
        }
        for kind in ["dynamic", "group", "calendar"] {
            for list in ["egt", "att_egt", "se_egt", "lci_egt", "uci_egt"] {
                lists.push(format!("/aggte/{kind}/{list}"));
            }
        }
        for list in ["groups", "shares", "reference", "covariance", "covariance/0"] {
            lists.push(format!("/extended/{list}"));
        }
        lists.extend(["/vcov".to_owned(), "/vcov/2".to_owned()]);
        for list in lists {
            let mut value = sound.clone();
            value.pointer_mut(&list).and_then(Value::as_array_mut).expect(&list).pop().expect(&list);
            fs::write(folder.join(RESULT), value.to_string()).unwrap();
            let told = message(&folder, root.path());
            assert!(told.contains("result.json is damaged: ") && told.contains("entries"), "{list}: {told}");
        }
    }

    #[test]
    fn troubles_are_named() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        saved_in(&at("out"), &output(results::bootstrap()));
        let mut other: SavedResult = results::bootstrap();
        other.extended.spec.seed = 1;
        saved_in(&at("other"), &output(other));
        fs::create_dir(at("empty")).unwrap();
        let mut all = ["none", "empty", ""].map(|name| message(&at(name), root.path())).to_vec();

        fs::write(at("plain.json"), "{\"att_gt\": {}}").unwrap();
        all.push(message(&at("plain.json"), root.path()));
        fs::write(at("cut.json"), &fs::read_to_string(at("out/result.json")).unwrap()[..100]).unwrap();
        all.push(message(&at("cut.json"), root.path()));

        fs::copy(at("other/draws.parquet"), at("out/draws.parquet")).unwrap();
        all.push(message(&at("out"), root.path()));
        fs::remove_file(at("out").join(CHECKSUMS)).unwrap();
        all.push(message(&at("out"), root.path()));
        fs::write(at("out/draws.parquet"), "PAR1").unwrap();
        all.push(message(&at("out"), root.path()));
        fs::remove_file(at("out/draws.parquet")).unwrap();
        all.push(message(&at("out"), root.path()));
        insta::assert_snapshot!(all.concat(), @r#"
        error: can't read DIR/none: no such file or directory
        hint: give the folder that `stagger run --out` wrote
        error: DIR/empty holds no result.json
        hint: give the folder that `stagger run --out` wrote
        error: DIR/ holds no result.json
        hint: give one of the results in it: other, out
        error: DIR/plain.json is not a saved result: it has no "extended"
        hint: `stagger run --json` prints the result only; `--out DIR` saves what agg needs
        error: DIR/cut.json is damaged: EOF while parsing a list at line 1 column 100
        error: DIR/out/draws.parquet is damaged: its bytes are not those that were written, by checksums.json
        hint: run it again with --out, or take the folder from a copy
        error: DIR/out/draws.parquet belongs to another run than result.json
        hint: run it again with --out
        error: DIR/out/draws.parquet is damaged: it has 4 bytes, which is too short
        hint: run it again with --out
        error: can't read DIR/out/draws.parquet: no such file or directory
        hint: the run had bstrap: its draws.parquet must stand beside result.json
        hint: run it again with --out, or with --bstrap false for analytic standard errors
        "#);
    }
}
