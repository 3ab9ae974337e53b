//! A picture as marks on a plane: what both files, SVG and PNG, are drawn from.

/// Colours: black, greys, and those of Okabe and Ito, which people with any colour vision tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// Text, axes.
    Black,
    /// Lines of reference.
    Grey,
    /// Lines that guide the eye only.
    Pale,
    /// The ground.
    White,
    /// Effects after treatment.
    Blue,
    /// Effects before treatment.
    Vermillion,
    /// Further series.
    Green,
    /// Further series.
    Purple,
    /// Further series.
    Orange,
    /// Further series.
    Sky,
    /// Further series.
    Yellow,
}

impl Color {
    /// Colours of series and stages, in the order in which they are given out.
    pub const SERIES: [Color; 7] = [
        Color::Blue,
        Color::Vermillion,
        Color::Green,
        Color::Purple,
        Color::Orange,
        Color::Sky,
        Color::Yellow,
    ];

    /// Red, green and blue.
    pub fn rgb(self) -> [u8; 3] {
        match self {
            Color::Black => [0x1a, 0x1a, 0x1a],
            Color::Grey => [0x6e, 0x6e, 0x6e],
            Color::Pale => [0xdc, 0xdc, 0xdc],
            Color::White => [0xff, 0xff, 0xff],
            Color::Blue => [0x00, 0x72, 0xb2],
            Color::Vermillion => [0xd5, 0x5e, 0x00],
            Color::Green => [0x00, 0x9e, 0x73],
            Color::Purple => [0xcc, 0x79, 0xa7],
            Color::Orange => [0xe6, 0x9f, 0x00],
            Color::Sky => [0x56, 0xb4, 0xe9],
            Color::Yellow => [0xf0, 0xe4, 0x42],
        }
    }

    /// Returns its name in classes of SVG, by which a page may change it.
    pub fn name(self) -> &'static str {
        match self {
            Color::Black => "black",
            Color::Grey => "grey",
            Color::Pale => "pale",
            Color::White => "white",
            Color::Blue => "blue",
            Color::Vermillion => "vermillion",
            Color::Green => "green",
            Color::Purple => "purple",
            Color::Orange => "orange",
            Color::Sky => "sky",
            Color::Yellow => "yellow",
        }
    }
}

/// A place: to the right and down, in units of one 96th of an inch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The distance to the right.
    pub x: f64,
    /// The distance downwards.
    pub y: f64,
}

/// A [`Point`].
pub(crate) fn at(x: f64, y: f64) -> Point {
    Point { x, y }
}

/// The pattern of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dash {
    /// Without gaps.
    Solid,
    /// Long strokes.
    Dashed,
    /// Dots.
    Dotted,
}

impl Dash {
    /// Lengths of stroke and gap.
    pub(crate) fn lengths(self) -> Option<[f64; 2]> {
        match self {
            Dash::Solid => None,
            Dash::Dashed => Some([5.0, 4.0]),
            Dash::Dotted => Some([1.5, 3.0]),
        }
    }
}

/// The look of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stroke {
    /// The colour.
    pub ink: Color,
    /// The width.
    pub width: f64,
    /// The pattern of strokes and gaps.
    pub dash: Dash,
}

impl Stroke {
    /// A line without gaps.
    pub(crate) fn solid(ink: Color, width: f64) -> Self {
        Self { ink, width, dash: Dash::Solid }
    }
}

/// The look of an area.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fill {
    /// The colour.
    pub ink: Color,
    /// 1 hides what is below.
    pub opacity: f64,
}

impl Fill {
    /// Returns the look of an opaque area.
    pub(crate) fn opaque(ink: Color) -> Self {
        Self { ink, opacity: 1.0 }
    }
}

/// The part of a text that is at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// At its left end.
    Start,
    /// In its middle.
    Middle,
    /// At its right end.
    End,
}

/// One line of text.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// The content of the text.
    pub content: String,
    /// The place on the base line.
    pub at: Point,
    /// The part of the text that is at its place.
    pub anchor: Anchor,
    /// Size of the font.
    pub size: f64,
    /// Read from below to above.
    pub upright: bool,
    /// The colour.
    pub ink: Color,
}

/// The geometry of a mark.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Separate lines.
    Segments {
        /// Both ends of each.
        ends: Vec<[Point; 2]>,
        /// Their look.
        stroke: Stroke,
    },
    /// Closed outlines.
    Areas {
        /// Corners of each.
        outlines: Vec<Vec<Point>>,
        /// Inside.
        fill: Fill,
        /// Along the edge.
        stroke: Option<Stroke>,
    },
    /// A disc.
    Disc {
        /// Its middle.
        centre: Point,
        /// Its radius.
        radius: f64,
        /// Inside.
        fill: Fill,
        /// Along the edge.
        stroke: Option<Stroke>,
    },
    /// A line of text.
    Text(Text),
}

/// A thing that is drawn, and what it stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Name of its kind, a class in SVG.
    pub class: &'static str,
    /// The geometry.
    pub shape: Shape,
}

/// A picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// Width of the plane.
    pub width: f64,
    /// Height of the plane.
    pub height: f64,
    /// The width at which the picture is shown; its height follows.
    pub shown: f64,
    /// The title, for those who can't see the picture.
    pub title: String,
    /// A description, for those who can't see the picture.
    pub description: String,
    /// The marks, in the order in which they are drawn.
    pub marks: Vec<Mark>,
}

impl Scene {
    pub(crate) fn segments(&mut self, class: &'static str, ends: Vec<[Point; 2]>, stroke: Stroke) {
        if !ends.is_empty() {
            self.marks.push(Mark { class, shape: Shape::Segments { ends, stroke } });
        }
    }

    pub(crate) fn areas(
        &mut self,
        class: &'static str,
        outlines: Vec<Vec<Point>>,
        fill: Fill,
        stroke: Option<Stroke>,
    ) {
        if !outlines.is_empty() {
            self.marks.push(Mark { class, shape: Shape::Areas { outlines, fill, stroke } });
        }
    }

    pub(crate) fn disc(
        &mut self,
        class: &'static str,
        centre: Point,
        radius: f64,
        fill: Fill,
        stroke: Option<Stroke>,
    ) {
        self.marks.push(Mark { class, shape: Shape::Disc { centre, radius, fill, stroke } });
    }

    pub(crate) fn text(&mut self, class: &'static str, text: Text) {
        if !text.content.is_empty() {
            self.marks.push(Mark { class, shape: Shape::Text(text) });
        }
    }
}
