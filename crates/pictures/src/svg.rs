//! A picture as SVG.

use std::fmt::Write;

use crate::MARK;
use crate::font::FAMILIES;
use crate::scene::{Anchor, Fill, Mark, Point, Scene, Shape, Stroke, Text};

/// The picture as an SVG file.
pub fn svg(scene: &Scene) -> String {
    let (width, height) = (scene.shown, scene.shown * scene.height / scene.width);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" viewBox=\"0 0 {} {}\" role=\"img\" \
         font-family=\"{FAMILIES}\">\n<metadata>{MARK}</metadata>\n<title>{}</title>\n<desc>{}</desc>\n",
        number(width),
        number(height),
        number(scene.width),
        number(scene.height),
        escape(&scene.title),
        escape(&scene.description),
    );
    for mark in &scene.marks {
        draw(&mut out, mark);
    }
    out.push_str("</svg>\n");
    out
}

fn draw(out: &mut String, mark: &Mark) {
    match &mark.shape {
        Shape::Segments { ends, stroke } => {
            let path: String = ends
                .iter()
                .map(|[a, b]| format!("M{} {}L{} {}", number(a.x), number(a.y), number(b.x), number(b.y)))
                .collect();
            put(out, &format!("<path d=\"{path}\" fill=\"none\""), mark.class, None, Some(*stroke));
        }
        Shape::Areas { outlines, fill, stroke } => {
            let path: String = outlines.iter().map(|outline| closed(outline)).collect();
            put(out, &format!("<path d=\"{path}\""), mark.class, Some(*fill), *stroke);
        }
        Shape::Disc { centre, radius, fill, stroke } => {
            let head = format!(
                "<circle cx=\"{}\" cy=\"{}\" r=\"{}\"",
                number(centre.x),
                number(centre.y),
                number(*radius)
            );
            put(out, &head, mark.class, Some(*fill), *stroke);
        }
        Shape::Text(text) => words(out, mark.class, text),
    }
}

fn closed(outline: &[Point]) -> String {
    let corners: Vec<String> = outline.iter().map(|p| format!("{} {}", number(p.x), number(p.y))).collect();
    format!("M{}Z", corners.join("L"))
}

/// An element with its class and look. Colours are attributes for programs that know no style sheet, and classes for pages.
fn put(out: &mut String, head: &str, class: &str, fill: Option<Fill>, stroke: Option<Stroke>) {
    let mut classes = class.to_owned();
    let mut look = String::new();
    if let Some(fill) = fill {
        let _ = write!(classes, " f-{}", fill.ink.name());
        let _ = write!(look, " fill=\"{}\"", hex(fill.ink.rgb()));
        if fill.opacity < 1.0 {
            let _ = write!(look, " fill-opacity=\"{}\"", number(fill.opacity));
        }
    }
    if let Some(stroke) = stroke {
        let _ = write!(classes, " s-{}", stroke.ink.name());
        let _ =
            write!(look, " stroke=\"{}\" stroke-width=\"{}\"", hex(stroke.ink.rgb()), number(stroke.width));
        if let Some([on, off]) = stroke.dash.lengths() {
            let _ = write!(look, " stroke-dasharray=\"{} {}\"", number(on), number(off));
        }
    }
    let _ = writeln!(out, "{head} class=\"{classes}\"{look}/>");
}

fn words(out: &mut String, class: &str, text: &Text) {
    let anchor = match text.anchor {
        Anchor::Start => "",
        Anchor::Middle => " text-anchor=\"middle\"",
        Anchor::End => " text-anchor=\"end\"",
    };
    let (x, y) = (number(text.at.x), number(text.at.y));
    let turned = if text.upright { format!(" transform=\"rotate(-90 {x} {y})\"") } else { String::new() };
    let _ = writeln!(
        out,
        "<text x=\"{x}\" y=\"{y}\" class=\"{class} f-{}\" font-size=\"{}\" fill=\"{}\"{anchor}{turned}>{}</text>",
        text.ink.name(),
        number(text.size),
        hex(text.ink.rgb()),
        escape(&text.content)
    );
}

fn hex([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Text in XML; control characters, which it can't hold, become blanks.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            letter if letter.is_control() => out.push(' '),
            letter => out.push(letter),
        }
    }
    out
}
