//! Runs on AWS Lambda at scale: simulated, and what the controller takes of this machine, measured.
//!
//! ```text
//! cargo run --release -p stagger-tests --example scale                   # prints docs/scale.md
//! cargo run --release -p stagger-tests --example scale -- --write        # writes it
//! cargo run --release -p stagger-tests --example scale -- --check        # fails if it differs
//! cargo run --release -p stagger-tests --example scale -- --controller   # memory and reports a second, measured here
//! cargo run --release -p stagger-tests --example scale -- --invocations  # requests a second of one process, measured here
//! ```

use std::error::Error;
use std::process::{Command, ExitCode};
use std::time::Duration;

use stagger_tests::cli::workspace;
use stagger_tests::scale::{controller, report};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match work(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn work(args: &[&str]) -> Result<ExitCode> {
    let path = workspace().join("docs/scale.md");
    match args {
        [] => print!("{}", report::page()),
        ["--write"] => std::fs::write(path, report::page())?,
        ["--check"] => {
            if std::fs::read_to_string(path)? != report::page() {
                eprintln!("docs/scale.md is not what the simulation gives; --write writes it anew");
                return Ok(ExitCode::FAILURE);
            }
        }
        ["--controller"] => {
            for (tasks, draws) in [(64, 0), (65_536, 0), (64, 1_000), (1_024, 1_000), (65_536, 1_000)] {
                let own = std::env::current_exe()?;
                let args = ["--controller-of", &tasks.to_string(), &draws.to_string()];
                Command::new(own).args(args).status()?;
            }
        }
        ["--controller-of", tasks, draws] => measured(tasks.parse()?, draws.parse()?)?,
        ["--invocations"] => invocations()?,
        _ => {
            eprintln!("usage: scale [--write | --check | --controller | --invocations]");
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn measured(tasks: usize, draws: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let found = runtime.block_on(controller::stage(tasks, draws, folder.path()))?;
    println!(
        "{tasks} tasks, {draws} draws: {} reports in {:.2} s, {:.0} a second; peak {:.1} MB",
        found.reports,
        found.seconds,
        found.reports as f64 / found.seconds,
        found.peak as f64 / 1e6
    );
    Ok(())
}

fn invocations() -> Result<()> {
    for (threads, under_way) in [(1, 500), (2, 500), (2, 1_000)] {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
        let rate = runtime.block_on(controller::requests(10_000, under_way, Duration::from_millis(100)))?;
        println!("{threads} threads, {under_way} under way: {rate:.0} requests a second");
    }
    Ok(())
}
