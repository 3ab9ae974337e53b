//! The passes of estimations on workers: one stage per pass, whose sums go to every estimation that takes part.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stagger_estimation::estimate::sequence::{NextPass, PassRunner, run_passes};
use stagger_estimation::estimate::steps::Estimation;
use stagger_estimation::partial::Partial;
use stagger_forecast::cut::TaskSizing;
use stagger_forecast::{cut, heavy};
use stagger_model::error::{Result, StaggerError};
use stagger_model::events::{ObjectRef, RunEvent, RunState};
use stagger_model::reduction::TreeNode;
use stagger_panel::panel::Panel;
use stagger_panel::stored::StoredShards;
use stagger_protocol::bundle::PartialBundle;
use stagger_protocol::keys;
use stagger_protocol::messages::Work;
use stagger_protocol::objects::{EstimateStage, SpecPass, StageObject, encode_object};

use super::session::{Session, StagePlan, Sums};
use super::{CloudOptions, WorkerFailure};

/// The estimations of specifications that share their passes, between two of them. A resumed run starts from here on
/// whatever machine: solutions are in it, as other processors might solve to other last digits.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EstimationState {
    /// The panel as its specifications see it.
    pub(super) panel: ObjectRef,
    /// The estimation of each specification, in order.
    pub(super) estimations: Vec<Estimation>,
}

/// Makes passes until no estimation wants one.
///
/// # Errors
/// A task that can't be done; storage that fails.
pub(super) fn run_stages(
    session: &mut Session<'_>,
    state: &mut EstimationState,
    panels: &[Panel],
    shards: &Arc<StoredShards>,
    options: &CloudOptions,
) -> std::result::Result<(), WorkerFailure> {
    let mut runner = SessionRunner { session, panel: state.panel.clone(), shards, options };
    run_passes(&mut runner, &mut state.estimations, panels, shards.shard_count()).map(drop)
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
        let sums: PartialBundle = outcome?.ok_or_else(|| StaggerError::failed("a pass brought no sums"))?;
        Ok(sums.partials)
    }

    fn passed(
        &mut self,
        estimations: &[Estimation],
        events: Vec<RunEvent>,
    ) -> std::result::Result<(), WorkerFailure> {
        events.into_iter().for_each(|event| self.session.note(event));
        let runtime = Arc::clone(&self.session.settings.runtime);
        Ok(runtime.block_on(save_state(self.session, StateRef { panel: &self.panel, estimations }))?)
    }
}

fn spec_pass(estimation: &Estimation, spec: usize) -> Option<SpecPass> {
    let plan = estimation.plan();
    Some(SpecPass {
        spec,
        input: estimation.next_pass()?.input.clone(),
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
    ) -> std::result::Result<Option<PartialBundle>, WorkerFailure> {
        let (shards, options) = (self.shards, self.options);
        let shares: Vec<SpecPass> =
            pass.distinct.iter().filter_map(|&i| spec_pass(&estimations[i], i)).collect();
        let inputs = || shares.iter().map(|share| (estimations[share.spec].plan(), &share.input));
        let one = stagger_forecast::shard_load_of_pass(shards, inputs());
        let cut = TaskSizing {
            concurrency: options.concurrency,
            prefer: options.prefer,
            wanted: options.n_partitions,
        };
        let tasks = cut::choose_task_count(pass.shards, &one, cut);
        let expected = cut::expected_duration(&one, pass.shards, tasks);
        let bound = stagger_forecast::task_memory(shards, inputs(), pass.shards.div_ceil(tasks));
        let function = cut::smallest_function(
            &cut::functions_without_pool(self.session.settings.invoker.functions()),
            bound,
        );
        let sets = shares.iter().map(|share| share.input.max_sets(share.fixed)).max().unwrap_or(1);
        let mut name = pass.stage(estimations);
        if pass.stride > 1 {
            name += " (sample)";
        }
        let elapsed = self.session.elapsed();
        let facts = heavy::StageTasks {
            one: &one,
            shards: pass.shards,
            tasks,
            concurrency: options.concurrency,
            elapsed,
        };
        let manifest = shards.manifest();
        let units = |index: usize| manifest.shards.get(index * pass.stride).map_or(0, |shard| shard.units);
        let heavy = options.heavy.classify(facts, &units);
        let plan = StagePlan { expected: Some(expected), sets, function, heavy };
        let stage = EstimateStage { panel: self.panel.clone(), shares, stride: pass.stride };
        let bytes = encode_object(&StageObject::Estimate(stage))?;
        let object = self.session.objects.put(bytes, keys::shared_object).await?;
        let level = (pass.shards / tasks).trailing_zeros();
        let work = |index| Work::Shards { node: TreeNode { level, index }, part: None };
        let sums = Sums { shards: pass.shards, stride: pass.stride };
        self.session.run_stage(&name, &object, (0..tasks).map(work).collect(), plan, Some(sums)).await
    }
}

/// [`EstimationState`], borrowed: it is written with the same bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct StateRef<'a> {
    panel: &'a ObjectRef,
    estimations: &'a [Estimation],
}

impl<'a> From<&'a EstimationState> for StateRef<'a> {
    fn from(state: &'a EstimationState) -> Self {
        Self { panel: &state.panel, estimations: &state.estimations }
    }
}

/// Saves the state of the estimations.
pub(super) async fn save_state(session: &mut Session<'_>, state: impl Into<StateRef<'_>>) -> Result<()> {
    let object = session.objects.put(encode_object(&state.into())?, keys::state).await?;
    session.note(RunEvent::State { object });
    session.flush(RunState::Running).await
}
