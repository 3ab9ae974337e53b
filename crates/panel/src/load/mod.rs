//! Loading of a panel: from long rows in any order to wide shards in the canonical order (DESIGN §4), in two passes
//! over the input.
//!
//! 1. `keys` reads ids, periods and cohorts alone. They give the units, and with them the shard and position of every
//!    unit (`order`). Repeated cross sections have no units: `rows` orders the rows themselves.
//! 2. `place` writes outcomes, covariates, weights and clusters straight to their final place, one row for each unit.
//! 3. `finish` turns each shard's rows into columns, marks missing values and stores once what is constant in time.
//!    Several specifications share the columns; each has its own mask of missing values.

mod computed;
mod contradictions;
pub mod finish;
pub mod keys;
mod order;
pub mod place;
mod prefetch;
mod rows;
mod runs;
mod scale;
pub mod seen;
pub mod treatment;
mod unit_map;

use stagger_model::error::{Result, StaggerError, name_specifications};
use stagger_model::events::RunEvent;
use stagger_model::progress::{StageObserver, StageProgress};
use stagger_model::spec_check::CheckedSpec;
use stagger_records::{Source, list_input_files};

use crate::columns::{Columns, select_columns};
use crate::panel::Panel;

pub use order::{distinct_periods, period_codes, shard_count};
pub use scale::PeriodScale;

/// Loads the panel of one specification.
///
/// # Errors
/// Files that can't be read, columns that do not fit their role, and rows that form no panel.
pub fn load(
    inputs: &[String],
    wanted: &CheckedSpec,
    threads: usize,
    progress: &mut StageProgress<'_>,
) -> Result<Panel> {
    let mut panels = load_all(inputs, std::slice::from_ref(wanted), threads, progress)?;
    panels.pop().ok_or_else(|| StaggerError::failed("no panel was loaded"))
}

/// Reads the rows once for specifications that share their keys ([`CheckedSpec::shares_keys`]). Returns one panel for each;
/// they share columns.
///
/// # Errors
/// Those of [`load`].
pub fn load_all(
    inputs: &[String],
    all: &[CheckedSpec],
    threads: usize,
    progress: &mut StageProgress<'_>,
) -> Result<Vec<Panel>> {
    let source = Source::select(list_input_files(inputs)?, &select_columns(all))?;
    load_open_files(&source, all, threads, progress)
}

/// Does the same as [`load_all`] with files that are open already.
///
/// # Errors
/// Those of [`load`].
pub fn load_open_files(
    source: &Source,
    all: &[CheckedSpec],
    threads: usize,
    progress: &mut StageProgress<'_>,
) -> Result<Vec<Panel>> {
    (progress.observer)(&RunEvent::InputFound {
        files: source.file_sizes().len(),
        rows: source.rows(),
        bytes: source.bytes(),
    });
    let columns = Columns::resolve(all, source).map_err(|e| treatment::explain_indicator(e, source, all))?;
    if source.rows() == 0 {
        return Err(
            StaggerError::input("the input has no rows").with_hint("check that the files hold the panel")
        );
    }
    let names: Vec<Option<&str>> = all.iter().map(|wanted| wanted.name()).collect();
    let mut panels = read(source, &columns, all, threads, progress)
        .map_err(|e| name_specifications(treatment::explain_indicator(e, source, all), &names))?;
    for (panel, wanted) in panels.iter_mut().zip(all) {
        computed::locate(panel, wanted, source, threads)?;
        panel.source.remarks.notes = source.notes();
        panel.source.files = source.file_sizes();
        panel.counts.input_rows = source.rows();
        panel.calendar = columns.scale.calendar().cloned();
    }
    Ok(panels)
}

/// Runs both passes over the rows.
fn read(
    source: &Source,
    columns: &Columns,
    all: &[CheckedSpec],
    threads: usize,
    progress: &mut StageProgress<'_>,
) -> Result<Vec<Panel>> {
    let chunks = source.chunks().len();
    let (mut keys, order) = if all.iter().all(|wanted| wanted.spec.panel) {
        let keys = progress
            .stage("units", chunks, |watch| timed(source, watch, || keys::scan(source, columns, threads)))?;
        let order = progress
            .stage("order", 1, |watch| watch.time_part(PIVOT, || order::order_units(&keys, threads)))?;
        (keys, order)
    } else {
        progress
            .stage("rows", chunks, |watch| timed(source, watch, || rows::scan(source, columns, threads)))?
    };
    let placed = progress.stage("values", chunks, |watch| {
        timed(source, watch, || place::place_values(source, columns, &keys, &order, threads))
    })?;
    let mut gaps = std::mem::take(&mut keys.gaps);
    drop(keys);
    gaps.fill_in(placed.gaps.clone());
    let mut panels = progress.stage("columns", 1, |watch| {
        watch.time_part(PIVOT, || finish::finish(columns, all, order, placed, threads))
    })?;
    panels.iter_mut().for_each(|panel| panel.source.remarks.gaps.clone_from(&gaps));
    Ok(panels)
}

/// Part of a stage that puts rows in their places.
const PIVOT: &str = "pivot";

/// Runs the work of a stage that reads rows, and records what its threads spent their time on.
fn timed<T>(source: &Source, watch: &StageObserver<'_>, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let before = source.read_times();
    let out = work()?;
    let spent = source.read_times().since(before);
    watch.record_part("read", spent.read);
    watch.record_part("decode", spent.decode);
    watch.record_part(PIVOT, spent.use_rows);
    Ok(out)
}
