//! One-sided R formulas, the `xformla` of `att_gt`: text to terms to design columns.
//!
//! The rules are those of R's `terms.formula`, `model.frame` and `model.matrix` with treatment
//! contrasts (R sources: `src/library/stats/src/model.c`). [`parse`] reads the text, [`Formula::atoms`]
//! says which numbers and factor levels a row must supply, and [`Formula::design`] lays out the columns
//! once the levels of the factors are known. Nothing here reads data.
//!
//! Read are `+ - : * ^ ( )`, `1` and `0`, column names (bare or between backticks), `I()`, `log`, `log2`,
//! `log10`, `log1p`, `exp`, `sqrt`, `abs`, `factor`, `as.factor` and `poly`. Everything else is refused
//! by name. Three refusals are deliberate where R goes on: `x^2` outside `I()` (R drops the power), a
//! constant or a sign inside a product, and `poly(x, d)` without `raw = TRUE` where raw and orthogonal
//! powers would span different models.
//!
//! ```
//! use stagger_estimator::formula::{Factor, parse};
//!
//! let formula = parse("~ log(x) * factor(region)")?;
//! let design = formula.design(&|column| (column == "region").then_some(3))?;
//! let names: Vec<&str> = design.columns.iter().map(|c| c.name.as_str()).collect();
//! assert_eq!(names[..3], ["(Intercept)", "log(x)", "factor(region)#1"]);
//! assert_eq!(design.columns[4].parts, [Factor::Numeric(0), Factor::Level { atom: 1, level: 1 }]);
//! # Ok::<(), stagger_estimator::formula::FormulaError>(())
//! ```

mod arithmetic;
mod call;
mod design;
mod error;
mod expr;
mod node;
mod parser;
mod terms;
mod token;
mod variable;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use node::Node;
use terms::{Expansion, Term};

use variable::Variable;

pub use design::{Design, DesignColumn, Factor, LevelSource, MAX_COLUMNS};
pub use error::FormulaError;
pub use expr::{Expr, Function};
pub use variable::Atom;

/// A parsed formula. Its `Display` text parses to the same formula.
#[derive(Debug, Clone, PartialEq)]
pub struct Formula {
    root: Node,
    intercept: bool,
    variables: Vec<Variable>,
    terms: Vec<Term>,
    atoms: Vec<Atom>,
    /// For each variable the numbers of its atoms.
    variable_atoms: Vec<Vec<usize>>,
}

/// Parses a one-sided formula, as `~ x1 + log(x2)`.
pub fn parse(text: &str) -> Result<Formula, FormulaError> {
    let root = parser::parse_formula(text)?;
    let Expansion { intercept, variables, terms } = terms::expand(&root)?;
    if !intercept && terms.is_empty() {
        return Err(FormulaError::NoTerms);
    }
    let (atoms, variable_atoms) = distinct_atoms(&variables);
    let formula = Formula { root, intercept, variables, terms, atoms, variable_atoms };
    formula.check_orthogonal()?;
    Ok(formula)
}

impl Formula {
    /// Returns true if the design has an intercept.
    pub fn intercept(&self) -> bool {
        self.intercept
    }

    /// The distinct columns that the formula names, in order of appearance. R's `all.vars`: columns
    /// of removed terms count.
    pub fn variables(&self) -> Vec<String> {
        distinct(self.variables.iter().flat_map(Variable::columns))
    }

    /// The distinct columns used through `factor()`, in order of appearance.
    pub fn factors(&self) -> Vec<String> {
        distinct(self.variables.iter().filter_map(|variable| match variable {
            Variable::Factor(column) => Some(column.as_str()),
            _ => None,
        }))
    }

    /// The distinct atoms, in order of appearance. A row is kept iff each [`Atom::Numeric`] is finite
    /// in it and each factor has a level. As in R's `model.frame`, atoms of removed terms count.
    pub fn atoms(&self) -> &[Atom] {
        &self.atoms
    }

    /// The terms in R's order (`attr(terms, "term.labels")`), without the intercept.
    pub fn term_labels(&self) -> Vec<String> {
        self.terms.iter().map(|term| self.label(term)).collect()
    }

    /// The columns of the design. `levels(column)` gives the number of levels of a column that is a
    /// factor, through `factor()` or because it holds text, else `None`. A column used both ways is
    /// taken to hold numbers; [`Formula::design_with`] can tell.
    pub fn design(&self, levels: &dyn Fn(&str) -> Option<usize>) -> Result<Design, FormulaError> {
        self.design_with(&Counts { levels, factors: self.factors() })
    }

    /// As [`Formula::design`], with the names of levels and with text columns told apart.
    pub fn design_with(&self, source: &dyn LevelSource) -> Result<Design, FormulaError> {
        design::build(self, source)
    }

    fn label(&self, term: &[usize]) -> String {
        let names = term.iter().filter_map(|&index| self.variables.get(index));
        names.map(ToString::to_string).collect::<Vec<_>>().join(":")
    }

    /// R's `poly(x, d)` is orthogonal to the constant: it spans what raw powers span only where each
    /// term with it also stands in the formula without it.
    fn check_orthogonal(&self) -> Result<(), FormulaError> {
        for term in &self.terms {
            for &index in term {
                let Some(variable @ Variable::Poly { raw: false, .. }) = self.variables.get(index) else {
                    continue;
                };
                let rest = terms::without(term, index);
                let present = if rest.is_empty() { self.intercept } else { self.terms.contains(&rest) };
                if !present {
                    let margin = if rest.is_empty() { "1".to_owned() } else { self.label(&rest) };
                    return Err(FormulaError::OrthogonalPoly { poly: variable.to_string(), margin });
                }
            }
        }
        Ok(())
    }
}

/// The formula with R's spacing, its terms as written.
impl fmt::Display for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "~{}", self.root)
    }
}

impl FromStr for Formula {
    type Err = FormulaError;

    fn from_str(text: &str) -> Result<Self, FormulaError> {
        parse(text)
    }
}

/// The levels given by a closure that knows nothing else.
struct Counts<'a> {
    levels: &'a dyn Fn(&str) -> Option<usize>,
    factors: Vec<String>,
}

impl LevelSource for Counts<'_> {
    fn count(&self, column: &str) -> Option<usize> {
        (self.levels)(column)
    }

    fn is_text(&self, column: &str) -> bool {
        (self.levels)(column).is_some() && !self.factors.iter().any(|factor| factor == column)
    }
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let fresh = names.filter(|name| seen.insert(*name));
    fresh.map(str::to_owned).collect()
}

/// The atoms of all variables, each once, and for each variable their numbers.
fn distinct_atoms(variables: &[Variable]) -> (Vec<Atom>, Vec<Vec<usize>>) {
    let mut atoms: Vec<Atom> = Vec::new();
    let mut known = BTreeMap::new();
    let mut numbers = Vec::with_capacity(variables.len());
    for variable in variables {
        let mut own = Vec::new();
        for atom in variable.atoms() {
            // the text of an expression names it uniquely; no expression is written `factor(...)`
            let text = match &atom {
                Atom::Numeric(expr) => expr.to_string(),
                Atom::Factor(column) => format!("factor({column})"),
            };
            let number = *known.entry(text).or_insert(atoms.len());
            if number == atoms.len() {
                atoms.push(atom);
            }
            own.push(number);
        }
        numbers.push(own);
    }
    (atoms, numbers)
}
