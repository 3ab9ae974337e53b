//! Losses of aggregations: cells that could not be estimated, the units and weight that go with them, and standard
//! errors that are zero.

use std::collections::BTreeMap;

use stagger_estimator::aggregate::{
    AggregateInput, AggregateKind, AggregateOptions, Estimand, cells_in_window,
};
use stagger_model::cell_names::name_cells;
use stagger_model::result::{AGGREGATION_TYPES, LeftOutCells, Num, SavedResult};

/// Start of the warning on an aggregation that is not given.
const NOT_GIVEN: &str = "not aggregated: ";
/// Start of the warning on an aggregation that leaves cells out.
const LEFT_OUT: &str = "left out of aggregations: ";

/// Tells if a warning is one of [`warnings`].
pub(super) fn is_warning(text: &str) -> bool {
    text.starts_with(NOT_GIVEN) || text.starts_with(LEFT_OUT)
}

/// Returns the cells without an estimate among those that an aggregation is taken over; `None` if all have one.
pub(super) fn find_lost_cells(
    saved: &SavedResult,
    input: &AggregateInput<'_>,
    kind: AggregateKind,
    options: &AggregateOptions,
) -> Option<LeftOutCells> {
    let mut cells = cells_in_window(input, kind, options).ok()?;
    cells.sort_unstable();
    let missing: Vec<usize> = cells.iter().copied().filter(|&k| input.att[k].is_nan()).collect();
    if missing.is_empty() {
        return None;
    }
    let post = |k: &&usize| input.group[**k] <= input.time[**k];
    let weight =
        |cells: &[usize]| -> f64 { cells.iter().filter(post).map(|&k| share(input, input.group[k])).sum() };
    let (units, of_units) = units(saved, input, &cells);
    Some(LeftOutCells {
        group: missing.iter().map(|&k| Num(input.group[k])).collect(),
        time: missing.iter().map(|&k| Num(input.time[k])).collect(),
        reason: missing.iter().map(|&k| saved.result.att_gt.missing_reason(k).map(str::to_owned)).collect(),
        post_cells: missing.iter().filter(post).count() as u64,
        of_post_cells: cells.iter().filter(post).count() as u64,
        units,
        of_units,
        weight: Num(if weight(&cells) > 0.0 { weight(&missing) / weight(&cells) } else { 0.0 }),
    })
}

/// Share p_g of a group among the treated (FORMULAS §6).
fn share(input: &AggregateInput<'_>, group: f64) -> f64 {
    input.groups.iter().zip(input.shares).find(|(g, _)| **g == group).map_or(0.0, |(_, share)| *share)
}

/// Counts the units of groups that lose all their cells after treatment, and those of all groups that have such cells.
fn units(saved: &SavedResult, input: &AggregateInput<'_>, cells: &[usize]) -> (u64, u64) {
    let (mut lost, mut all) = (0, 0);
    let post: Vec<usize> = cells.iter().copied().filter(|&k| input.group[k] <= input.time[k]).collect();
    for own in post.chunk_by(|a, b| input.group[*a] == input.group[*b]) {
        let known = saved.extended.cohort_units.iter();
        let units: u64 =
            known.filter(|(cohort, _)| cohort.0 == input.group[own[0]]).map(|(_, units)| *units).sum();
        all += units;
        if own.iter().all(|&k| input.att[k].is_nan()) {
            lost += units;
        }
    }
    (lost, all)
}

/// Words the shares that go with the lost cells, then the cells by reason.
pub(super) fn describe_lost_cells(saved: &SavedResult, lost: &LeftOutCells) -> String {
    format!("{}: {}", shares(saved, lost), named(saved, lost))
}

/// Words the shares, as in `22 of 44 treated units, 4 of 6 post-treatment cells, 66.7% of the post-treatment weight`.
fn shares(saved: &SavedResult, lost: &LeftOutCells) -> String {
    if lost.post_cells == 0 {
        return format!("{} before treatment", counted(lost.group.len(), "cell"));
    }
    let noun = if saved.extended.spec.panel { "units" } else { "rows" };
    let weight = format!("{:.1}", 100.0 * lost.weight.0);
    let weight = weight.trim_end_matches(".0");
    let mut parts = vec![
        format!("{} of {} post-treatment cells", lost.post_cells, lost.of_post_cells),
        format!("{weight}% of the post-treatment weight"),
    ];
    if lost.units > 0 {
        parts.insert(0, format!("{} of {} treated {noun}", lost.units, lost.of_units));
    }
    parts.join(", ")
}

/// Names the cells, grouped by reason.
fn named(saved: &SavedResult, lost: &LeftOutCells) -> String {
    let cells = &saved.result.att_gt;
    let place = |i: usize| {
        (0..cells.att.len()).find(|&k| cells.group[k] == lost.group[i] && cells.time[k] == lost.time[i])
    };
    let mut by_reason: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for i in 0..lost.group.len() {
        let reason = lost.reason.get(i).and_then(Option::as_deref).unwrap_or("not estimated");
        by_reason.entry(reason).or_default().extend(place(i));
    }
    let numbers = |values: &[Num]| values.iter().map(|v| v.0).collect::<Vec<f64>>();
    let (group, time) = (numbers(&cells.group), numbers(&cells.time));
    let phrase =
        |(reason, cells): (&&str, &Vec<usize>)| format!("{} ({reason})", name_cells(&group, &time, cells));
    by_reason.iter().map(phrase).collect::<Vec<_>>().join("; ")
}

/// Returns the warnings on missing and incomplete aggregations: one for all aggregations that lack the same cells.
pub(super) fn warnings(saved: &SavedResult) -> Vec<String> {
    let mut told: Vec<(String, Vec<&str>)> = Vec::new();
    let mut tell = |text: String, kind: &'static str| match told.iter_mut().find(|(known, _)| *known == text)
    {
        Some((_, kinds)) => kinds.push(kind),
        None => told.push((text, vec![kind])),
    };
    for kind in AGGREGATION_TYPES {
        let left_out = saved.result.aggte.get(kind).and_then(|aggte| aggte.left_out.as_ref());
        if let Some(lost) = left_out {
            tell(format!("{LEFT_OUT}KINDS: {}", shares(saved, lost)), kind);
        }
        let Some(not_given) = saved.result.not_aggregated.get(kind) else { continue };
        let why = match &not_given.lost {
            Some(lost) => format!("missing {}", shares(saved, lost)),
            None => not_given.reason.clone(),
        };
        let hint = not_given.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
        tell(format!("{NOT_GIVEN}KINDS: {why}{hint}"), kind);
    }
    told.into_iter().map(|(text, kinds)| text.replacen("KINDS", &kinds.join(", "), 1)).collect()
}

/// Returns the reason why an existing estimate has no standard error; `None` if it has one.
pub(super) fn missing_error_reason(saved: &SavedResult, estimand: &Estimand, se: f64) -> Option<String> {
    if !se.is_nan() {
        return None;
    }
    let cells = &saved.result.att_gt;
    let used: Vec<usize> =
        (0..cells.att.len()).filter(|&k| estimand.map.cells.get(k).is_some_and(|c| *c != 0.0)).collect();
    let reasons: Vec<Option<&str>> = used.iter().map(|&k| cells.missing_reason(k)).collect();
    match reasons.first() {
        Some(Some(first)) if reasons.iter().all(|reason| *reason == Some(first)) => Some((*first).to_owned()),
        Some(_) if reasons.iter().all(Option::is_some) => {
            Some("none of its cells has a standard error".to_owned())
        }
        _ => Some("its influence function is 0, or its draws do not vary".to_owned()),
    }
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
