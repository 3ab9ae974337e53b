//! Estimates as they come: the table of ATT(g,t), and the event study once its bands are known.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;
use stagger_estimator::inference::pointwise_critical_value;
use stagger_model::events::SpecOutline;
use stagger_model::numbers::percent;
use stagger_model::result::Aggte;
use stagger_pictures::charts::{self, Estimate, EventStudy, Series};
use stagger_pictures::terminal;

use super::super::app::{App, Tab};
use super::table::{draw_frame, lines, plain, styled, table};
use super::words::label;
use crate::view::CellState;

/// The cohort of a cell as it is written.
fn group_of(outline: &SpecOutline, place: usize) -> String {
    outline.group_label.get(place).cloned().unwrap_or_else(|| label(outline.group[place].0))
}

/// The period of a cell as it is written.
fn time_of(outline: &SpecOutline, place: usize) -> String {
    outline.time_label.get(place).cloned().unwrap_or_else(|| label(outline.time[place].0))
}

/// Cells that pass the filter, by their places, as they are sorted.
pub(super) fn rows(app: &App) -> Vec<usize> {
    let (view, _) = app.shown_run();
    let Some(spec) = view.specs.get(app.selected_spec()) else { return Vec::new() };
    let outline = &spec.outline;
    let passes = |index: &usize| {
        let text = format!("{} {}", group_of(outline, *index), time_of(outline, *index));
        app.passes(&text) && (!app.filter.errors_only || spec.cells[*index] == CellState::Failed)
    };
    let mut out: Vec<usize> = (0..spec.cells.len()).filter(passes).collect();
    let size = |index: usize| match (app.sort_order(Tab::Estimates), spec.cells[index]) {
        (2, CellState::Done { att, se, .. }) => (att / se).abs(),
        (_, cell) => cell.att().unwrap_or(f64::NEG_INFINITY),
    };
    if app.sort_order(Tab::Estimates) > 0 {
        out.sort_by(|&a, &b| size(b).total_cmp(&size(a)));
    }
    if app.reverse {
        out.reverse();
    }
    out
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let cuts = if area.width >= 90 {
        Layout::horizontal([Constraint::Length(62), Constraint::Fill(1)])
    } else {
        Layout::vertical([Constraint::Percentage(45), Constraint::Fill(1)])
    };
    let [one, two] = cuts.areas(area);
    cells(frame, one, app);
    study(frame, two, app);
}

fn cells(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let (view, _) = app.shown_run();
    let rows = rows(app);
    let head = format!(
        "{:>8} {:>8} {:>10} {:>10} {:>10} {:>9}",
        "group", "time", "ATT(g,t)", "std.error", "lower", "upper"
    );
    let order = Tab::Estimates.sort_orders()[app.sort_order(Tab::Estimates)];
    let title = format!("ATT(g,t), by {order}");
    table(frame, area, app, (&title, &head), rows.len(), |index| {
        let Some(spec) = view.specs.get(app.selected_spec()) else { return Line::default() };
        let place = rows[index];
        let outline = &spec.outline;
        let cell = spec.cells[place];
        let (sign, style) = app.theme.cell(cell);
        let number = |x: f64| if x.is_nan() { "NA".to_owned() } else { format!("{x:.4}") };
        let values = match cell {
            CellState::Done { att, se, lower, upper } => {
                format!("{:>10} {:>10} {:>10} {:>9}", number(att), number(se), number(lower), number(upper))
            }
            CellState::PointEstimate { att } => format!("{:>10}", number(att)),
            _ => String::new(),
        };
        Line::from(vec![
            plain(format!("{:>8} {:>8} {values:<42} ", group_of(outline, place), time_of(outline, place))),
            styled(sign, style),
        ])
    });
}

fn study(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let (view, _) = app.shown_run();
    let estimated = view.specs.get(app.selected_spec()).and_then(|spec| spec.estimated.as_ref());
    let Some(found) = estimated else {
        let inside = draw_frame(frame, area, app, "Event study");
        lines(frame, inside, vec![Line::from(styled("comes with the standard errors", app.theme.faint()))]);
        return;
    };
    let overall = found
        .simple
        .as_ref()
        .map(|simple| format!(": overall ATT {:.4} ({:.4})", simple.overall_att.0, simple.overall_se.0));
    let inside = draw_frame(frame, area, app, &format!("Event study{}", overall.unwrap_or_default()));
    match &found.dynamic {
        Some(dynamic) if !dynamic.egt.is_empty() && inside.height > 4 && inside.width > 16 => {
            chart(frame, inside, app, dynamic, found.alp);
        }
        _ => lines(frame, inside, vec![Line::from(styled("there is none", app.theme.faint()))]),
    }
}

/// The picture that `stagger plot` draws in a terminal.
fn chart(frame: &mut Frame<'_>, area: Rect, app: &App, dynamic: &Aggte, alp: f64) {
    let reach = pointwise_critical_value(alp);
    let estimate = |i: usize| {
        let (att, se) = (dynamic.att_egt[i].0, dynamic.se_egt[i].0);
        let (low, high) = (dynamic.lci_egt[i].0, dynamic.uci_egt[i].0);
        Estimate {
            at: dynamic.egt[i].0,
            value: att,
            pointwise: se.is_finite().then_some([att - reach * se, att + reach * se]),
            uniform: (low.is_finite() && high.is_finite()).then_some([low, high]),
            reference: !se.is_finite() && att == 0.0,
            post: dynamic.egt[i].0 >= 0.0,
        }
    };
    let estimates = (0..dynamic.egt.len()).map(estimate).collect();
    let study = EventStudy {
        series: vec![Series { estimates, ..Series::default() }],
        level: percent(alp),
        ..EventStudy::default()
    };
    let options = terminal::Options {
        width: usize::from(area.width),
        height: Some(usize::from(area.height)),
        ascii: app.theme.ascii,
    };
    let grid = terminal::draw(&charts::event_study(&study), &options);
    let buffer = frame.buffer_mut();
    for (y, row) in (area.y..area.bottom()).zip(grid.rows()) {
        for (x, cell) in (area.x..area.right()).zip(row) {
            if let Some(place) = buffer.cell_mut((x, y)) {
                place
                    .set_char(cell.symbol)
                    .set_style(cell.ink.map(|ink| app.theme.ink(ink)).unwrap_or_default());
            }
        }
    }
}
