//! The windows in front of the panes: help and questions.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Clear, Widget};

use super::super::app::{App, Popup};
use super::super::keys::BINDINGS;
use super::table::{draw_frame, lines, plain, styled};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, popup: Popup, app: &App) {
    match popup {
        Popup::Help => help(frame, area, app),
        Popup::Leave => ask(
            frame,
            area,
            app,
            "The run is under way",
            &[
                ("d", "detach: the dashboard closes, the run goes on"),
                ("c", "cancel the run"),
                ("any other key", "stay"),
            ],
        ),
        Popup::Cancel => ask(
            frame,
            area,
            app,
            "Cancel the run?",
            &[
                ("y", "yes: tasks under way end first"),
                ("a", "at once: they end by themselves"),
                ("any other key", "no"),
            ],
        ),
    }
}

/// A box in the middle, emptied.
fn front(frame: &mut Frame<'_>, area: Rect, (width, height): (u16, u16), app: &App, title: &str) -> Rect {
    let (width, height) = (width.min(area.width), height.min(area.height));
    let place =
        Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    Clear.render(place, frame.buffer_mut());
    draw_frame(frame, place, app, title)
}

fn ask(frame: &mut Frame<'_>, area: Rect, app: &App, title: &str, answers: &[(&str, &str)]) {
    let inside = front(frame, area, (60, answers.len() as u16 + 2), app, title);
    let line = |(key, does): &(&str, &str)| {
        Line::from(vec![styled(format!(" {key:<14}"), app.theme.title()), plain((*does).to_owned())])
    };
    lines(frame, inside, answers.iter().map(line).collect());
}

/// Every key, in two columns where one is too long.
fn help(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let all = BINDINGS.len() + 2;
    let columns = if all + 2 > usize::from(area.height) { 2 } else { 1 };
    let height = all.div_ceil(columns);
    let width = if columns == 2 { 80 } else { 50 };
    let inside = front(frame, area, (width, height as u16 + 2), app, "Keys");
    let mut texts: Vec<(String, String)> =
        BINDINGS.iter().map(|binding| (binding.shown.to_owned(), binding.does.to_owned())).collect();
    texts.insert(0, ("1-9".to_owned(), "pane by its number".to_owned()));
    texts.push(("mouse".to_owned(), "tabs, panes, rows, wheel".to_owned()));
    let column = inside.width / columns as u16;
    for (index, half) in texts.chunks(height).enumerate() {
        let place = Rect { x: inside.x + column * index as u16, width: column, ..inside };
        let line = |(keys, does): &(String, String)| {
            Line::from(vec![styled(format!(" {keys:<10}"), app.theme.title()), plain(does.clone())])
        };
        lines(frame, place, half.iter().map(line).collect());
    }
}
