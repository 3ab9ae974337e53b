//! `stagger demo`: the dashboard without an account and without data.

use std::io::Read;

use crate::cli::view_args::DemoArgs;
use crate::commands::watch::{overwrites, replay};
use crate::failure::Failure;
use crate::listen::parse;
use crate::report::stdout::print;
use crate::tui::{self, Recording};
use crate::unattended::Scratch;

/// A run of a thousand workers with every kind of fault, recorded from the simulation of docs/scale.md
/// (`cargo run -p stagger-tests --example record_demo`).
const RECORDING: &[u8] = include_bytes!("../demo/recording.jsonl.zst");

/// Plays the recorded run, or makes a small one.
pub(crate) fn demo(args: &DemoArgs) -> Result<(), Failure> {
    if args.live.unwrap_or(false) {
        return live(args);
    }
    overwrites(&args.view, &[] as &[&str])?;
    let events = recorded()?;
    if args.measure {
        return print(&tui::measure(events)?);
    }
    replay("demo", events, &args.view)
}

fn recorded() -> Result<Recording, Failure> {
    parse(&recorded_text()?, "the recording")
}

/// The recorded run as it is in a file.
pub(crate) fn recorded_text() -> Result<String, Failure> {
    let damaged = |error: std::io::Error| Failure::failed(format!("the recording is damaged: {error}"));
    let mut text = String::new();
    zstd::Decoder::new(RECORDING).map_err(damaged)?.read_to_string(&mut text).map_err(damaged)?;
    Ok(text)
}

/// A panel is simulated and estimated in many small tasks, with a journal, in a folder that is removed afterwards.
fn live(args: &DemoArgs) -> Result<(), Failure> {
    let folder = Scratch::new()?;
    let within = |name: &str| folder.path().join(name).display().to_string();
    let panel = within("panel.parquet");
    let words = |line: &str| line.split_whitespace().map(Into::into).collect::<Vec<std::ffi::OsString>>();
    let simulate = format!(
        "simulate --units 400000 --periods 10 --cohorts 8 --covariates 4 --never-share 0.25 --seed 1 --out {panel}"
    );
    act(words(&simulate))?;
    let plain = match (args.view.plain, args.view.ascii) {
        (true, _) => "--plain",
        (false, true) => "--tui --ascii",
        (false, false) => "--tui",
    };
    let run = format!(
        "run {panel} --yname y --tname time --idname id --gname group --run-dir {} --run-name live {plain}",
        within("runs")
    );
    let mut run = words(&run);
    run.extend(["--xformla".into(), "~ x1 + x2 + x3 + x4".into()]);
    act(run)
}

fn act(words: Vec<std::ffi::OsString>) -> Result<(), Failure> {
    match crate::cli::parse(words) {
        Ok(cli) => crate::act(cli),
        Err(crate::cli::refusal::Refusal::Mistake(failure)) => Err(failure),
        Err(crate::cli::refusal::Refusal::Help(_)) => Ok(()),
    }
}
