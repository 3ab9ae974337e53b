//! Results of estimations that are done.

use faer::Mat;
use stagger_model::error::Result;
use stagger_model::progress::StageProgress;
use stagger_model::result::SavedResult;
use stagger_model::spec::RunSpec;
use stagger_panel::panel::Panel;
use stagger_panel::survey::{Counts, Survey};

use crate::estimate::steps::Estimation;
/// Computes standard errors, bands and aggregations of estimations whose passes are complete. Returns each result with
/// its draws.
pub fn finish_estimations(
    panels: &[Panel],
    specs: &[RunSpec],
    estimations: Vec<Estimation>,
    progress: &mut StageProgress<'_>,
) -> Result<Vec<(SavedResult, Option<Mat<f64>>)>> {
    let all = estimations.into_iter().zip(panels).zip(specs);
    all.map(|((estimation, panel), spec)| {
        crate::estimate::result::estimate(panel, spec, estimation.finish(), progress)
    })
    .collect()
}

/// Returns an upper bound of the number of clusters in any way of clustering.
///
/// # Errors
/// Shards that can't be read.
pub fn bound_clusters(panel: &Panel, threads: usize) -> Result<u64> {
    match panel.survey(threads, &Survey::Clusters)? {
        Counts::Clusters(Some(keys)) => Ok(keys.len() as u64),
        _ => Ok(panel.counts.units),
    }
}
