//! Events that tell of a plan and of its point estimates.

use stagger_estimator::cells::Cell;
use stagger_model::events::{CellKind, MOST_CELLS, RunEvent, SpecOutline};
use stagger_model::result::Num;

use crate::plan::Plan;

/// The outline of a plan; `shards` is the number of shards of its panel.
pub fn outline(name: Option<&str>, plan: &Plan, shards: usize) -> SpecOutline {
    let told: &[Cell] = if plan.targets.cells.len() > MOST_CELLS { &[] } else { &plan.targets.cells };
    SpecOutline {
        name: name.map(str::to_owned),
        method: plan.regression.method,
        triple: plan.targets.triple,
        units: plan.sample.n,
        shards,
        cells: plan.targets.cells.len(),
        draws: plan.inference.draws,
        group: told.iter().map(|cell| Num(cell.group)).collect(),
        group_label: labels(told, plan, &|cell| cell.group),
        time_label: labels(told, plan, &|cell| plan.sample.period_labels[cell.time]),
        time: told.iter().map(|cell| Num(plan.sample.period_labels[cell.time])).collect(),
        kind: told.iter().map(cell_kind).collect(),
    }
}

fn cell_kind(cell: &Cell) -> CellKind {
    match (cell.reference, cell.controls.is_empty()) {
        (true, _) => CellKind::Reference,
        (false, true) => CellKind::NoControls,
        (false, false) => CellKind::Estimate,
    }
}

/// Labels of cells, where periods are dates.
fn labels(cells: &[Cell], plan: &Plan, of: &dyn Fn(&Cell) -> f64) -> Vec<String> {
    match &plan.sample.calendar {
        Some(calendar) => cells.iter().map(|cell| calendar.label(of(cell))).collect(),
        None => Vec::new(),
    }
}

/// Point estimates, or nothing where the cells are too many to tell.
pub fn solved_event(spec: usize, att: &[f64]) -> Option<RunEvent> {
    let told = att.len() <= MOST_CELLS;
    told.then(|| RunEvent::Solved { spec, att: att.iter().map(|&att| Num(att)).collect() })
}
