//! Characters for marks, and rectangles in braille.

use crate::figure::{AreaStyle, Coverage, Hatch, Marker, MarkerShape};
use crate::scene::Dash;

/// The set of characters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Letters {
    pub(crate) ascii: bool,
}

impl Letters {
    fn of(self, unicode: char, ascii: char) -> char {
        if self.ascii { ascii } else { unicode }
    }

    pub(crate) fn sign(self, marker: Marker) -> char {
        match (marker.sign, marker.hollow) {
            (MarkerShape::Circle, false) => self.of('●', 'o'),
            (MarkerShape::Circle, true) => self.of('○', 'O'),
            (MarkerShape::Square, false) => self.of('■', '#'),
            (MarkerShape::Square, true) => self.of('□', 'H'),
            (MarkerShape::Triangle, false) => self.of('▲', 'A'),
            (MarkerShape::Triangle, true) => self.of('△', '^'),
            (MarkerShape::Diamond, false) => self.of('◆', '*'),
            (MarkerShape::Diamond, true) => self.of('◇', 'v'),
            (MarkerShape::Cross, _) => self.of('×', 'x'),
        }
    }

    pub(crate) fn faint(self) -> char {
        self.of('·', '.')
    }

    pub(crate) fn interval(self, cover: Coverage) -> char {
        match cover {
            Coverage::Pointwise => self.of('┃', '|'),
            Coverage::Uniform => self.of('│', ':'),
        }
    }

    /// The ends of an interval that reach half a line: upper end, lower end.
    pub(crate) fn halves(self, cover: Coverage) -> [char; 2] {
        match cover {
            Coverage::Pointwise => [self.of('╻', '|'), self.of('╹', '|')],
            Coverage::Uniform => [self.of('╷', ':'), self.of('╵', ':')],
        }
    }

    pub(crate) fn rule(self, level: bool, dash: Dash) -> char {
        match (level, dash) {
            (true, Dash::Solid) => self.of('─', '-'),
            (true, _) => self.of('┄', '-'),
            (false, Dash::Solid) => self.of('│', '|'),
            (false, Dash::Dashed) => self.of('┆', '!'),
            (false, Dash::Dotted) => self.of('┊', '\''),
        }
    }

    pub(crate) fn area(self, tint: AreaStyle) -> char {
        match (tint.letter, tint.hatch) {
            (Some(letter), _) => letter,
            (None, Hatch::Plain) => self.of('⣿', '#'),
            (None, _) => self.of('⢕', '%'),
        }
    }

    /// Left edge, tick of y, corner, floor, tick of x.
    pub(crate) fn axes(self) -> [char; 5] {
        if self.ascii { ['|', '+', '+', '-', '+'] } else { ['│', '┤', '└', '─', '┬'] }
    }

    /// A text in the letters that there are.
    pub(crate) fn text(self, text: &str) -> String {
        if !self.ascii {
            return text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        }
        let mut out = String::new();
        for letter in text.chars() {
            match letter {
                '\u{2212}' | '–' | '—' => out.push('-'),
                '±' => out.push_str("+/-"),
                '…' => out.push_str("..."),
                '×' => out.push('x'),
                '’' => out.push('\''),
                letter if letter.is_ascii_graphic() => out.push(letter),
                letter if letter.is_ascii() || letter.is_whitespace() => out.push(' '),
                _ => out.push('?'),
            }
        }
        out
    }
}

/// Dots of a grid of characters, two abreast and four above each other in each.
#[derive(Clone, Debug)]
pub(crate) struct Dots {
    width: usize,
    cells: Vec<u8>,
}

/// The dots' bits by line and column.
const BITS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];

impl Dots {
    pub(crate) fn new(width: usize, height: usize) -> Self {
        Self { width, cells: vec![0; width * height] }
    }

    /// Sets the dot in that column and line of dots.
    pub(crate) fn set(&mut self, x: usize, y: usize) {
        let (column, row) = (x / 2, y / 4);
        if column < self.width
            && let Some(cell) = self.cells.get_mut(row * self.width + column)
        {
            *cell |= BITS[y % 4][x % 2];
        }
    }

    /// Characters that have dots, by column and row.
    pub(crate) fn symbols(&self) -> impl Iterator<Item = (usize, usize, char)> {
        self.cells.iter().enumerate().filter(|(_, bits)| **bits != 0).map(|(place, bits)| {
            let symbol = char::from_u32(0x2800 + u32::from(*bits)).unwrap_or('#');
            (place % self.width, place / self.width, symbol)
        })
    }
}
