//! A picture as PNG.

use tiny_skia::{
    Color as Rgba, FillRule, LineCap, Paint, Path, PathBuilder, Pixmap, Stroke as Pen, StrokeDash, Transform,
};

use crate::scene::{Anchor, Color, Fill, Point, Scene, Shape, Stroke, Text};
use crate::{MARK, font};

/// Pixels along the longer edge beyond which a picture is not drawn: hundreds of megabytes.
pub const MOST_PIXELS: u32 = 10_000;

/// Returns the picture as a PNG file with `pixels` pixels per unit of the page; `None` where it would be empty or too large.
pub fn png(scene: &Scene, pixels: f64) -> Option<Vec<u8>> {
    let shown_height = scene.shown * scene.height / scene.width;
    let (width, height) = (whole(scene.shown * pixels)?, whole(shown_height * pixels)?);
    let mut pixmap = Pixmap::new(width, height)?;
    pixmap.fill(Rgba::WHITE);
    let scale = (scene.shown * pixels / scene.width) as f32;
    let transform = Transform::from_scale(scale, scale);
    for mark in &scene.marks {
        draw(&mut pixmap, &mark.shape, transform);
    }
    pixmap.encode_png().ok().map(marked)
}

/// Bytes of a PNG's signature and its header, which come first.
const HEADER: usize = 8 + 25;

/// The file with [`MARK`] as its comment.
fn marked(mut png: Vec<u8>) -> Vec<u8> {
    let mut chunk = b"tEXtComment\0".to_vec();
    chunk.extend(MARK.as_bytes());
    let length = (chunk.len() as u32 - 4).to_be_bytes();
    let sum = crc(&chunk).to_be_bytes();
    if png.len() > HEADER {
        png.splice(HEADER..HEADER, length.into_iter().chain(chunk).chain(sum));
    }
    png
}

/// The checksum of a chunk (PNG, annex D).
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |mut sum, &byte| {
        sum ^= u32::from(byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 };
        }
        sum
    })
}

fn whole(size: f64) -> Option<u32> {
    let size = size.round();
    (size >= 1.0 && size <= f64::from(MOST_PIXELS)).then_some(size as u32)
}

fn draw(pixmap: &mut Pixmap, shape: &Shape, transform: Transform) {
    match shape {
        Shape::Segments { ends, stroke } => {
            if let Some(path) = path(ends.iter().map(|ends| ends.as_slice()), false) {
                along(pixmap, &path, *stroke, transform);
            }
        }
        Shape::Areas { outlines, fill, stroke } => {
            if let Some(path) = path(outlines.iter().map(Vec::as_slice), true) {
                inside(pixmap, &path, *fill, *stroke, transform);
            }
        }
        Shape::Disc { centre, radius, fill, stroke } => {
            if let Some(path) = PathBuilder::from_circle(centre.x as f32, centre.y as f32, *radius as f32) {
                inside(pixmap, &path, *fill, *stroke, transform);
            }
        }
        Shape::Text(text) => words(pixmap, text, transform),
    }
}

fn path<'a>(lines: impl Iterator<Item = &'a [Point]>, closed: bool) -> Option<Path> {
    let mut builder = PathBuilder::new();
    for line in lines {
        for (place, point) in line.iter().enumerate() {
            let (x, y) = (point.x as f32, point.y as f32);
            if place == 0 {
                builder.move_to(x, y);
            } else {
                builder.line_to(x, y);
            }
        }
        if closed {
            builder.close();
        }
    }
    builder.finish()
}

fn paint(ink: Color, opacity: f64) -> Paint<'static> {
    let [r, g, b] = ink.rgb();
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color_rgba8(r, g, b, (opacity * 255.0).round() as u8);
    paint
}

fn inside(pixmap: &mut Pixmap, path: &Path, fill: Fill, stroke: Option<Stroke>, transform: Transform) {
    pixmap.fill_path(path, &paint(fill.ink, fill.opacity), FillRule::Winding, transform, None);
    if let Some(stroke) = stroke {
        along(pixmap, path, stroke, transform);
    }
}

fn along(pixmap: &mut Pixmap, path: &Path, stroke: Stroke, transform: Transform) {
    let dash = stroke.dash.lengths().and_then(|[on, off]| StrokeDash::new(vec![on as f32, off as f32], 0.0));
    let pen = Pen { width: stroke.width as f32, line_cap: LineCap::Butt, dash, ..Pen::default() };
    pixmap.stroke_path(path, &paint(stroke.ink, 1.0), &pen, transform, None);
}

fn words(pixmap: &mut Pixmap, text: &Text, transform: Transform) {
    let width = font::width(&text.content, text.size);
    let back = match text.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => width / 2.0,
        Anchor::End => width,
    };
    let scale = (text.size / font::units()) as f32;
    let turn = if text.upright { -90.0 } else { 0.0 };
    let place = transform.pre_translate(text.at.x as f32, text.at.y as f32).pre_rotate(turn);
    for (glyph, x) in font::glyphs(&text.content) {
        let mut outline = Outline(PathBuilder::new());
        font::outline(glyph, &mut outline);
        if let Some(path) = outline.0.finish() {
            let right = (x * text.size - back) as f32;
            let place = place.pre_translate(right, 0.0).pre_scale(scale, -scale);
            pixmap.fill_path(&path, &paint(text.ink, 1.0), FillRule::Winding, place, None);
        }
    }
}

/// A glyph's outline as a path.
struct Outline(PathBuilder);

impl ttf_parser::OutlineBuilder for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        self.0.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.0.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.0.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        self.0.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.0.close();
    }
}
