//! The event log of a run as a timeline of its tasks: the lanes of the dashboard, on paper.

use std::path::Path;

use stagger_dashboard::view;
use stagger_dashboard::view::RunView;
use stagger_model::event_log::{EVENTS_FILE, parse};
use stagger_model::failure::Failure;
use stagger_pictures::charts::{Outcome, Span, Timeline};

use crate::load::verified_folder;

/// Reads the log beside a result; `None` where there is none, or where it tells of no task.
pub fn read_timeline(folder: &Path) -> Result<Option<Timeline>, Failure> {
    let path = folder.join(EVENTS_FILE);
    if !path.exists() {
        return Ok(None);
    }
    let text = String::from_utf8(verified_folder(folder)?.read(EVENTS_FILE)?)
        .map_err(|_| Failure::input(format!("{} is damaged: it is not text", path.display())))?;
    let mut run = RunView::new("");
    for (at, event) in parse(&text, &path.display().to_string())? {
        run.update(at, &event);
    }
    Ok((!run.tasks.all().is_empty()).then(|| timeline(&run)))
}

fn timeline(run: &RunView) -> Timeline {
    let mut stages: Vec<String> = Vec::new();
    // Rounds of one stage look alike.
    let numbers: Vec<usize> = run
        .stages
        .iter()
        .map(|stage| {
            stages.iter().position(|known| *known == stage.name).unwrap_or_else(|| {
                stages.push(stage.name.clone());
                stages.len() - 1
            })
        })
        .collect();
    let begun = run.progress.begun.unwrap_or(0.0);
    let span = |span: &view::AttemptSpan| Span {
        lane: span.lane,
        begin: span.begin - begun,
        end: span.end.unwrap_or(run.progress.last) - begun,
        stage: numbers.get(span.stage).copied().unwrap_or(0),
        outcome: outcome(span),
    };
    let mut spans: Vec<Span> = run.tasks.all().iter().map(span).collect();
    spans.sort_by(|a, b| {
        (a.lane, a.begin).partial_cmp(&(b.lane, b.begin)).unwrap_or(std::cmp::Ordering::Equal)
    });
    Timeline { title: "Tasks of the run".to_owned(), stages, spans, notes: Vec::new() }
}

fn outcome(span: &view::AttemptSpan) -> Outcome {
    match span.outcome {
        view::Outcome::Failed(_) | view::Outcome::Abandoned => Outcome::Failed,
        _ if span.backup => Outcome::Backup,
        _ if span.again => Outcome::Retry,
        _ => Outcome::Done,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn lanes_are_those_of_the_dashboard() {
        let folder = tempfile::tempdir().unwrap();
        let lines = [
            r#"{"v":1,"at":100.0,"event":"stage_started","number":1,"stage":"gram","tasks":2}"#,
            r#"{"v":1,"at":100.5,"event":"invoked","attempt":1,"task":"shard 0","number":1,"function":"f","backup":false}"#,
            r#"{"v":1,"at":100.5,"event":"invoked","attempt":2,"task":"shard 1","number":1,"function":"f","backup":false}"#,
            r#"{"v":1,"at":101.0,"event":"failed","attempt":1,"class":"lost","message":"x","remedy":"again","took":0.5}"#,
            r#"{"v":1,"at":101.1,"event":"something_new","attempt":"text"}"#,
            r#"{"v":1,"at":101.5,"event":"invoked","attempt":3,"task":"shard 0","number":2,"function":"f","backup":false}"#,
            r#"{"v":1,"at":102.0,"event":"done","attempt":3,"took":0.5}"#,
            r#"{"v":1,"at":103.0,"event":"no"#,
        ];
        fs::write(folder.path().join(EVENTS_FILE), lines.join("\n")).unwrap();
        let timeline = read_timeline(folder.path()).unwrap().unwrap();
        assert_eq!(timeline.stages, ["gram"]);
        let told: Vec<(usize, f64, f64, Outcome)> =
            timeline.spans.iter().map(|span| (span.lane, span.begin, span.end, span.outcome)).collect();
        assert_eq!(
            told,
            [(0, 0.5, 1.0, Outcome::Failed), (0, 1.5, 2.0, Outcome::Retry), (1, 0.5, 2.0, Outcome::Done)]
        );
        assert!(read_timeline(&folder.path().join("none")).unwrap().is_none());
    }
}
