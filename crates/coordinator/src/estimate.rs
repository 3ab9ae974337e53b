//! The passes of estimations on workers: one stage per pass, whose sums go to every estimation that takes part.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stagger_estimation::estimate::shared_sums::twins;
use stagger_estimation::estimate::steps::Estimation;
use stagger_forecast::cut::Cut;
use stagger_forecast::{cut, heavy};
use stagger_model::error::{EngineError, Result};
use stagger_model::events::{ObjectRef, RunEvent, RunState};
use stagger_model::reduction::Node;
use stagger_panel::load::StoredShards;
use stagger_panel::panel::Panel;
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

/// A pass: the estimations that take part, the number of its shards, and the distance between them.
struct Pass {
    wanted: Vec<usize>,
    shards: usize,
    stride: usize,
}

/// Returns the pass to make next: samples first, all of the same size together; then the passes over all shards,
/// together. `None` once no estimation wants one.
fn next_pass(estimations: &[Estimation], shards: usize) -> Option<Pass> {
    let sample = |e: &Estimation| e.request().map(|request| request.sample);
    let wants = |sample: Option<usize>| sample.map_or(shards, |n| n.next_power_of_two().min(shards));
    let first = estimations.iter().filter_map(sample).min_by_key(|sample| (sample.is_none(), *sample))?;
    let wanted: Vec<usize> =
        (0..estimations.len()).filter(|&i| sample(&estimations[i]) == Some(first)).collect();
    let count = wants(first);
    Some(Pass { wanted, shards: count, stride: shards / count })
}

/// Makes passes until no estimation wants one.
pub(super) fn estimate(
    session: &mut Session<'_>,
    state: &mut State,
    panels: &[Panel],
    shards: &Arc<StoredShards>,
    options: &CloudOptions,
) -> std::result::Result<(), WorkerFailure> {
    let runtime = Arc::clone(&session.settings.runtime);
    while let Some(pass) = next_pass(&state.estimations, shards.count()) {
        let (distinct, twins) = twins(&state.estimations, panels, &pass.wanted);
        let shares = distinct.iter().filter_map(|&i| share(&state.estimations[i], i)).collect();
        let stage = EstimateStage { panel: state.panel.clone(), shares, stride: pass.stride };
        let mut outcome = Ok(None);
        runtime.block_on(async {
            outcome = run_pass(session, stage, state, shards, &pass, options).await;
            Ok(())
        })?;
        let sums = outcome?.ok_or_else(|| EngineError::failed("a pass brought no sums"))?;
        for (&index, twin) in pass.wanted.iter().zip(twins) {
            state.estimations[index].accept(sums.partials[twin].clone())?;
            state.estimations[index].news(index).into_iter().for_each(|event| session.note(event));
        }
        runtime.block_on(save(session, state))?;
    }
    Ok(())
}

fn share(estimation: &Estimation, spec: usize) -> Option<Share> {
    let plan = estimation.plan();
    Some(Share {
        spec,
        input: estimation.request()?.input.clone(),
        standardization: plan.standardization.clone(),
        outcome_center: plan.outcome_center,
        fixed: 1 + plan.groups.len(),
    })
}

async fn run_pass(
    session: &mut Session<'_>,
    stage: EstimateStage,
    state: &State,
    shards: &StoredShards,
    pass: &Pass,
    options: &CloudOptions,
) -> std::result::Result<Option<stagger_protocol::bundle::Bundle>, WorkerFailure> {
    let inputs = || stage.shares.iter().map(|share| (state.estimations[share.spec].plan(), &share.input));
    let one = stagger_forecast::pass_load(shards, inputs());
    let cut = Cut { concurrency: options.concurrency, prefer: options.prefer, wanted: options.n_partitions };
    let tasks = cut::tasks(pass.shards, &one, cut);
    let expected = cut::expected(&one, pass.shards, tasks);
    let bound = stagger_forecast::task_memory(shards, inputs(), pass.shards.div_ceil(tasks));
    let function = cut::function(&cut::homes(session.settings.invoker.functions()), bound);
    let sets = stage.shares.iter().map(|share| share.input.sets(share.fixed)).max().unwrap_or(1);
    let mut names: Vec<&str> = stage.shares.iter().map(|share| share.input.stage()).collect();
    names.dedup();
    let mut name = names.join(" + ");
    if pass.stride > 1 {
        name += " (sample)";
    }
    let bytes = encode(&StageObject::Estimate(stage))?;
    let object = session.objects.put(bytes, keys::common).await?;
    let level = (pass.shards / tasks).trailing_zeros();
    let sums = Sums { shards: pass.shards, stride: pass.stride };
    let work = |index| Work::Shards { node: Node { level, index }, part: None };
    let elapsed = session.elapsed();
    let facts =
        heavy::Cut { one: &one, shards: pass.shards, tasks, concurrency: options.concurrency, elapsed };
    let manifest = shards.manifest();
    let units = |index: usize| manifest.shards.get(index * pass.stride).map_or(0, |shard| shard.units);
    let heavy = options.heavy.of(facts, &units);
    let plan = StagePlan { expected: Some(expected), sets, function, heavy };
    session.run_stage(&name, &object, (0..tasks).map(work).collect(), plan, Some(sums)).await
}

/// Saves the state of the estimations.
pub(super) async fn save(session: &mut Session<'_>, state: &State) -> Result<()> {
    let object = session.objects.put(encode(state)?, keys::state).await?;
    session.note(RunEvent::State { object });
    session.flush(RunState::Running).await
}
