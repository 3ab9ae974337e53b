//! What keeps a run right, taken out piece by piece: with each guard a simulated run ends as it must, without it the simulation notices.

use std::collections::BTreeSet;
use std::time::Duration;

use stagger_schedule::Policy;
use stagger_tests::simulation::{Changes, Ending, Fault, Guard, Outcome, Plan, Second, Seen, simulate_plan};

/// The case with a propensity score, which makes several passes, in as many tasks as shards.
fn plan(seed: u64) -> Plan {
    Plan { seed, tasks: Some(16), shard_seconds: 1.0, ..Plan::calm(1) }
}

fn with(fault: Fault, rate: f64, plan: Plan) -> Plan {
    let mut plan = plan;
    plan.rates.insert(fault, rate);
    plan
}

fn guarded(plan: &Plan) -> Outcome {
    simulate_plan(plan.clone(), Changes::default())
}

fn without(guard: Guard, plan: &Plan) -> Outcome {
    simulate_plan(plan.clone(), Changes { removed: BTreeSet::from([guard]), ..Changes::default() })
}

fn by_policy(policy: Policy, plan: &Plan) -> Outcome {
    simulate_plan(plan.clone(), Changes { policy: Some(policy), ..Changes::default() })
}

fn saw(outcome: &Outcome, seen: Seen) -> bool {
    outcome.counts.seen.contains_key(&seen)
}

/// Right with the guard for all of these seeds, noticed without it for one at least.
#[track_caller]
fn matters(guard: Guard, plan: impl Fn(u64) -> Plan) {
    let mut noticed = Vec::new();
    for seed in 1..=8 {
        let plan = plan(seed);
        assert_eq!(guarded(&plan).verdict, Ok(()), "seed {seed} with {guard:?}");
        noticed.extend(without(guard, &plan).verdict.err());
    }
    assert!(!noticed.is_empty(), "nobody notices that {guard:?} is missing");
}

#[test]
fn without_retries_a_run_fails() {
    matters(Guard::Retry, |seed| with(Fault::Unavailable, 0.1, plan(seed)));
}

#[test]
fn without_checksums_a_flipped_bit_is_in_the_result() {
    matters(Guard::Checksum, |seed| with(Fault::Flipped, 0.3, plan(seed)));
}

#[test]
fn without_create_once_the_second_of_two_workers_counts() {
    matters(Guard::CreateOnce, |seed| Plan { diverging: true, ..with(Fault::Duplicate, 0.5, plan(seed)) });
}

#[test]
fn without_reading_back_a_controller_takes_itself_for_another() {
    matters(Guard::ReadBack, |seed| with(Fault::ReplyLost, 0.3, plan(seed)));
}

#[test]
fn without_a_fence_two_controllers_go_on() {
    let second = Some(Second { at: Duration::from_secs(3), force: true });
    let plan = Plan { second, ..plan(1) };
    let fenced = guarded(&plan);
    assert_eq!(fenced.verdict, Ok(()));
    assert!(saw(&fenced, Seen::Fenced), "the first controller stops");
    assert!(!saw(&without(Guard::Fence, &plan), Seen::Fenced), "nothing stops it");
}

#[test]
fn without_a_fingerprint_two_panels_are_mixed() {
    let (mut refused, mut mixed) = (0, 0);
    for moment in (10..=120).step_by(10) {
        // In the case without covariates these moments lie all over the run.
        let plan = Plan { case: 0, ending: Ending::Replaced(moment), ..plan(moment) };
        let outcome = guarded(&plan);
        assert_eq!(outcome.verdict, Ok(()), "replaced at read {moment}");
        refused += u32::from(saw(&outcome, Seen::Refused));
        mixed += u32::from(without(Guard::Fingerprint, &plan).verdict.is_err());
    }
    assert!(refused > 0 && mixed > 0, "{refused} refused, {mixed} mixed");
}

#[test]
fn without_looking_what_was_done_is_done_again() {
    let (mut looked, mut blind) = (0, 0);
    for requests in [10, 12, 14, 16, 18, 20] {
        let plan = Plan { crashes: vec![(requests, false)], concurrency: 2, ..plan(requests) };
        let (one, other) = (guarded(&plan), without(Guard::Look, &plan));
        assert_eq!((one.verdict, other.verdict), (Ok(()), Ok(())), "dead after {requests} requests");
        (looked, blind) = (looked + one.counts.again, blind + other.counts.again);
    }
    assert!(blind > 2 * looked + 10, "{looked} tasks were computed twice, {blind} without looking");
}

#[test]
fn without_backups_stragglers_hold_everything_up() {
    let (mut guarded_seconds, mut seconds) = (0.0, 0.0);
    let never = Policy { backup_tasks: usize::MAX, ..Policy::default() };
    for seed in 1..=12 {
        let plan = with(Fault::Straggler, 0.05, plan(seed));
        let (one, other) = (guarded(&plan), by_policy(never.clone(), &plan));
        assert_eq!((one.verdict, other.verdict), (Ok(()), Ok(())), "seed {seed}");
        guarded_seconds += one.ended.as_secs_f64();
        seconds += other.ended.as_secs_f64();
    }
    assert!(guarded_seconds < 0.6 * seconds, "{guarded_seconds:.0} s with backups, {seconds:.0} s without");
}

#[test]
fn without_slowing_down_a_full_function_is_asked_thousands_of_times() {
    let plan = Plan { reserved: Some(2), concurrency: 32, shard_seconds: 4.0, ..plan(1) };
    let (one, other) = (guarded(&plan), without(Guard::SlowDown, &plan));
    assert_eq!(one.verdict, Ok(()));
    let turned = (one.counts.turned_away, other.counts.turned_away);
    assert!(turned.0 <= 300 && turned.1 >= 5 * turned.0, "{turned:?}");
}

#[test]
fn without_a_cap_more_is_spent() {
    let cap = 0.003;
    let plan = Plan { ending: Ending::Cap(0.5), shard_seconds: 20.0, ..plan(1) };
    let change = |cap| Changes { cap: Some(cap), ..Changes::default() };
    let (capped, free) = (simulate_plan(plan.clone(), change(Some(cap))), simulate_plan(plan, change(None)));
    assert_eq!((&capped.verdict, &free.verdict), (&Ok(()), &Ok(())));
    assert!(saw(&capped, Seen::Capped) && !saw(&free, Seen::Capped));
    assert!(free.spent > cap, "{}", free.spent);
}

#[test]
fn without_quarantine_a_poisoned_shard_is_tried_forever() {
    let plan = Plan { ending: Ending::Poison(5), ..plan(1) };
    let outcome = guarded(&plan);
    assert_eq!(outcome.verdict, Ok(()));
    assert!(saw(&outcome, Seen::Quarantined));
    let endless = by_policy(Policy { attempts: u32::MAX, ..Policy::default() }, &plan);
    assert!(endless.verdict.is_err_and(|why| why.contains("hangs")));
}
