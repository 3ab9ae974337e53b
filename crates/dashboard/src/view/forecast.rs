//! A forecast of the rest of a run from what it has done: rough, and shown with a sign that says so.
//!
//! The stages to come are known by the estimator (docs/architecture.md), but for the rounds of the propensity scores; each is thought
//! to take as long, and to cost as much, as the mean of the passes so far.

use stagger_estimator::options::EstMethod;

use super::{RunPhase, RunView, StageView};

/// Rounds over all shards that logits usually take.
const ROUNDS: usize = 3;

/// The forecast of the rest of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Remaining {
    /// Seconds; none before anything is known.
    pub seconds: Option<f64>,
    /// Dollars in all at the end.
    pub dollars: Option<f64>,
}

/// Returns true if a stage goes over all shards for the estimates.
fn is_pass(stage: &StageView) -> bool {
    ["gram", "propensity", "closing", "moments", "overlap", "omega", "influence"]
        .iter()
        .any(|name| stage.name.split(" + ").any(|part| part == *name))
}

impl Remaining {
    pub(super) fn of(view: &RunView, now: f64) -> Self {
        match view.progress.phase {
            RunPhase::Waiting => return Self::default(),
            RunPhase::Finished | RunPhase::Stopped { .. } => {
                return Self { seconds: Some(0.0), dollars: Some(view.summary.cost.spent) };
            }
            RunPhase::Running => {}
        }
        let Some(stage) = view.stage() else { return Self::default() };
        let share = stage.progress();
        if share <= 0.0 && view.stages.len() < 2 {
            return Self::default();
        }
        let elapsed = stage.elapsed(now);
        let done: Vec<f64> = view.stages.iter().filter(|s| is_pass(s)).filter_map(|s| s.seconds).collect();
        let mean = if done.is_empty() {
            elapsed / share.max(0.05)
        } else {
            done.iter().sum::<f64>() / done.len() as f64
        };
        let here = if share > 0.05 { elapsed * (1.0 - share) / share } else { (mean - elapsed).max(0.0) };
        let seconds = here + passes_left(view, stage) as f64 * mean;
        let gone = view.elapsed(now);
        let spent = view.summary.cost.spent;
        Self {
            seconds: Some(seconds),
            dollars: (gone > 0.0 && spent > 0.0 && !done.is_empty()).then(|| spent * (gone + seconds) / gone),
        }
    }
}

/// Passes after the one under way.
fn passes_left(view: &RunView, stage: &StageView) -> usize {
    let scored = view.specs.iter().any(|spec| spec.outline.method != EstMethod::Reg);
    let rounds = view.specs.iter().flat_map(|spec| spec.logits.last()).map(|last| last[0]).max();
    let still = ROUNDS.saturating_sub(rounds.unwrap_or(0));
    let after = |name: &str| stage.name.contains(name);
    match () {
        () if after("influence") => 0,
        () if after("closing") || after("moments") || after("omega") || after("overlap") => 1,
        () if after("propensity") => 1 + still + usize::from(scored),
        () if after("gram") && scored => ROUNDS + 2,
        () if after("gram") => 1,
        () if scored => ROUNDS + 3,
        () => 2,
    }
}
