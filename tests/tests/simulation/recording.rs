//! What `stagger demo` plays: whole, with every fault it is meant to show, and what the recorder makes.

use std::collections::BTreeMap;

use stagger_model::error::FailureClass;
use stagger_model::events::{CellKind, EVENT_LOG_VERSION, RunEvent, RunState};
use stagger_tests::scale::recording::{BEGIN, Line, decompress, lines, path, text};

/// Bytes that the program may carry for it.
const MOST: usize = 450_000;

fn written() -> String {
    let bytes = std::fs::read(path()).expect("controller/src/demo/recording.jsonl.zst");
    assert!(bytes.len() <= MOST, "{} bytes", bytes.len());
    decompress(&bytes).expect("zstd")
}

fn recorded() -> Vec<Line> {
    lines(&written()).expect("a line an event")
}

/// Seconds between the first controller's last event and the second one's first.
fn pause(lines: &[Line]) -> f64 {
    let opened = lines.iter().rposition(|line| matches!(line.event, RunEvent::Opened { .. }));
    let opened = opened.filter(|&index| index > 0).expect("a second controller");
    lines[opened].at - lines[opened - 1].at
}

#[test]
fn the_recording_is_what_the_recorder_makes() {
    let same = written() == text();
    assert!(same, "`cargo run -p stagger-tests --example record_demo -- --write` writes it anew");
}

#[test]
fn a_line_is_an_event_and_times_ascend() {
    let lines = recorded();
    assert!(lines.iter().all(|line| line.v == EVENT_LOG_VERSION && line.event != RunEvent::Unknown));
    assert!(lines.windows(2).all(|two| two[0].at <= two[1].at));
    let (first, last) = (&lines[0], &lines[lines.len() - 1]);
    assert!(first.at >= BEGIN && (60.0..150.0).contains(&(last.at - BEGIN)), "{} s", last.at - BEGIN);
    assert!(matches!(first.event, RunEvent::Opened { .. }));
    assert!(lines.iter().any(|line| line.event == RunEvent::Finished));
    let RunEvent::Summary(summary) = &last.event else { panic!("{:?}", last.event) };
    let cap = summary.cost.cap.expect("a cap");
    assert!(summary.state == RunState::Finished && summary.cost.spent < cap, "{summary:?}");
    assert!((7_500..=10_000).contains(&summary.attempts), "{} attempts", summary.attempts);
}

#[test]
fn every_fault_is_there_with_its_remedy() {
    let mut counts: BTreeMap<(FailureClass, String, bool), usize> = BTreeMap::new();
    for line in &recorded() {
        if let RunEvent::Failed { attempt, class, remedy, .. } = &line.event {
            *counts.entry((*class, remedy.clone(), *attempt == 0)).or_default() += 1;
        }
    }
    let count = |class, remedy: &str, read_back| {
        counts.get(&(class, remedy.to_owned(), read_back)).copied().unwrap_or_default()
    };
    assert!(count(FailureClass::Throttled, "again", false) >= 100, "{counts:?}");
    assert_eq!(count(FailureClass::OutOfMemory, "again on function 2", false), 12, "{counts:?}");
    assert_eq!(count(FailureClass::TimedOut, "split in 3", false), 3, "{counts:?}");
    assert_eq!(count(FailureClass::Lost, "again", false), 15, "{counts:?}");
    assert_eq!(count(FailureClass::Corrupt, "again", false), 4, "{counts:?}");
    assert_eq!(count(FailureClass::Corrupt, "again", true), 1, "{counts:?}");
}

#[test]
fn the_run_is_large_and_goes_on_after_its_controller_was_killed() {
    let lines = recorded();
    let mut most = 0;
    let (mut backups, mut found, mut slowed, mut ignored, mut sums) = (0, 0, 0, 0, 0);
    for line in &lines {
        match &line.event {
            RunEvent::Invoked { backup: true, .. } => backups += 1,
            RunEvent::Invoked { task, .. } => sums += usize::from(task.starts_with("the sum over")),
            RunEvent::Done(done) => {
                found += usize::from(done.found);
                slowed += usize::from(done.throttles > 0);
                ignored += usize::from(done.ignored);
            }
            RunEvent::Summary(summary) => most = most.max(summary.under_way),
            _ => {}
        }
    }
    assert!(most >= 900, "{most} workers at a time");
    assert!((500..1_000).contains(&found), "{found} results were there");
    assert!(
        backups >= 10 && slowed >= 50 && ignored >= 10 && sums >= 16,
        "{backups} {slowed} {ignored} {sums}"
    );
    let pause = pause(&lines);
    assert!((5.9..6.2).contains(&pause), "{pause} s without a controller");
}

#[test]
fn memory_comes_near_its_limit_and_all_cells_are_estimated() {
    let lines = recorded();
    let megabytes = |event: &RunEvent| match event {
        RunEvent::Done(done) => Some(done.peak_memory >> 20),
        _ => None,
    };
    let peaks: Vec<u64> = lines.iter().filter_map(|line| megabytes(&line.event)).collect();
    assert!(peaks.iter().filter(|&&peak| (436..=512).contains(&peak)).count() >= 30);
    for line in &lines {
        match &line.event {
            RunEvent::Planned { specs } => {
                let [outline] = specs.as_slice() else { panic!("{specs:?}") };
                assert_eq!((outline.cells, outline.shards, outline.units), (72, 1_024, 100_000_000));
                assert!(outline.kind.iter().all(|kind| *kind == CellKind::Estimate));
            }
            RunEvent::Estimated(estimated) => {
                assert!(estimated.att_gt.se.iter().all(|se| se.0 > 0.0));
                assert!(estimated.simple.is_some() && estimated.dynamic.is_some());
            }
            _ => {}
        }
    }
}
