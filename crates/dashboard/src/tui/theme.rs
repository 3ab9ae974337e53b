//! Colours and signs. A colour never says anything alone: every state has a sign of its own, in ASCII too.

use ratatui::style::{Color as TerminalColor, Modifier, Style};
use stagger_model::error::FailureClass;
use stagger_pictures::Color;

use crate::view::{AttemptSpan, CellState, Level, Outcome};

/// The number of colours that the terminal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colors {
    /// None: signs and weight alone.
    None,
    /// The terminal's own sixteen.
    Sixteen,
    /// The 256 of xterm.
    Indexed,
    /// Any.
    True,
}

/// A colour of Okabe and Ito (2008), told apart with every kind of colour vision, with its nearest in smaller palettes.
#[derive(Clone, Copy, Debug)]
struct Hue(u8, u8, u8, u8, TerminalColor);

const ORANGE: Hue = Hue(230, 159, 0, 214, TerminalColor::Yellow);
const SKY: Hue = Hue(86, 180, 233, 74, TerminalColor::Cyan);
const GREEN: Hue = Hue(0, 158, 115, 36, TerminalColor::Green);
const YELLOW: Hue = Hue(240, 228, 66, 227, TerminalColor::LightYellow);
const BLUE: Hue = Hue(0, 114, 178, 32, TerminalColor::Blue);
const VERMILION: Hue = Hue(213, 94, 0, 166, TerminalColor::Red);
const PURPLE: Hue = Hue(204, 121, 167, 175, TerminalColor::Magenta);
const GREY: Hue = Hue(140, 140, 140, 245, TerminalColor::DarkGray);

/// The colours that stages take in turn.
const STAGES: [Hue; 7] = [SKY, ORANGE, GREEN, PURPLE, BLUE, YELLOW, VERMILION];

/// Colours and signs of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    /// The number of colours.
    pub colors: Colors,
    /// Only characters that every terminal has.
    pub ascii: bool,
}

impl Theme {
    /// Returns the theme that the environment asks for (no-color.org; `COLORTERM`, `TERM`, locale).
    pub fn detect(get: impl Fn(&str) -> Option<String>) -> Self {
        let said = |name: &str| get(name).filter(|value| !value.is_empty());
        let term = said("TERM").unwrap_or_default();
        let colors = if said("NO_COLOR").is_some() || term == "dumb" {
            Colors::None
        } else if said("COLORTERM").is_some_and(|value| value == "truecolor" || value == "24bit") {
            Colors::True
        } else if term.contains("256color") {
            Colors::Indexed
        } else {
            Colors::Sixteen
        };
        let locale = said("LC_ALL").or_else(|| said("LC_CTYPE")).or_else(|| said("LANG")).unwrap_or_default();
        let unicode = locale.to_lowercase().replace('-', "").contains("utf8");
        Self { colors, ascii: !unicode }
    }

    fn hue(self, hue: Hue) -> Style {
        let Hue(r, g, b, index, ansi) = hue;
        match self.colors {
            Colors::None => Style::new(),
            Colors::Sixteen => Style::new().fg(ansi),
            Colors::Indexed => Style::new().fg(TerminalColor::Indexed(index)),
            Colors::True => Style::new().fg(TerminalColor::Rgb(r, g, b)),
        }
    }

    /// Returns the style of what went well.
    pub fn good(self) -> Style {
        self.hue(GREEN)
    }

    /// Returns the style of what a person should know.
    pub fn warning(self) -> Style {
        self.hue(ORANGE).add_modifier(Modifier::BOLD)
    }

    /// Returns the style of failures.
    pub fn bad(self) -> Style {
        self.hue(VERMILION).add_modifier(Modifier::BOLD)
    }

    /// Returns the style of what is chosen or stands out.
    pub fn accent(self) -> Style {
        self.hue(SKY)
    }

    /// Returns the style of text that matters less.
    pub fn faint(self) -> Style {
        match self.colors {
            Colors::None => Style::new().add_modifier(Modifier::DIM),
            _ => self.hue(GREY),
        }
    }

    /// Returns the style of titles.
    pub fn title(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The pane or row that has the keys.
    pub fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// A colour of a chart.
    pub fn ink(self, ink: Color) -> Style {
        match ink {
            Color::Black | Color::White => Style::new(),
            Color::Grey | Color::Pale => self.faint(),
            Color::Blue => self.hue(BLUE),
            Color::Vermillion => self.hue(VERMILION),
            Color::Green => self.hue(GREEN),
            Color::Purple => self.hue(PURPLE),
            Color::Orange => self.hue(ORANGE),
            Color::Sky => self.hue(SKY),
            Color::Yellow => self.hue(YELLOW),
        }
    }

    /// A stage, by its place in the run.
    pub fn stage(self, index: usize) -> Style {
        self.hue(STAGES[index % STAGES.len()])
    }

    /// The sign of a stage: its letter, so that stages are told apart without colour.
    pub fn stage_sign(self, name: &str) -> char {
        name.chars().find(char::is_ascii_alphabetic).unwrap_or('?')
    }

    /// Returns the sign and the style of an attempt in its lane.
    pub fn span(self, span: &AttemptSpan, name: &str) -> (char, Style) {
        let stage = self.stage(span.stage);
        let pick = |plain: char, fine: char| if self.ascii { plain } else { fine };
        match span.outcome {
            Outcome::Failed(FailureClass::Throttled) => (pick('t', '◌'), self.faint()),
            Outcome::Failed(_) => (pick('x', '✗'), self.bad()),
            Outcome::Abandoned => (pick('!', '‡'), self.faint()),
            Outcome::Running if span.backup => (pick('B', '»'), stage.add_modifier(Modifier::BOLD)),
            Outcome::Done if span.backup => (pick('b', '»'), stage),
            _ if span.again => (pick('r', '↻'), stage),
            Outcome::Running => {
                (self.stage_sign(name).to_ascii_uppercase(), stage.add_modifier(Modifier::BOLD))
            }
            Outcome::Done => (self.stage_sign(name).to_ascii_lowercase(), stage),
        }
    }

    /// Returns the sign and the style of a cell in the grid.
    pub fn cell(self, cell: CellState) -> (&'static str, Style) {
        let pick = |plain: &'static str, fine: &'static str| if self.ascii { plain } else { fine };
        match cell {
            CellState::Pending => (pick(".", "·"), self.faint()),
            CellState::Running => (pick("~", "◐"), self.accent()),
            CellState::PointEstimate { .. } => (pick("o", "○"), self.accent()),
            CellState::Failed => (pick("x", "✗"), self.bad()),
            CellState::Reference => (pick("=", "═"), self.faint()),
            CellState::NoControls => (pick("/", "∅"), self.faint()),
            CellState::Done { .. } => match cell.significance() {
                Some(1) => (pick("+", "▲"), self.good().add_modifier(Modifier::BOLD)),
                Some(-1) => (pick("-", "▼"), self.bad()),
                _ => (pick("0", "●"), Style::new()),
            },
        }
    }

    /// Returns the sign and the style of a line in the log.
    pub fn level(self, level: Level) -> (&'static str, Style) {
        match level {
            Level::Info => (" ", Style::new()),
            Level::Warning => ("!", self.warning()),
            Level::Error => (if self.ascii { "X" } else { "✗" }, self.bad()),
        }
    }

    /// A bar of `width` characters, `share` of it full.
    pub fn bar(self, share: f64, width: usize) -> String {
        let full = (share.clamp(0.0, 1.0) * width as f64).round() as usize;
        let (on, off) = if self.ascii { ("#", "-") } else { ("█", "░") };
        on.repeat(full) + &off.repeat(width - full)
    }

    /// Heights of a row of values, against the largest one.
    pub fn sparkline(self, values: &[f64], most: f64) -> String {
        let signs: &[char] = if self.ascii {
            &[' ', '.', ':', '-', '=', '+', '*', '#']
        } else {
            &[' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']
        };
        let sign = |&value: &f64| {
            let height = if most > 0.0 { (value / most).clamp(0.0, 1.0) } else { 0.0 };
            // What is not nothing is seen.
            let level = libm::ceil(height * (signs.len() - 1) as f64) as usize;
            signs[level]
        };
        values.iter().map(sign).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detected(variables: &[(&str, &str)]) -> Theme {
        let get =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned());
        Theme::detect(get)
    }

    #[test]
    fn the_terminal_is_known_by_its_environment() {
        let of = |variables: &[(&str, &str)]| {
            let theme = detected(variables);
            (theme.colors, theme.ascii)
        };
        assert_eq!(of(&[]), (Colors::Sixteen, true));
        assert_eq!(of(&[("TERM", "xterm-256color"), ("LANG", "en_US.UTF-8")]), (Colors::Indexed, false));
        assert_eq!(of(&[("COLORTERM", "truecolor"), ("LANG", "C.utf8")]), (Colors::True, false));
        assert_eq!(of(&[("COLORTERM", "truecolor"), ("NO_COLOR", "1")]).0, Colors::None);
        assert_eq!(of(&[("TERM", "xterm"), ("NO_COLOR", "")]).0, Colors::Sixteen);
        assert_eq!(of(&[("LANG", "en_US.UTF-8"), ("LC_ALL", "C")]), (Colors::Sixteen, true));
    }

    #[test]
    fn every_state_of_a_cell_has_a_sign_of_its_own() {
        let done = |lower: f64, upper: f64| CellState::Done { att: 0.0, se: 1.0, lower, upper };
        let states = [
            CellState::Pending,
            CellState::Running,
            CellState::PointEstimate { att: 1.0 },
            CellState::Failed,
            CellState::Reference,
            CellState::NoControls,
            done(1.0, 2.0),
            done(-2.0, -1.0),
            done(-1.0, 1.0),
        ];
        for ascii in [true, false] {
            let theme = Theme { colors: Colors::None, ascii };
            let mut signs: Vec<&str> = states.iter().map(|state| theme.cell(*state).0).collect();
            assert!(!ascii || signs.iter().all(|sign| sign.is_ascii()));
            signs.sort_unstable();
            signs.dedup();
            assert_eq!(signs.len(), states.len(), "{signs:?}");
        }
    }

    #[test]
    fn bars_and_sparklines_have_their_width() {
        let theme = Theme { colors: Colors::None, ascii: true };
        assert_eq!(theme.bar(0.5, 4), "##--");
        assert_eq!(theme.bar(7.0, 3), "###");
        assert_eq!(theme.sparkline(&[0.0, 0.01, 1.0], 1.0), " .#");
    }
}
