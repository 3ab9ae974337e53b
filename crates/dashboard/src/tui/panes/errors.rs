//! The failures by cause, with one thing that a person can do about each.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;

use super::super::app::{App, Tab};
use super::table::{draw_frame, lines, plain, styled, table};
use super::words::{count, cut, time, wrap};
use crate::view::ErrorGroup;

/// Groups that pass the filter, as they are sorted.
pub(super) fn rows(app: &App) -> Vec<&ErrorGroup> {
    let (view, _) = app.shown_run();
    let mut out: Vec<&ErrorGroup> = view.errors.groups();
    out.retain(|group| app.passes(&format!("{} {}", group.class.name(), group.message)));
    match app.sort_order(Tab::Errors) {
        1 => out.sort_by_key(|group| std::cmp::Reverse(group.count)),
        2 => out.sort_by(|a, b| b.last.total_cmp(&a.last)),
        _ => {}
    }
    if app.reverse {
        out.reverse();
    }
    out
}

/// The pane of the overview.
pub(super) fn small(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let (view, _) = app.shown_run();
    let inside = draw_frame(frame, area, app, &format!("Errors: {}", count(view.errors.count())));
    let groups = view.errors.groups();
    if groups.is_empty() {
        lines(frame, inside, vec![Line::from(styled("none", app.theme.good()))]);
        return;
    }
    let width = usize::from(inside.width).saturating_sub(7);
    let line = |group: &&ErrorGroup| {
        let style = if group.fatal { app.theme.bad() } else { app.theme.warning() };
        Line::from(vec![
            styled(format!("{:>5}x ", count(group.count)), style),
            plain(cut(&format!("{}: {}", group.class.name(), group.message), width)),
        ])
    };
    lines(frame, inside, groups.iter().map(line).collect());
}

/// The table, and what is known of the chosen group.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let rows = rows(app);
    let [upper, lower] = Layout::vertical([Constraint::Fill(1), Constraint::Length(10)]).areas(area);
    let head = format!("{:>6} {:<13} {:<8} {:<8} {}", "count", "class", "first", "last", "message");
    let order = Tab::Errors.sort_orders()[app.sort_order(Tab::Errors)];
    table(frame, upper, app, (&format!("Errors by cause, by {order}"), &head), rows.len(), |index| {
        let group = rows[index];
        let style = if group.fatal { app.theme.bad() } else { app.theme.warning() };
        Line::from(vec![
            styled(format!("{:>6} {:<13} ", count(group.count), group.class.name()), style),
            styled(format!("{} {} ", time(group.first), time(group.last)), app.theme.faint()),
            plain(group.message.clone()),
        ])
    });
    let inside = draw_frame(frame, lower, app, "What to do");
    if let Some(group) = rows.get(app.selected_row().min(rows.len().saturating_sub(1))) {
        lines(frame, inside, detail(app, group, usize::from(inside.width)));
    }
}

fn detail<'a>(app: &App, group: &ErrorGroup, width: usize) -> Vec<Line<'a>> {
    let remedies: Vec<String> =
        group.remedies.iter().map(|(remedy, times)| format!("{remedy} ({})", count(*times))).collect();
    let advice =
        wrap(&group.advice(), width).into_iter().map(|line| Line::from(styled(line, app.theme.title())));
    let message = wrap(&group.message, width).into_iter().map(|line| Line::from(plain(line)));
    let mut out: Vec<Line<'_>> = advice.chain(message).collect();
    out.push(Line::from(vec![styled("done so far: ", app.theme.faint()), plain(remedies.join(", "))]));
    out.push(Line::from(styled("where:", app.theme.faint())));
    out.extend(
        group
            .places
            .iter()
            .map(|place| Line::from(plain(format!("  {}", cut(place, width.saturating_sub(2)))))),
    );
    out
}
