//! Lines of coloured characters.

use std::fmt::Write;

use crate::scene::Color;

/// A character and its colour; none is that of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The character that is shown.
    pub symbol: char,
    /// The colour.
    pub ink: Option<Color>,
}

impl Cell {
    pub(crate) const BLANK: Cell = Cell { symbol: ' ', ink: None };
}

/// Lines of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    width: usize,
    rows: Vec<Vec<Cell>>,
}

/// The colours that a terminal is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// None, and no escape code at all.
    None,
    /// Those of the 256.
    Indexed,
    /// All.
    True,
}

impl Grid {
    pub(crate) fn new(width: usize) -> Self {
        Self { width, rows: Vec::new() }
    }

    /// A grid of blanks.
    pub(crate) fn blank(width: usize, height: usize) -> Self {
        Self { width, rows: vec![vec![Cell::BLANK; width]; height] }
    }

    /// Returns the number of lines.
    pub fn height(&self) -> usize {
        self.rows.len()
    }

    /// The lines; each has at most the width asked for.
    pub fn rows(&self) -> &[Vec<Cell>] {
        &self.rows
    }

    pub(crate) fn get(&self, column: usize, row: usize) -> Option<Cell> {
        self.rows.get(row)?.get(column).copied()
    }

    pub(crate) fn put(&mut self, column: usize, row: usize, symbol: char, ink: Option<Color>) {
        if let Some(cell) = self.rows.get_mut(row).and_then(|row| row.get_mut(column)) {
            *cell = Cell { symbol, ink };
        }
    }

    pub(crate) fn put_text(&mut self, column: usize, row: usize, text: &str, ink: Option<Color>) {
        for (offset, symbol) in text.chars().enumerate() {
            self.put(column + offset, row, symbol, ink);
        }
    }

    pub(crate) fn push_blank(&mut self) {
        self.rows.push(Vec::new());
    }

    pub(crate) fn push_centred(&mut self, text: &str, ink: Option<Color>) {
        if !text.is_empty() {
            let blanks = self.width.saturating_sub(text.chars().count()) / 2;
            self.push_line(&format!("{}{text}", " ".repeat(blanks)), ink);
        }
    }

    fn push_line(&mut self, text: &str, ink: Option<Color>) {
        self.rows.push(text.chars().take(self.width).map(|symbol| Cell { symbol, ink }).collect());
    }

    /// A text, broken at blanks.
    pub(crate) fn push_wrapped(&mut self, text: &str, ink: Option<Color>) {
        let mut line = String::new();
        for word in text.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > self.width {
                self.push_line(&std::mem::take(&mut line), ink);
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        if !line.is_empty() {
            self.push_line(&line, ink);
        }
    }

    /// Adds entries of a symbol and a label, as many on each line as fit.
    pub(crate) fn push_legend(&mut self, entries: &[(char, Color, String)]) {
        let mut line: Vec<Cell> = Vec::new();
        for (symbol, ink, label) in entries {
            let size = 2 + label.chars().count();
            if !line.is_empty() && line.len() + 3 + size > self.width {
                self.rows.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.extend([Cell::BLANK; 3]);
            }
            line.push(Cell { symbol: *symbol, ink: Some(*ink) });
            line.push(Cell::BLANK);
            line.extend(label.chars().map(|symbol| Cell { symbol, ink: None }));
            line.truncate(self.width);
        }
        if !line.is_empty() {
            self.rows.push(line);
        }
    }

    /// Grids side by side.
    pub(crate) fn push_abreast(&mut self, grids: &[Grid]) {
        let height = grids.iter().map(Grid::height).max().unwrap_or(0);
        for row in 0..height {
            let mut line = Vec::new();
            for grid in grids {
                line.extend((0..grid.width).map(|column| grid.get(column, row).unwrap_or(Cell::BLANK)));
            }
            line.truncate(self.width);
            self.rows.push(line);
        }
    }

    pub(crate) fn append(&mut self, below: Grid) {
        self.rows.extend(below.rows);
    }

    /// The lines as text, without blanks at their ends.
    pub fn to_text(&self, colours: Colours) -> String {
        let mut text = String::new();
        for row in &self.rows {
            let end = row.iter().rposition(|cell| cell.symbol != ' ').map_or(0, |last| last + 1);
            let mut current = None;
            for cell in &row[..end] {
                let wanted = cell.ink.filter(|_| cell.symbol != ' ').and_then(|ink| code(ink, colours));
                if wanted != current && cell.symbol != ' ' {
                    if current.is_some() {
                        text.push_str("\u{1b}[0m");
                    }
                    text.push_str(wanted.as_deref().unwrap_or_default());
                    current = wanted;
                }
                text.push(cell.symbol);
            }
            if current.is_some() {
                text.push_str("\u{1b}[0m");
            }
            text.push('\n');
        }
        text
    }
}

/// The escape code of a colour. Black is the terminal's own, whatever its ground.
fn code(ink: Color, colours: Colours) -> Option<String> {
    if matches!(ink, Color::Black | Color::White) {
        return None;
    }
    let mut code = String::new();
    match colours {
        Colours::None => return None,
        Colours::True => {
            let [r, g, b] = ink.rgb();
            let _ = write!(code, "\u{1b}[38;2;{r};{g};{b}m");
        }
        Colours::Indexed => {
            let _ = write!(code, "\u{1b}[38;5;{}m", index(ink));
        }
    }
    Some(code)
}

/// The nearest of the 256 colours.
fn index(ink: Color) -> u8 {
    match ink {
        Color::Black | Color::White => 15,
        Color::Grey => 244,
        Color::Pale => 240,
        Color::Blue => 32,
        Color::Vermillion => 166,
        Color::Green => 36,
        Color::Purple => 175,
        Color::Orange => 178,
        Color::Sky => 74,
        Color::Yellow => 227,
    }
}
