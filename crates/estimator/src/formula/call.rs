//! Calls of functions: as a term (`I`, `factor`, `poly`, `log`, ...) and inside arithmetic.

use super::arithmetic::expression;
use super::error::FormulaError;
use super::expr::{Expr, Function};
use super::parser::Parser;
use super::token::{Token, shorten};
use super::variable::Variable;

/// Highest degree of `poly()`.
const MAX_DEGREE: u32 = 20;

/// Name and place of the function called.
struct Callee {
    name: String,
    position: usize,
}

impl Callee {
    /// Takes `name (`.
    fn read(parser: &mut Parser) -> Result<Self, FormulaError> {
        let position = parser.position();
        let name = match parser.peek() {
            Some(Token::Name(name)) => name.clone(),
            _ => return Err(parser.unexpected("a function")),
        };
        parser.advance();
        parser.expect("(", "`(`")?;
        Ok(Self { name, position })
    }

    fn unsupported(&self) -> FormulaError {
        FormulaError::UnsupportedFunction { name: shorten(&self.name), position: self.position }
    }

    fn problem(&self, problem: &'static str) -> FormulaError {
        FormulaError::Argument { name: shorten(&self.name), problem, position: self.position }
    }

    /// One expression and the closing parenthesis.
    fn single(&self, parser: &mut Parser) -> Result<Expr, FormulaError> {
        let expr = expression(parser)?;
        if parser.peek_is(",") {
            return Err(self.problem("takes one argument"));
        }
        parser.expect(")", "`)`")?;
        Ok(expr)
    }

    /// R would meet a variable of length one and stop, with a message about lengths.
    fn with_column(&self, expr: Expr) -> Result<Expr, FormulaError> {
        if !expr.columns().is_empty() {
            return Ok(expr);
        }
        Err(FormulaError::NoColumn { name: shorten(&self.name), position: self.position })
    }
}

/// Parses a call that is a variable of the formula.
pub(super) fn variable(parser: &mut Parser) -> Result<Variable, FormulaError> {
    parser.reset_operations();
    let callee = Callee::read(parser)?;
    match callee.name.as_str() {
        "factor" | "as.factor" => factor(parser, &callee),
        "poly" => poly(parser, &callee),
        "I" => {
            let expr = callee.single(parser)?;
            Ok(Variable::Identity(callee.with_column(expr)?))
        }
        name => {
            let function = Function::from_name(name).ok_or_else(|| callee.unsupported())?;
            let expr = callee.single(parser)?;
            Ok(Variable::Call(function, callee.with_column(expr)?))
        }
    }
}

/// Parses a call inside arithmetic; `I()` only groups there.
pub(super) fn inner(parser: &mut Parser) -> Result<Expr, FormulaError> {
    parser.operation()?;
    let callee = Callee::read(parser)?;
    if callee.name == "I" {
        return callee.single(parser);
    }
    let function = Function::from_name(&callee.name).ok_or_else(|| callee.unsupported())?;
    let argument = callee.single(parser)?;
    Ok(Expr::Call(function, Box::new(argument)))
}

fn factor(parser: &mut Parser, callee: &Callee) -> Result<Variable, FormulaError> {
    let is_column = matches!(parser.peek(), Some(Token::Name(_) | Token::Quoted(_)));
    if !is_column || parser.then_is("(") {
        return Err(callee.problem("takes a column name"));
    }
    let name = parser.column()?;
    if parser.accept(")") {
        return Ok(Variable::Factor(name));
    }
    match parser.peek() {
        None => Err(parser.unexpected("`)`")),
        Some(_) => Err(callee.problem("takes a column name and nothing else")),
    }
}

/// `poly(x, 2)`, `poly(x, degree = 2, raw = TRUE)`.
fn poly(parser: &mut Parser, callee: &Callee) -> Result<Variable, FormulaError> {
    let argument = expression(parser)?;
    let expr = callee.with_column(argument)?;
    let (mut degree, mut raw) = (None, None);
    while parser.accept(",") {
        let name = argument_name(parser);
        match name.as_deref() {
            Some("raw") if raw.is_none() => raw = Some(truth(parser, callee)?),
            None | Some("degree") if degree.is_none() => degree = Some(whole(parser, callee)?),
            _ => return Err(callee.problem("takes a column, a degree and `raw`, each once")),
        }
    }
    parser.expect(")", "`)`")?;
    Ok(Variable::Poly { expr, degree: degree.unwrap_or(1), raw: raw.unwrap_or(false) })
}

/// Takes `name =` if it comes next.
fn argument_name(parser: &mut Parser) -> Option<String> {
    let name = match parser.peek() {
        Some(Token::Name(name)) if parser.then_is("=") => name.clone(),
        _ => return None,
    };
    parser.advance();
    parser.advance();
    Some(name)
}

fn truth(parser: &mut Parser, callee: &Callee) -> Result<bool, FormulaError> {
    let value = match parser.peek() {
        Some(Token::Name(word)) if word == "TRUE" || word == "T" => true,
        Some(Token::Name(word)) if word == "FALSE" || word == "F" => false,
        _ => return Err(callee.problem("takes TRUE or FALSE for `raw`")),
    };
    parser.advance();
    Ok(value)
}

fn whole(parser: &mut Parser, callee: &Callee) -> Result<u32, FormulaError> {
    let degree = (1..=MAX_DEGREE)
        .find(|&n| matches!(parser.peek(), Some(Token::Number(x, _)) if *x == f64::from(n)))
        .ok_or_else(|| callee.problem("takes a whole number from 1 to 20 as its degree"))?;
    parser.advance();
    Ok(degree)
}
