//! Mutated results, event logs and draws come to an error or to a report: no panic, no hang, no memory beyond a bound.

use std::path::{Path, PathBuf};

use faer::Mat;
use stagger_dashboard::view::RunView;
use stagger_estimation::aggregate::{InferenceOverrides, aggregate_saved};
use stagger_estimator::aggregate::AggregateOptions;
use stagger_model::event_log::parse;
use stagger_model::facts::{RunFacts, RunOutput};
use stagger_model::result::{AGGREGATION_TYPES, SavedResult};
use stagger_report::checksums::CHECKSUMS;
use stagger_report::document::{Sources, document, html, latex, markdown};
use stagger_report::draws::DRAWS;
use stagger_report::folder::{RESULT, StagedOutput};
use stagger_report::load::load;
use stagger_report::pictures::files::natural_svg;
use stagger_report::pictures::{
    NamedAggregation, balance, by_cohort, by_period, cells_figure, event_study, overlap,
};
use stagger_report::save::save;
use stagger_report::tabular::{aggregation_csv, cells_csv};
use stagger_test_support::fuzz::{Bounded, Target, fuzz, scratch};
use stagger_test_support::results;

#[global_allocator]
static ALLOCATOR: Bounded = Bounded;

/// A saved result of few draws, in a folder of this process's own.
fn saved(name: &str) -> PathBuf {
    let folder = scratch(name).join("result");
    let mut saved: SavedResult = results::bootstrap();
    saved.extended.spec.biters = 20;
    let columns = saved.extended.covariance.size();
    let draws = Some(Mat::from_fn(20, columns, |i, j| ((i * 31 + j * 7) % 13) as f64 - 6.0));
    let facts = RunFacts {
        inputs: Vec::new(),
        rows: 2500,
        units: 500,
        shards: 1,
        threads: 1,
        stages: Vec::new(),
        seconds: 0.25,
        workers: None,
    };
    let output = RunOutput { saved, draws, facts };
    save(StagedOutput::prepare(&folder, &[]).expect("a folder"), std::slice::from_ref(&output), b"")
        .expect("a result");
    // Without it what lies behind the checksums is reached.
    std::fs::remove_file(folder.join(CHECKSUMS)).expect("checksums");
    folder
}

/// Everything that is made of a result.
fn show(folder: &Path) -> bool {
    let Ok(loaded) = load(folder) else { return false };
    let own = &loaded.saved;
    for kind in AGGREGATION_TYPES {
        let (options, overrides) = (AggregateOptions::default(), InferenceOverrides::default());
        let found = aggregate_saved(own, loaded.draws.as_ref(), kind, &options, &overrides);
        let Ok(aggte) = found else { continue };
        let _ = aggregation_csv(&aggte, &mut Vec::new());
        if kind == "dynamic" {
            natural_svg(&event_study(&[NamedAggregation { name: "x".into(), saved: own, aggte: &aggte }]));
        }
    }
    own.result.aggte.values().for_each(|aggte| drop(aggregation_csv(aggte, &mut Vec::new())));
    let _ = cells_csv(&own.result.att_gt, &mut Vec::new());
    natural_svg(&cells_figure(own));
    pictures(own);
    let document =
        document(&Sources { saved: own, run: None, timeline: None, sensitivity: None, title: None });
    drop((html(&document), markdown(&document, "pictures"), latex(&document, "pictures")));
    true
}

fn pictures(own: &SavedResult) {
    let aggregated = |kind: &str| own.result.aggte.get(kind);
    let figures = [
        aggregated("group").map(|aggte| by_cohort(own, aggte)),
        aggregated("calendar").map(|aggte| by_period(own, aggte)),
        overlap(own),
        balance(own),
    ];
    figures.iter().flatten().for_each(|figure| drop(natural_svg(figure)));
}

fn file_of_result(name: &'static str, file: &'static str) -> Target {
    let folder = saved(name);
    let path = folder.join(file);
    let sound = std::fs::read(&path).expect("a file");
    Target::new(name, sound, move |bytes| {
        std::fs::write(&path, bytes).expect("a file");
        show(&folder)
    })
}

fn result() -> Target {
    file_of_result("result", RESULT)
}

fn draws() -> Target {
    file_of_result("draws", DRAWS)
}

/// An event log: the beginning of the recorded run, and its end.
fn events() -> Target {
    let text = crate::commands::demo::recorded_text().expect("the recording");
    let lines: Vec<&str> = text.lines().collect();
    let chosen: Vec<&str> = lines.iter().take(40).chain(lines.iter().rev().take(12).rev()).copied().collect();
    Target::new("events", (chosen.join("\n") + "\n").into_bytes(), |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let Ok(events) = parse(&text, "events.jsonl") else { return false };
        let mut view = RunView::new("x");
        events.iter().for_each(|(at, event)| view.update(*at, event));
        let _ = view.forecast(view.progress.last);
        stagger_dashboard::tui::frame_svg("x", events, 1.0, (100, 30), 1).is_ok()
    })
}

#[test]
fn mutated_results_are_refused_or_shown() {
    let targets: [fn() -> Target; 3] = [result, draws, events];
    fuzz("fuzz::mutated_results_are_refused_or_shown", &targets);
}
