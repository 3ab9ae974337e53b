//! Splits the text of a formula into tokens, each with its position.

use super::error::FormulaError;

/// One piece of a formula.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A name as R's parser takes it without quotes.
    Name(String),
    /// A name between backticks.
    Quoted(String),
    /// A finite decimal number, with the text that it was written as.
    Number(f64, String),
    /// An operator, a bracket, or a character with no meaning in a formula.
    Symbol(String),
}

/// A token and the position of its first character, counted from 1.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) position: usize,
}

impl Token {
    /// The token for an error message, cut at 40 characters.
    pub(super) fn shown(&self) -> String {
        let text = match self {
            Self::Name(text) | Self::Quoted(text) | Self::Symbol(text) | Self::Number(_, text) => text,
        };
        shorten(text)
    }

    pub(super) fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self, Self::Symbol(text) if text == symbol)
    }
}

/// Cuts user text for a message.
pub(super) fn shorten(text: &str) -> String {
    if text.chars().nth(40).is_none() {
        return text.to_owned();
    }
    text.chars().take(40).chain("...".chars()).collect()
}

/// Cuts `text` into tokens; white space separates and is dropped.
pub(super) fn tokenize(text: &str) -> Result<Vec<Placed>, FormulaError> {
    let mut lexer = Lexer { characters: text.chars().collect(), next: 0 };
    let mut tokens = Vec::new();
    while let Some(first) = lexer.peek(0) {
        if first.is_whitespace() {
            lexer.next += 1;
            continue;
        }
        let position = lexer.next + 1;
        let token = lexer.token(first, position)?;
        tokens.push(Placed { token, position });
    }
    Ok(tokens)
}

struct Lexer {
    characters: Vec<char>,
    next: usize,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.characters.get(self.next + ahead).copied()
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool, into: &mut String) {
        while let Some(c) = self.peek(0).filter(|&c| keep(c)) {
            into.push(c);
            self.next += 1;
        }
    }

    fn token(&mut self, first: char, position: usize) -> Result<Token, FormulaError> {
        let digit_next = self.peek(1).is_some_and(|c| c.is_ascii_digit());
        if first.is_ascii_digit() || (first == '.' && digit_next) {
            self.number(position)
        } else if starts_name(first) {
            let mut name = String::new();
            self.take_while(continues_name, &mut name);
            Ok(Token::Name(name))
        } else if first == '`' {
            self.quoted(position)
        } else {
            Ok(self.symbol(first))
        }
    }

    /// `12`, `1.5`, `.5`, `1e-3`; R's integer suffix `L` is dropped.
    fn number(&mut self, position: usize) -> Result<Token, FormulaError> {
        let mut text = String::new();
        let digit = |c: char| c.is_ascii_digit();
        self.take_while(digit, &mut text);
        if self.peek(0) == Some('.') {
            text.push('.');
            self.next += 1;
            self.take_while(digit, &mut text);
        }
        if let Some(skip) = self.exponent_sign_length() {
            for _ in 0..skip {
                text.extend(self.peek(0));
                self.next += 1;
            }
            self.take_while(digit, &mut text);
        }
        if self.peek(0) == Some('L') && !self.peek(1).is_some_and(continues_name) {
            self.next += 1;
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Token::Number(value, text)),
            _ => Err(FormulaError::NumberRange { token: shorten(&text), position }),
        }
    }

    /// Returns the number of characters of an exponent before its digits; `None` if none follows.
    fn exponent_sign_length(&self) -> Option<usize> {
        if !matches!(self.peek(0), Some('e' | 'E')) {
            return None;
        }
        let length = if matches!(self.peek(1), Some('+' | '-')) { 2 } else { 1 };
        self.peek(length).is_some_and(|c| c.is_ascii_digit()).then_some(length)
    }

    /// A name between backticks; R's backslash escapes are refused.
    fn quoted(&mut self, position: usize) -> Result<Token, FormulaError> {
        let bad = |problem| FormulaError::BadName { problem, position };
        self.next += 1;
        let mut name = String::new();
        self.take_while(|c| c != '`' && c != '\\', &mut name);
        match self.peek(0) {
            Some('`') if name.is_empty() => Err(bad("is empty")),
            Some('`') => {
                self.next += 1;
                Ok(Token::Quoted(name))
            }
            Some(_) => Err(bad("holds a backslash")),
            None => Err(bad("has no closing backtick")),
        }
    }

    /// The longest operator of R at this place; `**` is R's other spelling of `^`.
    fn symbol(&mut self, first: char) -> Token {
        if first == '%' {
            let rest = self.characters.get(self.next + 1..).unwrap_or_default();
            if let Some(length) = rest.iter().position(|&c| c == '%') {
                let text = self.characters.iter().skip(self.next).take(length + 2);
                let text = text.collect();
                self.next += length + 2;
                return Token::Symbol(text);
            }
        }
        const DOUBLE: [&str; 13] =
            ["**", "==", "!=", "<=", ">=", "&&", "||", "|>", "->", "<-", "::", "[[", "]]"];
        let two: String = [Some(first), self.peek(1)].into_iter().flatten().collect();
        if DOUBLE.contains(&two.as_str()) {
            self.next += 2;
            return Token::Symbol(if two == "**" { "^".to_owned() } else { two });
        }
        self.next += 1;
        Token::Symbol(first.to_string())
    }
}

fn starts_name(c: char) -> bool {
    c.is_alphabetic() || c == '.'
}

fn continues_name(c: char) -> bool {
    c.is_alphanumeric() || c == '.' || c == '_'
}

/// Returns true if R refuses `word` as a bare column name.
pub(super) fn is_reserved(word: &str) -> bool {
    const WORDS: [&str; 19] = [
        "if",
        "else",
        "repeat",
        "while",
        "function",
        "for",
        "next",
        "break",
        "TRUE",
        "FALSE",
        "NULL",
        "Inf",
        "NaN",
        "NA",
        "NA_integer_",
        "NA_real_",
        "NA_character_",
        "in",
        "...",
    ];
    let dotted = |digits: &str| !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit());
    WORDS.contains(&word) || word.strip_prefix("..").is_some_and(dotted)
}

/// `name` as it is written in a formula: between backticks unless R takes it bare.
pub(super) fn written_name(name: &str) -> String {
    let mut characters = name.chars();
    let first = characters.next();
    let numeric_dot = first == Some('.') && characters.next().is_some_and(|c| c.is_ascii_digit());
    let bare = first.is_some_and(starts_name)
        && !numeric_dot
        && name.chars().all(continues_name)
        && !is_reserved(name)
        && name != ".";
    if bare { name.to_owned() } else { format!("`{name}`") }
}
