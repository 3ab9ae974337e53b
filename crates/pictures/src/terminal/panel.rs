//! One panel on a grid of characters.

use super::canvas::{Dots, Letters};
use super::grid::Grid;
use crate::figure::{AreaStyle, Axis, Bar, Coverage, Figure, Hatch, Layer, Panel, Ticks};
use crate::render::share;
use crate::scene::{Color, Dash};
use crate::ticks::{Tick, ticks};

/// The properties that all panels of a figure share.
pub(crate) struct Frame<'a> {
    x: &'a Axis,
    y: &'a Axis,
    letters: Letters,
    width: usize,
    /// Column of the axis of y.
    left: usize,
    columns: usize,
    rows: usize,
    titled: bool,
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
}

impl<'a> Frame<'a> {
    pub(crate) fn new(figure: &'a Figure, width: usize, rows: usize, letters: Letters) -> Self {
        let room = if matches!(figure.y.ticks, Ticks::Categories(_)) { 0.0 } else { 2.0 };
        let y_ticks = ticks(&figure.y, rows as f64, |_| room);
        let widest = y_ticks.iter().map(|tick| letters.text(&tick.label).chars().count()).max();
        let left = widest.unwrap_or(0).min(width / 2) + 1;
        let columns = width.saturating_sub(left + 3).max(4);
        let x_ticks = ticks(&figure.x, columns as f64, |label| label.chars().count() as f64 + 2.0);
        let titled = figure.panels.iter().any(|panel| !panel.title.is_empty());
        Self { x: &figure.x, y: &figure.y, letters, width, left, columns, rows, titled, x_ticks, y_ticks }
    }

    fn top(&self) -> usize {
        usize::from(self.titled)
    }

    /// Column of a value, of `fine` parts each.
    fn column(&self, value: f64, fine: usize) -> usize {
        place(share(self.x, value), self.columns * fine)
    }

    /// Row of a value, of `fine` parts each.
    fn row(&self, value: f64, fine: usize) -> usize {
        let share = share(self.y, value);
        let down = if matches!(self.y.ticks, Ticks::Categories(_)) { share } else { 1.0 - share };
        place(down, self.rows * fine)
    }
}

/// Returns the index of the one of `count` equal parts of 0 to 1 that holds the share.
fn place(share: f64, count: usize) -> usize {
    ((share * count as f64) as usize).min(count.saturating_sub(1))
}

/// The panel with its axes and labels.
pub(crate) fn panel(panel: &Panel, frame: &Frame<'_>) -> Grid {
    let mut plane = Grid::blank(frame.columns, frame.rows);
    for layer in &panel.layers {
        draw(&mut plane, layer, frame);
    }
    let (top, left) = (frame.top(), frame.left);
    let mut grid = Grid::blank(frame.width, top + frame.rows + 2);
    let title: String = frame.letters.text(&panel.title).chars().take(frame.columns).collect();
    if frame.titled {
        grid.put_text(left + 1, 0, &title, None);
    }
    for (row, cells) in plane.rows().iter().enumerate() {
        for (column, cell) in cells.iter().enumerate() {
            grid.put(left + 1 + column, top + row, cell.symbol, cell.ink);
        }
    }
    axes(&mut grid, frame);
    grid
}

fn axes(grid: &mut Grid, frame: &Frame<'_>) {
    let [edge, tick_y, corner, floor, tick_x] = frame.letters.axes();
    let (top, left, bottom) = (frame.top(), frame.left, frame.top() + frame.rows);
    for row in top..bottom {
        grid.put(left, row, edge, None);
    }
    grid.put(left, bottom, corner, None);
    for column in 0..frame.columns {
        grid.put(left + 1 + column, bottom, floor, None);
    }
    for tick in &frame.y_ticks {
        let row = top + frame.row(tick.at, 1);
        let label: String = frame.letters.text(&tick.label).chars().take(left.saturating_sub(1)).collect();
        grid.put(left, row, tick_y, None);
        grid.put_text(left.saturating_sub(1 + label.chars().count()), row, &label, None);
    }
    for tick in &frame.x_ticks {
        let column = left + 1 + frame.column(tick.at, 1);
        let label = frame.letters.text(&tick.label);
        let size = label.chars().count();
        grid.put(column, bottom, tick_x, None);
        let begin = (column.saturating_sub(size / 2)).min(frame.width.saturating_sub(size));
        grid.put_text(begin, bottom + 1, &label, None);
    }
}

fn draw(plane: &mut Grid, layer: &Layer, frame: &Frame<'_>) {
    match layer {
        Layer::Rule { level, at, .. } if !(if *level { frame.y } else { frame.x }).holds(*at) => {}
        Layer::Rule { level: true, at, dash } => {
            let row = frame.row(*at, 1);
            for column in 0..frame.columns {
                plane.put(column, row, frame.letters.rule(true, *dash), Some(Color::Grey));
            }
        }
        Layer::Rule { level: false, at, dash } => {
            let column = frame.column(*at, 1);
            for row in 0..frame.rows {
                let symbol = if *dash == Dash::Solid { Dash::Dashed } else { *dash };
                plane.put(column, row, frame.letters.rule(false, symbol), Some(Color::Grey));
            }
        }
        Layer::Intervals { ink, cover, bounds } => {
            for [x, low, high] in bounds {
                interval(plane, frame, (*ink, *cover), frame.column(*x, 1), [*low, *high]);
            }
        }
        Layer::Points { marker, faint, places } => {
            let symbol = if *faint { frame.letters.faint() } else { frame.letters.sign(*marker) };
            for [x, y] in places {
                plane.put(frame.column(*x, 1), frame.row(*y, 1), symbol, Some(marker.ink));
            }
        }
        Layer::Bars { tint, bars } => blocks(plane, frame, *tint, bars),
    }
}

/// An upright interval whose ends are exact to half a line.
fn interval(plane: &mut Grid, frame: &Frame<'_>, look: (Color, Coverage), column: usize, bounds: [f64; 2]) {
    let (ink, cover) = look;
    let [low, high] = bounds;
    let (first, last) = (frame.row(high, 2), frame.row(low, 2));
    let [upper_end, lower_end] = frame.letters.halves(cover);
    for row in first / 2..=last / 2 {
        let starts_below = row * 2 < first;
        let ends_above = row * 2 + 1 > last;
        let symbol = match (starts_below, ends_above) {
            (true, false) => upper_end,
            (false, true) => lower_end,
            _ => frame.letters.interval(cover),
        };
        plane.put(column, row, symbol, Some(ink));
    }
}

/// Rectangles: in braille, or with one letter each line.
fn blocks(plane: &mut Grid, frame: &Frame<'_>, tint: AreaStyle, bars: &[Bar]) {
    let plain = frame.letters.ascii || tint.letter.is_some();
    let (fine_x, fine_y) = if plain { (1, 1) } else { (2, 4) };
    let mut dots = Dots::new(frame.columns, frame.rows);
    for bar in bars {
        let columns = frame.column(bar.left, fine_x)..=last(frame, bar, fine_x);
        // A lane is one line; a bar reaches from its foot to its end.
        let rows = if tint.letter.is_some() {
            let row = frame.row((bar.from + bar.to) / 2.0, 1);
            row..=row
        } else {
            frame.row(bar.to, fine_y)..=frame.row(bar.from, fine_y)
        };
        for (row, column) in rows.flat_map(|row| columns.clone().map(move |column| (row, column))) {
            if plain {
                plane.put(column, row, frame.letters.area(tint), Some(tint.ink));
            } else if tint.hatch == Hatch::Plain || (row + column) % 2 == 0 {
                dots.set(column, row);
            }
        }
    }
    for (column, row, symbol) in dots.symbols() {
        plane.put(column, row, symbol, Some(tint.ink));
    }
}

/// The last column of a bar: what only touches the next column is not in it.
fn last(frame: &Frame<'_>, bar: &Bar, fine: usize) -> usize {
    let (left, right) = (frame.column(bar.left, fine), frame.column(bar.right, fine));
    if right > left { right - 1 } else { right }
}
