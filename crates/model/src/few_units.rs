//! Warnings about estimates that few units carry: their draws take few distinct values, so that quartiles are a poor
//! scale (FORMULAS §5).

use stagger_estimator::aggregate::Aggregate;
use stagger_estimator::inference::Rescaled;
use stagger_estimator::label::label;

use crate::result::SavedResult;

/// The number of estimates that a warning names.
const NAMED: usize = 12;
/// The number of cohorts that a warning names, the smallest first.
const COHORTS: usize = 6;

/// Returns the warning about cells, if any were rescaled.
pub fn warn_of_cells(saved: &SavedResult, rescaled: &[Rescaled]) -> Option<String> {
    let cells = &saved.result.att_gt;
    let name = |index: usize| format!("({}, {})", label(cells.group[index].0), label(cells.time[index].0));
    let groups = rescaled.iter().map(|own| cells.group[own.index].0).collect();
    warning(saved, "cells (group, time)", rescaled, &name, groups)
}

/// Returns the warning about an aggregation, if any of its estimates were rescaled; index 0 is the overall effect.
pub fn warn_of_aggregate(saved: &SavedResult, found: &Aggregate, rescaled: &[Rescaled]) -> Option<String> {
    let name = |index: usize| match index.checked_sub(1) {
        None => "overall".to_owned(),
        Some(place) => label(found.egt[place]),
    };
    let mut groups = Vec::new();
    for own in rescaled {
        let map = own.index.checked_sub(1).map_or(&found.overall.map, |place| &found.by[place].map);
        let carrying = map.cells.iter().zip(&saved.result.att_gt.group).filter(|(l, _)| **l != 0.0);
        groups.extend(carrying.map(|(_, group)| group.0));
    }
    warning(saved, "estimates", rescaled, &name, groups)
}

/// Returns the warning about rescaled estimates, if there are any.
fn warning(
    saved: &SavedResult,
    what: &str,
    rescaled: &[Rescaled],
    name: &dyn Fn(usize) -> String,
    groups: Vec<f64>,
) -> Option<String> {
    if rescaled.is_empty() {
        return None;
    }
    let values = |own: &Rescaled| format!("{} {:.4} ({:.4})", name(own.index), own.se, own.by_quartiles);
    let named: Vec<String> = rescaled.iter().take(NAMED).map(values).collect();
    let more = match rescaled.len().checked_sub(NAMED) {
        None | Some(0) => String::new(),
        Some(more) => format!(" and {more} more"),
    };
    Some(format!(
        "few units carry {} {what}, whose standard errors are by the standard deviation of the draws (by their quartiles): {}{more}; {}",
        rescaled.len(),
        named.join(", "),
        carriers(saved, groups)
    ))
}

/// Describes the smallest cohorts of the estimates with their units, and the clusters if draws are made for clusters.
fn carriers(saved: &SavedResult, groups: Vec<f64>) -> String {
    let units = |group: f64| {
        let all = &saved.extended.cohort_units;
        all.iter().find(|(cohort, _)| cohort.0 == group).map_or(0, |(_, units)| *units)
    };
    let mut own: Vec<(u64, f64)> = groups.into_iter().map(|group| (units(group), group)).collect();
    own.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    own.dedup();
    let noun = if saved.extended.spec.panel { "units" } else { "rows" };
    let named: Vec<String> = own
        .iter()
        .take(COHORTS)
        .map(|(units, group)| format!("{} has {units} {noun}", label(*group)))
        .collect();
    let clusters = saved.extended.clusters.map(|clusters| format!(", draws are of {clusters} clusters"));
    format!("cohort {}{}", named.join(", cohort "), clusters.unwrap_or_default())
}
