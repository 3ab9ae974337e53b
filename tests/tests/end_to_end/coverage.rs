//! Known truth: simultaneous bands cover all true effects as often as they say.

use std::path::Path;

use serde_json::Value;
use stagger_test_support::panels::COLUMNS;
use stagger_tests::cli::{self, estimate, note, path_str, words};
use stagger_tests::compare::floats;

/// Simulated panels.
const PANELS: u64 = 1000;
/// What the bands promise.
const LEVEL: f64 = 0.95;
/// Every unit is a cluster of its own: the errors of different units are independent.
const SIZES: &str = "--units 600 --periods 6 --cohorts 3 --covariates 2 --never-share 0.3 --clusters 600";

/// One panel: whether the bands of the cells, and those of the event study, cover every true effect.
struct Covered {
    cells: bool,
    event_study: bool,
    overall: bool,
}

/// Takes about a minute in release mode:
/// `cargo test -p stagger-tests --release --test end_to_end -- --ignored --nocapture coverage`.
/// Its result is in `docs/statistics.md`.
#[test]
#[ignore = "simulates 2,000 panels"]
fn bands_cover_the_truth() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for options in ["--est-method dr --multiplier mammen", "--est-method reg --control-group notyettreated"] {
        let panels: Vec<Covered> = (1..=PANELS).map(|seed| simulate(folder.path(), seed, options)).collect();
        let share = |covered: fn(&Covered) -> bool| {
            panels.iter().filter(|p| covered(p)).count() as f64 / PANELS as f64
        };
        let shares = [
            ("cells, simultaneous", share(|p| p.cells)),
            ("event study, simultaneous", share(|p| p.event_study)),
            ("overall effect, pointwise", share(|p| p.overall)),
        ];
        let sd = (LEVEL * (1.0 - LEVEL) / PANELS as f64).sqrt();
        note(&format!("coverage over {PANELS} panels, {options} (Monte-Carlo error {sd:.4})"));
        for (what, share) in shares {
            note(&format!("  {what:<28} {share:.3}"));
        }
        for (what, share) in shares {
            assert!(
                (share - LEVEL).abs() <= 3.0 * sd,
                "{options}: {what} cover {share}, not {LEVEL} ± {:.3}",
                3.0 * sd
            );
        }
    }
}

fn simulate(folder: &Path, seed: u64, options: &str) -> Covered {
    let path = folder.join(format!("panel-{seed}.parquet"));
    cli::run(&words(&format!("simulate {SIZES} --seed {seed} --out {}", path_str(&path)))).success();
    let text =
        std::fs::read_to_string(folder.join(format!("panel-{seed}.truth.json"))).expect("the true effects");
    let truth: Value = serde_json::from_str(&text).expect("the true effects as JSON");
    let result =
        estimate(&path, &format!("{COLUMNS} --xformla '~ x1 + x2' {options} --seed {seed}")).success().json();
    let cells = &result["att_gt"];
    assert_eq!((&cells["group"], &cells["time"]), (&truth["group"], &truth["time"]), "panel {seed}");
    let dynamic = &result["aggte"]["dynamic"];
    assert_eq!(dynamic["egt"], truth["aggte"]["dynamic"]["egt"], "panel {seed}");
    Covered {
        cells: covers(&cells["lci"], &cells["uci"], &truth["att"]),
        event_study: covers(&dynamic["lci_egt"], &dynamic["uci_egt"], &truth["aggte"]["dynamic"]["att_egt"]),
        overall: covers(
            &dynamic["overall_lci"],
            &dynamic["overall_uci"],
            &truth["aggte"]["dynamic"]["overall_att"],
        ),
    }
}

/// Whether every band holds its true value.
fn covers(low: &Value, high: &Value, truth: &Value) -> bool {
    let (low, high, truth) = (floats(low), floats(high), floats(truth));
    assert_eq!((low.len(), high.len()), (truth.len(), truth.len()), "one band an effect");
    low.iter().zip(&high).zip(&truth).all(|((low, high), truth)| low <= truth && truth <= high)
}
