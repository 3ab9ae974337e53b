//! The bundled font: Liberation Sans, whose letters are as wide as those of Arial and Helvetica, so that texts have the widths
//! measured here on machines without it too.

use std::sync::LazyLock;

use ttf_parser::{Face, GlyphId};

const FILE: &[u8] = include_bytes!("../fonts/LiberationSans-Regular.ttf");

/// The font; `None` would be a broken build, and then texts are left out and measured roughly.
static FACE: LazyLock<Option<Face<'static>>> = LazyLock::new(|| Face::parse(FILE, 0).ok());

/// Families in SVG: the bundled one, those of the same widths, any.
pub(crate) const FAMILIES: &str = "Liberation Sans, Arimo, Helvetica, Arial, sans-serif";

/// Height of capitals, in sizes.
pub(crate) const CAPITALS: f64 = 0.716;
/// The distance from one base line to the next, in sizes.
pub(crate) const LEADING: f64 = 1.3;

/// Width of letters that the font lacks, in sizes: that of the widest scripts.
const UNKNOWN: f64 = 1.0;

/// Glyphs of a line of text with the place of each to the right of its start, in sizes.
pub(crate) fn glyphs(text: &str) -> impl Iterator<Item = (GlyphId, f64)> {
    let mut x = 0.0;
    text.chars().map(move |letter| {
        let place = x;
        let (glyph, width) = advance(letter);
        x += width;
        (glyph, place)
    })
}

fn advance(letter: char) -> (GlyphId, f64) {
    let Some(face) = FACE.as_ref() else {
        return (GlyphId(0), UNKNOWN);
    };
    match face.glyph_index(letter) {
        Some(glyph) => {
            let units = face.glyph_hor_advance(glyph).unwrap_or(0);
            (glyph, f64::from(units) / f64::from(face.units_per_em()))
        }
        None => (GlyphId(0), UNKNOWN),
    }
}

/// Draws a glyph's outline into `builder`, in units of which [`units`] make a size.
pub(crate) fn outline(glyph: GlyphId, builder: &mut dyn ttf_parser::OutlineBuilder) {
    if let Some(face) = FACE.as_ref() {
        face.outline_glyph(glyph, builder);
    }
}

/// Units of outlines in a size.
pub(crate) fn units() -> f64 {
    FACE.as_ref().map_or(1.0, |face| f64::from(face.units_per_em()))
}

/// Width of a line of text.
pub fn width(text: &str, size: f64) -> f64 {
    text.chars().map(|letter| advance(letter).1).sum::<f64>() * size
}

/// Breaks a text at blanks to lines of at most `room`; words that are wider are cut.
pub(crate) fn wrap(text: &str, size: f64, room: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if line.is_empty() || width(&longer, size) <= room {
            line = longer;
        } else {
            lines.push(std::mem::replace(&mut line, word.to_owned()));
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines.iter().map(|line| cut(line, size, room)).collect()
}

/// The text, or its beginning and an ellipsis where there is not enough room.
pub(crate) fn cut(text: &str, size: f64, room: f64) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = width("…", size);
    for letter in text.chars() {
        used += advance(letter).1 * size;
        if used > room {
            break;
        }
        kept.push(letter);
    }
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_those_of_helvetica() {
        // From Adobe's metrics: H 722, e 556, l 222, o 556; digits 556.
        assert!((width("Hello", 1.0) - 2.278).abs() < 0.002);
        assert!((width("2004", 10.0) - 22.24).abs() < 0.02);
    }

    #[test]
    fn lines_fit() {
        let text =
            "the effect on employment of a minimum wage that rises in some states before it does in others";
        let lines = wrap(text, 12.0, 150.0);
        assert!(lines.len() > 3 && lines.iter().all(|line| width(line, 12.0) <= 150.0));
        assert_eq!(lines.join(" "), text);
        assert!(width(&cut(text, 12.0, 60.0), 12.0) <= 60.0);
    }
}
