//! The sums of a run's events.

use stagger_model::error::FailureClass;
use stagger_model::events::{
    CellKind, Estimated, FunctionFacts, PhaseSeconds, RunEvent, SpecOutline, TaskDone,
};
use stagger_model::result::{AttGt, Num};

use super::{BINS, CellState, Level, Outcome, RunPhase, RunView};

fn nums(values: &[f64]) -> Vec<Num> {
    values.iter().map(|&value| Num(value)).collect()
}

fn started(number: u64, stage: &str, tasks: usize) -> RunEvent {
    RunEvent::StageStarted { number, stage: stage.into(), tasks, object: None }
}

fn invoked(attempt: u64, number: u32, backup: bool) -> RunEvent {
    RunEvent::Invoked { attempt, task: format!("shard {attempt}"), number, function: "f1".into(), backup }
}

fn done(attempt: u64, done: usize, tasks: usize) -> RunEvent {
    let seconds = PhaseSeconds { open: 0.1, read: 0.5, compute: 0.2, write: 0.1 };
    RunEvent::Done(TaskDone {
        attempt,
        seconds,
        took: 1.0,
        rows: 100,
        bytes_read: 1_000,
        requests: 3,
        peak_memory: 512 << 20,
        done,
        tasks,
        ..TaskDone::default()
    })
}

fn failed(attempt: u64, class: FailureClass, message: &str, remedy: &str) -> RunEvent {
    RunEvent::Failed {
        attempt,
        class,
        message: message.into(),
        place: None,
        hint: None,
        remedy: remedy.into(),
        took: 0.5,
    }
}

fn view(events: &[(f64, RunEvent)]) -> RunView {
    let mut view = RunView::new("test");
    let f1 = FunctionFacts { name: "f1".into(), memory_mb: 1024, timeout: 60 };
    view.update(0.0, &RunEvent::Workers { backend: "lambda".into(), functions: vec![f1], concurrency: 4 });
    events.iter().for_each(|(at, event)| view.update(*at, event));
    view
}

#[test]
fn attempts_take_the_first_free_lane_and_end_with_what_came_of_them() {
    let view = view(&[
        (1.0, started(1, "gram", 3)),
        (1.0, invoked(1, 1, false)),
        (1.0, invoked(2, 1, false)),
        (2.0, done(1, 1, 3)),
        (2.5, invoked(3, 1, false)),
        (3.0, failed(2, FailureClass::Lost, "gone", "again")),
        (4.0, invoked(4, 2, false)),
        (5.0, invoked(5, 3, true)),
    ]);
    let lanes: Vec<usize> = view.tasks.all().iter().map(|span| span.lane).collect();
    assert_eq!(lanes, [0, 1, 0, 1, 2]);
    assert_eq!(view.tasks.under_way(), 3);
    assert_eq!(view.tasks.all()[1].outcome, Outcome::Failed(FailureClass::Lost));
    assert!(view.tasks.all()[3].again && !view.tasks.all()[3].backup);
    assert!(view.tasks.all()[4].backup && !view.tasks.all()[4].again);
    let within = |from: f64, to: f64| view.tasks.longest_between(0, from, to).map(|span| span.attempt);
    assert_eq!([within(0.0, 1.5), within(2.0, 2.4), within(2.4, 9.0)], [Some(1), None, Some(3)]);
    let stage = &view.stages[0];
    assert_eq!(
        (stage.attempts.all, stage.attempts.again, stage.attempts.backups, stage.attempts.failures),
        (5, 1, 1, 1)
    );
    assert_eq!(stage.work.worst, Some(("shard 1".to_owned(), 1.0)));
    assert!((stage.profile()[4] - 0.1).abs() < 1e-9, "what the worker does not tell is waiting");
}

#[test]
fn memory_is_told_against_the_limit() {
    let view = view(&[(0.0, started(1, "gram", 1)), (0.0, invoked(1, 1, false)), (1.0, done(1, 1, 1))]);
    assert_eq!(view.memory.bins[BINS / 2], 1);
    assert_eq!(view.memory.worst[0].task, "shard 1");
    assert!((view.memory.worst[0].share() - 0.5).abs() < 1e-9);
}

#[test]
fn failures_of_one_cause_are_one_group_and_one_line() {
    let mut events = vec![(0.0, started(1, "gram", 9))];
    for attempt in 1..=5 {
        events.push((1.0, invoked(attempt, 1, false)));
        let message = format!("request {attempt} for results/0{attempt}/x was lost");
        events.push((1.5, failed(attempt, FailureClass::Lost, &message, "again")));
    }
    events.push((2.0, invoked(6, 1, false)));
    events.push((2.5, failed(6, FailureClass::Data, "shard 3 has no rows", "given up")));
    let view = view(&events);
    let groups = view.errors.groups();
    assert_eq!((groups.len(), view.errors.count()), (2, 6));
    assert!(groups[0].fatal, "what ended the run comes first");
    assert_eq!((groups[1].count, groups[1].places.len(), groups[1].remedies["again"]), (5, 5, 5));
    assert_eq!(view.attempts(), (6, 6, 0));
    assert_eq!(view.log.lines().filter(|line| line.level == Level::Error).count(), 1);
}

#[test]
fn the_same_warning_again_is_counted() {
    let warn = || failed(1, FailureClass::Throttled, "too many requests", "again");
    let view = view(&[(0.0, warn()), (1.0, warn()), (2.0, warn())]);
    let texts: Vec<&str> = view.log.lines().map(|line| line.text.as_str()).collect();
    assert_eq!(texts.last(), Some(&"throttled: too many requests; again (3 times)"));
}

#[test]
fn cells_go_from_pending_to_their_interval() {
    let outline = SpecOutline {
        cells: 3,
        group: nums(&[3.0, 3.0, 3.0]),
        time: nums(&[1.0, 2.0, 3.0]),
        kind: vec![CellKind::Estimate, CellKind::Reference, CellKind::Estimate],
        ..SpecOutline::default()
    };
    let mut view = view(&[(0.0, RunEvent::Planned { specs: vec![outline] })]);
    assert_eq!(view.specs[0].cells[0], CellState::Pending);
    view.update(1.0, &started(1, "gram", 1));
    assert_eq!(view.specs[0].cells[..2], [CellState::Running, CellState::Reference]);
    view.update(2.0, &RunEvent::Solved { spec: 0, att: nums(&[f64::NAN, 0.0, 0.5]) });
    assert_eq!(
        view.specs[0].cells[..],
        [CellState::Failed, CellState::Reference, CellState::PointEstimate { att: 0.5 }]
    );
    let att_gt = AttGt {
        att: nums(&[f64::NAN, 0.0, 0.5]),
        se: nums(&[f64::NAN, f64::NAN, 0.1]),
        lci: nums(&[f64::NAN, f64::NAN, 0.3]),
        uci: nums(&[f64::NAN, f64::NAN, 0.7]),
        ..AttGt::default()
    };
    view.update(3.0, &RunEvent::Estimated(Box::new(Estimated { att_gt, ..Estimated::default() })));
    assert_eq!(view.specs[0].cells[2].significance(), Some(1));
    assert_eq!(view.specs[0].cell(3.0, 3.0), Some(2));
    assert_eq!(view.specs[0].axes(), (vec![3.0], vec![1.0, 2.0, 3.0]));
}

#[test]
fn another_controller_leaves_what_the_first_had_under_way() {
    let mut view = view(&[(0.0, started(1, "gram", 2)), (0.0, invoked(1, 1, false))]);
    view.update(9.0, &RunEvent::Opened { version: "1".into() });
    assert_eq!(view.tasks.under_way(), 0);
    assert_eq!(view.tasks.all()[0].outcome, Outcome::Abandoned);
    assert!(view.stages[0].left);
    view.update(10.0, &RunEvent::Stopped { reason: "cap".into(), hint: None, resumable: true });
    assert_eq!(view.progress.phase, RunPhase::Stopped { reason: "cap".into(), resumable: true });
    assert_eq!(view.elapsed(99.0), 10.0, "time stands still when it is over");
}

#[test]
fn what_is_left_is_guessed_from_what_was_done() {
    let mut view = view(&[(0.0, RunEvent::Planned { specs: vec![SpecOutline::default()] })]);
    assert_eq!(view.forecast(0.0).seconds, None);
    view.update(0.0, &started(1, "gram", 2));
    view.update(0.0, &invoked(1, 1, false));
    view.update(2.0, &done(1, 1, 2));
    // Half of the first of six passes took two seconds.
    let left = view.forecast(2.0).seconds.expect("a forecast");
    assert!((left - (2.0 + 5.0 * 4.0)).abs() < 1e-9, "{left}");
    view.update(2.0, &RunEvent::Finished);
    assert_eq!(view.forecast(3.0).seconds, Some(0.0));
}

#[test]
fn rates_are_by_the_second_and_quiet_where_nothing_is_told() {
    let mut events = vec![(10.2, started(1, "gram", 9))];
    for (attempt, at) in [(1, 10.3), (2, 10.9), (3, 12.1)] {
        events.push((at, invoked(attempt, 1, false)));
        events.push((at, done(attempt, 1, 9)));
    }
    let view = view(&events);
    let tasks: Vec<u64> = view.rates.last(5, 14.5).iter().map(|second| second.tasks).collect();
    assert_eq!(tasks, [2, 0, 1, 0, 0]);
    assert_eq!(view.rates.total.rows, 300);
}
