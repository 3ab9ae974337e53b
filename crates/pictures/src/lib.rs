//! Charts of staggered difference-in-differences: plain numbers in, SVG, PNG or text out.
//!
//! [`charts`] make a [`Figure`], which has no size yet; [`scene`] puts it on a page, which [`svg`] and [`png`] write, and
//! [`terminal::draw`] on a grid of characters. All are pure functions: equal numbers are equal bytes.
//!
//! ```
//! use stagger_pictures::charts::{Estimate, EventStudy, Series, event_study};
//!
//! let before = Estimate { at: -1.0, value: 0.01, pointwise: Some([-0.02, 0.04]), ..Estimate::default() };
//! let after = Estimate { at: 0.0, value: -0.05, pointwise: Some([-0.09, -0.01]), post: true, ..Estimate::default() };
//! let series = vec![Series { estimates: vec![before, after], ..Series::default() }];
//! let figure = event_study(&EventStudy { title: "Employment".into(), series, ..EventStudy::default() });
//! assert!(stagger_pictures::svg(&stagger_pictures::scene(&figure, 720.0, 440.0)).starts_with("<svg"));
//! ```

pub mod charts;
mod figure;
mod font;
mod layout;
mod marks;
mod png;
mod render;
mod scene;
mod svg;
pub mod terminal;
mod ticks;

/// The text of a comment in every picture, which viewers do not show: a program that finds it there may replace the file.
pub const MARK: &str = "made by stagger; the next one of this name replaces it";

pub use figure::{
    AreaStyle, Axis, Bar, Coverage, Figure, Hatch, Layer, LegendEntry, LegendSymbol, Marker, MarkerShape,
    Panel, Ticks,
};
pub use font::width as text_width;
pub use png::{MOST_PIXELS, png};
pub use render::scene;
pub use scene::{Anchor, Color, Dash, Fill, Mark, Point, Scene, Shape, Stroke, Text};
pub use svg::{escape, svg};
