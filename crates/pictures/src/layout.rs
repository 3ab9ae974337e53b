//! The places of the parts of a figure on a page.

use crate::figure::{Figure, LegendEntry, LegendSymbol, Ticks};
use crate::font::{self, LEADING};
use crate::ticks::{Tick, ticks};

pub(crate) const TITLE: f64 = 15.0;
pub(crate) const LABEL: f64 = 12.5;
pub(crate) const PANEL: f64 = 12.0;
pub(crate) const TICK: f64 = 11.0;
pub(crate) const LEGEND: f64 = 11.5;
pub(crate) const NOTE: f64 = 10.5;
/// The margin around everything.
pub(crate) const MARGIN: f64 = 14.0;
/// Length of a tick, and from there to its label.
pub(crate) const TICK_LENGTH: f64 = 4.5;
pub(crate) const TICK_GAP: f64 = 3.5;
/// From a sample of the legend to its label, and from there to the next sample.
const SAMPLE_GAP: f64 = 6.0;
const KEY_GAP: f64 = 20.0;
const LEGEND_LINE: f64 = 18.0;
/// Between panels.
const GUTTER: f64 = 22.0;
/// Panels are not smaller.
const LEAST_WIDTH: f64 = 70.0;
const LEAST_HEIGHT: f64 = 56.0;

/// A rectangle on the page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Area {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Area {
    pub(crate) fn right(&self) -> f64 {
        self.left + self.width
    }

    pub(crate) fn bottom(&self) -> f64 {
        self.top + self.height
    }
}

/// A panel's place, and whether it is the one of its row or column that carries the labels.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) area: Area,
    pub(crate) first: bool,
    pub(crate) last: bool,
}

/// A legend's entry and its place.
#[derive(Clone, Debug)]
pub(crate) struct KeyPlace {
    pub(crate) key: LegendEntry,
    /// Middle of its sample.
    pub(crate) middle: f64,
    /// Begin of its label.
    pub(crate) left: f64,
    pub(crate) base: f64,
}

/// The places of all parts of a figure.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) title: Vec<(String, f64)>,
    pub(crate) panels: Vec<Place>,
    /// Base line of the label of x, and its middle.
    pub(crate) x_label: (f64, f64),
    /// Base line of the upright label of y, and its middle.
    pub(crate) y_label: (f64, f64),
    /// Height of the panels together.
    pub(crate) y_length: f64,
    pub(crate) keys: Vec<KeyPlace>,
    pub(crate) notes: Vec<(String, f64)>,
    pub(crate) x_ticks: Vec<Tick>,
    pub(crate) y_ticks: Vec<Tick>,
    /// Room of labels of y.
    pub(crate) y_room: f64,
}

/// The layout on a page of that proportion; a page that is too small is laid out larger, to be shown smaller.
pub(crate) fn layout(figure: &Figure, width: f64, height: f64) -> Layout {
    let label = font::width(&figure.y.label, LABEL);
    let mut scale = 1.0;
    loop {
        let found = attempt(figure, width * scale, height * scale);
        let fits = found
            .panels
            .iter()
            .all(|place| place.area.width >= LEAST_WIDTH && place.area.height >= LEAST_HEIGHT);
        // A label that is cut is worse than a smaller one, to a point.
        let legible = scale > 1.6 || found.y_length >= label;
        if (fits && legible) || scale > 60.0 {
            return found;
        }
        scale *= 1.12;
    }
}

fn attempt(figure: &Figure, width: f64, height: f64) -> Layout {
    let room = width - 2.0 * MARGIN;
    let mut top = MARGIN;
    let title = lines(&figure.title, TITLE, room, &mut top);
    top += if title.is_empty() { 4.0 } else { 10.0 };

    // From below: notes, legend, label of x.
    let wrapped: Vec<String> = figure.notes.iter().flat_map(|note| font::wrap(note, NOTE, room)).collect();
    let mut bottom = height - MARGIN;
    let notes = wrapped.iter().rev().map(|line| {
        let base = bottom - 2.0;
        bottom -= NOTE * LEADING;
        (line.clone(), base)
    });
    let notes: Vec<(String, f64)> = notes.collect();
    bottom -= if notes.is_empty() { 0.0 } else { 8.0 };
    let keys = legend(&figure.legend, width, &mut bottom);
    let x_base = bottom - 3.0;
    if !figure.x.label.is_empty() {
        bottom -= LABEL * LEADING + 5.0;
    }
    let y_label_room = if figure.y.label.is_empty() { 0.0 } else { LABEL * LEADING + 4.0 };
    let grid = Grid { left: MARGIN + y_label_room, top, right: width - MARGIN, bottom };
    let mut found = grid.place(figure);
    let first = found.panels.first().map_or(MARGIN, |place| place.area.left);
    let right = found.panels.iter().map(|place| place.area.right()).fold(first, f64::max);
    let lowest = found.panels.iter().map(|place| place.area.bottom()).fold(top, f64::max);
    found.x_label = (x_base, (first + right) / 2.0);
    found.y_length = lowest - top;
    found.y_label = (MARGIN + LABEL * 0.8, (top + lowest) / 2.0);
    Layout { width, height, title, keys, notes, ..found }
}

/// Lines of a text from `top` on, which moves below them.
fn lines(text: &str, size: f64, room: f64, top: &mut f64) -> Vec<(String, f64)> {
    font::wrap(text, size, room)
        .into_iter()
        .map(|line| {
            let base = *top + size * 0.9;
            *top += size * LEADING;
            (line, base)
        })
        .collect()
}

/// Rows of entries in the middle of the page, above `bottom`, which moves above them.
fn legend(keys: &[LegendEntry], width: f64, bottom: &mut f64) -> Vec<KeyPlace> {
    let room = width - 2.0 * MARGIN;
    let before = |key: &LegendEntry| sample_width(key.sample) + SAMPLE_GAP;
    let size = |key: &LegendEntry| before(key) + font::width(&key.label, LEGEND);
    let mut rows: Vec<(f64, Vec<LegendEntry>)> = Vec::new();
    for key in keys {
        let label = font::cut(&key.label, LEGEND, room - before(key));
        let key = LegendEntry { label, ..key.clone() };
        let own = size(&key);
        match rows.last_mut() {
            Some((used, row)) if *used + KEY_GAP + own <= room => {
                *used += KEY_GAP + own;
                row.push(key);
            }
            _ => rows.push((own, vec![key])),
        }
    }
    let mut places = Vec::new();
    let first = *bottom - LEGEND_LINE * rows.len() as f64;
    for (number, (used, row)) in rows.into_iter().enumerate() {
        let mut left = (width - used) / 2.0;
        let base = first + LEGEND_LINE * (number + 1) as f64 - 5.0;
        for key in row {
            let next = left + size(&key) + KEY_GAP;
            let (middle, label) = (left + sample_width(key.sample) / 2.0, left + before(&key));
            places.push(KeyPlace { key, middle, left: label, base });
            left = next;
        }
    }
    if first < *bottom {
        *bottom = first - 6.0;
    }
    places
}

/// Room of a sample.
fn sample_width(sample: LegendSymbol) -> f64 {
    match sample {
        LegendSymbol::Marker(_) | LegendSymbol::Faint(_) | LegendSymbol::Interval(..) => 10.0,
        LegendSymbol::Area(_) | LegendSymbol::Rule(_) => 22.0,
    }
}

/// The area of the panels, with the labels of their ticks.
struct Grid {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

impl Grid {
    fn place(&self, figure: &Figure) -> Layout {
        let count = figure.panels.len().max(1);
        let below = TICK_LENGTH + TICK_GAP + TICK;
        let height = self.bottom - self.top - below;
        let columns = columns(count, self.right - self.left, height);
        let rows = count.div_ceil(columns);
        let titled = figure.panels.iter().any(|panel| !panel.title.is_empty());
        let head = if titled { PANEL * LEADING + 3.0 } else { 0.0 };
        let gap = if rows > 1 { 12.0 } else { 0.0 };
        let panel_height = (height - gap * (rows - 1) as f64) / rows as f64 - head;
        let y_ticks = upward(figure, panel_height);
        let widest = y_ticks.iter().map(|tick| font::width(&tick.label, TICK)).fold(0.0, f64::max);
        let y_room = widest.min((self.right - self.left) * 0.4);
        let left = self.left + y_room + TICK_LENGTH + TICK_GAP;
        // The last label of x may be wider than what is right of its tick.
        let room = self.right - left - 10.0;
        let panel_width = (room - GUTTER * (columns - 1) as f64) / columns as f64;
        let place = |number: usize| {
            let (row, column) = (number / columns, number % columns);
            let area = Area {
                left: left + column as f64 * (panel_width + GUTTER),
                top: self.top + head + row as f64 * (panel_height + head + gap),
                width: panel_width,
                height: panel_height,
            };
            Place { area, first: column == 0, last: number + columns >= count }
        };
        let x_ticks = ticks(&figure.x, panel_width, |label| font::width(label, TICK) + 10.0);
        Layout {
            width: 0.0,
            height: 0.0,
            title: Vec::new(),
            panels: (0..count).map(place).collect(),
            x_label: (0.0, 0.0),
            y_label: (0.0, 0.0),
            y_length: 0.0,
            keys: Vec::new(),
            notes: Vec::new(),
            x_ticks,
            y_ticks,
            y_room,
        }
    }
}

fn upward(figure: &Figure, height: f64) -> Vec<Tick> {
    let room = if matches!(figure.y.ticks, Ticks::Categories(_)) { TICK } else { 3.0 * TICK };
    ticks(&figure.y, height.max(1.0), |_| room)
}

/// Panels side by side: those that make them about four wide and three high.
fn columns(count: usize, width: f64, height: f64) -> usize {
    let misfit = |columns: usize| {
        let rows = count.div_ceil(columns);
        let shape = (width / columns as f64) / (height.max(1.0) / rows as f64);
        let empty = (rows * columns - count) as f64;
        libm::fabs(libm::log(shape / 1.45)) + 0.12 * empty
    };
    (1..=count).min_by(|a, b| misfit(*a).total_cmp(&misfit(*b))).unwrap_or(1)
}
