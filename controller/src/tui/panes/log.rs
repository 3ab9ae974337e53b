//! The log, the newest line last until somebody scrolls.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line as Text;

use super::super::app::App;
use super::table::{framed, lines, part, plain, table};
use super::words::time;
use crate::view::{Level, Line};

/// Lines that pass the filter, the newest first.
pub(super) fn rows(app: &App) -> Vec<&Line> {
    let (view, _) = app.shown();
    let passes = |line: &&Line| app.passes(&line.text) && (!app.errors_only || line.level > Level::Info);
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
            part(format!("{} ", time(line.at)), app.theme.faint()),
            part(format!("{sign} "), style),
            plain(line.text.clone()),
        ])
    };
    if whole {
        let title = format!("Log: {} lines, the newest first", rows.len());
        table(frame, area, app, (&title, "UTC"), rows.len(), |index| text(rows[index]));
        return;
    }
    let inside = framed(frame, area, app, "Log");
    let shown = rows.iter().take(usize::from(inside.height)).rev();
    lines(frame, inside, shown.map(|line| text(line)).collect());
}
