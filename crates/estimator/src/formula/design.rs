//! From terms to the columns of the design matrix, as R's `model.matrix` numbers and names them.

use serde::{Deserialize, Serialize};

use super::Formula;
use super::error::FormulaError;
use super::terms::{Term, is_contrast};
use super::variable::Variable;

/// Most columns of a design.
pub const MAX_COLUMNS: usize = 2_000;

/// The questions that the design asks of the data.
pub trait LevelSource {
    /// Number of levels of a column that is a factor: used through `factor()`, or holding text.
    fn count(&self, column: &str) -> Option<usize>;

    /// Returns true if the column holds text (or truth values), so that R makes it a factor by itself.
    fn is_text(&self, column: &str) -> bool;

    /// The level's name, for column names; `level` counts from 0.
    fn name(&self, _column: &str, level: usize) -> String {
        format!("#{level}")
    }
}

/// The columns of the design matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Design {
    /// In R's order; the intercept is first if present.
    pub columns: Vec<DesignColumn>,
}

/// One column: the product of its parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DesignColumn {
    /// The name that R gives, as `x1:factor(region)2`.
    pub name: String,
    /// The factors of the product; none for the intercept.
    pub parts: Vec<Factor>,
}

/// One factor of a design column. Atoms are numbered as in [`Formula::atoms`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Factor {
    /// The value of the atom.
    Numeric(usize),
    /// 1 where the atom's column has this level, else 0.
    Level {
        /// Number of the atom: a factor, or a plain column that holds text.
        atom: usize,
        /// Number of the level in the ordered list, from 0.
        level: usize,
    },
}

/// The coding of one variable: numbers, or the levels of one atom.
enum Coding {
    Numbers(Vec<usize>),
    Levels { column: String, atom: usize, count: usize },
}

/// One column that a variable contributes to a term.
type Piece = (String, Factor);

/// Builds the design of `formula`.
pub(super) fn build(formula: &Formula, source: &dyn LevelSource) -> Result<Design, FormulaError> {
    let builder = Builder { formula, source };
    let codings = builder.codings()?;
    let full = builder.full_without_intercept(&codings);
    let mut columns = Vec::new();
    if formula.intercept() {
        columns.push(DesignColumn { name: "(Intercept)".to_owned(), parts: Vec::new() });
    }
    for (at, term) in formula.terms.iter().enumerate() {
        let mut pieces = Vec::new();
        for &variable in term {
            let contrast = full != Some((at, variable)) && is_contrast(&formula.terms, at, variable);
            pieces.push(builder.pieces(variable, &codings, contrast));
        }
        let width = pieces
            .iter()
            .try_fold(1_usize, |width, pieces| width.checked_mul(pieces.len()).filter(|&w| w <= MAX_COLUMNS));
        match width {
            Some(width) if columns.len() + width <= MAX_COLUMNS => {
                columns.extend(products(&pieces));
            }
            _ => return Err(FormulaError::TooManyColumns { limit: MAX_COLUMNS }),
        }
    }
    Ok(Design { columns })
}

struct Builder<'a> {
    formula: &'a Formula,
    source: &'a dyn LevelSource,
}

impl Builder<'_> {
    /// The coding of each variable that is in a term, by number.
    fn codings(&self) -> Result<Vec<Option<Coding>>, FormulaError> {
        let mut used = vec![false; self.formula.variables.len()];
        for &variable in self.formula.terms.iter().flatten() {
            if let Some(used) = used.get_mut(variable) {
                *used = true;
            }
        }
        let variables = self.formula.variables.iter().zip(used).enumerate();
        variables
            .map(|(index, (variable, used))| used.then(|| self.coding(index, variable)).transpose())
            .collect()
    }

    fn coding(&self, index: usize, variable: &Variable) -> Result<Coding, FormulaError> {
        let atoms = self.formula.atoms_of(index);
        match (variable, atoms) {
            (Variable::Factor(column), &[atom]) => self.levels(column, atom),
            (Variable::Column(column), &[atom]) if self.source.is_text(column) => self.levels(column, atom),
            (Variable::Column(_), _) => Ok(Coding::Numbers(atoms.to_vec())),
            _ => {
                let columns = variable.columns();
                match columns.into_iter().find(|column| self.source.is_text(column)) {
                    None => Ok(Coding::Numbers(atoms.to_vec())),
                    Some(column) => Err(FormulaError::TextInArithmetic {
                        column: column.to_owned(),
                        expression: variable.to_string(),
                    }),
                }
            }
        }
    }

    fn levels(&self, column: &str, atom: usize) -> Result<Coding, FormulaError> {
        let column = column.to_owned();
        match self.source.count(&column) {
            None => Err(FormulaError::UnknownLevels { column }),
            Some(levels) if levels < 2 => Err(FormulaError::FewLevels { column, levels }),
            // one column more than the bound is enough to exceed it
            Some(levels) => Ok(Coding::Levels { column, atom, count: levels.min(MAX_COLUMNS + 2) }),
        }
    }

    /// Without an intercept R codes the first factor of the first term that has one by all levels.
    fn full_without_intercept(&self, codings: &[Option<Coding>]) -> Option<(usize, usize)> {
        if self.formula.intercept() {
            return None;
        }
        let is_factor = |variable: usize| {
            let coding = codings.get(variable);
            matches!(coding, Some(Some(Coding::Levels { .. })))
        };
        let mut terms = self.formula.terms.iter().enumerate();
        terms.find_map(|(at, term): (usize, &Term)| {
            let first = term.iter().copied().find(|&variable| is_factor(variable))?;
            Some((at, first))
        })
    }

    /// The columns of one variable inside a term, with their names.
    fn pieces(&self, variable: usize, codings: &[Option<Coding>], contrast: bool) -> Vec<Piece> {
        let label = self.formula.variables.get(variable);
        let label = label.map(ToString::to_string).unwrap_or_default();
        match codings.get(variable) {
            Some(Some(Coding::Numbers(atoms))) => {
                let number = |power: usize| match atoms.len() {
                    1 => label.clone(),
                    _ => format!("{label}{power}"),
                };
                let numbered = atoms.iter().zip(1..);
                numbered.map(|(&atom, power)| (number(power), Factor::Numeric(atom))).collect()
            }
            Some(Some(Coding::Levels { column, atom, count })) => (usize::from(contrast)..*count)
                .map(|level| {
                    let name = format!("{label}{}", self.source.name(column, level));
                    (name, Factor::Level { atom: *atom, level })
                })
                .collect(),
            _ => Vec::new(),
        }
    }
}

/// All products of one piece of each variable; the first variable's pieces vary fastest.
fn products(pieces: &[Vec<Piece>]) -> Vec<DesignColumn> {
    let mut columns = vec![DesignColumn { name: String::new(), parts: Vec::new() }];
    for (index, pieces) in pieces.iter().enumerate() {
        let colon = if index == 0 { "" } else { ":" };
        let joined = pieces.iter().flat_map(|(name, part)| {
            columns.iter().map(move |column| DesignColumn {
                name: format!("{}{colon}{name}", column.name),
                parts: column.parts.iter().copied().chain([*part]).collect(),
            })
        });
        columns = joined.collect();
    }
    columns
}

impl Formula {
    /// The numbers of a variable's atoms.
    fn atoms_of(&self, variable: usize) -> &[usize] {
        self.variable_atoms.get(variable).map_or(&[], Vec::as_slice)
    }
}
