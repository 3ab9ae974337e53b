//! Simulates one seed, as a failing test tells: `cargo run -p stagger-tests --example simulate -- --seed 17 --verbose`.

use std::process::ExitCode;
use std::time::Instant;

use stagger_tests::simulation::simulate;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let number = |name: &str| {
        words.iter().position(|word| word == name).and_then(|at| words.get(at + 1)?.parse().ok())
    };
    let Some(first) = number("--seed") else {
        eprintln!("usage: simulate --seed N [--seeds COUNT] [--verbose]");
        return ExitCode::from(2);
    };
    let verbose = words.iter().any(|word| word == "--verbose");
    let failed =
        (first..first + number("--seeds").unwrap_or(1)).filter(|&seed: &u64| !shown(seed, verbose)).count();
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Simulates a seed and tells of it; whether it ended as it must.
fn shown(seed: u64, verbose: bool) -> bool {
    let begin = Instant::now();
    let outcome = simulate(seed);
    if verbose {
        println!("{:#?}", outcome.plan);
        outcome.trace.iter().for_each(|line| println!("{line}"));
        println!("{:#?}", outcome.counts);
    }
    println!(
        "seed {seed}: {} after {:.1} s, {} controllers, {} invocations, digest {:016x} ({} ms)",
        outcome.verdict.as_ref().err().map_or("as it must be", String::as_str),
        outcome.ended.as_secs_f64(),
        outcome.controllers,
        outcome.counts.invocations,
        outcome.digest(),
        begin.elapsed().as_millis()
    );
    outcome.verdict.is_ok()
}
