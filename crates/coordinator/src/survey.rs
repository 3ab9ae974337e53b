//! Counts that planning needs of all shards, taken by workers. Planning stops where it needs one that is not known,
//! and begins again once it is.

use std::sync::Arc;

use stagger_estimation::partial::Partial;
use stagger_estimation::stage::StageInput;
use stagger_estimator::linear::Standardization;
use stagger_forecast::cut;
use stagger_forecast::cut::TaskSizing;
use stagger_model::error::{Result, StaggerError};
use stagger_model::reduction::TreeNode;
use stagger_panel::panel::Panel;
use stagger_panel::stored::StoredShards;
use stagger_panel::strata::Census;
use stagger_panel::survey::{Counts, Survey, Surveyor};
use stagger_protocol::keys;
use stagger_protocol::messages::Work;
use stagger_protocol::objects::{EstimateStage, PanelObject, SpecPass, StageObject, encode_object};

use super::session::{Session, StagePlan, Sums};
use super::{CloudOptions, WorkerFailure};

/// The counts of a run's panel.
pub(super) struct SurveyPlanner<'a, 'b> {
    /// The session that has workers take them.
    pub(super) session: &'a mut Session<'b>,
    /// The panel without plans.
    pub(super) object: &'a PanelObject,
    /// The store's shards.
    pub(super) shards: &'a Arc<StoredShards>,
    /// The options that stages are cut by.
    pub(super) options: &'a CloudOptions,
}

impl SurveyPlanner<'_, '_> {
    /// Plans a specification over its panel; returns the panel and the value that `plan` made.
    pub(super) fn plan<T>(
        &mut self,
        spec: usize,
        plan: &dyn Fn(&mut Panel) -> Result<T>,
    ) -> std::result::Result<(Panel, T), WorkerFailure> {
        let census = self.take_census(spec)?;
        let mut known: Vec<(Survey, Counts)> = Vec::new();
        loop {
            // A plan changes its panel, so each attempt has a new one.
            let mut panel = self.shards.panel(spec, false);
            panel.counts.census = census.clone();
            panel.surveyor = Surveyor::remote(known.clone());
            match plan(&mut panel) {
                Ok(planned) => return Ok((panel, planned)),
                Err(error) => match panel.surveyor.pending() {
                    Some(survey) => {
                        let counts = self.take_survey(spec, survey.clone())?;
                        known.push((survey, counts));
                    }
                    None => return Err(error.into()),
                },
            }
        }
    }

    /// Returns rows by stratum and period: the manifest's, where no row that is there lacks a value.
    fn take_census(&mut self, spec: usize) -> std::result::Result<Census, WorkerFailure> {
        if self.shards.has_no_gaps(spec) && !self.shards.has_weights(spec) {
            return Ok(self.shards.census());
        }
        match self.take_survey(spec, Survey::Census)? {
            Counts::Census(census) => Ok(census),
            _ => Err(StaggerError::failed("rows were not counted").into()),
        }
    }

    fn take_survey(&mut self, spec: usize, survey: Survey) -> std::result::Result<Counts, WorkerFailure> {
        let input = StageInput::Survey(survey);
        let name = input.stage();
        let shards = self.shards.shard_count();
        let one = stagger_forecast::shard_load_of_pass(self.shards, std::iter::empty());
        let CloudOptions { concurrency, prefer, n_partitions: wanted, .. } = *self.options;
        let tasks = cut::choose_task_count(shards, &one, TaskSizing { concurrency, prefer, wanted });
        let expected = cut::expected_duration(&one, shards, tasks);
        let share = SpecPass {
            spec,
            input,
            standardization: Standardization { center: Vec::new(), scale: Vec::new(), intercept: None },
            outcome_center: 0.0,
            fixed: 0,
        };
        let object = encode_object(self.object)?;
        let level = (shards / tasks).trailing_zeros();
        let work = |index| Work::Shards { node: TreeNode { level, index }, part: None };
        let works: Vec<Work> = (0..tasks).map(work).collect();
        let runtime = Arc::clone(&self.session.settings.runtime);
        let session = &mut *self.session;
        let mut outcome = Ok(None);
        runtime.block_on(async {
            let panel = session.objects.put(object, keys::shared_object).await?;
            let stage = EstimateStage { panel, shares: vec![share], stride: 1 };
            let stage = session
                .objects
                .put(encode_object(&StageObject::Estimate(stage))?, keys::shared_object)
                .await?;
            outcome = session
                .run_stage(
                    name,
                    &stage,
                    works,
                    StagePlan { expected: Some(expected), sets: 1, ..StagePlan::default() },
                    Some(Sums { shards, stride: 1 }),
                )
                .await;
            Ok(())
        })?;
        match outcome?.and_then(|sum| sum.partials.into_iter().next()) {
            Some(Partial::Survey(counts)) => Ok(counts),
            _ => Err(StaggerError::failed(format!("stage {name} brought no counts")).into()),
        }
    }
}
