//! A frame of the dashboard as SVG, for the README and for reports: made by a command, never a screenshot.

use std::fmt::Write;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use stagger_model::event_log::Recording;
use stagger_model::failure::Failure;
use stagger_pictures::MARK;

use super::app::{App, Mode, Tab};
use super::panes::draw;
use super::replay::Player;
use super::theme::{Colors, Theme};
use crate::view::RunView;

/// Pixels of a character.
const WIDTH: f64 = 8.4;
const HEIGHT: f64 = 17.0;
const MARGIN: f64 = 12.0;
const GROUND: &str = "#15181e";
const INK: &str = "#d8dce3";

/// Returns the dashboard as a recording shows it at a share of its time, `columns` × `rows` characters, on the pane of this number.
pub fn frame_svg(
    name: &str,
    events: Recording,
    share: f64,
    (columns, rows): (u16, u16),
    pane: usize,
) -> Result<String, Failure> {
    let theme = Theme { colors: Colors::True, ascii: false };
    let mut app = App::new(RunView::new(name), theme, Mode::Watch);
    let mut player = Player::new(name, events);
    player.advance(&mut app, share * player.seconds());
    app.tab = Tab::ALL.get(pane.wrapping_sub(1)).copied().unwrap_or(Tab::Overview);
    let failed = |_| Failure::failed("a frame can't be drawn");
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).map_err(failed)?;
    terminal.draw(|frame| draw(frame, &app)).map_err(failed)?;
    Ok(svg(terminal.backend().buffer()))
}

/// Returns a screen as SVG: one text element for each run of cells that look alike.
pub(super) fn svg(buffer: &Buffer) -> String {
    let area = buffer.area;
    let (width, height) =
        (f64::from(area.width) * WIDTH + 2.0 * MARGIN, f64::from(area.height) * HEIGHT + 2.0 * MARGIN);
    let mut out = String::new();
    // Writing into a string can't fail.
    let _ = writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" width="{width:.0}" height="{height:.0}" role="img" aria-label="the dashboard of stagger">"#
    );
    let _ = writeln!(out, "<metadata>{MARK}</metadata>");
    let _ = writeln!(out, r#"<rect width="100%" height="100%" rx="8" fill="{GROUND}"/>"#);
    let _ = writeln!(out, r#"<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14">"#);
    for y in area.y..area.bottom() {
        let mut x = area.x;
        while x < area.right() {
            let first = &buffer[(x, y)];
            let mut text = String::new();
            let begin = x;
            while x < area.right() && alike(first, &buffer[(x, y)]) {
                text.push_str(buffer[(x, y)].symbol());
                x += 1;
            }
            run(&mut out, first, &text, (begin - area.x, y - area.y, x - begin));
        }
    }
    out.push_str("</g>\n</svg>\n");
    out
}

fn alike(a: &Cell, b: &Cell) -> bool {
    (a.fg, a.bg, a.modifier) == (b.fg, b.bg, b.modifier)
}

fn run(out: &mut String, cell: &Cell, text: &str, (x, y, length): (u16, u16, u16)) {
    let reversed = cell.modifier.contains(Modifier::REVERSED);
    let ink = color(cell.fg).unwrap_or_else(|| INK.to_owned());
    let (left, top) = (MARGIN + f64::from(x) * WIDTH, MARGIN + f64::from(y) * HEIGHT);
    let width = f64::from(length) * WIDTH;
    if reversed {
        let _ = writeln!(
            out,
            r#"<rect x="{left:.1}" y="{top:.1}" width="{width:.1}" height="{HEIGHT}" fill="{ink}"/>"#
        );
    }
    let fill = if reversed { GROUND } else { &ink };
    let weight = if cell.modifier.contains(Modifier::BOLD) { r#" font-weight="bold""# } else { "" };
    let base = top + 0.76 * HEIGHT;
    for (offset, part) in parts(text) {
        let left = left + offset as f64 * WIDTH;
        let width = part.chars().count() as f64 * WIDTH;
        let part = part.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _ = writeln!(
            out,
            r#"<text x="{left:.1}" y="{base:.1}" textLength="{width:.1}" lengthAdjust="spacingAndGlyphs" fill="{fill}"{weight}>{part}</text>"#
        );
    }
}

/// Pieces without two blanks in a row, with their places: viewers make one of several blanks.
fn parts(text: &str) -> Vec<(usize, &str)> {
    let mut out = Vec::new();
    let mut place = 0;
    for piece in text.split("  ") {
        let inner = piece.trim_start();
        if !inner.trim_end().is_empty() {
            out.push((place + piece.chars().count() - inner.chars().count(), inner.trim_end()));
        }
        place += piece.chars().count() + 2;
    }
    out
}

fn color(color: Color) -> Option<String> {
    match color {
        Color::Rgb(r, g, b) => Some(format!("#{r:02x}{g:02x}{b:02x}")),
        _ => None,
    }
}
