//! A run, and the message at its end.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use stagger_aws::notify::{RunMessage, SnsTopic, check_topic};
use stagger_coordinator::journal::JournalEntry;
use stagger_coordinator::{journal, run_url};
use stagger_model::error::StaggerError;
use stagger_model::events::RunState;
use stagger_model::failure::Failure;
use stagger_storage::{Storage, runtime};

use crate::cli::request::RunRequest;

/// Does the work, and tells the request's topic how it ended. The topic is looked for first. One that can't be told in the end fails
/// a run that went well: nobody would hear of it.
///
/// # Errors
/// Those of the work, or of the topic.
pub(crate) fn notify_when_done(
    request: &RunRequest,
    work: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let topic = request.notify.as_deref().map(SnsTopic::open).transpose()?;
    topic.as_ref().map_or(Ok(()), SnsTopic::check_exists)?;
    let begin = Instant::now();
    let done = work();
    let Some(topic) = topic else { return done };
    let sent = topic.send(&notice(request, &done, begin.elapsed()));
    match (done, sent) {
        (Ok(()), sent) => sent,
        (Err(failure), Ok(())) => Err(failure),
        (Err(failure), Err(unsent)) => Err(unheard(failure, &unsent)),
    }
}

/// Tells the topic of a run that was refused before it began, and returns the failure.
pub(crate) fn notify_of_refusal(topic: Option<&str>, run: Option<&str>, failure: Failure) -> Failure {
    let Some(topic) = topic.filter(|topic| check_topic(topic).is_ok()) else { return failure };
    let lines = failure.to_string().lines().map(str::to_owned).collect();
    let run = run.unwrap_or("that was not begun").to_owned();
    let sent =
        SnsTopic::open(topic).and_then(|topic| topic.send(&RunMessage { run, state: "failed", lines }));
    match sent {
        Ok(()) => failure,
        Err(unsent) => unheard(failure, &unsent),
    }
}

/// The value of `--notify` among words that could not be understood.
pub(crate) fn topic_in_words(words: &[OsString]) -> Option<String> {
    let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let after = words.iter().position(|word| *word == "--notify").and_then(|at| words.get(at + 1));
    let joined = || words.iter().find_map(|word| word.strip_prefix("--notify="));
    after.copied().or_else(joined).map(str::to_owned)
}

fn unheard(failure: Failure, unsent: &Failure) -> Failure {
    failure.hint(format!("nobody was told of it: {}", unsent.message()))
}

fn notice(request: &RunRequest, done: &Result<(), Failure>, took: Duration) -> RunMessage {
    let last = request.workers.as_ref().and_then(|workers| last(&run_url(&workers.runs, &workers.name)));
    // A name that was taken is another controller's run.
    let last = last.filter(|last| last.writer.pid == std::process::id());
    let name = request.workers.as_ref().map_or("on threads", |workers| workers.name.as_str());
    let out = request.upload.clone().or_else(|| Some(request.out.as_ref()?.display().to_string()));
    let mut lines = vec![format!("after {:.0} s", took.as_secs_f64())];
    lines.extend(last.as_ref().map(cost));
    let state = match done {
        Ok(()) => {
            lines.extend(out.map(|out| format!("result: {out}")));
            "finished"
        }
        Err(failure) => {
            lines.extend(failure.to_string().lines().map(str::to_owned));
            match last.map(|last| last.summary.state) {
                Some(RunState::Stopped) => "stopped",
                _ => "failed",
            }
        }
    };
    RunMessage { run: name.to_owned(), state, lines }
}

/// `$0.0421 for 312 attempts, 3 of them failed`
fn cost(last: &JournalEntry) -> String {
    let summary = &last.summary;
    format!(
        "${:.4} for {} attempts, {} of them failed",
        summary.cost.spent, summary.attempts, summary.failures
    )
}

/// The journal's last entry; a message does without.
fn last(url: &str) -> Option<JournalEntry> {
    let storage = Storage::open(url).ok()?;
    let found = runtime().map_err(StaggerError::from).ok()?.block_on(journal::read_last_entry(&storage));
    found.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topic_is_found_among_words_that_mean_nothing() {
        let among = |words: &[&str]| topic_in_words(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(among(&["run", "--yname", "--notify", "arn:x", "--what"]).as_deref(), Some("arn:x"));
        assert_eq!(among(&["run", "--notify=arn:y"]).as_deref(), Some("arn:y"));
        assert_eq!(among(&["run", "--notify"]), None);
    }
}
