//! The task stream: one lane a worker slot, time to the right. A gap is a worker that waits.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;

use super::super::app::{App, Tab};
use super::table::{draw_frame, lines, plain, styled, table};
use super::words::{cut, seconds};
use crate::view::{AttemptSpan, Outcome, RunView};

/// Characters of a lane's number.
const MARGIN: u16 = 5;

/// The seconds that the stream shows.
fn window(app: &App) -> (f64, f64) {
    let (view, now) = app.shown_run();
    let begun = view.progress.begun.unwrap_or(now);
    let end = begun + view.elapsed(now);
    let span = app.zoom.unwrap_or(end - begun).max(0.1);
    ((end - span).max(begun), end.max(begun + 0.1))
}

/// The pane of the overview.
pub(super) fn small(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let inside = draw_frame(frame, area, app, &title(app));
    lanes(frame, inside, app, 0);
}

fn title(app: &App) -> String {
    let (view, now) = app.shown_run();
    let lanes = view.tasks.lanes();
    let busy: f64 = view.tasks.all().iter().map(|span| span.seconds(now)).sum();
    let share = 100.0 * busy.max(0.0) / (view.elapsed(now) * lanes as f64).max(1e-9);
    let zoom = app.zoom.map(|span| format!(", last {}", seconds(span))).unwrap_or_default();
    format!("Task stream: {lanes} lanes, {share:.0} % busy, {} under way{zoom}", view.tasks.under_way())
}

/// Stream and list.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let cuts = [Constraint::Percentage(55), Constraint::Fill(1)];
    let [upper, lower] = Layout::vertical(cuts).areas(area);
    let inside = draw_frame(frame, upper, app, &title(app));
    let legend = Rect { y: inside.bottom().saturating_sub(1), height: inside.height.min(1), ..inside };
    let stream = Rect { height: inside.height.saturating_sub(1), ..inside };
    lanes(frame, stream, app, app.first_column());
    lines(frame, legend, vec![signs(app)]);
    list(frame, lower, app);
}

/// Lanes from the `skipped`th block on, below a row that tells how many were busy.
fn lanes(frame: &mut Frame<'_>, area: Rect, app: &App, skipped: usize) {
    let (view, now) = app.shown_run();
    if area.height == 0 || area.width <= MARGIN {
        return;
    }
    let (from, to) = window(app);
    let width = area.width - MARGIN;
    let step = (to - from) / f64::from(width);
    let busy = busy(view, now, (from, step), usize::from(width));
    let line = Line::from(vec![
        styled("busy ", app.theme.faint()),
        styled(app.theme.sparkline(&busy, view.tasks.lanes() as f64), app.theme.accent()),
    ]);
    lines(frame, area, vec![line]);
    let rows = usize::from(area.height) - 1;
    let first = (skipped * rows.max(1)).min(view.tasks.lanes().saturating_sub(rows));
    let gap = if app.theme.ascii { ' ' } else { '·' };
    let buffer = frame.buffer_mut();
    for (lane, y) in (first..view.tasks.lanes().min(first + rows)).zip(area.y + 1..) {
        let number = format!("{:>4} ", lane + 1);
        buffer.set_stringn(area.x, y, number, usize::from(MARGIN), app.theme.faint());
        for x in 0..width {
            let begin = from + f64::from(x) * step;
            let (sign, style) = match view.tasks.longest_between(lane, begin, begin + step) {
                Some(span) => app.theme.span(span, stage_name(view, span)),
                None => (gap, app.theme.faint()),
            };
            if let Some(cell) = buffer.cell_mut((area.x + MARGIN + x, y)) {
                cell.set_char(sign).set_style(style);
            }
        }
    }
}

fn stage_name<'a>(view: &'a RunView, span: &AttemptSpan) -> &'a str {
    view.stages.get(span.stage).map_or("", |stage| stage.name.as_str())
}

/// Lanes that were busy, by column.
fn busy(view: &RunView, now: f64, (from, step): (f64, f64), width: usize) -> Vec<f64> {
    let mut out = vec![0.0; width + 1];
    for span in view.tasks.all() {
        let column = |at: f64| (((at - from) / step).max(0.0) as usize).min(width);
        let (begin, end) = (column(span.begin), column(span.end.unwrap_or(now)));
        if end > begin {
            out[begin] += 1.0;
            out[end] -= 1.0;
        }
    }
    let mut sum = 0.0;
    out.iter_mut().for_each(|value| {
        sum += *value;
        *value = sum;
    });
    out.truncate(width);
    out
}

/// Returns the meaning of the signs.
fn signs<'a>(app: &App) -> Line<'a> {
    let (view, _) = app.shown_run();
    let theme = app.theme;
    let mut parts = Vec::new();
    let mut named: Vec<&str> = Vec::new();
    for (index, stage) in view.stages.iter().enumerate().rev() {
        if !named.contains(&stage.name.as_str()) && named.len() < 5 {
            named.push(&stage.name);
            let sign = theme.stage_sign(&stage.name).to_ascii_lowercase();
            parts.push(styled(format!("{sign} {}  ", cut(&stage.name, 14)), theme.stage(index)));
        }
    }
    let others = match theme.ascii {
        true => "CAPITAL under way  r again  b backup  x failed  t turned away",
        false => "CAPITAL under way  ↻ again  » backup  ✗ failed  ◌ turned away",
    };
    parts.push(styled(others, theme.faint()));
    Line::from(parts)
}

/// Attempts that pass the filter, by their places, as they are sorted: the latest first.
fn chosen(app: &App) -> Vec<usize> {
    let (view, now) = app.shown_run();
    let spans = view.tasks.all();
    let passes = |index: &usize| {
        let span = &spans[*index];
        (!app.filter.errors_only || matches!(span.outcome, Outcome::Failed(_) | Outcome::Abandoned))
            && (app.filter.text.is_empty()
                || app.passes(&format!("{} {} {}", stage_name(view, span), span.task, outcome(span))))
    };
    let mut out: Vec<usize> = (0..spans.len()).rev().filter(passes).collect();
    match app.sort_order(Tab::Tasks) {
        1 => out.sort_by(|&a, &b| spans[b].seconds(now).total_cmp(&spans[a].seconds(now))),
        2 => out.sort_by(|&a, &b| spans[a].task.cmp(&spans[b].task)),
        3 => out.sort_by_key(|&index| outcome(&spans[index])),
        _ => {}
    }
    if app.reverse {
        out.reverse();
    }
    out
}

/// Number of attempts in the list.
pub(super) fn rows(app: &App) -> usize {
    if app.filter.text.is_empty() && !app.filter.errors_only {
        return app.shown_run().0.tasks.all().len();
    }
    chosen(app).len()
}

fn outcome(span: &AttemptSpan) -> String {
    let word = match span.outcome {
        Outcome::Running => "running",
        Outcome::Done => "done",
        Outcome::Abandoned => "left",
        Outcome::Failed(class) => class.name(),
    };
    match (span.backup, span.again) {
        (true, _) => format!("{word} (backup)"),
        (_, true) => format!("{word} (again)"),
        _ => word.to_owned(),
    }
}

fn list(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let (view, now) = app.shown_run();
    let rows = chosen(app);
    let head = format!(
        "{:>7} {:>5} {:<18} {:<32} {:>9} {}",
        "attempt", "lane", "stage", "task", "seconds", "outcome"
    );
    let order = Tab::Tasks.sort_orders()[app.sort_order(Tab::Tasks)];
    let title = format!("Attempts: {}, by {order}", rows.len());
    table(frame, area, app, (&title, &head), rows.len(), |index| {
        let span = &view.tasks.all()[rows[index]];
        let (_, style) = app.theme.span(span, stage_name(view, span));
        Line::from(vec![
            plain(format!("{:>7} {:>5} ", span.attempt, span.lane + 1)),
            styled(format!("{:<18} ", cut(stage_name(view, span), 18)), app.theme.stage(span.stage)),
            plain(format!("{:<32} {:>9} ", cut(&span.task, 32), seconds(span.seconds(now)))),
            styled(outcome(span), style),
        ])
    });
}
