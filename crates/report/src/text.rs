//! Pieces of a readable result: numbers, aligned tables, wrapped lines of at most 80 columns.

use stagger_estimator::label;
use stagger_model::result::{Num, SavedResult};

/// Width of a line of text.
const WIDTH: usize = 80;
/// R's decimals.
const DECIMALS: usize = 4;
/// Decimals beyond which numbers are shown with an exponent.
const MOST_DECIMALS: usize = 9;
/// From here on decimals are given up to save width.
const LARGE: f64 = 10_000.0;
/// Heading of the standard errors.
const STD_ERROR: &str = "Std. Error";

/// One line of a table of estimates.
#[derive(Clone, Debug)]
pub struct Row {
    /// The keys of the estimate: group and time, event time, or the aggregation.
    pub keys: Vec<String>,
    /// Estimate, standard error, and both ends of the band.
    pub numbers: [f64; 4],
    /// Said behind the line.
    pub note: String,
}

impl Row {
    /// A line from the result's numbers: estimate, standard error, both ends of the band.
    pub fn new(keys: Vec<String>, numbers: [Num; 4]) -> Self {
        Self { keys, numbers: numbers.map(|number| number.0), note: String::new() }
    }

    /// Returns the same row with a note.
    pub fn with_note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    /// R's star: the band does not cover 0.
    pub(super) fn star(&self) -> &'static str {
        let [_, _, low, high] = self.numbers;
        if low > 0.0 || high < 0.0 { "*" } else { "" }
    }
}

/// A table of estimates with their standard errors and bands.
#[derive(Clone, Debug)]
pub struct Table<'a> {
    /// Headings of the keys.
    pub keys: &'a [&'a str],
    /// Heading of the estimates.
    pub estimate: &'a str,
    /// Heading over both ends of the band.
    pub band: String,
    /// The lines.
    pub rows: Vec<Row>,
}

impl Table<'_> {
    /// Returns the lines of the table.
    pub fn render(&self) -> String {
        let decimals = decimals(&self.rows);
        let cells: Vec<[String; 4]> =
            self.rows.iter().map(|row| row.numbers.map(|x| format_number(x, decimals))).collect();
        let widest = |column: usize| cells.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let estimate = widest(0).max(self.estimate.len());
        let error = widest(1).max(STD_ERROR.len());
        // The heading stands over both ends of the band and the two blanks between them.
        let end = widest(2).max(widest(3)).max((self.band.len() - 1) / 2);
        let band = 2 * end + 2;

        let shapes = self.key_shapes();
        let headings = key_cells(&shapes, self.keys.iter().copied());
        let mut text =
            format!("{headings}  {:>estimate$}  {STD_ERROR:>error$}  {:>band$}\n", self.estimate, self.band);
        for (row, [att, se, low, high]) in self.rows.iter().zip(&cells) {
            let keys = key_cells(&shapes, row.keys.iter().map(String::as_str));
            let line = format!(
                "{keys}  {att:>estimate$}  {se:>error$}  {low:>end$}  {high:>end$}  {:1}  {}",
                row.star(),
                row.note
            );
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// Width of each key, and true where it is a word.
    fn key_shapes(&self) -> Vec<(usize, bool)> {
        let shape = |(column, heading): (usize, &&str)| {
            let cells = self.rows.iter().map(|row| row.keys[column].as_str());
            let width = cells.clone().map(str::len).max().unwrap_or(0).max(heading.len());
            let word = |cell: &str| cell.starts_with(|first: char| first.is_alphabetic());
            (width, cells.into_iter().any(word))
        };
        self.keys.iter().enumerate().map(shape).collect()
    }
}

/// The keys of one line, under their headings: numbers to the right, words to the left.
fn key_cells<'k>(shapes: &[(usize, bool)], keys: impl Iterator<Item = &'k str>) -> String {
    let cell = |(key, &(width, word)): (&str, &(usize, bool))| {
        if word { format!(" {key:<width$}") } else { format!(" {key:>width$}") }
    };
    keys.zip(shapes).map(cell).collect::<Vec<_>>().join(" ")
}

/// A table of texts: the first `left` columns are words, the others numbers.
pub fn text_table(headings: &[&str], left: usize, rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([headings[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let aligned: Vec<String> = cells
            .zip(&widths)
            .enumerate()
            .map(
                |(column, (cell, width))| {
                    if column < left { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                },
            )
            .collect();
        format!(" {}\n", aligned.join("  ").trim_end())
    };
    let mut text = line(&mut headings.iter().copied());
    for row in rows {
        text += &line(&mut row.iter().map(String::as_str));
    }
    text
}

/// Decimals of a table: R's four; more where the standard errors would vanish, fewer where the numbers are large.
/// `None` asks for exponents.
pub(super) fn decimals(rows: &[Row]) -> Option<usize> {
    let mut errors: Vec<f64> =
        rows.iter().map(|row| row.numbers[1]).filter(|se| se.is_finite() && *se > 0.0).collect();
    errors.sort_by(f64::total_cmp);
    let typical = errors.get(errors.len() / 2).copied().unwrap_or(1.0);
    let largest = rows
        .iter()
        .flat_map(|row| row.numbers)
        .filter(|x| x.is_finite())
        .fold(0.0, |a: f64, x| a.max(x.abs()));
    // Three significant digits of a typical standard error.
    let needed = 2.0 - libm::floor(libm::log10(typical));
    let decimals =
        if largest >= LARGE { needed.clamp(0.0, DECIMALS as f64) } else { needed.max(DECIMALS as f64) };
    (decimals <= MOST_DECIMALS as f64 && largest < 1e12).then_some(decimals as usize)
}

/// Returns a number with this number of decimals, `NA` where R has it, and never a negative zero.
pub(super) fn format_number(value: f64, decimals: Option<usize>) -> String {
    if value.is_nan() {
        return "NA".to_owned();
    }
    let text = match decimals {
        Some(decimals) => format!("{value:.decimals$}"),
        None => format!("{value:.3e}"),
    };
    match text.strip_prefix('-') {
        Some(digits) if digits.chars().all(|digit| matches!(digit, '0' | '.')) => digits.to_owned(),
        _ => text,
    }
}

/// A period, group or event time as people write it.
pub fn label(value: Num) -> String {
    label::label(value.0)
}

/// The labels of one table, with the decimals that tell them apart.
pub fn labels(values: &[Num]) -> Vec<String> {
    label::labels(&values.iter().map(|value| value.0).collect::<Vec<f64>>())
}

/// The periods or groups of one table: as they are written, where they are dates.
pub fn written_labels(labels_of: &[String], values: &[Num]) -> Vec<String> {
    if labels_of.len() == values.len() { labels_of.to_vec() } else { labels(values) }
}

/// Reasons of what is missing in a table, numbered in the order in which they appear.
#[derive(Debug, Default)]
pub struct Reasons(Vec<String>);

impl Reasons {
    /// The mark of a line with a reason: `(1)`.
    pub fn mark(&mut self, reason: &str) -> String {
        let known = self.0.iter().position(|known| known == reason);
        let place = known.unwrap_or_else(|| {
            self.0.push(reason.to_owned());
            self.0.len() - 1
        });
        format!("({})", place + 1)
    }

    /// Every reason behind its mark.
    pub fn notes(&self) -> Vec<String> {
        self.0.iter().enumerate().map(|(place, reason)| format!("({}) {reason}", place + 1)).collect()
    }

    /// The lines below a table.
    pub fn lines(&self) -> String {
        self.notes().iter().map(|note| wrapped("", 4, note)).collect()
    }
}

/// The period or group of an estimate as it is written; its number where periods are no dates.
pub fn label_at(labels: &[String], place: usize, value: Num) -> String {
    labels.get(place).cloned().unwrap_or_else(|| label(value))
}

/// A period or cohort of a result as it is written.
pub fn period_label(saved: &SavedResult, value: Num) -> String {
    match &saved.extended.calendar {
        Some(calendar) if value.0.is_finite() => calendar.label(value.0),
        _ => label(value),
    }
}

/// A number with a few significant digits, for sentences.
pub fn significant_digits(value: f64) -> String {
    if value.is_nan() {
        return "NA".to_owned();
    }
    if value != 0.0 && !(1e-4..1e9).contains(&value.abs()) {
        return format!("{value:.3e}");
    }
    let decimals = if value.abs() >= 100.0 { 1 } else { 3 };
    format!("{value:.decimals$}")
}

/// `name  text`, broken at blanks to 80 columns, with the text's lines under each other.
pub fn field(name: &str, text: &str) -> String {
    const NAMES: usize = 20;
    wrapped(&format!("{name:<NAMES$}"), NAMES, text)
}

/// `lead` and the words of `text`, broken at blanks to 80 columns; later lines are indented.
pub fn wrapped(lead: &str, indent: usize, text: &str) -> String {
    let mut lines = String::new();
    let mut line = lead.to_owned();
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push_str(line.trim_end());
            lines.push('\n');
            line = " ".repeat(indent);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    lines.push_str(line.trim_end());
    lines.push('\n');
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(scale: f64) -> String {
        let row = |key: &str, [a, b, c, d]: [f64; 4]| {
            Row::new(vec![key.to_owned()], [a, b, c, d].map(|x| Num(x * scale)))
        };
        let rows = vec![
            row("-1", [0.0, f64::NAN, f64::NAN, f64::NAN]).with_note("(base)"),
            row("0", [-0.0764, 0.0302, -0.157, -0.00421]),
            row("10", [-0.00000001, 0.0302, -0.157, 0.0042]),
        ];
        Table {
            keys: &["Event time"],
            estimate: "Estimate",
            band: "[95% Simult. Conf. Band]".to_owned(),
            rows,
        }
        .render()
    }

    #[test]
    fn columns_are_aligned() {
        insta::assert_snapshot!(table(1.0), @"
        Event time  Estimate  Std. Error  [95% Simult. Conf. Band]
                -1    0.0000          NA           NA           NA     (base)
                 0   -0.0764      0.0302      -0.1570      -0.0042  *
                10    0.0000      0.0302      -0.1570       0.0042
        ");
    }

    #[test]
    fn decimals_follow_the_standard_errors() {
        insta::assert_snapshot!(table(1e-4), @"
        Event time     Estimate  Std. Error  [95% Simult. Conf. Band]
                -1   0.00000000          NA           NA           NA     (base)
                 0  -0.00000764  0.00000302  -0.00001570  -0.00000042  *
                10   0.00000000  0.00000302  -0.00001570   0.00000042
        ");
        insta::assert_snapshot!(table(1e7), @"
        Event time  Estimate  Std. Error  [95% Simult. Conf. Band]
                -1         0          NA           NA           NA     (base)
                 0   -764000      302000     -1570000       -42100  *
                10         0      302000     -1570000        42000
        ");
        insta::assert_snapshot!(table(1e-12), @"
        Event time    Estimate  Std. Error  [95% Simult. Conf. Band]
                -1     0.000e0          NA           NA           NA     (base)
                 0  -7.640e-14   3.020e-14   -1.570e-13   -4.210e-15  *
                10  -1.000e-20   3.020e-14   -1.570e-13    4.200e-15
        ");
    }

    #[test]
    fn words_and_numbers() {
        assert_eq!(label(Num(2004.0)), "2004");
        assert_eq!(label(Num(-0.0)), "0");
        assert_eq!(label(Num(0.25)), "0.25");
        assert_eq!(significant_digits(6.84182), "6.842");
        assert_eq!(significant_digits(0.0), "0.000");
    }

    #[test]
    fn long_texts_are_broken() {
        let text = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen";
        let lines = field("Cohorts:", text);
        assert!(lines.lines().all(|line| line.len() <= WIDTH));
        assert!(lines.lines().nth(1).is_some_and(|line| line.starts_with("                    ")));
    }
}
