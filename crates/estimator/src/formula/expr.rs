//! Arithmetic on the columns of one row.

use std::fmt;

use super::token::written_name;

/// A function that a formula may apply to a number. `Log` is the natural logarithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named as in R")]
pub enum Function {
    Log,
    Log2,
    Log10,
    Log1p,
    Exp,
    Sqrt,
    Abs,
}

impl Function {
    const ALL: [Self; 7] =
        [Self::Log, Self::Log2, Self::Log10, Self::Log1p, Self::Exp, Self::Sqrt, Self::Abs];

    /// The function of this R name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.name() == name)
    }

    /// The R name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Log2 => "log2",
            Self::Log10 => "log10",
            Self::Log1p => "log1p",
            Self::Exp => "exp",
            Self::Sqrt => "sqrt",
            Self::Abs => "abs",
        }
    }

    /// The value at `x`; NaN where undefined, as in R.
    pub fn eval(self, x: f64) -> f64 {
        match self {
            Self::Log => libm::log(x),
            Self::Log2 => libm::log2(x),
            Self::Log10 => libm::log10(x),
            Self::Log1p => libm::log1p(x),
            Self::Exp => libm::exp(x),
            Self::Sqrt => libm::sqrt(x),
            Self::Abs => libm::fabs(x),
        }
    }
}

/// An arithmetic expression of one row.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "named after R's operators")]
pub enum Expr {
    Column(String),
    Number(f64),
    Neg(Box<Expr>),
    Add(Box<Expr>, Box<Expr>),
    Sub(Box<Expr>, Box<Expr>),
    Mul(Box<Expr>, Box<Expr>),
    Div(Box<Expr>, Box<Expr>),
    Pow(Box<Expr>, Box<Expr>),
    Call(Function, Box<Expr>),
}

impl Expr {
    /// The value of the expression in a row whose columns are given by `value`.
    pub fn eval(&self, value: &dyn Fn(&str) -> f64) -> f64 {
        match self {
            Self::Column(name) => value(name),
            Self::Number(number) => *number,
            Self::Neg(a) => -a.eval(value),
            Self::Add(a, b) => a.eval(value) + b.eval(value),
            Self::Sub(a, b) => a.eval(value) - b.eval(value),
            Self::Mul(a, b) => a.eval(value) * b.eval(value),
            Self::Div(a, b) => a.eval(value) / b.eval(value),
            Self::Pow(a, b) => power(a.eval(value), b.eval(value)),
            Self::Call(function, a) => function.eval(a.eval(value)),
        }
    }

    /// Every column name, in order of appearance, repeats included.
    pub fn columns(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.collect_columns(&mut names);
        names
    }

    /// The column's name if the expression is a column and nothing else.
    pub fn is_plain_column(&self) -> Option<&str> {
        match self {
            Self::Column(name) => Some(name),
            _ => None,
        }
    }

    fn collect_columns<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Self::Column(name) => names.push(name),
            Self::Number(_) => {}
            Self::Neg(a) | Self::Call(_, a) => a.collect_columns(names),
            Self::Add(a, b) | Self::Sub(a, b) | Self::Mul(a, b) | Self::Div(a, b) | Self::Pow(a, b) => {
                a.collect_columns(names);
                b.collect_columns(names);
            }
        }
    }

    /// Returns the precedence of the outermost operator, loosest first (R's operator table).
    fn precedence(&self) -> u8 {
        match self {
            Self::Add(..) | Self::Sub(..) => 1,
            Self::Mul(..) | Self::Div(..) => 2,
            Self::Neg(_) => 3,
            Self::Pow(..) => 4,
            Self::Column(_) | Self::Number(_) | Self::Call(..) => 5,
        }
    }
}

/// `x^y`: whole exponents up to 32 by repeated multiplication, as R's `R_pow_di`, the rest by `pow`.
fn power(x: f64, y: f64) -> f64 {
    const LARGEST: f64 = 32.0;
    if x == 1.0 || y == 0.0 {
        return 1.0;
    }
    if x == 0.0 {
        return match y.partial_cmp(&0.0) {
            Some(std::cmp::Ordering::Greater) => 0.0,
            Some(_) => f64::INFINITY,
            None => y,
        };
    }
    if y.abs() > LARGEST || y != y.trunc() || y.is_nan() {
        return libm::pow(x, y);
    }
    let (mut left, mut square, mut product) = (y.abs() as u32, x, 1.0);
    while left > 0 {
        if left & 1 == 1 {
            product *= square;
        }
        square *= square;
        left >>= 1;
    }
    if y < 0.0 { 1.0 / product } else { product }
}

/// R's spelling: spaces around `+ - *`, none around `/` and `^`, as few parentheses as possible.
impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column(name) => f.write_str(&written_name(name)),
            Self::Number(number) => f.write_str(&written_number(*number)),
            Self::Neg(a) => {
                f.write_str("-")?;
                write_part(f, a, 3)
            }
            Self::Add(a, b) => write_pair(f, a, " + ", b, (1, 2)),
            Self::Sub(a, b) => write_pair(f, a, " - ", b, (1, 2)),
            Self::Mul(a, b) => write_pair(f, a, " * ", b, (2, 3)),
            Self::Div(a, b) => write_pair(f, a, "/", b, (2, 3)),
            Self::Pow(a, b) => write_pair(f, a, "^", b, (5, 3)),
            Self::Call(function, a) => write!(f, "{}({a})", function.name()),
        }
    }
}

/// Writes `a op b`; a side that binds less tightly than its bound gets parentheses.
fn write_pair(
    f: &mut fmt::Formatter<'_>,
    a: &Expr,
    operator: &str,
    b: &Expr,
    bounds: (u8, u8),
) -> fmt::Result {
    write_part(f, a, bounds.0)?;
    f.write_str(operator)?;
    write_part(f, b, bounds.1)
}

fn write_part(f: &mut fmt::Formatter<'_>, part: &Expr, bound: u8) -> fmt::Result {
    if part.precedence() < bound { write!(f, "({part})") } else { write!(f, "{part}") }
}

/// The shortest decimal that reads back as the same number.
fn written_number(number: f64) -> String {
    if number == 0.0 || (1e-5..1e15).contains(&number) { format!("{number}") } else { format!("{number:e}") }
}
