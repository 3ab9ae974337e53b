//! The grammar of terms, with R's precedence: `^`, sign, `:`, `*`, then `+` and `-`.

use super::call;
use super::error::FormulaError;
use super::node::{Node, Sign};
use super::token::{Placed, Token, is_reserved, shorten, tokenize};
use super::variable::Variable;

/// Longest formula, in bytes.
const MAX_LENGTH: usize = 1 << 16;
/// Deepest nesting of parentheses, signs and exponents.
const MAX_DEPTH: usize = 64;
/// Most arithmetic operations in one variable.
const MAX_OPERATIONS: usize = 400;
/// Largest `n` of `(a + b)^n`.
const MAX_POWER: u32 = 100;

/// Parses `~ sum`.
pub(super) fn parse_formula(text: &str) -> Result<Node, FormulaError> {
    if text.len() > MAX_LENGTH {
        return Err(FormulaError::TooLong { length: text.len(), limit: MAX_LENGTH });
    }
    let mut parser =
        Parser { tokens: tokenize(text)?, next: 0, end: text.chars().count() + 1, depth: 0, operations: 0 };
    parser.tilde(text)?;
    let root = parser.sum()?;
    match parser.peek() {
        None => Ok(root),
        Some(_) => Err(parser.unexpected("an operator or the end")),
    }
}

/// The tokens and the place reached; the bounds keep recursion shallow.
pub(super) struct Parser {
    tokens: Vec<Placed>,
    next: usize,
    end: usize,
    depth: usize,
    operations: usize,
}

impl Parser {
    pub(super) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|placed| &placed.token)
    }

    pub(super) fn peek_is(&self, symbol: &str) -> bool {
        self.peek().is_some_and(|token| token.is_symbol(symbol))
    }

    /// Returns true if the token after the next one is `symbol`.
    pub(super) fn then_is(&self, symbol: &str) -> bool {
        let after = self.tokens.get(self.next + 1);
        after.is_some_and(|placed| placed.token.is_symbol(symbol))
    }

    pub(super) fn position(&self) -> usize {
        let placed = self.tokens.get(self.next);
        placed.map_or(self.end, |placed| placed.position)
    }

    pub(super) fn advance(&mut self) {
        self.next += 1;
    }

    /// Takes the next token if it is `symbol`.
    pub(super) fn accept(&mut self, symbol: &str) -> bool {
        let found = self.peek_is(symbol);
        if found {
            self.advance();
        }
        found
    }

    pub(super) fn expect(&mut self, symbol: &str, expected: &'static str) -> Result<(), FormulaError> {
        if self.accept(symbol) { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    /// The error for the next token where it does not belong.
    pub(super) fn unexpected(&self, expected: &'static str) -> FormulaError {
        const REFUSED: [&str; 13] = ["/", "|", "||", "==", "!=", "<", ">", "<=", ">=", "&", "&&", "!", "::"];
        let position = self.position();
        let Some(token) = self.peek() else {
            return FormulaError::UnexpectedEnd { position, expected };
        };
        match token {
            Token::Symbol(operator)
                if REFUSED.contains(&operator.as_str())
                    || (operator.starts_with('%') && operator.len() > 1) =>
            {
                FormulaError::UnsupportedOperator { operator: shorten(operator), position }
            }
            _ => FormulaError::UnexpectedToken { token: token.shown(), position, expected },
        }
    }

    pub(super) fn enter(&mut self) -> Result<(), FormulaError> {
        self.depth += 1;
        if self.depth <= MAX_DEPTH {
            return Ok(());
        }
        Err(FormulaError::TooDeep { position: self.position(), limit: MAX_DEPTH })
    }

    pub(super) fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// Counts one arithmetic operation of the current variable.
    pub(super) fn operation(&mut self) -> Result<(), FormulaError> {
        self.operations += 1;
        if self.operations <= MAX_OPERATIONS {
            return Ok(());
        }
        Err(FormulaError::TooComplex { position: self.position(), limit: MAX_OPERATIONS })
    }

    /// Starts the count of a new variable.
    pub(super) fn reset_operations(&mut self) {
        self.operations = 0;
    }

    fn tilde(&mut self, text: &str) -> Result<(), FormulaError> {
        if self.accept("~") {
            return Ok(());
        }
        let Some(first) = self.tokens.first() else {
            return Err(FormulaError::Empty);
        };
        let position = first.position;
        let tilde = self.tokens.iter().find(|placed| placed.token.is_symbol("~"));
        let Some(tilde) = tilde else {
            return Err(FormulaError::MissingTilde { token: first.token.shown(), position });
        };
        let left: String = text.chars().take(tilde.position - 1).collect();
        Err(FormulaError::LeftSide { left: shorten(left.trim()), position })
    }

    /// `item + item - item`
    fn sum(&mut self) -> Result<Node, FormulaError> {
        self.enter()?;
        let mut items = match self.cross()? {
            Node::Sum(items) if items.len() == 1 => items,
            node => vec![(Sign::Plus, node)],
        };
        loop {
            let sign = if self.accept("+") {
                Sign::Plus
            } else if self.accept("-") {
                Sign::Minus
            } else {
                break;
            };
            items.push((sign, self.cross()?));
        }
        self.leave();
        Ok(match items.pop() {
            Some((Sign::Plus, node)) if items.is_empty() => node,
            last => {
                items.extend(last);
                Node::Sum(items)
            }
        })
    }

    fn cross(&mut self) -> Result<Node, FormulaError> {
        self.chain("*", Self::interaction, Node::Cross)
    }

    fn interaction(&mut self) -> Result<Node, FormulaError> {
        self.chain(":", Self::signed, Node::Interaction)
    }

    /// Operands joined by `operator`; a lone operand stays as it is.
    fn chain(
        &mut self,
        operator: &'static str,
        operand: fn(&mut Self) -> Result<Node, FormulaError>,
        join: fn(Vec<Node>) -> Node,
    ) -> Result<Node, FormulaError> {
        let mut position = self.position();
        let first = operand(self)?;
        if !self.peek_is(operator) {
            return Ok(first);
        }
        let mut items = vec![product_operand(first, operator, position)?];
        while self.accept(operator) {
            position = self.position();
            let item = operand(self)?;
            items.push(product_operand(item, operator, position)?);
        }
        Ok(join(items))
    }

    fn signed(&mut self) -> Result<Node, FormulaError> {
        let minus = self.peek_is("-");
        if !minus && !self.peek_is("+") {
            return self.power();
        }
        self.advance();
        self.enter()?;
        let operand = self.signed()?;
        self.leave();
        Ok(if minus { Node::Sum(vec![(Sign::Minus, operand)]) } else { operand })
    }

    fn power(&mut self) -> Result<Node, FormulaError> {
        let start = self.position();
        let base = self.primary()?;
        if !self.accept("^") {
            return Ok(base);
        }
        let crossed = matches!(base, Node::Sum(_) | Node::Cross(_)) && !base.is_negative();
        if !crossed {
            return Err(FormulaError::PowerBase { position: start });
        }
        let position = self.position();
        let exponent =
            (2..=MAX_POWER).find(|&n| matches!(self.peek(), Some(Token::Number(x, _)) if *x == f64::from(n)));
        let Some(exponent) = exponent else {
            return Err(FormulaError::PowerExponent { position, limit: MAX_POWER });
        };
        self.advance();
        Ok(Node::Power(Box::new(base), exponent))
    }

    fn primary(&mut self) -> Result<Node, FormulaError> {
        let position = self.position();
        match self.peek() {
            Some(Token::Number(value, _)) if *value == 0.0 || *value == 1.0 => {
                let one = *value == 1.0;
                self.advance();
                Ok(Node::Constant(one))
            }
            Some(token @ Token::Number(..)) => {
                Err(FormulaError::NumberTerm { token: token.shown(), position })
            }
            Some(Token::Name(_)) if self.then_is("(") => Ok(Node::Variable(call::variable(self)?)),
            Some(Token::Name(_) | Token::Quoted(_)) => Ok(Node::Variable(Variable::Column(self.column()?))),
            Some(token) if token.is_symbol("(") => {
                self.advance();
                let inner = self.sum()?;
                self.expect(")", "`)`")?;
                Ok(inner)
            }
            _ => Err(self.unexpected("a term")),
        }
    }

    /// A column name, bare or between backticks.
    pub(super) fn column(&mut self) -> Result<String, FormulaError> {
        let position = self.position();
        let name = match self.peek() {
            Some(Token::Name(name)) if name == "." => return Err(FormulaError::Dot { position }),
            Some(Token::Name(name)) if is_reserved(name) => {
                return Err(FormulaError::ReservedWord { word: shorten(name), position });
            }
            Some(Token::Name(name) | Token::Quoted(name)) => name.clone(),
            _ => return Err(self.unexpected("a column name")),
        };
        self.advance();
        Ok(name)
    }
}

/// Refuses `1` and `-a` as an operand of `*` and `:`, where R gives them no useful meaning.
fn product_operand(node: Node, operator: &'static str, position: usize) -> Result<Node, FormulaError> {
    if matches!(node, Node::Constant(_)) || node.is_negative() {
        return Err(FormulaError::ProductOperand { operator, position });
    }
    Ok(node)
}
