//! A frame with a title, and a table in it of which only what is seen is made.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::symbols::border;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Widget};

use super::super::app::App;

const ASCII: border::Set<'static> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

/// Draws a frame and returns what is inside.
pub(super) fn draw_frame(frame: &mut Frame<'_>, area: Rect, app: &App, title: &str) -> Rect {
    let lines = if app.theme.ascii { ASCII } else { border::ROUNDED };
    let title = Line::from(Span::styled(format!(" {title} "), app.theme.title()));
    let block = Block::bordered().border_set(lines).border_style(app.theme.faint()).title(title);
    let inside = block.inner(area);
    block.render(area, frame.buffer_mut());
    inside
}

/// Writes lines from the top; what does not fit is left out.
pub(super) fn lines(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'_>>) {
    for (y, line) in (area.y..area.bottom()).zip(lines) {
        frame.buffer_mut().set_line(area.x, y, &line, area.width);
    }
}

/// Rows of a table in an area with a frame and a head.
fn height(area: Rect) -> usize {
    usize::from(area.height.saturating_sub(3))
}

/// The first row to show so that the chosen one is seen.
pub(super) fn first(chosen: usize, count: usize, area: Rect) -> usize {
    let height = height(area).max(1);
    let chosen = chosen.min(count.saturating_sub(1));
    // The chosen row walks down the screen, then the rows walk up.
    chosen.saturating_sub(height - 1)
}

/// A table with a frame: `count` rows, of which those on the screen are made.
pub(super) fn table<'a>(
    frame: &mut Frame<'_>,
    area: Rect,
    app: &App,
    (title, head): (&str, &str),
    count: usize,
    row: impl Fn(usize) -> Line<'a>,
) {
    let inside = draw_frame(frame, area, app, title);
    if inside.height == 0 {
        return;
    }
    let buffer = frame.buffer_mut();
    buffer.set_stringn(inside.x, inside.y, head, usize::from(inside.width), app.theme.faint());
    let chosen = app.selected_row().min(count.saturating_sub(1));
    let first = first(app.selected_row(), count, area);
    for (y, index) in (inside.y + 1..inside.bottom()).zip(first..count) {
        let line = row(index);
        buffer.set_line(inside.x, y, &line, inside.width);
        if index == chosen {
            buffer.set_style(Rect { y, height: 1, ..inside }, app.theme.chosen());
        }
    }
    if count == 0 && inside.height > 1 {
        buffer.set_stringn(
            inside.x,
            inside.y + 1,
            "nothing yet",
            usize::from(inside.width),
            app.theme.faint(),
        );
    }
}

/// A part of a line.
pub(super) fn styled<'a>(text: impl Into<String>, style: Style) -> Span<'a> {
    Span::styled(text.into(), style)
}

/// A part of a line without a style.
pub(super) fn plain<'a>(text: impl Into<String>) -> Span<'a> {
    Span::raw(text.into())
}
