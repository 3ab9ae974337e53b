//! Cohort × period: what each cell is, then its sign and significance.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::super::app::{App, Tab};
use super::table::{draw_frame, lines, plain, styled};
use super::words::{cut, label};
use crate::view::{CellState, SpecView};

/// Rows of the grid.
pub(super) fn cohorts(app: &App) -> usize {
    app.shown_run().0.specs.get(app.selected_spec()).map_or(0, |spec| spec.axes().0.len())
}

/// The grid; with its legend and the chosen cohort's estimates where it has the whole screen.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, whole: bool) {
    let (view, _) = app.shown_run();
    let Some(spec) = view.specs.get(app.selected_spec()) else {
        let inside = draw_frame(frame, area, app, "Cells");
        lines(frame, inside, vec![Line::from(styled("the plan is not known yet", app.theme.faint()))]);
        return;
    };
    let inside = draw_frame(frame, area, app, &title(spec));
    if spec.cells.is_empty() {
        let text = format!("{} cells are too many for a grid", spec.outline.cells);
        lines(frame, inside, vec![Line::from(styled(text, app.theme.faint()))]);
        return;
    }
    let legend = legend(app, inside.width);
    let below = if whole || inside.height > 12 { legend.len() as u16 } else { 0 };
    let grid = Rect { height: inside.height.saturating_sub(below), ..inside };
    lines(frame, grid, rows(app, spec, grid, whole));
    let foot = Rect { y: grid.bottom(), height: below, ..inside };
    lines(frame, foot, legend);
}

fn title(spec: &SpecView) -> String {
    let known = spec.cells.iter().filter(|cell| cell.att().is_some()).count();
    let failed = spec.cells.iter().filter(|cell| **cell == CellState::Failed).count();
    let failed = if failed > 0 { format!(", {failed} not estimable") } else { String::new() };
    format!("Cells: cohort x period, {known} of {} known{failed}", spec.outline.cells)
}

fn rows<'a>(app: &App, spec: &SpecView, area: Rect, whole: bool) -> Vec<Line<'a>> {
    let (groups, times) = spec.axes();
    let (name, date) = (|group: f64| group_of(spec, group), |time: f64| time_of(spec, time));
    let margin = groups.iter().map(|g| name(*g).len()).max().unwrap_or(1).max(6);
    let room = usize::from(area.width).saturating_sub(margin + 1);
    // Estimates are written out where there is room for them.
    let wide = whole && room >= times.len() * 8;
    let most = if spec.outline.time_label.is_empty() { 5 } else { 7 };
    let width =
        if wide { 8 } else { times.iter().map(|t| date(*t).len()).max().unwrap_or(1).clamp(1, most) + 1 };
    let first = app_column(app, whole).min(times.len().saturating_sub(1));
    let shown: Vec<f64> = times.iter().skip(first).take((room / width).max(1)).copied().collect();
    let head = shown
        .iter()
        .map(|t| format!("{:>width$}", cut(&short_date(&date(*t), width - 1), width - 1)))
        .collect::<String>();
    let mut out = vec![Line::from(styled(format!("{:<margin$} {head}", "cohort"), app.theme.faint()))];
    let height = usize::from(area.height).saturating_sub(1);
    let chosen = app.selected_row().min(groups.len().saturating_sub(1));
    let skipped = if whole { chosen.saturating_sub(height.saturating_sub(1)) } else { 0 };
    for (index, group) in groups.iter().enumerate().skip(skipped).take(height) {
        let mut parts = vec![plain(format!("{:<margin$} ", name(*group)))];
        for time in &shown {
            parts.push(match spec.cell(*group, *time).map(|cell| spec.cells[cell]) {
                Some(cell) => sign(app, cell, width, wide),
                None => plain(" ".repeat(width)),
            });
        }
        let line = Line::from(parts);
        out.push(if whole && index == chosen { line.style(app.theme.title()) } else { line });
    }
    out
}

/// A cohort as it is written.
fn group_of(spec: &SpecView, group: f64) -> String {
    let place = spec.outline.group.iter().position(|known| known.0 == group);
    place.and_then(|at| spec.outline.group_label.get(at).cloned()).unwrap_or_else(|| label(group))
}

/// A period as it is written.
fn time_of(spec: &SpecView, time: f64) -> String {
    let place = spec.outline.time.iter().position(|known| known.0 == time);
    place.and_then(|at| spec.outline.time_label.get(at).cloned()).unwrap_or_else(|| label(time))
}

/// A date without its century, where it is too long.
fn short_date(date: &str, width: usize) -> String {
    let is_long = date.len() > width && date.is_ascii() && date.len() > 5;
    if is_long { date[2..].to_owned() } else { date.to_owned() }
}

fn app_column(app: &App, whole: bool) -> usize {
    if whole && app.tab == Tab::Cells { app.first_column() } else { 0 }
}

fn sign<'a>(app: &App, cell: CellState, width: usize, wide: bool) -> Span<'a> {
    let (sign, style) = app.theme.cell(cell);
    match cell.att().filter(|_| wide) {
        Some(att) => styled(format!("{:>w$}{sign}", estimate(att), w = width - 1), style),
        None => styled(format!("{sign:>width$}"), style),
    }
}

/// An estimate in six characters.
fn estimate(att: f64) -> String {
    match att.abs() {
        x if x < 10.0 => format!("{att:.3}"),
        x if x < 1_000.0 => format!("{att:.1}"),
        _ => format!("{att:.0e}"),
    }
}

fn legend<'a>(app: &App, width: u16) -> Vec<Line<'a>> {
    let done = |lower: f64, upper: f64| CellState::Done { att: 0.0, se: 1.0, lower, upper };
    let all = [
        (CellState::Pending, "pending"),
        (CellState::Running, "running"),
        (CellState::PointEstimate { att: 0.0 }, "estimated"),
        (done(1.0, 2.0), "above 0"),
        (done(-2.0, -1.0), "below 0"),
        (done(-1.0, 1.0), "not told from 0"),
        (CellState::Failed, "not estimable"),
        (CellState::Reference, "base"),
        (CellState::NoControls, "no controls"),
    ];
    let mut out = vec![Line::default()];
    let mut used = 0;
    for (state, text) in all {
        let (sign, style) = app.theme.cell(state);
        let room = text.len() + 4;
        if used + room > usize::from(width) {
            out.push(Line::default());
            used = 0;
        }
        used += room;
        if let Some(line) = out.last_mut() {
            line.push_span(styled(sign, style));
            line.push_span(styled(format!(" {text}  "), app.theme.faint()));
        }
    }
    out
}
