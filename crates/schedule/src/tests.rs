//! The state machine's transitions, one by one; what they come to together is the simulation's (tests/tests/simulation/seeds.rs).

use std::time::Duration;

use stagger_model::cost::{Cost, UnitPrices};
use stagger_model::error::FailureClass;
use stagger_model::reduction::TreeNode;
use stagger_protocol::messages::{TaskFailure, TaskReport, Work};

use super::{Completion, FailureResponse, Function, NewAttempt, Next, Policy, Run, Stop};

const RATES: UnitPrices = UnitPrices { gb_second: 1.0, invocation: 0.0, get: 0.0, put: 0.0 };

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn functions(count: u32) -> Vec<Function> {
    let function = |index: u32| Function {
        timeout: Duration::from_secs(100),
        ..Function::lambda(&format!("f{index}"), 1024 << index)
    };
    (0..count).map(function).collect()
}

fn run(count: u32, cap: Option<f64>) -> Run {
    Run::new(functions(count), RATES, 100, Cost { cap, ..Cost::default() }, Policy::default())
}

fn shards(level: u32, tasks: usize) -> Vec<Work> {
    (0..tasks).map(|index| Work::Shards { node: TreeNode { level, index }, part: None }).collect()
}

fn order(run: &mut Run, now: f64) -> NewAttempt {
    match run.next(seconds(now)) {
        Next::Invoke(order) => order,
        other => panic!("{other:?}"),
    }
}

fn orders(run: &mut Run, now: f64) -> Vec<NewAttempt> {
    let mut out = Vec::new();
    while let Next::Invoke(order) = run.next(seconds(now)) {
        out.push(order);
    }
    out
}

fn fail(run: &mut Run, attempt: u64, class: FailureClass, now: f64) -> FailureResponse {
    run.on_failure(attempt, TaskFailure::new(class, "x"), 0.0, seconds(now), 0.5)
}

fn done(run: &mut Run, attempt: u64, now: f64) -> Completion {
    run.on_report(attempt, &TaskReport { bytes: 100, ..TaskReport::default() }, 0.0, seconds(now))
}

#[test]
fn a_throttled_task_waits_and_the_limit_is_halved() {
    let mut run = run(1, None);
    run.begin(shards(0, 8), None, 1);
    let first = orders(&mut run, 0.0);
    assert_eq!(first.len(), 8);
    assert_eq!(
        fail(&mut run, first[0].attempt, FailureClass::Throttled, 1.0),
        FailureResponse::Retry(seconds(1.1))
    );
    assert_eq!(run.limit(), 4, "half of the eight under way");
    first[1..].iter().for_each(|order| {
        done(&mut run, order.attempt, 1.05);
    });
    assert_eq!(run.next(seconds(1.06)), Next::Wait(Some(seconds(1.1))));
    let again = order(&mut run, 1.1);
    assert_eq!((again.work.clone(), again.number, again.look), (first[0].work.clone(), 2, true));
    assert!(matches!(done(&mut run, again.attempt, 2.0), Completion::SumReady(_)));
    assert_eq!(run.next(seconds(2.0)), Next::Done);
}

#[test]
fn memory_escalates_to_the_largest_function_then_halves_then_column_parts() {
    let mut run = run(2, None);
    run.begin(shards(1, 1), None, 3);
    let small = order(&mut run, 0.0);
    assert_eq!(
        fail(&mut run, small.attempt, FailureClass::OutOfMemory, 1.0),
        FailureResponse::RetryOnLarger(1)
    );
    let large = order(&mut run, 1.0);
    assert_eq!(large.function, 1);
    assert_eq!(fail(&mut run, large.attempt, FailureClass::OutOfMemory, 2.0), FailureResponse::Split(2));
    let halves = orders(&mut run, 2.0);
    assert!(halves.iter().all(|half| half.function == 1), "what was learnt stays");
    assert!(matches!(
        done(&mut run, halves[1].attempt, 3.0),
        Completion::SumReady(TreeNode { level: 0, index: 1 })
    ));
    assert_eq!(fail(&mut run, halves[0].attempt, FailureClass::OutOfMemory, 3.0), FailureResponse::Split(3));
    let parts = orders(&mut run, 3.0);
    assert_eq!(parts.len(), 3);
    assert_eq!(done(&mut run, parts[0].attempt, 4.0), Completion::Done);
    assert_eq!(fail(&mut run, parts[1].attempt, FailureClass::OutOfMemory, 4.0), FailureResponse::Split(6));
    assert_eq!(done(&mut run, parts[2].attempt, 4.0), Completion::Ignored, "finer parts took its place");
    for part in orders(&mut run, 4.0) {
        assert_eq!(done(&mut run, part.attempt, 5.0), Completion::Done);
    }
    let sum = order(&mut run, 5.0);
    assert!(matches!(&sum.work, Work::Reduce { children, .. } if children.len() == 6), "{sum:?}");
    assert!(matches!(
        done(&mut run, sum.attempt, 6.0),
        Completion::SumReady(TreeNode { level: 0, index: 0 })
    ));
    assert_eq!(run.next(seconds(6.0)), Next::Done);
}

#[test]
fn running_out_of_memory_does_not_use_up_the_attempts_of_a_task() {
    let mut run = run(3, None);
    run.begin(shards(0, 1), None, 1);
    for function in 1..3 {
        let attempt = order(&mut run, 0.0).attempt;
        assert_eq!(
            fail(&mut run, attempt, FailureClass::OutOfMemory, 0.0),
            FailureResponse::RetryOnLarger(function)
        );
    }
    let attempt = order(&mut run, 0.0).attempt;
    assert!(matches!(fail(&mut run, attempt, FailureClass::Lost, 0.0), FailureResponse::Retry(_)));
    let attempt = order(&mut run, 1.0).attempt;
    assert!(matches!(fail(&mut run, attempt, FailureClass::Corrupt, 1.0), FailureResponse::Retry(_)));
    let attempt = order(&mut run, 2.0).attempt;
    assert!(matches!(fail(&mut run, attempt, FailureClass::Lost, 2.0), FailureResponse::Fatal(_)));
    let Some(Stop::Failed { work, failure }) = run.stopped() else { panic!("{:?}", run.stopped()) };
    assert_eq!(work.to_string(), "shard 0");
    assert_eq!(failure.message, "x (given up after 3 attempts)");
    assert_eq!(run.next(seconds(3.0)), Next::Stopped);
}

#[test]
fn a_lost_task_is_searched_for_the_shard_that_kills_it() {
    let mut run = run(1, None);
    run.begin(shards(2, 1), None, 1);
    let poisoned = |work: &Work| matches!(work, Work::Shards { node, .. } if node.shards().contains(&2));
    let mut now = 0.0;
    while run.stopped().is_none() {
        now += 100.0;
        for order in orders(&mut run, now) {
            if poisoned(&order.work) {
                fail(&mut run, order.attempt, FailureClass::Lost, now);
            } else {
                done(&mut run, order.attempt, now);
            }
        }
    }
    assert!(matches!(run.stopped(), Some(Stop::Failed { work, .. }) if work.to_string() == "shard 2"));
    assert_eq!(run.progress(), (2, 3), "shards 0 and 1 together, and shard 3");
}

#[test]
fn a_late_task_gets_one_backup_and_the_first_answer_counts() {
    let mut run = run(1, None);
    run.begin(shards(0, 10), None, 1);
    let all = orders(&mut run, 0.0);
    all[..9].iter().for_each(|order| {
        done(&mut run, order.attempt, 1.0);
    });
    let Next::Wait(Some(at)) = run.next(seconds(1.0)) else { panic!("it waits") };
    assert!((2.9..3.3).contains(&at.as_secs_f64()), "three times the median: {at:?}");
    let backup = order(&mut run, 4.0);
    assert!(backup.backup && backup.look && backup.work == all[9].work);
    assert!(!matches!(run.next(seconds(50.0)), Next::Invoke(_)), "one backup");
    assert_eq!(
        fail(&mut run, all[9].attempt, FailureClass::Lost, 50.0),
        FailureResponse::Ignored,
        "the backup decides"
    );
    assert!(matches!(done(&mut run, backup.attempt, 51.0), Completion::SumReady(_)));
    assert_eq!(done(&mut run, backup.attempt, 52.0), Completion::Ignored, "answered twice");
    assert_eq!(run.next(seconds(52.0)), Next::Done);
    assert_eq!(run.under_way(), 0);
}

#[test]
fn answers_of_an_earlier_stage_change_nothing_but_the_bill() {
    let mut run = run(1, None);
    run.begin(shards(0, 10), None, 1);
    let all = orders(&mut run, 0.0);
    all[..9].iter().for_each(|order| {
        done(&mut run, order.attempt, 1.0);
    });
    let backup = order(&mut run, 9.0);
    done(&mut run, backup.attempt, 9.5);
    assert_eq!(run.next(seconds(9.5)), Next::Done);
    run.begin(shards(0, 2), None, 1);
    assert_eq!(
        run.on_report(all[9].attempt, &TaskReport::default(), 7.0, seconds(10.0)),
        Completion::Ignored
    );
    assert_eq!(run.progress(), (0, 2));
    assert!((run.cost().spent - 7.0).abs() < 1e-12);
}

#[test]
fn the_cap_is_never_passed_and_the_run_stops_once_nothing_is_under_way() {
    // A gigabyte for a hundred seconds is reserved for each attempt.
    let mut run = run(1, Some(250.0));
    run.begin(shards(0, 4), None, 1);
    let first = orders(&mut run, 0.0);
    assert_eq!(first.len(), 2, "three could pass it");
    assert_eq!(run.next(seconds(1.0)), Next::Wait(None));
    let report = TaskReport::default();
    run.on_report(first[0].attempt, &report, 90.0, seconds(1.0));
    let rest = orders(&mut run, 1.0);
    assert_eq!(rest.len(), 2, "attempts give up after thirty seconds by now: 90 + 100 + 2 · 30");
    run.on_report(first[1].attempt, &report, 100.0, seconds(2.0));
    for order in &rest {
        run.on_report(order.attempt, &report, 30.0, seconds(4.0));
    }
    assert_eq!(run.next(seconds(4.0)), Next::Done);
    run.begin(shards(0, 1), Some(seconds(10.0)), 1);
    assert_eq!(run.next(seconds(4.0)), Next::Stopped);
    assert_eq!(run.stopped(), Some(&Stop::Cost));
    assert!(run.cost().spent <= 250.0);
}

#[test]
fn the_cap_covers_requests_too() {
    let rates = UnitPrices { gb_second: 0.0, invocation: 0.0, get: 1.0, put: 10.0 };
    let cost = Cost { cap: Some(2300.0), ..Cost::default() };
    let mut run = Run::new(functions(1), rates, 100, cost, Policy::default());
    run.begin(shards(0, 100), None, 1);
    // 1,100 for a hundred seconds of the controller, 120 for a task that may make a hundred reads and two writes.
    let first = orders(&mut run, 0.0);
    assert_eq!(first.len(), 10);
    let report = TaskReport { gets: 100, puts: 1, ..TaskReport::default() };
    for order in &first {
        run.on_report(order.attempt, &report, 0.0, seconds(1.0));
    }
    assert!((run.cost().spent - 1100.0).abs() < 1e-9);
    assert_eq!(run.next(seconds(1.0)), Next::Stopped, "two hundred and twenty more would pass it");
}

#[test]
fn a_cancelled_run_starts_nothing_more() {
    let mut run = run(1, None);
    run.begin(shards(0, 2), None, 1);
    let first = order(&mut run, 0.0);
    run.cancel();
    assert_eq!(run.next(seconds(0.0)), Next::Stopped);
    assert!(
        matches!(done(&mut run, first.attempt, 1.0), Completion::SumReady(_)),
        "what is under way counts"
    );
    assert_eq!(run.stopped(), Some(&Stop::Cancelled));
}

#[test]
fn bad_data_stop_the_run_even_beside_another_attempt() {
    let mut run = run(1, None);
    run.begin(shards(0, 10), None, 1);
    let all = orders(&mut run, 0.0);
    all[..9].iter().for_each(|order| {
        done(&mut run, order.attempt, 1.0);
    });
    let backup = order(&mut run, 9.0);
    assert!(matches!(fail(&mut run, backup.attempt, FailureClass::Data, 9.1), FailureResponse::Fatal(_)));
    assert_eq!(run.next(seconds(9.1)), Next::Stopped);
}

#[test]
fn credentials_are_waited_for_and_not_forever() {
    let mut run = run(1, None);
    run.begin(shards(0, 1), None, 1);
    let mut now = 0.0;
    while run.stopped().is_none() {
        match run.next(seconds(now)) {
            Next::Invoke(order) => {
                fail(&mut run, order.attempt, FailureClass::Credentials, now);
            }
            Next::Wait(Some(until)) => now = until.as_secs_f64(),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(run.stopped(), Some(Stop::Credentials(_))));
    assert!((300.0..310.0).contains(&now), "{now}");
}

#[test]
fn a_damaged_sum_is_made_again_and_a_resumed_run_looks_first() {
    let mut run = run(1, None).resumed();
    run.begin(shards(0, 1), None, 1);
    let first = order(&mut run, 0.0);
    assert!(first.look);
    let Completion::SumReady(node) = done(&mut run, first.attempt, 1.0) else { panic!("a sum") };
    assert_eq!(run.next(seconds(1.0)), Next::Done);
    let failure = TaskFailure::new(FailureClass::Corrupt, "x");
    assert!(matches!(run.on_damaged(node, failure, seconds(1.0)), FailureResponse::Retry(_)));
    let again = order(&mut run, 2.0);
    assert_eq!(again.work, first.work);
    done(&mut run, again.attempt, 3.0);
    assert_eq!(run.next(seconds(3.0)), Next::Done);
}

#[test]
fn a_paused_run_starts_nothing_and_retry_now_ends_every_wait() {
    let mut run = run(1, None);
    run.begin(shards(0, 2), None, 1);
    let first = orders(&mut run, 0.0);
    run.pause(true);
    let FailureResponse::Retry(at) = fail(&mut run, first[0].attempt, FailureClass::Lost, 1.0) else {
        panic!("another attempt was due")
    };
    assert!(at > seconds(1.0));
    assert_eq!(run.next(at + seconds(1.0)), Next::Wait(None), "paused");
    run.pause(false);
    assert_eq!(run.next(seconds(1.0)), Next::Wait(Some(at)), "its time has not come");
    run.retry_now();
    assert_eq!(order(&mut run, 1.0).work, first[0].work);
}

#[test]
fn results_that_were_there_make_nothing_late() {
    let mut run = run(1, None).resumed();
    run.begin(shards(0, 20), None, 1);
    let all = orders(&mut run, 0.0);
    for order in &all[..19] {
        let report = TaskReport { bytes: 100, found: true, ..TaskReport::default() };
        run.on_report(order.attempt, &report, 0.0, seconds(0.1));
    }
    assert!(matches!(run.next(seconds(10.0)), Next::Wait(None)), "no task has told how long one takes");
}

/// Functions, and a pool beside them.
fn beside(count: u32) -> Run {
    let mut all = functions(count);
    let place = super::Place::Pool { hourly: 36.0 };
    all.push(Function { timeout: Duration::from_secs(100), place, ..Function::lambda("pool", 1 << 14) });
    Run::new(all, RATES, 2, Cost::default(), Policy::default())
}

fn absent() -> TaskFailure {
    TaskFailure::new(FailureClass::Absent, "nobody there")
}

#[test]
fn heavy_tasks_go_to_the_pool_and_take_no_place_of_others() {
    let mut run = beside(1);
    run.begin_routed(0, shards(0, 6), None, 1, |task| task >= 3);
    let started = orders(&mut run, 0.0);
    let on: Vec<usize> = started.iter().map(|order| order.function).collect();
    assert_eq!(on, [1, 1, 1, 0, 0], "three for the pool, and two functions at a time");
    let cost = run.cost().reserved;
    assert!(
        (cost - (2.0 * 100.0 + 3.0 * 36.0 * 100.0 / 3600.0)).abs() < 1e-9,
        "{cost}: a pool is paid by the hour"
    );
}

#[test]
fn what_nobody_takes_goes_back_to_functions_and_so_does_what_waits() {
    let mut run = beside(1);
    run.begin_routed(0, shards(0, 2), None, 1, |_| true);
    let started = orders(&mut run, 0.0);
    assert_eq!(started.len(), 2);
    let handled = run.on_failure(started[0].attempt, absent(), 0.0, seconds(300.0), 0.5);
    assert_eq!(handled, FailureResponse::RetryOnFunction(0));
    let again = order(&mut run, 300.0);
    assert_eq!((again.function, again.look), (0, true));
    assert_eq!(
        run.on_failure(started[1].attempt, absent(), 0.0, seconds(300.0), 0.5),
        FailureResponse::RetryOnFunction(0)
    );
    for order in [again, order(&mut run, 300.0)] {
        run.on_report(order.attempt, &TaskReport::default(), 0.0, seconds(301.0));
    }
    // While it is known that nobody is there, nothing more is sent there; later it is tried again.
    run.begin_routed(0, shards(0, 1), None, 1, |_| true);
    let first = order(&mut run, 302.0);
    assert_eq!(first.function, 0);
    run.on_report(first.attempt, &TaskReport::default(), 0.0, seconds(303.0));
    run.begin_routed(0, shards(0, 1), None, 1, |_| true);
    assert_eq!(order(&mut run, 700.0).function, 1);
}

#[test]
fn a_pool_that_loses_a_task_three_times_or_lacks_its_memory_gives_it_up() {
    let mut run = beside(1);
    run.begin_routed(0, shards(1, 1), None, 1, |_| true);
    let lost = || TaskFailure::new(FailureClass::Lost, "spot");
    let mut now = 0.0;
    for _ in 0..2 {
        let order = order(&mut run, now);
        assert_eq!(order.function, 1);
        assert!(matches!(
            run.on_failure(order.attempt, lost(), 0.0, seconds(now), 0.0),
            FailureResponse::Retry(_)
        ));
        now += 10.0;
    }
    let third = order(&mut run, now);
    assert_eq!(
        run.on_failure(third.attempt, lost(), 0.0, seconds(now), 0.0),
        FailureResponse::RetryOnFunction(0)
    );
    assert_eq!(order(&mut run, now).function, 0);
    let mut run = beside(1);
    run.begin_routed(0, shards(1, 1), None, 1, |_| true);
    let order = order(&mut run, 0.0);
    let oom = TaskFailure::new(FailureClass::OutOfMemory, "device memory");
    assert_eq!(
        run.on_failure(order.attempt, oom, 0.0, seconds(1.0), 0.0),
        FailureResponse::RetryOnFunction(0)
    );
}

#[test]
fn a_pool_alone_that_nobody_serves_stops_the_run_so_that_it_can_be_taken_up() {
    let place = super::Place::Pool { hourly: 0.0 };
    let pool = Function { place, ..Function::lambda("pool", 1 << 14) };
    let mut run = Run::new(vec![pool], RATES, 2, Cost::default(), Policy::default());
    run.begin(shards(0, 1), None, 1);
    let order = order(&mut run, 0.0);
    run.on_failure(order.attempt, absent(), 0.0, seconds(300.0), 0.0);
    assert!(matches!(run.stopped(), Some(Stop::Absent(_))), "{:?}", run.stopped());
    assert_eq!(run.next(seconds(1000.0)), Next::Stopped);
}

#[test]
fn backups_are_for_functions_and_splits_stay_where_they_were() {
    let mut run = beside(1);
    run.begin_routed(0, shards(1, 1), None, 1, |_| true);
    let order = order(&mut run, 0.0);
    let late = TaskFailure::new(FailureClass::TimedOut, "slow");
    assert_eq!(run.on_failure(order.attempt, late, 0.0, seconds(1.0), 0.0), FailureResponse::Split(2));
    let pieces = orders(&mut run, 1.0);
    assert_eq!(pieces.iter().map(|order| order.function).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn what_waits_in_a_queue_is_not_late() {
    let place = super::Place::Pool { hourly: 1.0 };
    let queue = Function { timeout: seconds(100.0), place, ..Function::lambda("queue", 1 << 14) };
    let mut run = Run::new(vec![queue], RATES, 100, Cost::default(), Policy::default());
    run.begin(shards(0, 12), None, 1);
    let all = orders(&mut run, 0.0);
    let quick = stagger_model::events::PhaseSeconds { compute: 1.0, ..Default::default() };
    for order in &all[..10] {
        run.on_taken(order.attempt, seconds(0.1));
        run.on_report(
            order.attempt,
            &TaskReport { seconds: quick, ..TaskReport::default() },
            0.0,
            seconds(1.0),
        );
    }
    assert_eq!(run.next(seconds(90.0)), Next::Wait(None), "no worker has taken what is left");
    run.on_taken(all[10].attempt, seconds(90.0));
    let Next::Wait(Some(at)) = run.next(seconds(91.0)) else { panic!("it waits") };
    assert!(
        (92.9..93.3).contains(&at.as_secs_f64()),
        "three times the median from when it was taken: {at:?}"
    );
    let backup = order(&mut run, 94.0);
    assert!(backup.backup && backup.work == all[10].work);
    assert!(!matches!(run.next(seconds(99.0)), Next::Invoke(_)), "the other one still waits");
}

#[test]
fn what_is_given_back_counts_against_nobody() {
    let mut run = beside(1);
    run.begin_routed(0, shards(0, 1), None, 1, |_| true);
    let returned = || TaskFailure::new(FailureClass::Returned, "spot notice");
    for time in 0..10 {
        let now = f64::from(time) * 10.0;
        let order = order(&mut run, now);
        assert_eq!(order.function, 1);
        let handled = run.on_failure(order.attempt, returned(), 0.0, seconds(now), 0.0);
        assert!(matches!(handled, FailureResponse::Retry(_)), "{handled:?}");
    }
}

#[test]
fn a_fast_pool_sets_no_limits_to_functions() {
    let mut run = beside(1);
    run.begin_routed(0, shards(0, 13), None, 1, |task| task < 12);
    let started = orders(&mut run, 0.0);
    let quick = stagger_model::events::PhaseSeconds { compute: 0.1, ..Default::default() };
    for order in started.iter().filter(|order| order.function == 1) {
        let report = TaskReport { seconds: quick, ..TaskReport::default() };
        run.on_report(order.attempt, &report, 0.0, seconds(5.0));
    }
    let own = started.iter().find(|order| order.function == 0).unwrap();
    assert_eq!(own.limit, seconds(100.0), "the function's own");
    assert_eq!(run.next(seconds(90.0)), Next::Wait(None), "and no backup of what is only slower than a GPU");
}

#[test]
fn what_the_cap_does_not_allow_a_pool_it_may_allow_a_function() {
    let mut all = functions(1);
    let place = super::Place::Pool { hourly: 360_000.0 };
    all.push(Function { timeout: Duration::from_secs(100), place, ..Function::lambda("pool", 1 << 14) });
    let cost = Cost { cap: Some(150.0), ..Cost::default() };
    let mut run = Run::new(all, RATES, 2, cost, Policy::default());
    run.begin_routed(0, shards(0, 2), None, 1, |task| task == 0);
    let started = orders(&mut run, 0.0);
    assert_eq!(started.iter().map(|order| order.function).collect::<Vec<_>>(), [0], "{:?}", run.stopped());
}
