//! A figure on a page.

use crate::figure::{
    AreaStyle, Axis, Bar, Coverage, Figure, Hatch, Layer, LegendSymbol, Marker, MarkerShape, Ticks,
};
use crate::font::{self, CAPITALS};
use crate::layout::{
    Area, LABEL, LEGEND, Layout, MARGIN, NOTE, PANEL, Place, TICK, TICK_GAP, TICK_LENGTH, TITLE, layout,
};
use crate::marks::{hatching, outline};
use crate::scene::{Anchor, Color, Dash, Fill, Point, Scene, Stroke, Text, at};

/// Width of lines of axes.
const AXIS: f64 = 0.8;
/// Radius of signs, of those in the background, and half the width of uniform bands.
const RADIUS: f64 = 3.7;
const FAINT: f64 = 1.8;
const BAND: f64 = 4.6;

/// Draws the figure on a page of that width and height.
pub fn scene(figure: &Figure, width: f64, height: f64) -> Scene {
    let layout = layout(figure, width, height);
    let mut scene = Scene {
        width: layout.width,
        height: layout.height,
        shown: width,
        title: figure.title.clone(),
        description: figure.notes.join(" "),
        marks: Vec::new(),
    };
    let ground =
        [at(0.0, 0.0), at(layout.width, 0.0), at(layout.width, layout.height), at(0.0, layout.height)];
    scene.areas("ground", vec![ground.to_vec()], Fill::opaque(Color::White), None);
    for (line, base) in &layout.title {
        say(&mut scene, "title", line, (MARGIN, *base), Anchor::Start, TITLE);
    }
    for (place, panel) in layout.panels.iter().zip(&figure.panels) {
        let pen = Pen { area: place.area, x: &figure.x, y: &figure.y, many: figure.panels.len() > 1 };
        let title = font::cut(&panel.title, PANEL, place.area.width);
        say(&mut scene, "panel-title", &title, (place.area.left, place.area.top - 6.0), Anchor::Start, PANEL);
        for layer in &panel.layers {
            pen.layer(&mut scene, layer);
        }
        axes(&mut scene, &pen, place, &layout);
    }
    around(&mut scene, figure, &layout);
    scene
}

fn say(scene: &mut Scene, class: &'static str, text: &str, place: (f64, f64), anchor: Anchor, size: f64) {
    let ink = if class == "note" { Color::Grey } else { Color::Black };
    let text = Text { content: text.to_owned(), at: at(place.0, place.1), anchor, size, upright: false, ink };
    scene.text(class, text);
}

/// Labels of the axes, legend, notes.
fn around(scene: &mut Scene, figure: &Figure, layout: &Layout) {
    let (base, middle) = layout.x_label;
    let label = font::cut(&figure.x.label, LABEL, 2.0 * middle.min(layout.width - middle) - MARGIN);
    say(scene, "axis-label", &label, (middle, base), Anchor::Middle, LABEL);
    let (base, middle) = layout.y_label;
    let content = font::cut(&figure.y.label, LABEL, layout.y_length);
    scene.text(
        "axis-label",
        Text {
            content,
            at: at(base, middle),
            anchor: Anchor::Middle,
            size: LABEL,
            upright: true,
            ink: Color::Black,
        },
    );
    for place in &layout.keys {
        let middle = at(place.middle, place.base - LEGEND * CAPITALS / 2.0);
        sample(scene, place.key.sample, middle);
        say(scene, "legend", &place.key.label, (place.left, place.base), Anchor::Start, LEGEND);
    }
    for (line, base) in &layout.notes {
        say(scene, "note", line, (MARGIN, *base), Anchor::Start, NOTE);
    }
}

fn sample(scene: &mut Scene, sample: LegendSymbol, middle: Point) {
    let across = |half: f64| vec![[at(middle.x - half, middle.y), at(middle.x + half, middle.y)]];
    let upright = vec![[at(middle.x, middle.y - 6.5), at(middle.x, middle.y + 6.5)]];
    match sample {
        LegendSymbol::Marker(marker) => sign(scene, "key", marker, middle, RADIUS),
        LegendSymbol::Faint(marker) => sign(scene, "key", marker, middle, FAINT),
        LegendSymbol::Interval(ink, Coverage::Pointwise) => {
            scene.segments("key", upright, Stroke::solid(ink, 1.5))
        }
        LegendSymbol::Interval(ink, Coverage::Uniform) => {
            let area = box_of(middle.x - BAND, middle.y - 6.5, middle.x + BAND, middle.y + 6.5);
            scene.areas("key", vec![area], Fill { ink, opacity: 0.22 }, None);
        }
        LegendSymbol::Area(tint) => {
            let area = box_of(middle.x - 9.0, middle.y - 5.0, middle.x + 9.0, middle.y + 5.0);
            tinted(scene, "key", tint, vec![area]);
        }
        LegendSymbol::Rule(dash) => scene.segments("key", across(11.0), rule(dash)),
    }
}

fn rule(dash: Dash) -> Stroke {
    let ink = if dash == Dash::Solid { Color::Black } else { Color::Grey };
    Stroke { ink, width: if dash == Dash::Solid { 0.7 } else { 0.9 }, dash }
}

fn box_of(left: f64, top: f64, right: f64, bottom: f64) -> Vec<Point> {
    vec![at(left, top), at(right, top), at(right, bottom), at(left, bottom)]
}

/// Axes as thin lines below and left, with ticks outside; labels where the panel is the one that carries them.
fn axes(scene: &mut Scene, pen: &Pen<'_>, place: &Place, layout: &Layout) {
    let area = place.area;
    let line = Stroke::solid(Color::Black, AXIS);
    let mut ends = vec![
        [at(area.left, area.top), at(area.left, area.bottom())],
        [at(area.left, area.bottom()), at(area.right(), area.bottom())],
    ];
    for tick in &layout.x_ticks {
        let x = pen.x(tick.at);
        ends.push([at(x, area.bottom()), at(x, area.bottom() + TICK_LENGTH)]);
        if place.last {
            let base = area.bottom() + TICK_LENGTH + TICK_GAP + TICK * CAPITALS;
            say(scene, "tick-x", &tick.label, (x, base), Anchor::Middle, TICK);
        }
    }
    for tick in &layout.y_ticks {
        let y = pen.y(tick.at);
        ends.push([at(area.left - TICK_LENGTH, y), at(area.left, y)]);
        if place.first {
            let end = (area.left - TICK_LENGTH - TICK_GAP, y + TICK * CAPITALS / 2.0);
            say(scene, "tick-y", &font::cut(&tick.label, TICK, layout.y_room), end, Anchor::End, TICK);
        }
    }
    scene.segments("axis", ends, line);
}

/// Draws in a panel.
struct Pen<'a> {
    area: Area,
    x: &'a Axis,
    y: &'a Axis,
    many: bool,
}

impl Pen<'_> {
    fn x(&self, value: f64) -> f64 {
        self.area.left + share(self.x, value) * self.area.width
    }

    fn y(&self, value: f64) -> f64 {
        let share = share(self.y, value);
        // Things are read from the top.
        let down = if matches!(self.y.ticks, Ticks::Categories(_)) { share } else { 1.0 - share };
        self.area.top + down * self.area.height
    }

    fn layer(&self, scene: &mut Scene, layer: &Layer) {
        match layer {
            Layer::Rule { level, at: place, dash } => self.rule(scene, *level, *place, *dash),
            Layer::Intervals { ink, cover, bounds } => self.intervals(scene, *ink, *cover, bounds),
            Layer::Points { marker, faint, places } => {
                let radius = if *faint { FAINT } else { self.size(RADIUS) };
                let class = if marker.hollow { "point hollow" } else { "point" };
                let class = if *faint { "faint" } else { class };
                for [x, y] in places {
                    sign(scene, class, *marker, at(self.x(*x), self.y(*y)), radius);
                }
            }
            Layer::Bars { tint, bars } => {
                let areas = bars.iter().map(|bar| self.bar(bar)).collect();
                tinted(scene, "bar", *tint, areas);
            }
        }
    }

    /// Marks of many panels are smaller.
    fn size(&self, size: f64) -> f64 {
        if self.many { size * 0.74 } else { size }
    }

    fn rule(&self, scene: &mut Scene, level: bool, place: f64, dash: Dash) {
        let area = self.area;
        let axis = if level { self.y } else { self.x };
        if !axis.holds(place) {
            return;
        }
        let ends = if level {
            let y = self.y(place);
            [at(area.left, y), at(area.right(), y)]
        } else {
            let x = self.x(place);
            [at(x, area.top), at(x, area.bottom())]
        };
        scene.segments("rule", vec![ends], rule(dash));
    }

    fn intervals(&self, scene: &mut Scene, ink: Color, cover: Coverage, bounds: &[[f64; 3]]) {
        let half = self.size(BAND);
        for [x, low, high] in bounds {
            let (x, low, high) = (self.x(*x), self.y(*low), self.y(*high));
            match cover {
                Coverage::Uniform => {
                    let area = box_of(x - half, high, x + half, low);
                    scene.areas("uniform", vec![area], Fill { ink, opacity: 0.22 }, None);
                }
                Coverage::Pointwise => {
                    let line = Stroke::solid(ink, self.size(1.5).max(1.0));
                    scene.segments("pointwise", vec![[at(x, low), at(x, high)]], line);
                }
            }
        }
    }

    fn bar(&self, bar: &Bar) -> Vec<Point> {
        box_of(self.x(bar.left), self.y(bar.to), self.x(bar.right), self.y(bar.from))
    }
}

/// Returns the place of a value on its axis, from 0 to 1; a value beyond an end is put at that end.
pub(crate) fn share(axis: &Axis, value: f64) -> f64 {
    let share = (value - axis.low) / (axis.high - axis.low);
    if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.5 }
}

fn tinted(scene: &mut Scene, class: &'static str, tint: AreaStyle, areas: Vec<Vec<Point>>) {
    let lines = hatching(&areas, tint.hatch);
    let edge = tint.edge.then(|| Stroke::solid(Color::Black, 0.6));
    scene.areas(class, areas, Fill { ink: tint.ink, opacity: tint.opacity }, edge);
    if tint.hatch != Hatch::Plain {
        scene.segments("hatch", lines, Stroke::solid(Color::White, 0.9));
    }
}

fn sign(scene: &mut Scene, class: &'static str, marker: Marker, place: Point, radius: f64) {
    let edge = marker.hollow.then(|| Stroke::solid(marker.ink, 1.4));
    let fill = Fill::opaque(if marker.hollow { Color::White } else { marker.ink });
    match marker.sign {
        MarkerShape::Circle => scene.disc(class, place, radius, fill, edge),
        MarkerShape::Cross => {
            let r = radius * 0.9;
            let ends = vec![
                [at(place.x - r, place.y - r), at(place.x + r, place.y + r)],
                [at(place.x - r, place.y + r), at(place.x + r, place.y - r)],
            ];
            scene.segments(class, ends, Stroke::solid(marker.ink, 1.6));
        }
        sign => scene.areas(class, vec![outline(sign, place, radius)], fill, edge),
    }
}
