//! Expands the operators of a formula into terms, as R's `terms.formula` does.

use std::collections::BTreeSet;

use super::error::FormulaError;
use super::node::{Node, Sign};
use super::variable::Variable;

/// Most variables, and most terms at any stage of the expansion.
const MAX_TERMS: usize = 2_000;
/// Bound on the work of crossing sums.
const MAX_WORK: usize = 4_000_000;

/// A product of variables: their indices, ascending. R's bit pattern.
pub(super) type Term = Vec<usize>;

/// A formula after expansion.
#[derive(Debug)]
pub(super) struct Expansion {
    pub(super) intercept: bool,
    /// In order of appearance, those of removed terms included.
    pub(super) variables: Vec<Variable>,
    /// By degree, then in order of appearance.
    pub(super) terms: Vec<Term>,
}

/// Expands a formula.
pub(super) fn expand(root: &Node) -> Result<Expansion, FormulaError> {
    let mut encoder = Encoder { variables: Vec::new(), intercept: true, positive: true, work: 0 };
    let mut terms = encoder.encode(root)?;
    terms.sort_by_key(Vec::len);
    Ok(Expansion { intercept: encoder.intercept, variables: encoder.variables, terms })
}

/// Returns true if `variable` of term number `at` is coded by contrasts rather than by all its levels:
/// iff what remains of the term without it is part of an earlier term, or is empty. R's `TermCode`
/// (Chambers and Hastie, Statistical Models in S, p. 38). The case of no intercept comes on top.
pub(super) fn is_contrast(terms: &[Term], at: usize, variable: usize) -> bool {
    let Some(term) = terms.get(at) else {
        return true;
    };
    let rest = without(term, variable);
    let earlier = terms.iter().take(at);
    rest.is_empty() || { earlier }.any(|term| contains(term, &rest))
}

/// The term with one variable taken out.
pub(super) fn without(term: &[usize], variable: usize) -> Term {
    let others = term.iter().copied().filter(|&other| other != variable);
    others.collect()
}

/// Returns true if every variable of `part` is in `term`; both ascend.
fn contains(term: &[usize], part: &[usize]) -> bool {
    part.len() <= term.len() && part.iter().all(|v| term.binary_search(v).is_ok())
}

/// The union of two terms.
fn union(a: &[usize], b: &[usize]) -> Term {
    let mut term: Term = a.iter().chain(b).copied().collect();
    term.sort_unstable();
    term.dedup();
    term
}

/// A function that joins two lists of terms.
type Join = fn(&mut Encoder, &[Term], &[Term]) -> Result<Vec<Term>, FormulaError>;

struct Encoder {
    variables: Vec<Variable>,
    intercept: bool,
    /// False inside an odd number of removals, where `1` removes the intercept.
    positive: bool,
    work: usize,
}

impl Encoder {
    fn encode(&mut self, node: &Node) -> Result<Vec<Term>, FormulaError> {
        match node {
            Node::Constant(one) => {
                self.intercept = *one == self.positive;
                Ok(Vec::new())
            }
            Node::Variable(variable) => Ok(vec![vec![self.index(variable)?]]),
            Node::Sum(items) => self.sum(items),
            Node::Cross(items) => self.fold(items, Self::crossed),
            Node::Interaction(items) => self.fold(items, Self::products),
            Node::Power(base, exponent) => self.power(base, *exponent),
        }
    }

    /// The number of the variable, a new one if it is seen for the first time.
    fn index(&mut self, variable: &Variable) -> Result<usize, FormulaError> {
        if let Some(index) = self.variables.iter().position(|known| known == variable) {
            return Ok(index);
        }
        if self.variables.len() >= MAX_TERMS {
            return Err(FormulaError::TooManyTerms { limit: MAX_TERMS });
        }
        self.variables.push(variable.clone());
        Ok(self.variables.len() - 1)
    }

    fn sum(&mut self, items: &[(Sign, Node)]) -> Result<Vec<Term>, FormulaError> {
        let mut terms = Distinct::default();
        for (sign, item) in items {
            if *sign == Sign::Plus {
                for term in self.encode(item)? {
                    terms.push(term)?;
                }
                continue;
            }
            self.positive = !self.positive;
            let removed = self.encode(item);
            self.positive = !self.positive;
            terms.remove(removed?);
        }
        Ok(terms.list)
    }

    fn fold(&mut self, items: &[Node], join: Join) -> Result<Vec<Term>, FormulaError> {
        let mut items = items.iter();
        let mut left = match items.next() {
            Some(first) => self.encode(first)?,
            None => return Ok(Vec::new()),
        };
        for item in items {
            let right = self.encode(item)?;
            left = join(self, &left, &right)?;
        }
        Ok(left)
    }

    /// `a * b`: `a`, `b` and their products. As in R, nothing if `a` has no terms.
    fn crossed(&mut self, left: &[Term], right: &[Term]) -> Result<Vec<Term>, FormulaError> {
        let products = self.products(left, right)?;
        let mut terms = Distinct::default();
        if left.is_empty() {
            return Ok(terms.list);
        }
        for term in left.iter().chain(right).chain(&products) {
            terms.push(term.clone())?;
        }
        Ok(terms.list)
    }

    /// Each term of `left` with each of `right`.
    fn products(&mut self, left: &[Term], right: &[Term]) -> Result<Vec<Term>, FormulaError> {
        let mut terms = Distinct::default();
        for a in left {
            for b in right {
                self.work += a.len() + b.len();
                if self.work > MAX_WORK {
                    return Err(FormulaError::TooManyTerms { limit: MAX_TERMS });
                }
                terms.push(union(a, b))?;
            }
        }
        Ok(terms.list)
    }

    fn power(&mut self, base: &Node, exponent: u32) -> Result<Vec<Term>, FormulaError> {
        let left = self.encode(base)?;
        let mut right = left.clone();
        for _ in 1..exponent {
            let next = self.products(&left, &right)?;
            if next == right {
                break;
            }
            right = next;
        }
        Ok(right)
    }
}

/// Terms in order, each once.
#[derive(Default)]
struct Distinct {
    list: Vec<Term>,
    seen: BTreeSet<Term>,
}

impl Distinct {
    fn push(&mut self, term: Term) -> Result<(), FormulaError> {
        if !self.seen.insert(term.clone()) {
            return Ok(());
        }
        if self.list.len() >= MAX_TERMS {
            return Err(FormulaError::TooManyTerms { limit: MAX_TERMS });
        }
        self.list.push(term);
        Ok(())
    }

    fn remove(&mut self, terms: Vec<Term>) {
        let before = self.seen.len();
        for term in terms {
            self.seen.remove(&term);
        }
        if self.seen.len() < before {
            self.list.retain(|term| self.seen.contains(term));
        }
    }
}
