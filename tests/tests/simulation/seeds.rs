//! Controller, workers, storage and Lambda under one seed: whatever goes wrong, a run ends with its bits or with the right refusal.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use stagger_tests::simulation::{Fault, Outcome, Seen, case_count, simulate};

/// The seeds of a plain `cargo test`; `.ci/run` takes a thousand.
const SEEDS: u64 = 100;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What all seeds have counted, and which failed.
#[derive(Default)]
struct All {
    fired: BTreeMap<Fault, u64>,
    seen: BTreeMap<Seen, u64>,
    failures: Vec<String>,
}

impl All {
    fn add(&mut self, outcome: &Outcome) {
        outcome
            .counts
            .fired
            .iter()
            .for_each(|(fault, count)| *self.fired.entry(*fault).or_default() += count);
        outcome.counts.seen.iter().for_each(|(seen, count)| *self.seen.entry(*seen).or_default() += count);
        if let Err(why) = &outcome.verdict {
            self.failures.push(format!("seed {}: {why}\n    {}", outcome.plan.seed, outcome.command()));
        }
    }
}

#[test]
fn every_seed_ends_with_its_bits_or_with_the_right_refusal() {
    let (first, seeds) = (number("STAGGER_SIM_FIRST", 1), number("STAGGER_SIM_SEEDS", SEEDS));
    assert!(case_count() > 0);
    let (next, all) = (AtomicU64::new(first), Mutex::new(All::default()));
    let begin = std::time::Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        return;
                    }
                    let outcome = simulate(seed);
                    all.lock().expect("no panic").add(&outcome);
                }
            });
        }
    });
    let all = all.into_inner().expect("no panic");
    println!("{seeds} seeds in {:.1} s\n{:#?}\n{:#?}", begin.elapsed().as_secs_f64(), all.fired, all.seen);
    let shown = all.failures.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
    assert!(all.failures.is_empty(), "{} of {seeds} seeds failed:\n{shown}", all.failures.len());
    // A fault that never happened tests nothing.
    if seeds >= 500 {
        let missing: Vec<_> = Fault::ALL.iter().filter(|fault| !all.fired.contains_key(fault)).collect();
        assert!(missing.is_empty(), "never happened: {missing:?}");
        let missing: Vec<_> = Seen::ALL.iter().filter(|seen| !all.seen.contains_key(seen)).collect();
        assert!(missing.is_empty(), "never seen: {missing:?}");
    }
}

#[test]
fn a_seed_fixes_everything_that_happens() {
    for seed in [3, 4, 5, 6] {
        let (one, two) = (simulate(seed), simulate(seed));
        let differs = one.trace.iter().zip(&two.trace).find(|(a, b)| a != b);
        assert_eq!(one.digest(), two.digest(), "seed {seed}: {differs:?}");
    }
}
