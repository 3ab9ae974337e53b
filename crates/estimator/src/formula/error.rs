//! The errors of formulas. Messages name the token and its position; [`FormulaError::hint`]
//! says what to write instead.

/// The reason why a formula was refused. Positions count characters from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the message of each variant is its documentation")]
pub enum FormulaError {
    #[error("the formula is empty")]
    Empty,
    #[error("the formula has {length} bytes, the limit is {limit}")]
    TooLong { length: usize, limit: usize },
    #[error("the formula must start with `~`, found `{token}` (position {position})")]
    MissingTilde { token: String, position: usize },
    #[error("the left side `{left}` is not supported in xformla (position {position})")]
    LeftSide { left: String, position: usize },
    #[error("function `{name}` is not supported in xformla (position {position})")]
    UnsupportedFunction { name: String, position: usize },
    #[error("operator `{operator}` is not supported in xformla (position {position})")]
    UnsupportedOperator { operator: String, position: usize },
    #[error("`.` is not supported in xformla (position {position})")]
    Dot { position: usize },
    #[error("`{word}` is a reserved word of R, not a column (position {position})")]
    ReservedWord { word: String, position: usize },
    #[error("unexpected `{token}` (position {position}), expected {expected}")]
    UnexpectedToken { token: String, position: usize, expected: &'static str },
    #[error("the formula ends too early (position {position}), expected {expected}")]
    UnexpectedEnd { position: usize, expected: &'static str },
    #[error("the backtick name {problem} (position {position})")]
    BadName { problem: &'static str, position: usize },
    #[error("number `{token}` is out of range (position {position})")]
    NumberRange { token: String, position: usize },
    #[error("number `{token}` is not a term (position {position})")]
    NumberTerm { token: String, position: usize },
    #[error("a constant or a minus sign cannot take part in `{operator}` (position {position})")]
    ProductOperand { operator: &'static str, position: usize },
    #[error("`^` needs a sum in parentheses on its left (position {position})")]
    PowerBase { position: usize },
    #[error("`^` needs a whole number from 2 to {limit} on its right (position {position})")]
    PowerExponent { position: usize, limit: u32 },
    #[error("function `{name}` {problem} (position {position})")]
    Argument { name: String, problem: &'static str, position: usize },
    #[error("function `{name}` uses no column (position {position})")]
    NoColumn { name: String, position: usize },
    #[error("parentheses or signs nest deeper than {limit} (position {position})")]
    TooDeep { position: usize, limit: usize },
    #[error("an expression has more than {limit} operations (position {position})")]
    TooComplex { position: usize, limit: usize },
    #[error("the formula expands to more than {limit} terms")]
    TooManyTerms { limit: usize },
    #[error("the formula has neither a term nor an intercept")]
    NoTerms,
    #[error("`{poly}` is not supported without the term `{margin}`")]
    OrthogonalPoly { poly: String, margin: String },
    #[error("column `{column}` is used as a factor but its levels are not known")]
    UnknownLevels { column: String },
    #[error("factor `{column}` needs 2 levels or more, it has {levels}")]
    FewLevels { column: String, levels: usize },
    #[error("column `{column}` holds text and cannot be used in `{expression}`")]
    TextInArithmetic { column: String, expression: String },
    #[error("the formula expands to more than {limit} columns")]
    TooManyColumns { limit: usize },
}

impl FormulaError {
    /// Returns what the user may write instead, without the leading `hint:`.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Empty => "write `~ 1` for no covariates".to_owned(),
            Self::MissingTilde { .. } => "write the covariates as `~ x1 + x2`".to_owned(),
            Self::LeftSide { .. } => "drop the left side; the outcome is named by `yname`".to_owned(),
            Self::UnsupportedFunction { name, .. } => function_hint(name),
            Self::UnsupportedOperator { operator, .. } => operator_hint(operator)?.to_owned(),
            Self::Dot { .. } => "name the columns, as in `~ x1 + x2`".to_owned(),
            Self::ReservedWord { .. } => "put a column of this name between backticks".to_owned(),
            Self::NumberTerm { .. } => "use `1` or `0` for the intercept, `I(...)` for arithmetic".to_owned(),
            Self::ProductOperand { .. } => "use `I(...)` for arithmetic, as in `I(-x)`".to_owned(),
            Self::PowerBase { .. } => {
                "for the power of a column write `I(x^2)`; `^` crosses a sum, as in `(a + b)^2`".to_owned()
            }
            Self::NoTerms => "write `~ 1` for no covariates".to_owned(),
            Self::OrthogonalPoly { margin, .. } => {
                format!("add `raw = TRUE` inside `poly()`, or add `{margin}` to the formula")
            }
            Self::FewLevels { .. } => "drop the factor; it does not vary".to_owned(),
            Self::TextInArithmetic { .. } => "use the column by itself or as `factor()`".to_owned(),
            Self::TooManyColumns { .. } | Self::TooManyTerms { .. } => {
                "use factors with fewer levels or fewer interactions".to_owned()
            }
            _ => return None,
        };
        Some(text)
    }
}

fn function_hint(name: &str) -> String {
    let advice = match name {
        "bs" | "ns" | "s" | "te" | "ti" | "t2" | "rcs" | "splines" => {
            "use `poly(x, 3)`, or store the basis as columns"
        }
        "cut" | "findInterval" => "store the groups as a column and use `factor(column)`",
        "scale" => "use the column itself; estimates do not depend on its scale",
        "lag" | "lead" | "diff" => "store the lagged values as a column",
        "C" | "contrasts" | "relevel" | "ordered" => "use `factor(column)`; treatment contrasts are used",
        "ln" => "use `log(x)`, the natural logarithm",
        "offset" => "an offset has no coefficient and plays no part here",
        "factor" | "as.factor" | "poly" => "this function must be a term of its own",
        _ => {
            "supported are log, log2, log10, log1p, exp, sqrt, abs, I, poly and factor; \
             store anything else as a column"
        }
    };
    advice.to_owned()
}

fn operator_hint(operator: &str) -> Option<&'static str> {
    match operator {
        "/" => Some("write `a + a:b` for `a/b`; for a ratio write `I(a / b)`"),
        "%in%" => Some("write `a:b` for `a %in% b`"),
        "|" => Some("there are no random or absorbed effects here; use `factor(column)`"),
        _ => None,
    }
}
