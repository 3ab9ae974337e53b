//! One file for each pane. Each draws what it is handed and changes nothing: state → frame is a pure function.

mod cells;
mod cost;
mod errors;
mod estimates;
mod header;
mod log;
mod popups;
mod stages;
mod stream;
mod table;
mod words;
mod workers;

use ratatui::Frame;
use ratatui::layout::Rect;

use super::app::{App, Tab};
use super::layout;

/// Smallest screen on which anything can be read.
const LEAST: (u16, u16) = (40, 10);

/// Draws the whole screen.
pub(crate) fn draw(frame: &mut Frame<'_>, app: &App) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let text = format!("{}x{}, wants {}x{}", area.width, area.height, LEAST.0, LEAST.1);
        frame.render_widget(text, area);
        return;
    }
    let screen = layout::screen(area);
    header::header(frame, screen.header, app);
    header::tabs(frame, screen.tabs, app);
    body(frame, screen.body, app);
    header::footer(frame, screen.footer, app);
    if let Some(popup) = app.popup {
        popups::draw(frame, area, popup, app);
    }
}

fn body(frame: &mut Frame<'_>, area: Rect, app: &App) {
    match app.tab {
        Tab::Overview => {
            for (tab, pane) in layout::overview(area) {
                small(frame, pane, app, tab);
            }
        }
        Tab::Stages => stages::draw(frame, area, app),
        Tab::Cells => cells::draw(frame, area, app, true),
        Tab::Tasks => stream::draw(frame, area, app),
        Tab::Workers => workers::draw(frame, area, app),
        Tab::Cost => cost::draw(frame, area, app, true),
        Tab::Errors => errors::draw(frame, area, app),
        Tab::Log => log::draw(frame, area, app, true),
        Tab::Estimates => estimates::draw(frame, area, app),
    }
}

/// A pane of the overview.
fn small(frame: &mut Frame<'_>, area: Rect, app: &App, tab: Tab) {
    match tab {
        Tab::Stages => stages::draw_small(frame, area, app),
        Tab::Cells => cells::draw(frame, area, app, false),
        Tab::Tasks => stream::small(frame, area, app),
        Tab::Workers => workers::small(frame, area, app),
        Tab::Cost => cost::draw(frame, area, app, false),
        Tab::Errors => errors::small(frame, area, app),
        Tab::Log => log::draw(frame, area, app, false),
        Tab::Overview | Tab::Estimates => {}
    }
}

/// Rows that the tab shown has, as it is filtered.
pub(crate) fn rows(app: &App) -> usize {
    match app.tab {
        Tab::Stages => stages::rows(app).len(),
        Tab::Tasks => stream::rows(app),
        Tab::Errors => errors::rows(app).len(),
        Tab::Log => log::rows(app).len(),
        Tab::Estimates => estimates::rows(app).len(),
        Tab::Cells => cells::cohorts(app),
        Tab::Overview | Tab::Workers | Tab::Cost => 0,
    }
}

/// The first row of the tab's table that is on the screen.
pub(crate) fn first_row(app: &App, area: Rect) -> usize {
    table::first(app.selected_row(), rows(app), layout::screen(area).body)
}
