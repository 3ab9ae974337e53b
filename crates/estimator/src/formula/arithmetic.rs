//! The grammar inside `I()`, `log()` and the like, where operators are arithmetic.

use super::call;
use super::error::FormulaError;
use super::expr::Expr;
use super::parser::Parser;
use super::token::Token;

/// Parses an expression up to the token that cannot continue it.
pub(super) fn expression(parser: &mut Parser) -> Result<Expr, FormulaError> {
    parser.enter()?;
    let mut left = product(parser)?;
    loop {
        let join: fn(Box<Expr>, Box<Expr>) -> Expr = if parser.accept("+") {
            Expr::Add
        } else if parser.accept("-") {
            Expr::Sub
        } else {
            break;
        };
        parser.operation()?;
        left = join(Box::new(left), Box::new(product(parser)?));
    }
    parser.leave();
    Ok(left)
}

fn product(parser: &mut Parser) -> Result<Expr, FormulaError> {
    let mut left = signed(parser)?;
    loop {
        let join: fn(Box<Expr>, Box<Expr>) -> Expr = if parser.accept("*") {
            Expr::Mul
        } else if parser.accept("/") {
            Expr::Div
        } else {
            return Ok(left);
        };
        parser.operation()?;
        left = join(Box::new(left), Box::new(signed(parser)?));
    }
}

/// A sign binds looser than `^` on its right, tighter than `*`: `-x^2` is `-(x^2)`.
/// An exponent is read by the same rule, so `x^-y^z` is `x^(-(y^z))`.
fn signed(parser: &mut Parser) -> Result<Expr, FormulaError> {
    let minus = parser.peek_is("-");
    if !minus && !parser.peek_is("+") {
        return power(parser);
    }
    parser.advance();
    parser.operation()?;
    parser.enter()?;
    let operand = signed(parser)?;
    parser.leave();
    Ok(if minus { Expr::Neg(Box::new(operand)) } else { operand })
}

fn power(parser: &mut Parser) -> Result<Expr, FormulaError> {
    let base = primary(parser)?;
    if !parser.accept("^") {
        return Ok(base);
    }
    parser.operation()?;
    parser.enter()?;
    let exponent = signed(parser)?;
    parser.leave();
    Ok(Expr::Pow(Box::new(base), Box::new(exponent)))
}

fn primary(parser: &mut Parser) -> Result<Expr, FormulaError> {
    match parser.peek() {
        Some(Token::Number(value, _)) => {
            let value = *value;
            parser.advance();
            Ok(Expr::Number(value))
        }
        Some(Token::Name(_)) if parser.then_is("(") => call::inner(parser),
        Some(Token::Name(_) | Token::Quoted(_)) => Ok(Expr::Column(parser.column()?)),
        Some(token) if token.is_symbol("(") => {
            parser.advance();
            let inner = expression(parser)?;
            parser.expect(")", "`)`")?;
            Ok(inner)
        }
        _ => Err(parser.unexpected("a column, a number or a function")),
    }
}
