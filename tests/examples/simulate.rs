//! Simulates one seed, as a failing test tells: `cargo run -p stagger-tests --example simulate -- --seed 17 --verbose`.

use std::process::ExitCode;

use stagger_tests::simulation::simulate;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let seed = words.iter().position(|word| word == "--seed").and_then(|at| words.get(at + 1)?.parse().ok());
    let Some(seed) = seed else {
        eprintln!("usage: simulate --seed N [--verbose]");
        return ExitCode::from(2);
    };
    let outcome = simulate(seed);
    if words.iter().any(|word| word == "--verbose") {
        println!("{:#?}", outcome.plan);
        outcome.trace.iter().for_each(|line| println!("{line}"));
        println!("{:#?}", outcome.counts);
    }
    println!(
        "seed {seed}: {} after {:.1} s, {} controllers, digest {:016x}",
        outcome.verdict.as_ref().err().map_or("as it must be", String::as_str),
        outcome.ended.as_secs_f64(),
        outcome.controllers,
        outcome.digest()
    );
    if outcome.verdict.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
