//! The log, the newest line last until somebody scrolls.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line as Text;

use super::super::app::App;
use super::table::{draw_frame, lines, plain, styled, table};
use super::words::{time, wrap};
use crate::view::{Level, Line};

/// Lines that pass the filter, the newest first.
pub(super) fn rows(app: &App) -> Vec<&Line> {
    let (view, _) = app.shown_run();
    let passes =
        |line: &&Line| app.passes(&line.text) && (!app.filter.errors_only || line.level > Level::Info);
    let mut out: Vec<&Line> = view.log.lines().rev().filter(passes).collect();
    if app.reverse {
        out.reverse();
    }
    out
}

/// All lines with a cursor; in the overview the last ones.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, whole: bool) {
    let rows = rows(app);
    let text = |line: &Line| {
        let (sign, style) = app.theme.level(line.level);
        Text::from(vec![
            styled(format!("{} ", time(line.at)), app.theme.faint()),
            styled(format!("{sign} "), style),
            plain(line.text.clone()),
        ])
    };
    if whole {
        let title = format!("Log: {} lines, the newest first", rows.len());
        let [upper, lower] = Layout::vertical([Constraint::Fill(1), Constraint::Length(4)]).areas(area);
        table(frame, upper, app, (&title, "UTC"), rows.len(), |index| text(rows[index]));
        let inside = draw_frame(frame, lower, app, "Line");
        if let Some(line) = rows.get(app.selected_row().min(rows.len().saturating_sub(1))) {
            let whole = wrap(&line.text, usize::from(inside.width));
            lines(frame, inside, whole.into_iter().map(|line| Text::from(plain(line))).collect());
        }
        return;
    }
    let inside = draw_frame(frame, area, app, "Log");
    let shown = rows.iter().take(usize::from(inside.height)).rev();
    lines(frame, inside, shown.map(|line| text(line)).collect());
}
