//! Planning of a run on workers: the store is made or found, specifications are completed from it and planned, and the first state is
//! saved.

use std::sync::Arc;

use stagger_estimation::estimate::saved::bound_clusters;
use stagger_estimation::estimate::steps::{Estimation, PassLimits};
use stagger_estimation::plan::Plan;
use stagger_forecast::cut;
use stagger_model::error::{Result, StaggerError, name_specifications};
use stagger_model::events::RunEvent;
use stagger_model::parallel::available_cores;
use stagger_model::spec_check::CheckedSpec;
use stagger_panel::panel::Panel;
use stagger_panel::stored::StoredShards;
use stagger_protocol::keys;
use stagger_protocol::objects::{PanelObject, SpecObject, encode_object};

use super::WorkerFailure;
use super::estimate::{EstimationState, save_state};
use super::preparation::open_store;
use super::request::{CloudOptions, RunRequest};
use super::session::Session;
use super::survey::SurveyPlanner;

/// A run that is ready for its next pass.
pub(super) struct PlannedRun {
    /// The estimations, as saved.
    pub(super) state: EstimationState,
    /// The panel of each specification.
    pub(super) panels: Vec<Panel>,
    /// The shards of the store, as the specifications read them.
    pub(super) shards: Arc<StoredShards>,
}

/// The plan of one specification.
struct SpecPlan {
    panel: Panel,
    plan: Plan,
    /// Upper bound of the number of clusters; 0 where clusters are not counted.
    clusters: u64,
}

/// Prepares where that is needed, plans, and saves the first state.
///
/// # Errors
/// Bad input or specifications; a task that can't be done; storage that fails.
pub(super) fn plan_run(
    session: &mut Session<'_>,
    request: &RunRequest,
    options: &CloudOptions,
) -> std::result::Result<PlannedRun, WorkerFailure> {
    let store = open_store(session, request, options)?;
    let wanted = CheckedSpec::complete_all(&request.named_specs(), |spec| store.complete_spec(spec))?;
    check_shared_keys(&wanted)?;
    let unplanned = wanted.iter().map(|own| SpecObject::new(own.name(), &own.spec, None, &Vec::new()));
    let mut object = PanelObject {
        store: store.url(),
        manifest: store.fingerprint().to_owned(),
        specs: unplanned.collect::<Result<Vec<_>>>()?,
    };
    let shards = Arc::new(StoredShards::new(store, &wanted)?);
    let planned = plan_specs(SurveyPlanner { session, object: &object, shards: &shards, options }, &wanted)?;
    for text in planned.iter().flat_map(|own| &own.plan.warnings) {
        session.note(RunEvent::Warning { text: text.clone() });
    }
    object.specs = planned_objects(&wanted, &planned, &shards)?;
    let mut panels = Vec::with_capacity(planned.len());
    let mut estimations = Vec::with_capacity(planned.len());
    for own in planned {
        panels.push(own.panel);
        estimations.push(estimation(session, own.plan, own.clusters, &shards, options));
    }
    let state = save_first_state(session, &object, estimations)?;
    Ok(PlannedRun { state, panels, shards })
}

/// Refuses specifications that can't share the passes of one run.
fn check_shared_keys(wanted: &[CheckedSpec]) -> Result<()> {
    match wanted.iter().find(|own| !own.shares_keys(&wanted[0])) {
        None => Ok(()),
        Some(other) => Err(StaggerError::input(format!(
            "specification `{}` names other units, periods, cohorts or eligibility than the first",
            other.name().unwrap_or_default()
        ))
        .with_hint("give it a run of its own")),
    }
}

/// Plans every specification; workers take the counts that a plan needs.
fn plan_specs(
    mut surveys: SurveyPlanner<'_, '_>,
    wanted: &[CheckedSpec],
) -> std::result::Result<Vec<SpecPlan>, WorkerFailure> {
    let threads = surveys.options.threads.unwrap_or_else(available_cores).max(1);
    let mut planned = Vec::with_capacity(wanted.len());
    for (index, wanted) in wanted.iter().enumerate() {
        let (panel, (plan, clusters)) = surveys
            .plan(index, &|panel| {
                let plan = Plan::new(panel, &wanted.spec, &wanted.formula, threads)?;
                let bound =
                    if plan.inference.cluster_variables > 0 { bound_clusters(panel, threads)? } else { 0 };
                Ok((plan, bound))
            })
            .map_err(|failure| match failure {
                WorkerFailure::Other(e) => name_specifications(e, &[wanted.name()]).into(),
                task => task,
            })?;
        planned.push(SpecPlan { panel, plan, clusters });
    }
    Ok(planned)
}

/// Returns the specifications and their plans, as workers read them.
fn planned_objects(
    wanted: &[CheckedSpec],
    planned: &[SpecPlan],
    shards: &StoredShards,
) -> Result<Vec<SpecObject>> {
    let object = |(index, (wanted, own)): (usize, (&CheckedSpec, &SpecPlan))| {
        SpecObject::new(wanted.name(), &wanted.spec, Some(own.plan.clone()), &shards.level_codes(index))
    };
    wanted.iter().zip(planned).enumerate().map(object).collect()
}

/// Returns the estimation of a plan, with as many cells per pass as the largest function has the memory for.
fn estimation(
    session: &Session<'_>,
    plan: Plan,
    clusters: u64,
    shards: &StoredShards,
    options: &CloudOptions,
) -> Estimation {
    let functions = cut::functions_without_pool(session.settings.invoker.functions());
    let largest = functions.last().map_or(u64::MAX, cut::usable_memory);
    let max_cells =
        options.max_cohorts.or_else(|| stagger_forecast::max_cells_in_memory(&plan, shards, largest));
    Estimation::new(plan, PassLimits { shards: shards.shard_count(), clusters, max_cells })
}

/// Puts the panel with its plans where workers find it, and saves the estimations before their first pass.
fn save_first_state(
    session: &mut Session<'_>,
    object: &PanelObject,
    estimations: Vec<Estimation>,
) -> Result<EstimationState> {
    let bytes = encode_object(object)?;
    let runtime = Arc::clone(&session.settings.runtime);
    runtime.block_on(async {
        let panel = session.objects.put(bytes, keys::shared_object).await?;
        let state = EstimationState { panel, estimations };
        save_state(session, &state).await?;
        Ok(state)
    })
}
