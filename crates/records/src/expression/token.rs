//! Splitting of an expression's text into tokens, by R's rules.

use super::error::{ExpressionError, Found};

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name, bare or between backticks; `true` for the latter.
    Name(String, bool),
    Number(f64),
    /// A whole number that was written with `L`.
    Integer(i64),
    Text(String),
    Symbol(&'static str),
}

/// A token with its place: the first character, from 0, and the number of characters.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) position: usize,
    pub(super) length: usize,
}

/// The operators, longer ones before those that they begin with.
const SYMBOLS: [&str; 24] = [
    "%in%", "%%", "%/%", "==", "!=", "<=", ">=", "&&", "||", "**", "(", ")", ",", "+", "-", "*", "/", "^",
    "<", ">", "&", "|", "!", "=",
];

/// Splits a text into tokens.
pub(super) fn tokenize(text: &str) -> Found<Vec<Placed>> {
    let characters: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&first) = characters.get(at) {
        if first.is_whitespace() {
            at += 1;
            continue;
        }
        let (token, length) = token(&characters[at..], at)?;
        tokens.push(Placed { token, position: at, length });
        at += length;
    }
    Ok(tokens)
}

fn token(rest: &[char], at: usize) -> Found<(Token, usize)> {
    let first = rest[0];
    let digit_next = rest.get(1).is_some_and(char::is_ascii_digit);
    match first {
        '"' | '\'' => text(rest, at),
        '`' => backticks(rest, at),
        _ if first.is_ascii_digit() || (first == '.' && digit_next) => number(rest, at),
        _ if first.is_alphabetic() || first == '.' || first == '_' => {
            let length = rest.iter().take_while(|c| c.is_alphanumeric() || **c == '.' || **c == '_').count();
            Ok((Token::Name(rest[..length].iter().collect(), false), length))
        }
        _ => symbol(rest, at),
    }
}

fn symbol(rest: &[char], at: usize) -> Found<(Token, usize)> {
    let begins = |symbol: &&&str| symbol.chars().zip(rest).filter(|(a, b)| a == *b).count() == symbol.len();
    match SYMBOLS.iter().find(begins) {
        // R's other spelling.
        Some(&"**") => Ok((Token::Symbol("^"), 2)),
        Some(symbol) => Ok((Token::Symbol(symbol), symbol.len())),
        None => Err(ExpressionError::new(at, 1, format!("`{}` has no meaning here", rest[0]))
            .hint("texts stand in quotes, and column names with other characters between backticks")),
    }
}

fn text(rest: &[char], at: usize) -> Found<(Token, usize)> {
    let quote = rest[0];
    let mut out = String::new();
    let mut next = 1;
    loop {
        match rest.get(next) {
            Some(&c) if c == quote => return Ok((Token::Text(out), next + 1)),
            Some('\\') => {
                out.push(match rest.get(next + 1) {
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some(&c) if ['\\', '"', '\'', '`'].contains(&c) => c,
                    _ => {
                        return Err(ExpressionError::new(at + next, 2, "R has no such escape in a text")
                            .hint("a backslash is written twice: \"\\\\d\""));
                    }
                });
                next += 2;
            }
            Some(&c) => {
                out.push(c);
                next += 1;
            }
            None => {
                return Err(ExpressionError::new(at, rest.len(), format!("the text has no closing {quote}")));
            }
        }
    }
}

fn backticks(rest: &[char], at: usize) -> Found<(Token, usize)> {
    match rest.iter().skip(1).position(|c| *c == '`') {
        Some(length) if length > 0 => Ok((Token::Name(rest[1..=length].iter().collect(), true), length + 2)),
        Some(_) => Err(ExpressionError::new(at, 2, "the name between backticks is empty")),
        None => Err(ExpressionError::new(at, rest.len(), "the name has no closing backtick")),
    }
}

/// `12`, `1.5`, `.5`, `1e-3`, `12L`.
fn number(rest: &[char], at: usize) -> Found<(Token, usize)> {
    let digits = |from: usize| rest[from..].iter().take_while(|c| c.is_ascii_digit()).count();
    let mut length = digits(0);
    if rest.get(length) == Some(&'.') {
        length += 1 + digits(length + 1);
    }
    if matches!(rest.get(length), Some('e' | 'E')) {
        let sign = usize::from(matches!(rest.get(length + 1), Some('+' | '-')));
        let exponent = rest.get(length + 1 + sign..).map_or(0, |_| digits(length + 1 + sign));
        if exponent > 0 {
            length += 1 + sign + exponent;
        }
    }
    let text: String = rest[..length].iter().collect();
    let wrong = || ExpressionError::new(at, length, format!("`{text}` is no number"));
    let value: f64 = text.parse().map_err(|_| wrong())?;
    if rest.get(length) == Some(&'L') {
        let whole = text.parse::<i64>().or_else(|_| whole(value).ok_or_else(wrong))?;
        return Ok((Token::Integer(whole), length + 1));
    }
    Ok((Token::Number(value), length))
}

fn whole(value: f64) -> Option<i64> {
    const LARGEST: f64 = 9e15;
    (value == value.trunc() && value.abs() < LARGEST).then_some(value as i64)
}
