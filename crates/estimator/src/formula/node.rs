//! The formula as written: its tree of operators, and the text that it prints as.

use std::fmt;

use super::variable::Variable;

/// The sign of an item of a sum: added or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Plus,
    Minus,
}

/// An operator of a formula with its operands. Parentheses are not kept.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// `1` (true) or `0` (false).
    Constant(bool),
    Variable(Variable),
    /// `a + b - c`; `-a` is a sum of one removed item.
    Sum(Vec<(Sign, Node)>),
    /// `a * b * c`
    Cross(Vec<Node>),
    /// `a:b:c`
    Interaction(Vec<Node>),
    /// `(a + b)^n`
    Power(Box<Node>, u32),
}

impl Node {
    fn precedence(&self) -> u8 {
        match self {
            Self::Sum(_) => 1,
            Self::Cross(_) => 2,
            Self::Interaction(_) => 3,
            Self::Power(..) => 4,
            Self::Constant(_) | Self::Variable(_) => 5,
        }
    }

    /// True for `-a`, however many parentheses surround it.
    pub(super) fn is_negative(&self) -> bool {
        matches!(self, Self::Sum(items) if items.len() == 1)
    }
}

/// One spelling for each tree: parsing the text gives the same tree again.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(true) => f.write_str("1"),
            Self::Constant(false) => f.write_str("0"),
            Self::Variable(variable) => write!(f, "{variable}"),
            Self::Sum(items) => write_sum(f, items),
            Self::Cross(items) => write_chain(f, items, " * ", 3),
            Self::Interaction(items) => write_chain(f, items, ":", 4),
            Self::Power(base, exponent) => {
                write_operand(f, base, 5)?;
                write!(f, "^{exponent}")
            }
        }
    }
}

fn write_sum(f: &mut fmt::Formatter<'_>, items: &[(Sign, Node)]) -> fmt::Result {
    for (index, (sign, item)) in items.iter().enumerate() {
        f.write_str(match (index, sign) {
            (0, Sign::Plus) => "",
            (0, Sign::Minus) => "-",
            (_, Sign::Plus) => " + ",
            (_, Sign::Minus) => " - ",
        })?;
        // a leading minus binds tighter than `:` and `*`
        let tight = index == 0 && *sign == Sign::Minus;
        write_operand(f, item, if tight { 4 } else { 2 })?;
    }
    Ok(())
}

fn write_chain(f: &mut fmt::Formatter<'_>, items: &[Node], operator: &str, bound: u8) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(operator)?;
        }
        write_operand(f, item, bound)?;
    }
    Ok(())
}

fn write_operand(f: &mut fmt::Formatter<'_>, node: &Node, bound: u8) -> fmt::Result {
    if node.precedence() < bound { write!(f, "({node})") } else { write!(f, "{node}") }
}
