//! Functions of text. Other types become text as by `as.character`, as in R.

use arrow_array::builder::StringBuilder;
use arrow_array::{Array, StringArray};
use regex::RegexBuilder;
use stagger_model::calendar::{UNIX_EPOCH_DAY, format_iso_date};

use super::{Call, Found};
use crate::expression::error::ExpressionError;
use crate::expression::evaluate::{at, wrong_type};
use crate::expression::values::{DAY, Values};

/// The largest compiled pattern, in bytes.
const LARGEST_PATTERN: usize = 1 << 20;

/// Returns values as text.
pub(super) fn texts(values: &Values) -> StringArray {
    match values {
        Values::Text(texts) => texts.clone(),
        Values::Missing(rows) => StringArray::new_null(*rows),
        Values::Logical(values) => {
            values.iter().map(|v| v.map(|v| if v { "TRUE" } else { "FALSE" })).collect()
        }
        Values::Integer(values) => values.iter().map(|v| v.map(|v| v.to_string())).collect(),
        Values::Number(values) => values.iter().map(|v| (!v.is_nan()).then(|| number_text(*v, 15))).collect(),
        Values::Date(days) => days.iter().map(|day| day.map(|day| date_text(i64::from(day)))).collect(),
        Values::Instant(times) => times.iter().map(|time| time.map(time_text)).collect(),
    }
}

fn date_text(day: i64) -> String {
    format_iso_date(day + UNIX_EPOCH_DAY)
}

fn time_text(time: i64) -> String {
    let seconds = time.rem_euclid(DAY) / 1000;
    let day = date_text(time.div_euclid(DAY));
    match seconds {
        0 => day,
        _ => format!("{day} {:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}

/// Returns a number as R writes it: with as many of `digits` significant digits as it needs, and with an exponent where
/// that is shorter.
pub(super) fn number_text(value: f64, digits: usize) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "Inf".to_owned() } else { "-Inf".to_owned() };
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let full = format!("{value:.*e}", digits - 1);
    let wanted: f64 = full.parse().unwrap_or(value);
    let shortest = (0..digits).find_map(|places| {
        let text = format!("{value:.places$e}");
        (text.parse::<f64>() == Ok(wanted)).then_some(text)
    });
    let text = shortest.unwrap_or(full);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let places = mantissa.split_once('.').map_or(0, |(_, decimals)| decimals.len() as i32);
    let fixed = format!("{wanted:.*}", usize::try_from(places - exponent).unwrap_or(0));
    let sign = if exponent < 0 { '-' } else { '+' };
    let scientific = format!("{mantissa}e{sign}{:02}", exponent.abs());
    if fixed.len() <= scientific.len() { fixed } else { scientific }
}

fn map(call: &Call<'_>, change: impl Fn(&str) -> String) -> Found<Values> {
    let texts = texts(call.get("x").1);
    Ok(Values::Text(texts.iter().map(|text| text.map(&change)).collect()))
}

pub(super) fn as_character(call: &Call<'_>) -> Found<Values> {
    Ok(Values::Text(texts(call.get("x").1)))
}

pub(super) fn to_lower(call: &Call<'_>) -> Found<Values> {
    map(call, str::to_lowercase)
}

pub(super) fn to_upper(call: &Call<'_>) -> Found<Values> {
    map(call, str::to_uppercase)
}

pub(super) fn trim(call: &Call<'_>) -> Found<Values> {
    map(call, |text| text.trim_matches([' ', '\t', '\r', '\n']).to_owned())
}

pub(super) fn nchar(call: &Call<'_>) -> Found<Values> {
    let texts = texts(call.get("x").1);
    // R counts the two letters of NA in other types, and says that the length of a missing text is 2; here it is missing.
    Ok(Values::Integer(texts.iter().map(|text| text.map(|text| text.chars().count() as i64)).collect()))
}

pub(super) fn substr(call: &Call<'_>) -> Found<Values> {
    let texts = texts(call.get("x").1);
    let bound = |name: &str| {
        let (node, values) = call.get(name);
        values.numbers().ok_or_else(|| wrong_type(node, "numbers", values))
    };
    let (start, stop) = (bound("start")?, bound("stop")?);
    let mut out = StringBuilder::new();
    for row in 0..texts.len() {
        let (first, last) = (at(&start, row), at(&stop, row));
        let part = texts.is_valid(row).then(|| {
            let skip = (first.max(1.0) - 1.0) as usize;
            let count = (last - first.max(1.0) + 1.0).max(0.0) as usize;
            texts.value(row).chars().skip(skip).take(count).collect::<String>()
        });
        out.append_option(part.filter(|_| !first.is_nan() && !last.is_nan()));
    }
    Ok(Values::Text(out.finish()))
}

fn against(call: &Call<'_>, other: &str, test: impl Fn(&str, &str) -> bool) -> Found<Values> {
    let (a, b) = (texts(call.get("x").1), texts(call.get(other).1));
    let one = |texts: &StringArray, row: usize| {
        let row = if texts.len() == 1 { 0 } else { row };
        texts.is_valid(row).then(|| texts.value(row).to_owned())
    };
    let rows = if a.len() == 1 { b.len() } else { a.len() };
    Ok(Values::Logical((0..rows).map(|row| Some(test(&one(&a, row)?, &one(&b, row)?))).collect()))
}

pub(super) fn starts_with(call: &Call<'_>) -> Found<Values> {
    against(call, "prefix", |text, prefix| text.starts_with(prefix))
}

pub(super) fn ends_with(call: &Call<'_>) -> Found<Values> {
    against(call, "suffix", |text, suffix| text.ends_with(suffix))
}

pub(super) fn grepl(call: &Call<'_>) -> Found<Values> {
    let pattern = call.constant_text("pattern")?.unwrap_or_default();
    let pattern = if call.flag("fixed", false)? { regex::escape(&pattern) } else { pattern };
    let mut builder = RegexBuilder::new(&pattern);
    builder.size_limit(LARGEST_PATTERN).case_insensitive(call.flag("ignore.case", false)?);
    let found = builder.build().map_err(|error| {
        let (node, _) = call.get("pattern");
        let why = error.to_string();
        let why = why.lines().last().unwrap_or_default().trim().to_owned();
        ExpressionError::new(node.position, node.length, format!("not a pattern: {why}"))
            .hint("fixed = TRUE looks for the text as it stands")
    })?;
    let texts = texts(call.get("x").1);
    // As in R, a missing text does not match.
    Ok(Values::Logical(
        texts.iter().map(|text| Some(text.is_some_and(|text| found.is_match(text)))).collect(),
    ))
}

pub(super) fn paste0(call: &Call<'_>) -> Found<Values> {
    joined(call, "")
}

pub(super) fn paste(call: &Call<'_>) -> Found<Values> {
    let between = call.constant_text("sep")?.unwrap_or_else(|| " ".to_owned());
    joined(call, &between)
}

/// Joins the arguments of each row. Missing values are the text `NA`, as in R.
fn joined(call: &Call<'_>, between: &str) -> Found<Values> {
    let parts: Vec<StringArray> = call.rest.iter().map(|(_, values)| texts(values)).collect();
    let rows = parts.iter().map(StringArray::len).find(|rows| *rows != 1).unwrap_or(1);
    let mut out = StringBuilder::new();
    let mut text = String::new();
    for row in 0..rows {
        text.clear();
        for (place, part) in parts.iter().enumerate() {
            if place > 0 {
                text.push_str(between);
            }
            let own = if part.len() == 1 { 0 } else { row };
            text.push_str(if part.is_valid(own) { part.value(own) } else { "NA" });
        }
        out.append_value(&text);
    }
    Ok(Values::Text(out.finish()))
}

/// A piece of a format: text as it stands, or a conversion with its flags, width, precision and letter.
enum Piece {
    Plain(String),
    Conversion { flags: String, width: usize, precision: Option<usize>, letter: char },
}

pub(super) fn sprintf(call: &Call<'_>) -> Found<Values> {
    let format = call.constant_text("fmt")?.unwrap_or_default();
    let (node, _) = call.get("fmt");
    let wrong = |message: String| {
        ExpressionError::new(node.position, node.length, message).hint("%d %i %f %e %g %s and %% are known")
    };
    let pieces =
        pieces(&format).ok_or_else(|| wrong("the format has a conversion that is not known".to_owned()))?;
    let wanted = pieces.iter().filter(|piece| matches!(piece, Piece::Conversion { .. })).count();
    if wanted != call.rest.len() {
        return Err(wrong(format!(
            "the format has {wanted} conversions, but {} values follow",
            call.rest.len()
        )));
    }
    let rows = call.rest.iter().map(|(_, values)| values.len()).find(|rows| *rows != 1).unwrap_or(1);
    let mut columns = Vec::new();
    for (place, letter) in letters(&pieces).enumerate() {
        let (node, values) = &call.rest[place];
        columns.push(match letter {
            's' => Argument::Text(texts(values)),
            _ => Argument::Number(values.numbers().ok_or_else(|| wrong_type(node, "numbers", values))?),
        });
    }
    let mut out = StringBuilder::new();
    for row in 0..rows {
        out.append_value(formatted(&pieces, &columns, row));
    }
    Ok(Values::Text(out.finish()))
}

enum Argument {
    Text(StringArray),
    Number(Vec<f64>),
}

fn letters(pieces: &[Piece]) -> impl Iterator<Item = char> {
    pieces.iter().filter_map(|piece| match piece {
        Piece::Conversion { letter, .. } => Some(*letter),
        Piece::Plain(_) => None,
    })
}

fn pieces(format: &str) -> Option<Vec<Piece>> {
    let mut out = Vec::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push(Piece::Plain(rest[..at].to_owned()));
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            out.push(Piece::Plain("%".to_owned()));
            rest = after;
            continue;
        }
        let span = |text: &str, keep: fn(char) -> bool| text.len() - text.trim_start_matches(keep).len();
        let flags = span(rest, |c| "-+ 0".contains(c));
        let width = flags + span(&rest[flags..], |c| c.is_ascii_digit());
        let dot = usize::from(rest[width..].starts_with('.'));
        let end = width + dot + span(&rest[width + dot..], |c| c.is_ascii_digit());
        let letter = rest[end..].chars().next().filter(|letter| "difegs".contains(*letter))?;
        let number = |text: &str| text.parse::<usize>().ok().filter(|n| *n < 200);
        out.push(Piece::Conversion {
            flags: rest[..flags].to_owned(),
            width: if width > flags { number(&rest[flags..width])? } else { 0 },
            precision: if dot == 1 { Some(number(&rest[width + 1..end]).unwrap_or(0)) } else { None },
            letter,
        });
        rest = &rest[end + 1..];
    }
    out.push(Piece::Plain(rest.to_owned()));
    Some(out)
}

/// Formats a row. Missing values are the text `NA`, as in R.
fn formatted(pieces: &[Piece], columns: &[Argument], row: usize) -> String {
    let mut out = String::new();
    let mut columns = columns.iter();
    for piece in pieces {
        let (flags, width, precision, letter) = match piece {
            Piece::Plain(text) => {
                out.push_str(text);
                continue;
            }
            Piece::Conversion { flags, width, precision, letter } => (flags, *width, *precision, *letter),
        };
        let Some(column) = columns.next() else { continue };
        let body = match column {
            Argument::Text(texts) => {
                let own = if texts.len() == 1 { 0 } else { row };
                let text = if texts.is_valid(own) { texts.value(own) } else { "NA" };
                text.chars().take(precision.unwrap_or(usize::MAX)).collect()
            }
            Argument::Number(values) => match at(values, row) {
                value if value.is_nan() => {
                    pad(&mut out, "NA", flags, width, 's');
                    continue;
                }
                value => number(value, flags, precision, letter),
            },
        };
        pad(&mut out, &body, flags, width, letter);
    }
    out
}

fn number(value: f64, flags: &str, precision: Option<usize>, letter: char) -> String {
    let places = precision.unwrap_or(6);
    let body = match letter {
        'd' | 'i' => format!("{:.0}", value.trunc()),
        'f' => format!("{value:.places$}"),
        'e' => with_exponent(&format!("{value:.places$e}")),
        _ => number_text(value, places.max(1)),
    };
    let sign = if flags.contains('+') {
        "+"
    } else if flags.contains(' ') {
        " "
    } else {
        ""
    };
    if value >= 0.0 { format!("{sign}{body}") } else { body }
}

/// Writes an exponent with a sign and two digits at least.
fn with_exponent(text: &str) -> String {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

fn pad(out: &mut String, body: &str, flags: &str, width: usize, letter: char) {
    let missing = width.saturating_sub(body.chars().count());
    if flags.contains('-') {
        out.push_str(body);
        out.extend(std::iter::repeat_n(' ', missing));
    } else if flags.contains('0') && letter != 's' {
        let sign = body.len() - body.trim_start_matches(['-', '+', ' ']).len();
        out.push_str(&body[..sign]);
        out.extend(std::iter::repeat_n('0', missing));
        out.push_str(&body[sign..]);
    } else {
        out.extend(std::iter::repeat_n(' ', missing));
        out.push_str(body);
    }
}

#[cfg(test)]
mod tests {
    use super::number_text;

    #[test]
    fn numbers_are_written_as_r_writes_them() {
        // as.character(c(…)) in R 4.4.
        for (value, text) in [
            (1.0, "1"),
            (0.1, "0.1"),
            (100_000.0, "1e+05"),
            (123_456.0, "123456"),
            (1e15, "1e+15"),
            (0.0001, "1e-04"),
            (0.00012, "0.00012"),
            (1.0 / 3.0, "0.333333333333333"),
            (-2.5, "-2.5"),
            (1e-300, "1e-300"),
            (f64::INFINITY, "Inf"),
        ] {
            assert_eq!(number_text(value, 15), text);
        }
    }
}
