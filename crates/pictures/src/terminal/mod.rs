//! Figures on a grid of characters.

mod canvas;
mod grid;
mod panel;

use canvas::Letters;

use panel::{Frame, panel};

use crate::figure::{Figure, LegendEntry, LegendSymbol, Ticks};
use crate::scene::Color;

pub use grid::{Cell, Colours, Grid};

/// The options of a drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The width in characters.
    pub width: usize,
    /// Lines in all, where they are to be limited.
    pub height: Option<usize>,
    /// Only ASCII is used.
    pub ascii: bool,
}

/// Terminals that are narrower are taken to be as wide.
const LEAST_WIDTH: usize = 32;
/// Width of a panel among several.
const PANEL_WIDTH: usize = 38;
/// Lines of a panel: one alone, one of several, the least.
const ALONE: usize = 18;
const ABREAST: usize = 9;
const LEAST: usize = 4;
/// Lines of a panel that are not its plane: title, axis, labels.
const AROUND: usize = 3;

/// Draws the figure.
pub fn draw(figure: &Figure, options: &Options) -> Grid {
    let width = options.width.max(LEAST_WIDTH);
    let letters = Letters { ascii: options.ascii };
    let mut below = Grid::new(width);
    below.push_centred(&letters.text(&figure.x.label), None);
    below.push_blank();
    legend(&mut below, &figure.legend, letters);
    for note in &figure.notes {
        below.push_wrapped(&letters.text(note), Some(Color::Grey));
    }
    let mut grid = Grid::new(width);
    grid.push_wrapped(&letters.text(&figure.title), None);
    if !figure.y.label.is_empty() {
        grid.push_wrapped(&letters.text(&figure.y.label), Some(Color::Grey));
    }
    grid.push_blank();

    let columns = (width / PANEL_WIDTH).clamp(1, figure.panels.len().max(1));
    let rows = figure.panels.len().div_ceil(columns);
    let height = options
        .height
        .map(|height| height.saturating_sub(grid.height() + below.height()) / rows.max(1))
        .map_or_else(|| natural(figure), |height| height.saturating_sub(AROUND).max(LEAST));
    let frame = Frame::new(figure, width / columns, height, letters);
    for row in figure.panels.chunks(columns) {
        let drawn: Vec<Grid> = row.iter().map(|own| panel(own, &frame)).collect();
        grid.push_abreast(&drawn);
    }
    grid.append(below);
    grid
}

/// Lines of a panel where there is no limit.
fn natural(figure: &Figure) -> usize {
    match &figure.y.ticks {
        Ticks::Categories(things) => (2 * things.len() + 1).max(LEAST),
        _ if figure.panels.len() > 1 => ABREAST,
        Ticks::Whole => ((figure.y.high - figure.y.low) as usize).clamp(LEAST, 40),
        _ => ALONE,
    }
}

fn legend(grid: &mut Grid, keys: &[LegendEntry], letters: Letters) {
    let entries: Vec<(char, Color, String)> = keys
        .iter()
        .map(|key| {
            let (symbol, ink) = match key.sample {
                LegendSymbol::Marker(marker) => (letters.sign(marker), marker.ink),
                LegendSymbol::Faint(marker) => (letters.faint(), marker.ink),
                LegendSymbol::Interval(ink, cover) => (letters.interval(cover), ink),
                LegendSymbol::Area(tint) => (letters.area(tint), tint.ink),
                LegendSymbol::Rule(dash) => (letters.rule(false, dash), Color::Grey),
            };
            (symbol, ink, letters.text(&key.label))
        })
        .collect();
    grid.push_legend(&entries);
}
