//! `stagger janitor`: ends what controllers that are gone have left — the state of their runs, and the containers that wait for them.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use stagger_aws::containers::terminate_jobs;
use stagger_aws::lambda::Clients;
use stagger_aws::notify::{RunMessage, SnsTopic};
use stagger_coordinator::journal::JournalEntry;
use stagger_coordinator::{journal, run_url};
use stagger_model::error::{Result as EngineResult, StaggerError};
use stagger_model::events::RunState;
use stagger_model::failure::Failure;
use stagger_report::stdout::{print, print_json};
use stagger_storage::{Storage, runtime};

use crate::cli::workers::{JanitorArgs, runs_address};
use crate::commands::runs::unreadable;
use crate::commands::workers::writer;

/// Default seconds without a sign of life: a controller writes every five.
const SILENT: f64 = 900.0;

/// A run that was ended, as `--json` prints it.
#[derive(Serialize)]
struct Ended {
    run: String,
    /// Seconds since its controller wrote.
    silent: f64,
    dollars: f64,
    /// Jobs of AWS Batch that were ended.
    jobs: usize,
}

/// Ends runs whose controller is gone.
pub(crate) fn janitor(args: &JanitorArgs) -> Result<(), Failure> {
    let all = runs_address(args.run_dir.clone())?;
    let silent = args.silent.unwrap_or(SILENT);
    if !(silent >= journal::SILENCE_SECONDS && silent.is_finite()) {
        return Err(Failure::input(format!(
            "silent must be at least {} seconds, within which a controller may just be slow; received {silent}",
            journal::SILENCE_SECONDS
        ))
        .hint("900, which is the default, or a few minutes"));
    }
    let topic = args.notify.as_deref().map(SnsTopic::open).transpose()?;
    let storage = Storage::open(&all).map_err(StaggerError::from)?;
    let runtime = runtime().map_err(StaggerError::from)?;
    let open = |url: &str| -> EngineResult<Storage> { Storage::open(url).map_err(StaggerError::from) };
    let found = runtime.block_on(journal::list_runs(&storage, &open))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    let (mut ended, mut failed, mut damaged) = (Vec::new(), None, Vec::new());
    for run in &found {
        match &run.last {
            Err(error) => damaged.push(format!("{} ({error})", run.name)),
            Ok(Some(last)) if is_left(last, now, silent) => {
                // What fails here must not keep the others from being looked after.
                match end(args, (&all, &run.name), last, now, topic.as_ref(), &mut failed) {
                    Ok(one) => ended.extend(one),
                    Err(failure) => damaged.push(format!("{} ({})", run.name, failure.message())),
                }
            }
            Ok(_) => {}
        }
    }
    match args.json.unwrap_or(false) {
        true => print_json(&ended)?,
        false => print(&text(&ended, &all))?,
    }
    let names: Vec<&str> = damaged.iter().map(String::as_str).collect();
    match failed {
        Some(failure) => Err(failure),
        None if names.is_empty() => Ok(()),
        None => Err(unreadable(&names, found.len(), &all)),
    }
}

/// Ends what the controller of a run has left; none if somebody takes the run up in this moment. A failure at its containers or at the
/// topic is kept in `failed`: the run is marked then, so nobody comes again.
fn end(
    args: &JanitorArgs,
    (all, name): (&str, &str),
    last: &JournalEntry,
    now: f64,
    topic: Option<&SnsTopic>,
    failed: &mut Option<Failure>,
) -> Result<Option<Ended>, Failure> {
    let own = Storage::open(&run_url(all, name)).map_err(StaggerError::from)?;
    let reason = format!("its controller, process {} on {}, is gone", last.writer.pid, last.writer.host);
    let hint = format!("`stagger resume {name}` goes on where it was");
    let runtime = runtime().map_err(StaggerError::from)?;
    if !runtime.block_on(journal::close_abandoned(own, writer(), now, &reason, &hint))? {
        return Ok(None);
    }
    let jobs = jobs(args, name).unwrap_or_else(|failure| {
        failed.get_or_insert(failure);
        0
    });
    let one = Ended { run: name.to_owned(), silent: now - last.at, dollars: last.summary.cost.spent, jobs };
    if let Some(Err(failure)) = topic.map(|topic| topic.send(&notice(&one, &reason, &hint))) {
        failed.get_or_insert(failure);
    }
    Ok(Some(one))
}

fn is_left(last: &JournalEntry, now: f64, silent: f64) -> bool {
    last.summary.state == RunState::Running && now - last.at > silent
}

fn jobs(args: &JanitorArgs, run: &str) -> Result<usize, Failure> {
    let runtime = runtime().map_err(StaggerError::from)?;
    let mut ended = 0;
    for queue in args.batch_queue.as_deref().unwrap_or_default() {
        ended += runtime.block_on(async {
            let shared = Clients::of_environment().await.shared_config().await;
            terminate_jobs(&shared, queue, run).await
        })?;
    }
    Ok(ended)
}

fn notice(ended: &Ended, reason: &str, hint: &str) -> RunMessage {
    let lines = vec![
        reason.to_owned(),
        format!("silent for {:.0} s, ${:.4} so far", ended.silent, ended.dollars),
        format!("{} jobs of AWS Batch ended", ended.jobs),
        hint.to_owned(),
    ];
    RunMessage { run: ended.run.clone(), state: "stopped", lines }
}

fn text(ended: &[Ended], runs: &str) -> String {
    if ended.is_empty() {
        return format!("no run in {runs} was left by its controller\n");
    }
    let line = |one: &Ended| {
        format!(
            "run {}: stopped after {:.0} s of silence, {} jobs ended; `stagger resume {}` goes on where it was\n",
            one.run, one.silent, one.jobs, one.run
        )
    };
    ended.iter().map(line).collect()
}
