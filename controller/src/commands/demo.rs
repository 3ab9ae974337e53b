//! `stagger demo`: the dashboard without an account and without data.

use std::io::Read;

use stagger_dashboard::tui;
use stagger_model::event_log::{Recording, parse};
use stagger_model::failure::Failure;
use stagger_report::stdout::print;

use crate::cli::refusal::Refusal;
use crate::cli::view_args::DemoArgs;
use crate::cli::{Action, Cli};
use crate::commands::run::run;
use crate::commands::simulate::simulate;
use crate::commands::watch::{overwrites, replay};
use crate::unattended::ScratchFolder;

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
        return print(&tui::frame_times(events)?);
    }
    replay("demo", events, &args.view)
}

fn recorded() -> Result<Recording, Failure> {
    Ok(parse(&recorded_text()?, "the recording")?)
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
    let folder = ScratchFolder::new()?;
    let within = |name: &str| folder.path().join(name).display().to_string();
    let panel = within("panel.parquet");
    let words = |line: &str| line.split_whitespace().map(Into::into).collect::<Vec<std::ffi::OsString>>();
    let simulation = format!(
        "simulate --units 400000 --periods 10 --cohorts 8 --covariates 4 --never-share 0.25 --seed 1 --out {panel}"
    );
    act(words(&simulation))?;
    let plain = match (args.view.plain, args.view.ascii) {
        (true, _) => "--plain",
        (false, true) => "--tui --ascii",
        (false, false) => "--tui",
    };
    let line = format!(
        "run {panel} --yname y --tname time --idname id --gname group --run-dir {} --run-name live {plain}",
        within("runs")
    );
    let mut estimation = words(&line);
    estimation.extend(["--xformla".into(), "~ x1 + x2 + x3 + x4".into()]);
    act(estimation)
}

/// Carries out `stagger simulate` or `stagger run` with these words.
fn act(words: Vec<std::ffi::OsString>) -> Result<(), Failure> {
    match crate::cli::parse(words) {
        Ok(Cli { action: Action::Simulate(args) }) => simulate(&args),
        Ok(Cli { action: Action::Run(args) }) => run(*args),
        Err(Refusal::Invalid(failure)) => Err(failure),
        Ok(_) | Err(Refusal::Help(_)) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use stagger_model::events::RunEvent;

    use super::*;

    /// Every kind there is; one that is added does not compile here before somebody has thought of its description.
    fn kind(event: &RunEvent) -> &'static str {
        match event {
            RunEvent::Opened { .. } => "opened",
            RunEvent::Workers { .. } => "workers",
            RunEvent::InputFound { .. } => "input_found",
            RunEvent::Planned { .. } => "planned",
            RunEvent::StageStarted { .. } => "stage_started",
            RunEvent::Invoked { .. } => "invoked",
            RunEvent::Done(_) => "done",
            RunEvent::Failed { .. } => "failed",
            RunEvent::StageDone { .. } => "stage_done",
            RunEvent::Logits { .. } => "logits",
            RunEvent::Solved { .. } => "solved",
            RunEvent::Estimated(_) => "estimated",
            RunEvent::State { .. } => "state",
            RunEvent::Note { .. } => "note",
            RunEvent::Warning { .. } => "warning",
            RunEvent::Summary(_) => "summary",
            RunEvent::Stopped { .. } => "stopped",
            RunEvent::Finished => "finished",
            RunEvent::Unknown => "unknown",
        }
    }

    #[test]
    fn every_event_of_the_recorded_run_is_described_with_its_fields() {
        let described = include_str!("../../../docs/events.md");
        let text = recorded_text().unwrap();
        let mut kinds = std::collections::BTreeSet::new();
        for (line, (_, event)) in text.lines().zip(parse(&text, "the recording").unwrap()) {
            let kind = kind(&event);
            if !kinds.insert(kind) {
                continue;
            }
            let row =
                described.lines().find(|row| row.starts_with('|') && row.contains(&format!("`{kind}`")));
            let row = row.unwrap_or_else(|| panic!("docs/events.md does not describe `{kind}`"));
            let value: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
            for field in value.keys().filter(|key| !["v", "at", "event"].contains(&key.as_str())) {
                assert!(
                    row.contains(&format!("`{field}`")),
                    "docs/events.md does not describe `{field}` of `{kind}`"
                );
            }
        }
        assert!(kinds.len() >= 15, "{kinds:?}");
    }
}
