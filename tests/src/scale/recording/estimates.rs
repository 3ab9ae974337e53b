//! The numbers of the recorded run: a small panel of its design is estimated, and its events are taken.

use std::sync::Mutex;

use stagger_estimation::local::{RunOptions, run};
use stagger_model::events::{Estimated, RunEvent, SpecOutline};
use stagger_model::result::Num;
use stagger_model::spec::RunSpec;
use stagger_test_support::panels::Panel;
use stagger_test_support::runs;

use super::steps::{SHARDS, UNITS};

/// Units of the small panel: enough for every cell to be estimated well.
const SMALL: usize = 9_000;

/// What the run tells of its estimates.
#[derive(Clone, Debug, Default)]
pub(super) struct Estimates {
    pub(super) outline: SpecOutline,
    /// Logits to be fitted.
    pub(super) logits: usize,
    /// Point estimates.
    pub(super) att: Vec<Num>,
    pub(super) estimated: Box<Estimated>,
}

/// Doubly robust with four covariates; eight cohorts and a ninth that is never treated, ten periods.
pub(super) fn estimates() -> Estimates {
    let folder = tempfile::tempdir().expect("a folder");
    let panel = Panel {
        units: SMALL,
        periods: 10,
        cohorts: [0].into_iter().chain(3..=10).collect(),
        clusters: 200,
        seed: 21,
    };
    let path = panel.write(folder.path(), "panel");
    let spec =
        RunSpec { xformla: Some("~ x1 + x2 + xt + w".into()), ..runs::spec("y", "time", "id", "group") };
    let told = Mutex::new(Estimates::default());
    let observer = |event: &RunEvent| take(&mut told.lock().expect("no panic"), event);
    let options = RunOptions { memory_limit: Some(u64::MAX), ..RunOptions::default() };
    run(&[path.display().to_string()], &spec, &options, &observer).expect("the small panel is estimated");
    let mut out = told.into_inner().expect("no panic");
    (out.outline.units, out.outline.shards) = (UNITS, SHARDS);
    out
}

fn take(out: &mut Estimates, event: &RunEvent) {
    match event {
        RunEvent::Planned { specs } => out.outline = specs[0].clone(),
        RunEvent::Logits { active, converged, failed, .. } => out.logits = active + converged + failed,
        RunEvent::Solved { att, .. } => out.att.clone_from(att),
        RunEvent::Estimated(estimated) => out.estimated = estimated.clone(),
        _ => {}
    }
}
