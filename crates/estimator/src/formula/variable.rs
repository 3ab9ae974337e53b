//! The variables of a formula: what stands between its operators, R's `attr(terms, "variables")`.

use std::fmt;

use super::expr::{Expr, Function};
use super::token::written_name;

/// A value that must be known of a row before its design columns can be computed.
#[derive(Debug, Clone, PartialEq)]
pub enum Atom {
    /// A number that must be finite. A plain column may turn out to hold text; it is then a factor.
    Numeric(Expr),
    /// The level of the row in this column, used as `factor(column)`.
    Factor(String),
}

/// One variable of a formula. Two variables are the same iff they are written the same.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Variable {
    Column(String),
    Factor(String),
    Call(Function, Expr),
    Identity(Expr),
    /// The powers 1 to `degree`; `raw` records whether `raw = TRUE` was written.
    Poly {
        expr: Expr,
        degree: u32,
        raw: bool,
    },
}

impl Variable {
    /// The columns of data that it reads, in order of appearance.
    pub(super) fn columns(&self) -> Vec<&str> {
        match self {
            Self::Column(name) | Self::Factor(name) => vec![name],
            Self::Call(_, expr) | Self::Identity(expr) | Self::Poly { expr, .. } => expr.columns(),
        }
    }

    /// Its atoms; more than one only for `poly()`.
    pub(super) fn atoms(&self) -> Vec<Atom> {
        match self {
            Self::Column(name) => vec![Atom::Numeric(Expr::Column(name.clone()))],
            Self::Factor(name) => vec![Atom::Factor(name.clone())],
            Self::Call(function, expr) => {
                vec![Atom::Numeric(Expr::Call(*function, Box::new(expr.clone())))]
            }
            Self::Identity(expr) => vec![Atom::Numeric(expr.clone())],
            Self::Poly { expr, degree, .. } => {
                (1..=*degree).map(|power| Atom::Numeric(raised(expr, power))).collect()
            }
        }
    }
}

fn raised(expr: &Expr, power: u32) -> Expr {
    if power == 1 {
        return expr.clone();
    }
    let exponent = Expr::Number(f64::from(power));
    Expr::Pow(Box::new(expr.clone()), Box::new(exponent))
}

/// The variable as R's `deparse` writes it in column names.
impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column(name) => f.write_str(&written_name(name)),
            Self::Factor(name) => write!(f, "factor({})", written_name(name)),
            Self::Call(function, expr) => write!(f, "{}({expr})", function.name()),
            Self::Identity(expr) => write!(f, "I({expr})"),
            Self::Poly { expr, degree, raw } => {
                let raw = if *raw { ", raw = TRUE" } else { "" };
                write!(f, "poly({expr}, {degree}{raw})")
            }
        }
    }
}
