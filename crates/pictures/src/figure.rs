//! A chart before it has a size: panels of layers over shared axes. Pages and terminals draw the same figure.

use crate::scene::{Color, Dash};

/// Numbers beyond are not drawn; differences of what is left are finite.
pub(crate) const LIMIT: f64 = 1e300;

/// A chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// The title.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// Upwards; categories go down.
    pub y: Axis,
    /// Side by side, over the same axes.
    pub panels: Vec<Panel>,
    /// The legend: the meaning of marks.
    pub legend: Vec<LegendEntry>,
    /// Notes below the panels.
    pub notes: Vec<String>,
}

/// One of the charts side by side.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Panel {
    /// The title, which tells the panel from the others.
    pub title: String,
    /// The layers, the lowest first.
    pub layers: Vec<Layer>,
}

/// An axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// The label: the quantity, and its unit if it has one.
    pub label: String,
    /// Least value shown.
    pub low: f64,
    /// Greatest value shown.
    pub high: f64,
    /// The ticks.
    pub ticks: Ticks,
}

impl Axis {
    /// Returns true if the axis reaches a value.
    pub(crate) fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// The ticks of an axis.
#[derive(Clone, Debug, PartialEq)]
pub enum Ticks {
    /// Round numbers.
    Numbers,
    /// Whole numbers: event times, years.
    Whole,
    /// Shares in percent, in both directions.
    Percent,
    /// These places.
    At(Vec<(f64, String)>),
    /// Things under each other, the first at 0, the next at 1.
    Categories(Vec<String>),
}

/// A sign at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkerShape {
    /// A disc.
    Circle,
    /// A square.
    Square,
    /// A triangle.
    Triangle,
    /// A diamond.
    Diamond,
    /// Two crossed lines.
    Cross,
}

impl MarkerShape {
    /// Signs of series, in the order in which they are given out.
    pub(crate) const SERIES: [MarkerShape; 4] =
        [MarkerShape::Circle, MarkerShape::Square, MarkerShape::Triangle, MarkerShape::Diamond];
}

/// The look of a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// The colour.
    pub ink: Color,
    /// The form.
    pub sign: MarkerShape,
    /// Only its edge is drawn.
    pub hollow: bool,
}

impl Marker {
    pub(crate) fn full(ink: Color, sign: MarkerShape) -> Self {
        Self { ink, sign, hollow: false }
    }

    pub(crate) fn hollow(ink: Color, sign: MarkerShape) -> Self {
        Self { ink, sign, hollow: true }
    }
}

/// The coverage of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// All estimates at once.
    Uniform,
    /// Each by itself.
    Pointwise,
}

/// Lines across an area, which tell it from others without colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hatch {
    /// None.
    Plain,
    /// Rising lines.
    Rising,
    /// Falling lines.
    Falling,
    /// Upright lines.
    Upright,
}

/// The look of an area.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AreaStyle {
    /// The colour.
    pub ink: Color,
    /// 1 hides what is below.
    pub opacity: f64,
    /// The lines across the area.
    pub hatch: Hatch,
    /// The edge is drawn.
    pub edge: bool,
    /// The letter of the area on terminals; none asks for blocks.
    pub letter: Option<char>,
}

/// A rectangle: left, right, lower and upper end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bar {
    /// The left end.
    pub left: f64,
    /// The right end.
    pub right: f64,
    /// The lower end.
    pub from: f64,
    /// The upper end.
    pub to: f64,
}

/// Something drawn over the axes.
#[derive(Clone, Debug, PartialEq)]
pub enum Layer {
    /// A line across the panel.
    Rule {
        /// The line is horizontal; vertical otherwise.
        level: bool,
        /// The value at which it crosses the other axis.
        at: f64,
        /// The pattern of the line.
        dash: Dash,
    },
    /// Intervals of y at places of x.
    Intervals {
        /// The colour.
        ink: Color,
        /// The coverage of the intervals.
        cover: Coverage,
        /// Place, lower and upper end.
        bounds: Vec<[f64; 3]>,
    },
    /// Signs.
    Points {
        /// Their look.
        marker: Marker,
        /// In the background.
        faint: bool,
        /// x and y.
        places: Vec<[f64; 2]>,
    },
    /// Rectangles.
    Bars {
        /// Their look.
        tint: AreaStyle,
        /// Their places.
        bars: Vec<Bar>,
    },
}

/// An entry of a legend.
#[derive(Clone, Debug, PartialEq)]
pub struct LegendEntry {
    /// The mark that is explained.
    pub sample: LegendSymbol,
    /// The meaning of the mark.
    pub label: String,
}

impl LegendEntry {
    pub(crate) fn new(sample: LegendSymbol, label: impl Into<String>) -> Self {
        Self { sample, label: label.into() }
    }
}

/// A mark as a legend shows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LegendSymbol {
    /// A sign.
    Marker(Marker),
    /// A small sign in the background.
    Faint(Marker),
    /// An interval.
    Interval(Color, Coverage),
    /// An area.
    Area(AreaStyle),
    /// A line.
    Rule(Dash),
}

/// The range of an axis that holds all values and `also`, with some air.
pub(crate) fn range(values: impl Iterator<Item = f64>, also: f64) -> (f64, f64) {
    let (mut low, mut high) = (also, also);
    for value in values.filter(|value| drawable(*value)) {
        (low, high) = (low.min(value), high.max(value));
    }
    let air = 0.06 * (high - low);
    if air > 0.0 && air.is_finite() && high + air > high {
        (low - air, high + air)
    } else {
        (low - 1.0 - low.abs(), high + 1.0 + high.abs())
    }
}

/// Returns true if a number has a place on an axis: it is finite and not beyond any scale.
pub(crate) fn drawable(value: f64) -> bool {
    value.abs() <= LIMIT
}

impl Figure {
    /// Width and height that suit it.
    pub fn natural_size(&self) -> (f64, f64) {
        let below = 90.0 + 14.0 * self.notes.len() as f64;
        if let Ticks::Categories(things) = &self.y.ticks {
            return (720.0, (things.len() as f64 * 24.0 + 60.0).clamp(130.0, 2400.0) + below);
        }
        match self.panels.len() {
            0 | 1 => (720.0, 360.0 + below),
            count => {
                let columns = count.min(if count > 12 { 5 } else { most_abreast(count) });
                let rows = count.div_ceil(columns);
                let (width, height) = (
                    (240.0 * columns as f64).clamp(600.0, 1100.0),
                    (if rows == 1 { 220.0 } else { 165.0 }) * rows as f64,
                );
                (width, height + 40.0 + below)
            }
        }
    }
}

/// Panels side by side that leave few places of the last row empty.
fn most_abreast(count: usize) -> usize {
    match count {
        0..=3 => count,
        4 => 2,
        5 | 6 | 9 => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_everything_drawable() {
        let (low, high) = range([1.0, f64::NAN, 3.0, f64::INFINITY].into_iter(), 0.0);
        assert!(low < 0.0 && high > 3.0 && high < 4.0);
        assert_eq!(range(std::iter::empty(), 0.0), (-1.0, 1.0));
        for value in [1e300, -1e300, 1e-320, 5e-324] {
            let (low, high) = range([value].into_iter(), 0.0);
            assert!(low < high && (high - low).is_finite(), "{value}");
        }
    }
}
