//! The passes of estimations on workers: one stage per pass, whose sums go to every estimation that takes part.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stagger_estimation::estimate::sequence::{NextPass, PassRunner, run_passes};
use stagger_estimation::estimate::steps::Estimation;
use stagger_estimation::partial::Partial;
use stagger_forecast::cut::Cut;
use stagger_forecast::{cut, heavy};
use stagger_model::error::{EngineError, Result};
use stagger_model::events::{ObjectRef, RunEvent, RunState};
use stagger_model::reduction::Node;
use stagger_panel::panel::Panel;
use stagger_panel::stored::StoredShards;
use stagger_protocol::bundle::Bundle;
use stagger_protocol::keys;
use stagger_protocol::messages::Work;
use stagger_protocol::objects::{EstimateStage, Share, StageObject, encode};

use super::session::{Session, StagePlan, Sums};
use super::{CloudOptions, WorkerFailure};

/// The estimations of specifications that share their passes, between two of them. A resumed run starts from here on
/// whatever machine: solutions are in it, as other processors might solve to other last digits.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct State {
    /// The panel as its specifications see it.
    pub(super) panel: ObjectRef,
    /// The estimation of each specification, in order.
    pub(super) estimations: Vec<Estimation>,
}

/// Makes passes until no estimation wants one.
///
/// # Errors
/// A task that can't be done; storage that fails.
pub(super) fn estimate(
    session: &mut Session<'_>,
    state: &mut State,
    panels: &[Panel],
    shards: &Arc<StoredShards>,
    options: &CloudOptions,
) -> std::result::Result<(), WorkerFailure> {
    let mut runner = SessionRunner { session, panel: state.panel.clone(), shards, options };
    run_passes(&mut runner, &mut state.estimations, panels, shards.count()).map(drop)
}

/// Makes passes on the workers of a session; each pass is a stage.
struct SessionRunner<'a, 'b> {
    session: &'a mut Session<'b>,
    /// The panel as its specifications see it.
    panel: ObjectRef,
    shards: &'a StoredShards,
    options: &'a CloudOptions,
}

impl PassRunner for SessionRunner<'_, '_> {
    type Error = WorkerFailure;

    fn run(
        &mut self,
        pass: &NextPass,
        estimations: &[Estimation],
    ) -> std::result::Result<Vec<Partial>, WorkerFailure> {
        let runtime = Arc::clone(&self.session.settings.runtime);
        let mut outcome = Ok(None);
        runtime.block_on(async {
            outcome = self.run_stage(pass, estimations).await;
            Ok(())
        })?;
        let sums: Bundle = outcome?.ok_or_else(|| EngineError::failed("a pass brought no sums"))?;
        Ok(sums.partials)
    }

    fn passed(
        &mut self,
        estimations: &[Estimation],
        events: Vec<RunEvent>,
    ) -> std::result::Result<(), WorkerFailure> {
        events.into_iter().for_each(|event| self.session.note(event));
        let runtime = Arc::clone(&self.session.settings.runtime);
        Ok(runtime.block_on(save(self.session, StateRef { panel: &self.panel, estimations }))?)
    }
}

fn share(estimation: &Estimation, spec: usize) -> Option<Share> {
    let plan = estimation.plan();
    Some(Share {
        spec,
        input: estimation.request()?.input.clone(),
        standardization: plan.regression.standardization.clone(),
        outcome_center: plan.regression.outcome_center,
        fixed: 1 + plan.targets.groups.len(),
    })
}

impl SessionRunner<'_, '_> {
    async fn run_stage(
        &mut self,
        pass: &NextPass,
        estimations: &[Estimation],
    ) -> std::result::Result<Option<Bundle>, WorkerFailure> {
        let (shards, options) = (self.shards, self.options);
        let shares: Vec<Share> = pass.distinct.iter().filter_map(|&i| share(&estimations[i], i)).collect();
        let inputs = || shares.iter().map(|share| (estimations[share.spec].plan(), &share.input));
        let one = stagger_forecast::pass_load(shards, inputs());
        let cut =
            Cut { concurrency: options.concurrency, prefer: options.prefer, wanted: options.n_partitions };
        let tasks = cut::tasks(pass.shards, &one, cut);
        let expected = cut::expected(&one, pass.shards, tasks);
        let bound = stagger_forecast::task_memory(shards, inputs(), pass.shards.div_ceil(tasks));
        let function = cut::function(&cut::homes(self.session.settings.invoker.functions()), bound);
        let sets = shares.iter().map(|share| share.input.sets(share.fixed)).max().unwrap_or(1);
        let mut name = pass.stage(estimations);
        if pass.stride > 1 {
            name += " (sample)";
        }
        let elapsed = self.session.elapsed();
        let facts =
            heavy::Cut { one: &one, shards: pass.shards, tasks, concurrency: options.concurrency, elapsed };
        let manifest = shards.manifest();
        let units = |index: usize| manifest.shards.get(index * pass.stride).map_or(0, |shard| shard.units);
        let heavy = options.heavy.of(facts, &units);
        let plan = StagePlan { expected: Some(expected), sets, function, heavy };
        let stage = EstimateStage { panel: self.panel.clone(), shares, stride: pass.stride };
        let bytes = encode(&StageObject::Estimate(stage))?;
        let object = self.session.objects.put(bytes, keys::common).await?;
        let level = (pass.shards / tasks).trailing_zeros();
        let work = |index| Work::Shards { node: Node { level, index }, part: None };
        let sums = Sums { shards: pass.shards, stride: pass.stride };
        self.session.run_stage(&name, &object, (0..tasks).map(work).collect(), plan, Some(sums)).await
    }
}

/// [`State`], borrowed: it is written with the same bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct StateRef<'a> {
    panel: &'a ObjectRef,
    estimations: &'a [Estimation],
}

impl<'a> From<&'a State> for StateRef<'a> {
    fn from(state: &'a State) -> Self {
        Self { panel: &state.panel, estimations: &state.estimations }
    }
}

/// Saves the state of the estimations.
pub(super) async fn save(session: &mut Session<'_>, state: impl Into<StateRef<'_>>) -> Result<()> {
    let object = session.objects.put(encode(&state.into())?, keys::state).await?;
    session.note(RunEvent::State { object });
    session.flush(RunState::Running).await
}
