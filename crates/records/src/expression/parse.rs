//! The grammar, with R's precedence: `^`, sign, `%any%`, `* /`, `+ -`, comparison, `!`, `&`, `|`.

use super::error::{ExpressionError, Found};
use super::token::{Placed, Token, tokenize};

/// The deepest nesting, so that no text exhausts the stack.
const DEEPEST: usize = 100;
/// The longest text, in bytes.
const LONGEST: usize = 1 << 16;

/// A part of an expression, with its place in the text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) kind: NodeKind,
    pub(crate) position: usize,
    pub(crate) length: usize,
}

/// The kinds of nodes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum NodeKind {
    Column(String),
    Number(f64),
    Integer(i64),
    Text(String),
    Logical(bool),
    Missing,
    /// `-` or `!` and its operand.
    Unary(&'static str, Box<Node>),
    Binary(&'static str, Box<Node>, Box<Node>),
    /// A function with its arguments, named or not.
    Call(String, Vec<(Option<String>, Node)>),
}

impl Node {
    /// Returns `true` for a text, and for `c()` of texts.
    pub(super) fn is_text(&self) -> bool {
        match &self.kind {
            NodeKind::Text(_) => true,
            NodeKind::Call(name, arguments) => {
                (name == "c" && arguments.iter().any(|(_, argument)| argument.is_text()))
                    || super::functions::gives_text(name)
            }
            _ => false,
        }
    }
}

/// Parses a text.
pub(super) fn parse(text: &str) -> Found<Node> {
    let mut parser = Parser::new(text)?;
    let root = parser.any(0)?;
    match parser.peek() {
        None => Ok(root),
        Some(_) => Err(parser.unexpected("an operator or the end")),
    }
}

/// Splits a text such as `a = f(x), b` at its commas: the name that a part is given, if it is, and the part.
pub(crate) fn split_arguments(text: &str) -> Result<Vec<(Option<String>, Node)>, ExpressionError> {
    let mut parser = Parser::new(text)?;
    let mut out = Vec::new();
    loop {
        out.push(parser.argument()?);
        if parser.peek().is_none() {
            return Ok(out);
        }
        parser.expect(",")?;
    }
}

struct Parser {
    tokens: Vec<Placed>,
    next: usize,
    end: usize,
    depth: usize,
}

/// The binary operators by precedence, from loose to tight.
const LEVELS: [&[&str]; 6] = [
    &["|", "||"],
    &["&", "&&"],
    &["==", "!=", "<", ">", "<=", ">="],
    &["+", "-"],
    &["*", "/"],
    &["%in%", "%%", "%/%"],
];
/// The level of comparisons, below which `!` stands.
const COMPARISON: usize = 2;

impl Parser {
    fn new(text: &str) -> Found<Self> {
        if text.len() > LONGEST {
            return Err(ExpressionError::new(0, 1, format!("the expression has more than {LONGEST} bytes")));
        }
        Ok(Self { tokens: tokenize(text)?, next: 0, end: text.chars().count(), depth: 0 })
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|placed| &placed.token)
    }

    fn symbol(&self) -> Option<&'static str> {
        match self.peek() {
            Some(Token::Symbol(symbol)) => Some(symbol),
            _ => None,
        }
    }

    fn position(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |placed| placed.position)
    }

    /// Returns the node of what was read since `start`.
    fn node(&self, kind: NodeKind, start: usize) -> Node {
        let last = self.next.checked_sub(1).and_then(|last| self.tokens.get(last));
        let end = last.map_or(start, |placed| placed.position + placed.length);
        Node { kind, position: start, length: end.saturating_sub(start) }
    }

    fn unexpected(&self, expected: &str) -> ExpressionError {
        let Some(placed) = self.tokens.get(self.next) else {
            return ExpressionError::new(
                self.end,
                1,
                format!("the expression ends where {expected} is expected"),
            );
        };
        let error =
            ExpressionError::new(placed.position, placed.length, format!("{expected} is expected here"));
        match placed.token {
            Token::Symbol("=") => error.hint("a comparison is written =="),
            _ => error,
        }
    }

    fn expect(&mut self, symbol: &str) -> Found<()> {
        if self.symbol() == Some(symbol) {
            self.next += 1;
            return Ok(());
        }
        Err(self.unexpected(&format!("`{symbol}`")))
    }

    /// Parses operators of a level and tighter ones.
    fn any(&mut self, level: usize) -> Found<Node> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(ExpressionError::new(self.position(), 1, "the expression nests too deeply"));
        }
        let node = match LEVELS.get(level) {
            Some(_) if level == COMPARISON && self.symbol() == Some("!") => self.negation(),
            Some(operators) => self.chain(level, operators),
            None => self.signed(),
        };
        self.depth -= 1;
        node
    }

    fn chain(&mut self, level: usize, operators: &[&'static str]) -> Found<Node> {
        let start = self.position();
        let mut left = self.any(level + 1)?;
        let mut compared = false;
        while let Some(operator) = self.symbol().filter(|symbol| operators.contains(symbol)) {
            if level == COMPARISON && compared {
                return Err(ExpressionError::new(
                    self.position(),
                    operator.len(),
                    "comparisons can't follow each other",
                )
                .hint("join two of them by &, as in: 1 < x & x < 5"));
            }
            compared = true;
            self.next += 1;
            let right = self.any(level + 1)?;
            left = self.node(NodeKind::Binary(operator, Box::new(left), Box::new(right)), start);
        }
        Ok(left)
    }

    fn negation(&mut self) -> Found<Node> {
        let start = self.position();
        self.next += 1;
        let operand = self.any(COMPARISON)?;
        Ok(self.node(NodeKind::Unary("!", Box::new(operand)), start))
    }

    fn signed(&mut self) -> Found<Node> {
        let start = self.position();
        match self.symbol() {
            Some("-") => {
                self.next += 1;
                let operand = self.any(LEVELS.len())?;
                Ok(self.node(NodeKind::Unary("-", Box::new(operand)), start))
            }
            Some("+") => {
                self.next += 1;
                self.any(LEVELS.len())
            }
            _ => self.power(),
        }
    }

    fn power(&mut self) -> Found<Node> {
        let start = self.position();
        let base = self.primary()?;
        if self.symbol() != Some("^") {
            return Ok(base);
        }
        self.next += 1;
        // The exponent binds to the right and may have a sign.
        let exponent = self.any(LEVELS.len())?;
        Ok(self.node(NodeKind::Binary("^", Box::new(base), Box::new(exponent)), start))
    }

    fn primary(&mut self) -> Found<Node> {
        let start = self.position();
        let Some(token) = self.peek().cloned() else { return Err(self.unexpected("a value")) };
        let kind = match token {
            Token::Number(value) => NodeKind::Number(value),
            Token::Integer(value) => NodeKind::Integer(value),
            Token::Text(text) => NodeKind::Text(text),
            Token::Name(name, quoted) => {
                self.next += 1;
                if !quoted && self.symbol() == Some("(") {
                    return self.call(name, start);
                }
                return Ok(self.node(if quoted { NodeKind::Column(name) } else { word(name) }, start));
            }
            Token::Symbol("(") => {
                self.next += 1;
                let inner = self.any(0)?;
                self.expect(")")?;
                return Ok(self.node(inner.kind, start));
            }
            // Below a tighter operator, as in `a == !b`.
            Token::Symbol("!") => return self.negation(),
            Token::Symbol(_) => return Err(self.unexpected("a value")),
        };
        self.next += 1;
        Ok(self.node(kind, start))
    }

    fn call(&mut self, name: String, start: usize) -> Found<Node> {
        self.expect("(")?;
        let mut arguments = Vec::new();
        while self.symbol() != Some(")") {
            arguments.push(self.argument()?);
            if self.symbol() != Some(")") {
                self.expect(",")?;
            }
        }
        self.next += 1;
        Ok(self.node(NodeKind::Call(name, arguments), start))
    }

    /// An argument with its name, if it has one.
    fn argument(&mut self) -> Found<(Option<String>, Node)> {
        let named =
            matches!(self.tokens.get(self.next + 1).map(|placed| &placed.token), Some(Token::Symbol("=")));
        match self.peek().cloned() {
            Some(Token::Name(name, _)) if named => {
                self.next += 2;
                Ok((Some(name), self.any(0)?))
            }
            _ => Ok((None, self.any(0)?)),
        }
    }
}

/// A bare name: one of R's constants, or a column.
fn word(name: String) -> NodeKind {
    match name.as_str() {
        "TRUE" | "T" => NodeKind::Logical(true),
        "FALSE" | "F" => NodeKind::Logical(false),
        "NA" | "NA_integer_" | "NA_real_" | "NA_character_" => NodeKind::Missing,
        "NaN" => NodeKind::Number(f64::NAN),
        "Inf" => NodeKind::Number(f64::INFINITY),
        "pi" => NodeKind::Number(std::f64::consts::PI),
        _ => NodeKind::Column(name),
    }
}
